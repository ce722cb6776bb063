// StreamSegment: order, flow control, drops, deadlines, ends.
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;
using Stream = grpc::ClientReaderWriter<v1::StreamSegmentRequest,
                                        v1::StreamSegmentResponse>;

v1::StreamSegmentRequest Config(const std::string& vocabulary) {
  v1::StreamSegmentRequest request;
  request.mutable_config()->set_vocabulary(vocabulary);
  request.mutable_config()->set_label_map_format(v1::LABEL_MAP_FORMAT_RAW_U16);
  return request;
}

v1::StreamSegmentRequest Frame(int64_t seq, uint32_t colour, int side = 4) {
  v1::StreamSegmentRequest request;
  request.mutable_frame()->set_seq(seq);
  *request.mutable_frame()->mutable_image() = SolidImage(side, side, colour);
  return request;
}

class StreamSegmentTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = TestOptions()) {
    server_.emplace(engine_, *store_, options);
    server_->Add("shop", {"red boat"});
    server_->Add("yard", {"blue car", "green bus"});
    stream_ = server_->segmentation->StreamSegment(&context_);
  }
  v1::StreamSegmentResponse Read() {
    v1::StreamSegmentResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  grpc::Status Finish() {
    v1::StreamSegmentResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  std::optional<TestServer> server_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(StreamSegmentTest, AnswersFramesWithTheirSeq) {
  Start();
  ASSERT_TRUE(stream_->Write(Config("shop")));
  const v1::StreamSegmentResponse configured = Read();
  ASSERT_TRUE(configured.has_configured());
  EXPECT_EQ(configured.configured().vocabulary(), "shop");
  EXPECT_EQ(configured.configured().version(), 1);
  EXPECT_EQ(configured.configured().max_in_flight(), 8);
  ASSERT_EQ(configured.configured().classes_size(), 1);
  EXPECT_EQ(configured.configured().classes(0).name(), "red boat");
  std::set<int64_t> seqs;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(stream_->Write(Frame(100 + i, i % 2 ? 0xE02020 : 0)));
  }
  stream_->WritesDone();
  for (int i = 0; i < 20; ++i) {
    const v1::StreamSegmentResponse response = Read();
    const v1::FrameResult& result = response.result();
    ASSERT_TRUE(result.has_segmentation()) << result.error().message();
    seqs.insert(result.seq());
    EXPECT_EQ(result.segmentation().classes(0).pixel_count(),
              result.seq() % 2 ? 16 : 0);
  }
  EXPECT_EQ(seqs.size(), 20u);
  EXPECT_TRUE(Finish().ok());
}

TEST_F(StreamSegmentTest, VocabularyMayChangeMidStream) {
  Start();
  stream_->Write(Config("shop"));
  stream_->Write(Frame(1, 0x2020E0));
  stream_->Write(Config("yard"));
  stream_->Write(Frame(2, 0x2020E0));
  stream_->WritesDone();
  int configured = 0;
  v1::StreamSegmentResponse response;
  while (stream_->Read(&response)) {
    if (response.has_configured()) {
      ++configured;
      continue;
    }
    const auto& segmentation = response.result().segmentation();
    EXPECT_EQ(segmentation.vocabulary(),
              response.result().seq() == 1 ? "shop" : "yard");
    EXPECT_EQ(segmentation.classes_size(), response.result().seq());
  }
  EXPECT_EQ(configured, 2);
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(StreamSegmentTest, ABadFrameFailsAlone) {
  Start();
  stream_->Write(Config("shop"));
  v1::StreamSegmentRequest bad = Frame(1, 0);
  bad.mutable_frame()->mutable_image()->set_encoded("rubbish");
  stream_->Write(bad);
  bad = Frame(2, 0);
  bad.mutable_frame()->set_deadline_ms(-1);
  stream_->Write(bad);
  stream_->Write(Frame(3, 0));
  stream_->WritesDone();
  v1::StreamSegmentResponse response;
  int results = 0;
  while (stream_->Read(&response)) {
    if (!response.has_result()) {
      continue;
    }
    ++results;
    const v1::FrameResult& result = response.result();
    if (result.seq() == 3) {
      EXPECT_TRUE(result.has_segmentation());
      continue;
    }
    EXPECT_EQ(result.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_TRUE(
        FindDetail<google::rpc::BadRequest>(result.error()).has_value());
  }
  EXPECT_EQ(results, 3);
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(StreamSegmentTest, BeginsWithAConfig) {
  Start();
  stream_->Write(Frame(1, 0));
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(status), "STREAM_ORDER");
}

TEST_F(StreamSegmentTest, AnEmptyMessageIsRefused) {
  Start();
  stream_->Write(v1::StreamSegmentRequest());
  EXPECT_EQ(Reason(Finish()), "STREAM_ORDER");
}

TEST_F(StreamSegmentTest, AnUnknownVocabularyEndsTheStream) {
  Start();
  stream_->Write(Config("nowhere"));
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "VOCABULARY_NOT_FOUND");
}

TEST_F(StreamSegmentTest, BadConfigsAreRefused) {
  Start();
  v1::StreamSegmentRequest config = Config("shop");
  config.mutable_config()->set_max_in_flight(-1);
  stream_->Write(config);
  EXPECT_EQ(Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamSegmentTest, NeverMoreInFlightThanTheCredit) {
  ServerOptions options = TestOptions();
  options.segment_threads = 16;
  Start(options);
  v1::StreamSegmentRequest config = Config("shop");
  config.mutable_config()->set_max_in_flight(3);
  ASSERT_TRUE(stream_->Write(config));
  EXPECT_EQ(Read().configured().max_in_flight(), 3);
  engine_.segment_gate.Close();
  std::thread writer([this] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(stream_->Write(Frame(i, 0, 64)));
    }
    stream_->WritesDone();
  });
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(3));
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(engine_.segment_gate.num_waiting(), 3);
  engine_.segment_gate.Open();
  v1::StreamSegmentResponse response;
  int results = 0;
  while (stream_->Read(&response)) {
    results += response.result().has_segmentation();
  }
  writer.join();
  EXPECT_EQ(results, 50);
  EXPECT_LE(engine_.max_concurrent_segments, 3);
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(StreamSegmentTest, LatestOnlyDropsTheOlderFrames) {
  Start();
  v1::StreamSegmentRequest config = Config("shop");
  config.mutable_config()->set_max_in_flight(1);
  config.mutable_config()->set_drop_policy(v1::DROP_POLICY_LATEST_ONLY);
  stream_->Write(config);
  EXPECT_TRUE(Read().has_configured());
  engine_.segment_gate.Close();
  stream_->Write(Frame(0, 0));
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(1));
  for (int i = 1; i <= 5; ++i) {
    stream_->Write(Frame(i, 0));
  }
  for (int i = 1; i <= 4; ++i) {
    const v1::StreamSegmentResponse response = Read();
    EXPECT_EQ(response.result().seq(), i);
    EXPECT_EQ(response.result().error().code(), grpc::StatusCode::ABORTED);
  }
  engine_.segment_gate.Open();
  EXPECT_EQ(Read().result().seq(), 0);
  const v1::StreamSegmentResponse last = Read();
  EXPECT_EQ(last.result().seq(), 5);
  EXPECT_TRUE(last.result().has_segmentation());
  stream_->WritesDone();
  EXPECT_TRUE(Finish().ok());
}

