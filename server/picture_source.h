// PictureSource: the pictures that a class's prototypes are made of: found in
// the store, painted, or given.
#ifndef OVDIFF_SERVER_PICTURE_SOURCE_H_
#define OVDIFF_SERVER_PICTURE_SOURCE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/key_locks.h"
#include "server/metrics.h"
#include "server/request_options.h"
#include "server/server_options.h"
#include "server/support_records.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. Blocks for as long as painting takes.
class PictureSource {
 public:
  // REQUIRES: all outlive it.
  PictureSource(engine::Engine& engine, store::PrototypeStore& store,
                Metrics& metrics, const Limits& limits, KeyLocks& locks)
      : engine_(engine),
        store_(store),
        metrics_(metrics),
        limits_(limits),
        locks_(locks) {}

  // The pictures of the digested `spec`, whose entry is `described`: painted
  // ones by prompt, in the order of PaintedPrompts(), then given ones. What
  // other classes have painted of a prompt is used, and what is painted is
  // stored under its prompt for them; all of the class's together, under
  // described.support_key. `hit` is of use in `progress` already: PICTURES if
  // nothing had to be painted, though something is. Errors as Engine's, the
  // store's, and LoadGivenPictures()'.
  // REQUIRES: described.support_key is held.
  absl::StatusOr<ClassPictures> Get(const v1::ClassSpec& spec,
                                    const store::NewClass& described,
                                    const ResolvedBuildOptions& options,
                                    const CallControl& control,
                                    const engine::ProgressCallback& progress,
                                    v1::CacheHit* hit);

 private:
  // Painting of one class: how far it is over all of its prompts.
  struct Painting {
    const ResolvedBuildOptions& options;
    const CallControl& control;
    const engine::ProgressCallback& progress;
    int num_pictures = 0;  // Of all prompts.
    int to_paint = 0;      // Those that the store has not.
    int painted = 0;
  };
  // A prompt and, once there, its pictures.
  struct Prompted {
    std::string prompt;
    std::optional<SupportSet> pictures;
  };

  // Nullopt for what is not there or damaged: then it is made again.
  absl::StatusOr<std::optional<ClassPictures>> FindStored(
      const store::ContentKey& key) const;
  absl::Status Store(const std::string& text, const store::ContentKey& key,
                     const GenerationOptions& options,
                     const ClassPictures& pictures);

  absl::StatusOr<SupportSet> Paint(const std::string& prompt,
                                   Painting& painting);
  // The same, unless another class has painted it meanwhile; stores it.
  absl::StatusOr<SupportSet> FindOrPaint(const std::string& prompt,
                                         Painting& painting);
  // Pictures of every prompt.
  absl::Status GetPrompted(std::vector<Prompted>& wanted,
                           const ResolvedBuildOptions& options,
                           const CallControl& control,
                           const engine::ProgressCallback& progress,
                           v1::CacheHit* hit);
  // With attribution where they have no mask.
  absl::StatusOr<std::vector<SupportPicture>> GetGiven(
      const v1::ClassSpec& spec, const ResolvedBuildOptions& options,
      const CallControl& control);
  absl::StatusOr<ClassPictures> Gather(const v1::ClassSpec& spec,
                                       const ResolvedBuildOptions& options,
                                       const CallControl& control,
                                       const engine::ProgressCallback& progress,
                                       v1::CacheHit* hit);

  engine::Engine& engine_;
  store::PrototypeStore& store_;
  Metrics& metrics_;
  const Limits limits_;
  KeyLocks& locks_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PICTURE_SOURCE_H_
