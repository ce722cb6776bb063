// Options of requests: every field arrives, profiles lie under them.
#include "server/request_options.h"

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/server/fake_engine.h"

namespace ovdiff::server {
namespace {

// Every field of the message, none of them the default.
v1::SegmentOptions AllSegmentOptions() {
  v1::SegmentOptions options;
  options.add_spaces("rgb");
  options.set_use_background(false);
  options.set_background_threshold(0.5);
  options.set_use_prefilter(false);
  options.set_prefilter_max_classes(3);
  options.set_short_side(48);
  options.add_window_sizes(24);
  options.set_window_stride(12);
  options.set_whole_picture(false);
  options.set_use_class_level(false);
  options.set_use_instance_level(false);
  options.set_use_part_level(false);
  options.set_noise_seed(7);
  options.set_use_stuff_filter(false);
  options.set_stuff_filter_threshold(0.7);
  options.set_use_pamr(true);
  options.set_pamr_iterations(4);
  options.add_pamr_dilations(1);
  options.add_pamr_dilations(6);
  (*options.mutable_space_weights())["rgb"] = 2.5;
  options.set_prefilter_articles(false);
  options.set_stuff_filter_foreground(true);
  return options;
}

// Likewise.
v1::BuildOptions AllBuildOptions() {
  v1::BuildOptions options;
  options.set_num_pictures(5);
  options.set_num_steps(6);
  options.set_guidance_scale(3.5);
  options.set_seed(8);
  options.set_prompt_template("{}!");
  options.set_negative_prompt("fog");
  options.set_num_parts(9);
  options.set_mask_source("maskcut");
  options.add_spaces("rgb");
  options.set_noise_dtype("float16");
  options.set_final_sigmas_type("zero");
  options.set_cell_rule("bilinear");
  options.set_shared_noise(true);
  options.set_prune_share(0.25);
  options.set_normalize_features(true);
  options.set_kmeans_seed(10);
  options.set_kmeans_max_iterations(11);
  options.set_otsu_bins(12);
  options.set_fallback_background(0.1);
  options.set_fallback_foreground(0.6);
  options.set_min_cell_coverage(0.3);
  options.set_cut_by_attribution(true);
  options.set_self_attention_rounds(2);
  options.set_noise_seed(13);
  options.set_maskcut_affinity_threshold(0.4);
  options.set_maskcut_max_masks(2);
  options.set_cutler_score_threshold(0.7);
  options.set_cutler_max_detections(14);
  return options;
}

void ExpectAllSet(const google::protobuf::Message& message) {
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* field = descriptor.field(i);
    EXPECT_TRUE(field->is_repeated()
                    ? message.GetReflection()->FieldSize(message, field) > 0
                    : message.GetReflection()->HasField(message, field))
        << field->name();
  }
}

TEST(RequestOptionsTest, EverySegmentOptionArrivesAndComesBack) {
  const FakeEngine engine;
  const v1::SegmentOptions asked = AllSegmentOptions();
  const v1::SegmentOptions defaults =
      FromSegmentOptions(engine.info().segment, engine.info());
  ExpectAllSet(asked);
  EXPECT_FALSE(
      google::protobuf::util::MessageDifferencer::Equals(asked, defaults));
  const auto options = ToSegmentOptions("", asked, engine);
  ASSERT_TRUE(options.ok()) << options.status();
  const v1::SegmentOptions back = FromSegmentOptions(*options, engine.info());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(back, asked))
      << back.ShortDebugString();
}

TEST(RequestOptionsTest, UnsetSegmentOptionsAreTheEngines) {
  const FakeEngine engine;
  const auto options = ToSegmentOptions("", {}, engine);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
      FromSegmentOptions(*options, engine.info()),
      FromSegmentOptions(engine.info().segment, engine.info())));
  EXPECT_TRUE(options->stuff_filter.enabled);
  EXPECT_EQ(options->stuff_filter.threshold, 0.85);
  EXPECT_FALSE(options->pamr.enabled);
}

TEST(RequestOptionsTest, EveryBuildOptionArrivesAndComesBack) {
  const FakeEngine engine;
  const v1::BuildOptions asked = AllBuildOptions();
  ExpectAllSet(asked);
  const MethodProfile& profile = engine.info().profiles.front();
  const v1::BuildOptions defaults =
      FromBuildOptions(ToBuildOptions({}, profile), engine.info());
  ExpectAllSet(defaults);
  EXPECT_FALSE(
      google::protobuf::util::MessageDifferencer::Equals(asked, defaults));
  const v1::BuildOptions back =
      FromBuildOptions(ToBuildOptions(asked, profile), engine.info());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(back, asked))
      << back.ShortDebugString();
}

TEST(RequestOptionsTest, AProfileLiesUnderTheOptions) {
  const FakeEngine engine;
  v1::SegmentOptions asked;
  asked.set_pamr_iterations(2);
  const auto options = ToSegmentOptions("quick", asked, engine);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->pamr.enabled);
  EXPECT_EQ(options->pamr.iterations, 2);
  const auto quick = FindProfile("quick", engine.info());
  ASSERT_TRUE(quick.ok());
  EXPECT_EQ(ToBuildOptions({}, **quick).generation.num_steps, 2);
  const auto standard = FindProfile("", engine.info());
  ASSERT_TRUE(standard.ok());
  EXPECT_EQ((*standard)->name, "default");
}

TEST(RequestOptionsTest, WrongProfilesSayWhichThereAre) {
  const FakeEngine engine;
  EXPECT_THAT(
      std::string(FindProfile("quack", engine.info()).status().message()),
      testing::HasSubstr("\"quack\" does not exist; there are default, heavy, "
                         "quick"));
  // What it lacks, a request may do without.
  EXPECT_TRUE(FindProfile("heavy", engine.info()).ok());
  EXPECT_EQ(ToSegmentOptions("quack", {}, engine).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ovdiff::server
