// `ovdiff add` and `ovdiff jobs`.
#include <algorithm>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/build_flags.h"
#include "client/cli_commands.h"
#include "client/given_pictures.h"
#include "client/progress.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

struct AddFlags {
  std::vector<std::string> names;
  std::string vocabulary;
  std::string kind = "auto";
  std::vector<std::string> prompts;
  ClassSpecFlags shown_by;
  BuildFlags build;
  std::optional<double> similar_threshold;
  std::string request_id;
  bool detach = false;
  bool dry_run = false;
};

struct JobFlags {
  std::string job;
  bool follow = false;
};

v1::AddClassesRequest ToRequest(const AddFlags& flags) {
  v1::AddClassesRequest request;
  request.set_vocabulary(flags.vocabulary);
  request.set_request_id(flags.request_id);
  request.set_validate_only(flags.dry_run);
  request.set_profile(flags.build.profile);
  for (size_t i = 0; i < flags.names.size(); ++i) {
    v1::ClassSpec& spec = *request.add_classes();
    spec.set_name(flags.names[i]);
    spec.set_kind(flags.kind == "stuff"   ? v1::CLASS_KIND_STUFF
                  : flags.kind == "thing" ? v1::CLASS_KIND_THING
                                          : v1::CLASS_KIND_UNSPECIFIED);
    if (!flags.prompts.empty()) {
      spec.set_prompt(flags.prompts[i]);
    }
  }
  if (flags.similar_threshold) {
    request.set_similar_threshold(*flags.similar_threshold);
  }
  *request.mutable_options() = ToBuildOptions(flags.build);
  return request;
}

// Synonyms, pictures and negatives. The server's limit is asked for only where
// there are pictures.
absl::Status FillSpecs(const AddFlags& flags, Session& session,
                       v1::AddClassesRequest* request, GivenPaths* paths) {
  int64_t max_bytes = 0;
  if (flags.shown_by.HasPictures()) {
    const auto info = session.client.GetServerInfo(session.Call());
    if (!info.ok()) {
      return info.status();
    }
    max_bytes = info->limits().max_message_bytes();
  }
  return FillClassSpecs(flags.shown_by, max_bytes, request, paths);
}

int ExitCodeOf(const v1::Job& job) {
  if (job.state() == v1::JOB_STATE_SUCCEEDED ||
      job.state() == v1::JOB_STATE_VALIDATED) {
    return kExitOk;
  }
  const bool any_done = std::any_of(
      job.classes().begin(), job.classes().end(),
      [](const auto& entry) { return entry.stage() == v1::CLASS_STAGE_DONE; });
  return any_done ? kExitPartlyFailed : kExitFailed;
}

std::string StateWord(v1::JobState state) {
  std::string word =
      v1::JobState_Name(state).substr(std::string("JOB_STATE_").size());
  std::transform(word.begin(), word.end(), word.begin(), ::tolower);
  return word;
}

// Its path where `paths` has it.
std::string PictureName(const v1::ClassProgress& progress, int index,
                        const GivenPaths& paths) {
  const auto found = paths.find(progress.name());
  return found != paths.end() &&
                 static_cast<size_t>(index) < found->second.size()
             ? found->second[index]
             : absl::StrCat("given picture ", index + 1);
}

void Warn(const v1::Job& job, const GivenPaths& paths, std::ostream& err) {
  for (const v1::ClassProgress& progress : job.classes()) {
    for (const v1::SimilarClass& similar : progress.similar()) {
      err << absl::StrFormat("warning: \"%s\" can be taken for \"%s\" (%.2f)\n",
                             Printable(progress.name()),
                             Printable(similar.name()), similar.cosine());
    }
    for (const v1::DoubtfulPicture& picture : progress.doubtful_pictures()) {
      err << absl::StrFormat(
          "warning: %s may not show \"%s\": CLIP finds \"%s\" there; if it "
          "does, give it with a mask\n",
          PictureName(progress, picture.index(), paths),
          Printable(progress.name()), Printable(picture.found()));
    }
  }
}

