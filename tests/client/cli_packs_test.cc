// `ovdiff export`, `import` and `diff`.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cli.h"
#include "client/json_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CliPacksTest : public ::testing::Test {
 protected:
  CliPacksTest() {
    fs::create_directories(folder_);
    std::ifstream golden(absl::StrCat(
        OVDIFF_SOURCE_DIR, "/tests/store/pack/golden/class_pack.hex"));
    for (std::string line; std::getline(golden, line);) {
      server_.pack += absl::HexStringToBytes(line);
    }
  }
  ~CliPacksTest() override { fs::remove_all(folder_); }

  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunCli(arguments, console_, interrupts_);
  }
  std::string Path(const std::string& name) { return folder_ / name; }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = out_, .err = err_};
  Interrupts interrupts_;
  const fs::path folder_ =
      fs::path(::testing::TempDir()) / absl::StrCat("ovdiff_packs_", getpid());
};

TEST_F(CliPacksTest, ExportWritesThePackAndNothingElseToStandardOutput) {
  EXPECT_EQ(Run({"export", "--vocabulary", "shop", "--version", "3",
                 "--pictures", "--license", "CC0-1.0", "--class", "cat"}),
            kExitOk);
  EXPECT_EQ(out_.str(), server_.pack);
  EXPECT_THAT(err_.str(), HasSubstr("pack "));
  EXPECT_EQ(server_.export_request.vocabulary(), "shop");
  EXPECT_EQ(server_.export_request.version(), 3);
  EXPECT_EQ(server_.export_request.classes(0), "cat");
  EXPECT_TRUE(server_.export_request.include_pictures());
  EXPECT_EQ(server_.export_request.license(), "CC0-1.0");
}

TEST_F(CliPacksTest, ExportRefusesATerminal) {
  console_.out_is_terminal = true;
  EXPECT_EQ(Run({"export", "-v", "shop"}), kExitUsage);
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Run({"export", "-v", "shop", "-o", Path("shop.ovpack")}), kExitOk);
  EXPECT_EQ(Read(Path("shop.ovpack")), server_.pack);
}

