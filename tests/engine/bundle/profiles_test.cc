// Profiles: the shipped ones with both bundles, files of users, and which
// options enter the encoder fingerprint.
#include "engine/bundle/profiles.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "engine/bundle/fingerprint.h"
#include "engine/bundle/validate_options.h"
#include "engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ProfilesTest : public testing::Test {
 protected:
  void SetUp() override {
    bundle_.name = "small";
    for (const char* name : {"sd", "clip"}) {
      SpaceSpec space;
      space.name = name;
      bundle_.spaces.push_back(space);
      digests_.spaces[name] = Sha256Of(name);
    }
    bundle_.windows = {.short_side = 64, .sizes = {64, 48}, .stride = 32};
    bundle_.generation.num_steps = 7;
    bundle_.segment.pamr = {.enabled = true, .iterations = 3, .dilations = {1}};
    std::string name = (fs::temp_directory_path() / "ovdiff-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  MethodProfile Shipped(const std::string& name) {
    for (MethodProfile& profile : ShippedProfiles(bundle_)) {
      if (profile.name == name) {
        return profile;
      }
    }
    ADD_FAILURE() << name;
    return {};
  }

  absl::StatusOr<MethodProfile> Read(const std::string& text) {
    const std::string path = (folder_ / "mine.json").string();
    std::ofstream(path) << text;
    return ReadProfile(path, bundle_);
  }
  std::string ErrorOf(const std::string& text) {
    return std::string(Read(text).status().message());
  }

  Bundle bundle_;
  BundleDigests digests_;
  fs::path folder_;
};

TEST_F(ProfilesTest, ShippedOnesAreThereByName) {
  std::vector<std::string> names;
  for (const MethodProfile& profile : ShippedProfiles(bundle_)) {
    names.push_back(profile.name);
    EXPECT_FALSE(profile.description.empty());
  }
  EXPECT_THAT(names, ElementsAre("default", "fast", "paper", "paper-code",
                                 "paper-no-cutler"));
}

TEST_F(ProfilesTest, DefaultAndFastAreTheBundles) {
  const MethodProfile standard = Shipped("default");
  EXPECT_EQ(standard.generation.num_steps, 7);
  EXPECT_EQ(standard.segment.pamr.iterations, 3);
  EXPECT_THAT(standard.unavailable, IsEmpty());
  const MethodProfile fast = Shipped("fast");
  EXPECT_EQ(fast.generation.num_pictures, 8);
  EXPECT_THAT(fast.segment.spaces, ElementsAre("clip"));
  EXPECT_THAT(ResolveWindows(fast.segment.windows, bundle_).sizes,
              ElementsAre(64));
  EXPECT_FALSE(fast.segment.windows.whole_picture);
}

TEST_F(ProfilesTest, OptionalSpacesAreLeftOutOfAllOfThem) {
  ASSERT_GT(bundle_.spaces.size(), 1u);
  const std::string kept = bundle_.spaces.back().name;
  for (SpaceSpec& space : bundle_.spaces) {
    space.optional = space.name != kept;
  }
  bundle_.prototype.spaces = bundle_.DefaultSpaces();
  for (const char* name : {"default", "paper-no-cutler"}) {
    EXPECT_THAT(Shipped(name).prototype.spaces, ElementsAre(kept)) << name;
  }
}

TEST_F(ProfilesTest, PapersNumbersDoNotDependOnTheBundle) {
  for (const char* name : {"paper", "paper-code", "paper-no-cutler"}) {
    const MethodProfile paper = Shipped(name);
    EXPECT_EQ(paper.generation.num_steps, 30) << name;
    EXPECT_EQ(paper.generation.num_pictures, 32) << name;
    EXPECT_EQ(paper.segment.pamr.iterations, 10) << name;
    EXPECT_FALSE(paper.segment.pamr.enabled) << name;
  }
  const MethodProfile paper = Shipped("paper-no-cutler");
  EXPECT_FALSE(paper.segment.windows.whole_picture);
  EXPECT_FALSE(paper.segment.prefilter.articles);
  EXPECT_EQ(paper.prototype.cell_rule, kCoverageCells);
  const MethodProfile code = Shipped("paper-code");
  EXPECT_TRUE(code.segment.windows.whole_picture);
  EXPECT_TRUE(code.segment.prefilter.articles);
  EXPECT_EQ(code.prototype.cell_rule, kBilinearCells);
  EXPECT_TRUE(code.prototype.shared_noise);
  EXPECT_EQ(code.generation.noise_dtype, "float16");
}

