// FakeEngine: the engine's contract without networks. A class is a colour: its
// prompt names it ("red boat"), its pictures show it, its prototype is their
// mean colour, and a pixel belongs to the class of the nearest colour. So masks
// can be told right from wrong, and answers do not depend on what else runs. A
// picture's mask says which of its pixels count; a pixel nearer to a background
// prototype than to any class is background.
#ifndef OVDIFF_TESTS_SERVER_FAKE_ENGINE_H_
#define OVDIFF_TESTS_SERVER_FAKE_ENGINE_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/server/gate.h"

namespace ovdiff::server {

class FakeEngine final : public engine::Engine {
 public:
  // `bundle` enters the fingerprints.
  explicit FakeEngine(std::string bundle = "fake");

  // Painting passes here once per step, Segment once per call.
  Gate paint_gate;
  Gate segment_gate;
  // Prompts with this word fail: "unpaintable" with kInternal when painted,
  // "invisible" with kFailedPrecondition when encoded.
  std::atomic<int> num_painted{0};
  std::atomic<int> num_encoded{0};
  // Given pictures, of which black ones have maps of zeros.
  std::atomic<int> num_attributed{0};
  std::atomic<int> num_mask_sets{0};
  std::atomic<int> num_loaded{0};
  std::atomic<int> num_segmented{0};
  std::atomic<int> max_concurrent_segments{0};

  const engine::EngineInfo& info() const override { return info_; }
  engine::EngineStats stats() const override;
  absl::Status Validate(const GenerationOptions& options) const override;
  absl::Status Validate(const PrototypeOptions& options) const override;
  absl::Status Validate(const SegmentOptions& options) const override;
  absl::Status ValidatePrompt(const std::string& prompt,
                              const GenerationOptions& options) const override;
  Sha256Digest GeneratorFingerprint(
      const GenerationOptions& options) const override;
  Sha256Digest EncoderFingerprint(
      const PrototypeOptions& options) const override;
  absl::StatusOr<SupportSet> PaintSupportSet(
      const std::string& prompt, const GenerationOptions& options,
      const CallControl& control,
      const engine::ProgressCallback& progress) override;
  absl::StatusOr<PrototypeSet> BuildPrototypeSet(
      const SupportSet& support, const PrototypeOptions& options,
      const CallControl& control,
      const engine::ProgressCallback& progress) override;
  // The left half is foreground, the right half background.
  absl::StatusOr<std::vector<engine::PictureMasks>> MakePictureMasks(
      const SupportSet& support, absl::Span<const int> wanted,
      const PrototypeOptions& options, const CallControl& control) override;
  // The more alike the picture's first pixel and the name's colour; names with
  // the word "unnameable" fail with kInternal.
  absl::StatusOr<std::vector<double>> CompareWithNames(
      const Image& picture, absl::Span<const std::string> names,
      const CallControl& control) override;
  absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>>
  LoadPrototypes(const PrototypeSet& set) override;
  absl::StatusOr<engine::Segmentation> Segment(
      const Image& image, absl::Span<const engine::SegmentClass> classes,
      const SegmentOptions& options, const CallControl& control) override;
  absl::StatusOr<std::vector<AttributionMap>> AttributePictures(
      const std::string& prompt, absl::Span<const Image> pictures,
      const GenerationOptions& options, const CallControl& control) override;
  // By colour as Segment(); the winner is the class's only vector.
  // The prefilter drops classes whose name has the word "unseen".
  absl::StatusOr<engine::Explanation> Explain(
      const Image& image, absl::Span<const engine::SegmentClass> classes,
      const SegmentOptions& options, const engine::ExplainTarget& target,
      const CallControl& control) override;

 private:
  engine::EngineInfo info_;
  std::atomic<int> running_segments_{0};
};

// 0xRRGGBB of a prompt: by its first colour word (red, green, blue, yellow,
// white), else by its hash.
uint32_t PromptColour(const std::string& prompt);

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_FAKE_ENGINE_H_
