// Option limits, and the numbers that a bundle fills in.
#include "engine/bundle/validate_options.h"

#include <cmath>
#include <string>
#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/bundle/bundle_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class OptionsTest : public Sd15Test {
 protected:
  template <typename Options>
  std::string Refusal(Options options) {
    absl::Status status;
    if constexpr (std::is_same_v<Options, GenerationOptions>) {
      status = ValidateOptions(options);
    } else {
      status = ValidateOptions(options, bundle_);
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }
};

TEST_F(OptionsTest, TheMethodsDefaultsAreValid) {
  EXPECT_TRUE(ValidateOptions(GenerationOptions()).ok());
  EXPECT_TRUE(ValidateOptions(PrototypeOptions(), bundle_).ok());
  EXPECT_TRUE(ValidateOptions(SegmentOptions(), bundle_).ok());
}

TEST_F(OptionsTest, NamesOptionValueAndRange) {
  GenerationOptions generation;
  generation.num_pictures = 257;
  EXPECT_THAT(Refusal(generation),
              AllOf(HasSubstr("num_pictures is 257"), HasSubstr("1 to 256")));
  generation = {};
  generation.guidance_scale = std::nan("");
  EXPECT_THAT(Refusal(generation), HasSubstr("guidance_scale"));
  generation = {};
  generation.prompt_template = "{} and {}";
  EXPECT_THAT(Refusal(generation), HasSubstr("{} once"));
  generation = {};
  generation.noise_dtype = "int8";
  EXPECT_THAT(Refusal(generation), HasSubstr("float32, float16"));
  PrototypeOptions prototype;
  prototype.min_cell_coverage = 0;
  EXPECT_THAT(Refusal(prototype), HasSubstr("min_cell_coverage"));
  prototype = {};
  prototype.fallback_foreground = 0.1;  // below the background's
  EXPECT_THAT(Refusal(prototype), HasSubstr("fallback_foreground"));
  prototype = {};
  prototype.spaces = {"mae"};
  EXPECT_THAT(Refusal(prototype), HasSubstr("sd, dino, clip"));
  prototype.spaces = {"sd", "sd"};
  EXPECT_THAT(Refusal(prototype), HasSubstr("twice"));
  SegmentOptions segment;
  segment.prefilter.max_classes = 13;
  EXPECT_THAT(Refusal(segment), HasSubstr("1 to 12"));
  segment = {};
  segment.windows.stride = 1;  // hundreds of looks at every pixel
  EXPECT_THAT(Refusal(segment), HasSubstr("stride"));
  segment = {};
  segment.windows.sizes = {500};
  EXPECT_THAT(Refusal(segment), HasSubstr("sizes is 500"));
  segment = {};
  segment.stuff_filter.threshold = 1.5;
  EXPECT_THAT(Refusal(segment),
              HasSubstr("stuff_filter.threshold is 1.5; allowed are -1 to 1"));
  segment = {};
  segment.pamr.iterations = 0;
  EXPECT_THAT(Refusal(segment), HasSubstr("pamr.iterations is 0"));
  segment = {};
  segment.pamr.dilations = {};
  EXPECT_THAT(Refusal(segment), HasSubstr("0 entries; allowed are 1 to 8"));
  segment.pamr.dilations = {1, 65};
  EXPECT_THAT(Refusal(segment), HasSubstr("pamr.dilations is 65"));
}

TEST_F(OptionsTest, WindowsTakeTheBundlesNumbersWhereTheyHaveNone) {
  WindowOptions windows;
  windows.stride = 100;
  windows = ResolveWindows(windows, bundle_);
  EXPECT_EQ(windows.short_side, 448);
  EXPECT_THAT(windows.sizes, ElementsAre(448, 336));
  EXPECT_EQ(windows.stride, 100);
}

TEST_F(OptionsTest, SpacesKeepTheBundlesOrder) {
  EXPECT_THAT(ResolveSpaces({"clip", "sd"}, bundle_),
              ElementsAre("sd", "clip"));
  EXPECT_THAT(ResolveSpaces({}, bundle_), ElementsAre("sd", "dino", "clip"));
}

}  // namespace
}  // namespace ovdiff::engine
