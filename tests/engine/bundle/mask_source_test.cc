// Where masks come from: limits of the options, and the fingerprint.
#include <cmath>
#include <string>

#include "engine/bundle/fingerprint.h"
#include "engine/bundle/validate_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class MaskSourceOptionsTest : public testing::Test {
 protected:
  void SetUp() override {
    bundle_.name = "small";
    for (const char* name : {"dino", "other"}) {
      SpaceSpec space;
      space.name = name;
      bundle_.spaces.push_back(space);
      digests_.spaces[name] = Sha256Of(name);
    }
    bundle_.maskcut = MaskCutSpec{.space = "dino", .input_size = 480};
    maskcut_.mask_source = "maskcut";
    bundle_.cutler = CutlerSpec{.folder = "cutler",
                                .short_side = 800,
                                .max_long_side = 1333,
                                .normalization = {{0.5, 0.5, 0.5}, {1, 1, 1}}};
    digests_.cutler = Sha256Of("cutler");
    cutler_.mask_source = "cutler";
  }

  std::string Refusal(const PrototypeOptions& options) {
    const absl::Status status = ValidateOptions(options, bundle_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  Sha256Digest Encoder(const PrototypeOptions& options) {
    return EncoderFingerprint(bundle_, digests_, "float32", options);
  }

  Bundle bundle_;
  BundleDigests digests_;
  PrototypeOptions maskcut_;
  PrototypeOptions cutler_;
};

TEST_F(MaskSourceOptionsTest, AllSourcesAreValidWhereTheBundleHasThem) {
  EXPECT_TRUE(ValidateOptions(PrototypeOptions(), bundle_).ok());
  EXPECT_TRUE(ValidateOptions(cutler_, bundle_).ok());
  EXPECT_TRUE(ValidateOptions(maskcut_, bundle_).ok());
}

TEST_F(MaskSourceOptionsTest, WithoutWhatCutsItSaysWhatToDo) {
  bundle_.maskcut.reset();
  EXPECT_TRUE(ValidateOptions(PrototypeOptions(), bundle_).ok());
  EXPECT_THAT(
      Refusal(maskcut_),
      AllOf(HasSubstr("mask_source is \"maskcut\""), HasSubstr("bundle small"),
            HasSubstr("allowed with it is attention, cutler. "),
            HasSubstr("\"maskcut\" in bundle.json")));
  bundle_.cutler.reset();
  EXPECT_THAT(Refusal(maskcut_), HasSubstr("allowed with it is attention. "));
}

TEST_F(MaskSourceOptionsTest, WithoutCutlersWeightsItSaysWhatToDo) {
  bundle_.cutler.reset();
  EXPECT_THAT(
      Refusal(cutler_),
      AllOf(HasSubstr("mask_source is \"cutler\""), HasSubstr("bundle small"),
            HasSubstr("does not have CutLER's weights"),
            HasSubstr("allowed with it is attention, maskcut. "),
            HasSubstr("\"cutler\" in bundle.json")));
}

TEST_F(MaskSourceOptionsTest, NamesOptionValueAndRange) {
  PrototypeOptions options;
  options.mask_source = "Attention";
  EXPECT_THAT(Refusal(options), AllOf(HasSubstr("\"Attention\""),
                                      HasSubstr("attention, maskcut, cutler")));
  for (const double threshold : {-1.0, 1.0, std::nan("")}) {
    options = maskcut_;
    options.maskcut.affinity_threshold = threshold;
    EXPECT_THAT(Refusal(options),
                HasSubstr("prototype.maskcut.affinity_threshold"));
  }
  for (const int masks : {0, 17}) {
    options = maskcut_;
    options.maskcut.max_masks = masks;
    EXPECT_THAT(Refusal(options), HasSubstr("1 to 16"));
  }
  for (const double threshold : {-0.01, 1.01, std::nan("")}) {
    options = cutler_;
    options.cutler.score_threshold = threshold;
    EXPECT_THAT(Refusal(options),
                AllOf(HasSubstr("prototype.cutler.score_threshold"),
                      HasSubstr("0 to 1")));
  }
  for (const int detections : {0, 1001}) {
    options = cutler_;
    options.cutler.max_detections = detections;
    EXPECT_THAT(Refusal(options),
                AllOf(HasSubstr("prototype.cutler.max_detections"),
                      HasSubstr("1 to 1000")));
  }
}

TEST_F(MaskSourceOptionsTest, WhatTheCutDependsOnIsInTheFingerprint) {
  const Sha256Digest base = Encoder(maskcut_);
  EXPECT_NE(base, Encoder({}));
  PrototypeOptions options = maskcut_;
  options.maskcut.affinity_threshold = 0.2;
  EXPECT_NE(Encoder(options), base);
  options = maskcut_;
  options.maskcut.max_masks = 2;
  EXPECT_NE(Encoder(options), base);
  bundle_.maskcut->input_size = 448;
  EXPECT_NE(Encoder(maskcut_), base);
  bundle_.maskcut->input_size = 480;
  bundle_.maskcut->space = "other";
  EXPECT_NE(Encoder(maskcut_), base);
  bundle_.maskcut->space = "dino";
  // The network that cuts counts even where its space is not asked for.
  maskcut_.spaces = {"other"};
  const Sha256Digest other = Encoder(maskcut_);
  digests_.spaces["dino"] = Sha256Of("new weights");
  EXPECT_NE(Encoder(maskcut_), other);
}

TEST_F(MaskSourceOptionsTest, WhatIsDetectedWithIsInTheFingerprint) {
  const Sha256Digest base = Encoder(cutler_);
  EXPECT_NE(base, Encoder({}));
  EXPECT_NE(base, Encoder(maskcut_));
  PrototypeOptions options = cutler_;
  options.cutler.score_threshold = 0.3;
  EXPECT_NE(Encoder(options), base);
  options = cutler_;
  options.cutler.max_detections = 10;
  EXPECT_NE(Encoder(options), base);
  const CutlerSpec spec = *bundle_.cutler;
  bundle_.cutler->short_side = 640;
  EXPECT_NE(Encoder(cutler_), base);
  bundle_.cutler = spec;
  bundle_.cutler->max_long_side = 1000;
  EXPECT_NE(Encoder(cutler_), base);
  bundle_.cutler = spec;
  bundle_.cutler->normalization.deviation[2] = 0.5;
  EXPECT_NE(Encoder(cutler_), base);
  bundle_.cutler = spec;
  // Where the files lie does not count, what they hold does.
  bundle_.cutler->folder = "elsewhere";
  EXPECT_EQ(Encoder(cutler_), base);
  digests_.cutler = Sha256Of("new weights");
  EXPECT_NE(Encoder(cutler_), base);
}

TEST_F(MaskSourceOptionsTest, ASourceDependsOnItsOwnPartsOnly) {
  const Sha256Digest attention = Encoder({});
  const Sha256Digest maskcut = Encoder(maskcut_);
  const Sha256Digest cutler = Encoder(cutler_);
  PrototypeOptions options;
  options.maskcut.max_masks = 2;
  options.cutler.max_detections = 10;
  EXPECT_EQ(Encoder(options), attention);
  options = maskcut_;
  options.cutler.max_detections = 10;
  EXPECT_EQ(Encoder(options), maskcut);
  options = cutler_;
  options.maskcut.max_masks = 2;
  EXPECT_EQ(Encoder(options), cutler);
  digests_.cutler = Sha256Of("new weights");
  bundle_.cutler.reset();
  EXPECT_EQ(Encoder(maskcut_), maskcut);
  EXPECT_EQ(Encoder({}), attention);
  bundle_.maskcut.reset();
  EXPECT_EQ(Encoder({}), attention);
}

}  // namespace
}  // namespace ovdiff::engine
