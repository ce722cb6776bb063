// Bundle: which model folders play which part, and the sizes that go with
// them. The file is described in deploy/bundles/README.md. Torch-free.
#ifndef OVDIFF_ENGINE_BUNDLE_BUNDLE_H_
#define OVDIFF_ENGINE_BUNDLE_BUNDLE_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"

namespace ovdiff::engine {

// The version of bundle.json that this code reads.
inline constexpr int kBundleFormat = 1;

enum class SpaceType {
  kStableDiffusion,  // Cross-attention queries of the bundle's diffusion model.
  kVit,              // Keys of a timm/DINO vision transformer.
  kClipVision,       // Keys of the vision tower of a transformers CLIPModel.
};

// How a position table of another grid is stretched (networks.md section 2).
enum class PositionRule {
  kScaleOffset,  // DINO, OVDiff: scale factor (grid + 0.1) / trained grid.
  kSize,         // Hugging Face: to the size of the grid.
};

// How a crop becomes a network's input.
struct InputSize {
  enum class Fit {
    kSquash,  // To size x size, whatever its shape.
    kKeep,    // As it is, while short side <= size and long side <= max_size;
              // else shrunk, shape kept, until both hold.
  };
  Fit fit = Fit::kSquash;
  int size = 0;      // pixels
  int max_size = 0;  // pixels; kKeep only
};

// (x - mean) / deviation for x in 0…1, per RGB channel.
struct Normalization {
  std::array<double, 3> mean{};
  std::array<double, 3> deviation{};
};

struct SpaceSpec {
  std::string name;
  SpaceType type = SpaceType::kVit;
  // Prototypes are made in it only where a request or profile asks for it.
  bool optional = false;
  std::string folder;  // The diffusion folder for kStableDiffusion.
  InputSize support;   // Input made of a support picture; always kSquash.
  InputSize window;    // Input made of a window of a photo.
  // kStableDiffusion: the attention blocks whose cross-attention queries are
  // taken ("mid_block.attentions.0"), in any order; the timestep whose noise is
  // added, and the text that conditions the pass.
  std::vector<std::string> layers;
  int timestep = 0;
  std::string prompt;
  // kVit, kClipVision: the block whose keys are taken, negative from the end.
  int layer = 0;
  Normalization normalization;
  PositionRule position_rule = PositionRule::kScaleOffset;
};

// The CLIP that decides which classes may be in a picture at all.
struct PrefilterSpec {
  std::string folder;     // A transformers CLIPModel.
  std::string tokenizer;  // Folder with its vocab.json and merges.txt.
  // The picture is first squashed (Lanczos) to a square of this side, then
  // (bilinear, without antialias) to input_size: the official order.
  int intermediate_size = 0;
  int input_size = 0;
  Normalization normalization;
};

// What MaskCut cuts pictures with, where the bundle offers it.
struct MaskCutSpec {
  std::string space;   // A kVit space: its network, block and normalisation.
  int input_size = 0;  // Pictures are squashed (Lanczos) to this side, pixels,
                       // rounded to whole patches.
};

// CutLER's detector, where the bundle has it. Not loaded otherwise.
struct CutlerSpec {
  std::string folder;  // config.json (CascadeRcnnConfig) and weights
  // A picture is resized (bilinear, without antialias) until its short side is
  // the first, but its long side not above the second; pixels.
  int short_side = 0;
  int max_long_side = 0;
  Normalization normalization;
};

struct Bundle {
  std::string folder;
  std::string name;
  std::string license;
  std::string diffusion_folder;  // In the layout of a diffusers pipeline.
  int picture_size = 0;          // Side of a support picture, pixels.
  std::string cuda_dtype =
      "float16";                  // Precision on CUDA; the CPU has float32.
  std::vector<SpaceSpec> spaces;  // In fusion order; names distinct.
  PrefilterSpec prefilter;
  std::optional<MaskCutSpec> maskcut;
  std::optional<CutlerSpec> cutler;
  WindowOptions windows;  // All numbers set.
  int max_long_side = 0;  // A longer picture is squashed to this, pixels.
  // The method's defaults after the bundle's overrides.
  GenerationOptions generation;
  PrototypeOptions prototype;
  SegmentOptions segment;

  // What `prototype.spaces` is where nobody says otherwise: empty, which means
  // all, unless some are optional.
  std::vector<std::string> DefaultSpaces() const;

  // Null if there is no such space.
  const SpaceSpec* FindSpace(const std::string& space) const;
};

// Reads <folder>/bundle.json. Fails with
//   kNotFound            no such folder or file, or a model folder that it
//   names kFailedPrecondition  not JSON, another format, an unknown key or a
//   value
//                        that is not allowed; the message says what is
absl::StatusOr<Bundle> ReadBundle(const std::string& folder);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_BUNDLE_H_
