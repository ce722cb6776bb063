// What the tests of the engine on the tiny bundle share.
#ifndef OVDIFF_TESTS_ENGINE_PIPELINE_ENGINE_FIXTURE_H_
#define OVDIFF_TESTS_ENGINE_PIPELINE_ENGINE_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/tiny_bundle.h"

namespace ovdiff::engine {

// Engines on one tiny bundle, which is written once a program.
class EngineTest : public testing::Test {
 protected:
  static const std::string& BundleFolder() {
    static const std::string* const folder = [] {
      auto* path = new std::string(MakeTempFolder() + "/tiny");
      WriteTinyBundle(*path);
      return path;
    }();
    return *folder;
  }

  static std::unique_ptr<Engine> MakeEngine(int num_threads = 2) {
    EngineOptions options;
    options.bundle_path = BundleFolder();
    options.num_threads = num_threads;
    auto engine = CreateEngine(options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  // One engine for all tests that change nothing.
  static Engine& engine() {
    static Engine* const shared = MakeEngine().release();
    return *shared;
  }

  static GenerationOptions Generation() { return engine().info().generation; }
  static PrototypeOptions Prototype() { return engine().info().prototype; }
  // Without prefilter: tests see all classes.
  static SegmentOptions Plain() {
    SegmentOptions options = engine().info().segment;
    options.prefilter.enabled = false;
    return options;
  }

  static SupportSet Paint(const std::string& prompt) {
    auto support = engine().PaintSupportSet(prompt, Generation(), {}, nullptr);
    EXPECT_TRUE(support.ok()) << support.status();
    return *std::move(support);
  }

  static PrototypeSet Build(const SupportSet& support) {
    auto set = engine().BuildPrototypeSet(support, Prototype(), {}, nullptr);
    EXPECT_TRUE(set.ok()) << set.status();
    return *std::move(set);
  }

  static std::shared_ptr<const LoadedPrototypes> Load(const PrototypeSet& set) {
    auto loaded = engine().LoadPrototypes(set);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  static std::shared_ptr<const LoadedPrototypes> Load(
      const std::string& prompt) {
    return Load(Build(Paint(prompt)));
  }

  static Segmentation Segment(const Image& image,
                              const std::vector<SegmentClass>& classes,
                              const SegmentOptions& options) {
    auto answer = engine().Segment(image, classes, options, {});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return *std::move(answer);
  }

  // Three classes, painted once a program: "cat", "dog", "sky" (stuff).
  static const std::vector<SegmentClass>& Classes() {
    static const auto* const classes = new std::vector<SegmentClass>{
        {1, "cat", ClassKind::kThing, Load("cat")},
        {2, "dog", ClassKind::kThing, Load("dog")},
        {3, "sky", ClassKind::kStuff, Load("sky")}};
    return *classes;
  }

  // A picture with some structure, the same for the same arguments.
  static Image MakePicture(int width, int height, uint32_t seed = 1) {
    Image image;
    image.width = width;
    image.height = height;
    uint32_t state = seed * 2654435761u + 1;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const bool inside = (x / 7 + y / 5 + static_cast<int>(seed)) % 3 == 0;
        for (int channel = 0; channel < 3; ++channel) {
          state = state * 1664525u + 1013904223u;
          image.data.push_back(static_cast<uint8_t>(
              (inside ? 150 + 30 * channel : 40) + (state >> 28)));
        }
      }
    }
    return image;
  }

  // A support set whose maps are `value` inside a square and 0 elsewhere.
  static SupportSet SquareSupport(int pictures, int map_side, int square) {
    SupportSet support;
    for (int i = 0; i < pictures; ++i) {
      SupportPicture picture;
      picture.image = MakePicture(kTinyPictureSize, kTinyPictureSize,
                                  static_cast<uint32_t>(i + 1));
      picture.attribution.width = map_side;
      picture.attribution.height = map_side;
      for (int cell = 0; cell < map_side * map_side; ++cell) {
        const int x = cell % map_side;
        const int y = cell / map_side;
        const bool inside = x < square && y < square;
        const bool edge = x == square || y == square;
        picture.attribution.data.push_back(inside ? 1.0f : edge ? 0.5f : 0.1f);
      }
      support.pictures.push_back(std::move(picture));
    }
    return support;
  }
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_PIPELINE_ENGINE_FIXTURE_H_
