// `ovdiff explain`.
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/cli_commands.h"
#include "client/explain_picture.h"
#include "client/image_io.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;

struct ExplainFlags {
  SegmentFlags segment;
  std::string photo;
  std::string at;
  std::string class_name;
  int max_classes = 0;
  std::string out;
};

// "120,88". False if it is not two numbers.
bool ParsePoint(const std::string& text, v1::Point& point) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  int32_t x = 0;
  int32_t y = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &x) ||
      !absl::SimpleAtoi(parts[1], &y)) {
    return false;
  }
  point.set_x(x);
  point.set_y(y);
  return true;
}

v1::ExplainRequest ToRequest(const ExplainFlags& flags) {
  v1::ExplainRequest request;
  request.set_vocabulary(flags.segment.vocabulary);
  request.set_version(flags.segment.version);
  request.mutable_classes()->Assign(flags.segment.classes.begin(),
                                    flags.segment.classes.end());
  request.set_profile(flags.segment.profile);
  *request.mutable_options() = ToSegmentOptions(flags.segment);
  request.set_max_classes(flags.max_classes);
  request.set_include_pictures(true);
  if (!flags.class_name.empty()) {
    request.set_class_name(flags.class_name);
  }
  return request;
}

void PrintWords(const std::string& photo,
                const v1::ExplainResponse& explanation, std::ostream& out) {
  out << Printable(photo) << " at " << explanation.point().x() << ","
      << explanation.point().y() << ":\n";
  for (const v1::ExplainedClass& explained : explanation.classes()) {
    const bool is_background = explained.label() == 0;
    out << absl::StrFormat("  %s %.3f\n", Printable(ClassTitle(explained)),
                           explained.score());
    for (const v1::SpaceEvidence& space : explained.spaces()) {
      out << absl::StrFormat(
          "    %-5s %.3f  %s (%.3f)", Printable(space.space()), space.score(),
          Printable(MatchWords(space.winner(), is_background)),
          space.winner().cosine());
      if (space.has_runner_up()) {
        out << absl::StrFormat(
            ", then %s (%.3f)",
            Printable(MatchWords(space.runner_up(), is_background)),
            space.runner_up().cosine());
      }
      out << "\n";
    }
  }
  for (const std::string& name : explanation.filtered_classes()) {
    out << "  " << Printable(name) << ": left out by the prefilter\n";
  }
}

absl::Status WritePicture(const std::string& encoded,
                          const v1::ExplainResponse& explanation,
                          const std::string& photo, const std::string& path) {
  absl::StatusOr<cv::Mat> picture = DecodePicture(encoded);
  if (!picture.ok()) return picture.status();
  absl::StatusOr<cv::Mat> drawn = DrawExplanation(
      *picture, fs::path(photo).filename().string(), explanation);
  if (!drawn.ok()) return drawn.status();
  absl::StatusOr<std::string> png = EncodePng(*drawn);
  if (!png.ok()) return png.status();
  return WriteFileBytes(path, *png);
}

int RunExplain(const ExplainFlags& flags, Session& session) {
  v1::ExplainRequest request = ToRequest(flags);
  if (flags.at.empty() == flags.class_name.empty() ||
      (!flags.at.empty() && !ParsePoint(flags.at, *request.mutable_point()))) {
    session.console.err << "ovdiff: give --at X,Y (two whole numbers: a pixel) "
                           "or --class NAME, one of them\n";
    return kExitUsage;
  }
  absl::StatusOr<v1::GetServerInfoResponse> info =
      session.client.GetServerInfo(session.Call());
  if (!info.ok()) {
    return session.Fail(info.status());
  }
  absl::StatusOr<std::string> bytes =
      ReadFileBytes(flags.photo, info->limits().max_message_bytes());
  if (!bytes.ok()) {
    return session.Fail(bytes.status());
  }
  request.mutable_image()->set_encoded(*bytes);
  absl::StatusOr<v1::ExplainResponse> explanation =
      session.client.Explain(request, session.Call());
  if (!explanation.ok()) {
    return session.Fail(explanation.status());
  }
  const std::string path =
      flags.out.empty() ? fs::path(flags.photo).stem().string() + ".explain.png"
                        : flags.out;
  if (absl::Status written =
          WritePicture(*bytes, *explanation, flags.photo, path);
      !written.ok()) {
    return session.Fail(written);
  }
  if (session.flags.json) {
    Json document = {{"photo", flags.photo}};
    document.update(ToJson(*explanation));
    document["file"] = path;
    session.Print(document);
    return kExitOk;
  }
  PrintWords(flags.photo, *explanation, session.console.out);
  session.console.out << "the picture that shows it: " << path << "\n";
  return kExitOk;
}

}  // namespace

void RegisterExplain(Registry& registry) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App& command = *registry.Add("explain", "Show why a pixel has its label",
                                    flags, &RunExplain);
  command.add_option("PHOTO", flags->photo, "Picture file")->required();
  command.add_option("--at", flags->at,
                     "The pixel X,Y, from the left and the top, from 0");
  command.add_option("--class", flags->class_name,
                     "The pixel where this class scores highest");
  command.add_option("-o,--out", flags->out,
                     "Picture to write (default: PHOTO's name with "
                     ".explain.png, here)");
  command
      .add_option("--max-classes", flags->max_classes,
                  "Classes to explain, best first (default: 3)")
      ->check(CLI::Range(1, 16));
  AddVocabularyFlag(command, flags->segment.vocabulary, true);
  command
      .add_option("--version", flags->segment.version,
                  "Of the vocabulary (default: newest)")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--only", flags->segment.classes,
                  "Compare with this class only; may be repeated")
      ->allow_extra_args(false);
  AddCompareFlags(command, flags->segment);
  command.footer(
      R"(Writes one picture: the photo with the pixel marked and, for the best classes
there, the support pictures that the winning and the runner-up prototype of
each feature space come from.

Examples:
  ovdiff explain photo.jpg --at 120,88 --vocabulary shop
  ovdiff explain photo.jpg --class "red sneaker" --vocabulary shop -o why.png)");
}

}  // namespace ovdiff::client
