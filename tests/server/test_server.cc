#include "tests/server/test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "server/log.h"

namespace ovdiff::server {

ServerOptions TestOptions() {
  ServerOptions options;
  options.listen_address = "127.0.0.1:0";
  options.admin_address = "127.0.0.1:0";
  options.segment_threads = 4;
  options.control_threads = 2;
  options.drain_timeout = absl::Seconds(5);
  return options;
}

TestServer::TestServer(FakeEngine& engine, store::PrototypeStore& store,
                       const ServerOptions& options) {
  InitLogging("error", /*as_json=*/false);
  auto admin_or =
      AdminServer::Create(options.admin_address, metrics, readiness);
  if (!admin_or.ok()) {
    std::cerr << admin_or.status() << "\n";
    std::abort();
  }
  admin = *std::move(admin_or);
  auto server_or =
      Server::Create(options, {engine, store, metrics, readiness, *admin});
  if (!server_or.ok()) {
    std::cerr << server_or.status() << "\n";
    std::abort();
  }
  server = *std::move(server_or);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Its own connection: servers of other tests had the same port.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel = grpc::CreateCustomChannel(
      server->address(), grpc::InsecureChannelCredentials(), arguments);
  vocabulary = v1::VocabularyService::NewStub(channel);
  segmentation = v1::SegmentationService::NewStub(channel);
  info = v1::InfoService::NewStub(channel);
}

grpc::Status TestServer::Add(const v1::AddClassesRequest& request,
                             std::vector<v1::AddClassesResponse>* messages) {
  grpc::ClientContext context;
  auto reader = vocabulary->AddClasses(&context, request);
  v1::AddClassesResponse message;
  while (reader->Read(&message)) {
    messages->push_back(message);
  }
  return reader->Finish();
}

v1::Job TestServer::Add(const std::string& vocabulary_name,
                        const std::vector<std::string>& names) {
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status =
      Add(AddRequest(vocabulary_name, names), &messages);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(messages.empty());
  return messages.empty() ? v1::Job() : messages.back().job();
}

std::string TestServer::ExpectAddRefused(const v1::AddClassesRequest& request,
                                         const std::string& field) {
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status = Add(request, &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << field << ": " << status.error_message();
  EXPECT_TRUE(messages.empty());
  const auto bad = FindDetail<google::rpc::BadRequest>(Details(status));
  EXPECT_TRUE(bad.has_value());
  if (bad.has_value()) {
    EXPECT_EQ(bad->field_violations(0).field(), field);
  }
  return status.error_message();
}

grpc::Status TestServer::Segment(const v1::SegmentRequest& request,
                                 v1::SegmentResponse* response) {
  grpc::ClientContext context;
  return segmentation->Segment(&context, request, response);
}

std::string TestServer::LabelsOf(const std::string& vocabulary,
                                 const v1::Image& image) {
  v1::SegmentRequest request;
  request.set_vocabulary(vocabulary);
  request.set_label_map_format(v1::LABEL_MAP_FORMAT_RAW_U16);
  *request.mutable_image() = image;
  v1::SegmentResponse response;
  const grpc::Status status = Segment(request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.label_map().data();
}

std::string TestServer::Get(const std::string& path, int* code) const {
  const std::string address = admin->address();
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: test\r\n\r\n");
  EXPECT_EQ(write(fd, request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string reply;
  char buffer[4096];
  for (ssize_t size = 0; (size = read(fd, buffer, sizeof(buffer))) > 0;) {
    reply.append(buffer, size);
  }
  close(fd);
  *code = std::atoi(reply.substr(reply.find(' ') + 1, 3).c_str());
  return reply.substr(reply.find("\r\n\r\n") + 4);
}

v1::Job TestServer::AwaitJob(const std::string& id) {
  v1::GetJobResponse response;
  for (int i = 0; i < 1000; ++i) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job(id);
    const grpc::Status status =
        vocabulary->GetJob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (!status.ok() || IsTerminal(response.job().state())) {
      break;
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(IsTerminal(response.job().state()));
  return response.job();
}

v1::AddClassesRequest AddRequest(const std::string& vocabulary,
                                 const std::vector<std::string>& names) {
  v1::AddClassesRequest request;
  request.set_vocabulary(vocabulary);
  for (const std::string& name : names) {
    request.add_classes()->set_name(name);
  }
  return request;
}

v1::Image SolidImage(int width, int height, uint32_t colour,
                     std::optional<uint32_t> left) {
  v1::Image image;
  image.mutable_raw()->set_width(width);
  image.mutable_raw()->set_height(height);
  std::string& rgb = *image.mutable_raw()->mutable_rgb();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const uint32_t value = left && x < width / 2 ? *left : colour;
      for (const int shift : {16, 8, 0}) {
        rgb += static_cast<char>(value >> shift);
      }
    }
  }
  return image;
}

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  return details;
}

std::string Reason(const grpc::Status& status) {
  const auto info = FindDetail<google::rpc::ErrorInfo>(Details(status));
  return info.has_value() && info->domain() == "ovdiff.dev" ? info->reason()
                                                            : "";
}

}  // namespace ovdiff::server
