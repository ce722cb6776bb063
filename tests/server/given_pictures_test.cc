// Classes of given pictures, synonyms and negatives, through the server.
#include "server/given_pictures.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/image_codec.h"
#include "server/job_request.h"
#include "server/source_pictures.h"
#include "store/store_admin.h"
#include "tests/server/given_pictures_fixture.h"
#include "tests/server/pack_client.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(GivenPicturesTest, MaskedPicturesAloneMakeAClass) {
  v1::AddClassesRequest request = Request("vase");
  request.mutable_classes(0)->set_only_given_pictures(true);
  *request.mutable_classes(0)->add_pictures() = Masked(kRed, kBlue);
  const v1::ClassProgress progress = Build(request);
  EXPECT_EQ(progress.stage(), v1::CLASS_STAGE_DONE);
  EXPECT_EQ(progress.cache_hit(), v1::CACHE_HIT_NONE);
  EXPECT_EQ(progress.num_pictures(), 1);
  EXPECT_EQ(engine_.num_painted, 0);
  EXPECT_EQ(engine_.num_attributed, 0);
  EXPECT_TRUE(IsFound(*server_, kRed));
  EXPECT_FALSE(IsFound(*server_, kBlue));
  grpc::ClientContext context;
  v1::ListClassesRequest list;
  list.set_vocabulary("shop");
  v1::ListClassesResponse classes;
  ASSERT_TRUE(server_->vocabulary->ListClasses(&context, list, &classes).ok());
  EXPECT_EQ(classes.classes(0).prompt(), "vase, only 1 given picture");
  // Again: the same content, whatever file it comes in.
  *request.mutable_classes(0)->mutable_pictures(0)->mutable_image() =
      v1::Image();
  const v1::Image raw = SolidImage(8, 8, kBlue, kRed);
  Image image{.width = 8, .height = 8, .data = {}};
  image.data.assign(raw.raw().rgb().begin(), raw.raw().rgb().end());
  request.mutable_classes(0)->mutable_pictures(0)->mutable_image()->set_encoded(
      EncodePng(image).value());
  EXPECT_EQ(Build(request).cache_hit(), v1::CACHE_HIT_PROTOTYPES);
}

TEST_F(GivenPicturesTest, PicturesBesidePaintedOnesShareThePainting) {
  v1::AddClassesRequest request = Request("red boat");
  *request.mutable_classes(0)->add_pictures() = Masked(kRed, kBlue);
  *request.mutable_classes(0)->add_pictures() = Unmasked(kRed);
  EXPECT_EQ(Build(request).num_pictures(), 5);
  EXPECT_EQ(engine_.num_painted, 1);
  EXPECT_EQ(engine_.num_attributed, 1);
  const store::SupportRecord all = Support(Entry().prompt);
  ASSERT_EQ(all.pictures.size(), 5u);
  EXPECT_TRUE(all.pictures[2].mask_png.empty());
  const Mask mask = DecodeMask(all.pictures[3].mask_png, Limits()).value();
  EXPECT_EQ(mask.width, 16);
  EXPECT_EQ(std::count(mask.data.begin(), mask.data.end(), 1), 8 * 16);
  EXPECT_TRUE(all.pictures[4].mask_png.empty());
  EXPECT_EQ(all.pictures[4].attribution.size(), 4u);
  EXPECT_EQ(Support("red boat").pictures.size(), 3u);
  // The plain class of the same prompt is painted already.
  EXPECT_EQ(Build(AddRequest("yard", {"red boat"})).cache_hit(),
            v1::CACHE_HIT_PICTURES);
  EXPECT_EQ(engine_.num_painted, 1);
  // Another K: all of the class's pictures are there.
  request.mutable_options()->set_num_parts(2);
  EXPECT_EQ(Build(request).cache_hit(), v1::CACHE_HIT_PICTURES);
  EXPECT_EQ(engine_.num_attributed, 1);
}

