// ImportCall: one ImportVocabulary call. The pack goes to a spool as it comes;
// PackImporter does the rest once it is there.
#ifndef OVDIFF_SERVER_IMPORT_CALL_H_
#define OVDIFF_SERVER_IMPORT_CALL_H_

#include <memory>

#include "absl/status/status.h"
#include "engine/base/call_control.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/call_record.h"
#include "server/call_slots.h"
#include "server/executor.h"
#include "server/pack_importer.h"
#include "server/pack_spool.h"

namespace ovdiff::server {

// Either one task of it is on an executor or one read is with gRPC, never both,
// so its state needs no lock.
class ImportCall final
    : public grpc::ServerReadReactor<v1::ImportVocabularyRequest>,
      public std::enable_shared_from_this<ImportCall> {
 public:
  // REQUIRES: references outlive the call.
  struct Options {
    PackImporter& importer;
    Executor& spool_executor;   // Short tasks: writes to the spool.
    Executor& import_executor;  // Long ones.
    CallSlots& slots;
    Metrics& metrics;
    MethodInfo method;
    PackSpool::Options spool;
  };

  // Owned by gRPC, and what runs for it, until it is done.
  static grpc::ServerReadReactor<v1::ImportVocabularyRequest>* Start(
      const Options& options, grpc::CallbackServerContext* context,
      v1::ImportVocabularyResponse* response);

 private:
  ImportCall(const Options& options, grpc::CallbackServerContext* context,
             v1::ImportVocabularyResponse* response);

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Runs `step` on `executor`; its error ends the call.
  void Submit(Executor& executor, absl::Status (ImportCall::*step)());
  absl::Status ReceiveConfig();
  // Takes the message that was read and asks for the next.
  absl::Status Receive();
  absl::Status Import();
  void End(const absl::Status& status);

  const Options options_;
  v1::ImportVocabularyResponse* const response_;
  std::shared_ptr<ImportCall> self_;  // Until OnDone().
  CallControl control_;
  CallRecord record_;
  std::shared_ptr<void> slot_;
  v1::ImportVocabularyRequest request_;
  v1::ImportConfig config_;
  std::unique_ptr<PackSpool> spool_;  // Once there is a config.
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_IMPORT_CALL_H_
