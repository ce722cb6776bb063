#include "server/convert.h"

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
  return options;
}

TEST(ConvertTest, EverySegmentOptionArrivesAndComesBack) {
  const FakeEngine engine;
  const v1::SegmentOptions asked = AllSegmentOptions();
  const v1::SegmentOptions defaults =
      FromSegmentOptions(engine.info().segment, engine.info());
  const auto& descriptor = *v1::SegmentOptions::descriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* field = descriptor.field(i);
    EXPECT_TRUE(field->is_repeated()
                    ? asked.GetReflection()->FieldSize(asked, field) > 0
                    : asked.GetReflection()->HasField(asked, field))
        << field->name();
  }
  EXPECT_FALSE(
      google::protobuf::util::MessageDifferencer::Equals(asked, defaults));
  const auto options = ToSegmentOptions(asked, engine);
  ASSERT_TRUE(options.ok()) << options.status();
  const v1::SegmentOptions back = FromSegmentOptions(*options, engine.info());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(back, asked))
      << back.ShortDebugString();
}

TEST(ConvertTest, UnsetSegmentOptionsAreTheEngines) {
  const FakeEngine engine;
  const auto options = ToSegmentOptions({}, engine);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
      FromSegmentOptions(*options, engine.info()),
      FromSegmentOptions(engine.info().segment, engine.info())));
  EXPECT_TRUE(options->stuff_filter.enabled);
  EXPECT_EQ(options->stuff_filter.threshold, 0.85);
  EXPECT_FALSE(options->pamr.enabled);
}

}  // namespace
}  // namespace ovdiff::server
