// The method's numbers as options. Defaults are the paper's (OVDiff, ECCV 2024;
// shared notes in method.md cite each); sizes that depend on the models come
// from the bundle, never from here. Plain data: anybody may copy and change it.
#ifndef OVDIFF_ENGINE_BASE_METHOD_OPTIONS_H_
#define OVDIFF_ENGINE_BASE_METHOD_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ovdiff {

enum class ClassKind : uint8_t { kThing = 0, kStuff = 1 };

// Painting the support pictures. Every field is part of the generator
// fingerprint except `batch_size`.
struct GenerationOptions {
  int num_pictures = 32;        // N, 1…256
  int num_steps = 30;           // denoising steps, 1…1000
  double guidance_scale = 8.0;  // s; guidance is on when s > 1
  std::string prompt_template = "A good picture of a {}";  // {} is the class
  std::string negative_prompt =
      "text, low quality, blurry, cartoon, meme, low resolution, bad, poor, "
      "faded";
  uint64_t seed =
      42;  // one CPU generator per class; picture i takes the i-th draw
  std::string noise_dtype = "float32";  // or "float16" (the official run's)
  // DPM-Solver++ end point, named as diffusers': "sigma_min" (the official
  // run's) or "zero".
  std::string final_sigmas_type = "sigma_min";
  // Rounds of refining attribution maps by the UNet's self-attention, 0…8; 0:
  // none, as in the paper. Beyond the paper.
  int self_attention_rounds = 0;
  int batch_size = 8;  // pictures per denoising call; does not change results
};

// Object masks out of DINO features (MaskCut: Wang et al., CVPR 2023; the
// numbers are those of its runs on ViT-B/8).
struct MaskCutOptions {
  // Cells whose keys' cosine is above this resemble each other. -1…1, both
  // excluded.
  double affinity_threshold = 0.15;
  int max_masks = 3;  // per picture, 1…16
};

// Where the masks of support pictures come from: PrototypeOptions::mask_source.
inline constexpr char kAttentionMasks[] = "attention";
inline constexpr char kMaskCutMasks[] = "maskcut";
inline constexpr char kCutlerMasks[] = "cutler";

// CutLER's detector (Wang et al., CVPR 2023), Cascade Mask R-CNN.
struct CutlerOptions {
  double score_threshold = 0.35;  // detections above it propose masks, 0…1
  int max_detections = 100;       // per picture, 1…1000
};

// When a feature cell is inside a mask: PrototypeOptions::cell_rule.
inline constexpr char kCoverageCells[] = "coverage";
inline constexpr char kBilinearCells[] = "bilinear";

// From support set to prototype set. Every field is part of the encoder
// fingerprint; those of `maskcut` and `cutler` where they are the mask source.
struct PrototypeOptions {
  int num_parts = 32;  // K of K-means per side, 1…256
  int kmeans_max_iterations = 300;
  uint64_t kmeans_seed = 0;
  // kAttentionMasks: thresholds on the attribution maps by multi-Otsu (the
  // paper's variant without CutLER). kMaskCutMasks, kCutlerMasks: objects that
  // MaskCut or CutLER finds, chosen by their mean attribution; for bundles that
  // say what cuts, or have CutLER's weights.
  std::string mask_source = kAttentionMasks;
  MaskCutOptions maskcut;
  CutlerOptions cutler;
  int otsu_bins = 256;
  // Attribution thresholds (0…1) where multi-Otsu has no answer (flat maps).
  // Where masks are proposed: background is only below the first; a picture
  // without a proposal has background below the first, foreground above the
  // second.
  double fallback_background = 0.2;
  double fallback_foreground = 0.5;
  // Where masks are proposed: the object that is chosen loses what has
  // attribution below `fallback_background`; one that covers less than half of
  // what multi-Otsu calls foreground is not believed, and that is the
  // foreground instead. Beyond the paper.
  bool cut_by_attribution = false;
  // kCoverageCells: a feature cell is inside a mask when at least
  // `min_cell_coverage` of its area is. kBilinearCells: when bilinear resizing
  // of the mask to the cells leaves anything there (the official program).
  std::string cell_rule = kCoverageCells;
  double min_cell_coverage = 0.5;
  // Share of the pictures, 0 up to but not 1, that CLIP finds least like
  // "a {class}"; they are left out. Beyond the paper.
  double prune_share = 0.0;
  // Features are brought to length 1 before means and K-means, so that no
  // picture counts more for its loud features. Beyond the paper.
  bool normalize_features = false;
  uint64_t noise_seed = 43;  // forward noise of the diffusion features
  // The noise of the VAE's sample is the forward noise, and the same for every
  // picture (the official program), instead of draws of their own.
  bool shared_noise = false;
  std::vector<std::string> spaces;  // empty: all but optional ones
};

struct PrefilterOptions {
  bool enabled = true;
  int max_classes = 10;  // eta, 1…12: subsets tried are 2^eta - 1
  // Subsets read "a X and a Y" (the official program); else "X and Y" (the
  // paper).
  bool articles = true;
};

struct WindowOptions {
  // Pixels after the short side became `short_side`; 0 or empty: the bundle's
  // (448; 448 and 336; 224 for Stable Diffusion 1.5).
  int short_side = 0;
  std::vector<int> sizes;
  int stride = 0;
  bool whole_picture = true;
};

// Which background prototypes take part (method.md section 8). Nothing stored
// depends on it: it looks at the classes of one call.
struct StuffFilterOptions {
  // Stuff classes bring no background prototypes, and those of the things that
  // look like stuff of the same call are left out. Off: all take part.
  bool enabled = true;
  // Left out: cosine above this to any foreground prototype of a stuff class.
  double threshold = 0.85;
  // So are foreground prototypes of things, unless none would be left: a
  // thing's mask often holds some of what is around it. Beyond the paper.
  bool foreground = false;
};

// Pixel-adaptive mask refinement (Araslanov & Roth, CVPR 2020) of the fused
// score maps, guided by the working picture (method.md section 9).
struct PamrOptions {
  bool enabled = false;
  int iterations = 10;                                // 1…50
  std::vector<int> dilations = {1, 2, 4, 8, 12, 24};  // pixels, 1…64 each
};

// Comparing a picture with prototypes.
struct SegmentOptions {
  std::vector<std::string> spaces;  // empty: all that the classes have
  // What each space's scores count in the mean, above 0 to 100, by name; 1 for
  // spaces that are not named. Beyond the paper, where all count the same.
  std::map<std::string, double> space_weights;
  bool use_background = true;  // background prototypes
  // Without background prototypes: the score that background has everywhere.
  double background_threshold = 0.72;
  // Prototype levels that take part.
  bool use_class_level = true;
  bool use_instance_level = true;
  bool use_part_level = true;
  StuffFilterOptions stuff_filter;
  PrefilterOptions prefilter;
  WindowOptions windows;
  PamrOptions pamr;
  uint64_t noise_seed = 43;  // forward noise of the diffusion features
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_METHOD_OPTIONS_H_
