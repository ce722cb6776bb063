#include "server/validate_prompt_spec.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/prompt_spec.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

absl::Status Invalid(const std::string& field, absl::string_view message) {
  return FieldError(field, absl::StrCat(field, message),
                    reasons::kInvalidField);
}

absl::Status CheckCount(const std::string& field, int count, int allowed) {
  return count <= allowed
             ? absl::OkStatus()
             : Invalid(field, absl::StrCat(" has ", count, " entries; at most ",
                                           allowed, " are allowed"));
}

std::string SynonymField(const std::string& field, int i) {
  return absl::StrCat(field, ".synonyms[", i, "]");
}

std::string NegativeField(const std::string& field, int i) {
  return absl::StrCat(field, ".negatives[", i, "]");
}

absl::Status CheckPictures(const v1::ClassSpec& spec,
                           const std::string& field) {
  const std::string pictures = absl::StrCat(field, ".pictures");
  OVDIFF_RETURN_IF_ERROR(
      CheckCount(pictures, spec.pictures_size(), kMaxGivenPictures));
  if (!spec.only_given_pictures()) {
    return absl::OkStatus();
  }
  const std::string only = absl::StrCat(field, ".only_given_pictures");
  if (spec.pictures().empty()) {
    return Invalid(only, absl::StrCat(" is set and ", pictures,
                                      " is empty: nothing would show the "
                                      "class; give at least one picture"));
  }
  if (!spec.synonyms().empty()) {
    return Invalid(only, absl::StrCat(" is set, and so is ", field,
                                      ".synonyms, which is painted; choose "
                                      "one"));
  }
  return absl::OkStatus();
}

absl::Status CheckNegatives(const v1::ClassSpec& spec,
                            const std::string& field) {
  const std::string negatives = absl::StrCat(field, ".negatives");
  OVDIFF_RETURN_IF_ERROR(
      CheckCount(negatives, spec.negatives_size(), kMaxNegatives));
  for (int i = 0; i < spec.negatives_size(); ++i) {
    if (spec.negatives(i).content_case() == v1::Negative::CONTENT_NOT_SET) {
      return Invalid(NegativeField(field, i),
                     " is empty; set prompt or picture");
    }
  }
  if (!spec.negatives().empty() && KindOf(spec) == ClassKind::kStuff) {
    return Invalid(negatives,
                   absl::StrCat(" is of ", Quoted(spec.name()),
                                ", a stuff class: those bring no background "
                                "prototypes, which is what negatives are; "
                                "leave them out, or set kind to "
                                "CLASS_KIND_THING"));
  }
  return absl::OkStatus();
}

// Texts are valid, and no two prompts of the class are one.
absl::Status CheckPrompts(const v1::ClassSpec& spec, const std::string& field,
                          const Limits& limits) {
  // Normal form to field.
  std::map<std::string, std::string> seen = {
      {MainPrompt(spec),
       absl::StrCat(field, spec.prompt().empty() ? ".name" : ".prompt")}};
  const auto check = [&](const std::string& text,
                         const std::string& at) -> absl::Status {
    OVDIFF_RETURN_IF_ERROR(
        ValidateText(text, at, limits.max_class_name_characters));
    const auto [first, is_new] = seen.emplace(NormalPrompt(text), at);
    return is_new ? absl::OkStatus()
                  : Invalid(at, absl::StrCat(" ", Quoted(text),
                                             " is the same as ", first->second,
                                             "; prompts of a class must differ "
                                             "in more than case and spaces"));
  };
  for (int i = 0; i < spec.synonyms_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(check(spec.synonyms(i), SynonymField(field, i)));
  }
  for (int i = 0; i < spec.negatives_size(); ++i) {
    if (!spec.negatives(i).has_picture()) {
      OVDIFF_RETURN_IF_ERROR(
          check(spec.negatives(i).prompt(),
                absl::StrCat(NegativeField(field, i), ".prompt")));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePromptSpec(const v1::ClassSpec& spec,
                                const std::string& field,
                                const Limits& limits) {
  OVDIFF_RETURN_IF_ERROR(CheckCount(absl::StrCat(field, ".synonyms"),
                                    spec.synonyms_size(), kMaxSynonyms));
  OVDIFF_RETURN_IF_ERROR(CheckPictures(spec, field));
  OVDIFF_RETURN_IF_ERROR(CheckNegatives(spec, field));
  return CheckPrompts(spec, field, limits);
}

absl::Status ValidatePromptsFit(const v1::ClassSpec& spec,
                                const std::string& field,
                                const GenerationOptions& options,
                                const engine::Engine& engine) {
  const auto check = [&](const std::string& prompt, const std::string& at) {
    return WithField(WithPrefix(engine.ValidatePrompt(prompt, options), at), at,
                     reasons::kInvalidField);
  };
  OVDIFF_RETURN_IF_ERROR(
      check(MainPrompt(spec),
            absl::StrCat(field, spec.prompt().empty() ? ".name" : ".prompt")));
  for (int i = 0; i < spec.synonyms_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(
        check(NormalPrompt(spec.synonyms(i)), SynonymField(field, i)));
  }
  for (int i = 0; i < spec.negatives_size(); ++i) {
    if (!spec.negatives(i).has_picture()) {
      OVDIFF_RETURN_IF_ERROR(
          check(NormalPrompt(spec.negatives(i).prompt()),
                absl::StrCat(NegativeField(field, i), ".prompt")));
    }
  }
  const int pictures = NumSupportPictures(spec, options.num_pictures);
  if (!IsPlain(spec) && pictures > kMaxSupportPictures) {
    return Invalid(
        field,
        absl::StrCat(" would have ", pictures, " support pictures, ",
                     options.num_pictures,
                     " of each prompt, synonym and negative and the given "
                     "ones; at most ",
                     kMaxSupportPictures,
                     " are allowed: lower options.num_pictures, or give fewer "
                     "synonyms and negatives"));
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::server
