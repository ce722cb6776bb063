// TestServer: a whole server on free ports, and clients of it.
#ifndef OVDIFF_TESTS_SERVER_TEST_SERVER_H_
#define OVDIFF_TESTS_SERVER_TEST_SERVER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "ovdiff/v1/info_service.grpc.pb.h"
#include "ovdiff/v1/segmentation_service.grpc.pb.h"
#include "ovdiff/v1/vocabulary_service.grpc.pb.h"
#include "server/server.h"
#include "tests/server/fake_engine.h"

namespace ovdiff::server {

// Options for tests: free ports, few threads.
ServerOptions TestOptions();

class TestServer {
 public:
  // REQUIRES: both outlive it. Dies if the server does not start.
  TestServer(FakeEngine& engine, store::PrototypeStore& store,
             const ServerOptions& options = TestOptions());

  Metrics metrics;
  Readiness readiness;
  std::unique_ptr<AdminServer> admin;
  std::unique_ptr<Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::VocabularyService::Stub> vocabulary;
  std::unique_ptr<v1::SegmentationService::Stub> segmentation;
  std::unique_ptr<v1::InfoService::Stub> info;

  // Runs AddClasses to its end; all messages are in `*messages`.
  grpc::Status Add(const v1::AddClassesRequest& request,
                   std::vector<v1::AddClassesResponse>* messages);
  // As above; the last message's job. Fails the test on an error.
  v1::Job Add(const std::string& vocabulary,
              const std::vector<std::string>& names);
  // Expects AddClasses to refuse `request` at once, naming `field`. What it
  // says.
  std::string ExpectAddRefused(const v1::AddClassesRequest& request,
                               const std::string& field);
  grpc::Status Segment(const v1::SegmentRequest& request,
                       v1::SegmentResponse* response);
  // The raw label map of `image`, two bytes a pixel; expects that there is one.
  std::string LabelsOf(const std::string& vocabulary, const v1::Image& image);
  // Body of an HTTP GET on the admin port, code in `*code`.
  std::string Get(const std::string& path, int* code) const;
  // Polls GetJob until the job is terminal.
  v1::Job AwaitJob(const std::string& id);
};

// A request for `names` in `vocabulary`.
v1::AddClassesRequest AddRequest(const std::string& vocabulary,
                                 const std::vector<std::string>& names);

// Raw picture of one colour, 0xRRGGBB; its left half may have another.
v1::Image SolidImage(int width, int height, uint32_t colour,
                     std::optional<uint32_t> left = std::nullopt);

// google.rpc.Status of a failed call, and its details.
google::rpc::Status Details(const grpc::Status& status);
template <typename Detail>
std::optional<Detail> FindDetail(const google::rpc::Status& status) {
  for (const auto& any : status.details()) {
    Detail detail;
    if (any.Is<Detail>() && any.UnpackTo(&detail)) {
      return detail;
    }
  }
  return std::nullopt;
}
// ErrorInfo.reason.
std::string Reason(const grpc::Status& status);

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_TEST_SERVER_H_
