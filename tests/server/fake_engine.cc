#include "tests/server/fake_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"

namespace ovdiff::server {
namespace {

constexpr int kPictureSize = 16;
constexpr char kSpace[] = "rgb";
// Nearer than this (of 0…1 per channel) is foreground.
constexpr double kNear = 0.35;

struct Loaded final : engine::LoadedPrototypes {
  std::vector<float> colour;
  std::vector<float> background;  // Three values a colour.
  int64_t size_bytes() const override { return 1000; }
};

// The largest difference of a pixel's channels, 0…1, and a colour's.
double Distance(const uint8_t* rgb, const float* colour) {
  double distance = 0;
  for (int c = 0; c < 3; ++c) {
    distance = std::max(distance, std::abs(rgb[c] / 255.0 - double{colour[c]}));
  }
  return distance;
}

bool SaysNothing(const AttributionMap& map) {
  return std::all_of(map.data.begin(), map.data.end(),
                     [](float value) { return value == 0; });
}

// Raises a counter while it lives, and the peak it reached.
class Running {
 public:
  Running(std::atomic<int>& count, std::atomic<int>& peak) : count_(count) {
    const int now = ++count_;
    int seen = peak.load();
    while (seen < now && !peak.compare_exchange_weak(seen, now)) {
    }
  }
  ~Running() { --count_; }

 private:
  std::atomic<int>& count_;
};

}  // namespace

uint32_t PromptColour(const std::string& prompt) {
  const std::pair<const char*, uint32_t> kWords[] = {{"red", 0xE02020},
                                                     {"green", 0x20C020},
                                                     {"blue", 0x2020E0},
                                                     {"yellow", 0xE0E020},
                                                     {"white", 0xF8F8F8}};
  for (const auto word : absl::StrSplit(prompt, ' ')) {
    for (const auto& [name, colour] : kWords) {
      if (word == name) {
        return colour;
      }
    }
  }
  const Sha256Digest digest = Sha256Of(prompt);
  return (uint32_t{digest[0]} << 16) | (uint32_t{digest[1]} << 8) | digest[2];
}

FakeEngine::FakeEngine(std::string bundle) {
  info_.device = "cpu";
  info_.device_name = "a fake";
  info_.bundle_name = std::move(bundle);
  info_.bundle_license = "MIT";
  info_.spaces = {kSpace};
  info_.picture_size = kPictureSize;
  info_.windows = {64, {32}, 16, true};
  info_.generation.num_pictures = 3;
  info_.generation.num_steps = 4;
  MethodProfile standard;
  standard.name = "default";
  standard.description = "the fake's own";
  standard.generation = info_.generation;
  standard.prototype = info_.prototype;
  standard.segment = info_.segment;
  MethodProfile quick = standard;
  quick.name = "quick";
  quick.generation.num_steps = 2;
  quick.segment.pamr.enabled = true;
  MethodProfile heavy = standard;
  heavy.name = "heavy";
  heavy.unavailable = "the fake has no heavy weights";
  heavy.prototype.num_parts = 1000;
  info_.profiles = {standard, heavy, quick};
  info_.default_profile = "default";
}

engine::EngineStats FakeEngine::stats() const {
  engine::EngineStats stats;
  stats.batches = num_segmented;
  stats.batched_windows = int64_t{2} * num_segmented;
  return stats;
}

absl::Status FakeEngine::Validate(const GenerationOptions& options) const {
  if (options.guidance_scale < 0) {
    return absl::InvalidArgumentError("guidance_scale is negative");
  }
  return absl::OkStatus();
}

absl::Status FakeEngine::Validate(const PrototypeOptions& options) const {
  if (options.num_parts < 1 || options.num_parts > 256) {
    return absl::InvalidArgumentError(absl::StrCat(
        "num_parts is ", options.num_parts, "; 1 to 256 are allowed"));
  }
  return absl::OkStatus();
}

absl::Status FakeEngine::Validate(const SegmentOptions& options) const {
  for (const std::string& space : options.spaces) {
    if (space != kSpace) {
      return absl::InvalidArgumentError(
          absl::StrCat("spaces has \"", space, "\"; \"rgb\" is allowed"));
    }
  }
  return absl::OkStatus();
}

absl::Status FakeEngine::ValidatePrompt(const std::string& prompt,
                                        const GenerationOptions&) const {
  const std::vector<std::string> words = absl::StrSplit(prompt, ' ');
  if (words.size() > 20) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", words.size(), " tokens; 20 fit"));
  }
  return absl::OkStatus();
}

Sha256Digest FakeEngine::GeneratorFingerprint(
    const GenerationOptions& options) const {
  return Sha256Of(absl::StrCat(
      info_.bundle_name, "/", options.num_pictures, "/", options.num_steps, "/",
      options.seed, "/", options.guidance_scale, "/", options.prompt_template));
}

