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
};

TEST_F(MaskSourceOptionsTest, BothSourcesAreValidWhereSomethingCuts) {
  EXPECT_TRUE(ValidateOptions(PrototypeOptions(), bundle_).ok());
  EXPECT_TRUE(ValidateOptions(maskcut_, bundle_).ok());
}

TEST_F(MaskSourceOptionsTest, WithoutWhatCutsItSaysWhatToDo) {
  bundle_.maskcut.reset();
  EXPECT_TRUE(ValidateOptions(PrototypeOptions(), bundle_).ok());
  EXPECT_THAT(
      Refusal(maskcut_),
      AllOf(HasSubstr("mask_source is \"maskcut\""), HasSubstr("bundle small"),
            HasSubstr("allowed with it is attention"),
            HasSubstr("\"maskcut\" in bundle.json")));
}

TEST_F(MaskSourceOptionsTest, NamesOptionValueAndRange) {
  PrototypeOptions options;
  options.mask_source = "Attention";
  EXPECT_THAT(Refusal(options), AllOf(HasSubstr("\"Attention\""),
                                      HasSubstr("attention, maskcut")));
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

TEST_F(MaskSourceOptionsTest, AttentionMasksDoNotDependOnWhatCuts) {
  const Sha256Digest base = Encoder({});
  PrototypeOptions options;
  options.maskcut.max_masks = 2;
  EXPECT_EQ(Encoder(options), base);
  bundle_.maskcut.reset();
  EXPECT_EQ(Encoder({}), base);
}

}  // namespace
}  // namespace ovdiff::engine
