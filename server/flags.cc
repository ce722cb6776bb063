#include "server/flags.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <system_error>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/base/status_macros.h"
#include "server/info_service.h"
#include "server/pack_keys.h"

namespace ovdiff::server {
namespace {

// Durations are seconds on the command line.
void AddSeconds(CLI::App& app, const char* name, absl::Duration& value,
                const char* help) {
  app.add_option_function<double>(
         name,
         [&value](const double& seconds) { value = absl::Seconds(seconds); },
         help)
      ->check(CLI::NonNegativeNumber)
      ->default_str(absl::StrCat(absl::ToDoubleSeconds(value)))
      ->type_name("SECONDS");
}

template <typename T>
void Add(CLI::App& app, const char* name, T& value, const char* help) {
  app.add_option(name, value, help)->capture_default_str();
}

void AddEngineFlags(CLI::App& app, engine::EngineOptions& engine) {
  app.add_option("--bundle", engine.bundle_path,
                 "Folder of models with a bundle.json")
      ->required();
  Add(app, "--device", engine.device, "cpu, cuda or cuda:N");
  Add(app, "--profile", engine.profile,
      "The method's options where a request names no profile: default, fast, "
      "paper, paper-code, paper-no-cutler, or a .json file "
      "(deploy/bundles/README.md)");
  Add(app, "--threads", engine.num_threads,
      "CPU threads that run the networks; 0: all cores");
  Add(app, "--max-batch-windows", engine.max_batch_windows,
      "Windows that share one network call");
  Add(app, "--max-queued-windows", engine.max_queued_windows,
      "Windows that may wait for the device");
  AddSeconds(app, "--max-batch-delay", engine.max_batch_delay,
             "How long a batch that is not full waits for company");
  AddSeconds(app, "--max-bulk-wait", engine.max_bulk_wait,
             "After this long a class being built gets one step under load");
}

void AddStoreFlags(CLI::App& app, Flags& flags) {
  app.add_option("--store", flags.store_path,
                 "Folder of the database, made if need be; \"memory\" keeps "
                 "nothing")
      ->required();
  static const std::map<std::string, store::StoreMode> kModes = {
      {"read-write", store::StoreMode::kReadWrite},
      {"read-only", store::StoreMode::kReadOnly},
      {"recover", store::StoreMode::kRecover}};
  app.add_option("--store-mode", flags.store.mode,
                 "read-only: segments, and changes nothing; recover: opens a "
                 "damaged store, accepting what is lost (copy the folder "
                 "first)")
      ->transform(CLI::CheckedTransformer(kModes))
      ->default_str("read-write");
  Add(app, "--store-cache-bytes", flags.store.block_cache_bytes,
      "Memory for the database's block cache");
  Add(app, "--store-min-free-bytes", flags.store.min_free_bytes,
      "Writes are refused when the volume has less room than this");
  app.add_flag("--store-float16", flags.store.float16_payload,
               "New prototype sets take half the space, rounded to binary16; "
               "both kinds are always read");
}

void AddServerFlags(CLI::App& app, Flags& flags) {
  ServerOptions& server = flags.server;
  Add(app, "--listen", server.listen_address,
      "gRPC address, host:port; port 0: any. No TLS and no authentication: "
      "keep it on loopback or behind a proxy");
  Add(app, "--admin-listen", server.admin_address,
      "HTTP address of /metrics, /livez and /readyz, host:port");
  Add(app, "--segment-threads", server.segment_threads,
      "Threads that decode pictures and wait for the device");
  Add(app, "--control-threads", server.control_threads,
      "Threads that read the store for all other calls");
  Add(app, "--build-threads", server.build_threads, "Jobs built at once");
  Add(app, "--prototype-cache-bytes", server.prototype_cache_bytes,
      "Loaded prototypes that are kept");
  app.add_option("--backup-dir", server.backup_folder,
                 "Folder for the backups that clients may ask for, best on "
                 "another volume; without it they are refused");
  Add(app, "--keep-backups", server.keep_backups,
      "Backups kept there; older ones go once a new one is whole; 0: all");
  app.add_option("--spool-dir", server.spool_folder,
                 "Folder for class packs while they come in (default: the "
                 "store's, or /tmp with --store memory)");
  Add(app, "--spool-min-free-bytes", server.spool_min_free_bytes,
      "Imports are refused when its volume has less room than this");
  app.add_option("--trusted-pack-key", flags.trusted_pack_key_paths,
                 "PEM file with an Ed25519 public key; with one or more, only "
                 "class packs signed by them are imported")
      ->type_name("FILE");
  AddSeconds(app, "--drain-delay", server.drain_delay,
             "Between 'not ready' and the end of serving; 5 suits Kubernetes");
  AddSeconds(app, "--drain-timeout", server.drain_timeout,
             "How long running calls may take after that");
}

void AddLimitFlags(CLI::App& app, Limits& limits) {
  Add(app, "--max-message-bytes", limits.max_message_bytes,
      "Bytes of one request message");
  Add(app, "--max-image-pixels", limits.max_image_pixels,
      "Pixels of a picture");
  Add(app, "--max-image-side", limits.max_image_side,
      "Pixels of one side of a picture");
  Add(app, "--max-class-name-characters", limits.max_class_name_characters,
      "Characters of a class name or prompt");
  Add(app, "--max-classes-per-request", limits.max_classes_per_request,
      "Classes of one AddClasses");
  Add(app, "--max-classes-per-vocabulary", limits.max_classes_per_vocabulary,
      "Classes of one vocabulary");
  Add(app, "--max-queued-segments", limits.max_queued_segments,
      "Segment calls that run or wait");
  Add(app, "--max-bytes-in-flight", limits.max_bytes_in_flight,
      "Bytes of their pictures, together");
  Add(app, "--max-queued-jobs", limits.max_queued_jobs,
      "Jobs that run or wait");
  Add(app, "--max-pack-bytes", limits.max_pack_bytes,
      "Bytes of an imported class pack");
  Add(app, "--max-imports", limits.max_imports,
      "ImportVocabulary calls at once");
  Add(app, "--max-exports", limits.max_exports,
      "ExportVocabulary calls at once");
  Add(app, "--max-streams", limits.max_streams, "StreamSegment calls at once");
  Add(app, "--max-stream-in-flight", limits.max_stream_in_flight,
      "Frames in flight of one stream");
  Add(app, "--max-pictures", limits.max_pictures, "Support pictures per class");
  Add(app, "--max-steps", limits.max_steps, "Denoising steps");
  AddSeconds(app, "--max-segment-seconds", limits.max_segment_seconds,
             "Longest a Segment may take if the caller sets no deadline");
  AddSeconds(app, "--job-retention-seconds", limits.job_retention,
             "How long a finished job can still be asked for");
}

void AddLogFlags(CLI::App& app, Flags& flags) {
  app.add_option("--log-level", flags.log_level, "Least level that is logged")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  app.add_flag("--log-json", flags.log_as_json, "One JSON object per line");
  app.add_option("--address-file", flags.address_file,
                 "Written once ready: the gRPC address, then the admin "
                 "address, a line each");
}

// A backup goes with the volume, and its folder with the store, that it is in.
absl::Status CheckBackupFolder(const Flags& flags) {
  namespace fs = std::filesystem;
  if (flags.server.backup_folder.empty()) {
    return absl::OkStatus();
  }
  std::error_code error;
  const auto normal = [&error](const std::string& path) {
    const fs::path whole =
        fs::weakly_canonical(fs::absolute(path, error), error);
    return whole.has_filename() ? whole : whole.parent_path();
  };
  const fs::path store = normal(flags.store_path);
  const fs::path backups = normal(flags.server.backup_folder);
  if (std::mismatch(store.begin(), store.end(), backups.begin(), backups.end())
          .first != store.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--backup-dir ", flags.server.backup_folder, " is inside the store ",
      flags.store_path, "; take a folder outside, best on another volume"));
}

absl::Status ReadTrustedKeys(Flags& flags) {
  for (const std::string& path : flags.trusted_pack_key_paths) {
    OVDIFF_ASSIGN_OR_RETURN(const store::Ed25519PublicKey key,
                            ReadPublicKey(path));
    flags.server.trusted_pack_keys.push_back(key);
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<int> ParseFlags(int argc, char** argv, Flags& flags) {
  CLI::App app(
      "ovdiffd: open-vocabulary segmentation. Class names in, masks out.",
      "ovdiffd");
  app.footer(
      "`ovdiffd store --help` says how to look after a store that no server "
      "has open.");
  app.set_version_flag("--version", absl::StrCat("ovdiffd ", kServerVersion));
  app.set_config("--config", "",
                 "File of `name = value` lines, as the flags without dashes");
  AddEngineFlags(app, flags.engine);
  AddStoreFlags(app, flags);
  AddServerFlags(app, flags);
  AddLimitFlags(app, flags.server.limits);
  AddLogFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  flags.store.path = flags.store_path;
  if (app.count("--spool-dir") == 0 && flags.store_path != "memory") {
    flags.server.spool_folder = flags.store_path;
  }
  absl::Status status = ReadTrustedKeys(flags);
  status.Update(Validate(flags.server));
  status.Update(CheckBackupFolder(flags));
  if (!status.ok()) {
    std::cerr << "ovdiffd: " << status.message() << "\n";
    return 2;
  }
  return std::nullopt;
}

}  // namespace ovdiff::server
