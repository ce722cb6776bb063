// How to compare, as flags of `ovdiff segment`, `stream` and `explain`.
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "client/cli_commands.h"
#include "client/switch_flag.h"

namespace ovdiff::client {
namespace {

// "clip=2"; nothing for other text.
std::optional<std::pair<std::string, double>> ParseWeight(
    const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '=');
  double weight = 0;
  if (parts.size() != 2 || parts[0].empty() ||
      !absl::SimpleAtod(parts[1], &weight)) {
    return std::nullopt;
  }
  return std::make_pair(parts[0], weight);
}

}  // namespace

void AddSegmentFlags(CLI::App& command, SegmentFlags& flags) {
  AddVocabularyFlag(command, flags.vocabulary, true);
  command
      .add_option("--version", flags.version,
                  "Of the vocabulary (default: newest)")
      ->check(CLI::NonNegativeNumber);
  // Repeated rather than a list: names may hold commas and blanks, and a list
  // would swallow the photos after it.
  command
      .add_option("-c,--class,--classes", flags.classes,
                  "Only this class of the vocabulary; may be repeated")
      ->allow_extra_args(false);
  AddCompareFlags(command, flags);
}

void AddCompareFlags(CLI::App& command, SegmentFlags& flags) {
  const char* group =
      "How to compare (defaults: the server's, see `ovdiff info`)";
  command
      .add_option(
          "--space", flags.spaces,
          "Use this feature space only (sd, dino, clip); may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--profile", flags.profile,
                  "Named options of the server's; the flags below change them")
      ->group(group);
  command
      .add_option("--space-weight", flags.space_weights,
                  "What a feature space counts, such as clip=2; may be "
                  "repeated")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return ParseWeight(text) ? std::string()
                                 : "must be NAME=NUMBER, such as clip=2";
      })
      ->group(group);
  command
      .add_option(
          "--level", flags.levels,
          "Use this prototype level only (class, instance, part); may be "
          "repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"class", "instance", "part"}))
      ->group(group);
  command
      .add_flag("--no-prefilter", flags.no_prefilter,
                "Compare with every class, not only with those that CLIP sees")
      ->group(group);
  command
      .add_option("--prefilter-max-classes", flags.prefilter_max_classes,
                  "Most classes that CLIP weighs against each other")
      ->group(group);
  command
      .add_flag("--no-stuff-filter", flags.no_stuff_filter,
                "Leave out no prototype: not stuff's background, not what is "
                "like stuff")
      ->group(group);
  command
      .add_option("--stuff-filter-threshold", flags.stuff_filter_threshold,
                  "Cosine above which a prototype is like stuff")
      ->group(group);
  AddSwitch(command, "--stuff-filter-foreground,!--no-stuff-filter-foreground",
            flags.stuff_filter_foreground,
            "Leave out what is like stuff of the things' own prototypes too, "
            "or do not")
      ->group(group);
  AddSwitch(command, "--pamr,!--no-pamr", flags.pamr,
            "Refine the scores along the picture's edges, or do not")
      ->group(group);
  command
      .add_option("--pamr-iterations", flags.pamr_iterations, "Rounds of that")
      ->group(group);
  command
      .add_flag("--no-background", flags.no_background,
                "Without background prototypes")
      ->group(group);
  command
      .add_option("--background-threshold", flags.background_threshold,
                  "Score of background where there are no prototypes of it")
      ->group(group);
  command
      .add_option("--short-side", flags.short_side,
                  "Resize the short side to this")
      ->group(group);
  command
      .add_option("--window-size", flags.window_sizes,
                  "Side of the sliding windows; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--window-stride", flags.window_stride, "Step of the windows")
      ->group(group);
  command
      .add_flag("--no-whole-picture", flags.no_whole_picture, "Windows only")
      ->group(group);
  command
      .add_option("--noise-seed", flags.noise_seed,
                  "Rules the noise of the diffusion features")
      ->group(group);
}

v1::SegmentOptions ToSegmentOptions(const SegmentFlags& flags) {
  v1::SegmentOptions options;
  options.mutable_spaces()->Assign(flags.spaces.begin(), flags.spaces.end());
  options.mutable_window_sizes()->Assign(flags.window_sizes.begin(),
                                         flags.window_sizes.end());
  for (const std::string& text : flags.space_weights) {
    if (const auto weight = ParseWeight(text)) {  // the flag checks
      (*options.mutable_space_weights())[weight->first] = weight->second;
    }
  }
  if (flags.no_prefilter) options.set_use_prefilter(false);
  if (flags.no_stuff_filter) options.set_use_stuff_filter(false);
  if (flags.pamr) options.set_use_pamr(*flags.pamr);
  if (flags.no_background) options.set_use_background(false);
  if (flags.no_whole_picture) options.set_whole_picture(false);
  if (flags.window_stride) options.set_window_stride(*flags.window_stride);
  if (flags.short_side) options.set_short_side(*flags.short_side);
  if (flags.noise_seed) options.set_noise_seed(*flags.noise_seed);
  if (flags.stuff_filter_threshold) {
    options.set_stuff_filter_threshold(*flags.stuff_filter_threshold);
  }
  if (flags.stuff_filter_foreground) {
    options.set_stuff_filter_foreground(*flags.stuff_filter_foreground);
  }
  if (flags.pamr_iterations) {
    options.set_pamr_iterations(*flags.pamr_iterations);
  }
  if (flags.background_threshold) {
    options.set_background_threshold(*flags.background_threshold);
  }
  if (flags.prefilter_max_classes) {
    options.set_prefilter_max_classes(*flags.prefilter_max_classes);
  }
  if (!flags.levels.empty()) {
    const std::set<std::string> levels(flags.levels.begin(),
                                       flags.levels.end());
    options.set_use_class_level(levels.count("class") > 0);
    options.set_use_instance_level(levels.count("instance") > 0);
    options.set_use_part_level(levels.count("part") > 0);
  }
  return options;
}

}  // namespace ovdiff::client
