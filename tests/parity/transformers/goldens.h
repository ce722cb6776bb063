// Reading of the goldens and the one way to compare with them.
#ifndef OVDIFF_TESTS_PARITY_TRANSFORMERS_GOLDENS_H_
#define OVDIFF_TESTS_PARITY_TRANSFORMERS_GOLDENS_H_

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/load_state_dict.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"
#include "torch/torch.h"

namespace ovdiff::engine {

// One network of make_goldens.py: its config.json, weights, inputs, outputs.
struct Golden {
  std::string config;
  StateDict weights;
  StateDict in;
  StateDict out;
};

inline std::string ParityConfig(const std::string& name) {
  auto text = ReadHubConfigText(absl::StrCat(
      OVDIFF_SOURCE_DIR, "/tests/parity/transformers/configs/", name, ".json"));
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

inline Golden ReadGolden(const std::string& name) {
  auto tensors = ReadSafetensors(
      absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/transformers/goldens/",
                   name, ".safetensors"));
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  Golden golden{ParityConfig(name), {}, {}, {}};
  if (!tensors.ok()) {
    return golden;
  }
  for (auto& [key, tensor] : *tensors) {
    absl::string_view rest = key;
    if (absl::ConsumePrefix(&rest, "weights/")) {
      golden.weights.emplace(std::string(rest), tensor);
    } else if (absl::ConsumePrefix(&rest, "in/")) {
      golden.in.emplace(std::string(rest), tensor);
    } else if (absl::ConsumePrefix(&rest, "out/")) {
      golden.out.emplace(std::string(rest), tensor);
    }
  }
  return golden;
}

// Largest difference over the largest golden value; infinite for another shape
// or where something is not finite.
inline double RelativeError(const torch::Tensor& actual,
                            const torch::Tensor& golden) {
  if (actual.sizes() != golden.sizes()) {
    return INFINITY;
  }
  const double difference = (actual - golden).abs().max().item<double>();
  const double scale = golden.abs().max().item<double>();
  return std::isfinite(difference) ? difference / scale : INFINITY;
}

// The promise of DESIGN.md 9, in float32.
inline constexpr double kTolerance = 1e-4;

#define EXPECT_PARITY(actual, golden) \
  EXPECT_LT(RelativeError(actual, golden), kTolerance)

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_PARITY_TRANSFORMERS_GOLDENS_H_
