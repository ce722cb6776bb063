// Engine: class prompts in, prototype sets out; pictures and prototype sets in,
// label maps out. All that server/ knows of torch's side of the house; this
// header includes no torch.
#ifndef OVDIFF_ENGINE_ENGINE_H_
#define OVDIFF_ENGINE_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/image.h"
#include "engine/base/method_options.h"
#include "engine/base/method_profile.h"
#include "engine/base/prototype_set.h"
#include "engine/base/sha256.h"
#include "engine/base/support_set.h"

namespace ovdiff::engine {

// A prototype set on the device, ready to match. Immutable; shared by requests.
class LoadedPrototypes {
 public:
  virtual ~LoadedPrototypes() = default;
  virtual int64_t size_bytes() const = 0;
};

// One class of a Segment call.
struct SegmentClass {
  uint16_t label = 0;  // Its value in the label map, 1…65535; distinct.
  std::string name;    // What the prefilter reads: "a {name}".
  ClassKind kind = ClassKind::kThing;
  std::shared_ptr<const LoadedPrototypes> prototypes;  // Never null.
};

struct ClassResult {
  uint16_t label = 0;
  bool kept = false;        // Passed the prefilter.
  int64_t pixel_count = 0;  // Pixels with this label.
  double mean_score = 0;  // Mean fused cosine similarity over them; 0 if none.
  double max_score =
      0;  // Largest fused cosine similarity anywhere; 0 if not kept.
};

struct StageTimings {
  absl::Duration
      queue;  // Waiting for the device, summed over batches waited on.
  absl::Duration prefilter;
  absl::Duration
      features;  // Windows through all feature spaces, queue included.
  absl::Duration matching;
};

// How similar one pixel of a picture is to one prototype.
struct PrototypeMatch {
  size_t class_index = 0;  // Among the call's classes: whose it is.
  int64_t index = 0;       // Row of that class's side of PrototypeVectors.
  double cosine = 0;       // Mean over the windows that see the pixel.
};

struct SpaceEvidence {
  std::string space;
  double score = 0;  // The class's score of this space at the pixel.
  PrototypeMatch winner;
  std::optional<PrototypeMatch> runner_up;
};

struct ExplainedClass {
  uint16_t label = 0;  // 0: background.
  double score = 0;    // Fused: what labels are chosen by.
  // In fusion order. Spaces in which it has no vector of the levels in use are
  // left out; background of a threshold has none.
  std::vector<SpaceEvidence> spaces;
};

// What pixel to explain: (x, y) of the input picture, or where the class of
// `label` scores highest if that is not 0.
struct ExplainTarget {
  int x = 0;
  int y = 0;
  uint16_t label = 0;
};

struct Explanation {
  int x = 0;
  int y = 0;
  std::vector<ExplainedClass> classes;  // Best first; kept ones, background.
  std::vector<bool> kept;  // By the call's classes: passed the prefilter.
  StageTimings timings;
};

// Where a support picture shows its class, and where it surely does not.
struct PictureMasks {
  int side = 0;                     // Of the square that the picture became.
  std::vector<uint8_t> foreground;  // [side, side], row-major, 1 inside.
  std::vector<uint8_t> background;  // Likewise; disjoint from it.
};

struct Segmentation {
  LabelMap labels;                   // Size of the input picture.
  std::vector<ClassResult> classes;  // In the order of the call's classes.
  StageTimings timings;
  int num_windows = 0;
};

enum class BuildStage { kPainting, kDecoding, kEncoding, kClustering };

struct BuildProgress {
  BuildStage stage = BuildStage::kPainting;
  int pictures_done = 0;   // Finished in this stage.
  int num_pictures = 0;    // N
  int64_t steps_done = 0;  // Denoising: picture-steps done, of…
  int64_t num_steps = 0;   // …N * num_steps.
};

// Called on the caller's thread of PaintSupportSet()/BuildPrototypeSet().
using ProgressCallback = std::function<void(const BuildProgress&)>;

struct EngineInfo {
  std::string device;  // "cpu", "cuda:0"
  std::string device_name;
  std::string bundle_name;
  std::string bundle_license;
  std::vector<std::string> spaces;      // Feature spaces, in fusion order.
  int picture_size = 0;                 // Side of a support picture, pixels.
  WindowOptions windows;                // The bundle's, none of them 0.
  std::vector<MethodProfile> profiles;  // By name; one is "default".
  std::string default_profile;          // Whose options the next three are.
  GenerationOptions generation;
  PrototypeOptions prototype;
  SegmentOptions segment;
};

// What the metrics endpoint reads. Monotonic since Create(), unless said.
struct EngineStats {
  int64_t batches = 0;  // Batches of windows run.
  int64_t batched_windows =
      0;  // Windows in them; mean batch = windows / batches.
  int64_t denoising_steps = 0;  // UNet calls of painting.
  int64_t queued_tasks = 0;     // Now waiting for the device (a gauge).
  int64_t rejected_tasks = 0;   // Refused because the queue was full.
  double device_busy_seconds = 0;
};

// Of an encoder fingerprint, what names the networks.
inline constexpr size_t kNetworkBytes = 16;

// Thread-safe. Calls block their caller until done; one device thread, owned by
// the engine, runs all networks. Interactive work (Segment) goes before bulk
// work (painting, encoding support sets) at every batch and denoising step.
// Results depend on the arguments alone, not on what else runs.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;
  virtual EngineStats stats() const = 0;

