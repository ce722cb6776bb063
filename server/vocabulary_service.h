// VocabularyService: adds, lists and removes classes.
#ifndef OVDIFF_SERVER_VOCABULARY_SERVICE_H_
#define OVDIFF_SERVER_VOCABULARY_SERVICE_H_

#include "ovdiff/v1/vocabulary_service.grpc.pb.h"
#include "server/call_slots.h"
#include "server/executor.h"
#include "server/job_queue.h"
#include "server/metrics.h"
#include "server/pack_importer.h"
#include "server/pack_spool.h"
#include "server/unary_call.h"
#include "server/vocabulary_cache.h"
#include "store/pack/pack_exporter.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. Every method hops to `executor` at once.
class VocabularyServiceImpl final
    : public v1::VocabularyService::CallbackService {
 public:
  // What class packs take. REQUIRES: references outlive the service.
  struct PackOptions {
    PackImporter& importer;
    Executor& executor;  // Of imports and differences: they take long.
    PackSpool::Options spool;
    store::ExportOptions about;
  };

  // REQUIRES: all outlive it.
  VocabularyServiceImpl(JobQueue& jobs, VocabularyCache& cache,
                        store::PrototypeStore& store, Executor& executor,
                        const PackOptions& packs, Metrics& metrics,
                        const Limits& limits);

  grpc::ServerWriteReactor<v1::AddClassesResponse>* AddClasses(
      grpc::CallbackServerContext* context,
      const v1::AddClassesRequest* request) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerUnaryReactor* ListClasses(
      grpc::CallbackServerContext* context,
      const v1::ListClassesRequest* request,
      v1::ListClassesResponse* response) override;
  grpc::ServerUnaryReactor* RemoveClasses(
      grpc::CallbackServerContext* context,
      const v1::RemoveClassesRequest* request,
      v1::RemoveClassesResponse* response) override;
  grpc::ServerUnaryReactor* ListVocabularies(
      grpc::CallbackServerContext* context,
      const v1::ListVocabulariesRequest* request,
      v1::ListVocabulariesResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportVocabularyResponse>* ExportVocabulary(
      grpc::CallbackServerContext* context,
      const v1::ExportVocabularyRequest* request) override;
  grpc::ServerReadReactor<v1::ImportVocabularyRequest>* ImportVocabulary(
      grpc::CallbackServerContext* context,
      v1::ImportVocabularyResponse* response) override;
  grpc::ServerUnaryReactor* DiffVocabularyVersions(
      grpc::CallbackServerContext* context,
      const v1::DiffVocabularyVersionsRequest* request,
      v1::DiffVocabularyVersionsResponse* response) override;

 private:
  UnaryCall::Options CallOptions(const MethodInfo& method) const;
  absl::Status List(const v1::ListClassesRequest& request,
                    v1::ListClassesResponse& response);
  absl::Status Remove(const v1::RemoveClassesRequest& request,
                      v1::RemoveClassesResponse& response);
  absl::Status ListAll(const v1::ListVocabulariesRequest& request,
                       v1::ListVocabulariesResponse& response);

  JobQueue& jobs_;
  VocabularyCache& cache_;
  store::PrototypeStore& store_;
  Executor& executor_;
  const PackOptions packs_;
  Metrics& metrics_;
  const Limits limits_;
  CallSlots imports_;
  CallSlots exports_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_VOCABULARY_SERVICE_H_
