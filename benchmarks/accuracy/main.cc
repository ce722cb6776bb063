// ovdiff-accuracy: carries out a plan of the accuracy harness. Called by
// benchmarks/accuracy/run.py; see the README there.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmarks/accuracy/picture_files.h"
#include "benchmarks/accuracy/plan.h"
#include "benchmarks/accuracy/runner.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/engine.h"
#include "nlohmann/json.hpp"
#include "store/prototype_store.h"

namespace ovdiff::accuracy {
namespace {

namespace fs = std::filesystem;

// Changes with this program and with any file of the bundle (its sizes and
// times stand for the contents, which the engine's fingerprints hash).
absl::StatusOr<std::string> Provenance(const std::string& bundle) {
  OVDIFF_ASSIGN_OR_RETURN(const Sha256Digest program,
                          Sha256OfFile("/proc/self/exe"));
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(bundle, error), end;
       !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error)) {
      files.push_back(
          absl::StrCat(it->path().string(), " ", it->file_size(error), " ",
                       it->last_write_time(error).time_since_epoch().count()));
    }
  }
  std::sort(files.begin(), files.end());
  Sha256 hash;
  hash.UpdateField(ToHex(program));
  for (const std::string& file : files) {
    hash.UpdateField(file);
  }
  return ToHex(hash.Finish());
}

void Report(const std::string& words) {
  std::fprintf(stderr, "%s\n", words.c_str());
}

// What a plan's author needs to know of the bundle, and what the report says.
std::string InfoJson(const engine::Engine& engine) {
  const engine::EngineInfo& info = engine.info();
  nlohmann::json profiles = nlohmann::json::object();
  for (const MethodProfile& profile : info.profiles) {
    if (profile.unavailable.empty()) {
      profiles[profile.name] = {
          {"num_pictures", profile.generation.num_pictures},
          {"spaces", profile.segment.spaces.empty() ? info.spaces
                                                    : profile.segment.spaces}};
    }
  }
  const nlohmann::json json = {
      {"bundle", info.bundle_name},
      {"device", info.device},
      {"device_name", info.device_name},
      {"spaces", info.spaces},
      {"default_spaces",
       info.prototype.spaces.empty() ? info.spaces : info.prototype.spaces},
      {"short_side", info.windows.short_side},
      {"profiles", profiles},
      {"num_pictures", info.generation.num_pictures},
      {"num_steps", info.generation.num_steps},
      {"generator_fingerprint",
       ToHex(engine.GeneratorFingerprint(info.generation))},
      {"encoder_fingerprint",
       ToHex(engine.EncoderFingerprint(info.prototype))}};
  return json.dump();
}

absl::Status Main(const std::string& path, const std::string& export_folder,
                  bool only_info) {
  OVDIFF_ASSIGN_OR_RETURN(const Plan plan, ReadPlan(path));
  engine::EngineOptions engine_options;
  engine_options.bundle_path = plan.bundle;
  engine_options.device = plan.device;
  engine_options.num_threads = plan.num_threads;
  OVDIFF_ASSIGN_OR_RETURN(const auto engine,
                          engine::CreateEngine(engine_options));
  if (only_info) {
    std::printf("%s\n", InfoJson(*engine).c_str());
    return absl::OkStatus();
  }
  std::error_code error;
  fs::create_directories(plan.cache, error);  // Open() says if it failed.
  store::StoreOptions store_options;
  store_options.path = plan.cache;
  OVDIFF_ASSIGN_OR_RETURN(const auto store,
                          store::OpenRocksDbStore(store_options));
  OVDIFF_ASSIGN_OR_RETURN(std::string provenance, Provenance(plan.bundle));
  Runner runner(plan, *engine, *store, std::move(provenance), Report);
  return export_folder.empty() ? runner.Run()
                               : runner.ExportSupports(export_folder);
}

}  // namespace
}  // namespace ovdiff::accuracy

int main(int argc, char** argv) {
  CLI::App app(
      "Segments a data set with variants of the method and counts what is "
      "right. Called by benchmarks/accuracy/run.py.");
  std::string plan;
  std::string export_folder;
  bool only_info = false;
  app.add_option("plan", plan, "JSON file, as run.py writes it")->required();
  app.add_option("--export-supports", export_folder,
                 "instead: write the first variant's support pictures and "
                 "attribution maps into this folder");
  app.add_flag("--info", only_info, "instead: print what the bundle is");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status =
      ovdiff::accuracy::Main(plan, export_folder, only_info);
  if (!status.ok()) {
    std::fprintf(stderr, "ovdiff-accuracy: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