Sha256Digest FakeEngine::EncoderFingerprint(
    const PrototypeOptions& options) const {
  const Sha256Digest networks =
      Sha256Of(absl::StrCat(info_.bundle_name, "/networks"));
  Sha256Digest fingerprint =
      Sha256Of(absl::StrCat(info_.bundle_name, "/encoder/", options.num_parts,
                            "/", options.mask_source));
  std::copy_n(networks.begin(), engine::kNetworkBytes, fingerprint.begin());
  return fingerprint;
}

absl::StatusOr<SupportSet> FakeEngine::PaintSupportSet(
    const std::string& prompt, const GenerationOptions& options,
    const CallControl& control, const engine::ProgressCallback& progress) {
  ++num_painted;
  for (int step = 0; step < options.num_steps; ++step) {
    OVDIFF_RETURN_IF_ERROR(paint_gate.Pass(control));
    progress({engine::BuildStage::kPainting, 0, options.num_pictures,
              int64_t{step + 1} * options.num_pictures,
              int64_t{options.num_steps} * options.num_pictures});
  }
  if (absl::StrContains(prompt, "unpaintable")) {
    return absl::InternalError(
        "the UNet of /srv/models/fake/unet.safetensors gave NaN");
  }
  const uint32_t colour = absl::StrContains(prompt, "invisible")
                              ? 0
                              : PromptColour(prompt) | 0x010101;
  SupportSet support;
  for (int i = 0; i < options.num_pictures; ++i) {
    SupportPicture& picture = support.pictures.emplace_back();
    picture.image = {kPictureSize, kPictureSize, {}};
    for (int pixel = 0; pixel < kPictureSize * kPictureSize; ++pixel) {
      for (const int shift : {16, 8, 0}) {
        picture.image.data.push_back(static_cast<uint8_t>(colour >> shift));
      }
    }
    picture.attribution = {2, 2, {0.0f, 0.25f, 0.5f, 1.0f}};
    progress(
        {engine::BuildStage::kDecoding, i + 1, options.num_pictures, 0, 0});
  }
  return support;
}

absl::StatusOr<PrototypeSet> FakeEngine::BuildPrototypeSet(
    const SupportSet& support, const PrototypeOptions&,
    const CallControl& control, const engine::ProgressCallback& progress) {
  OVDIFF_RETURN_IF_ERROR(control.Check());
  ++num_encoded;
  std::vector<float> sums(3, 0.0f);
  size_t pixels = 0;
  int done = 0;
  for (const SupportPicture& picture : support.pictures) {
    const bool has_mask = !picture.mask.empty();
    for (size_t i = 0; i < picture.image.data.size() / 3; ++i) {
      if (has_mask ? picture.mask[i] == 0 : SaysNothing(picture.attribution)) {
        continue;
      }
      for (size_t c = 0; c < 3; ++c) {
        sums[c] += static_cast<float>(picture.image.data[3 * i + c]);
      }
      ++pixels;
    }
    progress({engine::BuildStage::kEncoding, ++done,
              static_cast<int>(support.pictures.size()), 0, 0});
  }
  if (pixels == 0 || sums[0] + sums[1] + sums[2] == 0.0f) {
    return absl::FailedPreconditionError("no picture has a foreground");
  }
  for (float& sum : sums) {
    sum /= 255.0f * static_cast<float>(pixels);
  }
  FeatureSpacePrototypes space;
  space.space = kSpace;
  space.dim = 3;
  // All pictures are of one colour: their mean is that of the first.
  space.foreground = {sums, {PrototypeLevel::kInstance}, {0}};
  return PrototypeSet{{space}};
}

absl::StatusOr<std::vector<double>> FakeEngine::CompareWithNames(
    const Image& picture, absl::Span<const std::string> names,
    const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(control.Check());
  std::vector<double> cosines;
  for (const std::string& name : names) {
    if (absl::StrContains(name, "unnameable")) {
      return absl::InternalError("CLIP gave NaN");
    }
    const uint32_t rgb = PromptColour(name);
    const float colour[] = {static_cast<float>(rgb >> 16) / 255,
                            static_cast<float>(rgb >> 8 & 255) / 255,
                            static_cast<float>(rgb & 255) / 255};
    cosines.push_back(1 - Distance(picture.data.data(), colour));
  }
  return cosines;
}

absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>>
FakeEngine::LoadPrototypes(const PrototypeSet& set) {
  if (set.spaces.size() != 1 || set.spaces[0].space != kSpace ||
      set.spaces[0].dim != 3) {
    return absl::FailedPreconditionError("vectors of another bundle");
  }
  ++num_loaded;
  auto loaded = std::make_shared<Loaded>();
  loaded->colour = set.spaces.at(0).foreground.values;
  loaded->background = set.spaces.at(0).background.values;
  return std::shared_ptr<const engine::LoadedPrototypes>(std::move(loaded));
}

