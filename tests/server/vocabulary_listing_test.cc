// What is in a vocabulary: its classes and versions page by page, and classes
// that leave it.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/vocabulary_service_fixture.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
