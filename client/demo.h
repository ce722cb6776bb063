// The program behind `make demo`, as a function: adds classes, segments scenes
// whose masks are known, measures, and writes pictures and a page about it.
#ifndef OVDIFF_CLIENT_DEMO_H_
#define OVDIFF_CLIENT_DEMO_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/console.h"
#include "client/json_output.h"

namespace ovdiff::client {

struct DemoOptions {
  // Holds scenes.json {"labels": [background first], "scenes": [{"file",
  // "caption", "classes"}]}, the pictures NN.png and their truths
  // NN.labels.png.
  std::string scenes;
  std::string out = "demo-out";
  std::string vocabulary = "demo";
  // A second vocabulary, `vocabulary` + "-colours": told apart by colour only.
  std::vector<std::string> colour_classes = {"red sneaker", "blue sneaker"};
  // Scenes whose caption has this word are segmented with it.
  std::string colour_word = "sneaker";
  std::optional<int> pictures;
  std::optional<int> steps;
  // Scenes under way at a time.
  int parallel = 2;
};

// Runs the demo and returns what it wrote into OUT/summary.json: `miou`,
// `miou_single_space`, `foreground_iou`, `class_iou`, `classes`,
// `reused_classes`, `scenes`, `colour_scenes`, `server`, `seconds`. Also writes
// OUT/index.html and OUT/pictures/. Says on console.err what it is doing.
absl::StatusOr<Json> RunDemo(const DemoOptions& options, Client& client,
                             Console& console, Interrupts& interrupts);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_DEMO_H_
