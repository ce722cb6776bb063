// The published slices of diffusers' own block tests, reproduced without any
// weights: LibTorch and PyTorch share the CPU generator and the initialisers,
// so modules built in the reference's order after manual_seed hold the same
// numbers. Values: networks.md 11.1, from diffusers tests/models/
// test_layers_utils.py and tests/models/unets/test_unet_2d_blocks.py.
#include <vector>

#include "engine/nn/embeddings.h"
#include "engine/nn/resnet_2d.h"
#include "engine/nn/transformer_2d.h"
#include "engine/nn/unet_2d_blocks.h"
#include "engine/nn/vae_blocks.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

// The published values have four decimals.
constexpr double kTolerance = 6e-5;

void ExpectCorner(const torch::Tensor& y, const std::vector<float>& golden) {
  const torch::Tensor corner =
      y[0][-1].slice(0, -3).slice(1, -3).contiguous().flatten();
  ASSERT_EQ(corner.numel(), static_cast<int64_t>(golden.size()));
  const double difference =
      (corner - torch::tensor(golden)).abs().max().item<double>();
  EXPECT_LT(difference, kTolerance) << corner;
}

class BlockGoldens : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(0); }

  // Inputs of the block tests; modules are built after them.
  void DrawBlockInputs() {
    x_ = torch::randn({4, 32, 32, 32});
    step_.temb_act = torch::silu(torch::randn({4, 128}));
  }

  static UNetBlockOptions BlockOptions() {
    UNetBlockOptions o;
    o.in_channels = 32;
    o.out_channels = 32;
    o.prev_output_channels = 32;
    o.temb_channels = 128;
    o.cross_attention_dim = 32;
    return o;
  }

  static VaeBlockOptions VaeOptions() {
    VaeBlockOptions o;
    o.in_channels = 32;
    o.out_channels = 32;
    o.downsample_padding = 1;
    return o;
  }

  // Up blocks: the skip is drawn from seed 1, then the module is built.
  std::vector<torch::Tensor> DrawSkip() {
    torch::manual_seed(1);
    return {torch::randn({4, 32, 32, 32})};
  }

  torch::NoGradGuard no_grad_;
  torch::Tensor x_;
  UNetStep step_;
};

TEST_F(BlockGoldens, NearestUpsampling) {
  const torch::Tensor x = torch::randn({1, 32, 32, 32});
  ExpectCorner(UpsampleNearest(x, 64, 64),
               {-0.2173, -1.2079, -1.2079, 0.2952, 1.1254, 1.1254, 0.2952,
                1.1254, 1.1254});
}

TEST_F(BlockGoldens, Upsample2DConv) {
  const torch::Tensor x = torch::randn({1, 32, 32, 32});
  ExpectCorner(Upsample2D(32)(x, 64, 64),
               {0.7145, 1.3773, 0.3492, 0.8448, 1.0839, -0.3341, 0.5956, 0.1250,
                -0.4841});
}

TEST_F(BlockGoldens, Downsample2DConv) {
  const torch::Tensor x = torch::randn({1, 32, 64, 64});
  ExpectCorner(Downsample2D(32, 1)(x), {0.9267, 0.5878, 0.3337, 1.2321, -0.1191,
                                        -0.3984, -0.7532, -0.0715, -0.3913});
}

TEST_F(BlockGoldens, ResnetBlock) {
  const torch::Tensor x = torch::randn({1, 32, 64, 64});
  const torch::Tensor temb = torch::randn({1, 128});
  ResnetBlock2DOptions o;
  o.in_channels = o.out_channels = 32;
  o.temb_channels = 128;
  ExpectCorner(ResnetBlock2D(o)(x, torch::silu(temb)),
               {-1.9010, -0.2974, -0.8245, -1.3533, 0.8742, -0.9645, -2.0584,
                1.3387, -0.4746});
}

TEST_F(BlockGoldens, ResnetBlockWithForcedShortcut) {
  const torch::Tensor x = torch::randn({1, 32, 64, 64});
  const torch::Tensor temb = torch::randn({1, 128});
  ResnetBlock2DOptions o;
  o.in_channels = o.out_channels = 32;
  o.temb_channels = 128;
  o.conv_shortcut = true;
  ExpectCorner(ResnetBlock2D(o)(x, torch::silu(temb)),
               {0.2226, -1.0791, -0.1629, 0.3659, -0.2889, -1.2376, 0.0582,
                0.9206, 0.0044});
}

TEST_F(BlockGoldens, TransformerWithoutCrossAttention) {
  const torch::Tensor x = torch::randn({1, 32, 64, 64});
  Transformer2DOptions o;
  o.in_channels = 32;
  ExpectCorner(Transformer2DModel(o)(x, torch::Tensor(), nullptr),
               {-1.9455, -0.0066, -1.3933, -1.5878, 0.5325, -0.6486, -1.8648,
                0.7515, -0.9689});
}

