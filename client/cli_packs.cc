// `ovdiff export` and `ovdiff import`.

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli_commands.h"
#include "client/pack_signature.h"

namespace ovdiff::client {
namespace {

constexpr size_t kPartBytes = 256 << 10;

struct ExportFlags {
  std::string vocabulary;
  int64_t version = 0;
  std::vector<std::string> classes;
  bool pictures = false;
  std::string license;
  std::string sign_key;
  std::string output;
};

struct ImportFlags {
  std::string path;
  std::string vocabulary;
  v1::ConflictPolicy on_conflict = v1::CONFLICT_POLICY_FAIL;
  bool reencode = false;
  std::vector<std::string> trusted_keys;
  bool dry_run = false;
};

v1::ExportVocabularyRequest ToRequest(const ExportFlags& flags) {
  v1::ExportVocabularyRequest request;
  request.set_vocabulary(flags.vocabulary);
  request.set_version(flags.version);
  request.mutable_classes()->Assign(flags.classes.begin(), flags.classes.end());
  request.set_include_pictures(flags.pictures);
  request.set_license(flags.license);
  return request;
}

// Not kUnavailable, which means an unreachable server to the exit codes.
absl::Status Written(std::ostream& stream, const std::string& where) {
  return stream.good() ? absl::OkStatus()
                       : absl::FailedPreconditionError(absl::StrCat(
                             "cannot write ", where,
                             "; is the folder there, and the disk not full?"));
}

// Writes the pack, signed if a key is given, and returns its digest.
absl::StatusOr<std::string> WritePack(const ExportFlags& flags,
                                      Session& session, std::ostream& stream,
                                      const std::string& where,
                                      int64_t* num_bytes) {
  PackDigest passing;
  const absl::Status status = session.client.ExportVocabulary(
      ToRequest(flags),
      [&](absl::string_view bytes) {
        passing.Update(bytes);
        stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        return Written(stream, where);
      },
      session.Call());
  if (!status.ok()) {
    return status;
  }
  absl::StatusOr<std::string> digest = passing.Finish();
  if (!digest.ok()) {
    return digest;
  }
  *num_bytes = passing.num_bytes();
  if (!flags.sign_key.empty()) {
    const auto signature = SignPack(*digest, flags.sign_key);
    if (!signature.ok()) {
      return signature.status();
    }
    stream << *signature;
    *num_bytes += static_cast<int64_t>(signature->size());
  }
  stream.flush();
  const absl::Status written = Written(stream, where);
  return written.ok() ? digest : written;
}

// As above into a file, which is there whole or not at all.
absl::StatusOr<std::string> WritePackFile(const ExportFlags& flags,
                                          Session& session,
                                          int64_t* num_bytes) {
  const std::string part = flags.output + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  absl::Cleanup remove = [&part] { std::remove(part.c_str()); };
  const absl::Status opened = Written(file, part);
  if (!opened.ok()) {
    return opened;
  }
  absl::StatusOr<std::string> digest =
      WritePack(flags, session, file, part, num_bytes);
  file.close();
  const absl::Status closed = Written(file, part);
  if (digest.ok() && !closed.ok()) {
    return closed;
  }
  if (digest.ok() && std::rename(part.c_str(), flags.output.c_str()) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write ", flags.output));
  }
  return digest;
}

int RunExport(const ExportFlags& flags, Session& session) {
  const bool to_stdout = flags.output.empty();
  if (to_stdout && (session.console.out_is_terminal || session.flags.json)) {
    session.console.err << "ovdiff: a pack is binary; name a file with -o FILE"
                        << (session.flags.json
                                ? " (standard output is for JSON)\n"
                                : ", or redirect standard output\n");
    return kExitUsage;
  }
  if (!flags.sign_key.empty()) {
    // Before anything is written: a bad key is noticed now.
    const auto signature = SignPack(std::string(32, '\0'), flags.sign_key);
    if (!signature.ok()) {
      return session.Fail(signature.status());
    }
  }
  int64_t num_bytes = 0;
  const auto digest = to_stdout ? WritePack(flags, session, session.console.out,
                                            "standard output", &num_bytes)
                                : WritePackFile(flags, session, &num_bytes);
  if (!digest.ok()) {
    if (to_stdout) {
      session.console.err << "ovdiff: what was written is not a whole pack\n";
    }
    return session.Fail(digest.status());
  }
  if (session.flags.json) {
    session.Print({{"vocabulary", flags.vocabulary},
                   {"file", flags.output},
                   {"bytes", num_bytes},
                   {"pack_digest", Hex(*digest)},
                   {"signed", !flags.sign_key.empty()}});
    return kExitOk;
  }
  (to_stdout ? session.console.err : session.console.out)
      << "vocabulary " << Printable(flags.vocabulary) << ": " << num_bytes
      << " bytes, pack " << Hex(*digest)
      << (flags.sign_key.empty() ? "\n" : ", signed\n");
  return kExitOk;
}

std::string OutcomeWord(v1::ImportOutcome outcome) {
  switch (outcome) {
    case v1::IMPORT_OUTCOME_ADDED:
      return "added";
    case v1::IMPORT_OUTCOME_UNCHANGED:
      return "unchanged";
    case v1::IMPORT_OUTCOME_REPLACED:
      return "replaced";
    case v1::IMPORT_OUTCOME_SKIPPED:
      return "skipped, other content stays";
    default:
      return "unknown";
  }
}

void PrintImport(const ImportFlags& flags,
                 const v1::ImportVocabularyResponse& response,
                 std::ostream& out) {
  out << "pack " << response.pack_digest() << " of "
      << Printable(response.source_vocabulary()) << " version "
      << response.source_version() << ", bundle "
      << Printable(response.bundle());
  if (!response.license().empty()) {
    out << ", licence " << Printable(response.license());
  }
  out << (response.signed_by().empty()
              ? std::string(", not signed\n")
              : absl::StrCat(", signed by ", Hex(response.signed_by()), "\n"));
  for (const v1::ImportedClass& row : response.classes()) {
    out << "  " << Printable(row.name()) << ": " << OutcomeWord(row.outcome())
        << (row.reencoded() ? ", pictures encoded again\n" : "\n");
  }
  if (flags.dry_run) {
    out << "dry run: nothing was changed in vocabulary "
        << Printable(response.vocabulary()) << "\n";
  } else {
    out << "vocabulary " << Printable(response.vocabulary())
        << " is now version " << response.version() << "\n";
  }
}

absl::StatusOr<v1::ImportConfig> ToConfig(const ImportFlags& flags) {
  v1::ImportConfig config;
  config.set_vocabulary(flags.vocabulary);
  config.set_conflict_policy(flags.on_conflict);
  config.set_reencode(flags.reencode);
  config.set_validate_only(flags.dry_run);
  for (const std::string& path : flags.trusted_keys) {
    absl::StatusOr<std::string> key = ReadPublicKey(path);
    if (!key.ok()) {
      return key.status();
    }
    config.add_trusted_keys(*std::move(key));
  }
  return config;
}

ByteSource SourceOf(std::istream& stream, const std::string& name) {
  return [&stream, name]() -> absl::StatusOr<std::string> {
    std::string bytes(kPartBytes, '\0');
    stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (stream.bad()) {
      return absl::UnavailableError(absl::StrCat("cannot read ", name));
    }
    bytes.resize(static_cast<size_t>(stream.gcount()));
    return bytes;
  };
}

int RunImport(const ImportFlags& flags, Session& session) {
  const absl::StatusOr<v1::ImportConfig> config = ToConfig(flags);
  if (!config.ok()) {
    return session.Fail(config.status());
  }
  std::ifstream file;
  if (flags.path != "-") {
    file.open(flags.path, std::ios::binary);
    if (!file.good()) {
      return session.Fail(
          absl::NotFoundError(absl::StrCat("cannot read ", flags.path)));
    }
  }
  std::istream& stream = flags.path == "-" ? std::cin : file;
  const auto response = session.client.ImportVocabulary(
      *config, SourceOf(stream, flags.path), session.Call());
  if (!response.ok()) {
    return session.Fail(response.status());
  }
  if (session.flags.json) {
    Json document = ToJson(*response);
    document["signed_by"] = Hex(response->signed_by());
    document["dry_run"] = flags.dry_run;
    session.Print(document);
  } else {
    PrintImport(flags, *response, session.console.out);
  }
  return kExitOk;
}

void RegisterExport(Registry& registry) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App& command = *registry.Add(
      "export", "Write a vocabulary to a file that other servers can import",
      flags, &RunExport);
  AddVocabularyFlag(command, flags->vocabulary, true);
  command
      .add_option("--version", flags->version,
                  "Of the vocabulary (default: newest)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--class", flags->classes,
                     "Only this class; may be given again (default: all)");
  command.add_flag("--pictures", flags->pictures,
                   "With the support pictures, so that servers with other "
                   "encoders can import it too");
  command.add_option("--license", flags->license,
                     "Licence of the pack, to be shown where it is imported");
  command
      .add_option("--sign-key", flags->sign_key,
                  "Sign with the Ed25519 private key in this PEM file")
      ->type_name("KEY.pem");
  command
      .add_option("-o,--output", flags->output,
                  "The file (default: standard output)")
      ->type_name("FILE");
}

void RegisterImport(Registry& registry) {
  auto flags = std::make_shared<ImportFlags>();
  CLI::App& command = *registry.Add(
      "import", "Add the classes of an exported vocabulary", flags, &RunImport);
  command
      .add_option("FILE", flags->path, "The class pack; - is standard input")
      ->required();
  command
      .add_option("-v,--vocabulary", flags->vocabulary,
                  "Where to (default: the name it was exported under)")
      ->envname("OVDIFF_VOCABULARY");
  const std::map<std::string, v1::ConflictPolicy> policies = {
      {"fail", v1::CONFLICT_POLICY_FAIL},
      {"replace", v1::CONFLICT_POLICY_REPLACE},
      {"skip", v1::CONFLICT_POLICY_SKIP}};
  command
      .add_option("--on-conflict", flags->on_conflict,
                  "fail, replace or skip: what to do with classes that are "
                  "there with other content (default: fail)")
      ->transform(CLI::CheckedTransformer(policies).description(""));
  command.add_flag("--re-encode,--reencode", flags->reencode,
                   "Encode the pack's pictures again where its prototypes are "
                   "of other encoders than the server's");
  command
      .add_option("--require-signature", flags->trusted_keys,
                  "Refuse a pack that is not signed by this Ed25519 key; may "
                  "be given again: by one of them")
      ->type_name("KEY.pub");
  command.add_flag("--dry-run", flags->dry_run,
                   "Check everything and say what would happen");
}

}  // namespace

void RegisterPacks(Registry& registry) {
  RegisterExport(registry);
  RegisterImport(registry);
}

}  // namespace ovdiff::client