void PrintJob(const v1::Job& job, const Session& session,
              const GivenPaths& paths = {}) {
  Warn(job, paths, session.console.err);
  if (session.flags.json) {
    session.Print(ToJson(job));
    return;
  }
  std::ostream& out = session.console.out;
  out << "job " << Printable(job.id()) << ": " << StateWord(job.state())
      << ", vocabulary " << Printable(job.vocabulary());
  if (job.version() > 0) {
    out << " version " << job.version();
  }
  out << "\n";
  for (const v1::ClassProgress& progress : job.classes()) {
    out << "  " << Printable(progress.name())
        << (progress.kind() == v1::CLASS_KIND_STUFF ? " (stuff)" : "") << ": "
        << StageWords(progress);
    if (!IsTerminal(progress.stage()) && progress.num_pictures() > 0) {
      out << ", " << static_cast<int>(progress.fraction_done() * 100) << "%";
    }
    out << "\n";
  }
}

std::string HowToGoOn(const std::string& job) {
  return absl::StrCat("  follow it:  ovdiff jobs get ", job,
                      " --follow\n  cancel it:  ovdiff jobs cancel ", job);
}

// What the progress callback and the Ctrl-C callback, on two threads, share.
struct Watch {
  std::mutex mutex;
  ProgressView view;
  std::string job_id;
  bool interrupted = false;
  bool told = false;

  // The mutex is held.
  void TellOfInterrupt() {
    if (interrupted && !told && !job_id.empty()) {
      told = true;
      view.Note(absl::StrCat(
          "The job goes on at the server. Ctrl-C again to stop watching.\n",
          HowToGoOn(job_id)));
    }
  }
};

int RunAdd(const AddFlags& flags, Session& session) {
  if (!flags.prompts.empty() && flags.prompts.size() != flags.names.size()) {
    session.console.err
        << "ovdiff: " << flags.prompts.size() << " --prompt for "
        << flags.names.size()
        << " names; give one for each name, in order, or none\n";
    return kExitUsage;
  }
  v1::AddClassesRequest request = ToRequest(flags);
  GivenPaths paths;
  const absl::Status filled = FillSpecs(flags, session, &request, &paths);
  if (!filled.ok()) {
    return session.Fail(filled);
  }
  Watch watch{.mutex = {}, .view = ProgressView(session.console), .job_id = ""};
  std::stop_source detached;
  CallOptions options = session.Call();
  options.stop = detached.get_token();
  std::stop_callback on_first(session.interrupts.first.get_token(), [&] {
    std::lock_guard lock(watch.mutex);
    watch.interrupted = true;
    watch.TellOfInterrupt();
  });
  std::stop_callback on_second(session.interrupts.second.get_token(),
                               [&] { detached.request_stop(); });
  absl::StatusOr<v1::Job> job = session.client.AddClasses(
      request,
      [&](const v1::Job& whole, const v1::Job&) {
        std::lock_guard lock(watch.mutex);
        watch.job_id = whole.id();
        watch.view.Update(whole);
        watch.TellOfInterrupt();
        if (flags.detach) {
          detached.request_stop();
        }
      },
      options);
  watch.view.Finish();
  const bool cancelled_here =
      absl::IsCancelled(job.status()) && detached.stop_requested();
  if (cancelled_here && !watch.job_id.empty()) {
    if (session.flags.json) {
      session.Print({{"id", watch.job_id}, {"detached", true}});
    } else {
      session.console.out << "job " << watch.job_id
                          << " goes on at the server\n";
      session.console.err << HowToGoOn(watch.job_id) << "\n";
    }
    return flags.detach ? kExitOk : kExitInterrupted;
  }
  if (!job.ok()) {
    return session.Fail(job.status());
  }
  PrintJob(*job, session, paths);
  return ExitCodeOf(*job);
}

int RunGetJob(const JobFlags& flags, Session& session) {
  absl::StatusOr<v1::Job> job =
      session.client.GetJob(flags.job, session.Call());
  ProgressView view(session.console);
  while (flags.follow && job.ok() && !IsTerminal(job->state()) &&
         !session.interrupts.first.stop_requested()) {
    view.Update(*job);
    absl::SleepFor(absl::Milliseconds(500));
    job = session.client.GetJob(flags.job, session.Call());
  }
  view.Finish();
  if (!job.ok()) {
    return session.Fail(job.status());
  }
  PrintJob(*job, session);
  if (!IsTerminal(job->state())) {
    return flags.follow ? kExitInterrupted : kExitOk;
  }
  return flags.follow ? ExitCodeOf(*job) : kExitOk;
}

