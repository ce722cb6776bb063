// SupportSet: the N pictures of a class with their attribution maps.
#ifndef OVDIFF_ENGINE_BASE_SUPPORT_SET_H_
#define OVDIFF_ENGINE_BASE_SUPPORT_SET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/image.h"

namespace ovdiff {

// Attribution of the class's prompt tokens to each latent cell, averaged over
// cross-attention layers, heads and denoising steps (OVDiff section 3.1), not
// yet stretched to 0…1. Row-major [height, width], values >= 0.
struct AttributionMap {
  int width = 0;
  int height = 0;
  std::vector<float> data;
};

struct SupportPicture {
  Image image;
  AttributionMap attribution;
  // Of a picture that came with its mask: [height, width] of the image,
  // row-major, 1 where the object is, 0 elsewhere. Empty: masks are made from
  // the attribution.
  std::vector<uint8_t> mask;
};

struct SupportSet {
  // The class as CLIP is asked for it, for PrototypeOptions::prune_share.
  std::string prompt;
  std::vector<SupportPicture> pictures;
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_SUPPORT_SET_H_
