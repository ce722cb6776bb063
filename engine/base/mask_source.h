// Whose masks a class's support pictures get.
#ifndef OVDIFF_ENGINE_BASE_MASK_SOURCE_H_
#define OVDIFF_ENGINE_BASE_MASK_SOURCE_H_

#include "engine/base/method_options.h"

namespace ovdiff {

// `options` for a class of this kind: what finds objects finds no grass, so
// stuff has masks by attention whatever the mask source of things is.
inline PrototypeOptions OptionsForKind(PrototypeOptions options,
                                       ClassKind kind) {
  if (kind == ClassKind::kStuff) {
    options.mask_source = kAttentionMasks;
  }
  return options;
}

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_MASK_SOURCE_H_
