// The server on a store that is damaged, or cannot be written: what can be
// served is, and what cannot says so.
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/error_reasons.h"
#include "server/store_tool.h"
#include "store/keys.h"
#include "store/store_admin.h"
#include "tests/server/health_client.h"
#include "tests/server/test_server.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StoreStateTest : public ::testing::Test {
 protected:
  std::unique_ptr<store::PrototypeStore> Open(
      store::StoreMode mode = store::StoreMode::kReadWrite) {
    auto store = store::OpenRocksDbStore({.path = path(), .mode = mode});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::string path() const { return folder_.path() + "/store"; }

  // Red boat and green tree, on disk; gives their content keys.
  std::vector<store::ContentKey> Fill() {
    const auto store = Open();
    TestServer server(engine_, *store);
    EXPECT_EQ(server.Add("shop", {"red boat", "green tree"}).state(),
              v1::JOB_STATE_SUCCEEDED);
    std::vector<store::ContentKey> keys;
    const store::Vocabulary head =
        store->GetVocabulary({.name = "shop"}, 0).value();
    for (const store::ClassEntry& entry : head.classes) {
      keys.push_back(entry.prototype_key);
    }
    return keys;
  }

  void Damage(const store::ContentKey& key) {
    store::RawDatabase(path()).Damage("proto", store::ContentTableKey(key));
  }

  v1::SegmentRequest Request(const std::vector<std::string>& classes = {}) {
    v1::SegmentRequest request;
    request.set_vocabulary("shop");
    request.mutable_classes()->Assign(classes.begin(), classes.end());
    *request.mutable_image() = SolidImage(4, 4, 0x00ff00);
    return request;
  }

  std::vector<v1::ClassState> States(TestServer& server) {
    grpc::ClientContext context;
    v1::ListClassesRequest request;
    request.set_vocabulary("shop");
    v1::ListClassesResponse response;
    EXPECT_TRUE(
        server.vocabulary->ListClasses(&context, request, &response).ok());
    std::vector<v1::ClassState> states;
    for (const v1::Class& entry : response.classes()) {
      states.push_back(entry.state());
    }
    return states;
  }

  FakeEngine engine_;
  store::TempFolder folder_;
};

TEST_F(StoreStateTest, ADamagedClassIsStaleAndCanBeRebuilt) {
  Damage(Fill()[0]);
  const auto store = Open();
  TestServer server(engine_, *store);
  v1::SegmentResponse response;
  const grpc::Status refused = server.Segment(Request(), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(refused.error_message(), HasSubstr("red boat"));
  EXPECT_EQ(Reason(refused), reasons::kPrototypeDamaged);
  EXPECT_EQ(States(server),
            (std::vector{v1::CLASS_STATE_STALE, v1::CLASS_STATE_READY}));
  // The other one is none the worse.
  EXPECT_TRUE(server.Segment(Request({"green tree"}), &response).ok());
  int code = 0;
  EXPECT_THAT(server.Get("/metrics", &code),
              HasSubstr("ovdiff_store_damaged_sets 1"));

  // Its pictures are whole: they are encoded again, not painted.
  const int painted = engine_.num_painted;
  const v1::Job job = server.Add("shop", {"red boat"});
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.classes(0).cache_hit(), v1::CACHE_HIT_PICTURES);
  EXPECT_EQ(engine_.num_painted, painted);
  EXPECT_TRUE(server.Segment(Request(), &response).ok());
  EXPECT_EQ(States(server),
            (std::vector{v1::CLASS_STATE_READY, v1::CLASS_STATE_READY}));
}

// It cannot be compared with, which is no reason to fail another class.
TEST_F(StoreStateTest, ADamagedClassIsLeftOutOfTheForecast) {
  Damage(Fill()[0]);
  const auto store = Open();
  TestServer server(engine_, *store);
  const v1::Job job = server.Add("shop", {"red bus", "green bus"});
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.classes(0).similar_size(), 0);
  ASSERT_EQ(job.classes(1).similar_size(), 1);
  EXPECT_EQ(job.classes(1).similar(0).name(), "green tree");
}

