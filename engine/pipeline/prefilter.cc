#include "engine/pipeline/prefilter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/clip_agreement.h"
#include "engine/pipeline/subset_search.h"
#include "engine/runners/prompt_tokens.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

constexpr size_t kTextCacheBytes = size_t{64} << 20;
// Texts of one quantum: other requests' windows wait for no more than these.
constexpr size_t kTextsPerQuantum = 64;

std::shared_ptr<const Embedding> ToEmbedding(const torch::Tensor& row) {
  const torch::Tensor values = row.to(torch::kCPU).contiguous();
  const float* data = values.data_ptr<float>();
  return std::make_shared<const Embedding>(data, data + values.numel());
}

// Indices of the things, in byte order of their names.
std::vector<size_t> ThingsByName(absl::Span<const SegmentClass> classes) {
  std::vector<size_t> things;
  for (size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].kind == ClassKind::kThing) {
      things.push_back(i);
    }
  }
  std::stable_sort(things.begin(), things.end(), [&](size_t a, size_t b) {
    return classes[a].name < classes[b].name;
  });
  return things;
}

// Stage 1's text.
std::string Single(const std::string& name) { return absl::StrCat("a ", name); }

}  // namespace

Prefilter::Prefilter(const PrefilterSpec& spec, const ModelSet& models,
                     ComputeDevice& device, DeviceScheduler& scheduler)
    : spec_(spec),
      models_(models),
      device_(device),
      scheduler_(scheduler),
      cache_(kTextCacheBytes) {}

absl::Status Prefilter::OnDevice(absl::FunctionRef<absl::Status()> work,
                                 Turns& turns) {
  absl::Duration waited;
  absl::Status status = turns.bulk
                            ? scheduler_.RunBulk(work, turns.control, &waited)
                            : scheduler_.Run(work, turns.control, &waited);
  turns.queued += waited;
  return status;
}

absl::StatusOr<Embedding> Prefilter::EmbedPicture(const Image& image,
                                                  Turns& turns) {
  OVDIFF_ASSIGN_OR_RETURN(const Image squashed, SquashForClip(image, spec_));
  std::shared_ptr<const Embedding> embedding;
  OVDIFF_RETURN_IF_ERROR(OnDevice(
      [&] {
        return device_.ForEach(1, [&](int64_t) {
          embedding = ToEmbedding(
              EmbedForClip(squashed, spec_, models_, device_.device()));
          return absl::OkStatus();
        });
      },
      turns));
  return *embedding;
}