TEST_F(ProfilesTest, WhatTheBundleLacksIsSaid) {
  EXPECT_THAT(Shipped("paper").unavailable, HasSubstr("cutler"));
  EXPECT_THAT(Shipped("paper-no-cutler").unavailable, IsEmpty());
  bundle_.spaces.pop_back();
  EXPECT_THAT(Shipped("fast").unavailable,
              AllOf(HasSubstr("\"clip\""), HasSubstr("allowed are sd")));
}

TEST_F(ProfilesTest, AFileLiesOverItsBase) {
  const auto mine = Read(R"({"format": 1, "name": "mine", "base": "bundle",
      "options": {"generation": {"num_pictures": 4},
                  "segment": {"space_weights": {"sd": 0.5}}}})");
  ASSERT_TRUE(mine.ok()) << mine.status();
  EXPECT_EQ(mine->generation.num_pictures, 4);
  EXPECT_EQ(mine->generation.num_steps, 7);
  EXPECT_EQ(mine->segment.space_weights.at("sd"), 0.5);
}

TEST_F(ProfilesTest, WrongFilesSayWhatIsWrong) {
  EXPECT_THAT(ErrorOf(R"({"format": 2, "name": "m", "base": "bundle"})"),
              HasSubstr("\"format\" is 2; this program reads 1"));
  EXPECT_THAT(ErrorOf(R"({"format": 1, "name": "m", "base": "me"})"),
              HasSubstr("allowed are bundle, paper"));
  EXPECT_THAT(ErrorOf(R"({"format": 1, "name": "fast", "base": "bundle"})"),
              HasSubstr("a name that no shipped profile has"));
  EXPECT_THAT(ErrorOf(R"({"format": 1, "name": "m", "base": "bundle",
                          "options": {"segment": {"pmar": {}}}})"),
              HasSubstr("pmar"));
  EXPECT_THAT(ErrorOf(R"({"format": 1, "name": "m", "base": "bundle",
                          "options": {"prototype": {"prune_share": 1}}})"),
              AllOf(HasSubstr("mine.json"), HasSubstr("prune_share is 1")));
  EXPECT_EQ(
      ReadProfile((folder_ / "none.json").string(), bundle_).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_F(ProfilesTest, LaterOptionsHaveLimits) {
  const auto refusal = [this](const auto& options) {
    return std::string(ValidateOptions(options, bundle_).message());
  };
  PrototypeOptions prototype;
  prototype.cell_rule = "any";
  EXPECT_THAT(refusal(prototype), HasSubstr("allowed are coverage, bilinear"));
  prototype = {};
  prototype.prune_share = -0.1;
  EXPECT_THAT(refusal(prototype), HasSubstr("allowed are 0 up to but not 1"));
  SegmentOptions segment;
  segment.space_weights = {{"dino", 1.0}};
  EXPECT_THAT(refusal(segment), HasSubstr("allowed are sd, clip"));
  segment.space_weights = {{"sd", 0.0}};
  EXPECT_THAT(refusal(segment), HasSubstr("above 0 to 100"));
}

TEST_F(ProfilesTest, EncoderFingerprintHasWhatChangesVectors) {
  const auto encoder = [this](const PrototypeOptions& options) {
    return EncoderFingerprint(bundle_, digests_, "float32", options);
  };
  const auto networks = [&](const PrototypeOptions& options) {
    const Sha256Digest digest = encoder(options);
    return std::string(digest.begin(), digest.begin() + kNetworkBytes);
  };
  std::vector<PrototypeOptions> all(6);
  all[1].cell_rule = kBilinearCells;
  all[2].normalize_features = true;
  all[3].shared_noise = true;
  all[4].prune_share = 0.25;
  all[5].num_parts = 8;
  std::set<Sha256Digest> different;
  for (const PrototypeOptions& options : all) {
    different.insert(encoder(options));
    // None of them is another network: the sets can be matched together.
    EXPECT_EQ(networks(options), networks({}));
  }
  EXPECT_EQ(different.size(), all.size());
  PrototypeOptions one_space;
  one_space.spaces = {"sd"};
  EXPECT_NE(networks(one_space), networks({}));
  // What prunes counts where something is pruned, and only there.
  const Sha256Digest pruned = encoder(all[4]);
  digests_.prefilter = Sha256Of("other weights");
  EXPECT_NE(encoder(all[4]), pruned);
  EXPECT_TRUE(different.contains(encoder({})));
  digests_.spaces["sd"] = Sha256Of("other weights");
  EXPECT_FALSE(different.contains(encoder({})));
}

}  // namespace
}  // namespace ovdiff::engine
