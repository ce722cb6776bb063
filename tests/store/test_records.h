// Records, folders and comparisons that the store's tests share.
#ifndef OVDIFF_TESTS_STORE_TEST_RECORDS_H_
#define OVDIFF_TESTS_STORE_TEST_RECORDS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "store/prototype_store.h"

namespace ovdiff::store {

// A folder of its own, gone at the end.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Sha256Digest TestDigest(absl::string_view text);

// A set with two spaces ("sd" of `dim` and "dino" of `dim` / 2 + 1), all three
// levels and `num_parts` parts per side; "dino" has no background vectors.
// Values follow from `seed` and are exact in binary16.
PrototypeRecord MakePrototypeRecord(int seed, int dim = 5, int num_parts = 2);
SupportRecord MakeSupportRecord(int seed, int num_pictures = 3);

// PrototypeKey() of the record's own fields.
ContentKey KeyOf(const PrototypeRecord& record);
ContentKey KeyOf(const SupportRecord& record);

// A class with its set, all of it following from `name` and `seed`.
NewClass MakeNewClass(const std::string& name, int seed = 0);

// Empty if equal; else what differs.
std::string Difference(const PrototypeRecord& a, const PrototypeRecord& b);
std::string Difference(const SupportRecord& a, const SupportRecord& b);
std::string Difference(const Vocabulary& a, const Vocabulary& b);

// Opens the store in `path`, failing the test if it cannot.
std::unique_ptr<PrototypeStore> MustOpen(const std::string& path);

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_TEST_RECORDS_H_