// Texts of equal length share calls, without padding.
absl::Status Prefilter::EmbedOnDevice(
    absl::Span<const std::string> texts,
    absl::Span<std::shared_ptr<const Embedding>> out) {
  std::map<size_t, std::vector<size_t>> by_length;
  std::vector<std::vector<int64_t>> ids;
  for (size_t i = 0; i < texts.size(); ++i) {
    OVDIFF_ASSIGN_OR_RETURN(auto tokens,
                            UnpaddedIds(*models_.prefilter_tokenizer, texts[i],
                                        models_.prefilter->context_length()));
    ids.push_back(std::move(tokens));
    by_length[ids.back().size()].push_back(i);
  }
  std::vector<std::vector<size_t>> calls;
  for (const auto& [length, group] : by_length) {
    const auto step = static_cast<size_t>(
        device_.samples_per_call(static_cast<int64_t>(group.size())));
    for (size_t first = 0; first < group.size(); first += step) {
      const size_t last = std::min(first + step, group.size());
      calls.emplace_back(group.begin() + static_cast<int64_t>(first),
                         group.begin() + static_cast<int64_t>(last));
    }
  }
  return device_.ForEach(static_cast<int64_t>(calls.size()), [&](int64_t call) {
    std::vector<std::vector<int64_t>> batch;
    for (const size_t i : calls[call]) {
      batch.push_back(ids[i]);
    }
    const torch::Tensor rows = models_.prefilter->EmbedTexts(batch);
    for (size_t row = 0; row < batch.size(); ++row) {
      out[calls[call][row]] = ToEmbedding(rows[static_cast<int64_t>(row)]);
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Prefilter::Embeddings> Prefilter::EmbedTexts(
    const std::vector<std::string>& texts, Turns& turns) {
  Embeddings result(texts.size());
  std::vector<size_t> missing;
  for (size_t i = 0; i < texts.size(); ++i) {
    result[i] = cache_.Find(texts[i]);
    if (result[i] == nullptr) {
      missing.push_back(i);
    }
  }
  for (size_t first = 0; first < missing.size(); first += kTextsPerQuantum) {
    const size_t count = std::min(kTextsPerQuantum, missing.size() - first);
    std::vector<std::string> batch;
    for (size_t i = 0; i < count; ++i) {
      batch.push_back(texts[missing[first + i]]);
    }
    Embeddings embedded(count);
    OVDIFF_RETURN_IF_ERROR(OnDevice(
        [&] { return EmbedOnDevice(batch, absl::MakeSpan(embedded)); }, turns));
    for (size_t i = 0; i < count; ++i) {
      cache_.Insert(batch[i], embedded[i]);
      result[missing[first + i]] = std::move(embedded[i]);
    }
  }
  return result;
}

absl::StatusOr<std::vector<double>> Prefilter::Cosines(
    const Embedding& picture, const std::vector<std::string>& texts,
    Turns& turns) {
  OVDIFF_ASSIGN_OR_RETURN(const Embeddings embeddings,
                          EmbedTexts(texts, turns));
  std::vector<double> cosines;
  cosines.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const double cosine = std::inner_product(picture.begin(), picture.end(),
                                             embeddings[i]->begin(), 0.0);
    if (!std::isfinite(cosine)) {
      return absl::InternalError(absl::StrCat(
          "the prefilter's similarity to \"", texts[i], "\" is not finite"));
    }
    cosines.push_back(cosine);
  }
  return cosines;
}

absl::StatusOr<std::vector<double>> Prefilter::CompareWithNames(
    const Image& image, absl::Span<const std::string> names,
    const CallControl& control) {
  Turns turns{.control = control, .bulk = true};
  OVDIFF_ASSIGN_OR_RETURN(const Embedding picture, EmbedPicture(image, turns));
  std::vector<std::string> singles;
  for (const std::string& name : names) {
    singles.push_back(Single(name));
  }
  return Cosines(picture, singles, turns);
}

absl::StatusOr<std::vector<bool>> Prefilter::Keep(
    const Image& image, absl::Span<const SegmentClass> classes,
    const PrefilterOptions& options, const CallControl& control,
    absl::Duration* queued) {
  Turns turns{.control = control};
  auto kept = KeepInTurns(image, classes, options, turns);
  *queued += turns.queued;
  return kept;
}

absl::StatusOr<std::vector<bool>> Prefilter::KeepInTurns(
    const Image& image, absl::Span<const SegmentClass> classes,
    const PrefilterOptions& options, Turns& turns) {
  const std::vector<size_t> things = ThingsByName(classes);
  std::vector<bool> kept(classes.size(), true);
  // One class cannot be filtered out: it would be kept whatever the picture.
  if (!options.enabled || things.size() <= 1) {
    return kept;
  }
  OVDIFF_ASSIGN_OR_RETURN(const Embedding picture, EmbedPicture(image, turns));
  std::vector<std::string> singles;
  for (const size_t thing : things) {
    kept[thing] = false;
    singles.push_back(Single(classes[thing].name));
  }
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<double> cosines,
                          Cosines(picture, singles, turns));
  const std::vector<size_t> likely =
      LikelyClasses(cosines, static_cast<size_t>(options.max_classes));
  std::vector<std::string> names;
  for (const size_t i : likely) {
    names.push_back(classes[things[i]].name);
  }
  const Subsets subsets = ListSubsets(names, options.articles);
  OVDIFF_ASSIGN_OR_RETURN(const std::vector<double> fits,
                          Cosines(picture, subsets.texts, turns));
  const auto best = static_cast<size_t>(
      std::max_element(fits.begin(), fits.end()) - fits.begin());
  for (const size_t member : subsets.members[best]) {
    kept[things[likely[member]]] = true;
  }
  return kept;
}

}  // namespace ovdiff::engine