// Pictures are a courtesy; prototypes are what is explained.
TEST_F(StoreStateTest, ExplainNeedsPrototypesAndNoPictures) {
  const std::vector<store::ContentKey> keys = Fill();
  store::ContentKey pictures{};
  {
    const auto store = Open();
    const auto head = store->GetVocabulary({.name = "shop"}, 0);
    ASSERT_TRUE(head.ok());
    pictures = head->classes[0].support_key;
    ASSERT_TRUE(store->GetSupportSet(pictures).ok());
  }
  store::RawDatabase(path()).Damage("support",
                                    store::ContentTableKey(pictures));
  v1::ExplainRequest request;
  request.set_vocabulary("shop");
  request.set_include_pictures(true);
  *request.mutable_image() = SolidImage(4, 4, 0xE02020);
  request.mutable_point();
  const auto explain = [&](TestServer& server, v1::ExplainResponse* response) {
    grpc::ClientContext context;
    return server.segmentation->Explain(&context, request, response);
  };
  v1::ExplainResponse response;
  {
    const auto store = Open();
    TestServer server(engine_, *store);
    const grpc::Status status = explain(server, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.classes(0).name(), "red boat");
    EXPECT_EQ(response.classes(0).spaces(0).winner().picture_png(), "");
    EXPECT_NE(response.classes(2).spaces(0).winner().picture_png(), "");
  }
  Damage(keys[0]);
  const auto store = Open();
  TestServer server(engine_, *store);
  const grpc::Status status = explain(server, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(Reason(status), reasons::kPrototypeDamaged);
}

// Damage that nobody has read yet: a job that would link the set finds it.
TEST_F(StoreStateTest, AddingAClassDoesNotLinkToADamagedSet) {
  Damage(Fill()[0]);
  const auto store = Open();
  TestServer server(engine_, *store);
  const v1::Job job = server.Add("other", {"red boat"});
  EXPECT_EQ(job.classes(0).cache_hit(), v1::CACHE_HIT_PICTURES);
  v1::SegmentResponse response;
  EXPECT_TRUE(server.Segment(Request(), &response).ok());
}

TEST_F(StoreStateTest, AReadOnlyStoreSegmentsAndSaysThatItIsReadOnly) {
  Fill();
  const auto store = Open(store::StoreMode::kReadOnly);
  TestServer server(engine_, *store);
  v1::SegmentResponse response;
  EXPECT_TRUE(server.Segment(Request(), &response).ok());
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status refused =
      server.Add(AddRequest("shop", {"blue car"}), &messages);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("read-only"));
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (IsServing(server.channel, "ovdiff.v1.VocabularyService") &&
         absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_FALSE(IsServing(server.channel, "ovdiff.v1.VocabularyService"));
  EXPECT_TRUE(IsServing(server.channel, "ovdiff.v1.SegmentationService"));
  int code = 0;
  EXPECT_THAT(server.Get("/readyz", &code),
              AllOf(HasSubstr("degraded"), HasSubstr("read-only")));
  EXPECT_EQ(code, 200);
  EXPECT_THAT(server.Get("/metrics", &code),
              HasSubstr("ovdiff_store_healthy 0"));
}

// The classes of a new version are on the device before anybody gets it.
TEST_F(StoreStateTest, AVersionSwitchCostsNoSegmentALoad) {
  Fill();
  const auto store = Open();
  TestServer server(engine_, *store);
  EXPECT_EQ(server.Add("shop", {"white swan"}).state(),
            v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(engine_.num_loaded, 0);  // A vocabulary that is not in use waits.
  v1::SegmentResponse response;
  ASSERT_TRUE(server.Segment(Request(), &response).ok());
  EXPECT_EQ(engine_.num_loaded, 3);
  EXPECT_EQ(server.Add("shop", {"blue car"}).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(engine_.num_loaded, 4);
  ASSERT_TRUE(server.Segment(Request(), &response).ok());
  EXPECT_EQ(response.version(), 4);
  EXPECT_EQ(engine_.num_loaded, 4);
}

TEST_F(StoreStateTest, AVocabularyIsLoadedInFewReads) {
  const auto store = Open();
  TestServer server(engine_, *store);
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) {
    names.push_back(absl::StrCat("thing ", i));
  }
  server.Add("shop", names);
  v1::SegmentResponse response;
  ASSERT_TRUE(server.Segment(Request(), &response).ok());
  EXPECT_EQ(response.classes_size(), 40);
  EXPECT_EQ(engine_.num_loaded, 40);
  int code = 0;
  EXPECT_THAT(server.Get("/metrics", &code),
              HasSubstr("ovdiff_store_op_seconds_count{code=\"OK\","
                        "op=\"get_prototype_sets\"} 3"));
}

struct ToolResult {
  int code = -1;
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

ToolResult RunTool(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"ovdiffd", "store"};
  for (const std::string& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  std::ostringstream out;
  std::ostringstream err;
  ToolResult result;
  result.code =
      RunStoreTool(static_cast<int>(argv.size()), argv.data(), out, err);
  result.out = out.str();
  result.err = err.str();
  return result;
}

TEST_F(StoreStateTest, TheToolLooksAfterAClosedStore) {
  Fill();
  const ToolResult stats = RunTool({"stats", "--store", path(), "--json"});
  EXPECT_EQ(stats.code, kStoreToolOk) << stats.err;
  EXPECT_EQ(stats.json()["prototype_sets"], 2);
  EXPECT_EQ(stats.json()["classes"], 2);
  EXPECT_THAT(RunTool({"stats", "--store", path()}).out,
              HasSubstr("prototype_sets: 2\n"));
  const ToolResult verify = RunTool({"verify", "--store", path(), "--json"});
  EXPECT_EQ(verify.code, kStoreToolOk) << verify.err;
  EXPECT_EQ(verify.json()["num_problems"], 0);

  const std::string backups = folder_.path() + "/backups";
  EXPECT_EQ(RunTool({"backup", "--store", path(), "--to", backups}).code,
            kStoreToolOk);
  EXPECT_EQ(RunTool({"backups", "--from", backups, "--json"})
                .json()["backups"]
                .size(),
            1u);
  const std::string copy = folder_.path() + "/copy";
  EXPECT_EQ(RunTool({"restore", "--from", backups, "--store", copy}).code,
            kStoreToolOk);
  EXPECT_EQ(
      RunTool({"stats", "--store", copy, "--json"}).json()["prototype_sets"],
      2);
  const ToolResult compact = RunTool({"compact", "--store", path(), "--json"});
  EXPECT_EQ(compact.code, kStoreToolOk) << compact.err;
  EXPECT_EQ(RunTool({"recover", "--store", path()}).code, kStoreToolOk);
}

TEST_F(StoreStateTest, TheToolFindsDamageAndTakesItOut) {
  const std::vector<store::ContentKey> keys = Fill();
  Damage(keys[0]);
  const ToolResult verify = RunTool({"verify", "--store", path(), "--json"});
  EXPECT_EQ(verify.code, kStoreToolProblems) << verify.err;
  ASSERT_EQ(verify.json()["problems"].size(), 1u);
  EXPECT_EQ(verify.json()["problems"][0]["users"][0], "default/shop: red boat");
  EXPECT_EQ(verify.json()["problems"][0]["dropped"], false);
  const ToolResult scrub = RunTool({"scrub", "--store", path(), "--json"});
  EXPECT_EQ(scrub.code, kStoreToolProblems) << scrub.err;
  EXPECT_EQ(scrub.json()["num_dropped"], 1);
  const auto store = Open();
  EXPECT_EQ(store->PrototypeSetStates(keys).value(),
            (std::vector{store::SetState::kAbsent, store::SetState::kPresent}));
}

TEST_F(StoreStateTest, TheToolDeletesGarbageOnlyWhenAskedTo) {
  Fill();
  {
    const auto store = Open();
    ASSERT_TRUE(store->RemoveClasses({.name = "shop"}, {{"red boat"}}).ok());
  }
  const std::vector<std::string> gc = {
      "gc", "--store",   path(), "--json", "--keep-versions",
      "1",  "--min-age", "0"};
  const ToolResult dry = RunTool(gc);
  EXPECT_EQ(dry.code, kStoreToolOk) << dry.err;
  EXPECT_EQ(dry.json()["prototype_sets"], 1);
  EXPECT_EQ(dry.json()["support_sets"], 1);
  EXPECT_EQ(dry.json()["dry_run"], true);
  std::vector<std::string> deleting = gc;
  deleting.push_back("--delete");
  const ToolResult done = RunTool(deleting);
  EXPECT_EQ(done.json()["bytes"], dry.json()["bytes"]);
  EXPECT_EQ(RunTool(gc).json()["bytes"], 0);
  EXPECT_EQ(Open()->Stats()->num_prototype_sets, 1);
}

TEST_F(StoreStateTest, TheToolsMistakesHaveTheirCodes) {
  EXPECT_EQ(RunTool({}).code, kStoreToolUsage);
  EXPECT_EQ(RunTool({"verify"}).code, kStoreToolUsage);
  EXPECT_EQ(RunTool({"frobnicate", "--store", path()}).code, kStoreToolUsage);
  EXPECT_EQ(RunTool({"--help"}).code, kStoreToolOk);
  const ToolResult none = RunTool({"stats", "--store", path()});
  EXPECT_EQ(none.code, kStoreToolFailed);
  EXPECT_THAT(none.err, HasSubstr(path()));
  EXPECT_FALSE(std::filesystem::exists(path()));
  const auto store = Open();
  const ToolResult held = RunTool({"stats", "--store", path()});
  EXPECT_EQ(held.code, kStoreToolFailed);
  EXPECT_THAT(held.err, HasSubstr("holds it open"));
}

}  // namespace
}  // namespace ovdiff::server
