// Bundles that cannot work are refused, with all that is wrong named.
#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "engine/weights/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/tiny_bundle.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

class BadBundleTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = MakeTempFolder() + "/tiny";
    WriteTinyBundle(folder_);
  }

  absl::Status Create(const std::string& device = "cpu") {
    EngineOptions options;
    options.bundle_path = folder_;
    options.num_threads = 1;
    options.device = device;
    return CreateEngine(options).status();
  }

  std::string folder_;
};

TEST_F(BadBundleTest, TheTinyBundleItselfIsGood) {
  EXPECT_TRUE(Create().ok()) << Create();
}

TEST_F(BadBundleTest, NamesMissingFiles) {
  for (const char* file : {"bundle.json", "diffusion/unet/config.json",
                           "diffusion/vae/diffusion_pytorch_model.safetensors",
                           "diffusion/tokenizer/merges.txt",
                           "diffusion/scheduler/scheduler_config.json",
                           "vit/model.safetensors", "clip-b/config.json"}) {
    const fs::path path = fs::path(folder_) / file;
    const std::string saved = path.string() + ".away";
    fs::rename(path, saved);
    const absl::Status status = Create();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << file;
    EXPECT_THAT(status.message(), HasSubstr(path.parent_path().string()));
    fs::rename(saved, path);
  }
}

TEST_F(BadBundleTest, ListsAllMissingUnexpectedAndMisshapenWeights) {
  const std::string path = folder_ + "/vit/model.safetensors";
  auto tensors = ReadSafetensors(path);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  tensors->erase("norm.bias");
  tensors->erase("blocks.0.attn.qkv.weight");
  (*tensors)["blocks.7.surprise"] = torch::zeros({2});
  (*tensors)["norm.weight"] = torch::zeros({3});
  ASSERT_TRUE(WriteSafetensors(path, *tensors).ok());
  const absl::Status status = Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("vit"), HasSubstr("norm.bias"),
                    HasSubstr("blocks.0.attn.qkv.weight"),
                    HasSubstr("blocks.7.surprise"), HasSubstr("norm.weight")));
}

TEST_F(BadBundleTest, RefusesDamagedWeights) {
  const std::string path =
      folder_ + "/diffusion/unet/diffusion_pytorch_model.safetensors";
  fs::resize_file(path, fs::file_size(path) - 5);
  const absl::Status status = Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("unet"));
}

TEST_F(BadBundleTest, RefusesConfigValuesThatAreNotImplemented) {
  const std::string path = folder_ + "/diffusion/unet/config.json";
  json config = json::parse(std::ifstream(path));
  config["act_fn"] = "mish";
  WriteJson(path, config);
  const absl::Status status = Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("unet/config.json"), HasSubstr("act_fn")));
}

TEST_F(BadBundleTest, RefusesPartsThatDoNotFitEachOther) {
  json config = TinyBundleJson();
  config["diffusion"]["picture_size"] = 33;
  WriteJson(folder_ + "/bundle.json", config);
  EXPECT_THAT(Create().message(), HasSubstr("multiples of 2"));
  config = TinyBundleJson();
  config["spaces"][1]["layers"] = {"mid_block.attentions.9"};
  WriteJson(folder_ + "/bundle.json", config);
  EXPECT_THAT(std::string(Create().message()),
              AllOf(HasSubstr("mid_block.attentions.9"),
                    HasSubstr("up_blocks.1.attentions.0")));
  config = TinyBundleJson();
  config["spaces"][0]["layer"] = 2;
  WriteJson(folder_ + "/bundle.json", config);
  EXPECT_THAT(Create().message(), HasSubstr("has 2 blocks"));
  config = TinyBundleJson();
  config["spaces"][1]["timestep"] = 1000;
  WriteJson(folder_ + "/bundle.json", config);
  EXPECT_THAT(Create().message(), HasSubstr("0 to 999"));
  config = TinyBundleJson();
  config["options"]["prototype"]["num_parts"] = 0;
  WriteJson(folder_ + "/bundle.json", config);
  EXPECT_THAT(Create().message(), HasSubstr("num_parts"));
}

TEST_F(BadBundleTest, RefusesDevicesThatAreNotThere) {
  EXPECT_EQ(Create("tpu").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Create("cuda:x").code(), absl::StatusCode::kInvalidArgument);
#if !defined(OVDIFF_CUDA)
  const absl::Status status = Create("cuda");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("built without CUDA"));
#endif
}

// Well-formed weights may still be NaN: nothing made of them is stored.
TEST_F(BadBundleTest, NetworksThatGiveNoNumbersAreAnErrorOfTheCall) {
  const auto spoil = [&](const std::string& file, const std::string& name) {
    auto tensors = ReadSafetensors(folder_ + file);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    (*tensors)[name].fill_(std::nanf(""));
    ASSERT_TRUE(WriteSafetensors(folder_ + file, *tensors).ok());
  };
  EngineOptions options;
  options.bundle_path = folder_;
  options.num_threads = 1;
  spoil("/vit/model.safetensors", "cls_token");
  auto engine = CreateEngine(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  GenerationOptions generation = (*engine)->info().generation;
  generation.num_pictures = 2;
  auto support = (*engine)->PaintSupportSet("cat", generation, {}, nullptr);
  ASSERT_TRUE(support.ok()) << support.status();
  PrototypeOptions prototype = (*engine)->info().prototype;
  prototype.min_cell_coverage = 0.01;
  EXPECT_EQ((*engine)
                ->BuildPrototypeSet(*support, prototype, {}, nullptr)
                .status()
                .code(),
            absl::StatusCode::kInternal);
  spoil("/diffusion/vae/diffusion_pytorch_model.safetensors",
        "decoder.conv_out.bias");
  engine = CreateEngine(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)
                ->PaintSupportSet("cat", generation, {}, nullptr)
                .status()
                .code(),
            absl::StatusCode::kInternal);
}

TEST_F(BadBundleTest, FingerprintsFollowTheFiles) {
  EngineOptions options;
  options.bundle_path = folder_;
  options.num_threads = 1;
  auto before = CreateEngine(options);
  ASSERT_TRUE(before.ok()) << before.status();
  const std::string path = folder_ + "/vit/model.safetensors";
  auto tensors = ReadSafetensors(path);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  (*tensors)["cls_token"].add_(0.5);
  ASSERT_TRUE(WriteSafetensors(path, *tensors).ok());
  auto after = CreateEngine(options);
  ASSERT_TRUE(after.ok()) << after.status();
  // The encoder changed, the generator did not.
  EXPECT_EQ((*before)->GeneratorFingerprint({}),
            (*after)->GeneratorFingerprint({}));
  EXPECT_NE((*before)->EncoderFingerprint({}),
            (*after)->EncoderFingerprint({}));
  PrototypeOptions others;
  others.spaces = {"queries", "keys"};
  EXPECT_EQ((*before)->EncoderFingerprint(others),
            (*after)->EncoderFingerprint(others));
}

}  // namespace
}  // namespace ovdiff::engine
