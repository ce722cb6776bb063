// Given pictures that may not show their class, through the server.
#include "server/doubtful_pictures.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/image_codec.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint32_t kRed = 0xE02020;
constexpr uint32_t kBlue = 0x2020E0;

v1::GivenPicture Given(uint32_t colour) {
  v1::GivenPicture picture;
  *picture.mutable_image() = SolidImage(8, 8, colour);
  return picture;
}

class DoubtfulPicturesTest : public ::testing::Test {
 protected:
  // Adds a class of the given pictures alone; what is said of them.
  std::vector<std::pair<int, std::string>> Add(
      const std::string& name, const std::vector<v1::GivenPicture>& pictures,
      v1::ClassKind kind = v1::CLASS_KIND_THING) {
    v1::AddClassesRequest request = AddRequest("shop", {name});
    v1::ClassSpec& spec = *request.mutable_classes(0);
    spec.set_kind(kind);
    spec.set_only_given_pictures(true);
    spec.mutable_pictures()->Assign(pictures.begin(), pictures.end());
    std::vector<std::pair<int, std::string>> doubtful;
    const v1::Job job = Send(request);
    for (const v1::DoubtfulPicture& row : job.classes(0).doubtful_pictures()) {
      doubtful.emplace_back(row.index(), row.found());
    }
    return doubtful;
  }
  v1::Job Send(const v1::AddClassesRequest& request) {
    std::vector<v1::AddClassesResponse> messages;
    const grpc::Status status = server_.Add(request, &messages);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(messages.back().job().state(), v1::JOB_STATE_SUCCEEDED);
    return messages.back().job();
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(DoubtfulPicturesTest, NamesWhatIsFoundInstead) {
  Send(AddRequest("shop", {"blue car", "green bus"}));
  EXPECT_THAT(Add("red boat", {Given(kRed), Given(kBlue)}),
              ElementsAre(Pair(1, "blue car")));
}

TEST_F(DoubtfulPicturesTest, IsSaidAgainOfAClassThatIsLinked) {
  Send(AddRequest("shop", {"blue car"}));
  EXPECT_THAT(Add("red boat", {Given(kBlue)}),
              ElementsAre(Pair(0, "blue car")));
  const int encoded = engine_.num_encoded;
  EXPECT_THAT(Add("red boat", {Given(kBlue)}),
              ElementsAre(Pair(0, "blue car")));
  EXPECT_EQ(engine_.num_encoded, encoded);
}

// Each is compared with the other, whichever was built first.
TEST_F(DoubtfulPicturesTest, SwappedPicturesOfOneRequest) {
  v1::AddClassesRequest request = AddRequest("shop", {"red boat", "blue car"});
  for (int i = 0; i < 2; ++i) {
    v1::ClassSpec& spec = *request.mutable_classes(i);
    spec.set_only_given_pictures(true);
    *spec.add_pictures() = Given(i == 0 ? kBlue : kRed);
  }
  const v1::Job job = Send(request);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(job.classes(i).doubtful_pictures_size(), 1) << i;
    EXPECT_EQ(job.classes(i).doubtful_pictures(0).found(),
              i == 0 ? "blue car" : "red boat");
  }
}

TEST_F(DoubtfulPicturesTest, ASynonymIsTheClassToo) {
  // Without the synonym the picture is doubtful: see NamesWhatIsFoundInstead.
  Send(AddRequest("shop", {"blue car"}));
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.mutable_classes(0)->add_synonyms("blue boat");
  *request.mutable_classes(0)->add_pictures() = Given(kBlue);
  EXPECT_THAT(Send(request).classes(0).doubtful_pictures(), IsEmpty());
}

TEST_F(DoubtfulPicturesTest, ItStaysInTheJobsRecord) {
  Send(AddRequest("shop", {"blue car"}));
  v1::AddClassesRequest request = AddRequest("shop", {"red boat"});
  request.set_request_id("kept");
  request.mutable_classes(0)->set_only_given_pictures(true);
  *request.mutable_classes(0)->add_pictures() = Given(kBlue);
  Send(request);
  TestServer after(engine_, *store_);
  const v1::Job job = after.AwaitJob("kept");
  ASSERT_EQ(job.classes(0).doubtful_pictures_size(), 1);
  EXPECT_EQ(job.classes(0).doubtful_pictures(0).found(), "blue car");
}

TEST_F(DoubtfulPicturesTest, NotBeingAbleToSayChangesNothingElse) {
  Send(AddRequest("shop", {"blue car unnameable"}));
  EXPECT_THAT(Add("red boat", {Given(kBlue)}), IsEmpty());
}

TEST_F(DoubtfulPicturesTest, AMaskSaysWhereTheObjectIs) {
  Send(AddRequest("shop", {"blue car"}));
  v1::GivenPicture masked = Given(kBlue);
  const Mask mask{.width = 8, .height = 8, .data = std::vector<uint8_t>(64, 1)};
  masked.set_mask(EncodeMaskPng(mask).value());
  EXPECT_THAT(Add("red boat", {masked, Given(kRed)}), IsEmpty());
  // Pictures keep their places in the request.
  EXPECT_THAT(Add("green boat", {masked, Given(kBlue)}),
              ElementsAre(Pair(1, "blue car")));
}

TEST_F(DoubtfulPicturesTest, NothingToCompareWithNothingSaid) {
  EXPECT_THAT(Add("red boat", {Given(kBlue)}), IsEmpty());
  Send(AddRequest("shop", {"blue car"}));
  EXPECT_THAT(Add("red carpet", {Given(kBlue)}, v1::CLASS_KIND_STUFF),
              IsEmpty());
}

}  // namespace
}  // namespace ovdiff::server
