// What the commands of `ovdiff` share. Each Register… adds one command to the
// parser; when it is chosen, it puts itself into `Registry::chosen`.
#ifndef OVDIFF_CLIENT_CLI_COMMANDS_H_
#define OVDIFF_CLIENT_CLI_COMMANDS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/cli.h"
#include "client/client.h"
#include "client/console.h"
#include "client/json_output.h"
#include "ovdiff/v1/segmentation_service.pb.h"

namespace ovdiff::client {

struct CommonFlags {
  std::string server = "127.0.0.1:50051";
  double connect_timeout_s = 3;
  std::optional<double> timeout_s;
  bool json = false;
};

// One run of one command. The client is connected.
struct Session {
  const CommonFlags& flags;
  Console& console;
  Interrupts& interrupts;
  Client& client;

  // Ends with the first Ctrl-C.
  CallOptions Call() const;
  // Prints the error (and, with --json, {"error": …} on out) and what can be
  // done about it; returns the exit code.
  int Fail(const absl::Status& status) const;
  int ExitCodeOf(const absl::Status& status) const;
  // One JSON document on out.
  void Print(const Json& json) const;
};

using Command = std::function<int(Session&)>;

struct Registry {
  CLI::App& app;
  Command chosen;
  // Adds a command whose flags live in a shared Flags.
  template <typename Flags>
  CLI::App* Add(const std::string& name, const std::string& description,
                std::shared_ptr<Flags> flags,
                int (*run)(const Flags&, Session&)) {
    CLI::App* command = app.add_subcommand(name, description);
    command->callback([this, flags, run] {
      chosen = [flags, run](Session& s) { return run(*flags, s); };
    });
    return command;
  }
};

// How to compare, as flags; SegmentOptions fields stay unset where not given.
struct SegmentFlags {
  std::string vocabulary;
  int64_t version = 0;
  std::vector<std::string> classes;
  std::string profile;
  std::vector<std::string> spaces;
  std::vector<std::string> space_weights;  // NAME=NUMBER, checked
  std::vector<std::string> levels;
  std::vector<int> window_sizes;
  std::optional<int> window_stride;
  std::optional<int> short_side;
  std::optional<int> prefilter_max_classes;
  std::optional<double> background_threshold;
  std::optional<double> stuff_filter_threshold;
  std::optional<int> pamr_iterations;
  std::optional<uint64_t> noise_seed;
  bool no_prefilter = false;
  bool no_stuff_filter = false;
  std::optional<bool> stuff_filter_foreground;
  std::optional<bool> pamr;
  bool no_background = false;
  bool no_whole_picture = false;
};

void AddSegmentFlags(CLI::App& command, SegmentFlags& flags);
// Of these, all but those that say which classes.
void AddCompareFlags(CLI::App& command, SegmentFlags& flags);
v1::SegmentOptions ToSegmentOptions(const SegmentFlags& flags);
void AddVocabularyFlag(CLI::App& command, std::string& vocabulary,
                       bool required);

// "shirt 21.4%, dress 5.0%" of an answer; "background only".
std::string FoundClasses(const v1::SegmentResponse& response);

// The answer without its pixels.
Json AnswerJson(const v1::SegmentResponse& response);

// Writes NAME.labels.png (as the server made it), NAME.overlay.png and
// NAME.json into the folder; `document` gets their paths under "files".
absl::Status WriteAnswer(const std::string& encoded,
                         const v1::SegmentResponse& response,
                         const std::string& folder, const std::string& name,
                         bool overlay, Json& document);

// Makes the folder. An error names it.
absl::Status MakeFolder(const std::string& folder);

// Distinct names for the outputs of `paths`: stems, numbered where they repeat.
std::vector<std::string> OutputNames(const std::vector<std::string>& paths);

void RegisterAdd(Registry& registry);
void RegisterDiff(Registry& registry);
void RegisterExplain(Registry& registry);
void RegisterJobs(Registry& registry);
void RegisterVocabularyCommands(Registry& registry);
void RegisterPacks(Registry& registry);
void RegisterServerCommands(Registry& registry);
void RegisterSegment(Registry& registry);
void RegisterStore(Registry& registry);
void RegisterStream(Registry& registry);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_CLI_COMMANDS_H_
