// Reading of the goldens of make_goldens.py, and comparison of what a runner
// detects with them.
#ifndef OVDIFF_TESTS_PARITY_CUTLER_GOLDENS_H_
#define OVDIFF_TESTS_PARITY_CUTLER_GOLDENS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/ops/mask_paste.h"
#include "engine/runners/cutler_runner.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {

inline std::string CutlerGolden(const std::string& path) {
  return absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/cutler/goldens/", path);
}

inline StateDict ReadCutlerGolden(const std::string& path) {
  auto tensors = ReadSafetensors(CutlerGolden(path));
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  return tensors.ok() ? *std::move(tensors) : StateDict();
}

// CutLER's normalisation and the sizes of a golden; no folder.
inline CutlerSpec SpecOf(const StateDict& io) {
  return {.folder = "",
          .short_side = io.at("short_side").item<int>(),
          .max_long_side = io.at("max_long_side").item<int>(),
          .normalization = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}};
}

inline PrototypeOptions OptionsOf(const StateDict& io) {
  PrototypeOptions options;
  options.mask_source = kCutlerMasks;
  options.cutler.score_threshold = io.at("score_threshold").item<double>();
  options.cutler.max_detections = io.at("max_detections").item<int>();
  return options;
}

// uint8 [H, W, 3]
inline Image ToPicture(const torch::Tensor& pixels) {
  const uint8_t* data = pixels.data_ptr<uint8_t>();
  return {.width = static_cast<int>(pixels.size(1)),
          .height = static_cast<int>(pixels.size(0)),
          .data = std::vector<uint8_t>(data, data + pixels.numel())};
}

// Largest difference; infinite for another shape or where one is not finite.
inline double Difference(const torch::Tensor& actual,
                         const torch::Tensor& golden) {
  if (actual.sizes() != golden.sizes()) {
    return INFINITY;
  }
  if (golden.numel() == 0) {
    return 0;
  }
  const double difference = (actual - golden).abs().max().item<double>();
  return std::isfinite(difference) ? difference : INFINITY;
}

// The promise of DESIGN.md 9: scores and masks are in 0…1, boxes in sides of
// the picture.
inline constexpr double kCutlerTolerance = 1e-4;

// What the runner finds in picture `index`: boxes, scores, masks of boxes, and
// the pasted masks, of which a pixel may differ where the golden's value is
// within 1e-4 of one half. Returns the number of detections.
inline int64_t ExpectDetections(const CutlerRunner& runner, const StateDict& io,
                                int index) {
  const auto golden = [&](const char* name) -> const torch::Tensor& {
    return io.at(absl::StrCat(index, "/", name));
  };
  const Image picture = ToPicture(golden("picture"));
  const auto found = runner.Detect(picture, OptionsOf(io).cutler);
  EXPECT_TRUE(found.ok()) << found.status();
  if (!found.ok()) {
    return -1;
  }
  const double side = std::max(picture.width, picture.height);
  EXPECT_LT(Difference(found->boxes, golden("boxes")) / side, kCutlerTolerance);
  EXPECT_LT(Difference(found->scores, golden("scores")), kCutlerTolerance);
  EXPECT_LT(Difference(found->masks, golden("masks")), kCutlerTolerance);
  const torch::Tensor pasted =
      PasteMasks(found->masks, found->boxes, picture.height, picture.width);
  EXPECT_EQ(pasted.sizes(), golden("pasted").sizes());
  EXPECT_LE((pasted != golden("pasted").to(torch::kBool)).sum().item<int64_t>(),
            golden("near_half").item<int64_t>());
  return found->scores.size(0);
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_PARITY_CUTLER_GOLDENS_H_
