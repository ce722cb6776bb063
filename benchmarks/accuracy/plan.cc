#include "benchmarks/accuracy/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "benchmarks/accuracy/picture_files.h"
#include "engine/base/status_macros.h"
#include "engine/bundle/json_object.h"
#include "engine/bundle/options_json.h"

namespace ovdiff::accuracy {
namespace {

using engine::JsonObject;
using nlohmann::json;

constexpr int kPlanFormat = 1;
constexpr int kMaxLabel = 254;  // 255 is "not looked at".

// Calls `read(object, item)` for each object of the array `key`.
template <typename T, typename F>
void ReadList(JsonObject& parent, const std::string& key, std::vector<T>* out,
              const F& read) {
  const json* list = parent.Child(key, /*required=*/true);
  if (list == nullptr) {
    return;
  }
  if (!list->is_array() || list->empty()) {
    parent.Fail(key, "must be an array of at least one object");
    return;
  }
  for (size_t i = 0; i < list->size(); ++i) {
    JsonObject object((*list)[i],
                      absl::StrCat(parent.where(), ": ", key, " ", i));
    read(object, out->emplace_back());
    parent.Merge(object.Finish());
  }
}

void ReadClass(JsonObject& object, PlanClass& item) {
  object.Required("prompt", &item.prompt);
  std::string kind;
  object.Required("kind", &kind);
  if (kind != "thing" && kind != "stuff") {
    object.Fail("kind",
                absl::StrCat("is \"", kind, "\"; allowed are thing and stuff"));
  }
  item.kind = kind == "stuff" ? ClassKind::kStuff : ClassKind::kThing;
  int label = 0;
  object.Required("label", &label);
  if (label < 1 || label > kMaxLabel) {
    object.Fail("label",
                absl::StrCat("is ", label, "; allowed are 1 to ", kMaxLabel));
  }
  item.label = static_cast<uint16_t>(label);
}

void ReadPicture(JsonObject& object, PlanPicture& item) {
  object.Required("id", &item.id);
  object.Required("image", &item.image);
  object.Required("labels", &item.labels);
}

void ReadVariant(JsonObject& object, PlanVariant& item) {
  object.Required("name", &item.name);
  object.Optional("support", &item.support);
  object.Optional("profile", &item.profile);
  object.Optional("true_classes", &item.true_classes);
  const json* options = object.Child("options", /*required=*/false);
  item.options = options == nullptr ? json::object() : *options;
}

// A file's list of supports is three levels of arrays around [image, mask].
absl::StatusOr<SupportFiles> ParseSupports(const json& value,
                                           const std::string& where) {
  SupportFiles files;
  try {
    for (const json& seed : value) {
      auto& classes = files.emplace_back();
      for (const json& item : seed) {
        auto& pictures = classes.emplace_back();
        for (const json& pair : item) {
          pictures.push_back(
              {pair.at(0).get<std::string>(), pair.at(1).get<std::string>()});
        }
      }
    }
  } catch (const json::exception& error) {
    return absl::FailedPreconditionError(absl::StrCat(
        where,
        ": must be seeds of classes of [picture, mask]: ", error.what()));
  }
  return files;
}

absl::Status ReadSupports(JsonObject& root, Plan* plan) {
  const json* supports = root.Child("supports", /*required=*/false);
  if (supports == nullptr) {
    return absl::OkStatus();
  }
  for (const auto& [name, value] : supports->items()) {
    const std::string where = absl::StrCat(root.where(), ": supports.", name);
    OVDIFF_ASSIGN_OR_RETURN(plan->supports[name], ParseSupports(value, where));
    for (const auto& seed : plan->supports[name]) {
      if (seed.size() != plan->classes.size()) {
        return absl::FailedPreconditionError(
            absl::StrCat(where, " has ", seed.size(), " classes; the plan has ",
                         plan->classes.size()));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckVariants(const Plan& plan, const std::string& where) {
  std::set<std::string> names;
  for (const PlanVariant& variant : plan.variants) {
    if (variant.name.empty() || variant.name.find('/') != std::string::npos ||
        !names.insert(variant.name).second) {
      return absl::FailedPreconditionError(absl::StrCat(
          where, ": variant names are distinct, not empty and have no '/'; \"",
          variant.name, "\" is not so"));
    }
    const auto support = plan.supports.find(variant.support);
    if (!variant.support.empty() &&
        (support == plan.supports.end() || support->second.empty())) {
      return absl::FailedPreconditionError(
          absl::StrCat(where, ": variant ", variant.name, " wants supports \"",
                       variant.support, "\", which the plan does not have"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadFields(JsonObject& root, Plan* plan) {
  int format = 0;
  root.Required("format", &format);
  if (format != kPlanFormat) {
    root.Fail("format", absl::StrCat("is ", format, "; this program reads ",
                                     kPlanFormat));
  }
  root.Required("bundle", &plan->bundle);
  root.Optional("device", &plan->device);
  root.Optional("num_threads", &plan->num_threads);
  root.Required("cache", &plan->cache);
  root.Required("out", &plan->out);
  root.Optional("save_labels", &plan->save_labels);
  root.Required("num_seeds", &plan->num_seeds);
  if (plan->num_seeds < 1 || plan->num_seeds > 100) {
    root.Fail("num_seeds",
              absl::StrCat("is ", plan->num_seeds, "; allowed are 1 to 100"));
  }
  ReadList(root, "classes", &plan->classes, ReadClass);
  ReadList(root, "pictures", &plan->pictures, ReadPicture);
  ReadList(root, "variants", &plan->variants, ReadVariant);
  root.Merge(ReadSupports(root, plan));
  return root.Finish();
}

}  // namespace

absl::StatusOr<Plan> ReadPlan(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not JSON"));
  }
  Plan plan;
  JsonObject root(value, path);
  OVDIFF_RETURN_IF_ERROR(ReadFields(root, &plan));
  OVDIFF_RETURN_IF_ERROR(CheckVariants(plan, path));
  return plan;
}

absl::StatusOr<MethodOptions> ResolveOptions(const engine::EngineInfo& info,
                                             const PlanVariant& variant,
                                             int seed) {
  const std::string where = absl::StrCat("variant ", variant.name);
  MethodOptions options{info.generation, info.prototype, info.segment};
  if (!variant.profile.empty()) {
    const auto profile = std::find_if(
        info.profiles.begin(), info.profiles.end(),
        [&](const MethodProfile& p) { return p.name == variant.profile; });
    if (profile == info.profiles.end() || !profile->unavailable.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          where, ": profile \"", variant.profile, "\" cannot be used: ",
          profile == info.profiles.end() ? "it does not exist"
                                         : profile->unavailable));
    }
    options = {profile->generation, profile->prototype, profile->segment};
  }
  const json wrapped = {{"options", variant.options}};
  JsonObject root(wrapped, where);
  engine::ReadOptionOverrides(root, &options.generation, &options.prototype,
                              &options.segment);
  OVDIFF_RETURN_IF_ERROR(root.Finish());
  options.generation.seed += static_cast<uint64_t>(seed);
  options.prototype.kmeans_seed += static_cast<uint64_t>(seed);
  return options;
}

}  // namespace ovdiff::accuracy
