// Masks of support pictures by proposals: how they are chosen, and MaskCut
// through the engine.
#include <cmath>
#include <filesystem>

#include "engine/pipeline/support_masks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class MaskSourceTest : public EngineTest {
 protected:
  static PrototypeOptions MaskCut() {
    PrototypeOptions options = Prototype();
    options.mask_source = "maskcut";
    // Random networks' keys resemble each other more than trained ones.
    options.maskcut.affinity_threshold = 0.5;
    options.min_cell_coverage = 0.01;
    return options;
  }

  static PrototypeOptions Cutler() {
    PrototypeOptions options = MaskCut();
    options.mask_source = "cutler";
    options.cutler.score_threshold = 0.2;
    options.cutler.max_detections = 12;
    return options;
  }

  static std::vector<float> AllValues(const PrototypeSet& set) {
    std::vector<float> values;
    for (const FeatureSpacePrototypes& space : set.spaces) {
      for (const PrototypeVectors* side :
           {&space.foreground, &space.background}) {
        values.insert(values.end(), side->values.begin(), side->values.end());
      }
    }
    return values;
  }

  // The left half, and the right, of a grid of 2 x 4 cells.
  static torch::Tensor Halves() {
    torch::Tensor masks = torch::zeros({2, 2, 4}, torch::kBool);
    masks[0].narrow(1, 0, 2).fill_(true);
    masks[1].narrow(1, 2, 2).fill_(true);
    return masks;
  }
};

TEST_F(MaskSourceTest, ProposalsAreStretchedAndChosen) {
  // Attribution is high in the upper left quarter.
  const SupportSet support = SquareSupport(2, 16, 8);
  const auto masks = ChooseSupportMasks(
      support, {Halves(), torch::zeros({0, 3, 3}, torch::kBool)}, {}, 32);
  ASSERT_TRUE(masks.ok()) << masks.status();
  ASSERT_EQ(masks->masks.foreground.sizes(), (std::vector<int64_t>{2, 32, 32}));
  const torch::Tensor first = masks->masks.foreground[0];
  EXPECT_TRUE(first.narrow(1, 0, 16).all().item<bool>());
  EXPECT_FALSE(first.narrow(1, 16, 16).any().item<bool>());
  // Of the right half, what is dim, without its rim.
  const torch::Tensor background = masks->masks.background[0];
  EXPECT_FALSE(background.narrow(1, 0, 17).any().item<bool>());
  EXPECT_TRUE(background[31][31].item<bool>());
  // No proposal: the thresholds.
  EXPECT_TRUE(masks->used_fallback);
  EXPECT_TRUE(masks->masks.foreground[1][4][4].item<bool>());
  EXPECT_FALSE(masks->masks.foreground[1][24][4].item<bool>());
  EXPECT_TRUE(masks->masks.background[1][24][4].item<bool>());
}

TEST_F(MaskSourceTest, ObjectsAreCutByTheAttributionOfTheWholeSet) {
  const SupportSet support = SquareSupport(2, 16, 8);
  PrototypeOptions options;
  options.cut_by_attribution = true;
  const auto masks = ChooseSupportMasks(
      support, {Halves(), Halves().slice(0, 1)}, options, 32);
  ASSERT_TRUE(masks.ok()) << masks.status();
  EXPECT_FALSE(masks->used_fallback);
  // The left half without its dim lower part; the right half is not believed.
  for (const int64_t picture : {0, 1}) {
    const torch::Tensor mask = masks->masks.foreground[picture];
    EXPECT_TRUE(mask[4][4].item<bool>());
    EXPECT_FALSE(mask[28][4].item<bool>());
    EXPECT_FALSE(mask[4][28].item<bool>());
  }
}

// Thresholds are the set's, so that a mask shown later is the one used.
TEST_F(MaskSourceTest, MasksOfSomePicturesAreThoseOfAll) {
  SupportSet support = SquareSupport(3, 16, 8);
  for (float& value : support.pictures[2].attribution.data) {
    value = value > 0 ? 0.4f : 0.0f;
  }
  PrototypeOptions options = MaskCut();
  options.cut_by_attribution = true;
  const auto all = engine().MakePictureMasks(support, {0, 1, 2}, options, {});
  ASSERT_TRUE(all.ok()) << all.status();
  for (const int picture : {0, 1, 2}) {
    const auto one = engine().MakePictureMasks(support, {picture}, options, {});
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_EQ((*one)[0].foreground, (*all)[picture].foreground);
    EXPECT_EQ((*one)[0].background, (*all)[picture].background);
  }
}

