#include "client/client.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/calls.h"
#include "client/status.h"
#include "google/protobuf/wrappers.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"

namespace ovdiff::client {
namespace {

// RemoveClasses is left out: its second attempt would answer NOT_FOUND to a
// caller whose first one had worked. AddClasses names its job by content.
constexpr char kServiceConfig[] = R"({"methodConfig":[{
  "name":[
    {"service":"ovdiff.v1.InfoService"},
    {"service":"ovdiff.v1.SegmentationService","method":"Segment"},
    {"service":"ovdiff.v1.SegmentationService","method":"Explain"},
    {"service":"ovdiff.v1.StoreService","method":"GetStoreStats"},
    {"service":"ovdiff.v1.StoreService","method":"VerifyStore"},
    {"service":"ovdiff.v1.VocabularyService","method":"AddClasses"},
    {"service":"ovdiff.v1.VocabularyService","method":"GetJob"},
    {"service":"ovdiff.v1.VocabularyService","method":"CancelJob"},
    {"service":"ovdiff.v1.VocabularyService","method":"ListClasses"},
    {"service":"ovdiff.v1.VocabularyService","method":"ListVocabularies"},
    {"service":"ovdiff.v1.VocabularyService",
     "method":"DiffVocabularyVersions"}],
  "retryPolicy":{
    "maxAttempts":4,"initialBackoff":"0.2s","maxBackoff":"2s",
    "backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]})";

// Attachments to one job without any news between them.
constexpr int kMaxAttachments = 5;
constexpr int kPageSize = 1000;

}  // namespace

void MergeJob(const v1::Job& change, v1::Job& job) {
  v1::Job merged = change;
  merged.clear_classes();
  *merged.mutable_classes() = std::move(*job.mutable_classes());
  for (const v1::ClassProgress& update : change.classes()) {
    auto* classes = merged.mutable_classes();
    auto known = std::find_if(classes->begin(), classes->end(),
                              [&](const v1::ClassProgress& entry) {
                                return entry.name() == update.name();
                              });
    *(known == classes->end() ? classes->Add() : &*known) = update;
  }
  job = std::move(merged);
}

Client::Client(const ClientOptions& options,
               std::shared_ptr<grpc::Channel> channel)
    : options_(options),
      channel_(std::move(channel)),
      vocabularies_(v1::VocabularyService::NewStub(channel_)),
      segmentation_(v1::SegmentationService::NewStub(channel_)),
      store_(v1::StoreService::NewStub(channel_)),
      info_(v1::InfoService::NewStub(channel_)) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(
    const ClientOptions& options) {
  if (options.server.empty()) {
    return absl::InvalidArgumentError(
        "the server's address is empty; give host:port, such as "
        "127.0.0.1:50051");
  }
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  // Clients of one process share no connection state, and a server that is just
  // starting is found within a fraction of a second.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  auto credentials = options.credentials != nullptr
                         ? options.credentials
                         : grpc::InsecureChannelCredentials();
  return absl::WrapUnique(new Client(
      options,
      grpc::CreateCustomChannel(options.server, credentials, arguments)));
}

absl::Status Client::Connect(absl::Duration timeout, std::stop_token stop) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const grpc_connectivity_state state =
        channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) {
      return absl::OkStatus();
    }
    if (stop.stop_requested()) {
      return absl::CancelledError("interrupted while connecting");
    }
    const absl::Time now = absl::Now();
    if (now >= deadline) {
      return absl::UnavailableError(absl::StrCat(
          "no server answers at ", options_.server, " (tried for ",
          absl::FormatDuration(timeout), "); is ovdiffd running there?"));
    }
    // Slices, so that a stop is seen.
    channel_->WaitForStateChange(
        state,
        absl::ToChronoTime(std::min(deadline, now + absl::Milliseconds(100))));
  }
}

