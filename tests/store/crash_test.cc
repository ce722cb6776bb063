// kill -9 at any moment: what was acknowledged is there, whole; and nothing is
// there by half.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "store/prototype_store.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A running crash_child and what it says.
class Child {
 public:
  Child(const std::string& path, const std::string& mode) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl(CRASH_CHILD, CRASH_CHILD, path.c_str(), mode.c_str(), nullptr);
      _exit(127);
    }
    close(ends[1]);
    read_end_ = ends[0];
  }
  ~Child() { close(read_end_); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Waits until it has said something; false if it ended instead.
  bool WaitForWords() {
    char byte;
    if (read(read_end_, &byte, 1) != 1) {
      return false;
    }
    said_.push_back(byte);
    return true;
  }

  // Kills it and gives all lines that it has said whole.
  std::vector<std::string> Kill() {
    kill(pid_, SIGKILL);
    char buffer[4096];
    ssize_t size;
    while ((size = read(read_end_, buffer, sizeof(buffer))) > 0) {
      said_.append(buffer, static_cast<size_t>(size));
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFSIGNALED(status)) << "exit status " << status;
    std::vector<std::string> lines = absl::StrSplit(said_, '\n');
    lines.pop_back();  // What follows the last end of line.
    return lines;
  }

 private:
  pid_t pid_ = -1;
  int read_end_ = -1;
  std::string said_;
};

// The classes of both vocabularies by name, each with its set verified.
std::map<std::string, ContentKey> ReadAll(const PrototypeStore& store) {
  std::map<std::string, ContentKey> classes;
  const auto listed = store.ListVocabularies("default", "", 10);
  EXPECT_TRUE(listed.ok()) << listed.status();
  for (const VocabularySummary& summary : *listed) {
    for (int64_t version = 1; version <= summary.version; ++version) {
      const auto vocabulary = store.GetVocabulary(summary.id, version);
      EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
      if (!vocabulary.ok()) continue;
      // The child adds one class at a time.
      EXPECT_EQ(vocabulary->classes.size(), static_cast<size_t>(version));
      const ClassEntry& added = vocabulary->classes.back();
      EXPECT_EQ(added.label, version);
      classes[added.name] = added.prototype_key;
    }
    EXPECT_EQ(
        store.GetVocabulary(summary.id, summary.version + 1).status().code(),
        absl::StatusCode::kNotFound);
  }
  return classes;
}

void ExpectVerifies(const PrototypeStore& store, const std::string& name,
                    const std::map<std::string, ContentKey>& classes) {
  const auto found = classes.find(name);
  ASSERT_NE(found, classes.end()) << name << " was acknowledged and is lost";
  const NewClass expected = MakeNewClass(name, std::atoi(name.c_str()));
  EXPECT_EQ(found->second, expected.prototype_key) << name;
  const auto set = store.GetPrototypeSet(found->second);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(Difference(*set, *expected.set), "") << name;
}

TEST(CrashTest, AcknowledgedClassesSurviveKills) {
  constexpr int kRounds = 30;
  const TempFolder folder;
  std::mt19937 random(42);
  std::vector<std::string> acknowledged;
  for (int round = 0; round < kRounds; ++round) {
    Child child(folder.path(), absl::StrCat(round));
    // Two of three at a moment of the writing, the third at any, opening too.
    if (round % 3 != 2) {
      ASSERT_TRUE(child.WaitForWords());
    }
    absl::SleepFor(absl::Microseconds(random() % 60'000));
    const std::vector<std::string> names = child.Kill();
    acknowledged.insert(acknowledged.end(), names.begin(), names.end());
    const auto store = MustOpen(folder.path());
    ASSERT_NE(store, nullptr);
    const std::map<std::string, ContentKey> classes = ReadAll(*store);
    for (const std::string& name : names) {
      ExpectVerifies(*store, name, classes);
    }
    // At most one class more a round than was acknowledged: the one at work.
    EXPECT_LE(classes.size(), acknowledged.size() + round + 1);
  }
  EXPECT_GE(acknowledged.size(), 20U);
  const auto store = MustOpen(folder.path());
  const std::map<std::string, ContentKey> classes = ReadAll(*store);
  for (const std::string& name : acknowledged) {
    ExpectVerifies(*store, name, classes);
  }
  RecordProperty("acknowledged", static_cast<int>(acknowledged.size()));
}

TEST(CrashTest, AnotherProcessIsRefusedUntilTheFirstIsGone) {
  const TempFolder folder;
  Child child(folder.path(), "hold");
  ASSERT_TRUE(child.WaitForWords());
  const auto refused = OpenRocksDbStore({.path = folder.path()});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr(folder.path()), HasSubstr("another process")));
  child.Kill();
  EXPECT_NE(MustOpen(folder.path()), nullptr);
}

}  // namespace
}  // namespace ovdiff::store
