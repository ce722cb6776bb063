// What the tests of bundles share: a folder with a bundle.json that a test may
// change.
#ifndef OVDIFF_TESTS_ENGINE_BUNDLE_BUNDLE_FIXTURE_H_
#define OVDIFF_TESTS_ENGINE_BUNDLE_BUNDLE_FIXTURE_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "engine/bundle/bundle.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {

inline constexpr char kDemo[] = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
inline constexpr char kSd15[] = OVDIFF_SOURCE_DIR "/deploy/bundles/sd15";

// A folder with the sd15 bundle.json, changed, and empty model folders.
class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name =
        (std::filesystem::temp_directory_path() / "ovdiff-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (const char* part : {"stable-diffusion", "dino", "clip"}) {
      std::filesystem::create_directory(folder_ / part);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<Bundle> Read(
      const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json document = nlohmann::json::parse(
        std::ifstream(kSd15 + std::string("/bundle.json")));
    change(document);
    std::ofstream(folder_ / "bundle.json") << document.dump();
    return ReadBundle(folder_.string());
  }

  std::string ErrorOf(const std::function<void(nlohmann::json&)>& change) {
    const absl::Status status = Read(change).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    return std::string(status.message());
  }

  std::filesystem::path folder_;
};

// The sd15 bundle, read.
class Sd15Test : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    auto bundle = Read([](nlohmann::json&) {});
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    bundle_ = *std::move(bundle);
  }

  Bundle bundle_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_BUNDLE_BUNDLE_FIXTURE_H_
