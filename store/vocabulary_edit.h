// How one version of a vocabulary follows from another, and how versions are
// kept small: as what differs from a whole one. Pure functions.
#ifndef OVDIFF_STORE_VOCABULARY_EDIT_H_
#define OVDIFF_STORE_VOCABULARY_EDIT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"

namespace ovdiff::store {

// The classes of `base` (a whole version) changed as `delta` says, or those of
// `delta` itself if it is whole. kDataLoss if the two do not belong together.
absl::StatusOr<std::vector<ClassEntry>> ClassesOf(const VersionRecord& delta,
                                                  const VersionRecord* base);

// The record of `vocabulary`: what differs from `base`, or all of it when
// there is no base, there are few classes, or that is nearly as short. A reader
// needs two records at most, and adding n classes one by one writes O(n^1.5)
// entries, not O(n^2).
VersionRecord MakeVersionRecord(const Vocabulary& vocabulary,
                                const VersionRecord* base);

// Puts `added` (labels set, distinct names) into `classes`, which is sorted by
// label. An entry equal to the one in place but for its add_time leaves that
// as it is. Returns whether anything changed.
bool PutClasses(absl::Span<const ClassEntry> added,
                std::vector<ClassEntry>& classes);

// Takes the classes called `names` out. kNotFound listing the names that are
// not there; then `classes` is as it was.
absl::Status TakeClasses(absl::Span<const std::string> names,
                         std::vector<ClassEntry>& classes);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_VOCABULARY_EDIT_H_
