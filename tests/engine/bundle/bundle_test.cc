// bundle.json: what is read, and what is refused and how.
#include "engine/bundle/bundle.h"

#include <filesystem>
#include <fstream>

#include "engine/bundle/validate_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/engine/bundle/bundle_fixture.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(BundleTest, ReadsTheNumbersOfThePaper) {
  const auto bundle = Read([](json&) {});
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->name, "sd15");
  EXPECT_EQ(bundle->picture_size, 512);
  EXPECT_EQ(bundle->cuda_dtype, "float16");
  EXPECT_EQ(bundle->windows.short_side, 448);
  EXPECT_THAT(bundle->windows.sizes, ElementsAre(448, 336));
  EXPECT_EQ(bundle->windows.stride, 224);
  ASSERT_EQ(bundle->spaces.size(), 3u);
  EXPECT_EQ(bundle->spaces[0].layers.size(), 9u);
  EXPECT_EQ(bundle->spaces[0].timestep, 200);
  EXPECT_EQ(bundle->spaces[0].window.size, 512);
  EXPECT_EQ(bundle->spaces[1].type, SpaceType::kVit);
  EXPECT_EQ(bundle->spaces[1].layer, -1);
  EXPECT_EQ(bundle->spaces[1].window.fit, InputSize::Fit::kKeep);
  EXPECT_EQ(bundle->spaces[1].window.max_size, 800);
  EXPECT_EQ(bundle->spaces[2].layer, -2);
  EXPECT_EQ(bundle->prefilter.input_size, 224);
  const MaskCutSpec maskcut = bundle->maskcut.value_or(MaskCutSpec());
  EXPECT_EQ(maskcut.space, "dino");
  EXPECT_EQ(maskcut.input_size, 480);
  EXPECT_EQ(bundle->prototype.mask_source, "maskcut");
  EXPECT_EQ(bundle->prefilter.folder, (folder_ / "clip").string());
  EXPECT_EQ(bundle->generation.num_pictures, 32);  // the method's default
}

TEST_F(BundleTest, ReadsTheDemoBundle) {
  const auto bundle = ReadBundle(kDemo);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_TRUE(ValidateOptions(bundle->generation).ok());
  EXPECT_TRUE(ValidateOptions(bundle->prototype, *bundle).ok());
  EXPECT_TRUE(ValidateOptions(bundle->segment, *bundle).ok());
}

TEST_F(BundleTest, OptionsOverrideTheMethodsDefaults) {
  const auto bundle = Read([](json& document) {
    document["options"] = {
        {"generation", {{"num_pictures", 7}, {"noise_dtype", "float16"}}},
        {"prototype",
         {{"num_parts", 3},
          {"spaces", {"dino"}},
          {"mask_source", "maskcut"},
          {"maskcut", {{"affinity_threshold", 0.2}, {"max_masks", 5}}},
          {"cutler", {{"score_threshold", 0.5}, {"max_detections", 20}}}}},
        {"segment",
         {{"background_threshold", 0.5},
          {"prefilter", {{"enabled", false}}},
          {"stuff_filter", {{"enabled", false}, {"threshold", 0.9}}},
          {"pamr",
           {{"enabled", true}, {"iterations", 5}, {"dilations", {1, 3}}}}}}};
  });
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->generation.num_pictures, 7);
  EXPECT_EQ(bundle->generation.noise_dtype, "float16");
  EXPECT_EQ(bundle->generation.num_steps, 30);
  EXPECT_EQ(bundle->prototype.num_parts, 3);
  EXPECT_THAT(bundle->prototype.spaces, ElementsAre("dino"));
  EXPECT_EQ(bundle->prototype.mask_source, "maskcut");
  EXPECT_EQ(bundle->prototype.maskcut.affinity_threshold, 0.2);
  EXPECT_EQ(bundle->prototype.maskcut.max_masks, 5);
  EXPECT_EQ(bundle->prototype.cutler.score_threshold, 0.5);
  EXPECT_EQ(bundle->prototype.cutler.max_detections, 20);
  EXPECT_EQ(bundle->segment.background_threshold, 0.5);
  EXPECT_FALSE(bundle->segment.prefilter.enabled);
  EXPECT_FALSE(bundle->segment.stuff_filter.enabled);
  EXPECT_EQ(bundle->segment.stuff_filter.threshold, 0.9);
  EXPECT_TRUE(bundle->segment.pamr.enabled);
  EXPECT_EQ(bundle->segment.pamr.iterations, 5);
  EXPECT_THAT(bundle->segment.pamr.dilations, ElementsAre(1, 3));
}

