// Cascade Mask R-CNN R50-FPN at CutLER's size, with weights drawn by integers
// alike here and in make_goldens.py, on three pictures that become 800 pixels
// wide, one without detections.
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "engine/nn/cascade_rcnn/cascade_rcnn.h"
#include "tests/parity/cutler/goldens.h"

namespace ovdiff::engine {
namespace {

// Number `index` of draw() in make_goldens.py: in [-1, 1).
double Draw(uint32_t seed, uint32_t index) {
  uint32_t h = index + seed * 0x9e3779b9u;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  h ^= h >> 16;
  return static_cast<double>(h >> 8) / 8388608.0 - 1;
}

// SCALES of make_goldens.py.
struct Scale {
  const char* ending;
  double scale;
  double offset;
};
constexpr Scale kScales[] = {{"conv3.norm.weight", 0.05, 0.25},
                             {"norm.weight", 0.1, 1.0},
                             {"norm.bias", 0.1, 0.0},
                             {"norm.running_mean", 0.1, 0.0},
                             {"norm.running_var", 0.1, 1.0},
                             {"anchor_deltas.weight", 0.1, 0.0},
                             {"bbox_pred.weight", 0.5, 0.0},
                             {"cls_score.weight", 0.5, 0.0},
                             {"predictor.weight", 0.1, 0.0},
                             {"weight", 1.0, 0.0},
                             {"bias", 0.1, 0.0}};

const Scale& ScaleOf(const std::string& name) {
  for (const Scale& scale : kScales) {
    if (absl::EndsWith(name, scale.ending)) {
      return scale;
    }
  }
  ADD_FAILURE() << name;
  return kScales[0];
}

// fill_by_name() of make_goldens.py.
void FillByName(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& item : module.named_parameters()) {
    tensors[item.key()] = item.value();
  }
  for (const auto& item : module.named_buffers()) {
    tensors[item.key()] = item.value();
  }
  uint32_t seed = 0;
  for (const auto& [name, tensor] : tensors) {
    auto [ending, scale, offset] = ScaleOf(name);
    if (tensor.dim() > 1) {
      scale *=
          std::sqrt(6.0 / static_cast<double>(tensor.numel() / tensor.size(0)));
    }
    float* values = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<float>(
          Draw(seed, static_cast<uint32_t>(i)) * scale + offset);
    }
    if (absl::EndsWith(name, "cls_score.bias")) {
      values[0] = -1;
      values[1] = 0;
    }
    ++seed;
  }
  module.eval();
}

TEST(CutlerFullSize, ThreePictures) {
  torch::set_num_threads(1);
  torch::InferenceMode inference;
  CascadeRcnn network{CascadeRcnnConfig()};
  FillByName(*network);
  const StateDict io = ReadCutlerGolden("full_size.safetensors");
  ASSERT_EQ(io.at("short_side").item<int>(), 800);
  const CutlerRunner runner(SpecOf(io), network, torch::kCPU);
  EXPECT_GE(ExpectDetections(runner, io, 0), 3);
  EXPECT_GE(ExpectDetections(runner, io, 1), 3);
  EXPECT_EQ(ExpectDetections(runner, io, 2), 0);
}

}  // namespace
}  // namespace ovdiff::engine
