// `ovdiff store …`, against a server whose findings are known.
#include <sstream>
#include <thread>

#include "client/cli.h"
#include "client/json_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace ovdiff::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CliStoreTest : public ::testing::Test {
 protected:
  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.begin(), "store");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunCli(arguments, console_, interrupts_);
  }
  Json Output() { return Json::parse(out_.str()); }

  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = out_, .err = err_};
  Interrupts interrupts_;
};

TEST_F(CliStoreTest, StatsArePlainOrJson) {
  EXPECT_EQ(Run({"stats"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("prototype sets    12 (55.2 MB)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("on disk           812 bytes, "));
  EXPECT_THAT(out_.str(), HasSubstr("RESOURCE_EXHAUSTED: the volume is full"));
  EXPECT_THAT(out_.str(), HasSubstr("a backup, called by ipv4:10.0.0.7:5"));
  EXPECT_EQ(Run({"stats", "--json"}), kExitOk);
  EXPECT_EQ(Output()["prototype_bytes"], 55'200'000);
  EXPECT_EQ(Output()["health"]["code"], "RESOURCE_EXHAUSTED");
}

TEST_F(CliStoreTest, VerifyWithoutDamageEndsWithZero) {
  EXPECT_EQ(Run({"verify", "--max-rate", "2.5", "--skip-files"}), kExitOk);
  EXPECT_EQ(out_.str(), "4 records, 4.6 MB: no damage\n");
  // A line for each quarter, and no cursor movements, on a pipe.
  EXPECT_THAT(err_.str(), HasSubstr("checked 2 of about 4 records, 2.3 MB"));
  EXPECT_THAT(err_.str(), Not(HasSubstr("\r")));
  EXPECT_EQ(server_.store.verify_request.max_bytes_per_second(), 2'500'000);
  EXPECT_TRUE(server_.store.verify_request.skip_files());
}

TEST_F(CliStoreTest, VerifyDrawsOneLineOnATerminal) {
  console_.live = true;
  console_.columns = 40;
  EXPECT_EQ(Run({"verify"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("\rchecked 4 of"));
  EXPECT_THAT(err_.str(), Not(HasSubstr("\n")));
}

TEST_F(CliStoreTest, DamageIsNamedAndHasItsOwnExitCode) {
  server_.store.num_damaged = 2;
  EXPECT_EQ(Run({"verify"}), kExitDamaged);
  EXPECT_EQ(kExitDamaged, 5);
  EXPECT_THAT(out_.str(), HasSubstr("4.6 MB: 2 problems\n"));
  EXPECT_THAT(out_.str(),
              HasSubstr("  prototype set 0f2e: DATA_LOSS: its SHA-256 differs\n"
                        "    needed by default/shop: boat and 2 more\n"
                        "  prototype set 1f2e: "));
  EXPECT_THAT(err_.str(), HasSubstr("ovdiff store scrub"));
  EXPECT_EQ(Run({"verify", "--json"}), kExitDamaged);
  EXPECT_EQ(Output()["num_problems"], 2);
  ASSERT_EQ(Output()["problems"].size(), 2u);
  EXPECT_EQ(Output()["problems"][1]["key"], "prototype set 1f2e");
  EXPECT_EQ(Output()["problems"][0]["error"]["code"], "DATA_LOSS");
}

TEST_F(CliStoreTest, ScrubTellsWhatItTookOut) {
  server_.store.num_damaged = 1;
  EXPECT_EQ(Run({"scrub"}), kExitDamaged);
  EXPECT_THAT(out_.str(), HasSubstr("  dropped  prototype set 0f2e"));
  EXPECT_THAT(out_.str(), HasSubstr("1 damaged set taken out"));
  EXPECT_EQ(server_.store.scrub_request.max_bytes_per_second(), 0);
  server_.store.num_damaged = 0;
  EXPECT_EQ(Run({"scrub", "--max-rate", "1"}), kExitOk);
  EXPECT_EQ(server_.store.scrub_request.max_bytes_per_second(), 1'000'000);
}

TEST_F(CliStoreTest, InterruptEndsAVerify) {
  server_.store.hold_verify = true;
  std::jthread user([&] {
    server_.store.held.WaitForNotification();
    interrupts_.first.request_stop();
  });
  EXPECT_EQ(Run({"verify"}), kExitInterrupted);
}

TEST_F(CliStoreTest, GarbageIsShownFirst) {
  EXPECT_EQ(Run({"gc", "--keep-versions", "2"}), kExitOk);
  EXPECT_TRUE(server_.store.garbage_request.dry_run());
  EXPECT_EQ(server_.store.garbage_request.keep_versions(), 2);
  EXPECT_FALSE(server_.store.garbage_request.has_min_age_seconds());
  EXPECT_EQ(out_.str(),
            "  prototype set 1f2e  1.5 kB\n"
            "  version default/shop@1  100 bytes\n"
            "  and 2 more\n"
            "would delete 3 prototype sets, 0 support sets, 1 version: "
            "4.6 MB\n");
  EXPECT_THAT(err_.str(), HasSubstr("--yes"));
}

TEST_F(CliStoreTest, GarbageGoesWithYes) {
  EXPECT_EQ(Run({"gc", "--yes", "--min-age", "0"}), kExitOk);
  EXPECT_TRUE(server_.store.garbage_request.has_dry_run());
  EXPECT_FALSE(server_.store.garbage_request.dry_run());
  EXPECT_TRUE(server_.store.garbage_request.has_min_age_seconds());
  EXPECT_THAT(out_.str(), HasSubstr("deleted 3 prototype sets"));
  EXPECT_EQ(Run({"gc", "--yes", "--json"}), kExitOk);
  EXPECT_EQ(Output()["dry_run"], false);
  EXPECT_EQ(Output()["items"][0]["kind"], "prototype_set");
}

TEST_F(CliStoreTest, BackupAndCompactTellWhatTheyDid) {
  EXPECT_EQ(Run({"backup"}), kExitOk);
  EXPECT_EQ(out_.str(), "backup 3: 1 file, 2.0 MB\n");
  EXPECT_EQ(Run({"compact"}), kExitOk);
  EXPECT_EQ(out_.str(), "on disk: 12.0 MB before, 999 bytes after\n");
  EXPECT_EQ(Run({"compact", "--json"}), kExitOk);
  EXPECT_EQ(Output()["disk_bytes_after"], 999);
}

TEST_F(CliStoreTest, ABusyStoreSaysWhoIsAtIt) {
  server_.store.is_busy = true;
  EXPECT_EQ(Run({"compact"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("called by ipv4:10.0.0.7:5"));
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(CliStoreTest, WrongUsageEndsBeforeTheServerIsAsked) {
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_EQ(Run({"destroy"}), kExitUsage);
  EXPECT_EQ(Run({"gc", "--keep-versions", "-1"}), kExitUsage);
  EXPECT_EQ(Run({"scrub", "--max-rate", "fast"}), kExitUsage);
}

TEST_F(CliStoreTest, HelpTellsTheExitCodes) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("5 damage found"));
}

}  // namespace
}  // namespace ovdiff::client
