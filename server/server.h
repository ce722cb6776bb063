// Server: the composition root. Owns everything between the gRPC port and the
// engine and store that it is given.
#ifndef OVDIFF_SERVER_SERVER_H_
#define OVDIFF_SERVER_SERVER_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/engine.h"
#include "grpcpp/server.h"
#include "server/admin_server.h"
#include "server/executor.h"
#include "server/info_service.h"
#include "server/job_queue.h"
#include "server/measured_store.h"
#include "server/metrics.h"
#include "server/pack_importer.h"
#include "server/picture_explainer.h"
#include "server/picture_segmenter.h"
#include "server/readiness.h"
#include "server/segmentation_service.h"
#include "server/server_collector.h"
#include "server/server_options.h"
#include "server/store_service.h"
#include "server/vocabulary_cache.h"
#include "server/vocabulary_service.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-compatible.
class Server {
 public:
  // What outlives the server.
  struct Dependencies {
    engine::Engine& engine;
    store::PrototypeStore& store;
    Metrics& metrics;
    Readiness& readiness;
    AdminServer& admin;
  };

  // Resumes jobs, listens and is ready. kInvalidArgument for options out of
  // range, kUnavailable if it cannot listen, or the store's error.
  static absl::StatusOr<std::unique_ptr<Server>> Create(
      const ServerOptions& options, const Dependencies& dependencies);
  ~Server();  // As Stop().

  // host:port as bound.
  const std::string& address() const { return address_; }

  // Not ready, health NOT_SERVING; everything is still served. Idempotent.
  void StartDrain();
  // Then: jobs stop at their next step and stay durable, streams answer what is
  // in flight, calls end or are cancelled after drain_timeout. Idempotent.
  void Stop();

 private:
  Server(const ServerOptions& options, const Dependencies& dependencies);

  absl::Status Listen();
  void SetServing(bool is_serving);
  // Follows the store's health once a second.
  void RunMonitor();

  const ServerOptions options_;
  const Dependencies with_;
  // In the order they are built; the services borrow from what is above them.
  MeasuredStore store_;
  Executor segment_executor_;
  Executor control_executor_;
  Executor store_executor_;
  Executor pack_executor_;
  VocabularyCache cache_;
  PictureSegmenter segmenter_;
  PictureExplainer explainer_;
  JobQueue jobs_;
  PackImporter importer_;
  SegmentationServiceImpl segmentation_;
  VocabularyServiceImpl vocabulary_;
  StoreServiceImpl store_service_;
  InfoServiceImpl info_;
  std::shared_ptr<ServerCollector> collector_;
  std::unique_ptr<grpc::Server> grpc_;
  std::string address_;

  Mutex mutex_;
  CondVar monitor_wake_;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread monitor_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SERVER_H_
