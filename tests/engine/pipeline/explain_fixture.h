// What the tests of explaining share: sets whose rows lie in another order than
// on the device, and the two calls that must agree.
#ifndef OVDIFF_TESTS_ENGINE_PIPELINE_EXPLAIN_FIXTURE_H_
#define OVDIFF_TESTS_ENGINE_PIPELINE_EXPLAIN_FIXTURE_H_

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/pipeline/engine_fixture.h"

namespace ovdiff::engine {

class ExplainTest : public EngineTest {
 protected:
  // As built, but with rows that have no direction, and levels out of order: so
  // no row has the place that it has on the device.
  static PrototypeSet Shuffled(PrototypeSet set) {
    for (FeatureSpacePrototypes& space : set.spaces) {
      for (PrototypeVectors* side : {&space.foreground, &space.background}) {
        PrototypeVectors out;
        const auto dim = static_cast<size_t>(space.dim);
        for (size_t i = side->count(); i-- > 0;) {
          out.values.insert(out.values.end(), side->values.begin() + i * dim,
                            side->values.begin() + (i + 1) * dim);
          out.levels.push_back(side->levels[i]);
          out.source_pictures.push_back(side->source_pictures[i]);
          if (i % 3 == 0) {
            out.values.insert(out.values.end(), dim, 0.0f);
            out.levels.push_back(side->levels[i]);
            out.source_pictures.push_back(side->source_pictures[i]);
          }
        }
        *side = std::move(out);
      }
    }
    return set;
  }

  static const std::vector<PrototypeSet>& Sets() {
    static const auto* const sets = new std::vector<PrototypeSet>{
        Shuffled(Build(Paint("cat"))), Shuffled(Build(Paint("dog"))),
        Shuffled(Build(Paint("sky")))};
    return *sets;
  }
  static const std::vector<SegmentClass>& Named() {
    static const auto* const classes = new std::vector<SegmentClass>{
        {4, "cat", ClassKind::kThing, Load(Sets()[0])},
        {2, "dog", ClassKind::kThing, Load(Sets()[1])},
        {9, "sky", ClassKind::kStuff, Load(Sets()[2])}};
    return *classes;
  }

  static Explanation Explain(const Image& image,
                             const std::vector<SegmentClass>& classes,
                             const SegmentOptions& options,
                             const ExplainTarget& target) {
    auto answer = engine().Explain(image, classes, options, target, {});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return *std::move(answer);
  }
  static const ExplainedClass* Find(const Explanation& answer, int label) {
    for (const ExplainedClass& one : answer.classes) {
      if (one.label == label) {
        return &one;
      }
    }
    return nullptr;
  }
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_PIPELINE_EXPLAIN_FIXTURE_H_