absl::Status Client::FollowJob(const v1::AddClassesRequest& request,
                               const AddProgress& on_progress,
                               const CallOptions& options, absl::Time deadline,
                               v1::Job& job, bool& attached, bool& ended) {
  grpc::ClientContext context;
  SetDeadline(deadline, context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  auto reader = vocabularies_->AddClasses(&context, request);
  v1::AddClassesResponse message;
  while (reader->Read(&message)) {
    attached = true;
    ended = message.last();
    MergeJob(message.job(), job);
    if (on_progress) {
      on_progress(job, message.job());
    }
  }
  return FromGrpcStatus(reader->Finish());
}

absl::StatusOr<v1::Job> Client::AddClasses(const v1::AddClassesRequest& request,
                                           const AddProgress& on_progress,
                                           const CallOptions& options) {
  const absl::Time deadline = Deadline(options, absl::InfiniteDuration());
  v1::Job job;
  bool ever_attached = false;
  int fruitless = 0;
  while (true) {
    bool attached = false;
    bool ended = false;
    const absl::Status status = FollowJob(request, on_progress, options,
                                          deadline, job, attached, ended);
    if (ended) {
      return job;
    }
    ever_attached |= attached;
    fruitless = attached ? 0 : fruitless + 1;
    // Before the first message gRPC itself has retried; after it only we can.
    const bool again = absl::IsUnavailable(status) && ever_attached &&
                       fruitless < kMaxAttachments &&
                       !options.stop.stop_requested();
    if (!again) {
      return status.ok()
                 ? absl::InternalError(
                       "the server ended the job's stream without its result")
                 : status;
    }
    absl::SleepFor(
        std::min(absl::Milliseconds(200) * (1 << fruitless),
                 std::max(deadline - absl::Now(), absl::ZeroDuration())));
  }
}

absl::StatusOr<v1::Job> Client::GetJob(const std::string& job,
                                       const CallOptions& options) {
  v1::GetJobRequest request;
  request.set_job(job);
  auto response =
      Unary(*vocabularies_, &v1::VocabularyService::StubInterface::GetJob,
            request, options, options_.timeout);
  if (!response.ok()) {
    return response.status();
  }
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> Client::CancelJob(const std::string& job,
                                          const CallOptions& options) {
  v1::CancelJobRequest request;
  request.set_job(job);
  auto response =
      Unary(*vocabularies_, &v1::VocabularyService::StubInterface::CancelJob,
            request, options, options_.timeout);
  if (!response.ok()) {
    return response.status();
  }
  return std::move(*response->mutable_job());
}

absl::StatusOr<ClassList> Client::ListClasses(const std::string& vocabulary,
                                              int64_t version,
                                              const CallOptions& options) {
  ClassList list{.version = version, .classes = {}};
  v1::ListClassesRequest request;
  request.set_vocabulary(vocabulary);
  request.set_page_size(kPageSize);
  while (true) {
    // Later pages are of the version that the first one found.
    request.set_version(list.version);
    auto page = Unary(*vocabularies_,
                      &v1::VocabularyService::StubInterface::ListClasses,
                      request, options, options_.timeout);
    if (!page.ok()) {
      return page.status();
    }
    list.version = page->version();
    std::move(page->mutable_classes()->begin(), page->mutable_classes()->end(),
              std::back_inserter(list.classes));
    if (page->next_page_token().empty() ||
        page->next_page_token() == request.page_token()) {
      return list;
    }
    request.set_page_token(page->next_page_token());
  }
}

absl::StatusOr<std::vector<v1::Vocabulary>> Client::ListVocabularies(
    const CallOptions& options) {
  std::vector<v1::Vocabulary> vocabularies;
  v1::ListVocabulariesRequest request;
  request.set_page_size(kPageSize);
  while (true) {
    auto page = Unary(*vocabularies_,
                      &v1::VocabularyService::StubInterface::ListVocabularies,
                      request, options, options_.timeout);
    if (!page.ok()) {
      return page.status();
    }
    std::move(page->mutable_vocabularies()->begin(),
              page->mutable_vocabularies()->end(),
              std::back_inserter(vocabularies));
    if (page->next_page_token().empty() ||
        page->next_page_token() == request.page_token()) {
      return vocabularies;
    }
    request.set_page_token(page->next_page_token());
  }
}

absl::StatusOr<int64_t> Client::RemoveClasses(
    const std::string& vocabulary, const std::vector<std::string>& names,
    const CallOptions& options) {
  v1::RemoveClassesRequest request;
  request.set_vocabulary(vocabulary);
  request.mutable_names()->Assign(names.begin(), names.end());
  auto response = Unary(*vocabularies_,
                        &v1::VocabularyService::StubInterface::RemoveClasses,
                        request, options, options_.timeout);
  if (!response.ok()) {
    return response.status();
  }
  return response->version();
}

absl::Status Client::ExportVocabulary(
    const v1::ExportVocabularyRequest& request, const ByteSink& sink,
    const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(Deadline(options, absl::InfiniteDuration()), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  auto reader = vocabularies_->ExportVocabulary(&context, request);
  v1::ExportVocabularyResponse message;
  absl::Status sunk;
  while (sunk.ok() && reader->Read(&message)) {
    sunk = sink(message.data());
  }
  if (!sunk.ok()) {
    context.TryCancel();
  }
  const grpc::Status status = reader->Finish();
  return sunk.ok() ? FromGrpcStatus(status) : sunk;
}

absl::StatusOr<v1::ImportVocabularyResponse> Client::ImportVocabulary(
    const v1::ImportConfig& config, const ByteSource& source,
    const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(Deadline(options, absl::InfiniteDuration()), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  v1::ImportVocabularyResponse response;
  auto writer = vocabularies_->ImportVocabulary(&context, &response);
  v1::ImportVocabularyRequest message;
  *message.mutable_config() = config;
  // A server that refuses before the end makes a write fail; Finish() says why.
  while (writer->Write(message)) {
    absl::StatusOr<std::string> bytes = source();
    if (!bytes.ok()) {
      context.TryCancel();
      writer->Finish();
      return bytes.status();
    }
    if (bytes->empty()) {
      writer->WritesDone();
      break;
    }
    message.set_data(*std::move(bytes));
  }
  const grpc::Status status = writer->Finish();
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return response;
}

absl::StatusOr<v1::DiffVocabularyVersionsResponse>
Client::DiffVocabularyVersions(const v1::DiffVocabularyVersionsRequest& request,
                               const CallOptions& options) {
  return Unary(*vocabularies_,
               &v1::VocabularyService::StubInterface::DiffVocabularyVersions,
               request, options, options_.timeout);
}

absl::StatusOr<v1::SegmentResponse> Client::Segment(
    const v1::SegmentRequest& request, const CallOptions& options) {
  return Unary(*segmentation_, &v1::SegmentationService::StubInterface::Segment,
               request, options, options_.timeout);
}

absl::StatusOr<v1::ExplainResponse> Client::Explain(
    const v1::ExplainRequest& request, const CallOptions& options) {
  return Unary(*segmentation_, &v1::SegmentationService::StubInterface::Explain,
               request, options, options_.timeout);
}

absl::StatusOr<std::unique_ptr<StreamSession>> Client::StreamSegment(
    const v1::StreamConfig& config, const CallOptions& options) {
  return StreamSession::Open(*segmentation_, config,
                             Deadline(options, absl::InfiniteDuration()),
                             options.stop);
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo(
    const CallOptions& options) {
  return Unary(*info_, &v1::InfoService::StubInterface::GetServerInfo,
               v1::GetServerInfoRequest(), options, options_.timeout);
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service,
                                           const CallOptions& options) {
  // Debian ships grpc.health.v1 only inside the library. On the wire its
  // request {string service = 1} is a StringValue and its response {enum status
  // = 1} an Int32Value, so these stand in.
  google::protobuf::StringValue request;
  request.set_value(service);
  google::protobuf::Int32Value response;
  grpc::ClientContext context;
  SetDeadline(Deadline(options, options_.timeout), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  grpc::TemplatedGenericStub<google::protobuf::StringValue,
                             google::protobuf::Int32Value>
      stub(channel_);
  absl::Notification done;
  grpc::Status status;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(),
                 &request, &response, [&](grpc::Status result) {
                   status = std::move(result);
                   done.Notify();
                 });
  done.WaitForNotification();
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return static_cast<Health>(response.value());
}

}  // namespace ovdiff::client
