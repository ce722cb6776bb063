#include "tests/client/fake_server.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"
#include "opencv2/imgcodecs.hpp"
#include "tests/client/indexed_png.h"

namespace ovdiff::client {
namespace {

constexpr int kPageSize = 2;

grpc::Status Error(
    grpc::StatusCode code, const std::string& message,
    const std::vector<const google::protobuf::Message*>& details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  for (const google::protobuf::Message* detail : details) {
    status.add_details()->PackFrom(*detail);
  }
  return grpc::Status(code, message, status.SerializeAsString());
}

grpc::Status NoVocabulary(const std::string& name) {
  google::rpc::ResourceInfo resource;
  resource.set_resource_type("vocabulary");
  resource.set_resource_name(name);
  resource.set_description("ListVocabularies names those that are there");
  return Error(grpc::StatusCode::NOT_FOUND, "no vocabulary '" + name + "'",
               {&resource});
}

}  // namespace

FakeServer::FakeServer() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(static_cast<v1::VocabularyService::Service*>(this));
  builder.RegisterService(static_cast<v1::SegmentationService::Service*>(this));
  builder.RegisterService(static_cast<v1::InfoService::Service*>(this));
  builder.RegisterService(&store);
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

v1::ClassProgress FakeServer::Build(const std::string& vocabulary,
                                    const v1::ClassSpec& spec) {
  v1::ClassProgress progress;
  progress.set_name(spec.name());
  progress.set_num_pictures(4);
  // As a server whose list is empty.
  progress.set_kind(spec.kind() == v1::CLASS_KIND_STUFF ? v1::CLASS_KIND_STUFF
                                                        : v1::CLASS_KIND_THING);
  if (spec.name() == "bad") {
    progress.set_stage(v1::CLASS_STAGE_FAILED);
    progress.mutable_error()->set_code(grpc::StatusCode::FAILED_PRECONDITION);
    progress.mutable_error()->set_message("no picture of it has a foreground");
    return progress;
  }
  std::vector<v1::Class>& classes = vocabularies[vocabulary];
  auto known = std::find_if(
      classes.begin(), classes.end(),
      [&](const v1::Class& entry) { return entry.name() == spec.name(); });
  progress.set_cache_hit(known == classes.end() ? v1::CACHE_HIT_NONE
                                                : v1::CACHE_HIT_PROTOTYPES);
  if (known == classes.end()) {
    v1::Class entry;
    entry.set_name(spec.name());
    entry.set_kind(progress.kind());
    entry.set_prompt(spec.prompt().empty() ? spec.name() : spec.prompt());
    // Not 1, 2, 3: labels are the server's, not positions.
    entry.set_label(static_cast<int>(classes.size()) * 2 + 3);
    entry.set_colour(ColourOf(entry.label()));
    known = classes.insert(classes.end(), entry);
  }
  progress.set_stage(v1::CLASS_STAGE_DONE);
  progress.set_pictures_done(4);
  progress.set_fraction_done(1);
  progress.set_label(known->label());
  if (spec.name() == "twin") {
    v1::SimilarClass& similar = *progress.add_similar();
    similar.set_name("other twin");
    similar.set_cosine(0.9712);
    v1::DoubtfulPicture& picture = *progress.add_doubtful_pictures();
    picture.set_index(2);
    picture.set_found("mug");
  }
  return progress;
}

grpc::Status FakeServer::AddClasses(
    grpc::ServerContext* context, const v1::AddClassesRequest* request,
    grpc::ServerWriter<v1::AddClassesResponse>* writer) {
  bool breaks = false;
  {
    std::lock_guard lock(mutex);
    add_requests.push_back(*request);
    breaks = break_add_streams-- > 0;
  }
  for (int i = 0; i < request->classes_size(); ++i) {
    if (request->classes(i).name().empty()) {
      google::rpc::BadRequest bad;
      google::rpc::BadRequest::FieldViolation& violation =
          *bad.add_field_violations();
      violation.set_field(absl::StrCat("classes[", i, "].name"));
      violation.set_description("is empty; give 1 to 200 characters");
      return Error(grpc::StatusCode::INVALID_ARGUMENT, "bad request", {&bad});
    }
  }
  v1::AddClassesResponse message;
  v1::Job& job = *message.mutable_job();
  job.set_id(request->request_id().empty() ? "job-1" : request->request_id());
  job.set_vocabulary(request->vocabulary());
  job.set_state(v1::JOB_STATE_RUNNING);
  for (const v1::ClassSpec& spec : request->classes()) {
    v1::ClassProgress& progress = *job.add_classes();
    progress.set_name(spec.name());
    progress.set_stage(v1::CLASS_STAGE_WAITING);
  }
  writer->Write(message);
  if (breaks) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
  }
  if (hold_job) {
    held.Notify();
    while (!context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return grpc::Status::CANCELLED;
  }
  bool failed = false;
  std::vector<v1::ClassProgress> all;
  for (const v1::ClassSpec& spec : request->classes()) {
    job.clear_classes();
    v1::ClassProgress& painting = *job.add_classes();
    painting.set_name(spec.name());
    painting.set_stage(v1::CLASS_STAGE_PAINTING);
    painting.set_pictures_done(2);
    painting.set_num_pictures(4);
    painting.set_fraction_done(0.5);
    painting.set_remaining_seconds(12);
    writer->Write(message);
    std::lock_guard lock(mutex);
    all.push_back(Build(request->vocabulary(), spec));
    failed |= all.back().stage() == v1::CLASS_STAGE_FAILED;
    job.set_version(
        static_cast<int64_t>(vocabularies[request->vocabulary()].size()));
    job.clear_classes();
    *job.add_classes() = all.back();
    writer->Write(message);
  }
  *job.mutable_classes() = {all.begin(), all.end()};
  job.set_state(failed ? v1::JOB_STATE_FAILED : v1::JOB_STATE_SUCCEEDED);
  message.set_last(true);
  writer->Write(message);
  return grpc::Status::OK;
}

grpc::Status FakeServer::GetJob(grpc::ServerContext*,
                                const v1::GetJobRequest* request,
                                v1::GetJobResponse* response) {
  if (request->job() != "job-1") {
    return grpc::Status(grpc::StatusCode::NOT_FOUND,
                        "no job '" + request->job() + "'");
  }
  response->mutable_job()->set_id("job-1");
  response->mutable_job()->set_vocabulary("shop");
  response->mutable_job()->set_state(v1::JOB_STATE_SUCCEEDED);
  return grpc::Status::OK;
}

grpc::Status FakeServer::CancelJob(grpc::ServerContext*,
                                   const v1::CancelJobRequest* request,
                                   v1::CancelJobResponse* response) {
  std::lock_guard lock(mutex);
  cancelled_job = request->job();
  response->mutable_job()->set_id(request->job());
  response->mutable_job()->set_state(v1::JOB_STATE_CANCELLED);
  return grpc::Status::OK;
}

grpc::Status FakeServer::ListClasses(grpc::ServerContext*,
                                     const v1::ListClassesRequest* request,
                                     v1::ListClassesResponse* response) {
  std::lock_guard lock(mutex);
  const auto found = vocabularies.find(request->vocabulary());
  if (found == vocabularies.end()) {
    return NoVocabulary(request->vocabulary());
  }
  const size_t begin =
      request->page_token().empty() ? 0 : std::stoul(request->page_token());
  const size_t end = std::min(begin + kPageSize, found->second.size());
  for (size_t i = begin; i < end; ++i) {
    *response->add_classes() = found->second[i];
  }
  if (end < found->second.size()) {
    response->set_next_page_token(std::to_string(end));
  }
  response->set_version(static_cast<int64_t>(found->second.size()));
  return grpc::Status::OK;
}

grpc::Status FakeServer::RemoveClasses(grpc::ServerContext*,
                                       const v1::RemoveClassesRequest* request,
                                       v1::RemoveClassesResponse* response) {
  std::lock_guard lock(mutex);
  const auto found = vocabularies.find(request->vocabulary());
  if (found == vocabularies.end()) {
    return NoVocabulary(request->vocabulary());
  }
  for (const std::string& name : request->names()) {
    std::erase_if(found->second,
                  [&](const v1::Class& entry) { return entry.name() == name; });
  }
  response->set_version(7);
  return grpc::Status::OK;
}

grpc::Status FakeServer::ListVocabularies(
    grpc::ServerContext*, const v1::ListVocabulariesRequest*,
    v1::ListVocabulariesResponse* response) {
  std::lock_guard lock(mutex);
  for (const auto& [name, classes] : vocabularies) {
    v1::Vocabulary& vocabulary = *response->add_vocabularies();
    vocabulary.set_name(name);
    vocabulary.set_num_classes(static_cast<int64_t>(classes.size()));
    vocabulary.set_version(1);
  }
  return grpc::Status::OK;
}

grpc::Status FakeServer::Answer(const v1::SegmentRequest& request,
                                v1::SegmentResponse* response) {
  const auto found = vocabularies.find(request.vocabulary());
  if (found == vocabularies.end()) {
    return NoVocabulary(request.vocabulary());
  }
  const std::string& encoded = request.image().encoded();
  const cv::Mat picture = cv::imdecode(
      std::vector<uint8_t>(encoded.begin(), encoded.end()), cv::IMREAD_COLOR);
  if (picture.empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "the picture is truncated");
  }
  cv::Mat indices = cv::Mat::zeros(picture.size(), CV_16UC1);
  indices.colRange(0, picture.cols / 2) = 1;
  if (const auto known = answers.find(encoded); known != answers.end()) {
    indices = known->second;
  }
  cv::Mat labels = cv::Mat::zeros(indices.size(), CV_16UC1);
  for (size_t i = 0; i < found->second.size(); ++i) {
    const v1::Class& entry = found->second[i];
    const cv::Mat mask = indices == static_cast<double>(i + 1);
    labels.setTo(entry.label(), mask);
    v1::SegmentedClass& row = *response->add_classes();
    row.set_name(entry.name());
    row.set_label(entry.label());
    row.set_colour(entry.colour());
    row.set_pixel_count(cv::countNonZero(mask));
    row.set_area(static_cast<double>(row.pixel_count()) /
                 static_cast<double>(labels.total()));
  }
  response->set_vocabulary(request.vocabulary());
  response->set_version(static_cast<int64_t>(found->second.size()));
  response->mutable_fingerprints()->set_generator("gen-fingerprint");
  response->mutable_fingerprints()->set_encoder("enc-fingerprint");
  response->mutable_timing()->set_total_seconds(0.0123);
  response->mutable_label_map()->set_format(v1::LABEL_MAP_FORMAT_PNG);
  response->mutable_label_map()->set_width(labels.cols);
  response->mutable_label_map()->set_height(labels.rows);
  response->mutable_label_map()->set_data(IndexedPng(labels));
  return grpc::Status::OK;
}

