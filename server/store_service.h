// StoreService: looks after the store of a live server.
#ifndef OVDIFF_SERVER_STORE_SERVICE_H_
#define OVDIFF_SERVER_STORE_SERVICE_H_

#include <string>
#include <vector>

#include "ovdiff/v1/store_service.grpc.pb.h"
#include "server/executor.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "server/store_check_call.h"
#include "server/store_metrics.h"
#include "server/store_operations.h"
#include "server/unary_call.h"
#include "server/vocabulary_cache.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::server {

// Thread-safe. Every method hops to an executor at once.
class StoreServiceImpl final : public v1::StoreService::CallbackService {
 public:
  struct Dependencies {
    store::PrototypeStore& store;
    store::StoreAdmin& admin;  // Of the same store.
    VocabularyCache& cache;
    // Of at least two threads: one runs an operation, the other refuses those
    // that come meanwhile.
    Executor& long_executor;
    Executor& control_executor;
    Metrics& metrics;
  };

  // REQUIRES: all outlive it.
  StoreServiceImpl(const Dependencies& dependencies,
                   const ServerOptions& options);

  // Cancels the operation that runs and refuses others. Idempotent.
  void Drain() { operations_.Stop(); }

  grpc::ServerUnaryReactor* GetStoreStats(
      grpc::CallbackServerContext* context,
      const v1::GetStoreStatsRequest* request,
      v1::GetStoreStatsResponse* response) override;
  grpc::ServerWriteReactor<v1::VerifyStoreResponse>* VerifyStore(
      grpc::CallbackServerContext* context,
      const v1::VerifyStoreRequest* request) override;
  grpc::ServerWriteReactor<v1::ScrubStoreResponse>* ScrubStore(
      grpc::CallbackServerContext* context,
      const v1::ScrubStoreRequest* request) override;
  grpc::ServerUnaryReactor* CollectGarbage(
      grpc::CallbackServerContext* context,
      const v1::CollectGarbageRequest* request,
      v1::CollectGarbageResponse* response) override;
  grpc::ServerUnaryReactor* BackUpStore(
      grpc::CallbackServerContext* context,
      const v1::BackUpStoreRequest* request,
      v1::BackUpStoreResponse* response) override;
  grpc::ServerUnaryReactor* CompactStore(
      grpc::CallbackServerContext* context,
      const v1::CompactStoreRequest* request,
      v1::CompactStoreResponse* response) override;

 private:
  // A unary call whose `work` has the store's turn.
  grpc::ServerUnaryReactor* StartOperation(absl::string_view method,
                                           absl::string_view name,
                                           grpc::CallbackServerContext* context,
                                           UnaryCall::Handler work);
  // What a stream of either verification runs.
  StoreCheckWork CheckWork(absl::string_view name, std::string caller,
                           absl::StatusOr<store::VerifyOptions> options);
  absl::StatusOr<store::VerifyReport> Verify(
      absl::string_view name, const std::string& caller,
      const store::VerifyOptions& options, const CallControl& control,
      const OnStoreCheck& on_check);
  absl::Status Stats(v1::GetStoreStatsResponse& response);
  absl::Status Collect(const v1::CollectGarbageRequest& request,
                       CallScope& call, v1::CollectGarbageResponse& response);
  absl::Status BackUp(CallScope& call, v1::BackUpStoreResponse& response);
  absl::Status Compact(CallScope& call, v1::CompactStoreResponse& response);
  // The store's error as callers are to see it.
  absl::Status Explained(absl::Status status) const;

  const Dependencies with_;
  const store::BackupOptions backup_options_;
  StoreOperations operations_;
  StoreMetrics store_metrics_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_SERVICE_H_
