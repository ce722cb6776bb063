#include "server/picture_explainer.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/palette.h"
#include "server/source_pictures.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

constexpr int kDefaultClasses = 3;
// Each brings up to six pictures of some 100 KB.
constexpr int kMaxClasses = 16;

absl::Status CheckPoint(const v1::Point& point, const Image& image) {
  if (point.x() >= 0 && point.x() < image.width && point.y() >= 0 &&
      point.y() < image.height) {
    return absl::OkStatus();
  }
  return FieldError(
      "point",
      absl::StrCat("point is ", point.x(), ",", point.y(), "; the picture is ",
                   image.width, "x", image.height, ": x is 0 to ",
                   image.width - 1, ", y is 0 to ", image.height - 1),
      reasons::kInvalidField);
}

v1::PrototypeLevel FromLevel(PrototypeLevel level) {
  switch (level) {
    case PrototypeLevel::kClass:
      return v1::PROTOTYPE_LEVEL_CLASS;
    case PrototypeLevel::kInstance:
      return v1::PROTOTYPE_LEVEL_INSTANCE;
    case PrototypeLevel::kPart:
      return v1::PROTOTYPE_LEVEL_PART;
  }
  return v1::PROTOTYPE_LEVEL_UNSPECIFIED;
}

// A match that is being written: what it says of the engine's, and of whom.
struct OpenMatch {
  v1::PrototypeMatch* out;
  std::string space;
  bool is_background;
};

// One answer at work.
class Answer {
 public:
  Answer(const SegmentPlan& plan, const engine::Explanation& explanation,
         v1::ExplainResponse* response)
      : plan_(plan), explanation_(explanation), response_(*response) {}

  // All that the engine said of the best `max_classes`; the class of `asked`,
  // if that is not 0, is one of them whatever its score.
  void AddClasses(int max_classes, int asked) {
    response_.mutable_point()->set_x(explanation_.x);
    response_.mutable_point()->set_y(explanation_.y);
    response_.set_label(explanation_.classes.at(0).label);
    for (size_t i = 0; i < plan_.entries.size(); ++i) {
      if (!explanation_.kept[i]) {
        response_.add_filtered_classes(plan_.entries[i]->name);
      }
    }
    response_.set_vocabulary(plan_.vocabulary->id.name);
    response_.set_version(plan_.vocabulary->version);
    int left = max_classes;
    for (const engine::ExplainedClass& one : explanation_.classes) {
      const bool is_asked = one.label != 0 && one.label == asked;
      const bool asked_comes = asked != 0 && !is_asked;
      if (left > (asked_comes ? 1 : 0)) {
        AddClass(one);
        --left;
      }
      if (is_asked) {
        asked = 0;
      }
    }
  }

  // Levels and source pictures: what the stored sets say of the matches.
  absl::Status AddSources(const store::PrototypeStore& store,
                          const CallControl& control) {
    for (const auto& [index, matches] : matches_) {
      OVDIFF_RETURN_IF_ERROR(control.Check());
      const store::ClassEntry& entry = *plan_.entries[index];
      auto record = store.GetPrototypeSet(entry.prototype_key);
      if (!record.ok()) {
        return PrototypeReadError(entry, record.status());
      }
      for (const OpenMatch& match : matches) {
        OVDIFF_RETURN_IF_ERROR(AddSource(entry, record->set, match));
      }
      records_.emplace(index, *std::move(record));
    }
    return absl::OkStatus();
  }

