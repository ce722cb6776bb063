// A client of ovdiffd: one channel, deadlines, retries, readable errors.
//
//   auto client = Client::Create({.server = "127.0.0.1:50051"});
//   ovdiff::v1::SegmentRequest request;
//   request.set_vocabulary("shop");
//   request.mutable_image()->set_encoded(jpeg_bytes);
//   auto answer = (*client)->Segment(request);
//
// Messages are those of proto/ovdiff/v1. Errors carry the server's status code
// and, in the message, what it said about fields, limits and retries; see
// client/status.h.
#ifndef OVDIFF_CLIENT_CLIENT_H_
#define OVDIFF_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/stream_session.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "ovdiff/v1/info_service.grpc.pb.h"
#include "ovdiff/v1/segmentation_service.grpc.pb.h"
#include "ovdiff/v1/store_service.grpc.pb.h"
#include "ovdiff/v1/vocabulary_service.grpc.pb.h"

namespace ovdiff::client {

struct ClientOptions {
  // Any gRPC target: "host:port", "dns:///name:port", "unix:/path".
  std::string server = "127.0.0.1:50051";
  // Null: plain text.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  // Deadline of a unary call that sets none of its own.
  absl::Duration timeout = absl::Seconds(60);
  // Largest answer that is taken. A 16-bit label map of a large photo passes
  // gRPC's default of 4 MiB.
  int max_message_bytes = 256 << 20;
};

struct CallOptions {
  // From the call's start; nullopt: ClientOptions::timeout for unary calls,
  // none for AddClasses, StreamSegment, ExportVocabulary, ImportVocabulary and
  // long operations on the store.
  std::optional<absl::Duration> timeout = std::nullopt;
  // Cancels the call, which then returns CANCELLED.
  std::stop_token stop = {};
};

// A vocabulary's version, all pages joined.
struct ClassList {
  int64_t version = 0;
  std::vector<v1::Class> classes;  // By label.
};

// grpc.health.v1.HealthCheckResponse.ServingStatus.
enum class Health {
  kUnknown = 0,
  kServing = 1,
  kNotServing = 2,
  kServiceUnknown = 3
};

// Receives the whole job as known so far and the latest message, whose classes
// are only those that changed. Called on the caller's thread, in order.
using AddProgress =
    std::function<void(const v1::Job& job, const v1::Job& change)>;

// How far a verification of the store is. Called on the caller's thread.
using StoreProgress = std::function<void(const v1::StoreCheck& check)>;
// Takes the next bytes of a file; its error ends the call.
using ByteSink = std::function<absl::Status(absl::string_view)>;
// Gives the next bytes of a file; empty: the end. Its error ends the call.
using ByteSource = std::function<absl::StatusOr<std::string>()>;

// Thread-safe. Calls that change nothing, or nothing twice, are retried on
// UNAVAILABLE (a gRPC service config: 4 attempts, backoff 0.2 s doubling to 2
// s).
class Client {
 public:
  // Opens no connection yet. INVALID_ARGUMENT for an empty server.
  static absl::StatusOr<std::unique_ptr<Client>> Create(
      const ClientOptions& options);

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Keeps trying to connect for `timeout`. UNAVAILABLE, naming the server, if
  // it did not come about; CANCELLED if stopped.
  absl::Status Connect(absl::Duration timeout, std::stop_token stop = {});

  // Follows the job to its end and returns it whole. OK does not mean that
  // every class was built: look at `state` and the classes' errors. When the
  // connection breaks, the client attaches to the same job again. Returning
  // early (stop, timeout) leaves the job running on the server.
  absl::StatusOr<v1::Job> AddClasses(const v1::AddClassesRequest& request,
                                     const AddProgress& on_progress = nullptr,
                                     const CallOptions& options = {});
  absl::StatusOr<v1::Job> GetJob(const std::string& job,
                                 const CallOptions& options = {});
  // The job as it is right after; a running class may still end its step.
  absl::StatusOr<v1::Job> CancelJob(const std::string& job,
                                    const CallOptions& options = {});

