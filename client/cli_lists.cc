// `ovdiff classes`, `vocabularies`, `remove`, `info`, `health`.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli_commands.h"

namespace ovdiff::client {
namespace {

struct NoFlags {};

struct InfoFlags {
  std::string profile;
};

struct ClassesFlags {
  std::string vocabulary;
  int64_t version = 0;
};

struct RemoveFlags {
  std::vector<std::string> names;
  std::string vocabulary;
};

Json ListJson(const std::string& vocabulary, const ClassList& list) {
  Json classes = Json::array();
  for (const v1::Class& entry : list.classes) {
    classes.push_back(ToJson(entry));
  }
  return {{"vocabulary", vocabulary},
          {"version", list.version},
          {"classes", classes}};
}

void PrintList(const std::string& vocabulary, const ClassList& list,
               std::ostream& out) {
  out << Printable(vocabulary) << " (version " << list.version << ", "
      << list.classes.size()
      << (list.classes.size() == 1 ? " class" : " classes") << ")\n";
  int width = 5;
  for (const v1::Class& entry : list.classes) {
    width =
        std::max(width, std::min(40, DisplayWidth(Printable(entry.name()))));
  }
  for (const v1::Class& entry : list.classes) {
    out << absl::StrFormat(
        "%5d  #%06x  %s  %s", entry.label(), entry.colour(),
        FitColumns(Printable(entry.name()), width),
        entry.kind() == v1::CLASS_KIND_STUFF ? "stuff" : "thing");
    if (!entry.prompt().empty() && entry.prompt() != entry.name()) {
      out << "  painted as: " << Printable(entry.prompt());
    }
    if (entry.state() == v1::CLASS_STATE_STALE) {
      out << "  STALE: add it again";
    }
    out << "\n";
  }
}

int RunClasses(const ClassesFlags& flags, Session& session) {
  std::vector<std::string> names = {flags.vocabulary};
  if (flags.vocabulary.empty()) {
    auto vocabularies = session.client.ListVocabularies(session.Call());
    if (!vocabularies.ok()) {
      return session.Fail(vocabularies.status());
    }
    names.clear();
    for (const v1::Vocabulary& vocabulary : *vocabularies) {
      names.push_back(vocabulary.name());
    }
  }
  Json documents = Json::array();
  for (const std::string& name : names) {
    absl::StatusOr<ClassList> list =
        session.client.ListClasses(name, flags.version, session.Call());
    if (!list.ok()) {
      return session.Fail(list.status());
    }
    if (session.flags.json) {
      documents.push_back(ListJson(name, *list));
    } else {
      PrintList(name, *list, session.console.out);
    }
  }
  if (session.flags.json) {
    session.Print(flags.vocabulary.empty() ? Json{{"vocabularies", documents}}
                                           : documents[0]);
  } else if (names.empty()) {
    session.console.err << "no vocabulary yet; `ovdiff add` makes one\n";
  }
  return kExitOk;
}

int RunVocabularies(const NoFlags&, Session& session) {
  auto vocabularies = session.client.ListVocabularies(session.Call());
  if (!vocabularies.ok()) {
    return session.Fail(vocabularies.status());
  }
  if (session.flags.json) {
    Json list = Json::array();
    for (const v1::Vocabulary& vocabulary : *vocabularies) {
      list.push_back(ToJson(vocabulary));
    }
    session.Print({{"vocabularies", list}});
    return kExitOk;
  }
  for (const v1::Vocabulary& vocabulary : *vocabularies) {
    session.console.out << FitColumns(Printable(vocabulary.name()), 24)
                        << "  version " << vocabulary.version() << ", "
                        << vocabulary.num_classes()
                        << (vocabulary.num_classes() == 1 ? " class\n"
                                                          : " classes\n");
  }
  if (vocabularies->empty()) {
    session.console.err << "no vocabulary yet; `ovdiff add` makes one\n";
  }
  return kExitOk;
}

int RunRemove(const RemoveFlags& flags, Session& session) {
  absl::StatusOr<int64_t> version = session.client.RemoveClasses(
      flags.vocabulary, flags.names, session.Call());
  if (!version.ok()) {
    return session.Fail(version.status());
  }
  if (session.flags.json) {
    session.Print({{"vocabulary", flags.vocabulary},
                   {"version", *version},
                   {"removed", flags.names}});
  } else {
    session.console.out << "vocabulary " << Printable(flags.vocabulary)
                        << " is now version " << *version << ", without "
                        << Printable(absl::StrJoin(flags.names, ", ")) << "\n";
  }
  return kExitOk;
}

// "key: value" lines, nested messages indented.
void PrintTree(const Json& json, int depth, std::ostream& out) {
  for (const auto& [key, value] : json.items()) {
    out << std::string(2 * static_cast<size_t>(depth), ' ') << key << ":";
    if (value.is_object()) {
      out << "\n";
      PrintTree(value, depth + 1, out);
    } else {
      out << " "
          << (value.is_string() ? Printable(value.get<std::string>())
                                : Dump(value, -1))
          << "\n";
    }
  }
}

// A line for each; their numbers are for `--profile` and `--json`.
void PrintProfiles(const v1::GetServerInfoResponse& info, std::ostream& out) {
  out << "profiles:\n";
  for (const v1::Profile& profile : info.profiles()) {
    out << "  " << Printable(profile.name()) << ": "
        << Printable(profile.description()) << "\n";
    if (!profile.unavailable().empty()) {
      out << "    not as it is: " << Printable(profile.unavailable()) << "\n";
    }
  }
}

int PrintProfile(const v1::GetServerInfoResponse& info, const std::string& name,
                 Session& session) {
  std::vector<std::string> names;
  for (const v1::Profile& profile : info.profiles()) {
    if (profile.name() == name) {
      if (session.flags.json) {
        session.Print(ToJson(profile));
      } else {
        PrintTree(ToJson(profile), 0, session.console.out);
      }
      return kExitOk;
    }
    names.push_back(profile.name());
  }
  return session.Fail(absl::NotFoundError(
      absl::StrCat("the server has no profile \"", name, "\"; it has ",
                   absl::StrJoin(names, ", "))));
}

int RunInfo(const InfoFlags& flags, Session& session) {
  auto info = session.client.GetServerInfo(session.Call());
  if (!info.ok()) {
    return session.Fail(info.status());
  }
  if (!flags.profile.empty()) {
    return PrintProfile(*info, flags.profile, session);
  }
  Json json = ToJson(*info);
  if (session.flags.json) {
    session.Print(json);
  } else {
    json.erase("profiles");
    PrintTree(json, 0, session.console.out);
    PrintProfiles(*info, session.console.out);
  }
  return kExitOk;
}

int RunHealth(const NoFlags&, Session& session) {
  absl::StatusOr<Health> health =
      session.client.CheckHealth("", session.Call());
  if (!health.ok()) {
    return session.Fail(health.status());
  }
  const bool serving = *health == Health::kServing;
  if (session.flags.json) {
    session.Print({{"serving", serving}});
  } else {
    session.console.out << (serving ? "serving" : "not serving") << "\n";
  }
  return serving ? kExitOk : kExitFailed;
}

}  // namespace

void AddVocabularyFlag(CLI::App& command, std::string& vocabulary,
                       bool required) {
  command
      .add_option("-v,--vocabulary", vocabulary,
                  "The named set of classes; `ovdiff vocabularies` lists them")
      ->envname("OVDIFF_VOCABULARY")
      ->required(required);
}

void RegisterVocabularyCommands(Registry& registry) {
  auto classes = std::make_shared<ClassesFlags>();
  CLI::App& list =
      *registry.Add("classes", "List the classes of a vocabulary, or of all",
                    classes, &RunClasses);
  AddVocabularyFlag(list, classes->vocabulary, false);
  list.add_option("--version", classes->version,
                  "Of the vocabulary (default: newest)")
      ->check(CLI::NonNegativeNumber);
  registry.Add("vocabularies", "List the vocabularies",
               std::make_shared<NoFlags>(), &RunVocabularies);
  auto removal = std::make_shared<RemoveFlags>();
  CLI::App& remove = *registry.Add("remove", "Remove classes from a vocabulary",
                                   removal, &RunRemove);
  remove
      .add_option("NAME", removal->names,
                  "Classes to remove: all of them, or none")
      ->required();
  AddVocabularyFlag(remove, removal->vocabulary, true);
}

void RegisterServerCommands(Registry& registry) {
  auto info = std::make_shared<InfoFlags>();
  registry
      .Add("info", "Show the server's version, models, defaults and limits",
           info, &RunInfo)
      ->add_option("--profile", info->profile,
                   "Show the numbers of this profile instead");
  registry.Add("health",
               "Exit 0 if the server serves, 1 if not, 3 if unreachable",
               std::make_shared<NoFlags>(), &RunHealth);
}

}  // namespace ovdiff::client