absl::StatusOr<engine::Segmentation> FakeEngine::Segment(
    const Image& image, absl::Span<const engine::SegmentClass> classes,
    const SegmentOptions&, const CallControl& control) {
  const Running running(running_segments_, max_concurrent_segments);
  OVDIFF_RETURN_IF_ERROR(segment_gate.Pass(control));
  ++num_segmented;
  engine::Segmentation out;
  out.num_windows = 2;
  out.labels = {image.width, image.height, {}};
  for (const engine::SegmentClass& one : classes) {
    out.classes.push_back({one.label, true, 0, 0, 0});
  }
  for (size_t pixel = 0; pixel < image.data.size() / 3; ++pixel) {
    const uint8_t* rgb = &image.data[3 * pixel];
    size_t best = classes.size();
    double best_distance = kNear;
    for (size_t i = 0; i < classes.size(); ++i) {
      const auto& colour =
          static_cast<const Loaded&>(*classes[i].prototypes).colour;
      const double distance = Distance(rgb, colour.data());
      engine::ClassResult& result = out.classes[i];
      result.max_score = std::max(result.max_score, 1.0 - distance);
      if (distance < best_distance) {
        best_distance = distance;
        best = i;
      }
    }
    bool is_background = best == classes.size();
    for (const engine::SegmentClass& one : classes) {
      const auto& background =
          static_cast<const Loaded&>(*one.prototypes).background;
      for (size_t i = 0; i + 2 < background.size(); i += 3) {
        is_background |= Distance(rgb, &background[i]) < best_distance;
      }
    }
    out.labels.data.push_back(is_background ? 0 : classes[best].label);
    if (!is_background) {
      ++out.classes[best].pixel_count;
      out.classes[best].mean_score = 1.0;
    }
  }
  return out;
}

absl::StatusOr<std::vector<AttributionMap>> FakeEngine::AttributePictures(
    const std::string& /*prompt*/, absl::Span<const Image> pictures,
    const GenerationOptions& /*options*/, const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(control.Check());
  std::vector<AttributionMap> maps;
  for (const Image& picture : pictures) {
    ++num_attributed;
    const bool is_black = std::all_of(picture.data.begin(), picture.data.end(),
                                      [](uint8_t value) { return value == 0; });
    maps.push_back({2, 2,
                    is_black ? std::vector<float>(4, 0.0f)
                             : std::vector<float>{0.0f, 0.25f, 0.5f, 1.0f}});
  }
  return maps;
}

absl::StatusOr<std::vector<engine::PictureMasks>> FakeEngine::MakePictureMasks(
    const SupportSet& support, absl::Span<const int> wanted,
    const PrototypeOptions& /*options*/, const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(control.Check());
  ++num_mask_sets;
  engine::PictureMasks halves{
      .side = kPictureSize, .foreground = {}, .background = {}};
  for (int i = 0; i < kPictureSize * kPictureSize; ++i) {
    const bool is_left = i % kPictureSize < kPictureSize / 2;
    halves.foreground.push_back(is_left ? 1 : 0);
    halves.background.push_back(is_left ? 0 : 1);
  }
  for (const int index : wanted) {
    if (index < 0 || index >= static_cast<int>(support.pictures.size())) {
      return absl::InvalidArgumentError(absl::StrCat("no picture ", index));
    }
  }
  return std::vector<engine::PictureMasks>(wanted.size(), halves);
}

absl::StatusOr<engine::Explanation> FakeEngine::Explain(
    const Image& image, absl::Span<const engine::SegmentClass> classes,
    const SegmentOptions& options, const engine::ExplainTarget& target,
    const CallControl& control) {
  OVDIFF_RETURN_IF_ERROR(segment_gate.Pass(control));
  engine::Explanation out;
  out.x = target.label == 0 ? target.x : 0;
  out.y = target.label == 0 ? target.y : 0;
  out.classes.push_back({.label = 0, .score = 1.0 - kNear, .spaces = {}});
  for (size_t i = 0; i < classes.size(); ++i) {
    out.kept.push_back(!options.prefilter.enabled ||
                       !absl::StrContains(classes[i].name, "unseen"));
    if (!out.kept[i]) {
      if (classes[i].label == target.label) {
        return absl::NotFoundError("the prefilter dropped the class");
      }
      continue;
    }
    const auto& colour =
        static_cast<const Loaded&>(*classes[i].prototypes).colour;
    const size_t at = 3 * (static_cast<size_t>(out.y) * image.width + out.x);
    const double score = 1.0 - Distance(&image.data[at], colour.data());
    out.classes.push_back(
        {.label = classes[i].label,
         .score = score,
         .spaces = {{.space = kSpace,
                     .score = score,
                     .winner = {.class_index = i, .index = 0, .cosine = score},
                     .runner_up = std::nullopt}}});
  }
  std::stable_sort(
      out.classes.begin(), out.classes.end(),
      [](const auto& a, const auto& b) { return a.score > b.score; });
  return out;
}

}  // namespace ovdiff::server
