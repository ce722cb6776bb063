// The stuff filter and PAMR in whole calls: what they leave out, what they
// refine, and when they change nothing.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"

namespace ovdiff::engine {
namespace {

using testing::HasSubstr;

// A class and what it was loaded from.
struct Named {
  const char* name;
  ClassKind kind;
  const PrototypeSet* set;
};

class StuffFilterTest : public EngineTest {
 protected:
  static const PrototypeSet& Set(int index) {
    static const auto* const sets = new std::vector<PrototypeSet>{
        Build(Paint("cat")), Build(Paint("dog")), Build(Paint("sky"))};
    return (*sets)[index];
  }
  static std::vector<Named> CatDogSky() {
    return {{"cat", ClassKind::kThing, &Set(0)},
            {"dog", ClassKind::kThing, &Set(1)},
            {"sky", ClassKind::kStuff, &Set(2)}};
  }

  static std::vector<SegmentClass> Loaded(const std::vector<Named>& classes) {
    std::vector<SegmentClass> loaded;
    for (const Named& item : classes) {
      loaded.push_back({static_cast<uint16_t>(loaded.size() + 1), item.name,
                        item.kind, Load(*item.set)});
    }
    return loaded;
  }

  static bool Uses(const SegmentOptions& options, PrototypeLevel level) {
    return level == PrototypeLevel::kClass      ? options.use_class_level
           : level == PrototypeLevel::kInstance ? options.use_instance_level
                                                : options.use_part_level;
  }

  static double Cosine(const float* a, const float* b, int dim) {
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (int i = 0; i < dim; ++i) {
      ab += static_cast<double>(a[i]) * b[i];
      aa += static_cast<double>(a[i]) * a[i];
      bb += static_cast<double>(b[i]) * b[i];
    }
    return ab / std::sqrt(aa * bb);
  }

  // Largest cosine of row `row` of `side` to the stuff of `classes`.
  static double Likeness(const PrototypeVectors& side, size_t space, size_t row,
                         const std::vector<Named>& classes,
                         const SegmentOptions& options) {
    const int dim = classes[0].set->spaces[space].dim;
    double largest = -1;
    for (const Named& item : classes) {
      if (item.kind != ClassKind::kStuff) {
        continue;
      }
      const PrototypeVectors& stuff = item.set->spaces[space].foreground;
      for (size_t i = 0; i < stuff.count(); ++i) {
        if (Uses(options, stuff.levels[i])) {
          largest =
              std::max(largest, Cosine(side.values.data() + row * dim,
                                       stuff.values.data() + i * dim, dim));
        }
      }
    }
    return largest;
  }

  // A threshold that no likeness in `classes` comes near to, and that leaves
  // out some rows and keeps others.
  static double MiddleThreshold(const std::vector<Named>& classes,
                                const SegmentOptions& options) {
    std::vector<double> all;
    for (const Named& item : classes) {
      for (size_t space = 0; space < item.set->spaces.size(); ++space) {
        const PrototypeVectors& side = item.set->spaces[space].background;
        for (size_t row = 0; row < side.count(); ++row) {
          if (item.kind == ClassKind::kThing) {
            all.push_back(Likeness(side, space, row, classes, options));
          }
        }
      }
    }
    std::sort(all.begin(), all.end());
    size_t best = all.size() / 4;
    for (size_t i = best; i + 1 < all.size() * 3 / 4; ++i) {
      if (all[i + 1] - all[i] > all[best + 1] - all[best]) {
        best = i;
      }
    }
    EXPECT_GT(all[best + 1] - all[best], 1e-5);
    return (all[best] + all[best + 1]) / 2;
  }

  // The rows `keep` of `all`.
  static PrototypeVectors Rows(const PrototypeVectors& all,
                               const std::vector<size_t>& keep, int dim) {
    PrototypeVectors some;
    for (const size_t row : keep) {
      some.values.insert(some.values.end(), all.values.begin() + row * dim,
                         all.values.begin() + (row + 1) * dim);
      some.levels.push_back(all.levels[row]);
      some.source_pictures.push_back(all.source_pictures[row]);
    }
    return some;
  }

  // Of a thing's `side`: the rows that are not like stuff.
  static std::vector<size_t> Unlike(const PrototypeVectors& side, size_t space,
                                    const std::vector<Named>& classes,
                                    const SegmentOptions& options) {
    std::vector<size_t> keep;
    for (size_t row = 0; row < side.count(); ++row) {
      if (!(Likeness(side, space, row, classes, options) >
            options.stuff_filter.threshold)) {
        keep.push_back(row);
      }
    }
    return keep;
  }