// What fetch.py adds to bundle.json with --cutler and --mae.
json Optional(const std::string& part) {
  const json files =
      json::parse(std::ifstream(kSd15 + std::string("/files.json")));
  return files["optional"][part];
}

json CutlerKey() { return Optional("cutler")["keys"]["cutler"]; }

TEST_F(BundleTest, OptionalSpacesAreForThoseWhoAsk) {
  EXPECT_THAT(Read([](json&) {})->prototype.spaces, IsEmpty());
  fs::create_directory(folder_ / "mae");
  const auto bundle =
      Read([](json& d) { d["spaces"].push_back(Optional("mae")["space"]); });
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  ASSERT_EQ(bundle->spaces.size(), 4u);
  EXPECT_TRUE(bundle->spaces[3].optional);
  EXPECT_EQ(bundle->spaces[3].window.size, 448);
  EXPECT_THAT(bundle->prototype.spaces, ElementsAre("sd", "dino", "clip"));
  PrototypeOptions asked = bundle->prototype;
  asked.spaces = {"mae"};
  EXPECT_TRUE(ValidateOptions(asked, *bundle).ok());
  EXPECT_THAT(ResolveSpaces(asked.spaces, *bundle), ElementsAre("mae"));
  EXPECT_THAT(ResolveSpaces({}, *bundle), ElementsAre("sd", "dino", "clip"));
  EXPECT_THAT(ErrorOf([](json& d) {
                for (json& space : d["spaces"]) {
                  space["optional"] = true;
                }
              }),
              HasSubstr("are all optional"));
}

TEST_F(BundleTest, CutlerIsThereWhereItIsNamed) {
  const auto without = Read([](json&) {});
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->cutler.has_value());
  fs::create_directory(folder_ / "cutler");
  const auto bundle = Read([](json& d) { d["cutler"] = CutlerKey(); });
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const CutlerSpec cutler = bundle->cutler.value_or(CutlerSpec());
  EXPECT_EQ(cutler.folder, (folder_ / "cutler").string());
  EXPECT_EQ(cutler.short_side, 800);
  EXPECT_EQ(cutler.max_long_side, 1333);
  // detectron2's numbers, of 0…255.
  EXPECT_NEAR(cutler.normalization.mean[0] * 255, 123.675, 1e-9);
  EXPECT_NEAR(cutler.normalization.deviation[2] * 255, 57.375, 1e-9);
  // Masks by it are a choice, not the default.
  EXPECT_EQ(bundle->prototype.mask_source, "maskcut");
}

TEST_F(BundleTest, RefusesWhatIsWrongWithCutler) {
  EXPECT_EQ(Read([](json& d) { d["cutler"] = CutlerKey(); }).status().code(),
            absl::StatusCode::kNotFound);
  fs::create_directory(folder_ / "cutler");
  const auto with = [&](const char* key, const json& value) {
    return ErrorOf([&](json& d) {
      d["cutler"] = CutlerKey();
      d["cutler"][key] = value;
    });
  };
  EXPECT_THAT(with("short_side", 0),
              AllOf(HasSubstr("cutler"), HasSubstr("1 to 8192")));
  EXPECT_THAT(with("max_long_side", 799), HasSubstr("short_side"));
  EXPECT_THAT(with("std", {1, 1}), HasSubstr("three numbers"));
  EXPECT_THAT(with("device", "cpu"),
              AllOf(HasSubstr("unknown key device"), HasSubstr("folder"),
                    HasSubstr("max_long_side")));
}

