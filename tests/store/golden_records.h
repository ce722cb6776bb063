// A record of each type, whose bytes golden/make_goldens.py has written too: it
// knows store/FORMAT.md only.
#ifndef OVDIFF_TESTS_STORE_GOLDEN_RECORDS_H_
#define OVDIFF_TESTS_STORE_GOLDEN_RECORDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {

inline const VocabularyId kShop = {.project = "default", .name = "shop"};

// The bytes of golden/`name`.hex.
std::string ReadGolden(const std::string& name);

PrototypeRecord GoldenPrototypeRecord();
SupportRecord GoldenSupportRecord();
// As above, with what only format 2 holds: a mask, a negative's picture.
SupportRecord MaskedSupportRecord();
ContentKey PrototypeGoldenKey();
ContentKey SupportGoldenKey();

// One record type: its golden bytes, what we encode, and how it is decoded and
// encoded again.
struct GoldenCase {
  std::string name;
  std::string golden;
  std::string encoded;
  std::function<absl::StatusOr<std::string>(absl::string_view)> reencode;
};

// One of each, and of each payload type and format.
const std::vector<GoldenCase>& GoldenCases();

}  // namespace ovdiff::store

#endif  // OVDIFF_TESTS_STORE_GOLDEN_RECORDS_H_