TEST_F(CliPacksTest, ExportedFilesAreWholeOrNotThere) {
  const std::string path = Path("shop.ovpack");
  server_.cut_export = true;
  EXPECT_EQ(Run({"export", "-v", "shop", "-o", path}), kExitFailed);
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(Run({"export", "-v", "shop"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not a whole pack"));
  // A server that says OK after half a pack is not believed.
  server_.cut_export = false;
  server_.pack.resize(server_.pack.size() / 2);
  EXPECT_EQ(Run({"export", "-v", "shop", "-o", path}), kExitFailed);
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(Run({"export", "-v", "shop", "-o", Path("no/such/file")}),
            kExitFailed);
}

TEST_F(CliPacksTest, ExportSignsAndSaysSoInJson) {
  EXPECT_EQ(Run({"export", "-v", "shop", "--json"}), kExitUsage);
  const std::string key = Path("key.pem");
  const std::string der =
      absl::HexStringToBytes("302e020100300506032b657004220420") +
      std::string(32, 'k');
  std::ofstream(key) << "-----BEGIN PRIVATE KEY-----\n"
                     << absl::Base64Escape(der)
                     << "\n-----END PRIVATE KEY-----\n";
  const std::string path = Path("signed.ovpack");
  EXPECT_EQ(
      Run({"export", "-v", "shop", "-o", path, "--sign-key", key, "--json"}),
      kExitOk);
  const Json said = Json::parse(out_.str());
  EXPECT_EQ(said["signed"], true);
  EXPECT_EQ(said["bytes"], server_.pack.size() + 153);
  EXPECT_EQ(Read(path).size(), server_.pack.size() + 153);
  EXPECT_EQ(Run({"export", "-v", "shop", "--sign-key", Path("none.pem")}),
            kExitFailed);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CliPacksTest, ImportSendsTheFileAndTheFlags) {
  const std::string path = Path("in.ovpack");
  std::string bytes(700000, 'x');
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(Run({"import", path, "-v", "shop", "--on-conflict", "replace",
                 "--re-encode", "--dry-run"}),
            kExitOk);
  EXPECT_EQ(server_.imported_pack, bytes);
  EXPECT_EQ(server_.import_config.vocabulary(), "shop");
  EXPECT_EQ(server_.import_config.conflict_policy(),
            v1::CONFLICT_POLICY_REPLACE);
  EXPECT_TRUE(server_.import_config.reencode());
  EXPECT_TRUE(server_.import_config.validate_only());
  EXPECT_THAT(out_.str(), HasSubstr("cat: replaced, pictures encoded again"));
  EXPECT_THAT(out_.str(), HasSubstr("licence CC0-1.0"));
  EXPECT_THAT(out_.str(), HasSubstr("dry run"));
  EXPECT_EQ(Run({"import", path, "--json"}), kExitOk);
  EXPECT_EQ(server_.import_config.conflict_policy(), v1::CONFLICT_POLICY_FAIL);
  EXPECT_EQ(Json::parse(out_.str())["classes"][0]["outcome"], "replaced");
}

TEST_F(CliPacksTest, WhatCannotBeImportedIsSaid) {
  EXPECT_EQ(Run({"import", Path("none.ovpack")}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("none.ovpack"));
  std::ofstream(Path("in.ovpack")) << "x";
  EXPECT_EQ(Run({"import", Path("in.ovpack"), "-v", "full"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no room"));
  EXPECT_EQ(Run({"import", Path("in.ovpack"), "--on-conflict", "perhaps"}),
            kExitUsage);
  EXPECT_EQ(
      Run({"import", Path("in.ovpack"), "--require-signature", Path("no")}),
      kExitFailed);
}

TEST_F(CliPacksTest, DiffNamesVersionsInEitherWay) {
  EXPECT_EQ(Run({"diff", "shop@12", "shop@13"}), kExitOk);
  EXPECT_EQ(server_.diff_request.from().vocabulary(), "shop");
  EXPECT_EQ(server_.diff_request.from().version(), 12);
  EXPECT_EQ(server_.diff_request.to().version(), 13);
  EXPECT_FALSE(server_.diff_request.has_confusable_threshold());
  EXPECT_EQ(Run({"diff", "v12", "13", "--vocabulary", "shop",
                 "--confusable-threshold", "0.9"}),
            kExitOk);
  EXPECT_EQ(server_.diff_request.from().vocabulary(), "shop");
  EXPECT_EQ(server_.diff_request.from().version(), 12);
  EXPECT_EQ(server_.diff_request.to().version(), 13);
  EXPECT_DOUBLE_EQ(server_.diff_request.confusable_threshold(), 0.9);
  EXPECT_EQ(Run({"diff", "shop@12"}), kExitOk);
  EXPECT_EQ(server_.diff_request.to().vocabulary(), "shop");
  EXPECT_EQ(server_.diff_request.to().version(), 0);
  EXPECT_EQ(Run({"diff", "shop@new"}), kExitUsage);
  EXPECT_EQ(Run({"diff", "v0", "v1", "-v", "shop"}), kExitUsage);
}

TEST_F(CliPacksTest, DiffIsReadableAndJson) {
  v1::DiffVocabularyVersionsResponse& diff = server_.difference;
  diff.mutable_from()->set_vocabulary("shop");
  diff.mutable_from()->set_version(12);
  *diff.mutable_to() = diff.from();
  diff.mutable_to()->set_version(13);
  diff.add_added()->set_name("ant");
  diff.add_removed()->set_name("bee");
  v1::ChangedClass& changed = *diff.add_changed();
  changed.mutable_before()->set_name("cat");
  changed.mutable_before()->set_prompt("cat");
  changed.mutable_after()->set_name("cat");
  changed.mutable_after()->set_prompt("big cat");
  changed.add_drift()->set_space("sd");
  changed.mutable_drift(0)->set_cosine(0.5);
  v1::ConfusablePair& pair = *diff.add_newly_confusable();
  pair.set_first("ant");
  pair.set_second("cat");
  pair.set_cosine(0.96);
  diff.set_confusable_threshold(0.95);
  EXPECT_EQ(Run({"diff", "shop@12", "shop@13"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("shop@12 -> shop@13: 1 added, 1 removed, "
                                    "1 changed, 0 unchanged\n"));
  EXPECT_THAT(out_.str(), HasSubstr("+ ant\n"));
  EXPECT_THAT(out_.str(), HasSubstr("- bee\n"));
  EXPECT_THAT(out_.str(), HasSubstr("~ cat: cosine sd 0.500; painted as big "
                                    "cat, before as cat\n"));
  EXPECT_THAT(out_.str(), HasSubstr("ant / cat: 0.960\n"));
  EXPECT_EQ(Run({"diff", "shop@12", "shop@13", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str())["changed"][0]["drift"][0]["cosine"], 0.5);
}

}  // namespace
}  // namespace ovdiff::client
