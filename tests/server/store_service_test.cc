#include "server/store_service.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "tests/server/fake_store_admin.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The service alone on a port: its store is real, its keeper a fake.
class StoreServiceTest : public ::testing::Test {
 protected:
  explicit StoreServiceTest(const std::string& backup_folder = "/backups")
      : service_({.store = *store_,
                  .admin = admin_,
                  .cache = cache_,
                  .long_executor = long_executor_,
                  .control_executor = control_executor_,
                  .metrics = metrics_},
                 OptionsWith(backup_folder)) {
    InitLogging("off", /*as_json=*/false);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    grpc_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = v1::StoreService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(),
        arguments));
  }
  ~StoreServiceTest() override {
    admin_.gate.Open();
    service_.Drain();
    grpc_->Shutdown();
    long_executor_.Stop();
  }

  static ServerOptions OptionsWith(const std::string& backup_folder) {
    ServerOptions options = TestOptions();
    options.backup_folder = backup_folder;
    options.keep_backups = 4;
    return options;
  }

  grpc::Status Verify(std::vector<v1::VerifyStoreResponse>* messages,
                      const v1::VerifyStoreRequest& request = {}) {
    grpc::ClientContext context;
    const auto reader = stub_->VerifyStore(&context, request);
    for (v1::VerifyStoreResponse message; reader->Read(&message);) {
      messages->push_back(message);
    }
    return reader->Finish();
  }
  grpc::Status Scrub(const v1::ScrubStoreRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub_->ScrubStore(&context, request);
    for (v1::ScrubStoreResponse message; reader->Read(&message);) {
    }
    return reader->Finish();
  }
  grpc::Status Collect(const v1::CollectGarbageRequest& request,
                       v1::CollectGarbageResponse* response) {
    grpc::ClientContext context;
    return stub_->CollectGarbage(&context, request, response);
  }
  grpc::Status BackUp(v1::BackUpStoreResponse* response) {
    grpc::ClientContext context;
    return stub_->BackUpStore(&context, {}, response);
  }
  grpc::Status Compact() {
    grpc::ClientContext context;
    v1::CompactStoreResponse response;
    return stub_->CompactStore(&context, {}, &response);
  }
  v1::GetStoreStatsResponse Stats() {
    grpc::ClientContext context;
    v1::GetStoreStatsResponse response;
    const grpc::Status status = stub_->GetStoreStats(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // That no operation runs. False after ten seconds.
  bool AwaitIdle() {
    for (int i = 0; i < 1000; ++i) {
      if (admin_.gate.num_waiting() == 0 && !Stats().has_running()) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }
  std::string MetricsText() {
    return prometheus::TextSerializer().Serialize(
        metrics_.registry().Collect());
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  FakeStoreAdmin admin_;
  Metrics metrics_;
  VocabularyCache cache_{engine_, *store_, metrics_, 1 << 20};
  Executor long_executor_{
      {.name = "store", .num_threads = 2, .on_start = nullptr}};
  Executor control_executor_{
      {.name = "control", .num_threads = 1, .on_start = nullptr}};
  StoreServiceImpl service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<v1::StoreService::Stub> stub_;
};

TEST_F(StoreServiceTest, VerifyTellsProgressThenProblemsThenTotals) {
  admin_.verify_report = {
      .records = 10, .bytes = 70, .num_problems = 1250, .problems = {}};
  for (int i = 0; i < 250; ++i) {
    admin_.verify_report.problems.push_back(
        {.table = "proto",
         .key = absl::StrCat("prototype set ", i),
         .status = absl::DataLossError("damaged: /srv/store/000012.blob"),
         .users = {"default/shop: boat", "default/yard: boat"},
         .num_users = 9});
  }
  std::vector<v1::VerifyStoreResponse> messages;
  const grpc::Status status = Verify(&messages);
  ASSERT_TRUE(status.ok()) << status.error_message();

  int64_t records = 0;
  std::vector<v1::StoreProblem> problems;
  for (size_t i = 0; i < messages.size(); ++i) {
    const v1::StoreCheck& check = messages[i].check();
    EXPECT_GE(check.num_records(), records);
    records = check.num_records();
    EXPECT_EQ(check.total_records(), 10);
    EXPECT_EQ(messages[i].last(), i + 1 == messages.size());
    EXPECT_LE(check.problems_size(), 100);
    problems.insert(problems.end(), check.problems().begin(),
                    check.problems().end());
  }
  EXPECT_EQ(records, 10);
  EXPECT_EQ(messages.back().check().num_problems(), 1250);
  ASSERT_EQ(problems.size(), 250u);
  EXPECT_EQ(problems[249].key(), "prototype set 249");
  EXPECT_EQ(problems[0].table(), "proto");
  EXPECT_EQ(problems[0].users_size(), 2);
  EXPECT_EQ(problems[0].num_users(), 9);
  EXPECT_FALSE(problems[0].is_dropped());
  EXPECT_EQ(problems[0].error().code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(problems[0].error().message(), Not(HasSubstr("/srv")));
  EXPECT_TRUE(admin_.verify_options().check_files);
  EXPECT_FALSE(admin_.verify_options().drop_damaged_sets);
  EXPECT_THAT(MetricsText(),
              HasSubstr("ovdiff_store_last_verify_problems 1250"));
}

TEST_F(StoreServiceTest, AStoreWithoutDamageHasAnEmptyLastMessage) {
  EXPECT_THAT(MetricsText(),
              Not(HasSubstr("ovdiff_store_last_verify_problems 0")));
  std::vector<v1::VerifyStoreResponse> messages;
  v1::VerifyStoreRequest request;
  request.set_skip_files(true);
  request.set_max_bytes_per_second(1234);
  ASSERT_TRUE(Verify(&messages, request).ok());
  ASSERT_FALSE(messages.empty());
  EXPECT_TRUE(messages.back().last());
  EXPECT_THAT(messages.back().check().problems(), IsEmpty());
  EXPECT_FALSE(admin_.verify_options().check_files);
  EXPECT_EQ(admin_.verify_options().max_bytes_per_second, 1234);
  EXPECT_THAT(MetricsText(), HasSubstr("ovdiff_store_last_verify_problems 0"));
}

TEST_F(StoreServiceTest, ScrubIsPacedAndDropsWhatIsDamaged) {
  ASSERT_TRUE(Scrub({}).ok());
  EXPECT_TRUE(admin_.verify_options().drop_damaged_sets);
  EXPECT_GT(admin_.verify_options().max_bytes_per_second, 0);
  v1::ScrubStoreRequest request;
  request.set_max_bytes_per_second(99);
  ASSERT_TRUE(Scrub(request).ok());
  EXPECT_EQ(admin_.verify_options().max_bytes_per_second, 99);
}

TEST_F(StoreServiceTest, ASecondOperationIsToldOfTheFirst) {
  admin_.gate.Close();
  grpc::ClientContext context;
  const auto reader = stub_->VerifyStore(&context, {});
  v1::VerifyStoreResponse message;
  ASSERT_TRUE(reader->Read(&message));
  ASSERT_TRUE(admin_.gate.AwaitWaiting(1));

  // What it does not concern goes on, and tells of it.
  EXPECT_EQ(Stats().running().name(), "verify");
  EXPECT_THAT(Stats().running().caller(), HasSubstr("127.0.0.1"));
  v1::BackUpStoreResponse backup;
  v1::CollectGarbageResponse garbage;
  for (const grpc::Status& status :
       {Scrub({}), Collect({}, &garbage), BackUp(&backup), Compact()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(Reason(status), "STORE_BUSY");
    EXPECT_THAT(status.error_message(), HasSubstr("a verify of the store"));
    EXPECT_THAT(status.error_message(), HasSubstr("127.0.0.1"));
  }
  admin_.gate.Open();
  while (reader->Read(&message)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(message.last());
  EXPECT_TRUE(AwaitIdle());
  EXPECT_TRUE(Compact().ok());
}

TEST_F(StoreServiceTest, CancellingEndsTheWorkToo) {
  admin_.gate.Close();
  grpc::ClientContext context;
  const auto reader = stub_->VerifyStore(&context, {});
  ASSERT_TRUE(admin_.gate.AwaitWaiting(1));
  context.TryCancel();
  v1::VerifyStoreResponse message;
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The gate is closed: only the cancellation lets it out.
  EXPECT_TRUE(AwaitIdle());
  EXPECT_THAT(MetricsText(),
              Not(HasSubstr("ovdiff_store_last_verify_problems 0")));
}

TEST_F(StoreServiceTest, ADeadlineEndsTheWorkToo) {
  admin_.gate.Close();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(100));
  v1::BackUpStoreResponse response;
  EXPECT_EQ(stub_->BackUpStore(&context, {}, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(AwaitIdle());
}

TEST_F(StoreServiceTest, GarbageIsOnlyCountedUnlessAskedFor) {
  admin_.garbage_report = {
      .num_prototype_sets = 1,
      .num_versions = 1,
      .bytes = 500,
      .items = {{store::GarbageItem::Kind::kPrototypeSet, "1f2e", 400},
                {store::GarbageItem::Kind::kVersion, "default/shop@1", 100}}};
  v1::CollectGarbageResponse response;
  ASSERT_TRUE(Collect({}, &response).ok());
  EXPECT_TRUE(admin_.garbage_options().dry_run);
  EXPECT_EQ(admin_.garbage_options().min_age, absl::Hours(1));
  EXPECT_TRUE(response.dry_run());
  ASSERT_EQ(response.items_size(), 2);
  EXPECT_EQ(response.items(1).kind(), v1::GARBAGE_KIND_VERSION);
  EXPECT_EQ(response.items(1).name(), "default/shop@1");
  EXPECT_THAT(MetricsText(),
              HasSubstr("ovdiff_store_garbage_freed_bytes_total 0"));

  v1::CollectGarbageRequest request;
  request.set_dry_run(false);
  request.set_keep_versions(3);
  request.set_min_age_seconds(0);
  ASSERT_TRUE(Collect(request, &response).ok());
  EXPECT_FALSE(admin_.garbage_options().dry_run);
  EXPECT_EQ(admin_.garbage_options().keep_versions, 3);
  EXPECT_EQ(admin_.garbage_options().min_age, absl::ZeroDuration());
  EXPECT_FALSE(response.dry_run());
  EXPECT_EQ(response.bytes(), 500);
  EXPECT_THAT(MetricsText(),
              HasSubstr("ovdiff_store_garbage_freed_bytes_total 500"));
}

TEST_F(StoreServiceTest, RefusesNumbersThatMeanNothing) {
  const auto field = [](const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    const auto bad = FindDetail<google::rpc::BadRequest>(Details(status));
    return bad.has_value() ? bad->field_violations(0).field() : "";
  };
  v1::CollectGarbageResponse response;
  v1::CollectGarbageRequest garbage;
  garbage.set_keep_versions(-1);
  EXPECT_EQ(field(Collect(garbage, &response)), "keep_versions");
  garbage.set_keep_versions(0);
  for (const double age : {-1.0, 1e300, 0.0 / 0.0}) {
    garbage.set_min_age_seconds(age);
    EXPECT_EQ(field(Collect(garbage, &response)), "min_age_seconds");
  }
  v1::VerifyStoreRequest verify;
  verify.set_max_bytes_per_second(-5);
  std::vector<v1::VerifyStoreResponse> messages;
  EXPECT_EQ(field(Verify(&messages, verify)), "max_bytes_per_second");
  EXPECT_THAT(messages, IsEmpty());
}

TEST_F(StoreServiceTest, BacksUpIntoTheOperatorsFolder) {
  v1::BackUpStoreResponse response;
  ASSERT_TRUE(BackUp(&response).ok());
  EXPECT_EQ(admin_.backup_options().folder, "/backups");
  EXPECT_EQ(admin_.backup_options().keep_backups, 4);
  EXPECT_EQ(response.id(), 3);
  EXPECT_EQ(response.bytes(), 4096);
  EXPECT_EQ(response.num_files(), 5);
  EXPECT_EQ(response.create_time().seconds(), 1000);
  EXPECT_THAT(MetricsText(),
              Not(HasSubstr("ovdiff_store_last_backup_timestamp_seconds 0\n")));
}

class WithoutBackupFolder : public StoreServiceTest {
 protected:
  WithoutBackupFolder() : StoreServiceTest("") {}
};

TEST_F(WithoutBackupFolder, BackupsAreRefused) {
  v1::BackUpStoreResponse response;
  const grpc::Status status = BackUp(&response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "NO_BACKUP_FOLDER");
  EXPECT_THAT(status.error_message(), HasSubstr("--backup-dir"));
}

TEST_F(StoreServiceTest, ErrorsOfTheStoreHaveReasons) {
  const std::pair<absl::Status, std::string> cases[] = {
      {absl::DataLossError("version 3 is unreadable"), "STORE_DAMAGED"},
      {absl::FailedPreconditionError("opened read-only"), "STORE_STATE"},
      {absl::ResourceExhaustedError("no room"), "RESOURCE_EXHAUSTED"},
      {absl::UnavailableError("I/O error"), "STORE_UNAVAILABLE"}};
  for (const auto& [error, reason] : cases) {
    admin_.status = error;
    const grpc::Status status = Compact();
    EXPECT_EQ(static_cast<int>(status.error_code()),
              static_cast<int>(error.code()));
    EXPECT_EQ(Reason(status), reason);
    std::vector<v1::VerifyStoreResponse> messages;
    EXPECT_EQ(Reason(Verify(&messages)), reason);
  }
}

TEST_F(StoreServiceTest, DrainingEndsWhatRunsAndRefusesTheRest) {
  admin_.gate.Close();
  grpc::ClientContext context;
  const auto reader = stub_->VerifyStore(&context, {});
  ASSERT_TRUE(admin_.gate.AwaitWaiting(1));
  service_.Drain();
  v1::VerifyStoreResponse message;
  while (reader->Read(&message)) {
  }
  for (const grpc::Status& status : {reader->Finish(), Compact()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(Reason(status), "DRAINING");
  }
}

}  // namespace
}  // namespace ovdiff::server