TEST_F(BlockGoldens, TransformerWithCrossAttention) {
  const torch::Tensor x = torch::randn({1, 64, 64, 64});
  Transformer2DOptions o;
  o.in_channels = 64;
  o.num_attention_heads = 2;
  o.cross_attention_dim = 64;
  Transformer2DModel transformer(o);
  const torch::Tensor context = torch::randn({1, 4, 64});
  ExpectCorner(transformer(x, context, nullptr),
               {0.0143, -0.6909, -2.1547, -1.8893, 1.4097, 0.1359, -0.2521,
                -1.3359, 0.2598});
}

TEST_F(BlockGoldens, DownBlock) {
  DrawBlockInputs();
  std::vector<torch::Tensor> skips;
  ExpectCorner(DownBlock2D(BlockOptions())(x_, step_, skips),
               {-0.0232, -0.9869, 0.8054, -0.0637, -0.1688, -1.4264, 0.4470,
                -1.3394, 0.0904});
  EXPECT_EQ(skips.size(), 2u);
}

TEST_F(BlockGoldens, CrossAttnDownBlock) {
  DrawBlockInputs();
  std::vector<torch::Tensor> skips;
  ExpectCorner(CrossAttnDownBlock2D(BlockOptions())(x_, step_, skips),
               {0.2238, -0.7396, -0.2255, -0.3829, 0.1925, 1.1665, 0.0603,
                -0.7295, 0.1983});
}

TEST_F(BlockGoldens, MidBlockCrossAttn) {
  DrawBlockInputs();
  ExpectCorner(UNetMidBlock2DCrossAttn(BlockOptions())(x_, step_),
               {0.0187, 2.4220, 0.4484, 1.1203, -0.6121, -1.5122, -0.8270,
                0.7851, 1.8335});
}

TEST_F(BlockGoldens, UpBlock) {
  DrawBlockInputs();
  std::vector<torch::Tensor> skips = DrawSkip();
  UpBlock2D block(BlockOptions());
  ExpectCorner(block(x_, step_, skips),
               {-0.2041, -0.4165, -0.3022, 0.0041, -0.6628, -0.7053, 0.1928,
                -0.0325, 0.0523});
  EXPECT_TRUE(skips.empty());
}

TEST_F(BlockGoldens, CrossAttnUpBlock) {
  DrawBlockInputs();
  std::vector<torch::Tensor> skips = DrawSkip();
  CrossAttnUpBlock2D block(BlockOptions());
  ExpectCorner(block(x_, step_, skips),
               {-0.1403, -0.3515, -0.0420, -0.1425, 0.3167, 0.5094, -0.2181,
                0.5931, 0.5582});
}

TEST_F(BlockGoldens, DownEncoderBlock) {
  x_ = torch::randn({4, 32, 32, 32});
  ExpectCorner(DownEncoderBlock2D(VaeOptions())(x_),
               {1.1102, 0.5302, 0.4872, -0.0023, -0.8042, 0.0483, -0.3489,
                -0.5632, 0.7626});
}

TEST_F(BlockGoldens, UpDecoderBlock) {
  x_ = torch::randn({4, 32, 32, 32});
  ExpectCorner(UpDecoderBlock2D(VaeOptions())(x_),
               {0.4404, 0.1998, -0.9886, -0.3320, -0.3128, -0.7034, -0.6955,
                -0.2338, -0.3137});
}

TEST_F(BlockGoldens, MidBlockOfTheAutoencoder) {
  DrawBlockInputs();
  UNetMidBlock2DOptions o;
  o.in_channels = 32;
  o.temb_channels = 128;
  o.attention_heads = 32;
  ExpectCorner(UNetMidBlock2D(o)(x_, step_.temb_act),
               {-0.1062, 1.7248, 0.3494, 1.4569, -0.0910, -1.2421, -0.9984,
                0.6736, 1.0028});
}

TEST_F(BlockGoldens, TimeEmbedding) {
  const torch::Tensor e =
      GetTimestepEmbedding(torch::arange(128), 64, /*flip_sin_to_cos=*/true,
                           /*freq_shift=*/0);
  const torch::Tensor part = e.slice(0, 23, 26).slice(1, 47, 50).flatten();
  const torch::Tensor golden = torch::tensor(
      {0.3019, 0.2280, 0.1716, 0.3146, 0.2377, 0.1790, 0.3272, 0.2474, 0.1864});
  EXPECT_LT((part - golden).abs().max().item<double>(), kTolerance) << part;
}

// networks.md 1.5, t = 200 at the width of Stable Diffusion 1.5.
TEST_F(BlockGoldens, TimeEmbeddingAtStep200) {
  const torch::Tensor e =
      GetTimestepEmbedding(torch::tensor({200}), 320, true, 0)[0];
  const torch::Tensor at = torch::tensor({0, 1, 80, 159, 160, 161, 240, 319});
  const torch::Tensor golden =
      torch::tensor({0.4871877, 0.9502945, -0.4161468, 0.9997756, -0.8732973,
                     0.3113526, 0.9092974, 0.0211835});
  EXPECT_LT((e.index_select(0, at) - golden).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace ovdiff::engine
