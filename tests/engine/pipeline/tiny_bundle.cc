#include "tests/engine/pipeline/tiny_bundle.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "engine/nn/autoencoder_kl.h"
#include "engine/nn/cascade_rcnn/cascade_rcnn.h"
#include "engine/nn/clip_model.h"
#include "engine/nn/clip_text_model.h"
#include "engine/nn/unet_2d_condition.h"
#include "engine/nn/vision_transformer.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kContext = 24;      // tokens
constexpr int kVocabulary = 514;  // 256 bytes, as many word ends, start, end

// Folders to remove when the program ends.
class TempFolders {
 public:
  ~TempFolders() {
    for (const std::string& folder : folders_) {
      std::error_code error;
      fs::remove_all(folder, error);
    }
  }
  std::string Make() {
    std::string name = (fs::temp_directory_path() / "ovdiff-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folders_.push_back(name);
    return name;
  }

 private:
  std::vector<std::string> folders_;
};

std::string Utf8(int code_point) {
  if (code_point < 0x80) {
    return std::string(1, static_cast<char>(code_point));
  }
  return {static_cast<char>(0xc0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3f))};
}

// CLIP's byte symbols, without any merge: one token a byte.
void WriteTokenizer(const std::string& folder) {
  std::vector<std::string> symbols;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool kept = (byte >= 33 && byte <= 126) ||
                      (byte >= 161 && byte <= 172) || byte >= 174;
    symbols.push_back(Utf8(kept ? byte : next++));
  }
  json vocabulary;
  int id = 0;
  for (const std::string& symbol : symbols) vocabulary[symbol] = id++;
  for (const std::string& symbol : symbols) vocabulary[symbol + "</w>"] = id++;
  vocabulary["<|startoftext|>"] = id++;
  vocabulary["<|endoftext|>"] = id++;
  EXPECT_EQ(id, kVocabulary);
  fs::create_directories(folder);
  WriteJson(folder + "/vocab.json", vocabulary);
  std::ofstream(folder + "/merges.txt") << "#version: 0.2\n";
  WriteJson(folder + "/tokenizer_config.json",
            {{"model_max_length", kContext}});
}

// Weights of a freshly made module under its own names.
template <typename Module>
void WriteModule(const std::string& folder, const std::string& stem,
                 const json& config, Module module) {
  fs::create_directories(folder);
  WriteJson(folder + "/config.json", config);
  StateDict tensors;
  for (const auto& item : module->named_parameters()) {
    tensors[item.key()] = item.value().detach().clone();
  }
  for (const auto& item : module->named_buffers()) {
    tensors[item.key()] = item.value().detach().clone();
  }
  const absl::Status written =
      WriteSafetensors(folder + "/" + stem + ".safetensors", tensors);
  ASSERT_TRUE(written.ok()) << written;
}

