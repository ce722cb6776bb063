// Segmenting: shapes, options, degenerate pictures, and that an answer depends
// on the request alone.
#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

class SegmentTest : public EngineTest {
 protected:
  static void ExpectSound(const Segmentation& answer, const Image& image,
                          const std::vector<SegmentClass>& classes) {
    EXPECT_EQ(answer.labels.width, image.width);
    EXPECT_EQ(answer.labels.height, image.height);
    ASSERT_EQ(answer.labels.data.size(),
              static_cast<size_t>(image.width) * image.height);
    ASSERT_EQ(answer.classes.size(), classes.size());
    std::vector<int64_t> pixels(65536, 0);
    for (const uint16_t label : answer.labels.data) {
      ++pixels[label];
    }
    int64_t labelled = pixels[0];
    for (size_t i = 0; i < classes.size(); ++i) {
      EXPECT_EQ(answer.classes[i].label, classes[i].label);
      EXPECT_EQ(answer.classes[i].pixel_count, pixels[classes[i].label]);
      labelled += pixels[classes[i].label];
      if (answer.classes[i].pixel_count > 0) {
        EXPECT_TRUE(answer.classes[i].kept);
        EXPECT_GT(answer.classes[i].mean_score, 0);
        EXPECT_LE(answer.classes[i].mean_score,
                  answer.classes[i].max_score + 1e-6);
      }
      EXPECT_LE(answer.classes[i].max_score, 1 + 1e-5);
    }
    EXPECT_EQ(labelled, static_cast<int64_t>(answer.labels.data.size()));
    EXPECT_GE(answer.num_windows, 1);
  }

  static void ExpectEqual(const Segmentation& a, const Segmentation& b) {
    EXPECT_EQ(a.labels.data, b.labels.data);
    ASSERT_EQ(a.classes.size(), b.classes.size());
    for (size_t i = 0; i < a.classes.size(); ++i) {
      EXPECT_EQ(a.classes[i].kept, b.classes[i].kept);
      EXPECT_EQ(a.classes[i].pixel_count, b.classes[i].pixel_count);
      EXPECT_EQ(a.classes[i].mean_score, b.classes[i].mean_score);
      EXPECT_EQ(a.classes[i].max_score, b.classes[i].max_score);
    }
  }
};

TEST_F(SegmentTest, AnswersAtThePicturesSizeWhateverItIs) {
  for (const auto& [width, height] : {std::pair{30, 30},
                                      {64, 48},
                                      {1, 1},
                                      {3, 7},
                                      {1, 500},
                                      {500, 1},
                                      {201, 40}}) {
    const Image image = MakePicture(width, height);
    ExpectSound(Segment(image, Classes(), Plain()), image, Classes());
  }
}

TEST_F(SegmentTest, LooksAtAsManyWindowsAsTheNumbersSay) {
  // 45x30 after the resize: 30-windows at 0 and 15, 20-windows at 0, 15, 25 in
  // x and 0, 10 in y, and the whole.
  EXPECT_EQ(Segment(MakePicture(90, 60), Classes(), Plain()).num_windows,
            2 + 6 + 1);
  SegmentOptions options = Plain();
  options.windows.sizes = {30};
  options.windows.whole_picture = false;
  EXPECT_EQ(Segment(MakePicture(90, 60), Classes(), options).num_windows, 2);
}

