#include "server/vocabulary_service.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/palette.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class VocabularyServiceTest : public ::testing::Test {
 protected:
  grpc::Status List(const v1::ListClassesRequest& request,
                    v1::ListClassesResponse* response) {
    grpc::ClientContext context;
    return server_.vocabulary->ListClasses(&context, request, response);
  }
  std::vector<std::string> Names(const std::string& vocabulary) {
    v1::ListClassesRequest request;
    request.set_vocabulary(vocabulary);
    v1::ListClassesResponse response;
    EXPECT_TRUE(List(request, &response).ok());
    std::vector<std::string> names;
    for (const auto& one : response.classes()) {
      names.push_back(one.name());
    }
    return names;
  }
  grpc::Status Remove(const std::string& vocabulary,
                      const std::vector<std::string>& names,
                      v1::RemoveClassesResponse* response) {
    grpc::ClientContext context;
    v1::RemoveClassesRequest request;
    request.set_vocabulary(vocabulary);
    for (const std::string& name : names) {
      request.add_names(name);
    }
    return server_.vocabulary->RemoveClasses(&context, request, response);
  }
  // Expects AddClasses to refuse `request`, naming `field`.
  std::string ExpectRefused(const v1::AddClassesRequest& request,
                            const std::string& field) {
    std::vector<v1::AddClassesResponse> messages;
    const grpc::Status status = server_.Add(request, &messages);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    EXPECT_TRUE(messages.empty());
    const auto bad = FindDetail<google::rpc::BadRequest>(Details(status));
    EXPECT_TRUE(bad.has_value());
    if (bad.has_value()) {
      EXPECT_EQ(bad->field_violations(0).field(), field);
    }
    EXPECT_EQ(engine_.num_painted, 0);
    return status.error_message();
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(VocabularyServiceTest, AddsClassesAndStreamsTheirProgress) {
  std::vector<v1::AddClassesResponse> messages;
  v1::AddClassesRequest request = AddRequest("shop", {"red boat", "sky"});
  request.mutable_classes(1)->set_kind(v1::CLASS_KIND_STUFF);
  request.mutable_classes(1)->set_prompt("  Blue   SKY ");
  ASSERT_TRUE(server_.Add(request, &messages).ok());

  ASSERT_FALSE(messages.empty());
  EXPECT_EQ(messages.front().job().classes_size(), 2);
  for (size_t i = 0; i + 1 < messages.size(); ++i) {
    EXPECT_FALSE(messages[i].last());
  }
  EXPECT_TRUE(messages.back().last());
  const v1::Job& job = messages.back().job();
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.vocabulary(), "shop");
  EXPECT_EQ(job.version(), 2);
  EXPECT_EQ(job.fingerprints().generator().size(), 64u);
  ASSERT_EQ(job.classes_size(), 2);
  for (const v1::ClassProgress& progress : job.classes()) {
    EXPECT_EQ(progress.stage(), v1::CLASS_STAGE_DONE);
    EXPECT_EQ(progress.cache_hit(), v1::CACHE_HIT_NONE);
    EXPECT_EQ(progress.fraction_done(), 1.0);
    EXPECT_EQ(progress.num_pictures(), 3);
    EXPECT_EQ(progress.pictures_done(), 3);
  }

  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  EXPECT_EQ(listed.version(), 2);
  EXPECT_EQ(listed.total_size(), 2);
  ASSERT_EQ(listed.classes_size(), 2);
  EXPECT_EQ(listed.classes(0).label(), job.classes(0).label());
  EXPECT_EQ(listed.classes(0).colour(),
            static_cast<int32_t>(LabelColour(listed.classes(0).label())));
  EXPECT_EQ(listed.classes(1).kind(), v1::CLASS_KIND_STUFF);
  EXPECT_EQ(listed.classes(1).prompt(), "blue sky");
  EXPECT_EQ(listed.classes(1).prototype_key().size(), 64u);
}

TEST_F(VocabularyServiceTest, TheServerKnowsStuffThatTheCallerDoesNotName) {
  std::vector<v1::AddClassesResponse> messages;
  v1::AddClassesRequest request =
      AddRequest("shop", {"red boat", "blue sky", "green grass"});
  request.mutable_classes(2)->set_kind(v1::CLASS_KIND_THING);
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  const v1::Job& job = messages.back().job();
  ASSERT_EQ(job.classes_size(), 3);
  EXPECT_EQ(job.classes(0).kind(), v1::CLASS_KIND_THING);
  EXPECT_EQ(job.classes(1).kind(), v1::CLASS_KIND_STUFF);
  EXPECT_EQ(job.classes(2).kind(), v1::CLASS_KIND_THING);
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  ASSERT_EQ(listed.classes_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(listed.classes(i).kind(), job.classes(i).kind());
  }
}

