// PrototypeSet: what the store keeps and the engine matches against, for one
// class. Method: OVDiff (ECCV 2024) section 3.2, "class prototypes".
#ifndef OVDIFF_ENGINE_BASE_PROTOTYPE_SET_H_
#define OVDIFF_ENGINE_BASE_PROTOTYPE_SET_H_

#include <cstdint>
#include <string>
#include <vector>

namespace ovdiff {

// Values are on disk: do not change them.
enum class PrototypeLevel : uint8_t {
  kClass = 0,     // Mean over all cells of the support set.
  kInstance = 1,  // Mean over the cells of one support picture.
  kPart = 2,      // K-means centre over all cells of the support set.
};

// The vectors of one side (foreground or background) in one feature space.
// The three arrays are parallel; vectors are not normalised.
struct PrototypeVectors {
  std::vector<float> values;           // [count, dim], row-major; all finite.
  std::vector<PrototypeLevel> levels;  // [count]
  // [count] Index of the support picture a vector comes from: for an instance
  // its picture, for a part the picture with the cell nearest to the centre;
  // -1 for the class mean.
  std::vector<int32_t> source_pictures;

  size_t count() const { return levels.size(); }
};

struct FeatureSpacePrototypes {
  std::string space;  // "sd", "dino", "clip", …
  int32_t dim = 0;    // Length of one vector.
  PrototypeVectors foreground;
  PrototypeVectors
      background;  // May be empty: that class has no background vectors.
};

// REQUIRES: at least one space; names distinct; each foreground non-empty.
struct PrototypeSet {
  std::vector<FeatureSpacePrototypes> spaces;
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_PROTOTYPE_SET_H_