// Any answer under load equals the answer alone, bit for bit.
TEST_F(SegmentTest, AnswersDoNotDependOnWhatElseRuns) {
  std::vector<Image> images;
  std::vector<Segmentation> alone;
  for (uint32_t i = 0; i < 8; ++i) {
    images.push_back(MakePicture(40 + 3 * static_cast<int>(i), 40, i + 1));
    alone.push_back(Segment(images.back(), Classes(), engine().info().segment));
  }
  const EngineStats before = engine().stats();
  std::atomic<bool> stop{false};
  std::thread painter([&] {
    GenerationOptions options = Generation();
    while (!stop) {
      EXPECT_TRUE(engine().PaintSupportSet("cow", options, {}, nullptr).ok());
    }
  });
  std::vector<std::thread> callers;
  for (size_t i = 0; i < images.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        ExpectEqual(Segment(images[i], Classes(), engine().info().segment),
                    alone[i]);
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  stop = true;
  painter.join();
  const EngineStats after = engine().stats();
  const double mean_batch =
      static_cast<double>(after.batched_windows - before.batched_windows) /
      static_cast<double>(after.batches - before.batches);
  EXPECT_GT(mean_batch, 1.5);
}

TEST_F(SegmentTest, ThreadsAndBatchLimitChangeNothing) {
  const Image image = MakePicture(50, 40);
  const PrototypeSet set = Build(Paint("cat"));
  const std::vector<SegmentClass> classes = {
      {1, "cat", ClassKind::kThing, Load(set)}};
  const Segmentation expected = Segment(image, classes, Plain());
  EngineOptions options;
  options.bundle_path = BundleFolder();
  options.num_threads = 3;
  options.max_batch_windows = 1;
  auto other = CreateEngine(options);
  ASSERT_TRUE(other.ok()) << other.status();
  auto loaded = (*other)->LoadPrototypes(set);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  auto answer = (*other)->Segment(
      image, std::vector<SegmentClass>{{1, "cat", ClassKind::kThing, *loaded}},
      Plain(), {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  ExpectEqual(*answer, expected);
}

// Where a class has no vectors of the object left in the picture, its own
// vectors still win over those of nothing: a class against its copy ties, and
// the lower label has all.
TEST_F(SegmentTest, EqualScoresGoToTheLowerLabel) {
  std::vector<SegmentClass> classes = {Classes()[0], Classes()[0]};
  classes[0].label = 9;
  classes[1].label = 4;
  SegmentOptions options = Plain();
  options.use_background = false;
  options.background_threshold = -1;
  const Image image = MakePicture(40, 30);
  const Segmentation answer = Segment(image, classes, options);
  ExpectSound(answer, image, classes);
  EXPECT_EQ(answer.classes[0].pixel_count, 0);
  EXPECT_GT(answer.classes[1].pixel_count, 0);
}

TEST_F(SegmentTest, TheThresholdStandsForBackgroundWhenThatIsOff) {
  SegmentOptions options = Plain();
  options.use_background = false;
  const Image image = MakePicture(40, 30);
  options.background_threshold = 1;  // Nothing is above it.
  for (const ClassResult& item : Segment(image, Classes(), options).classes) {
    EXPECT_EQ(item.pixel_count, 0);
  }
  options.background_threshold = -1;  // 0 after the cut at 0: all above it win.
  int64_t labelled = 0;
  for (const ClassResult& item : Segment(image, Classes(), options).classes) {
    labelled += item.pixel_count;
  }
  EXPECT_GT(labelled, 40 * 30 / 2);
}

TEST_F(SegmentTest, SpacesAndLevelsCanBeSwitchedOff) {
  const Image image = MakePicture(40, 30);
  const Segmentation all = Segment(image, Classes(), Plain());
  SegmentOptions options = Plain();
  options.spaces = {"keys"};
  const Segmentation keys = Segment(image, Classes(), options);
  ExpectSound(keys, image, Classes());
  EXPECT_NE(keys.classes[0].max_score, all.classes[0].max_score);
  options = Plain();
  options.use_instance_level = false;
  const Segmentation fewer = Segment(image, Classes(), options);
  ExpectSound(fewer, image, Classes());
  EXPECT_LE(fewer.classes[0].max_score, all.classes[0].max_score);
  options.use_class_level = false;
  options.use_part_level = false;
  EXPECT_EQ(engine().Segment(image, Classes(), options, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SegmentTest, NoiseSeedMatters) {
  const Image image = MakePicture(40, 30);
  SegmentOptions options = Plain();
  options.spaces = {"queries"};
  const double before = Segment(image, Classes(), options).classes[0].max_score;
  options.noise_seed = 44;
  EXPECT_NE(Segment(image, Classes(), options).classes[0].max_score, before);
}

TEST_F(SegmentTest, ThePrefilterKeepsStuffAndAtLeastOneThing) {
  const Image image = MakePicture(40, 30);
  const Segmentation answer =
      Segment(image, Classes(), engine().info().segment);
  ExpectSound(answer, image, Classes());
  EXPECT_TRUE(answer.classes[2].kept);  // stuff
  EXPECT_TRUE(answer.classes[0].kept || answer.classes[1].kept);
  for (const ClassResult& item : answer.classes) {
    if (!item.kept) {
      EXPECT_EQ(item.pixel_count, 0);
      EXPECT_EQ(item.max_score, 0);
    }
  }
}

TEST_F(SegmentTest, AllStuffAndOneClassAloneAreKept) {
  const Image image = MakePicture(40, 30);
  std::vector<SegmentClass> stuff = Classes();
  for (SegmentClass& item : stuff) {
    item.kind = ClassKind::kStuff;
  }
  for (const ClassResult& item :
       Segment(image, stuff, engine().info().segment).classes) {
    EXPECT_TRUE(item.kept);
  }
  const std::vector<SegmentClass> one = {Classes()[0]};
  EXPECT_TRUE(Segment(image, one, engine().info().segment).classes[0].kept);
}

TEST_F(SegmentTest, TheOrderOfClassesDoesNotMatter) {
  const Image image = MakePicture(50, 40);
  const std::vector<SegmentClass> reversed(Classes().rbegin(),
                                           Classes().rend());
  const Segmentation a = Segment(image, Classes(), engine().info().segment);
  const Segmentation b = Segment(image, reversed, engine().info().segment);
  EXPECT_EQ(a.labels.data, b.labels.data);
}

// Dropped classes cost nothing and change nothing.
TEST_F(SegmentTest, AnswersEqualThoseOfTheKeptClassesAlone) {
  const Image image = MakePicture(50, 40);
  const Segmentation all = Segment(image, Classes(), engine().info().segment);
  std::vector<SegmentClass> kept;
  for (size_t i = 0; i < Classes().size(); ++i) {
    if (all.classes[i].kept) {
      kept.push_back(Classes()[i]);
    }
  }
  EXPECT_EQ(Segment(image, kept, Plain()).labels.data, all.labels.data);
}

TEST_F(SegmentTest, NamesBeyondTheContextAreCutNotRefused) {
  std::vector<SegmentClass> classes = {Classes()[0], Classes()[1]};
  classes[0].name = std::string(500, 'x');
  ExpectSound(Segment(MakePicture(40, 30), classes, engine().info().segment),
              MakePicture(40, 30), classes);
}

TEST_F(SegmentTest, RefusesBadRequests) {
  const Image image = MakePicture(40, 30);
  const auto code = [&](const Image& picture,
                        const std::vector<SegmentClass>& classes) {
    return engine().Segment(picture, classes, Plain(), {}).status().code();
  };
  EXPECT_EQ(code(Image(), Classes()), absl::StatusCode::kInvalidArgument);
  Image short_data = image;
  short_data.data.pop_back();
  EXPECT_EQ(code(short_data, Classes()), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(image, {}), absl::StatusCode::kInvalidArgument);
  std::vector<SegmentClass> classes = Classes();
  classes[1].label = classes[0].label;
  EXPECT_EQ(code(image, classes), absl::StatusCode::kInvalidArgument);
  classes[1].label = 0;
  EXPECT_EQ(code(image, classes), absl::StatusCode::kInvalidArgument);
  classes = Classes();
  classes[2].prototypes = nullptr;
  EXPECT_EQ(code(image, classes), absl::StatusCode::kInvalidArgument);
  SegmentOptions options = Plain();
  options.spaces = {"sd"};
  EXPECT_THAT(
      engine().Segment(image, Classes(), options, {}).status().message(),
      HasSubstr("allowed are vision, queries, keys"));
}

TEST_F(SegmentTest, ClassesOfUnequalSpacesUseTheCommonOnes) {
  PrototypeOptions options = Prototype();
  options.spaces = {"keys"};
  auto set =
      engine().BuildPrototypeSet(SquareSupport(2, 16, 8), options, {}, nullptr);
  ASSERT_TRUE(set.ok()) << set.status();
  std::vector<SegmentClass> classes = Classes();
  classes[0].prototypes = Load(*set);
  const Image image = MakePicture(40, 30);
  ExpectSound(Segment(image, classes, Plain()), image, classes);
  SegmentOptions vision = Plain();
  vision.spaces = {"vision"};
  const absl::Status status =
      engine().Segment(image, classes, vision, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("\"cat\""));
}

TEST_F(SegmentTest, ObeysDeadlineAndCancellation) {
  CallControl control;
  control.deadline = absl::Now() - absl::Seconds(1);
  EXPECT_EQ(engine()
                .Segment(MakePicture(40, 30), Classes(), Plain(), control)
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
  CallControl cancelled;
  cancelled.cancellation.Cancel();
  EXPECT_EQ(engine()
                .Segment(MakePicture(40, 30), Classes(), Plain(), cancelled)
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ovdiff::engine
