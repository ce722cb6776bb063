// bundle.json: what is read, what is refused and how, and option limits.
#include "engine/bundle/bundle.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include "engine/bundle/fingerprint.h"
#include "engine/bundle/validate_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kDemo[] = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
constexpr char kSd15[] = OVDIFF_SOURCE_DIR "/deploy/bundles/sd15";

// A folder with the sd15 bundle.json, changed, and empty model folders.
class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ovdiff-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (const char* part : {"stable-diffusion", "dino", "clip"}) {
      fs::create_directory(folder_ / part);
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  absl::StatusOr<Bundle> Read(const std::function<void(json&)>& change) {
    json document =
        json::parse(std::ifstream(kSd15 + std::string("/bundle.json")));
    change(document);
    std::ofstream(folder_ / "bundle.json") << document.dump();
    return ReadBundle(folder_.string());
  }

  std::string ErrorOf(const std::function<void(json&)>& change) {
    const absl::Status status = Read(change).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    return std::string(status.message());
  }

  fs::path folder_;
};

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
  ASSERT_TRUE(bundle->maskcut.has_value());
  EXPECT_EQ(bundle->maskcut->space, "dino");
  EXPECT_EQ(bundle->maskcut->input_size, 480);
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

// As fetch.py writes it.
json CutlerKey() {
  const json files =
      json::parse(std::ifstream(kSd15 + std::string("/files.json")));
  return files["cutler"]["bundle"];
}

TEST_F(BundleTest, CutlerIsThereWhereItIsNamed) {
  const auto without = Read([](json&) {});
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->cutler.has_value());
  fs::create_directory(folder_ / "cutler");
  const auto bundle = Read([](json& d) { d["cutler"] = CutlerKey(); });
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  ASSERT_TRUE(bundle->cutler.has_value());
  EXPECT_EQ(bundle->cutler->folder, (folder_ / "cutler").string());
  EXPECT_EQ(bundle->cutler->short_side, 800);
  EXPECT_EQ(bundle->cutler->max_long_side, 1333);
  // detectron2's numbers, of 0…255.
  EXPECT_NEAR(bundle->cutler->normalization.mean[0] * 255, 123.675, 1e-9);
  EXPECT_NEAR(bundle->cutler->normalization.deviation[2] * 255, 57.375, 1e-9);
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

class OptionsTest : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    auto bundle = Read([](json&) {});
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    bundle_ = *std::move(bundle);
  }

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

  Bundle bundle_;
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

class FingerprintTest : public OptionsTest {
 protected:
  Sha256Digest Generator(const GenerationOptions& options,
                         const std::string& dtype = "float32") {
    return GeneratorFingerprint(bundle_, digests_, dtype, options);
  }
  Sha256Digest Encoder(const PrototypeOptions& options) {
    return EncoderFingerprint(bundle_, digests_, "float32", options);
  }

  void SetUp() override {
    OptionsTest::SetUp();
    for (const SpaceSpec& space : bundle_.spaces) {
      digests_.spaces[space.name] = Sha256Of(space.name);
    }
  }

  BundleDigests digests_;
};

TEST_F(FingerprintTest, EveryGeneratorOptionCountsButTheBatchSize) {
  const Sha256Digest base = Generator({});
  GenerationOptions options;
  options.batch_size = 1;
  EXPECT_EQ(Generator(options), base);
  EXPECT_NE(Generator({}, "float16"), base);
  const std::vector<std::function<void(GenerationOptions&)>> changes = {
      [](auto& o) { o.num_pictures = 31; },
      [](auto& o) { o.num_steps = 31; },
      [](auto& o) { o.guidance_scale = 8.5; },
      [](auto& o) { o.prompt_template = "a {}"; },
      [](auto& o) { o.negative_prompt = ""; },
      [](auto& o) { o.seed = 43; },
      [](auto& o) { o.noise_dtype = "float16"; },
      [](auto& o) { o.self_attention_rounds = 1; },
      [](auto& o) { o.final_sigmas_type = "zero"; }};
  for (const auto& change : changes) {
    options = {};
    change(options);
    EXPECT_NE(Generator(options), base);
  }
  bundle_.picture_size = 256;
  EXPECT_NE(Generator({}), base);
}

TEST_F(FingerprintTest, EveryEncoderOptionCounts) {
  const Sha256Digest base = Encoder({});
  const std::vector<std::function<void(PrototypeOptions&)>> changes = {
      [](auto& o) { o.num_parts = 31; },
      [](auto& o) { o.kmeans_max_iterations = 31; },
      [](auto& o) { o.kmeans_seed = 1; },
      [](auto& o) { o.otsu_bins = 255; },
      [](auto& o) { o.fallback_background = 0.1; },
      [](auto& o) { o.fallback_foreground = 0.6; },
      [](auto& o) { o.min_cell_coverage = 0.4; },
      [](auto& o) { o.noise_seed = 44; },
      [](auto& o) {
        o.spaces = {"sd", "dino"};
      }};
  for (const auto& change : changes) {
    PrototypeOptions options;
    change(options);
    EXPECT_NE(Encoder(options), base);
  }
  // All spaces named are the same as none named, in any order.
  PrototypeOptions all;
  all.spaces = {"clip", "sd", "dino"};
  EXPECT_EQ(Encoder(all), base);
  // How photos are looked at changes no stored vector.
  bundle_.windows.stride = 100;
  bundle_.spaces[0].window.size = 100;
  EXPECT_EQ(Encoder({}), base);
  bundle_.spaces[0].layers.pop_back();
  EXPECT_NE(Encoder({}), base);
}

TEST_F(FingerprintTest, DigestsFollowTheBytesOfFiles) {
  const auto bundle = ReadBundle(kDemo);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const auto digests = DigestBundle(*bundle);
  ASSERT_TRUE(digests.ok()) << digests.status();
  EXPECT_EQ(digests->spaces.at("sd"), digests->diffusion);
  EXPECT_NE(digests->spaces.at("dino"), digests->spaces.at("clip"));
  EXPECT_EQ(digests->cutler, Sha256Digest{});
  // Any folder with a config.json and weights has a digest.
  Bundle with = *bundle;
  with.cutler.emplace().folder = with.FindSpace("dino")->folder;
  EXPECT_EQ(DigestBundle(with)->cutler, digests->spaces.at("dino"));
  // Folders without weights.
  EXPECT_EQ(DigestBundle(bundle_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ovdiff::engine