grpc::Status FakeServer::Segment(grpc::ServerContext*,
                                 const v1::SegmentRequest* request,
                                 v1::SegmentResponse* response) {
  std::lock_guard lock(mutex);
  ++segment_calls;
  segment_requests.push_back(*request);
  if (refuse_segments-- > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(2);
    return Error(grpc::StatusCode::UNAVAILABLE, "64 requests wait already",
                 {&retry});
  }
  return Answer(*request, response);
}

grpc::Status FakeServer::Explain(grpc::ServerContext*,
                                 const v1::ExplainRequest* request,
                                 v1::ExplainResponse* response) {
  std::lock_guard lock(mutex);
  explain_request = *request;
  if (vocabularies.count(request->vocabulary()) == 0) {
    return NoVocabulary(request->vocabulary());
  }
  *response = explanation;
  return grpc::Status::OK;
}

grpc::Status FakeServer::StreamSegment(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::StreamSegmentResponse,
                             v1::StreamSegmentRequest>* stream) {
  v1::StreamSegmentRequest message;
  v1::StreamConfig config;
  while (stream->Read(&message)) {
    v1::StreamSegmentResponse response;
    std::lock_guard lock(mutex);
    if (message.has_config()) {
      config = message.config();
      if (vocabularies.count(config.vocabulary()) == 0) {
        return NoVocabulary(config.vocabulary());
      }
      response.mutable_configured()->set_vocabulary(config.vocabulary());
      response.mutable_configured()->set_version(1);
      response.mutable_configured()->set_max_in_flight(2);
    } else {
      v1::SegmentRequest request;
      request.set_vocabulary(config.vocabulary());
      *request.mutable_image() = message.frame().image();
      v1::FrameResult& result = *response.mutable_result();
      result.set_seq(message.frame().seq());
      const grpc::Status status =
          Answer(request, result.mutable_segmentation());
      if (!status.ok()) {
        result.clear_segmentation();
        result.mutable_error()->set_code(status.error_code());
        result.mutable_error()->set_message(status.error_message());
      }
    }
    stream->Write(response);
  }
  return grpc::Status::OK;
}

grpc::Status FakeServer::GetServerInfo(grpc::ServerContext*,
                                       const v1::GetServerInfoRequest*,
                                       v1::GetServerInfoResponse* response) {
  response->set_version("9.8.7");
  response->set_device("cpu");
  response->set_device_name("a fake");
  response->mutable_bundle()->set_name("fake");
  response->mutable_bundle()->add_spaces("sd");
  response->mutable_bundle()->add_spaces("dino");
  response->mutable_limits()->set_max_message_bytes(1 << 20);
  response->mutable_fingerprints()->set_generator("gen-fingerprint");
  response->mutable_fingerprints()->set_encoder("enc-fingerprint");
  v1::Profile& fast = *response->add_profiles();
  fast.set_name("fast");
  fast.set_description("Little of all.");
  fast.mutable_build_options()->set_num_pictures(8);
  auto& weights = *fast.mutable_segment_options()->mutable_space_weights();
  weights["sd"] = 0.5;
  weights["dino"] = 2;
  v1::Profile& paper = *response->add_profiles();
  paper.set_name("paper");
  paper.set_description("As written.");
  paper.set_unavailable("CutLER's weights are missing");
  return grpc::Status::OK;
}

}  // namespace ovdiff::client
