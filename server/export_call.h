// ExportCall: one ExportVocabulary stream.
#ifndef OVDIFF_SERVER_EXPORT_CALL_H_
#define OVDIFF_SERVER_EXPORT_CALL_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/call_record.h"
#include "server/call_slots.h"
#include "server/executor.h"
#include "server/vocabulary_cache.h"
#include "store/pack/pack_exporter.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Either one task of it is on the executor or one write is with gRPC, never
// both, so its state needs no lock. A client that reads slowly holds one record
// in memory and no thread.
class ExportCall final
    : public grpc::ServerWriteReactor<v1::ExportVocabularyResponse>,
      public std::enable_shared_from_this<ExportCall> {
 public:
  // REQUIRES: references outlive the call.
  struct Options {
    VocabularyCache& cache;
    const store::PrototypeStore& store;
    Executor& executor;
    CallSlots& slots;
    Metrics& metrics;
    MethodInfo method;
    store::ExportOptions about;  // Program, bundle and its licence.
  };

  // Owned by gRPC, and what runs for it, until it is done.
  static grpc::ServerWriteReactor<v1::ExportVocabularyResponse>* Start(
      const Options& options, grpc::CallbackServerContext* context,
      const v1::ExportVocabularyRequest& request);

 private:
  ExportCall(const Options& options, grpc::CallbackServerContext* context,
             const v1::ExportVocabularyRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Runs `step` on the executor.
  void Submit(void (ExportCall::*step)());
  void Begin();
  absl::Status MakeExporter();
  // The next record, from the store.
  void Produce();
  // The next part of it, to the client.
  void WritePart();
  void End(const absl::Status& status);

  const Options options_;
  const v1::ExportVocabularyRequest request_;
  std::shared_ptr<ExportCall> self_;  // Until OnDone().
  std::atomic<bool> is_cancelled_ = false;
  CallRecord record_;
  std::shared_ptr<void> slot_;
  std::optional<store::PackExporter> exporter_;
  std::string piece_;
  size_t position_ = 0;  // In piece_.
  int64_t num_bytes_ = 0;
  v1::ExportVocabularyResponse message_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_EXPORT_CALL_H_