template <typename Module, typename Config>
void WriteNetwork(const std::string& folder, const std::string& stem,
                  const json& config) {
  const auto parsed = Config::FromJsonText(config.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  WriteModule(folder, stem, config, Module(*parsed));
}

json TextConfig() {
  return {{"vocab_size", kVocabulary},  {"hidden_size", 24},
          {"intermediate_size", 40},    {"num_hidden_layers", 2},
          {"num_attention_heads", 3},   {"max_position_embeddings", kContext},
          {"hidden_act", "quick_gelu"}, {"eos_token_id", kVocabulary - 1}};
}

void WriteDiffusion(const std::string& folder) {
  WriteTokenizer(folder + "/tokenizer");
  fs::create_directories(folder + "/scheduler");
  WriteJson(folder + "/scheduler/scheduler_config.json",
            {{"_class_name", "PNDMScheduler"},
             {"num_train_timesteps", 1000},
             {"beta_start", 0.00085},
             {"beta_end", 0.012},
             {"beta_schedule", "scaled_linear"}});
  json text = TextConfig();
  text["model_type"] = "clip_text_model";
  WriteNetwork<CLIPTextModel, CLIPTextConfig>(folder + "/text_encoder", "model",
                                              text);
  WriteNetwork<UNet2DConditionModel, UNet2DConditionConfig>(
      folder + "/unet", "diffusion_pytorch_model",
      {{"sample_size", 16},
       {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
       {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
       {"block_out_channels", {8, 16}},
       {"layers_per_block", 1},
       {"attention_head_dim", 2},
       {"norm_num_groups", 4},
       {"cross_attention_dim", 24}});
  WriteNetwork<AutoencoderKL, AutoencoderKLConfig>(
      folder + "/vae", "diffusion_pytorch_model",
      {{"block_out_channels", {8, 8}},
       {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
       {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
       {"norm_num_groups", 4},
       {"latent_channels", 4},
       {"scaling_factor", 0.5}});
}

void WriteVision(const std::string& folder) {
  WriteNetwork<CLIPModel, CLIPConfig>(folder + "/clip-b", "model",
                                      {{"model_type", "clip"},
                                       {"projection_dim", 20},
                                       {"text_config", TextConfig()},
                                       {"vision_config",
                                        {{"hidden_size", 24},
                                         {"intermediate_size", 40},
                                         {"num_hidden_layers", 3},
                                         {"num_attention_heads", 3},
                                         {"image_size", 32},
                                         {"patch_size", 8}}}});
  WriteNetwork<VisionTransformer, VisionTransformerConfig>(
      folder + "/vit", "model",
      {{"architecture", "vit_dino"},
       {"embed_dim", 18},
       {"depth", 2},
       {"num_heads", 3},
       {"patch_size", 5},
       {"img_size", 40},
       {"mlp_ratio", 2},
       {"qkv_bias", true},
       {"layer_norm_eps", 1e-6}});
}

// Random weights, but for scores above one half and masks that fill their
// boxes: it finds something in every picture.
void WriteDetector(const std::string& folder) {
  const json config = {{"architecture", "cascade_mask_rcnn"},
                       {"stem_out_channels", 4},
                       {"width_per_group", 4},
                       {"res2_out_channels", 8},
                       {"stage_blocks", {1, 1, 1, 1}},
                       {"fpn_out_channels", 6},
                       {"anchor_sizes", {8, 16, 24, 32, 40}},
                       {"rpn_post_nms_topk", 20},
                       {"box_pooler_resolution", 2},
                       {"box_fc_dim", 8},
                       {"mask_pooler_resolution", 3},
                       {"mask_conv_dim", 5}};
  const auto parsed = CascadeRcnnConfig::FromJsonText(config.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  CascadeRcnn detector(*parsed);
  torch::NoGradGuard no_grad;
  for (const auto& item : detector->named_parameters()) {
    torch::Tensor weights = item.value();
    if (absl::EndsWith(item.key(), "cls_score.weight") ||
        absl::EndsWith(item.key(), "mask_head.predictor.weight")) {
      weights.zero_();
    } else if (absl::EndsWith(item.key(), "cls_score.bias")) {
      weights[0] = 1;
      weights[1] = 0;
    } else if (absl::EndsWith(item.key(), "mask_head.predictor.bias")) {
      weights.fill_(3);
    }
  }
  WriteModule(folder, "model", config, detector);
}

}  // namespace

std::string MakeTempFolder() {
  static TempFolders folders;
  return folders.Make();
}

void WriteJson(const std::string& path, const json& value) {
  std::ofstream(path) << value.dump(2);
}

json TinyBundleJson() {
  return json::parse(R"({
    "format": 1, "name": "tiny", "license": "none",
    "diffusion": {"folder": "diffusion", "picture_size": 32},
    "spaces": [
      {"name": "vision", "type": "vit", "folder": "vit", "layer": 1,
       "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3],
       "position_interpolation": "scale_offset",
       "support_input": {"fit": "squash", "size": 40},
       "window_input": {"fit": "keep", "size": 40, "max_size": 60}},
      {"name": "queries", "type": "stable_diffusion",
       "layers": ["mid_block.attentions.0", "up_blocks.1.attentions.1"],
       "timestep": 150, "prompt": "",
       "support_input": {"fit": "squash", "size": 32},
       "window_input": {"fit": "squash", "size": 24}},
      {"name": "keys", "type": "clip_vision", "folder": "clip-b", "layer": -2,
       "mean": [0.5, 0.5, 0.5], "std": [0.3, 0.3, 0.3],
       "position_interpolation": "size",
       "support_input": {"fit": "squash", "size": 48},
       "window_input": {"fit": "squash", "size": 32}}],
    "prefilter": {"folder": "clip-b", "tokenizer": "diffusion/tokenizer",
       "intermediate_size": 48, "input_size": 32,
       "mean": [0.5, 0.5, 0.5], "std": [0.3, 0.3, 0.3]},
    "maskcut": {"space": "vision", "input_size": 42},
    "cutler": {"folder": "detector", "short_side": 72, "max_long_side": 80,
       "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]},
    "windows": {"short_side": 30, "sizes": [30, 20], "stride": 15,
       "max_long_side": 120},
    "options": {
       "generation": {"num_pictures": 4, "num_steps": 3,
                      "prompt_template": "a {}", "negative_prompt": "bad"},
       "prototype": {"num_parts": 5},
       "segment": {"prefilter": {"max_classes": 3}}}
  })");
}

void WriteTinyBundle(const std::string& folder) {
  torch::manual_seed(7);
  fs::create_directories(folder);
  WriteDiffusion(folder + "/diffusion");
  WriteVision(folder);
  WriteDetector(folder + "/detector");
  WriteJson(folder + "/bundle.json", TinyBundleJson());
}

}  // namespace ovdiff::engine