TEST_F(GivenPicturesTest, APictureWithoutTheObjectIsAClearFailure) {
  v1::AddClassesRequest request = Request("vase");
  request.mutable_classes(0)->set_only_given_pictures(true);
  *request.mutable_classes(0)->add_pictures() = Unmasked(0);
  const v1::ClassProgress failed = Build(request);
  EXPECT_EQ(failed.stage(), v1::CLASS_STAGE_FAILED);
  EXPECT_EQ(failed.error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(failed.error().message(), HasSubstr("\"vase\""));
  // Beside one that shows it, it contributes nothing.
  *request.mutable_classes(0)->add_pictures() = Unmasked(kRed);
  EXPECT_EQ(Build(request).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_TRUE(IsFound(*server_, kRed));
}

TEST_F(GivenPicturesTest, SynonymsArePaintedAndProgressOnlyGrows) {
  v1::AddClassesRequest request = Request("Red Boat");
  request.mutable_classes(0)->add_synonyms("Red  ship");
  request.mutable_classes(0)->add_synonyms("red dinghy");
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_->Add(request, &messages).ok());
  EXPECT_EQ(engine_.num_painted, 3);
  EXPECT_EQ(
      Support("red boat\nsynonym red ship\nsynonym red dinghy").pictures.size(),
      9u);
  double fraction = 0;
  for (const v1::AddClassesResponse& message : messages) {
    for (const v1::ClassProgress& progress : message.job().classes()) {
      EXPECT_GE(progress.fraction_done(), fraction);
      EXPECT_LE(progress.pictures_done(), progress.num_pictures());
      EXPECT_EQ(progress.num_pictures(), 9);
      fraction = progress.fraction_done();
    }
  }
  EXPECT_EQ(fraction, 1);
  // One of the three is another class's.
  EXPECT_EQ(Build(AddRequest("yard", {"red ship"})).cache_hit(),
            v1::CACHE_HIT_PICTURES);
}

TEST_F(GivenPicturesTest, NegativesAreBackground) {
  EXPECT_EQ(Build(Request("red boat")).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_TRUE(IsFound(*server_, kOrange));
  v1::AddClassesRequest request = Request("red boat");
  *request.mutable_classes(0)->add_negatives()->mutable_picture() =
      Masked(kOrange, kBlue);
  request.mutable_classes(0)->add_negatives()->set_prompt("yellow boat");
  *request.mutable_classes(0)->add_negatives()->mutable_picture() =
      Unmasked(0xE06020);
  EXPECT_EQ(Build(request).stage(), v1::CLASS_STAGE_DONE);
  EXPECT_TRUE(IsFound(*server_, kRed));
  EXPECT_FALSE(IsFound(*server_, kOrange));
  EXPECT_EQ(engine_.num_painted, 2);
  const store::SupportRecord all = Support(Entry().prompt);
  ASSERT_EQ(all.pictures.size(), 8u);
  const auto negative = [&](size_t i) { return int{all.pictures[i].negative}; };
  EXPECT_EQ(negative(2), 0);
  EXPECT_EQ(negative(3), 1);
  EXPECT_EQ(negative(4), 2);
  EXPECT_EQ(negative(6), 2);
  EXPECT_EQ(negative(7), 3);
  // Without a mask all of a negative's picture is what the class is not.
  const Mask mask = DecodeMask(all.pictures[7].mask_png, Limits()).value();
  EXPECT_THAT(mask.data, Not(Contains(0)));
  const auto set = store_->GetPrototypeSet(Entry().prototype_key);
  ASSERT_TRUE(set.ok()) << set.status();
  // The fake makes a vector a set, of its first picture.
  EXPECT_THAT(set->set.spaces[0].background.source_pictures,
              testing::ElementsAre(3, 4, 7));
  // Explaining takes the thresholds of the set that a picture is of.
  const auto sources = ReadSourcePictures(engine_, *store_, Limits(), Entry(),
                                          *set, {0, 2, 3, 7, 8}, CallControl());
  ASSERT_TRUE(sources.ok()) << sources.status();
  EXPECT_THAT(*sources, testing::SizeIs(4));
  EXPECT_EQ(engine_.num_mask_sets, 3);
  for (const auto& [index, source] : *sources) {
    EXPECT_FALSE(source.picture_png.empty()) << index;
    // A negative's object is the class's background.
    EXPECT_EQ(source.foreground_png.empty(), index >= 3) << index;
    EXPECT_FALSE(source.background_png.empty()) << index;
  }
  // The negative alone fails, and is named.
  request.mutable_classes(0)->mutable_negatives(1)->set_prompt("invisible car");
  const v1::ClassProgress failed = Build(request);
  EXPECT_EQ(failed.error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(failed.error().message(),
              HasSubstr("negative \"invisible car\""));
}

TEST_F(GivenPicturesTest, AJobGoesOnAfterARestartWithItsPictures) {
  v1::AddClassesRequest request = Request("red boat");
  request.set_request_id("job-1");
  *request.mutable_classes(0)->add_pictures() = Masked(kBlue, kRed);
  request.mutable_classes(0)->add_negatives()->set_prompt("green car");
  engine_.paint_gate.Close();
  {
    grpc::ClientContext context;
    auto reader = server_->vocabulary->AddClasses(&context, request);
    v1::AddClassesResponse message;
    ASSERT_TRUE(reader->Read(&message));
    ASSERT_TRUE(engine_.paint_gate.AwaitWaiting(1));
    server_->server->Stop();
    while (reader->Read(&message)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  server_ = nullptr;
  // What the job needs is no garbage.
  const auto keep = KeysOfJobs(*store_);
  ASSERT_TRUE(keep.ok()) << keep.status();
  const auto swept = store_->admin().CollectGarbage(
      {.dry_run = false, .min_age = absl::ZeroDuration(), .keep = *keep},
      CallControl());
  ASSERT_TRUE(swept.ok()) << swept.status();
  EXPECT_EQ(swept->num_support_sets, 0);
  // The job's record holds no pixel of the pictures.
  const auto jobs = store_->ListJobs(nullptr);
  ASSERT_TRUE(jobs.ok());
  storage::v1::JobRecord record;
  ASSERT_TRUE(record.ParseFromString(jobs->at(0).second));
  EXPECT_EQ(record.format(), 2);
  EXPECT_EQ(record.request().classes(0).pictures(0).image().encoded().size(),
            32u);
  engine_.paint_gate.Open();
  server_ = std::make_unique<TestServer>(engine_, *store_);
  const v1::Job job = server_->AwaitJob("job-1");
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Support(Entry().prompt).pictures.size(), 3u + 1 + 3);
  // The same request is the same job; another picture is not.
  std::vector<v1::AddClassesResponse> messages;
  ASSERT_TRUE(server_->Add(request, &messages).ok());
  EXPECT_EQ(messages.size(), 1u);
  *request.mutable_classes(0)->mutable_pictures(0) = Masked(kBlue, 0);
  const grpc::Status status = server_->Add(request, &messages);
  EXPECT_EQ(Reason(status), "REQUEST_ID_REUSED");
  EXPECT_THAT(status.error_message(), HasSubstr("picture"));
}

TEST_F(GivenPicturesTest, PicturesThatAreGoneAreAClearFailure) {
  v1::ClassSpec spec;
  spec.set_name("vase");
  spec.add_pictures()->mutable_image()->set_encoded(std::string(32, 'x'));
  const auto loaded = LoadGivenPictures(spec, 16, Limits(), *store_);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(loaded.status().message(), HasSubstr("send the request again"));
}

TEST_F(GivenPicturesTest, PlainJobsKeepTheirFormat) {
  Build(Request("red boat"));
  storage::v1::JobRecord record;
  ASSERT_TRUE(record.ParseFromString(store_->ListJobs(nullptr)->at(0).second));
  EXPECT_EQ(record.format(), 1);
  EXPECT_EQ(Entry().prompt, "red boat");
}

TEST_F(GivenPicturesTest, PacksCarryMasksAndNegatives) {
  v1::AddClassesRequest request = Request("red boat");
  *request.mutable_classes(0)->add_pictures() = Masked(kRed, kBlue);
  *request.mutable_classes(0)->add_negatives()->mutable_picture() =
      Masked(kOrange, kBlue);
  Build(request);
  const std::string pack = MustExport(*server_, "shop", /*pictures=*/true);
  // Other encoders: the pictures are encoded again, the negative's too.
  FakeEngine other("other");
  const auto store = store::NewInMemoryStore();
  TestServer server(other, *store);
  v1::ImportConfig config = ConfigFor("shop");
  config.set_reencode(true);
  const auto response = MustImport(server, config, pack);
  EXPECT_TRUE(response.classes(0).reencoded());
  EXPECT_EQ(other.num_painted, 0);
  EXPECT_TRUE(IsFound(server, kRed));
  EXPECT_FALSE(IsFound(server, kOrange));
}

}  // namespace
}  // namespace ovdiff::server
