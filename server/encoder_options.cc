#include "server/encoder_options.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace ovdiff::server {
namespace {

// Part vectors of a side in the space that has most: K, if there were as many
// cells; negatives add theirs to the background.
int NumParts(const PrototypeSet& set,
             PrototypeVectors FeatureSpacePrototypes::*side) {
  int64_t parts = 0;
  for (const FeatureSpacePrototypes& space : set.spaces) {
    const std::vector<PrototypeLevel>& levels = (space.*side).levels;
    parts = std::max<int64_t>(
        parts, std::count(levels.begin(), levels.end(), PrototypeLevel::kPart));
  }
  return static_cast<int>(parts);
}

// Each of `bases` as it is and with each of `changes`.
std::vector<PrototypeOptions> Vary(
    std::vector<PrototypeOptions> bases,
    const std::vector<std::function<void(PrototypeOptions&)>>& changes) {
  const size_t count = bases.size();
  for (const auto& change : changes) {
    for (size_t i = 0; i < count; ++i) {
      bases.push_back(bases[i]);
      change(bases.back());
    }
  }
  return bases;
}

}  // namespace

std::optional<PrototypeOptions> FindEncoderOptions(
    const engine::Engine& engine, const store::PrototypeRecord& record) {
  const int foreground_parts =
      NumParts(record.set, &FeatureSpacePrototypes::foreground);
  const int background_parts =
      NumParts(record.set, &FeatureSpacePrototypes::background);
  std::vector<std::string> spaces;
  for (const FeatureSpacePrototypes& space : record.set.spaces) {
    spaces.push_back(space.space);
  }
  std::vector<PrototypeOptions> tried = {engine.info().prototype};
  for (const MethodProfile& profile : engine.info().profiles) {
    tried.push_back(profile.prototype);
  }
  using Options = PrototypeOptions;
  tried = Vary(tried, {[&](Options& o) { o.num_parts = foreground_parts; },
                       [&](Options& o) { o.num_parts = background_parts; }});
  tried = Vary(tried, {[&](Options& o) { o.spaces = spaces; }});
  tried = Vary(tried, {[](Options& o) { o.mask_source = kAttentionMasks; },
                       [](Options& o) { o.mask_source = kMaskCutMasks; },
                       [](Options& o) { o.mask_source = kCutlerMasks; }});
  tried = Vary(tried, {[](Options& o) {
                 o.cell_rule = o.cell_rule == kCoverageCells ? kBilinearCells
                                                             : kCoverageCells;
               }});
  tried = Vary(tried, {[](Options& o) { o.shared_noise = !o.shared_noise; }});
  tried =
      Vary(tried,
           {[](Options& o) { o.normalize_features = !o.normalize_features; }});
  tried =
      Vary(tried,
           {[](Options& o) { o.cut_by_attribution = !o.cut_by_attribution; }});
  for (const PrototypeOptions& options : tried) {
    // Only of options that hold does the engine say a fingerprint.
    if (engine.Validate(options).ok() &&
        engine.EncoderFingerprint(options) == record.encoder_fingerprint) {
      return options;
    }
  }
  return std::nullopt;
}

}  // namespace ovdiff::server