  // version 0: the newest.
  absl::StatusOr<ClassList> ListClasses(const std::string& vocabulary,
                                        int64_t version = 0,
                                        const CallOptions& options = {});
  absl::StatusOr<std::vector<v1::Vocabulary>> ListVocabularies(
      const CallOptions& options = {});
  // All of `names` or none; returns the new version. Not retried.
  absl::StatusOr<int64_t> RemoveClasses(const std::string& vocabulary,
                                        const std::vector<std::string>& names,
                                        const CallOptions& options = {});

  // The class pack, in parts as they come. Not retried; what the sink had taken
  // before an error is not a whole pack.
  absl::Status ExportVocabulary(const v1::ExportVocabularyRequest& request,
                                const ByteSink& sink,
                                const CallOptions& options = {});
  // Not retried. Without options.timeout there is none.
  absl::StatusOr<v1::ImportVocabularyResponse> ImportVocabulary(
      const v1::ImportConfig& config, const ByteSource& source,
      const CallOptions& options = {});
  absl::StatusOr<v1::DiffVocabularyVersionsResponse> DiffVocabularyVersions(
      const v1::DiffVocabularyVersionsRequest& request,
      const CallOptions& options = {});

  absl::StatusOr<v1::SegmentResponse> Segment(const v1::SegmentRequest& request,
                                              const CallOptions& options = {});
  absl::StatusOr<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                              const CallOptions& options = {});
  // Opens a stream and configures it; frames follow through the session.
  absl::StatusOr<std::unique_ptr<StreamSession>> StreamSegment(
      const v1::StreamConfig& config, const CallOptions& options = {});

  absl::StatusOr<v1::GetStoreStatsResponse> GetStoreStats(
      const CallOptions& options = {});
  // The whole result: all problems of all messages. OK also when there are
  // some. These, and the three after them, have no deadline unless `options`
  // has one.
  absl::StatusOr<v1::StoreCheck> VerifyStore(
      const v1::VerifyStoreRequest& request,
      const StoreProgress& on_progress = nullptr,
      const CallOptions& options = {});
  absl::StatusOr<v1::StoreCheck> ScrubStore(
      const v1::ScrubStoreRequest& request,
      const StoreProgress& on_progress = nullptr,
      const CallOptions& options = {});
  absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(
      const v1::CollectGarbageRequest& request,
      const CallOptions& options = {});
  absl::StatusOr<v1::BackUpStoreResponse> BackUpStore(
      const CallOptions& options = {});
  absl::StatusOr<v1::CompactStoreResponse> CompactStore(
      const CallOptions& options = {});

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(
      const CallOptions& options = {});
  // Standard gRPC health; service "": the server as a whole.
  absl::StatusOr<Health> CheckHealth(const std::string& service = "",
                                     const CallOptions& options = {});

  const std::string& server() const { return options_.server; }

 private:
  Client(const ClientOptions& options, std::shared_ptr<grpc::Channel> channel);

  // One attachment to a job's stream. `attached` becomes true with the first
  // message, `ended` with the last.
  absl::Status FollowJob(const v1::AddClassesRequest& request,
                         const AddProgress& on_progress,
                         const CallOptions& options, absl::Time deadline,
                         v1::Job& job, bool& attached, bool& ended);

  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::VocabularyService::StubInterface> vocabularies_;
  const std::unique_ptr<v1::SegmentationService::StubInterface> segmentation_;
  const std::unique_ptr<v1::StoreService::StubInterface> store_;
  const std::unique_ptr<v1::InfoService::StubInterface> info_;
};

// Puts the classes that changed into the whole job, by name. For callers that
// follow a job by hand.
void MergeJob(const v1::Job& change, v1::Job& job);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_CLIENT_H_
