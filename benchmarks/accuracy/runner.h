// Runner: carries out a plan with an engine.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_RUNNER_H_
#define OVDIFF_BENCHMARKS_ACCURACY_RUNNER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "benchmarks/accuracy/plan.h"
#include "benchmarks/accuracy/prototype_source.h"
#include "engine/engine.h"
#include "store/prototype_store.h"

namespace ovdiff::accuracy {

// For every variant and seed: prototypes of every class, then every picture
// segmented, into <plan.out>/<variant>.seed<seed>.jsonl (ResultFile). What is
// there already is kept if it was made of the same: program, bundle, options,
// classes and files. A class whose support pictures have no foreground takes no
// part and is listed in the file's header, as a server goes on without a class
// that could not be built. Thread-compatible.
class Runner {
 public:
  // Told, in words, how far it is.
  using Report = std::function<void(const std::string&)>;

  // All must outlive this. `provenance`: text that changes with the program or
  // the bundle; results of another are not kept.
  Runner(const Plan& plan, engine::Engine& engine, store::PrototypeStore& store,
         std::string provenance, Report report)
      : plan_(plan),
        engine_(engine),
        prototypes_(engine, store, report),
        provenance_(std::move(provenance)),
        report_(std::move(report)) {}

  absl::Status Run();

  // Instead: the support pictures of the first variant, as
  // <folder>/seed<seed>/<class>/<picture>.png and .attribution.tiff.
  absl::Status ExportSupports(const std::string& folder);

 private:
  class Lanes;

  struct Vocabulary {
    std::vector<engine::SegmentClass> classes;
    // The data set's label of each engine label.
    std::vector<uint16_t> evaluated = {0};
    std::vector<std::string> failed;  // Prompts.
  };

  absl::Status DigestPictures();
  // Most pictures that any variant wants of what `options` paints.
  absl::StatusOr<int> PaintedPictures(const GenerationOptions& options,
                                      int seed) const;
  absl::StatusOr<Vocabulary> Build(const PlanVariant& variant,
                                   const MethodOptions& options, int seed);
  // What a result file was made of.
  absl::StatusOr<nlohmann::json> Header(const PlanVariant& variant,
                                        const MethodOptions& options, int seed,
                                        const Vocabulary& vocabulary) const;
  // By class.
  const std::vector<std::vector<SupportFile>>& Support(
      const PlanVariant& variant, int seed) const;
  absl::Status RunVariant(const PlanVariant& variant, int seed,
                          const std::string& progress);

  const Plan& plan_;
  engine::Engine& engine_;
  PrototypeSource prototypes_;
  const std::string provenance_;
  const Report report_;
  std::vector<std::string> digests_;  // Of the plan's pictures.
};

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_RUNNER_H_
