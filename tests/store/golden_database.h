// What the golden databases hold: made by make_golden_database, read by
// golden_database_test.
#ifndef OVDIFF_TESTS_STORE_GOLDEN_DATABASE_H_
#define OVDIFF_TESTS_STORE_GOLDEN_DATABASE_H_

#include <string>
#include <vector>

#include "store/prototype_store.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {

inline const VocabularyId kGoldenShop = {.project = "default", .name = "shop"};
inline const VocabularyId kGoldenZoo = {.project = "team b", .name = "zoo"};

// A blob: more than 4096 bytes.
inline NewClass GoldenLargeClass() {
  NewClass large = MakeNewClass("aurochs", 7);
  large.set = MakePrototypeRecord(7, 320, 4);
  large.set->prompt = large.prompt;
  return large;
}

// What is written before the memory is flushed to files…
inline absl::Status WriteGoldenFiles(PrototypeStore& store) {
  absl::Status status =
      store.PutSupportSet(KeyOf(MakeSupportRecord(3)), MakeSupportRecord(3, 4));
  NewClass sky = MakeNewClass("sky", 2);
  sky.kind = ClassKind::kStuff;
  status.Update(
      store.Publish(kGoldenShop, {MakeNewClass("dog"), sky, GoldenLargeClass()})
          .status());
  status.Update(store.RemoveClasses(kGoldenShop, {{"sky"}}).status());
  return status;
}

// … and after: it stays in the log.
inline absl::Status WriteGoldenLog(PrototypeStore& store) {
  absl::Status status = store.PutJob("golden", std::string("job\0bytes", 9));
  std::vector<NewClass> many;
  for (int i = 0; i < 70; ++i) {
    many.push_back(MakeNewClass("many " + std::to_string(i), 0));
    many.back().set = MakeNewClass("dog").set;  // One set for all.
    many.back().prototype_key = MakeNewClass("dog").prototype_key;
  }
  status.Update(store.Publish(kGoldenZoo, many).status());
  // Kept as what differs from the version before.
  status.Update(
      store.Publish(kGoldenZoo, {MakeNewClass("dog"), GoldenLargeClass()})
          .status());
  return status;
}

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_GOLDEN_DATABASE_H_
