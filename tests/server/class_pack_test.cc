// ExportVocabulary and DiffVocabularyVersions, and packs between two servers.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/pack/pack_reader.h"
#include "tests/server/pack_client.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClassPackTest : public ::testing::Test {
 protected:
  grpc::Status Diff(const v1::DiffVocabularyVersionsRequest& request,
                    v1::DiffVocabularyVersionsResponse* response) {
    grpc::ClientContext context;
    return here_.vocabulary->DiffVocabularyVersions(&context, request,
                                                    response);
  }
  static std::string LabelsOf(TestServer& server,
                              const std::string& vocabulary) {
    return server.LabelsOf(vocabulary, SolidImage(16, 8, 0xff0000, 0x0000ff));
  }
  static void Remove(TestServer& server, const std::string& vocabulary,
                     const std::string& name) {
    grpc::ClientContext context;
    v1::RemoveClassesRequest request;
    request.set_vocabulary(vocabulary);
    request.add_names(name);
    v1::RemoveClassesResponse response;
    EXPECT_TRUE(
        server.vocabulary->RemoveClasses(&context, request, &response).ok());
  }

  FakeEngine engine_;
  FakeEngine other_engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  std::unique_ptr<store::PrototypeStore> other_store_ =
      store::NewInMemoryStore();
  TestServer here_{engine_, *store_};
  TestServer there_{other_engine_, *other_store_};
};

TEST_F(ClassPackTest, AVocabularyMovesAndGivesTheSameLabels) {
  // A label that nobody has any more: labels must move, not be counted anew.
  here_.Add("shop", {"white cloud", "red boat", "blue sea"});
  Remove(here_, "shop", "white cloud");
  const std::string labels = LabelsOf(here_, "shop");
  const std::string pack = MustExport(here_, "shop");

  const auto response = MustImport(there_, {}, pack);
  EXPECT_EQ(response.vocabulary(), "shop");
  EXPECT_EQ(response.version(), 1);  // All classes at once.
  EXPECT_EQ(response.source_vocabulary(), "shop");
  EXPECT_EQ(response.bundle(), "fake");
  EXPECT_EQ(response.bundle_license(), "MIT");
  EXPECT_EQ(response.pack_bytes(), static_cast<int64_t>(pack.size()));
  ASSERT_EQ(response.classes_size(), 2);
  EXPECT_EQ(response.classes(0).name(), "red boat");
  EXPECT_EQ(response.classes(0).label(), 2);
  EXPECT_EQ(response.classes(1).label(), 3);
  EXPECT_EQ(response.classes(0).outcome(), v1::IMPORT_OUTCOME_ADDED);
  EXPECT_EQ(LabelsOf(there_, "shop"), labels);
  EXPECT_EQ(other_engine_.num_painted, 0);
  EXPECT_EQ(other_engine_.num_encoded, 0);
  // And what was moved is what is moved on.
  EXPECT_EQ(MustExport(there_, "shop").size(), pack.size());
}

TEST_F(ClassPackTest, TheSameVersionIsTheSameFile) {
  here_.Add("shop", {"red boat", "blue sea"});
  EXPECT_EQ(MustExport(here_, "shop", true), MustExport(here_, "shop", true));
  EXPECT_GT(MustExport(here_, "shop", true).size(),
            MustExport(here_, "shop", false).size());
}

TEST_F(ClassPackTest, LongRecordsTravelInParts) {
  // Pictures of this many make a record of several parts.
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_pictures(250);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(here_.Add(request, &messages).ok());
  // Solid pictures are small files: make one that is not.
  store::SupportRecord record;
  const auto vocabulary = store_->GetVocabulary({.name = "shop"}, 0);
  ASSERT_TRUE(vocabulary.ok());
  const auto& entry = vocabulary->classes[0];
  const auto stored = store_->GetSupportSet(entry.support_key);
  ASSERT_TRUE(stored.ok());
  const std::unique_ptr<store::PrototypeStore> big = store::NewInMemoryStore();
  record = *stored;
  record.pictures[0].attribution_width = 500;
  record.pictures[0].attribution_height = 500;
  record.pictures[0].attribution.assign(250000, 0.5f);
  ASSERT_TRUE(big->PutSupportSet(entry.support_key, record).ok());
  const auto set = store_->GetPrototypeSet(entry.prototype_key);
  ASSERT_TRUE(big->PutPrototypeSet(entry.prototype_key, *set).ok());
  store::NewClass added;
  added.name = entry.name;
  added.prompt = entry.prompt;
  added.prototype_key = entry.prototype_key;
  added.support_key = entry.support_key;
  ASSERT_TRUE(big->Publish({.name = "shop"}, {added}).ok());
  FakeEngine engine;
  TestServer server(engine, *big);
  const std::string pack = MustExport(server, "shop", true);
  EXPECT_GT(pack.size(), size_t{3} * (256 << 10));  // Four parts.
  EXPECT_TRUE(
      store::VerifyPack(store::SourceOf(pack), [](const store::PackItem&) {
        return absl::OkStatus();
      }).ok());
}