  absl::Status AddPictures(engine::Engine& engine,
                           const store::PrototypeStore& store,
                           const Limits& limits, const CallControl& control) {
    for (const auto& [index, matches] : matches_) {
      std::set<int> wanted;
      for (const OpenMatch& match : matches) {
        if (match.out->source_picture() >= 0) {
          wanted.insert(match.out->source_picture());
        }
      }
      if (wanted.empty()) {
        continue;
      }
      OVDIFF_ASSIGN_OR_RETURN(
          const auto pictures,
          ReadSourcePictures(engine, store, limits, *plan_.entries[index],
                             records_.at(index), {wanted.begin(), wanted.end()},
                             control));
      for (const OpenMatch& match : matches) {
        const auto found = pictures.find(match.out->source_picture());
        if (found != pictures.end()) {
          match.out->set_picture_png(found->second.picture_png);
          match.out->set_mask_png(match.is_background
                                      ? found->second.background_png
                                      : found->second.foreground_png);
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  void AddClass(const engine::ExplainedClass& one) {
    v1::ExplainedClass& row = *response_.add_classes();
    row.set_label(one.label);
    row.set_colour(static_cast<int32_t>(LabelColour(one.label)));
    row.set_score(one.score);
    for (const store::ClassEntry* entry : plan_.entries) {
      if (entry->label == one.label) {
        row.set_name(entry->name);
      }
    }
    for (const engine::SpaceEvidence& evidence : one.spaces) {
      v1::SpaceEvidence& space = *row.add_spaces();
      space.set_space(evidence.space);
      space.set_score(evidence.score);
      AddMatch(evidence.winner, evidence.space, one.label == 0,
               *space.mutable_winner());
      if (evidence.runner_up.has_value()) {
        AddMatch(*evidence.runner_up, evidence.space, one.label == 0,
                 *space.mutable_runner_up());
      }
    }
  }

  void AddMatch(const engine::PrototypeMatch& match, const std::string& space,
                bool is_background, v1::PrototypeMatch& out) {
    out.set_class_name(plan_.entries[match.class_index]->name);
    out.set_index(static_cast<int32_t>(match.index));
    out.set_cosine(match.cosine);
    matches_[match.class_index].push_back({&out, space, is_background});
  }

  static absl::Status AddSource(const store::ClassEntry& entry,
                                const PrototypeSet& set,
                                const OpenMatch& match) {
    const auto row = static_cast<size_t>(match.out->index());
    for (const FeatureSpacePrototypes& space : set.spaces) {
      const PrototypeVectors& side =
          match.is_background ? space.background : space.foreground;
      if (space.space == match.space && row < side.count()) {
        match.out->set_level(FromLevel(side.levels[row]));
        match.out->set_source_picture(side.source_pictures[row]);
        return absl::OkStatus();
      }
    }
    return absl::InternalError(absl::StrCat(
        "class ", Quoted(entry.name), " has no vector ", row, " in space ",
        match.space, ", though it was compared with"));
  }

  const SegmentPlan& plan_;
  const engine::Explanation& explanation_;
  v1::ExplainResponse& response_;
  std::map<size_t, std::vector<OpenMatch>> matches_;  // By class of the call.
  std::map<size_t, store::PrototypeRecord> records_;  // Of those.
};

}  // namespace

PictureExplainer::PictureExplainer(engine::Engine& engine,
                                   const store::PrototypeStore& store,
                                   const PictureSegmenter& segmenter,
                                   const Limits& limits)
    : engine_(engine), store_(store), segmenter_(segmenter), limits_(limits) {}

absl::StatusOr<v1::ExplainResponse> PictureExplainer::Run(
    const v1::ExplainRequest& request, const SegmentPlan& plan,
    absl::Time arrival, const CallControl& control) const {
  if (request.max_classes() < 0 || request.max_classes() > kMaxClasses) {
    return FieldError("max_classes",
                      absl::StrCat("max_classes is ", request.max_classes(),
                                   "; 0 to ", kMaxClasses, " are allowed"),
                      reasons::kInvalidField);
  }
  engine::ExplainTarget target;
  switch (request.target_case()) {
    case v1::ExplainRequest::kPoint:
      target.x = request.point().x();
      target.y = request.point().y();
      break;
    case v1::ExplainRequest::kClassName: {
      OVDIFF_ASSIGN_OR_RETURN(const store::ClassEntry* entry,
                              segmenter_.FindClass(plan, request.class_name()));
      target.label = entry->label;
      break;
    }
    case v1::ExplainRequest::TARGET_NOT_SET:
      return FieldError("target",
                        "there is nothing to explain; set point (a pixel) or "
                        "class_name",
                        reasons::kInvalidField);
  }
  OVDIFF_ASSIGN_OR_RETURN(const SegmentInput input,
                          segmenter_.Read(plan, request.image(), control));
  if (request.has_point()) {
    OVDIFF_RETURN_IF_ERROR(CheckPoint(request.point(), input.pixels));
  }
  const auto explanation = engine_.Explain(input.pixels, input.classes,
                                           plan.options, target, control);
  if (absl::IsNotFound(explanation.status())) {
    return PreconditionError(
        request.class_name(),
        absl::StrCat("class ", Quoted(request.class_name()), ": ",
                     explanation.status().message()),
        reasons::kClassFiltered);
  }
  OVDIFF_RETURN_IF_ERROR(explanation.status());
  v1::ExplainResponse response;
  Answer answer(plan, *explanation, &response);
  answer.AddClasses(
      request.max_classes() == 0 ? kDefaultClasses : request.max_classes(),
      target.label);
  OVDIFF_RETURN_IF_ERROR(answer.AddSources(store_, control));
  if (request.include_pictures()) {
    OVDIFF_RETURN_IF_ERROR(
        answer.AddPictures(engine_, store_, limits_, control));
  }
  *response.mutable_timing() =
      segmenter_.Timing(input, explanation->timings, arrival);
  return response;
}

}  // namespace ovdiff::server