TEST_F(BundleTest, RefusesUnknownKeysAndListsTheAllowedOnes) {
  EXPECT_THAT(ErrorOf([](json& d) { d["colour"] = 1; }),
              AllOf(HasSubstr("unknown key colour"), HasSubstr("prefilter"),
                    HasSubstr("windows")));
  EXPECT_THAT(ErrorOf([](json& d) { d["spaces"][1]["facet"] = "key"; }),
              AllOf(HasSubstr("spaces[1]"), HasSubstr("facet"),
                    HasSubstr("window_input")));
  EXPECT_THAT(ErrorOf([](json& d) { d["options"]["segment"]["crf"] = true; }),
              AllOf(HasSubstr("options.segment"), HasSubstr("use_background")));
  EXPECT_THAT(ErrorOf([](json& d) {
                d["options"]["segment"]["stuff_filter"]["eta"] = 1;
              }),
              AllOf(HasSubstr("segment.stuff_filter"), HasSubstr("threshold")));
}

TEST_F(BundleTest, RefusesValuesThatAreNotAllowed) {
  EXPECT_THAT(ErrorOf([](json& d) { d["format"] = 2; }),
              AllOf(HasSubstr("\"format\" is 2"), HasSubstr("reads 1")));
  EXPECT_THAT(ErrorOf([](json& d) { d.erase("license"); }),
              HasSubstr("\"license\" is missing"));
  EXPECT_THAT(ErrorOf([](json& d) { d["spaces"][0]["type"] = "mae"; }),
              HasSubstr("allowed are stable_diffusion, vit, clip_vision"));
  EXPECT_THAT(ErrorOf([](json& d) { d["spaces"][1]["name"] = "sd"; }),
              HasSubstr("\"sd\" twice"));
  EXPECT_THAT(ErrorOf([](json& d) { d["spaces"] = json::array(); }),
              HasSubstr("at least one"));
  EXPECT_THAT(ErrorOf([](json& d) { d["diffusion"]["picture_size"] = 64.5; }),
              HasSubstr("must be an integer"));
  EXPECT_THAT(ErrorOf([](json& d) { d["diffusion"]["picture_size"] = -1; }),
              HasSubstr("1 to 8192"));
  EXPECT_THAT(ErrorOf([](json& d) {
                d["spaces"][2]["std"] = {1, 0, 1};
              }),
              HasSubstr("above 0"));
  EXPECT_THAT(ErrorOf([](json& d) {
                d["spaces"][2]["mean"] = {1, 0};
              }),
              HasSubstr("three numbers"));
  EXPECT_THAT(ErrorOf([](json& d) { d["windows"]["sizes"] = {449}; }),
              HasSubstr("short_side"));
  EXPECT_THAT(ErrorOf([](json& d) {
                d["spaces"][0]["window_input"] = {
                    {"fit", "keep"}, {"size", 8}, {"max_size", 8}};
              }),
              HasSubstr("allowed are squash"));
  EXPECT_THAT(ErrorOf([](json& d) { d["cuda_dtype"] = "int8"; }),
              HasSubstr("bfloat16"));
  EXPECT_THAT(ErrorOf([](json& d) { d["maskcut"]["space"] = "clip"; }),
              AllOf(HasSubstr("\"clip\""), HasSubstr("type vit: dino")));
  EXPECT_THAT(ErrorOf([](json& d) { d["maskcut"]["input_size"] = 0; }),
              HasSubstr("maskcut"));
}

TEST_F(BundleTest, NamesFoldersAndFilesThatAreNotThere) {
  EXPECT_EQ(ReadBundle("/nonexistent").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadBundle(folder_.string()).status().code(),
            absl::StatusCode::kNotFound);
  fs::remove(folder_ / "dino");
  const absl::Status status = Read([](json&) {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr((folder_ / "dino").string()));
}

TEST_F(BundleTest, RefusesWhatIsNotJson) {
  std::ofstream(folder_ / "bundle.json") << "{\"format\": 1,";
  EXPECT_EQ(ReadBundle(folder_.string()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  std::ofstream(folder_ / "bundle.json") << R"({"format": 1, "format": 1})";
  EXPECT_EQ(ReadBundle(folder_.string()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ovdiff::engine
