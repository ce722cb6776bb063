// Plan: what one run of the harness is to do, as benchmarks/accuracy/run.py
// writes it. The file is described in benchmarks/accuracy/README.md.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_PLAN_H_
#define OVDIFF_BENCHMARKS_ACCURACY_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/engine.h"
#include "nlohmann/json.hpp"

namespace ovdiff::accuracy {

// One class that the engine is asked for. Several may share a label: synonyms.
struct PlanClass {
  std::string prompt;  // Painted, and read by the prefilter.
  ClassKind kind = ClassKind::kThing;
  uint16_t label = 0;  // The data set's, 1…254.
};

struct PlanPicture {
  std::string id;
  std::string image;   // File.
  std::string labels;  // 8-bit grey PNG: 0 background, 255 not looked at.
};

// A way to run the method.
struct PlanVariant {
  std::string name;
  // {"generation": {…}, "prototype": {…}, "segment": {…}}, each with the fields
  // of its struct in engine/base/method_options.h.
  nlohmann::json options;
  std::string support;  // A name in Plan::supports; empty: painted.
  std::string profile;  // A name in EngineInfo::profiles; empty: the default.
  // Only classes that are in the picture are asked for: what a prefilter that
  // knows the truth would keep. A picture without any is asked for all.
  bool true_classes = false;
};

// A support picture from files: the picture and its mask, a PNG of the same
// size that is not black where the class is, as server::DecodeMask() reads it.
struct SupportFile {
  std::string image;
  std::string mask;
};
// By seed (taken in turn when there are more seeds), then by class.
using SupportFiles = std::vector<std::vector<std::vector<SupportFile>>>;

struct Plan {
  std::string bundle;
  std::string device = "cpu";
  int num_threads = 0;      // As EngineOptions.
  std::string cache;        // Folder of the store with what was painted.
  std::string out;          // Folder of the results.
  std::string save_labels;  // Folder for predicted label maps; empty: none.
  int num_seeds = 1;
  std::vector<PlanClass> classes;
  std::vector<PlanPicture> pictures;
  std::vector<PlanVariant> variants;
  std::map<std::string, SupportFiles> supports;
};

// kNotFound, or kFailedPrecondition with what is wrong and what is allowed.
absl::StatusOr<Plan> ReadPlan(const std::string& path);

struct MethodOptions {
  GenerationOptions generation;
  PrototypeOptions prototype;
  SegmentOptions segment;
};

// The variant's profile, its options over that, and seed number `seed` (0, 1,
// …), which is added to generation.seed and prototype.kmeans_seed.
// kFailedPrecondition for wrong options or a profile that there is not.
absl::StatusOr<MethodOptions> ResolveOptions(const engine::EngineInfo& info,
                                             const PlanVariant& variant,
                                             int seed);

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_PLAN_H_
