// The profiles that come with the program, as JSON (engine/bundle/profiles.h).
#ifndef OVDIFF_ENGINE_BUNDLE_SHIPPED_PROFILES_H_
#define OVDIFF_ENGINE_BUNDLE_SHIPPED_PROFILES_H_

namespace ovdiff::engine {

// By name. Each is whole and valid JSON.
inline constexpr const char* kShippedProfiles[] = {
    R"json({
  "format": 1,
  "name": "default",
  "description": "The bundle's own defaults: free licences, deterministic.",
  "base": "bundle"
})json",
    R"json({
  "format": 1,
  "name": "fast",
  "description": "CLIP's features alone, one size of window, 8 pictures a class in 20 steps.",
  "base": "bundle",
  "options": {
    "generation": {"num_pictures": 8, "num_steps": 20},
    "prototype": {"spaces": ["clip"]},
    "segment": {"spaces": ["clip"], "windows": {"sizes": [0], "whole_picture": false}}
  }
})json",
    R"json({
  "format": 1,
  "name": "paper",
  "description": "What the paper says: masks by CutLER, two sizes of window, no PAMR.",
  "base": "paper",
  "options": {
    "prototype": {"mask_source": "cutler"},
    "segment": {
      "prefilter": {"articles": false},
      "windows": {"whole_picture": false}
    }
  }
})json",
    R"json({
  "format": 1,
  "name": "paper-code",
  "description": "What the official program does where it differs from the paper: noise of half precision and shared, bilinear cells, the whole picture as a third size, articles.",
  "base": "paper",
  "options": {
    "generation": {"noise_dtype": "float16"},
    "prototype": {"mask_source": "cutler", "cell_rule": "bilinear", "shared_noise": true}
  }
})json",
    R"json({
  "format": 1,
  "name": "paper-no-cutler",
  "description": "The paper's variant without CutLER: masks by thresholds on the attribution maps.",
  "base": "paper",
  "options": {
    "segment": {
      "prefilter": {"articles": false},
      "windows": {"whole_picture": false}
    }
  }
})json",
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_SHIPPED_PROFILES_H_
