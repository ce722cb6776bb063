// A server that speaks the protocol and knows the answers beforehand.
#ifndef OVDIFF_TESTS_CLIENT_FAKE_SERVER_H_
#define OVDIFF_TESTS_CLIENT_FAKE_SERVER_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "grpcpp/server.h"
#include "opencv2/core.hpp"
#include "ovdiff/v1/info_service.grpc.pb.h"
#include "ovdiff/v1/segmentation_service.grpc.pb.h"
#include "ovdiff/v1/vocabulary_service.grpc.pb.h"
#include "tests/client/fake_store.h"

namespace ovdiff::client {

class FakeServer final : public v1::VocabularyService::Service,
                         public v1::SegmentationService::Service,
                         public v1::InfoService::Service {
 public:
  FakeServer();
  ~FakeServer() override;

  const std::string& address() const { return address_; }

  FakeStore store;  // StoreService.

  // What the next calls meet. Set before calling.
  int refuse_segments = 0;  // Segment says UNAVAILABLE with RetryInfo so often.
  int break_add_streams =
      0;                    // AddClasses loses its connection after a message.
  bool hold_job = false;    // AddClasses stays at its first message.
  absl::Notification held;  // It has got there.
  // Answers by picture bytes, as indices into the vocabulary's classes by order
  // of adding (0 background). Without one: the left half is the first class.
  std::map<std::string, cv::Mat> answers;

  std::string pack;         // What ExportVocabulary sends.
  bool cut_export = false;  // It fails before the last byte.
  v1::DiffVocabularyVersionsResponse difference;
  v1::ExplainResponse explanation;  // What Explain answers.

  // What they left.
  std::mutex mutex;
  std::map<std::string, std::vector<v1::Class>> vocabularies;
  std::vector<v1::AddClassesRequest> add_requests;
  std::vector<v1::SegmentRequest> segment_requests;
  int segment_calls = 0;
  v1::ExplainRequest explain_request;
  std::string cancelled_job;
  v1::ExportVocabularyRequest export_request;
  v1::ImportConfig import_config;
  std::string imported_pack;
  v1::DiffVocabularyVersionsRequest diff_request;

  grpc::Status AddClasses(grpc::ServerContext*, const v1::AddClassesRequest*,
                          grpc::ServerWriter<v1::AddClassesResponse>*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*,
                      v1::GetJobResponse*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*,
                         v1::CancelJobResponse*) override;
  grpc::Status ListClasses(grpc::ServerContext*, const v1::ListClassesRequest*,
                           v1::ListClassesResponse*) override;
  grpc::Status RemoveClasses(grpc::ServerContext*,
                             const v1::RemoveClassesRequest*,
                             v1::RemoveClassesResponse*) override;
  grpc::Status ListVocabularies(grpc::ServerContext*,
                                const v1::ListVocabulariesRequest*,
                                v1::ListVocabulariesResponse*) override;
  // These are in fake_server_packs.cc.
  grpc::Status ExportVocabulary(
      grpc::ServerContext*, const v1::ExportVocabularyRequest*,
      grpc::ServerWriter<v1::ExportVocabularyResponse>*) override;
  grpc::Status ImportVocabulary(
      grpc::ServerContext*, grpc::ServerReader<v1::ImportVocabularyRequest>*,
      v1::ImportVocabularyResponse*) override;
  grpc::Status DiffVocabularyVersions(
      grpc::ServerContext*, const v1::DiffVocabularyVersionsRequest*,
      v1::DiffVocabularyVersionsResponse*) override;
  grpc::Status Segment(grpc::ServerContext*, const v1::SegmentRequest*,
                       v1::SegmentResponse*) override;
  grpc::Status Explain(grpc::ServerContext*, const v1::ExplainRequest*,
                       v1::ExplainResponse*) override;
  grpc::Status StreamSegment(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::StreamSegmentResponse,
                               v1::StreamSegmentRequest>*) override;
  grpc::Status GetServerInfo(grpc::ServerContext*,
                             const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse*) override;

 private:
  grpc::Status Answer(const v1::SegmentRequest& request,
                      v1::SegmentResponse* response);
  // Puts a class into its vocabulary. The mutex is held.
  v1::ClassProgress Build(const std::string& vocabulary,
                          const v1::ClassSpec& spec);

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace ovdiff::client

#endif  // OVDIFF_TESTS_CLIENT_FAKE_SERVER_H_
