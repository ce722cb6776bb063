#include "store/vocabulary_edit.h"

#include <algorithm>
#include <iterator>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ovdiff::store {
namespace {

// Versions of so few classes stand alone: a damaged one costs no other.
constexpr size_t kMaxAlwaysWhole = 64;

bool LabelIsLess(const ClassEntry& a, const ClassEntry& b) {
  return a.label < b.label;
}

bool SameButForTime(const ClassEntry& a, const ClassEntry& b) {
  return a.name == b.name && a.prompt == b.prompt && a.kind == b.kind &&
         a.label == b.label && a.prototype_key == b.prototype_key &&
         a.support_key == b.support_key;
}

std::vector<ClassEntry>::iterator PlaceOf(uint16_t label,
                                          std::vector<ClassEntry>& classes) {
  ClassEntry probe;
  probe.label = label;
  return std::lower_bound(classes.begin(), classes.end(), probe, LabelIsLess);
}

void Replace(const ClassEntry& entry, std::vector<ClassEntry>& classes) {
  const auto place = PlaceOf(entry.label, classes);
  if (place != classes.end() && place->label == entry.label) {
    *place = entry;
  } else {
    classes.insert(place, entry);
  }
}

// Fills `delta` with what leads from `base` to `classes`.
void Differ(const std::vector<ClassEntry>& base,
            const std::vector<ClassEntry>& classes, VersionRecord& delta) {
  auto old = base.begin();
  for (const ClassEntry& entry : classes) {
    for (; old != base.end() && old->label < entry.label; ++old) {
      delta.removed_labels.push_back(old->label);
    }
    const bool is_old = old != base.end() && old->label == entry.label;
    if (!is_old || !SameButForTime(*old, entry) ||
        old->add_time != entry.add_time) {
      delta.classes.push_back(entry);
    }
    if (is_old) {
      ++old;
    }
  }
  for (; old != base.end(); ++old) {
    delta.removed_labels.push_back(old->label);
  }
}

}  // namespace

absl::StatusOr<std::vector<ClassEntry>> ClassesOf(const VersionRecord& delta,
                                                  const VersionRecord* base) {
  if (delta.base_version == 0) {
    return delta.classes;
  }
  if (base == nullptr || base->version != delta.base_version ||
      base->base_version != 0) {
    return absl::DataLossError(
        absl::StrCat("version ", delta.version, " needs whole version ",
                     delta.base_version, ", which is not there"));
  }
  const absl::flat_hash_set<uint16_t> removed(delta.removed_labels.begin(),
                                              delta.removed_labels.end());
  std::vector<ClassEntry> kept;
  kept.reserve(base->classes.size());
  std::copy_if(
      base->classes.begin(), base->classes.end(), std::back_inserter(kept),
      [&](const ClassEntry& entry) { return !removed.contains(entry.label); });
  for (const ClassEntry& entry : delta.classes) {
    Replace(entry, kept);
  }
  return kept;
}

VersionRecord MakeVersionRecord(const Vocabulary& vocabulary,
                                const VersionRecord* base) {
  VersionRecord record;
  record.id = vocabulary.id;
  record.version = vocabulary.version;
  record.create_time = vocabulary.create_time;
  if (base != nullptr) {
    record.base_version = base->version;
    Differ(base->classes, vocabulary.classes, record);
    // Whole versions of n entries every d changes cost n/d + d/2 entries a
    // change, least at d = sqrt(2n).
    const size_t changes = record.classes.size() + record.removed_labels.size();
    const size_t num_classes = vocabulary.classes.size();
    if (num_classes > kMaxAlwaysWhole && changes * changes <= 2 * num_classes) {
      return record;
    }
    record.base_version = 0;
    record.removed_labels.clear();
  }
  record.classes = vocabulary.classes;
  return record;
}

bool PutClasses(absl::Span<const ClassEntry> added,
                std::vector<ClassEntry>& classes) {
  bool changed = false;
  for (const ClassEntry& entry : added) {
    const auto place = PlaceOf(entry.label, classes);
    const bool is_same =
        place != classes.end() && SameButForTime(*place, entry);
    if (!is_same) {
      Replace(entry, classes);
      changed = true;
    }
  }
  return changed;
}

absl::Status TakeClasses(absl::Span<const std::string> names,
                         std::vector<ClassEntry>& classes) {
  absl::flat_hash_set<absl::string_view> present;
  for (const ClassEntry& entry : classes) {
    present.insert(entry.name);
  }
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (!present.contains(name)) {
      missing.push_back(absl::StrCat("'", name, "'"));
    }
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no class ", absl::StrJoin(missing, ", "), "; nothing was removed"));
  }
  const absl::flat_hash_set<absl::string_view> gone(names.begin(), names.end());
  classes.erase(std::remove_if(classes.begin(), classes.end(),
                               [&](const ClassEntry& entry) {
                                 return gone.contains(entry.name);
                               }),
                classes.end());
  return absl::OkStatus();
}

}  // namespace ovdiff::store
