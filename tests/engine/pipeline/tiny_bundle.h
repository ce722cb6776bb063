// A bundle of tiny networks with random weights, written to a folder. Its
// numbers (sizes, widths, patches, vocabulary) are none of the demo's, so that
// a pipeline that runs on both knows neither's.
#ifndef OVDIFF_TESTS_ENGINE_PIPELINE_TINY_BUNDLE_H_
#define OVDIFF_TESTS_ENGINE_PIPELINE_TINY_BUNDLE_H_

#include <string>

#include "nlohmann/json.hpp"

namespace ovdiff::engine {

inline constexpr int kTinyPictureSize = 32;

// Writes models and bundle.json under `folder`, which is made.
void WriteTinyBundle(const std::string& folder);

// The bundle.json of WriteTinyBundle(), to be changed and written again.
nlohmann::json TinyBundleJson();
void WriteJson(const std::string& path, const nlohmann::json& json);

// A fresh empty folder, removed at the end of the program.
std::string MakeTempFolder();

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_PIPELINE_TINY_BUNDLE_H_
