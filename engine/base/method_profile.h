// MethodProfile: a named set of the method's options.
#ifndef OVDIFF_ENGINE_BASE_METHOD_PROFILE_H_
#define OVDIFF_ENGINE_BASE_METHOD_PROFILE_H_

#include <string>

#include "engine/base/method_options.h"

namespace ovdiff {

struct MethodProfile {
  std::string name;
  std::string description;
  GenerationOptions generation;
  PrototypeOptions prototype;
  SegmentOptions segment;
  std::string unavailable;  // What the bundle lacks for it; empty: nothing.
};

}  // namespace ovdiff

#endif  // OVDIFF_ENGINE_BASE_METHOD_PROFILE_H_