  // kInvalidArgument naming the option, its value and what is allowed. Callers
  // run it before a job is accepted; the calls below run it again.
  virtual absl::Status Validate(const GenerationOptions& options) const = 0;
  virtual absl::Status Validate(const PrototypeOptions& options) const = 0;
  virtual absl::Status Validate(const SegmentOptions& options) const = 0;
  // A prompt must be non-empty and fit, with the template, into the text
  // encoder's context. kInvalidArgument says how many tokens there are.
  virtual absl::Status ValidatePrompt(
      const std::string& prompt, const GenerationOptions& options) const = 0;

  // SHA-256 over all that can change a support picture, prompt excepted.
  virtual Sha256Digest GeneratorFingerprint(
      const GenerationOptions& options) const = 0;
  // Over all that can change a vector, given the pictures: half of a SHA-256
  // over the networks (weights, layers, precision, sizes of the chosen spaces),
  // half of one over these and all options. Sets whose first kNetworkBytes are
  // equal have vectors of the same networks and can be matched by one picture.
  virtual Sha256Digest EncoderFingerprint(
      const PrototypeOptions& options) const = 0;

  // Paints `options.num_pictures` pictures of `prompt`. Fails with
  //   kInvalidArgument    options or prompt
  //   kCancelled, kDeadlineExceeded  by `control`, within one denoising step
  //   kResourceExhausted  no device memory
  //   kInternal           the networks gave values that are not finite
  virtual absl::StatusOr<SupportSet> PaintSupportSet(
      const std::string& prompt, const GenerationOptions& options,
      const CallControl& control, const ProgressCallback& progress) = 0;

  // What the diffusion model's attention says of pictures that were not
  // painted: each is squashed to the bundle's picture size, encoded, noised,
  // and seen once with `prompt` at each of a few timesteps. In the order of
  // `pictures`; fails as above. Changes nothing when pictures come in other
  // portions.
  virtual absl::StatusOr<std::vector<AttributionMap>> AttributePictures(
      const std::string& prompt, absl::Span<const Image> pictures,
      const GenerationOptions& options, const CallControl& control) = 0;

  // Masks, features and prototypes of a support set. As above, and
  //   kFailedPrecondition  no picture has a foreground
  virtual absl::StatusOr<PrototypeSet> BuildPrototypeSet(
      const SupportSet& support, const PrototypeOptions& options,
      const CallControl& control, const ProgressCallback& progress) = 0;

  // The masks that BuildPrototypeSet() takes vectors by, of the pictures of
  // `wanted`: their indices in the set, in that order. Fails as above, and with
  // kInvalidArgument for an index of no picture.
  virtual absl::StatusOr<std::vector<PictureMasks>> MakePictureMasks(
      const SupportSet& support, absl::Span<const int> wanted,
      const PrototypeOptions& options, const CallControl& control) = 0;

  // Of each name, in the order of `names`, what the prefilter's first stage
  // goes by: the cosine, -1…1, of CLIP's embeddings of the picture, of any
  // size, and of "a {name}". Bulk work. Fails as AttributePictures().
  virtual absl::StatusOr<std::vector<double>> CompareWithNames(
      const Image& picture, absl::Span<const std::string> names,
      const CallControl& control) = 0;

  // kFailedPrecondition if a space or vector length is not this bundle's.
  virtual absl::StatusOr<std::shared_ptr<const LoadedPrototypes>>
  LoadPrototypes(const PrototypeSet& set) = 0;

  // Labels every pixel. Fails with
  //   kInvalidArgument   empty image or class list, duplicate labels, options
  //   kUnavailable       the device queue is full; try again later
  //   kDeadlineExceeded, kCancelled  by `control`, also while queued
  virtual absl::StatusOr<Segmentation> Segment(
      const Image& image, absl::Span<const SegmentClass> classes,
      const SegmentOptions& options, const CallControl& control) = 0;

  // Why Segment() gives the target's pixel its label. Fails as Segment(), and
  //   kInvalidArgument  a point outside of the picture, a label of no class
  //   kNotFound         the prefilter dropped the class of target.label
  virtual absl::StatusOr<Explanation> Explain(
      const Image& image, absl::Span<const SegmentClass> classes,
      const SegmentOptions& options, const ExplainTarget& target,
      const CallControl& control) = 0;
};

struct EngineOptions {
  std::string bundle_path;     // Folder with bundle.json.
  std::string device = "cpu";  // "cpu", "cuda" or "cuda:N".
  // Whose options calls without a profile get: a name of EngineInfo::profiles,
  // or the path of a profile's JSON file (engine/bundle/profiles.h).
  std::string profile = "default";
  int num_threads = 0;        // CPU threads of the device thread; 0: all cores.
  int max_batch_windows = 8;  // Windows that share one network call.
  int max_queued_windows = 4096;  // Beyond this Segment is refused.
  // A full batch is never waited for while the device is idle; this is how long
  // an unfinished one may wait for company while it could run. 0: not at all.
  absl::Duration max_batch_delay = absl::ZeroDuration();
  // Bulk work that has waited this long runs one step before more interactive
  // work, so that a class is finished under endless load.
  absl::Duration max_bulk_wait = absl::Seconds(2);
};

// Loads the bundle; the only slow call here. Fails with
//   kNotFound            no bundle.json, or a file that it names
//   kFailedPrecondition  damaged, missing or mismatched weights (all names
//                        listed), an unsupported config value, no such device
//   kInvalidArgument     options
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    const EngineOptions& options);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_ENGINE_H_