// A kind is part of the vocabulary, not of the prototypes.
TEST_F(VocabularyServiceTest, AnotherKindLinksTheSamePrototypes) {
  server_.Add("shop", {"blue sky"});
  v1::AddClassesRequest request = AddRequest("shop", {"blue sky"});
  request.mutable_classes(0)->set_kind(v1::CLASS_KIND_THING);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  EXPECT_EQ(messages.back().job().classes(0).cache_hit(),
            v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(engine_.num_painted, 1);
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse listed;
  ASSERT_TRUE(List(list, &listed).ok());
  EXPECT_EQ(listed.version(), 2);
  EXPECT_EQ(listed.classes(0).kind(), v1::CLASS_KIND_THING);
}

TEST_F(VocabularyServiceTest, ProgressIsCoalescedAndNeverFalls) {
  engine_.paint_gate.Close();
  grpc::ClientContext context;
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_steps(1000);
  auto reader = server_.vocabulary->AddClasses(&context, request);
  v1::AddClassesResponse message;
  ASSERT_TRUE(reader->Read(&message));
  engine_.paint_gate.Open();
  int count = 0;
  double fraction = 0;
  while (reader->Read(&message)) {
    ++count;
    if (message.job().classes().empty()) {
      continue;  // The job's own state changed.
    }
    EXPECT_GE(message.job().classes(0).fraction_done(), fraction);
    fraction = message.job().classes(0).fraction_done();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(fraction, 1.0);
  // A thousand steps, a handful of messages.
  EXPECT_LE(count, 50);
}

TEST_F(VocabularyServiceTest, StoredPrototypesAreLinkedNotBuilt) {
  server_.Add("shop", {"red boat", "blue car"});
  EXPECT_EQ(engine_.num_painted, 2);
  // Another team, other spelling: the same content.
  const v1::Job job =
      server_.Add("yard", {"Red  Boat", "blue car", "green bus"});
  EXPECT_EQ(engine_.num_painted, 3);
  EXPECT_EQ(job.classes(0).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(job.classes(1).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(job.classes(2).cache_hit(), v1::CACHE_HIT_NONE);
  // Both links in one version, the built class in another.
  EXPECT_EQ(job.version(), 2);
}

TEST_F(VocabularyServiceTest, StoredPicturesAreEncodedNotPainted) {
  server_.Add("shop", {"red boat"});
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_options()->set_num_parts(7);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  EXPECT_EQ(messages.back().job().classes(0).cache_hit(),
            v1::CACHE_HIT_PICTURES);
  EXPECT_EQ(engine_.num_painted, 1);
  EXPECT_EQ(engine_.num_encoded, 2);
}

TEST_F(VocabularyServiceTest, OneBadClassFailsAlone) {
  const v1::Job job = server_.Add(
      "shop", {"red boat", "unpaintable thing", "invisible man", "blue car"});
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.classes(0).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_EQ(job.classes(3).stage(), v1::CLASS_STAGE_DONE);

  const v1::ClassProgress& unpaintable = job.classes(1);
  EXPECT_EQ(unpaintable.stage(), v1::CLASS_STAGE_FAILED);
  EXPECT_EQ(unpaintable.error().code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(unpaintable.error().message(), HasSubstr("unpaintable thing"));
  // Paths of this machine stay in its log.
  EXPECT_THAT(unpaintable.error().message(),
              ::testing::Not(HasSubstr("/srv/models")));
  EXPECT_TRUE(
      FindDetail<google::rpc::ErrorInfo>(unpaintable.error()).has_value());

  const v1::ClassProgress& invisible = job.classes(2);
  EXPECT_EQ(invisible.error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(invisible.error())->reason(),
            "NO_FOREGROUND");
  EXPECT_THAT(Names("shop"), ElementsAre("red boat", "blue car"));
}

TEST_F(VocabularyServiceTest, RefusesBadNames) {
  ExpectRefused(AddRequest("shop", {}), "classes");
  ExpectRefused(AddRequest("shop", {""}), "classes[0].name");
  ExpectRefused(AddRequest("shop", {"a", " \t "}), "classes[1].name");
  EXPECT_THAT(ExpectRefused(AddRequest("shop", {std::string(10000, 'x')}),
                            "classes[0].name"),
              HasSubstr("10000 characters; at most 200"));
  ExpectRefused(AddRequest("shop", {"red\nboat"}), "classes[0].name");
  ExpectRefused(AddRequest("shop", {std::string("a\0b", 3)}),
                "classes[0].name");
  EXPECT_THAT(ExpectRefused(AddRequest("shop", {"Red boat", "red  BOAT"}),
                            "classes[1].name"),
              HasSubstr("same class as classes[0]"));
  for (const char* name : {"", "Shop", "-shop", "a b", "ü"}) {
    ExpectRefused(AddRequest(name, {"boat"}), "vocabulary");
  }
  ExpectRefused(AddRequest(std::string(65, 'a'), {"boat"}), "vocabulary");
  v1::AddClassesRequest request = AddRequest("shop", {"boat"});
  request.set_request_id("no spaces");
  ExpectRefused(request, "request_id");
  request = AddRequest("shop", {"boat"});
  request.mutable_classes(0)->set_kind(static_cast<v1::ClassKind>(9));
  ExpectRefused(request, "classes[0].kind");
  request = AddRequest("shop", {"boat"});
  request.mutable_options()->set_num_pictures(0);
  ExpectRefused(request, "options.num_pictures");
  request.mutable_options()->set_num_pictures(100000);
  ExpectRefused(request, "options.num_pictures");
  request = AddRequest("shop", {"boat"});
  request.mutable_options()->set_guidance_scale(-1);
  ExpectRefused(request, "options");
  request = AddRequest("shop", {"boat", "long"});
  request.mutable_classes(1)->set_prompt(
      "a b c d e f g h i j k l m n o p q r s t u v w");
  EXPECT_THAT(ExpectRefused(request, "classes[1].prompt"),
              HasSubstr("23 tokens"));
}

TEST_F(VocabularyServiceTest, RefusesANameThatDiffersInCaseOnly) {
  server_.Add("shop", {"red boat"});
  std::vector<v1::AddClassesResponse> messages;
  const grpc::Status status =
      server_.Add(AddRequest("shop", {"Red Boat"}), &messages);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(status), "DUPLICATE_CLASS");
}

TEST_F(VocabularyServiceTest, ValidateOnlyStartsNothing) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.set_validate_only(true);
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_.Add(request, &messages).ok());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_TRUE(messages[0].last());
  EXPECT_EQ(messages[0].job().state(), v1::JOB_STATE_VALIDATED);
  EXPECT_EQ(engine_.num_painted, 0);
  request.mutable_classes(0)->set_name("");
  EXPECT_FALSE(server_.Add(request, &messages).ok());
}

TEST_F(VocabularyServiceTest, AProfileIsAnotherJobWithOtherFingerprints) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.set_validate_only(true);
  std::vector<v1::AddClassesResponse> plain;
  ASSERT_TRUE(server_.Add(request, &plain).ok());
  request.set_profile("quick");
  std::vector<v1::AddClassesResponse> quick;
  ASSERT_TRUE(server_.Add(request, &quick).ok());
  EXPECT_NE(plain[0].job().id(), quick[0].job().id());
  EXPECT_NE(plain[0].job().fingerprints().generator(),
            quick[0].job().fingerprints().generator());
  // What the request says lies over the profile.
  request.mutable_options()->set_num_steps(4);
  std::vector<v1::AddClassesResponse> both;
  ASSERT_TRUE(server_.Add(request, &both).ok());
  EXPECT_EQ(plain[0].job().fingerprints().generator(),
            both[0].job().fingerprints().generator());
  request.set_profile("heavy");
  EXPECT_THAT(ExpectRefused(request, "options"),
              HasSubstr("num_parts is 1000"));
  request.mutable_options()->set_num_parts(5);
  std::vector<v1::AddClassesResponse> lighter;
  EXPECT_TRUE(server_.Add(request, &lighter).ok());
}

TEST_F(VocabularyServiceTest, PagesThroughClassesOfOneVersion) {
  std::vector<std::string> names;
  for (int i = 0; i < 7; ++i) {
    names.push_back(absl::StrCat("class ", i));
  }
  server_.Add("shop", names);
  v1::ListClassesRequest request;
  request.set_vocabulary("shop");
  request.set_page_size(3);
  v1::ListClassesResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_EQ(page.classes_size(), 3);
  EXPECT_EQ(page.total_size(), 7);
  // Classes that come meanwhile do not disturb the listing.
  server_.Add("shop", {"late"});
  std::vector<std::string> seen;
  while (true) {
    for (const auto& one : page.classes()) {
      seen.push_back(one.name());
    }
    if (page.next_page_token().empty()) {
      break;
    }
    request.set_page_token(page.next_page_token());
    page.Clear();
    ASSERT_TRUE(List(request, &page).ok());
  }
  EXPECT_EQ(seen, names);
}

TEST_F(VocabularyServiceTest, RefusesForeignPageTokens) {
  server_.Add("shop", {"a", "b"});
  server_.Add("yard", {"a", "b"});
  v1::ListClassesRequest request;
  request.set_vocabulary("shop");
  request.set_page_size(1);
  v1::ListClassesResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  request.set_page_token(page.next_page_token());
  request.set_vocabulary("yard");
  EXPECT_EQ(Reason(List(request, &page)), "INVALID_PAGE_TOKEN");
  request.set_vocabulary("shop");
  request.set_version(1);
  EXPECT_EQ(Reason(List(request, &page)), "INVALID_PAGE_TOKEN");
  request.set_version(0);
  request.set_page_token("gibberish");
  EXPECT_EQ(Reason(List(request, &page)), "INVALID_PAGE_TOKEN");
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(List(request, &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_size(0);
  request.set_version(-3);
  EXPECT_EQ(List(request, &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_version(99);
  EXPECT_EQ(List(request, &page).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(VocabularyServiceTest, RemovesClassesAndKeepsOldVersions) {
  server_.Add("shop", {"red boat", "blue car"});
  v1::RemoveClassesResponse response;
  ASSERT_TRUE(Remove("shop", {"red boat"}, &response).ok());
  EXPECT_THAT(Names("shop"), ElementsAre("blue car"));
  v1::ListClassesRequest request;
  request.set_vocabulary("shop");
  request.set_version(response.version() - 1);
  v1::ListClassesResponse old;
  ASSERT_TRUE(List(request, &old).ok());
  EXPECT_EQ(old.classes_size(), 2);

  grpc::Status status = Remove("shop", {"blue car", "red boat"}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "CLASS_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("red boat"));
  EXPECT_THAT(Names("shop"), ElementsAre("blue car"));
  status = Remove("nowhere", {"x"}, &response);
  EXPECT_EQ(Reason(status), "VOCABULARY_NOT_FOUND");
  EXPECT_EQ(
      FindDetail<google::rpc::ResourceInfo>(Details(status))->resource_name(),
      "nowhere");
  EXPECT_EQ(Remove("shop", {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(VocabularyServiceTest, ARemovedClassComesBackWithItsLabel) {
  const v1::Job first = server_.Add("shop", {"red boat", "blue car"});
  v1::RemoveClassesResponse response;
  ASSERT_TRUE(Remove("shop", {"red boat"}, &response).ok());
  const v1::Job again = server_.Add("shop", {"red boat"});
  EXPECT_EQ(again.classes(0).label(), first.classes(0).label());
  EXPECT_EQ(again.classes(0).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
  EXPECT_EQ(engine_.num_painted, 2);
}

TEST_F(VocabularyServiceTest, ListsVocabulariesInPages) {
  for (const char* name : {"c", "a", "b"}) {
    server_.Add(name, {"red boat"});
  }
  grpc::ClientContext first_context;
  v1::ListVocabulariesRequest request;
  request.set_page_size(2);
  v1::ListVocabulariesResponse response;
  ASSERT_TRUE(
      server_.vocabulary->ListVocabularies(&first_context, request, &response)
          .ok());
  ASSERT_EQ(response.vocabularies_size(), 2);
  EXPECT_EQ(response.vocabularies(0).name(), "a");
  EXPECT_EQ(response.vocabularies(1).num_classes(), 1);
  grpc::ClientContext second_context;
  request.set_page_token(response.next_page_token());
  response.Clear();
  ASSERT_TRUE(
      server_.vocabulary->ListVocabularies(&second_context, request, &response)
          .ok());
  ASSERT_EQ(response.vocabularies_size(), 1);
  EXPECT_EQ(response.vocabularies(0).name(), "c");
  EXPECT_EQ(response.next_page_token(), "");
}

}  // namespace
}  // namespace ovdiff::server