TEST_F(MaskSourceTest, EveryPictureNeedsItsProposals) {
  EXPECT_EQ(ChooseSupportMasks(SquareSupport(2, 16, 8), {Halves()}, {}, 32)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ChooseSupportMasks({}, {}, {}, 32).status().code(),
            absl::StatusCode::kInvalidArgument);
  SupportSet support = SquareSupport(1, 16, 8);
  support.pictures[0].attribution.data[3] = std::nanf("");
  EXPECT_EQ(ChooseSupportMasks(support, {Halves()}, {}, 32).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(MaskSourceTest, MaskCutBuildsAnotherSetWhateverTheThreads) {
  const SupportSet support = SquareSupport(5, 16, 8);
  const auto build = [&](Engine& engine, const PrototypeOptions& options) {
    auto set = engine.BuildPrototypeSet(support, options, {}, nullptr);
    EXPECT_TRUE(set.ok()) << set.status();
    return AllValues(*set);
  };
  const std::vector<float> cut = build(engine(), MaskCut());
  ASSERT_FALSE(cut.empty());
  for (const float value : cut) {
    ASSERT_TRUE(std::isfinite(value));
  }
  PrototypeOptions attention = MaskCut();
  attention.mask_source = "attention";
  EXPECT_NE(build(engine(), attention), cut);
  const auto single = MakeEngine(/*num_threads=*/1);
  EXPECT_EQ(build(*single, MaskCut()), cut);
}

TEST_F(MaskSourceTest, CutlerBuildsAnotherSetWhateverTheThreads) {
  const SupportSet support = SquareSupport(5, 16, 8);
  const auto build = [&](Engine& engine, const PrototypeOptions& options) {
    auto set = engine.BuildPrototypeSet(support, options, {}, nullptr);
    EXPECT_TRUE(set.ok()) << set.status();
    return AllValues(*set);
  };
  const std::vector<float> found = build(engine(), Cutler());
  ASSERT_FALSE(found.empty());
  for (const float value : found) {
    ASSERT_TRUE(std::isfinite(value));
  }
  EXPECT_NE(build(engine(), MaskCut()), found);
  const auto single = MakeEngine(/*num_threads=*/1);
  EXPECT_EQ(build(*single, Cutler()), found);
  // Without a detection the thresholds decide: another set, not an error.
  PrototypeOptions none = Cutler();
  none.cutler.score_threshold = 1;
  EXPECT_NE(build(engine(), none), found);
  EXPECT_NE(engine().EncoderFingerprint(none),
            engine().EncoderFingerprint(Cutler()));
}

TEST_F(MaskSourceTest, ABundleWithoutCutlerNeedsNoneOfItsFiles) {
  const std::string folder = MakeTempFolder() + "/tiny";
  WriteTinyBundle(folder);
  nlohmann::json json = TinyBundleJson();
  json.erase("cutler");
  WriteJson(folder + "/bundle.json", json);
  std::filesystem::remove_all(folder + "/detector");
  EngineOptions options;
  options.bundle_path = folder;
  options.num_threads = 1;
  auto engine = CreateEngine(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto set = (*engine)->BuildPrototypeSet(SquareSupport(1, 16, 8),
                                                Cutler(), {}, nullptr);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(set.status().message()),
              AllOf(HasSubstr("mask_source is \"cutler\""), HasSubstr("tiny"),
                    HasSubstr("does not have CutLER's weights"),
                    HasSubstr("allowed with it is attention, maskcut")));
}

TEST_F(MaskSourceTest, CutlersWrongWeightsAreNamedAtTheStart) {
  const std::string folder = MakeTempFolder() + "/tiny";
  WriteTinyBundle(folder);
  std::filesystem::copy_file(folder + "/vit/model.safetensors",
                             folder + "/detector/model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  EngineOptions options;
  options.bundle_path = folder;
  options.num_threads = 1;
  const absl::Status status = CreateEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("cutler"), HasSubstr("missing"),
                    HasSubstr("roi_heads.mask_head.predictor.bias"),
                    HasSubstr("unexpected"), HasSubstr("blocks.0.")));
}

TEST_F(MaskSourceTest, IsPartOfTheEncoderFingerprintAlone) {
  PrototypeOptions attention = MaskCut();
  attention.mask_source = "attention";
  EXPECT_NE(engine().EncoderFingerprint(MaskCut()),
            engine().EncoderFingerprint(attention));
  // The cut counts where something is found, and only there.
  PrototypeOptions cut = MaskCut();
  cut.cut_by_attribution = true;
  EXPECT_NE(engine().EncoderFingerprint(cut),
            engine().EncoderFingerprint(MaskCut()));
  PrototypeOptions uncut = attention;
  attention.cut_by_attribution = true;
  EXPECT_EQ(engine().EncoderFingerprint(attention),
            engine().EncoderFingerprint(uncut));
}

TEST_F(MaskSourceTest, UnknownSourcesAreRefused) {
  PrototypeOptions options = Prototype();
  options.mask_source = "guess";
  const absl::Status status = engine().Validate(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("guess"), HasSubstr("attention, maskcut, cutler")));
}

TEST_F(MaskSourceTest, ABundleThatDoesNotSayWhatCutsIsTold) {
  const std::string folder = MakeTempFolder() + "/tiny";
  WriteTinyBundle(folder);
  nlohmann::json json = TinyBundleJson();
  json.erase("maskcut");
  WriteJson(folder + "/bundle.json", json);
  EngineOptions options;
  options.bundle_path = folder;
  options.num_threads = 1;
  auto engine = CreateEngine(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto set = (*engine)->BuildPrototypeSet(SquareSupport(1, 16, 8),
                                                MaskCut(), {}, nullptr);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(set.status().message()),
              AllOf(HasSubstr("mask_source is \"maskcut\""), HasSubstr("tiny"),
                    HasSubstr("allowed with it is attention"),
                    HasSubstr("bundle.json")));
  // As a bundle's own default it is the bundle that is wrong.
  json["options"]["prototype"]["mask_source"] = "maskcut";
  WriteJson(folder + "/bundle.json", json);
  const absl::Status status = CreateEngine(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("does not say what cuts"));
  // More cells than MaskCut takes.
  json = TinyBundleJson();
  json["maskcut"]["input_size"] = 400;
  WriteJson(folder + "/bundle.json", json);
  EXPECT_THAT(std::string(CreateEngine(options).status().message()),
              AllOf(HasSubstr("80x80 cells"), HasSubstr("320 pixels")));
}

}  // namespace
}  // namespace ovdiff::engine
