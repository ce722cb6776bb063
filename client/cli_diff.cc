// `ovdiff diff`.
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli_commands.h"

namespace ovdiff::client {
namespace {

struct DiffFlags {
  std::string from;
  std::string to;
  std::string vocabulary;
  double threshold = std::nan("");
};

// "shop@12", "shop" (its newest), and with `vocabulary` also "v12" and "12".
absl::StatusOr<v1::VocabularyVersion> ParseVersion(
    const std::string& text, const std::string& vocabulary) {
  v1::VocabularyVersion out;
  const size_t at = text.rfind('@');
  std::string number = text;
  if (at != std::string::npos) {
    out.set_vocabulary(text.substr(0, at));
    number = text.substr(at + 1);
  } else if (!vocabulary.empty()) {
    out.set_vocabulary(vocabulary);
  } else {
    out.set_vocabulary(text);
    return out;
  }
  int64_t version = 0;
  if (!absl::SimpleAtoi(absl::StripPrefix(number, "v"), &version) ||
      version < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text,
                     "' names no version; give shop@12, or v12 with "
                     "--vocabulary shop"));
  }
  out.set_version(version);
  return out;
}

std::string DriftText(const v1::ChangedClass& changed) {
  std::vector<std::string> parts;
  for (const v1::SpaceDrift& drift : changed.drift()) {
    parts.push_back(
        absl::StrFormat("%s %.3f", Printable(drift.space()), drift.cosine()));
  }
  std::string text =
      parts.empty() ? "" : absl::StrCat("cosine ", absl::StrJoin(parts, ", "));
  const auto add = [&text](const std::string& more) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", more);
  };
  if (changed.before().prompt() != changed.after().prompt()) {
    add(absl::StrCat("painted as ", Printable(changed.after().prompt()),
                     ", before as ", Printable(changed.before().prompt())));
  }
  if (changed.before().kind() != changed.after().kind()) {
    add(changed.after().kind() == v1::CLASS_KIND_STUFF ? "now stuff"
                                                       : "now a thing");
  }
  if (changed.other_generator()) {
    add("other pictures");
  }
  if (changed.other_encoder()) {
    add("other encoders");
  }
  return text;
}

std::string Name(const v1::VocabularyVersion& version) {
  return absl::StrCat(Printable(version.vocabulary()), "@", version.version());
}

void PrintPairs(const v1::DiffVocabularyVersionsResponse& diff,
                std::ostream& out) {
  if (!diff.newly_confusable().empty()) {
    out << absl::StrFormat("newly confusable (cosine %.2f and more):\n",
                           diff.confusable_threshold());
  }
  for (const v1::ConfusablePair& pair : diff.newly_confusable()) {
    out << absl::StrFormat("  %s / %s: %.3f", Printable(pair.first()),
                           Printable(pair.second()), pair.cosine());
    if (pair.has_cosine_before()) {
      out << absl::StrFormat(", before %.3f", pair.cosine_before());
    }
    out << "\n";
  }
  if (diff.num_pairs_left_out() > 0) {
    out << diff.num_pairs_left_out() << " pairs were not compared\n";
  }
}

void PrintDiff(const v1::DiffVocabularyVersionsResponse& diff,
               std::ostream& out) {
  out << Name(diff.from()) << " -> " << Name(diff.to()) << ": "
      << diff.added_size() << " added, " << diff.removed_size() << " removed, "
      << diff.changed_size() << " changed, " << diff.num_unchanged()
      << " unchanged\n";
  for (const v1::Class& entry : diff.added()) {
    out << "+ " << Printable(entry.name()) << "\n";
  }
  for (const v1::Class& entry : diff.removed()) {
    out << "- " << Printable(entry.name()) << "\n";
  }
  for (const v1::ChangedClass& changed : diff.changed()) {
    out << "~ " << Printable(changed.after().name()) << ": "
        << DriftText(changed) << "\n";
  }
  for (const v1::UnreadableClass& entry : diff.unreadable()) {
    out << "! " << Printable(entry.name()) << ": "
        << Printable(entry.error().message()) << "\n";
  }
  PrintPairs(diff, out);
}

int RunDiff(const DiffFlags& flags, Session& session) {
  v1::DiffVocabularyVersionsRequest request;
  const auto from = ParseVersion(flags.from, flags.vocabulary);
  if (!from.ok()) {
    session.console.err << "ovdiff: " << from.status().message() << "\n";
    return kExitUsage;
  }
  *request.mutable_from() = *from;
  // Without a second one: what is new since the first.
  request.mutable_to()->set_vocabulary(from->vocabulary());
  if (!flags.to.empty()) {
    const auto to = ParseVersion(flags.to, flags.vocabulary);
    if (!to.ok()) {
      session.console.err << "ovdiff: " << to.status().message() << "\n";
      return kExitUsage;
    }
    *request.mutable_to() = *to;
  }
  if (!std::isnan(flags.threshold)) {
    request.set_confusable_threshold(flags.threshold);
  }
  const auto diff =
      session.client.DiffVocabularyVersions(request, session.Call());
  if (!diff.ok()) {
    return session.Fail(diff.status());
  }
  if (session.flags.json) {
    session.Print(ToJson(*diff));
  } else {
    PrintDiff(*diff, session.console.out);
  }
  return kExitOk;
}

}  // namespace

void RegisterDiff(Registry& registry) {
  auto flags = std::make_shared<DiffFlags>();
  CLI::App& command = *registry.Add(
      "diff", "Show what changed between two versions", flags, &RunDiff);
  command
      .add_option("FROM", flags->from, "shop@12, or v12 with --vocabulary shop")
      ->required();
  command.add_option("TO", flags->to,
                     "The same; without it, the newest of FROM's vocabulary");
  AddVocabularyFlag(command, flags->vocabulary, false);
  command
      .add_option("--confusable-threshold", flags->threshold,
                  "Report pairs of classes whose best foreground cosine rose "
                  "to this or more (default: 0.95)")
      ->check(CLI::Range(-1.0, 1.0));
}

}  // namespace ovdiff::client