TEST_F(ClassPackTest, SomeClassesOfAnOldVersion) {
  here_.Add("shop", {"red boat", "blue sea"});
  Remove(here_, "shop", "blue sea");
  v1::ExportVocabularyRequest request;
  request.set_vocabulary("shop");
  request.set_version(1);
  request.add_classes("blue sea");
  request.set_license("CC0-1.0");
  std::string pack;
  const grpc::Status missing = Export(here_, request, &pack);
  // Version 1 has one class only: classes are published as they are built.
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(missing), "CLASS_NOT_FOUND");
  request.set_version(2);
  ASSERT_TRUE(Export(here_, request, &pack).ok());
  const auto response = MustImport(there_, ConfigFor("sea"), pack);
  ASSERT_EQ(response.classes_size(), 1);
  EXPECT_EQ(response.classes(0).name(), "blue sea");
  EXPECT_EQ(response.license(), "CC0-1.0");
  EXPECT_EQ(response.source_version(), 2);
}

TEST_F(ClassPackTest, WhatCannotBeExportedIsSaid) {
  v1::ExportVocabularyRequest request;
  std::string pack;
  request.set_vocabulary("No Such Name");
  EXPECT_EQ(Export(here_, request, &pack).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_vocabulary("nothing");
  EXPECT_EQ(Reason(Export(here_, request, &pack)), "VOCABULARY_NOT_FOUND");
  here_.Add("shop", {"red boat"});
  Remove(here_, "shop", "red boat");
  request.set_vocabulary("shop");
  EXPECT_EQ(Reason(Export(here_, request, &pack)), "VOCABULARY_EMPTY");
  request.set_version(1);
  request.set_license(std::string(1001, 'x'));
  EXPECT_EQ(Export(here_, request, &pack).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(pack.empty());
}

TEST_F(ClassPackTest, ACallerThatHangsUpFreesItsSlot) {
  ServerOptions options = TestOptions();
  options.limits.max_exports = 1;
  TestServer server(engine_, *store_, options);
  server.Add("shop", {"red boat"});
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    v1::ExportVocabularyRequest request;
    request.set_vocabulary("shop");
    auto reader = server.vocabulary->ExportVocabulary(&context, request);
    context.TryCancel();
    reader->Finish();
  }
  // The last one's end may still be on its way.
  v1::ExportVocabularyRequest request;
  request.set_vocabulary("shop");
  grpc::Status status;
  for (int i = 0; i < 500; ++i) {
    std::string pack;
    status = Export(server, request, &pack);
    if (status.ok()) {
      break;
    }
    EXPECT_EQ(Reason(status), "QUEUE_FULL");
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ClassPackTest, TheDifferenceOfTwoVersions) {
  here_.Add("shop", {"red boat", "blue sea"});
  Remove(here_, "shop", "blue sea");
  v1::AddClassesRequest request = AddRequest("shop", {"red boat", "wine"});
  request.mutable_classes(0)->set_prompt("green boat");
  request.mutable_classes(1)->set_prompt("green wine");
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(here_.Add(request, &messages).ok());

  v1::DiffVocabularyVersionsRequest diff;
  diff.mutable_from()->set_vocabulary("shop");
  diff.mutable_from()->set_version(2);
  diff.mutable_to()->set_vocabulary("shop");
  v1::DiffVocabularyVersionsResponse response;
  ASSERT_TRUE(Diff(diff, &response).ok());
  EXPECT_EQ(response.from().version(), 2);
  EXPECT_EQ(response.to().version(), 5);
  ASSERT_EQ(response.added_size(), 1);
  EXPECT_EQ(response.added(0).name(), "wine");
  ASSERT_EQ(response.removed_size(), 1);
  EXPECT_EQ(response.removed(0).name(), "blue sea");
  ASSERT_EQ(response.changed_size(), 1);
  EXPECT_EQ(response.changed(0).before().prompt(), "red boat");
  EXPECT_EQ(response.changed(0).after().prompt(), "green boat");
  EXPECT_FALSE(response.changed(0).other_encoder());
  ASSERT_EQ(response.changed(0).drift_size(), 1);
  EXPECT_EQ(response.changed(0).drift(0).space(), "rgb");
  EXPECT_LT(response.changed(0).drift(0).cosine(), 0.5);  // Red to green.
  ASSERT_EQ(response.newly_confusable_size(), 1);         // Two greens.
  EXPECT_EQ(response.newly_confusable(0).first(), "red boat");
  EXPECT_EQ(response.newly_confusable(0).second(), "wine");
  EXPECT_GT(response.newly_confusable(0).cosine(), 0.99);
  EXPECT_DOUBLE_EQ(response.confusable_threshold(), 0.95);
}

TEST_F(ClassPackTest, ADifferenceOfNothingIsSaid) {
  here_.Add("shop", {"red boat"});
  v1::DiffVocabularyVersionsRequest request;
  v1::DiffVocabularyVersionsResponse response;
  EXPECT_EQ(Diff(request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_from()->set_vocabulary("shop");
  request.mutable_from()->set_version(7);
  request.mutable_to()->set_vocabulary("shop");
  const grpc::Status missing = Diff(request, &response);
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(missing.error_message(), HasSubstr("version 7"));
  request.mutable_from()->set_version(1);
  request.set_confusable_threshold(1.5);
  EXPECT_EQ(Diff(request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace ovdiff::server