TEST_F(StreamSegmentTest, AFrameHasItsOwnDeadlineAlsoWhileItWaits) {
  ServerOptions options = TestOptions();
  options.segment_threads = 1;
  Start(options);
  stream_->Write(Config("shop"));
  EXPECT_TRUE(Read().has_configured());
  engine_.segment_gate.Close();
  v1::StreamSegmentRequest frame = Frame(1, 0);
  frame.mutable_frame()->set_deadline_ms(2000);
  stream_->Write(frame);
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(1));
  frame.mutable_frame()->set_seq(2);
  frame.mutable_frame()->set_deadline_ms(50);
  stream_->Write(frame);
  for (const int seq : {2, 1}) {
    const v1::StreamSegmentResponse response = Read();
    EXPECT_EQ(response.result().seq(), seq);
    EXPECT_EQ(response.result().error().code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  engine_.segment_gate.Open();
  stream_->Write(Frame(3, 0));
  EXPECT_TRUE(Read().result().has_segmentation());
  stream_->WritesDone();
  EXPECT_TRUE(Finish().ok());
}

TEST_F(StreamSegmentTest, CancellingFreesEverything) {
  ServerOptions options = TestOptions();
  options.limits.max_streams = 1;
  Start(options);
  stream_->Write(Config("shop"));
  EXPECT_TRUE(Read().has_configured());
  engine_.segment_gate.Close();
  for (int i = 0; i < 8; ++i) {
    stream_->Write(Frame(i, 0));
  }
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(4));
  {
    grpc::ClientContext context;
    auto refused = server_->segmentation->StreamSegment(&context);
    EXPECT_EQ(Reason(refused->Finish()), "QUEUE_FULL");
  }
  context_.TryCancel();
  EXPECT_EQ(Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The blocked engine calls end, and the stream's place is free.
  grpc::Status status;
  for (int i = 0; i < 200; ++i) {
    grpc::ClientContext context;
    auto stream = server_->segmentation->StreamSegment(&context);
    stream->Write(Config("shop"));
    stream->WritesDone();
    v1::StreamSegmentResponse response;
    while (stream->Read(&response)) {
    }
    status = stream->Finish();
    if (status.ok()) {
      break;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  // The engine notices at its next step, a moment later.
  EXPECT_TRUE(engine_.segment_gate.AwaitWaiting(0));
  EXPECT_EQ(engine_.num_segmented, 0);
}

TEST_F(StreamSegmentTest, DrainAnswersWhatIsInFlightThenSaysWhy) {
  Start();
  stream_->Write(Config("shop"));
  EXPECT_TRUE(Read().has_configured());
  engine_.segment_gate.Close();
  stream_->Write(Frame(1, 0));
  ASSERT_TRUE(engine_.segment_gate.AwaitWaiting(1));
  std::thread stopper([this] { server_->server->Stop(); });
  absl::SleepFor(absl::Milliseconds(100));
  engine_.segment_gate.Open();
  EXPECT_TRUE(Read().result().has_segmentation());
  const grpc::Status status = Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "DRAINING");
  stopper.join();
}

}  // namespace
}  // namespace ovdiff::server
