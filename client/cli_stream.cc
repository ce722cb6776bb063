// `ovdiff stream`.
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli_commands.h"
#include "client/image_io.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

struct StreamFlags {
  SegmentFlags segment;
  std::vector<std::string> inputs;
  std::string out;
  int in_flight = 0;
  int deadline_ms = 0;
  double fps = 0;
  bool latest_only = false;
  bool no_overlay = false;
};

bool IsPicture(const fs::path& path) {
  static const std::vector<std::string> kExtensions = {
      ".jpg", ".jpeg", ".png", ".webp", ".bmp",
      ".tif", ".tiff", ".ppm", ".pgm"};
  const std::string extension =
      absl::AsciiStrToLower(path.extension().string());
  return std::find(kExtensions.begin(), kExtensions.end(), extension) !=
         kExtensions.end();
}

// frame2 before frame10: runs of digits compare by value.
bool NaturalLess(const std::string& a, const std::string& b) {
  size_t i = 0;
  size_t k = 0;
  const auto digits = [](const std::string& text, size_t& position) {
    const size_t begin = position;
    while (position < text.size() && absl::ascii_isdigit(text[position])) {
      ++position;
    }
    const size_t zeros = std::min(text.find_first_not_of('0', begin), position);
    return text.substr(zeros, position - zeros);
  };
  while (i < a.size() && k < b.size()) {
    if (absl::ascii_isdigit(a[i]) && absl::ascii_isdigit(b[k])) {
      const std::string left = digits(a, i);
      const std::string right = digits(b, k);
      if (left != right) {
        return left.size() != right.size() ? left.size() < right.size()
                                           : left < right;
      }
    } else if (a[i] != b[k]) {
      return a[i] < b[k];
    } else {
      ++i;
      ++k;
    }
  }
  return a.size() - i < b.size() - k;
}

// Folders and patterns become files in natural order; files stay as given.
absl::StatusOr<std::vector<std::string>> Frames(
    const std::vector<std::string>& inputs) {
  std::vector<std::string> frames;
  for (const std::string& input : inputs) {
    std::vector<std::string> found;
    if (fs::is_directory(input)) {
      for (const fs::directory_entry& entry : fs::directory_iterator(input)) {
        if (entry.is_regular_file() && IsPicture(entry.path())) {
          found.push_back(entry.path().string());
        }
      }
    } else if (fs::exists(input)) {
      found.push_back(input);
    } else {
      glob_t matches{};
      if (glob(input.c_str(), 0, nullptr, &matches) == 0) {
        found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
      }
      globfree(&matches);
    }
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "no pictures at ", input, "; give a folder, files or a pattern"));
    }
    std::sort(found.begin(), found.end(), NaturalLess);
    frames.insert(frames.end(), found.begin(), found.end());
  }
  return frames;
}

