#include "engine/pipeline/explainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/map_upsampler.h"
#include "torch/types.h"

namespace ovdiff::engine {
namespace {

// The pixels of a map that the pixel (x, y) of the upsampled one is mixed of.
std::vector<PixelWeight> PlaceOf(const MapUpsampler& upsampler, int x, int y) {
  const MapUpsampler::Tap& column = upsampler.column(x);
  const MapUpsampler::Tap& row = upsampler.row(y);
  std::vector<PixelWeight> place;
  for (const auto& [map_y, share_y] :
       {std::pair{row.first, 1.0 - row.weight},
        std::pair{row.second, double{row.weight}}}) {
    for (const auto& [map_x, share_x] :
         {std::pair{column.first, 1.0 - column.weight},
          std::pair{column.second, double{column.weight}}}) {
      if (share_x * share_y > 0) {
        place.push_back({map_x, map_y, share_x * share_y});
      }
    }
  }
  return place;
}

// The matches of the vectors of one matrix, whose rows are `rows` [P].
void AddMatches(size_t class_index, const torch::Tensor& rows,
                const std::vector<float>& cosines,
                std::vector<PrototypeMatch>* matches) {
  const int64_t* index = rows.data_ptr<int64_t>();
  for (size_t i = 0; i < cosines.size(); ++i) {
    matches->push_back({class_index, index[i], cosines[i]});
  }
}

// Winner and runner-up of `matches`, if there are any.
void AddEvidence(const std::string& space, double score,
                 std::vector<PrototypeMatch> matches,
                 std::vector<SpaceEvidence>* evidence) {
  if (matches.empty()) {
    return;
  }
  const size_t count = std::min<size_t>(2, matches.size());
  std::partial_sort(matches.begin(), matches.begin() + count, matches.end(),
                    [](const PrototypeMatch& a, const PrototypeMatch& b) {
                      return std::tuple(-a.cosine, a.class_index, a.index) <
                             std::tuple(-b.cosine, b.class_index, b.index);
                    });
  SpaceEvidence& item = evidence->emplace_back();
  item.space = space;
  item.score = score;
  item.winner = matches[0];
  if (count > 1) {
    item.runner_up = matches[1];
  }
}

// One call.
class Explainer {
 public:
  Explainer(const ScoringParts& parts, const Image& image,
            absl::Span<const SegmentClass> classes,
            const SegmentOptions& options, const ExplainTarget& target,
            const CallControl& control)
      : image_(image),
        classes_(classes),
        target_(target),
        scores_(parts, image, classes, options, control) {}

  absl::StatusOr<Explanation> Run() {
    OVDIFF_RETURN_IF_ERROR(CheckTarget());
    OVDIFF_RETURN_IF_ERROR(scores_.Prepare());
    result_.kept = scores_.is_kept();
    const MapUpsampler upsampler(scores_.size().width, scores_.size().height,
                                 image_.width, image_.height);
    if (target_.label == 0) {
      result_.x = target_.x;
      result_.y = target_.y;
      scores_.Probe(PlaceOf(upsampler, result_.x, result_.y));
      OVDIFF_RETURN_IF_ERROR(scores_.Match());
      OVDIFF_RETURN_IF_ERROR(ScorePixel(upsampler));
    } else {
      OVDIFF_ASSIGN_OR_RETURN(const size_t kept_index, TargetClass());
      OVDIFF_RETURN_IF_ERROR(scores_.Match());
      OVDIFF_RETURN_IF_ERROR(FindPeak(upsampler, kept_index));
      OVDIFF_RETURN_IF_ERROR(ScorePixel(upsampler));
      scores_.Probe(PlaceOf(upsampler, result_.x, result_.y));
      OVDIFF_RETURN_IF_ERROR(scores_.MatchAgain());
    }
    CollectEvidence();
    Sort();
    result_.timings = scores_.timings();
    return std::move(result_);
  }

 private:
  absl::Status CheckTarget() const {
    if (target_.label != 0) {
      for (const SegmentClass& item : classes_) {
        if (item.label == target_.label) {
          return absl::OkStatus();
        }
      }
      return absl::InvalidArgumentError(
          absl::StrCat("no class of the call has label ", target_.label,
                       "; explain one of them, or a point"));
    }
    if (target_.x < 0 || target_.x >= image_.width || target_.y < 0 ||
        target_.y >= image_.height) {
      return absl::InvalidArgumentError(
          absl::StrCat("the point ", target_.x, ",", target_.y,
                       " is outside of the picture, which is ", image_.width,
                       "x", image_.height, ": x is 0 to ", image_.width - 1,
                       ", y is 0 to ", image_.height - 1));
    }
    return absl::OkStatus();
  }