  // The same classes with those rows taken out by hand that the filter should
  // leave out.
  static std::vector<SegmentClass> FilteredByHand(
      const std::vector<Named>& classes, const SegmentOptions& options,
      int* num_left_out) {
    *num_left_out = 0;
    std::vector<PrototypeSet> sets;
    for (const Named& item : classes) {
      PrototypeSet set = *item.set;
      for (size_t space = 0; space < set.spaces.size(); ++space) {
        FeatureSpacePrototypes& vectors = set.spaces[space];
        const size_t before =
            vectors.foreground.count() + vectors.background.count();
        const bool is_stuff = item.kind == ClassKind::kStuff;
        const std::vector<size_t> background =
            is_stuff ? std::vector<size_t>{}
                     : Unlike(vectors.background, space, classes, options);
        vectors.background = Rows(vectors.background, background, vectors.dim);
        if (!is_stuff && options.stuff_filter.foreground) {
          const std::vector<size_t> foreground =
              Unlike(vectors.foreground, space, classes, options);
          const bool any_used = std::any_of(
              foreground.begin(), foreground.end(), [&](size_t row) {
                return Uses(options, vectors.foreground.levels[row]);
              });
          if (any_used) {
            vectors.foreground =
                Rows(vectors.foreground, foreground, vectors.dim);
          }
        }
        *num_left_out += static_cast<int>(before - vectors.foreground.count() -
                                          vectors.background.count());
      }
      sets.push_back(std::move(set));
    }
    std::vector<Named> filtered = classes;
    for (size_t i = 0; i < sets.size(); ++i) {
      filtered[i].set = &sets[i];
    }
    return Loaded(filtered);
  }

  static Segmentation Segment(const std::vector<SegmentClass>& classes,
                              const SegmentOptions& options) {
    auto answer = engine().Segment(MakePicture(50, 40), classes, options, {});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return *std::move(answer);
  }

  static void ExpectEqual(const Segmentation& a, const Segmentation& b) {
    EXPECT_EQ(a.labels.data, b.labels.data);
    ASSERT_EQ(a.classes.size(), b.classes.size());
    for (size_t i = 0; i < a.classes.size(); ++i) {
      EXPECT_EQ(a.classes[i].pixel_count, b.classes[i].pixel_count);
      EXPECT_EQ(a.classes[i].mean_score, b.classes[i].mean_score);
      EXPECT_EQ(a.classes[i].max_score, b.classes[i].max_score);
    }
  }

  // With the filter `classes` answer as do those filtered by hand without it.
  static int ExpectFiltered(const std::vector<Named>& classes,
                            const SegmentOptions& with) {
    SegmentOptions without = with;
    without.stuff_filter.enabled = false;
    int num_left_out = 0;
    const std::vector<SegmentClass> by_hand =
        FilteredByHand(classes, with, &num_left_out);
    ExpectEqual(Segment(Loaded(classes), with), Segment(by_hand, without));
    return num_left_out;
  }

