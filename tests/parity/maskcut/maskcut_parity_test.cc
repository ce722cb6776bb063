// MaskCut against SciPy's dense generalised eigenproblem; make_goldens.py
// beside this file is the reference.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/ops/key_affinity.h"
#include "engine/ops/maskcut.h"
#include "engine/ops/normalized_cut.h"
#include "engine/weights/safetensors.h"
#include "gtest/gtest.h"

namespace ovdiff::engine {
namespace {

class MaskCutParity : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto goldens = ReadSafetensors(
        absl::StrCat(OVDIFF_SOURCE_DIR, "/tests/parity/maskcut/goldens/",
                     GetParam(), ".safetensors"));
    ASSERT_TRUE(goldens.ok()) << goldens.status();
    goldens_ = *std::move(goldens);
    keys_ = goldens_.at("keys");
    options_.affinity_threshold = goldens_.at("tau").item<double>();
    while (goldens_.count(absl::StrCat("round", rounds_, "/value")) != 0) {
      ++rounds_;
    }
    options_.max_masks = rounds_;
  }

  // The cut of the first round, on a matrix held in either way.
  void ExpectFirstCut(KeyAffinity::Storage storage) {
    const KeyAffinity affinity(keys_.flatten(1), options_.affinity_threshold,
                               storage);
    const auto links = [&](absl::Span<const double> x, absl::Span<double> y) {
      affinity.Multiply(x, y);
    };
    const auto cut = SecondCutVector(
        {.num_nodes = affinity.num_cells(), .weak = 1e-5, .links = links}, {});
    ASSERT_TRUE(cut.ok()) << cut.status();
    EXPECT_LE(cut->residual, 1e-8);
    EXPECT_NEAR(cut->eigenvalue, goldens_.at("round0/value").item<double>(),
                1e-6);
    const torch::Tensor golden = goldens_.at("round0/vector");
    ASSERT_EQ(static_cast<int64_t>(cut->values.size()), golden.numel());
    const double scale = golden.abs().max().item<double>();
    for (int64_t i = 0; i < golden.numel(); ++i) {
      ASSERT_NEAR(cut->values[i], golden[i].item<double>(), 1e-4 * scale) << i;
    }
  }

  StateDict goldens_;
  torch::Tensor keys_;
  MaskCutOptions options_;
  int rounds_ = 0;
};

TEST_P(MaskCutParity, FirstCutsVector) {
  ASSERT_GE(rounds_, 2);
  ExpectFirstCut(KeyAffinity::Storage::kLists);
  ExpectFirstCut(KeyAffinity::Storage::kDense);
}

TEST_P(MaskCutParity, Masks) {
  const auto masks = MaskCut(keys_, options_);
  ASSERT_TRUE(masks.ok()) << masks.status();
  const torch::Tensor golden = goldens_.at("masks").to(torch::kBool);
  ASSERT_EQ(masks->sizes(), golden.sizes());
  EXPECT_TRUE(torch::equal(*masks, golden))
      << (*masks != golden).sum().item<int64_t>() << " cells differ";
}

INSTANTIATE_TEST_SUITE_P(All, MaskCutParity,
                         ::testing::Values("three_objects", "corners",
                                           "one_object", "two_of_a_kind",
                                           "full_grid"));

}  // namespace
}  // namespace ovdiff::engine
