// The colour of each label: the same for ever, in every picture, reply and
// tool.
#ifndef OVDIFF_SERVER_PALETTE_H_
#define OVDIFF_SERVER_PALETTE_H_

#include <cstdint>

namespace ovdiff::server {

// 0xRRGGBB. Label 0, background, is black; the 32 labels after it are chosen by
// hand to differ, the rest walk round the hue circle by the golden angle.
uint32_t LabelColour(uint16_t label);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PALETTE_H_
