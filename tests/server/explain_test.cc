// SegmentationService.Explain.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/imgcodecs.hpp"
#include "server/encoder_options.h"
#include "server/picture_resize.h"
#include "server/prompt_spec.h"
#include "server/source_pictures.h"
#include "server/support_records.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

cv::Mat Decode(const std::string& png) {
  return cv::imdecode(std::vector<uint8_t>(png.begin(), png.end()),
                      cv::IMREAD_UNCHANGED);
}

class ExplainTest : public ::testing::Test {
 protected:
  // The left half of the picture is red, the right half blue.
  static v1::ExplainRequest At(int x, int y) {
    v1::ExplainRequest request;
    request.set_vocabulary("shop");
    *request.mutable_image() = SolidImage(30, 20, 0x2020E0, 0xE02020);
    request.mutable_point()->set_x(x);
    request.mutable_point()->set_y(y);
    return request;
  }
  static v1::ExplainRequest Of(const std::string& class_name) {
    v1::ExplainRequest request = At(0, 0);
    request.set_class_name(class_name);
    return request;
  }

  grpc::Status Explain(const v1::ExplainRequest& request,
                       v1::ExplainResponse* response) {
    grpc::ClientContext context;
    return server_.segmentation->Explain(&context, request, response);
  }
  grpc::Status Explain(const v1::ExplainRequest& request) {
    v1::ExplainResponse response;
    return Explain(request, &response);
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(ExplainTest, NamesTheBestClassesAndTheirPrototypes) {
  const v1::Job job =
      server_.Add("shop", {"red boat", "blue car", "unseen thing"});
  v1::ExplainResponse response;
  const grpc::Status status = Explain(At(2, 3), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.point().x(), 2);
  EXPECT_EQ(response.point().y(), 3);
  EXPECT_EQ(response.label(), job.classes(0).label());
  EXPECT_EQ(response.vocabulary(), "shop");
  EXPECT_EQ(response.version(), job.version());
  EXPECT_THAT(response.filtered_classes(), ElementsAre("unseen thing"));
  EXPECT_GT(response.timing().total_seconds(), 0);
  ASSERT_EQ(response.classes_size(), 3);
  EXPECT_EQ(response.classes(0).name(), "red boat");
  EXPECT_EQ(response.classes(0).label(), job.classes(0).label());
  EXPECT_GT(response.classes(0).colour(), 0);
  EXPECT_GT(response.classes(0).score(), 0.99);
  EXPECT_EQ(response.classes(1).name(), "");
  EXPECT_EQ(response.classes(1).label(), 0);
  EXPECT_EQ(response.classes(1).spaces_size(), 0);
  EXPECT_EQ(response.classes(2).name(), "blue car");
  ASSERT_EQ(response.classes(0).spaces_size(), 1);
  const v1::SpaceEvidence& space = response.classes(0).spaces(0);
  EXPECT_EQ(space.space(), "rgb");
  EXPECT_EQ(space.winner().class_name(), "red boat");
  EXPECT_EQ(space.winner().level(), v1::PROTOTYPE_LEVEL_INSTANCE);
  EXPECT_EQ(space.winner().index(), 0);
  EXPECT_EQ(space.winner().source_picture(), 0);
  EXPECT_GT(space.winner().cosine(), 0.99);
  EXPECT_EQ(space.winner().picture_png(), "");
  EXPECT_FALSE(space.has_runner_up());
}

TEST_F(ExplainTest, AClassIsThereHoweverManyAreBetter) {
  server_.Add("shop", {"red boat", "blue car"});
  v1::ExplainRequest request = Of("blue car");
  request.set_max_classes(2);
  v1::ExplainResponse response;
  ASSERT_TRUE(Explain(request, &response).ok());
  ASSERT_EQ(response.classes_size(), 2);
  EXPECT_EQ(response.classes(0).name(), "red boat");
  EXPECT_EQ(response.classes(1).name(), "blue car");
  request.set_max_classes(1);
  ASSERT_TRUE(Explain(request, &response).ok());
  ASSERT_EQ(response.classes_size(), 1);
  EXPECT_EQ(response.classes(0).name(), "blue car");
  // The pixel's label is another matter.
  EXPECT_NE(response.label(), response.classes(0).label());
}

TEST_F(ExplainTest, SendsPicturesWithTheirMasks) {
  server_.Add("shop", {"red boat", "blue car"});
  v1::ExplainRequest request = At(29, 3);
  request.set_include_pictures(true);
  v1::ExplainResponse response;
  ASSERT_TRUE(Explain(request, &response).ok());
  EXPECT_EQ(response.classes(0).name(), "blue car");
  const v1::SpaceEvidence& space = response.classes(0).spaces(0);
  const cv::Mat picture = Decode(space.winner().picture_png());
  const cv::Mat mask = Decode(space.winner().mask_png());
  ASSERT_EQ(picture.size(), cv::Size(16, 16));
  EXPECT_EQ(picture.at<cv::Vec3b>(5, 5), cv::Vec3b(0xE1, 0x21, 0x21));
  ASSERT_EQ(mask.size(), picture.size());
  ASSERT_EQ(mask.type(), CV_8UC1);
  EXPECT_EQ(mask.at<uint8_t>(5, 7), 255);
  EXPECT_EQ(mask.at<uint8_t>(5, 8), 0);
}

TEST_F(ExplainTest, PicturesThatAreNotStoredAreLeftOut) {
  server_.Add("shop", {"red boat"});
  // The same class in a store without its pictures.
  const auto head = store_->GetVocabulary({.name = "shop"}, 0);
  ASSERT_TRUE(head.ok());
  store::NewClass copy;
  copy.name = "red boat";
  copy.prompt = "red boat";
  copy.prototype_key = head->classes[0].prototype_key;
  copy.support_key = Sha256Of("no such pictures");
  ASSERT_TRUE(store_->Publish({.name = "bare"}, {copy}).ok());
  v1::ExplainRequest request = At(0, 0);
  request.set_vocabulary("bare");
  request.set_include_pictures(true);
  v1::ExplainResponse response;
  const grpc::Status status = Explain(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.classes(0).spaces(0).winner().source_picture(), 0);
  EXPECT_EQ(response.classes(0).spaces(0).winner().picture_png(), "");
  EXPECT_EQ(response.classes(0).spaces(0).winner().mask_png(), "");
}

TEST_F(ExplainTest, SaysWhatIsWrongWithTheRequest) {
  server_.Add("shop", {"red boat", "blue car", "unseen thing"});
  for (const auto& [x, y] : {std::pair{30, 0}, {0, 20}, {-1, 0}, {0, -1}}) {
    const grpc::Status status = Explain(At(x, y));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(Reason(status), "INVALID_FIELD");
    EXPECT_THAT(status.error_message(), HasSubstr("30x20"));
    const auto field = FindDetail<google::rpc::BadRequest>(Details(status));
    ASSERT_TRUE(field.has_value());
    EXPECT_EQ(field->field_violations(0).field(), "point");
  }
  v1::ExplainRequest nothing = At(0, 0);
  nothing.clear_target();
  EXPECT_EQ(Reason(Explain(nothing)), "INVALID_FIELD");
  for (const int count : {-1, 17}) {
    v1::ExplainRequest many = At(0, 0);
    many.set_max_classes(count);
    EXPECT_EQ(Reason(Explain(many)), "INVALID_FIELD");
  }
  v1::ExplainRequest no_picture = At(0, 0);
  no_picture.clear_image();
  EXPECT_EQ(Reason(Explain(no_picture)), "INVALID_IMAGE");

  grpc::Status status = Explain(Of("red boot"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Reason(status), "CLASS_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("did you mean \"red boat\""));
  v1::ExplainRequest subset = Of("red boat");
  subset.add_classes("blue car");
  status = Explain(subset);
  EXPECT_EQ(Reason(status), "INVALID_FIELD");
  EXPECT_THAT(status.error_message(), HasSubstr("not among classes"));
  status = Explain(Of("unseen thing"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "CLASS_FILTERED");
  EXPECT_THAT(status.error_message(), HasSubstr("unseen thing"));
  v1::ExplainRequest elsewhere = At(0, 0);
  elsewhere.set_vocabulary("nowhere");
  EXPECT_EQ(Reason(Explain(elsewhere)), "VOCABULARY_NOT_FOUND");
}

TEST_F(ExplainTest, AClassOfOtherEncodersIsStale) {
  server_.Add("shop", {"red boat"});
  FakeEngine other("other bundle");
  TestServer moved(other, *store_);
  grpc::ClientContext context;
  v1::ExplainResponse response;
  const grpc::Status status =
      moved.segmentation->Explain(&context, At(0, 0), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "PROTOTYPE_STALE");
}

TEST_F(ExplainTest, IsCountedAndBoundedLikeSegment) {
  server_.Add("shop", {"red boat"});
  engine_.segment_gate.Close();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(100));
  v1::ExplainResponse response;
  EXPECT_EQ(
      server_.segmentation->Explain(&context, At(0, 0), &response).error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  engine_.segment_gate.Open();
  ASSERT_TRUE(Explain(At(0, 0)).ok());
  int code = 0;
  EXPECT_THAT(server_.Get("/metrics", &code),
              HasSubstr("grpc_method=\"Explain\""));
}

// The options that made a set are told by its fingerprint.
TEST(EncoderOptionsTest, FindsWhatARequestCanHaveSet) {
  const FakeEngine engine;
  store::PrototypeRecord record;
  FeatureSpacePrototypes& space = record.set.spaces.emplace_back();
  space.space = "rgb";
  space.dim = 1;
  space.foreground = {
      {1, 2, 3},
      {PrototypeLevel::kClass, PrototypeLevel::kPart, PrototypeLevel::kPart},
      {-1, 0, 0}};
  PrototypeOptions options = engine.info().prototype;
  record.encoder_fingerprint = engine.EncoderFingerprint(options);
  ASSERT_TRUE(FindEncoderOptions(engine, record).has_value());
  options.num_parts = 2;
  record.encoder_fingerprint = engine.EncoderFingerprint(options);
  const auto found = FindEncoderOptions(engine, record);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->num_parts, 2);
  options.num_parts = 7;
  record.encoder_fingerprint = engine.EncoderFingerprint(options);
  EXPECT_FALSE(FindEncoderOptions(engine, record).has_value());
}

// A class's own pictures have the class for foreground; what a negative shows
// is the class's background.
TEST(SourcePicturesTest, MasksAreOfTheSideThatTheyGaveVectorsTo) {
  FakeEngine engine;
  const auto store = store::NewInMemoryStore();
  v1::ClassSpec spec;
  spec.set_name("red boat");
  spec.add_negatives()->set_prompt("blue boat");
  Image image{.width = 512, .height = 256, .data = {}};
  image.data.assign(size_t{3} * 512 * 256, 99);
  const SupportPicture picture{
      .image = image, .attribution = {2, 2, {0, 0, 1, 1}}, .mask = {}};
  ClassPictures pictures{{"red boat", {picture, picture}},
                         {{"blue boat", {picture}}}};
  store::SupportRecord record;
  record.prompt = PromptSpecText(spec);
  record.pictures = EncodeClassPictures(pictures).value();
  store::ClassEntry entry;
  entry.support_key = Sha256Of("pictures");
  ASSERT_TRUE(store->PutSupportSet(entry.support_key, record).ok());
  store::PrototypeRecord set;
  set.encoder_fingerprint = engine.EncoderFingerprint(engine.info().prototype);
  const auto read = ReadSourcePictures(engine, *store, Limits(), entry, set,
                                       {1, 2, 3}, CallControl());
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);  // There is no picture 3.
  const SourcePicture& own = read->at(1);
  EXPECT_EQ(Decode(own.picture_png).size(), cv::Size(256, 128));
  const cv::Mat foreground = Decode(own.foreground_png);
  ASSERT_EQ(foreground.size(), cv::Size(256, 128));
  EXPECT_EQ(foreground.at<uint8_t>(64, 100), 255);
  EXPECT_EQ(foreground.at<uint8_t>(64, 156), 0);
  EXPECT_EQ(Decode(own.background_png).at<uint8_t>(64, 156), 255);
  const SourcePicture& negative = read->at(2);
  EXPECT_EQ(negative.foreground_png, "");
  EXPECT_EQ(Decode(negative.background_png).at<uint8_t>(64, 100), 255);
  EXPECT_EQ(Decode(negative.background_png).at<uint8_t>(64, 156), 0);
  // Of a set of unknown options there is no mask.
  set.encoder_fingerprint = Sha256Of("who knows");
  const auto bare = ReadSourcePictures(engine, *store, Limits(), entry, set,
                                       {0}, CallControl());
  ASSERT_TRUE(bare.ok());
  EXPECT_NE(bare->at(0).picture_png, "");
  EXPECT_EQ(bare->at(0).foreground_png, "");
}

TEST(StretchMaskTest, MasksStayMasks) {
  Mask mask{4, 4, std::vector<uint8_t>(16, 0)};
  for (const int corner : {0, 1, 4, 5}) {  // The upper left quarter.
    mask.data[corner] = 1;
  }
  for (const auto& [width, height] : {std::pair{2, 2}, {4, 4}, {8, 12}}) {
    const auto stretched = StretchMask(mask, width, height);
    ASSERT_TRUE(stretched.ok()) << stretched.status();
    ASSERT_EQ(stretched->data.size(), static_cast<size_t>(width) * height);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const bool inside = 2 * x < width && 2 * y < height;
        const bool at_corner = 2 * (x + 1) == width && 2 * (y + 1) == height;
        if (!at_corner || width <= 4) {  // Bilinear rounds a corner off.
          EXPECT_EQ(stretched->data[y * width + x], inside ? 1 : 0)
              << x << "," << y;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ovdiff::server
