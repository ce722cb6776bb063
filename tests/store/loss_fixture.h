// A database whose classes are all in the log, for tests of what goes missing.
#ifndef OVDIFF_TESTS_STORE_LOSS_FIXTURE_H_
#define OVDIFF_TESTS_STORE_LOSS_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "store/keys.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/contract_test.h"
#include "tests/store/raw_database.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {

namespace fs = std::filesystem;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

// All files of data, by name.
inline std::map<std::string, std::string> Contents(const std::string& path) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename();
    if (!absl::StartsWith(name, "LOG") && name != "LOCK") {
      std::ostringstream bytes;
      bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      contents[name] = bytes.str();
    }
  }
  return contents;
}

class LossTest : public testing::Test {
 protected:
  static constexpr int kClasses = 8;

  std::string path() const { return folder_.path(); }

  // Classes "0", "1", … in one vocabulary, a version each, all in the log.
  void Write() {
    const auto store = MustOpen(path());
    for (int i = 0; i < kClasses; ++i) {
      ASSERT_TRUE(store->Publish(kShop, {MakeNewClass(absl::StrCat(i))}).ok());
    }
  }

  std::string LogFile() const {
    for (const std::string& file : FilesOf(path(), ".log")) {
      if (fs::file_size(file) > 0) {
        return file;
      }
    }
    ADD_FAILURE() << "no log";
    return "";
  }

  std::string Manifest() const {
    std::string name;
    std::getline(std::ifstream(path() + "/CURRENT"), name);
    return path() + "/" + name;
  }

  // Opening refuses, names the folder and what to do, and changes nothing.
  void ExpectRefused(const std::string& why) {
    const auto before = Contents(path());
    const auto refused = OpenRocksDbStore({.path = path()});
    EXPECT_EQ(refused.status().code(), kDataLoss) << refused.status();
    EXPECT_THAT(
        std::string(refused.status().message()),
        testing::AllOf(testing::HasSubstr(path()), testing::HasSubstr(why),
                       testing::HasSubstr("--store-mode recover")));
    EXPECT_TRUE(before == Contents(path())) << "files were changed";
  }

  // Recovers, and gives the number of the classes that are left with their
  // sets. Then the store is like any other, but for the sets that are missing.
  size_t Recover() {
    RecoveryReport report;
    size_t left = 0;
    {
      const auto store = OpenRocksDbStore(
          {.path = path(), .mode = StoreMode::kRecover}, &report);
      EXPECT_TRUE(store.ok()) << store.status();
      if (!store.ok()) return 0;
      EXPECT_FALSE(report.actions.empty());
      const auto head = (*store)->GetVocabulary(kShop, 0);
      if (head.ok()) {
        for (const ClassEntry& entry : head->classes) {
          const auto set = (*store)->GetPrototypeSet(entry.prototype_key);
          EXPECT_TRUE(set.ok() || absl::IsNotFound(set.status()))
              << set.status();
          left += set.ok() ? 1 : 0;
        }
      }
      EXPECT_TRUE((*store)->Publish(kShop, {MakeNewClass("after")}).ok());
    }
    const auto again = OpenRocksDbStore({.path = path()});
    EXPECT_TRUE(again.ok()) << again.status();
    if (again.ok()) {
      const auto verified =
          (*again)->admin().Verify({}, CallControl(), nullptr);
      EXPECT_TRUE(verified.ok()) << verified.status();
      for (const RecordProblem& problem : verified->problems) {
        EXPECT_TRUE(absl::IsNotFound(problem.status)) << problem.status;
      }
      EXPECT_TRUE((*again)
                      ->HasPrototypeSet(MakeNewClass("after").prototype_key)
                      .value());
    }
    return left;
  }

  TempFolder folder_;
};

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_LOSS_FIXTURE_H_