int RunCancelJob(const JobFlags& flags, Session& session) {
  absl::StatusOr<v1::Job> job =
      session.client.CancelJob(flags.job, session.Call());
  if (!job.ok()) {
    return session.Fail(job.status());
  }
  PrintJob(*job, session);
  return kExitOk;
}

void AddShownByFlags(CLI::App& command, ClassSpecFlags& flags) {
  const char* group =
      "What shows the classes (with several NAMEs, write NAME=VALUE)";
  const auto add = [&](const char* name, std::vector<std::string>& values,
                       const char* type, const char* description) {
    command.add_option(name, values, description)
        ->type_name(type)
        ->allow_extra_args(false)
        ->group(group);
  };
  add("--synonym", flags.synonyms, "TEXT",
      "Another word for the class, painted as well; up to 8 times");
  add("--given", flags.given, "PATH",
      "A picture of the class, or a folder of them, beside the painted ones; "
      "photo.mask.png beside photo.jpg says where in it the object is");
  command
      .add_flag("--only-given", flags.only_given,
                "Paint nothing: the given pictures are all there is")
      ->group(group);
  add("--not", flags.negatives, "TEXT",
      "What the class is not, though it may be taken for it; up to 8 times");
  add("--not-given", flags.negative_pictures, "PATH",
      "A picture of what it is not, or a folder of them; its mask says which "
      "part, without one all of it");
}

}  // namespace

void RegisterAdd(Registry& registry) {
  auto flags = std::make_shared<AddFlags>();
  CLI::App& command =
      *registry.Add("add", "Add classes to a vocabulary", flags, &RunAdd);
  command.add_option("NAME", flags->names, "What the classes are called")
      ->required();
  AddVocabularyFlag(command, flags->vocabulary, true);
  command
      .add_option("--kind", flags->kind,
                  "thing: has an outline (dog); stuff: has none (sky); auto: "
                  "stuff if the server's list has it, else thing")
      ->check(CLI::IsMember({"auto", "thing", "stuff"}))
      ->capture_default_str();
  command
      .add_option(
          "--prompt", flags->prompts,
          "What to paint where the name misleads (\"computer mouse\"); one "
          "for each NAME, in order")
      ->allow_extra_args(false);
  command
      .add_option("--similar-threshold", flags->similar_threshold,
                  "Warn of classes that are this alike: cosine of their "
                  "nearest prototypes (default: 0.95)")
      ->check(CLI::Range(-1.0, 1.0));
  command.add_option("--request-id", flags->request_id,
                     "Name of the job; the same id attaches to the same job");
  command.add_flag("--detach", flags->detach,
                   "Start the job, print its id and leave it to the server");
  command.add_flag("--dry-run", flags->dry_run,
                   "Check everything, start nothing");
  AddShownByFlags(command, flags->shown_by);
  AddBuildFlags(command, flags->build);
  command.footer(
      R"(The job is the server's: it goes on when this program ends. Classes that the
server has built before, for whomever, are reused.

Examples:
  ovdiff add "red sneaker" "blue bag" --vocabulary shop
  ovdiff add mouse --prompt "computer mouse" --vocabulary desk
  ovdiff add sky "wet grass" --vocabulary outdoors --detach
  ovdiff add lichen --kind stuff --vocabulary outdoors
  ovdiff add "our mug" --given mugs/ --not bowl --vocabulary shop
  ovdiff add cup plate --synonym cup=mug --given plate=plate.jpg -v shop)");
}

void RegisterJobs(Registry& registry) {
  CLI::App* jobs =
      registry.app.add_subcommand("jobs", "Look at or cancel a job of add");
  jobs->require_subcommand(1);
  jobs->fallthrough();
  auto flags = std::make_shared<JobFlags>();
  CLI::App* get = jobs->add_subcommand("get", "Show a job");
  get->add_option("JOB", flags->job, "The job's id, as `ovdiff add` prints it")
      ->required();
  get->add_flag("--follow", flags->follow, "Watch it until it ends");
  get->callback([&registry, flags] {
    registry.chosen = [flags](Session& session) {
      return RunGetJob(*flags, session);
    };
  });
  CLI::App* cancel =
      jobs->add_subcommand("cancel", "Stop a job; finished classes stay");
  cancel->add_option("JOB", flags->job, "The job's id")->required();
  cancel->callback([&registry, flags] {
    registry.chosen = [flags](Session& session) {
      return RunCancelJob(*flags, session);
    };
  });
}

}  // namespace ovdiff::client
