// What the tests of engine/ops/ share: the inputs and outputs of
// make_goldens.py and make_query_goldens.py.
#ifndef OVDIFF_TESTS_ENGINE_OPS_TEST_SUPPORT_H_
#define OVDIFF_TESTS_ENGINE_OPS_TEST_SUPPORT_H_

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "torch/types.h"

namespace ovdiff::engine {

inline nlohmann::json LoadGoldens(const std::string& name = "goldens.json") {
  std::ifstream file(std::string(OVDIFF_SOURCE_DIR) + "/tests/engine/ops/" +
                     name);
  return nlohmann::json::parse(file);
}

// draws() of make_goldens.py.
inline std::vector<double> Draws(uint32_t seed, size_t count) {
  std::vector<double> out;
  uint32_t state = seed;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    out.push_back((state >> 8) / 16777216.0);
  }
  return out;
}

// Draws as a float32 tensor of `shape`.
inline torch::Tensor DrawnTensor(uint32_t seed, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  return torch::tensor(Draws(seed, count), torch::kFloat64)
      .to(torch::kFloat32)
      .reshape(shape);
}

inline torch::Tensor ToTensor(const nlohmann::json& values,
                              std::vector<int64_t> shape) {
  return torch::tensor(values.get<std::vector<double>>(), torch::kFloat64)
      .to(torch::kFloat32)
      .reshape(shape);
}

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_OPS_TEST_SUPPORT_H_
