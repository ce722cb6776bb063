// ClassBuilder: from a class's prompt to something the store can publish,
// reusing what the store has.
#ifndef OVDIFF_SERVER_CLASS_BUILDER_H_
#define OVDIFF_SERVER_CLASS_BUILDER_H_

#include <functional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/metrics.h"
#include "server/request_options.h"
#include "server/server_options.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// The pictures of a stored support set. kInvalidArgument.
absl::StatusOr<SupportSet> DecodeSupportSet(const store::SupportRecord& record,
                                            const Limits& limits);

// Thread-safe. Blocks for as long as a class takes.
class ClassBuilder {
 public:
  // REQUIRES: all outlive it.
  ClassBuilder(engine::Engine& engine, store::PrototypeStore& store,
               Metrics& metrics, const Limits& limits);

  // A class, its keys and what it takes; no record yet.
  store::NewClass Describe(const v1::ClassSpec& spec,
                           const ResolvedBuildOptions& options) const;

  // What a build reports as it goes. Called on the thread of Build().
  using Report = std::function<void(const v1::ClassProgress&)>;

  // Makes the class durable: called once, on the thread of Build(), with `set`
  // filled unless the store has its record already (built by another job
  // meanwhile), and with what was found.
  using Publish =
      std::function<absl::Status(const store::NewClass&, v1::CacheHit)>;

  // Builds `described` and publishes it. New support pictures are stored first.
  // Of two calls with the same support pictures one waits until the other has
  // published, and reuses what it made. Errors as Engine's, the store's and
  // `publish`'s.
  absl::Status Build(const ResolvedBuildOptions& options,
                     const CallControl& control, const Report& report,
                     const Publish& publish, store::NewClass described);

 private:
  // Holds a support key while one thread works on it.
  class KeyLock;

  // Paints what is missing, encodes, fills `described.set`.
  absl::Status MakeSet(const ResolvedBuildOptions& options,
                       const CallControl& control, const Report& report,
                       store::NewClass& described, v1::CacheHit* hit);
  absl::StatusOr<SupportSet> GetSupportSet(const store::NewClass& described,
                                           const ResolvedBuildOptions& options,
                                           const CallControl& control,
                                           const engine::ProgressCallback& on,
                                           v1::CacheHit* hit);
  absl::Status StoreSupportSet(const store::NewClass& described,
                               const ResolvedBuildOptions& options,
                               const SupportSet& support);

  engine::Engine& engine_;
  store::PrototypeStore& store_;
  Metrics& metrics_;
  const Limits limits_;

  Mutex mutex_;
  CondVar released_;
  std::set<store::ContentKey> busy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CLASS_BUILDER_H_