// Frames whose answers are awaited. The sender fills it, the receiver empties
// it.
class Pending {
 public:
  void Put(int64_t seq, std::string bytes) {
    std::lock_guard lock(mutex_);
    bytes_[seq] = std::move(bytes);
  }
  std::string Take(int64_t seq) {
    std::lock_guard lock(mutex_);
    std::string bytes = std::move(bytes_[seq]);
    bytes_.erase(seq);
    return bytes;
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::string> bytes_;
};

struct Run {
  const StreamFlags& flags;
  const std::vector<std::string>& frames;
  const std::vector<std::string>& names;
  Session& session;
  int64_t max_bytes;
  Pending pending;
  std::mutex mutex;  // Guards what follows and the console.
  size_t done = 0;
  size_t failed = 0;
};

void Report(int64_t seq, const absl::StatusOr<v1::SegmentResponse>& answer,
            Json document, Run& run) {
  const std::string& path = run.frames[static_cast<size_t>(seq)];
  std::lock_guard lock(run.mutex);
  ++(answer.ok() ? run.done : run.failed);
  if (run.session.flags.json) {
    if (!answer.ok()) {
      document["error"] = ErrorJson(answer.status());
    }
    run.session.console.out << Dump(document, -1) << std::endl;
  } else if (answer.ok()) {
    run.session.console.out
        << absl::StrFormat("%d  %s: %s (%d ms)", seq, Printable(path),
                           FoundClasses(*answer),
                           std::lround(answer->timing().total_seconds() * 1e3))
        << std::endl;
  }
  if (!answer.ok()) {
    run.session.console.err << "ovdiff: " << Printable(path) << ": "
                            << Readable(answer.status()) << "\n";
  }
}

void SendAll(StreamSession& stream, Run& run) {
  absl::Time due = absl::Now();
  for (size_t i = 0; i < run.frames.size(); ++i) {
    const auto seq = static_cast<int64_t>(i);
    if (run.flags.fps > 0) {
      absl::SleepFor(due - absl::Now());
      due += absl::Seconds(1 / run.flags.fps);
    }
    absl::StatusOr<std::string> bytes =
        ReadFileBytes(run.frames[i], run.max_bytes);
    if (!bytes.ok()) {
      Report(seq, bytes.status(), {{"seq", seq}, {"photo", run.frames[i]}},
             run);
      continue;
    }
    v1::Frame frame;
    frame.set_seq(seq);
    frame.set_deadline_ms(run.flags.deadline_ms);
    frame.mutable_image()->set_encoded(*bytes);
    if (!run.flags.out.empty()) {
      run.pending.Put(seq, *std::move(bytes));
    }
    if (!stream.Send(frame).ok()) {
      return;  // The receiver learns why.
    }
  }
  // If this fails, the stream is broken and the receiver learns why.
  stream.DoneSending().IgnoreError();
}

void HandleResult(v1::FrameResult result, Run& run) {
  const int64_t seq = result.seq();
  if (seq < 0 || static_cast<size_t>(seq) >= run.frames.size()) {
    return;
  }
  const std::string bytes = run.pending.Take(seq);
  Json document = {{"seq", seq},
                   {"photo", run.frames[static_cast<size_t>(seq)]}};
  absl::StatusOr<v1::SegmentResponse> answer =
      std::move(*result.mutable_segmentation());
  if (result.has_error()) {
    answer = FromRpcStatus(result.error());
  } else {
    document.update(AnswerJson(*answer));
    if (!run.flags.out.empty()) {
      absl::Status written = WriteAnswer(bytes, *answer, run.flags.out,
                                         run.names[static_cast<size_t>(seq)],
                                         !run.flags.no_overlay, document);
      if (!written.ok()) {
        answer = written;
      }
    }
  }
  Report(seq, answer, std::move(document), run);
}

// The stream's end: OK after the last answer.
absl::Status ReceiveAll(StreamSession& stream, Run& run) {
  while (true) {
    absl::StatusOr<std::optional<v1::StreamSegmentResponse>> response =
        stream.Receive();
    if (!response.ok()) {
      return response.status();
    }
    if (!response->has_value()) {
      return absl::OkStatus();
    }
    if ((*response)->has_result()) {
      HandleResult(std::move(*(*response)->mutable_result()), run);
    }
  }
}

v1::StreamConfig ToConfig(const StreamFlags& flags) {
  v1::StreamConfig config;
  config.set_vocabulary(flags.segment.vocabulary);
  config.set_version(flags.segment.version);
  config.mutable_classes()->Assign(flags.segment.classes.begin(),
                                   flags.segment.classes.end());
  config.set_profile(flags.segment.profile);
  *config.mutable_options() = ToSegmentOptions(flags.segment);
  config.set_label_map_format(v1::LABEL_MAP_FORMAT_PNG);
  config.set_max_in_flight(flags.in_flight);
  config.set_drop_policy(flags.latest_only ? v1::DROP_POLICY_LATEST_ONLY
                                           : v1::DROP_POLICY_QUEUE);
  return config;
}

int RunStream(const StreamFlags& flags, Session& session) {
  absl::StatusOr<std::vector<std::string>> frames = Frames(flags.inputs);
  if (!frames.ok()) {
    return session.Fail(frames.status());
  }
  if (absl::Status made =
          flags.out.empty() ? absl::OkStatus() : MakeFolder(flags.out);
      !made.ok()) {
    return session.Fail(made);
  }
  auto info = session.client.GetServerInfo(session.Call());
  if (!info.ok()) {
    return session.Fail(info.status());
  }
  auto stream = session.client.StreamSegment(ToConfig(flags), session.Call());
  if (!stream.ok()) {
    return session.Fail(stream.status());
  }
  session.console.err << frames->size() << " frames, vocabulary "
                      << Printable((*stream)->configured().vocabulary())
                      << " version " << (*stream)->configured().version()
                      << ", " << (*stream)->configured().max_in_flight()
                      << " in flight\n";
  const std::vector<std::string> names = OutputNames(*frames);
  const absl::Time begin = absl::Now();
  Run run{flags, *frames, names, session, info->limits().max_message_bytes(),
          {},    {}};
  absl::Status status;
  {
    std::jthread sender([&] { SendAll(**stream, run); });
    status = ReceiveAll(**stream, run);
  }
  if (!status.ok()) {
    return session.Fail(status);
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  session.console.err << absl::StrFormat(
      "%d of %d frames segmented in %s (%.1f a second)\n", run.done,
      frames->size(), HumanSeconds(seconds),
      static_cast<double>(run.done) / std::max(seconds, 1e-3));
  if (run.done == frames->size()) {
    return kExitOk;
  }
  return run.done == 0 ? kExitFailed : kExitPartlyFailed;
}

}  // namespace

void RegisterStream(Registry& registry) {
  auto flags = std::make_shared<StreamFlags>();
  CLI::App& command = *registry.Add(
      "stream", "Segment the frames of a video, given as pictures", flags,
      &RunStream);
  command
      .add_option(
          "FRAMES", flags->inputs,
          "A folder, a quoted pattern, or files; frame2 comes before frame10")
      ->required();
  command.add_option(
      "-o,--out", flags->out,
      "Folder for overlays, labels and JSON (default: none are written)");
  command
      .add_option("--in-flight", flags->in_flight,
                  "Frames under way at a time (default: the server's)")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--fps", flags->fps, "Send at this pace, as a camera would")
      ->check(CLI::PositiveNumber);
  command.add_flag(
      "--latest-only", flags->latest_only,
      "When frames come too fast, keep the newest and drop the others");
  command
      .add_option("--deadline-ms", flags->deadline_ms,
                  "A frame is worthless after so many milliseconds")
      ->check(CLI::PositiveNumber);
  command.add_flag("--no-overlay", flags->no_overlay, "Do not draw overlays");
  AddSegmentFlags(command, flags->segment);
  command.footer(
      R"(One line per frame as its answer comes (with --json: one JSON object a line).

Examples:
  ffmpeg -i film.mp4 frames/%05d.jpg && ovdiff stream frames/ -v shop -o out/
  ovdiff stream 'frames/*.jpg' -v shop --fps 10 --latest-only --json)");
}

}  // namespace ovdiff::client