  // Where the target's class is among the kept ones.
  absl::StatusOr<size_t> TargetClass() const {
    for (size_t i = 0; i < scores_.kept().size(); ++i) {
      if (classes_[scores_.kept()[i]].label == target_.label) {
        return i;
      }
    }
    return absl::NotFoundError(
        "the prefilter dropped the class: CLIP does not see it in the picture, "
        "so it has no pixel; switch the prefilter off, or explain a point");
  }

  absl::Status FindPeak(const MapUpsampler& upsampler, size_t kept_index) {
    const absl::Time start = absl::Now();
    std::vector<float> row(image_.width);
    float largest = -std::numeric_limits<float>::infinity();
    OVDIFF_RETURN_IF_ERROR(scores_.VisitClasses(
        kept_index, 1, [&](size_t, absl::Span<const float> map) {
          for (int y = 0; y < image_.height; ++y) {
            upsampler.Row(map, y, absl::MakeSpan(row));
            for (int x = 0; x < image_.width; ++x) {
              const float score = std::isfinite(row[x]) ? row[x] : 0.0f;
              if (score > largest) {
                largest = score;
                result_.x = x;
                result_.y = y;
              }
            }
          }
        }));
    scores_.timings().matching += absl::Now() - start;
    return absl::OkStatus();
  }

  // Background, then the kept classes, in their order, with their scores.
  absl::Status ScorePixel(const MapUpsampler& upsampler) {
    const absl::Time start = absl::Now();
    std::vector<float> row(image_.width);
    const auto score = [&](absl::Span<const float> map) {
      upsampler.Row(map, result_.y, absl::MakeSpan(row));
      return CountedScore(row[result_.x]);
    };
    result_.classes.assign(1 + scores_.kept().size(), {});
    OVDIFF_RETURN_IF_ERROR(
        scores_.VisitBackground([&](absl::Span<const float> map) {
          result_.classes[0].score = score(map);
        }));
    OVDIFF_RETURN_IF_ERROR(scores_.VisitClasses(
        0, scores_.kept().size(),
        [&](size_t kept_index, absl::Span<const float> map) {
          ExplainedClass& item = result_.classes[1 + kept_index];
          item.label = classes_[scores_.kept()[kept_index]].label;
          item.score = score(map);
        }));
    scores_.timings().matching += absl::Now() - start;
    return absl::OkStatus();
  }

  void CollectEvidence() {
    const std::vector<ProbeResult> probed = scores_.Probed();
    for (size_t space = 0; space < probed.size(); ++space) {
      const SpaceVectors& vectors = scores_.vectors()[space];
      const std::string& name = vectors.space->spec().name;
      std::vector<PrototypeMatch> matches;
      for (size_t i = 0; i < vectors.backgrounds.size(); ++i) {
        AddMatches(vectors.background_owners[i], vectors.background_rows[i],
                   probed[space].backgrounds[i], &matches);
      }
      AddEvidence(name, probed[space].background.value_or(0),
                  std::move(matches), &result_.classes[0].spaces);
      for (size_t i = 0; i < vectors.foregrounds.size(); ++i) {
        matches.clear();
        AddMatches(scores_.kept()[i], vectors.foreground_rows[i],
                   probed[space].foregrounds[i], &matches);
        AddEvidence(name, probed[space].scores[i], matches,
                    &result_.classes[1 + i].spaces);
      }
    }
  }

  // As labels are chosen: equal scores go to the lower label.
  void Sort() {
    std::stable_sort(result_.classes.begin(), result_.classes.end(),
                     [](const ExplainedClass& a, const ExplainedClass& b) {
                       return std::tuple(-a.score, a.label) <
                              std::tuple(-b.score, b.label);
                     });
  }

  const Image& image_;
  const absl::Span<const SegmentClass> classes_;
  const ExplainTarget& target_;
  PictureScores scores_;
  Explanation result_;
};

}  // namespace

absl::StatusOr<Explanation> ExplainPixel(const ScoringParts& parts,
                                         const Image& image,
                                         absl::Span<const SegmentClass> classes,
                                         const SegmentOptions& options,
                                         const ExplainTarget& target,
                                         const CallControl& control) {
  return Explainer(parts, image, classes, options, target, control).Run();
}

}  // namespace ovdiff::engine