  static SegmentOptions Without(SegmentOptions options) {
    options.stuff_filter.enabled = false;
    return options;
  }
};

TEST_F(StuffFilterTest, LeavesOutWhatIsLikeStuffAndNothingElse) {
  SegmentOptions options = Plain();
  ASSERT_TRUE(options.stuff_filter.enabled);
  options.stuff_filter.threshold = MiddleThreshold(CatDogSky(), options);
  const int left_out = ExpectFiltered(CatDogSky(), options);
  options.stuff_filter.threshold = 1;  // The stuff's own.
  const int own = ExpectFiltered(CatDogSky(), options);
  options.stuff_filter.threshold = -1;  // All.
  const int all = ExpectFiltered(CatDogSky(), options);
  EXPECT_LT(own, left_out);
  EXPECT_LT(left_out, all);
}

TEST_F(StuffFilterTest, LeavesOutThingsOwnPrototypesIfAsked) {
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = MiddleThreshold(CatDogSky(), options);
  const int background_alone = ExpectFiltered(CatDogSky(), options);
  options.stuff_filter.foreground = true;
  EXPECT_GT(ExpectFiltered(CatDogSky(), options), background_alone);
  options.use_class_level = false;
  ExpectFiltered(CatDogSky(), options);
  // All of them would go, so all stay.
  options.stuff_filter.threshold = -1;
  SegmentOptions background = options;
  background.stuff_filter.foreground = false;
  ExpectEqual(Segment(Loaded(CatDogSky()), options),
              Segment(Loaded(CatDogSky()), background));
  EXPECT_EQ(ExpectFiltered(CatDogSky(), options),
            ExpectFiltered(CatDogSky(), background));
}

TEST_F(StuffFilterTest, ChangesScores) {
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = -1;
  const Segmentation with = Segment(Loaded(CatDogSky()), options);
  const Segmentation without = Segment(Loaded(CatDogSky()), Without(options));
  EXPECT_NE(with.labels.data, without.labels.data);
}

TEST_F(StuffFilterTest, LooksAtTheLevelsInUse) {
  SegmentOptions options = Plain();
  options.use_class_level = false;
  options.use_instance_level = false;
  options.stuff_filter.threshold = MiddleThreshold(CatDogSky(), options);
  ExpectFiltered(CatDogSky(), options);
}

TEST_F(StuffFilterTest, WithoutStuffChangesNothing) {
  std::vector<Named> classes = CatDogSky();
  classes[2].kind = ClassKind::kThing;
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = -1;
  ExpectEqual(Segment(Loaded(classes), options),
              Segment(Loaded(classes), Without(options)));
}

// The vocabulary is what the call asks for: stuff that it leaves out has no
// say.
TEST_F(StuffFilterTest, StuffOutsideTheCallHasNoSay) {
  const std::vector<SegmentClass> all = Loaded(CatDogSky());
  const std::vector<SegmentClass> things = {all[0], all[1]};
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = -1;
  ExpectEqual(Segment(things, options), Segment(things, Without(options)));
}

// No background vector anywhere: background scores 0 and every pixel whose best
// score is above that has a class.
TEST_F(StuffFilterTest, OnlyStuff) {
  std::vector<Named> classes = CatDogSky();
  for (Named& item : classes) {
    item.kind = ClassKind::kStuff;
  }
  const SegmentOptions options = Plain();
  ExpectFiltered(classes, options);
  SegmentOptions threshold = Without(options);
  threshold.use_background = false;
  threshold.background_threshold = 0;
  ExpectEqual(Segment(Loaded(classes), options),
              Segment(Loaded(classes), threshold));
}

TEST_F(StuffFilterTest, ThingsWithoutBackgroundPrototypes) {
  PrototypeSet bare = Set(0);
  for (FeatureSpacePrototypes& space : bare.spaces) {
    space.background = {};
  }
  std::vector<Named> classes = CatDogSky();
  classes[0].set = &bare;
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = MiddleThreshold(classes, options);
  ExpectFiltered(classes, options);
  ExpectFiltered({classes[0], classes[2]}, options);
}

// A space whose background is all like stuff abstains; the others still vote.
TEST_F(StuffFilterTest, ASpaceThatLosesAllAbstains) {
  PrototypeSet alike = Set(0);
  alike.spaces[0].background = Set(2).spaces[0].foreground;
  std::vector<Named> classes = {{"cat", ClassKind::kThing, &alike},
                                {"sky", ClassKind::kStuff, &Set(2)}};
  SegmentOptions options = Plain();
  options.stuff_filter.threshold = 0.9999;
  const int left_out = ExpectFiltered(classes, options);
  EXPECT_GE(left_out, static_cast<int>(alike.spaces[0].background.count()));
  SegmentOptions one_space = options;
  one_space.spaces = {alike.spaces[0].space};
  const Segmentation alone = Segment(Loaded(classes), one_space);
  one_space.use_background = false;
  one_space.background_threshold = 0;
  ExpectEqual(alone, Segment(Loaded(classes), one_space));
}

TEST_F(StuffFilterTest, NothingToDoWithoutBackgroundPrototypes) {
  SegmentOptions options = Plain();
  options.use_background = false;
  options.stuff_filter.threshold = -1;
  ExpectEqual(Segment(Loaded(CatDogSky()), options),
              Segment(Loaded(CatDogSky()), Without(options)));
}

class PamrInSegmentTest : public StuffFilterTest {
 protected:
  static SegmentOptions Pamr() {
    SegmentOptions options = Plain();
    options.pamr.enabled = true;
    return options;
  }
};

TEST_F(PamrInSegmentTest, IsOffUnlessAskedForAndRefinesWhenOn) {
  EXPECT_FALSE(engine().info().segment.pamr.enabled);
  const Segmentation plain = Segment(Classes(), Plain());
  const Segmentation refined = Segment(Classes(), Pamr());
  EXPECT_NE(refined.labels.data, plain.labels.data);
  for (size_t i = 0; i < plain.classes.size(); ++i) {
    // Weighted means cannot exceed what they are means of.
    EXPECT_LE(refined.classes[i].max_score, plain.classes[i].max_score + 1e-6);
    EXPECT_GT(refined.classes[i].max_score, 0);
  }
}

TEST_F(PamrInSegmentTest, ThreadsChangeNothing) {
  const Segmentation expected = Segment(Loaded(CatDogSky()), Pamr());
  const auto other = MakeEngine(/*num_threads=*/3);
  std::vector<SegmentClass> classes;
  for (const Named& item : CatDogSky()) {
    auto loaded = other->LoadPrototypes(*item.set);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    classes.push_back({static_cast<uint16_t>(classes.size() + 1), item.name,
                       item.kind, *loaded});
  }
  auto answer = other->Segment(MakePicture(50, 40), classes, Pamr(), {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  ExpectEqual(*answer, expected);
}

TEST_F(PamrInSegmentTest, WorksOnThinPictures) {
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 200}, {200, 1}}) {
    EXPECT_TRUE(engine()
                    .Segment(MakePicture(width, height), Classes(), Pamr(), {})
                    .ok());
  }
}

TEST_F(PamrInSegmentTest, RefusesPicturesThatNeedTooMuchMemory) {
  SegmentOptions options = Pamr();
  options.windows.short_side = 1200;
  options.windows.sizes = {1200};
  options.windows.stride = 500;
  options.pamr.dilations = {1, 2, 3, 4, 5, 6, 7, 8};
  const absl::Status status =
      engine().Segment(MakePicture(50, 50), Classes(), options, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(),
              HasSubstr("351 MiB for a working picture of 1200x1200 pixels"));
}

}  // namespace
}  // namespace ovdiff::engine
