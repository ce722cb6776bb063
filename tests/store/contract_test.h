// What the tests of the contract of store/prototype_store.h share: they run on
// every implementation.
#ifndef OVDIFF_TESTS_STORE_CONTRACT_TEST_H_
#define OVDIFF_TESTS_STORE_CONTRACT_TEST_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/prototype_store.h"
#include "store/store_admin.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {

enum class StoreKind { kRocksDb, kRocksDbFloat16, kInMemory };

inline const VocabularyId kShop = {.project = "default", .name = "shop"};

class StoreContractTest : public testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    if (GetParam() == StoreKind::kInMemory) {
      store_ = NewInMemoryStore();
      return;
    }
    auto store = OpenRocksDbStore(
        {.path = folder_.path() + "/store",
         .float16_payload = GetParam() == StoreKind::kRocksDbFloat16});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void TearDown() override { store_.reset(); }

  Vocabulary MustPublish(const VocabularyId& id,
                         const std::vector<NewClass>& classes) {
    auto vocabulary = store_->Publish(id, classes);
    EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
    return vocabulary.ok() ? *std::move(vocabulary) : Vocabulary();
  }

  static std::vector<std::string> NamesOf(const Vocabulary& vocabulary) {
    std::vector<std::string> names;
    for (const ClassEntry& entry : vocabulary.classes) {
      names.push_back(entry.name);
    }
    return names;
  }

  TempFolder folder_;
  std::unique_ptr<PrototypeStore> store_;
};

inline std::string KindName(const testing::TestParamInfo<StoreKind>& info) {
  switch (info.param) {
    case StoreKind::kRocksDb:
      return "RocksDb";
    case StoreKind::kRocksDbFloat16:
      return "RocksDbFloat16";
    case StoreKind::kInMemory:
      return "InMemory";
  }
  return "";
}

// Runs the suite, a StoreContractTest, on every implementation.
#define OVDIFF_FOR_EVERY_STORE(Suite)                                  \
  INSTANTIATE_TEST_SUITE_P(                                            \
      Stores, Suite,                                                   \
      testing::Values(StoreKind::kRocksDb, StoreKind::kRocksDbFloat16, \
                      StoreKind::kInMemory),                           \
      KindName)

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_CONTRACT_TEST_H_
