#include "store/pack/vocabulary_diff.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "engine/base/status_macros.h"

namespace ovdiff::store {
namespace {

// Foreground vectors of the changed classes that are held at once.
constexpr size_t kBlockBytes = size_t{256} << 20;

// The foreground of a class in one space, each vector of length 1.
struct UnitSpace {
  std::string name;
  int32_t dim = 0;
  std::vector<float> values;  // [count, dim]

  size_t count() const { return values.size() / static_cast<size_t>(dim); }
};
using Foreground = std::vector<UnitSpace>;

bool IsSameContent(const ClassEntry& a, const ClassEntry& b) {
  return a.prompt == b.prompt && a.kind == b.kind &&
         a.prototype_key == b.prototype_key;
}

// Eight sums, so that the compiler may use vector registers.
float Dot(const float* a, const float* b, int32_t dim) {
  std::array<float, 8> sums{};
  int32_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (int32_t lane = 0; lane < 8; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  float total = 0;
  for (const float sum : sums) {
    total += sum;
  }
  for (; i < dim; ++i) {
    total += a[i] * b[i];
  }
  return total;
}

void Normalize(float* vector, int32_t dim) {
  const float length = std::sqrt(Dot(vector, vector, dim));
  for (int32_t i = 0; i < dim && length > 0; ++i) {
    vector[i] /= length;
  }
}

Foreground ForegroundOf(const PrototypeSet& set) {
  Foreground foreground;
  for (const FeatureSpacePrototypes& space : set.spaces) {
    UnitSpace unit{space.space, space.dim, space.foreground.values};
    for (size_t i = 0; i < unit.count(); ++i) {
      Normalize(&unit.values[i * static_cast<size_t>(unit.dim)], unit.dim);
    }
    foreground.push_back(std::move(unit));
  }
  return foreground;
}

// The mean foreground vector of class level; of all levels if it has none.
std::vector<float> MeanOf(const FeatureSpacePrototypes& space) {
  const PrototypeVectors& vectors = space.foreground;
  const bool has_class_level =
      std::count(vectors.levels.begin(), vectors.levels.end(),
                 PrototypeLevel::kClass) > 0;
  std::vector<float> mean(static_cast<size_t>(space.dim));
  for (size_t i = 0; i < vectors.count(); ++i) {
    if (!has_class_level || vectors.levels[i] == PrototypeLevel::kClass) {
      for (size_t j = 0; j < mean.size(); ++j) {
        mean[j] += vectors.values[i * mean.size() + j];
      }
    }
  }
  return mean;  // The sum: a cosine does not care.
}

std::vector<SpaceDrift> DriftOf(const PrototypeSet& before,
                                const PrototypeSet& after) {
  std::vector<SpaceDrift> drift;
  for (const FeatureSpacePrototypes& old_space : before.spaces) {
    for (const FeatureSpacePrototypes& new_space : after.spaces) {
      if (old_space.space == new_space.space &&
          old_space.dim == new_space.dim) {
        std::vector<float> a = MeanOf(old_space);
        std::vector<float> b = MeanOf(new_space);
        Normalize(a.data(), old_space.dim);
        Normalize(b.data(), new_space.dim);
        drift.push_back(
            {old_space.space, Dot(a.data(), b.data(), old_space.dim)});
      }
    }
  }
  return drift;
}

double Operations(const Foreground& a, const Foreground& b) {
  double operations = 0;
  for (const UnitSpace& x : a) {
    for (const UnitSpace& y : b) {
      if (x.name == y.name && x.dim == y.dim) {
        operations += static_cast<double>(x.count()) *
                      static_cast<double>(y.values.size());
      }
    }
  }
  return operations;
}

// Mean over the shared spaces of the best cosine; none if no space is shared.
std::optional<double> Similarity(const Foreground& a, const Foreground& b) {
  double sum = 0;
  int num_shared = 0;
  for (const UnitSpace& x : a) {
    for (const UnitSpace& y : b) {
      if (x.name != y.name || x.dim != y.dim) {
        continue;
      }
      float best = -1.0f;
      for (size_t i = 0; i < x.values.size(); i += x.dim) {
        for (size_t j = 0; j < y.values.size(); j += y.dim) {
          best = std::max(best, Dot(&x.values[i], &y.values[j], x.dim));
        }
      }
      sum += best;
      ++num_shared;
    }
  }
  return num_shared == 0 ? std::nullopt
                         : std::optional<double>(sum / num_shared);
}

// One diff at work.
class Differ {
 public:
  Differ(const PrototypeStore& store, const DiffOptions& options,
         const CallControl& control)
      : store_(store), options_(options), control_(control) {}

  absl::StatusOr<VocabularyDiff> Run(const Vocabulary& from,
                                     const Vocabulary& to) {
    for (const ClassEntry& entry : from.classes) {
      before_[entry.name] = &entry;
    }
    for (const ClassEntry& entry : to.classes) {
      after_[entry.name] = &entry;
    }
    OVDIFF_RETURN_IF_ERROR(CompareClasses());
    OVDIFF_RETURN_IF_ERROR(ComparePairs());
    std::sort(diff_.newly_confusable.begin(), diff_.newly_confusable.end(),
              [](const ConfusablePair& a, const ConfusablePair& b) {
                return std::tie(a.first, a.second) <
                       std::tie(b.first, b.second);
              });
    for (auto& [name, status] : unreadable_) {
      diff_.unreadable.emplace_back(name, status);
    }
    return std::move(diff_);
  }

 private:
  using Entries = std::map<std::string, const ClassEntry*>;
  using Block = std::vector<std::pair<std::string, Foreground>>;

  // nullopt: the set cannot be read, which is noted.
  absl::StatusOr<std::optional<PrototypeRecord>> Read(const ClassEntry& entry) {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    auto record = store_.GetPrototypeSet(entry.prototype_key);
    if (absl::IsNotFound(record.status()) ||
        absl::IsDataLoss(record.status())) {
      unreadable_.emplace(entry.name, record.status());
      return std::optional<PrototypeRecord>();
    }
    OVDIFF_RETURN_IF_ERROR(record.status());
    return std::optional<PrototypeRecord>(*std::move(record));
  }

  absl::Status CompareClasses() {
    for (const auto& [name, entry] : before_) {
      if (after_.count(name) == 0) {
        diff_.removed.push_back(*entry);
      }
    }
    for (const auto& [name, entry] : after_) {
      const auto old = before_.find(name);
      if (old == before_.end()) {
        diff_.added.push_back(*entry);
        touched_.insert(name);
      } else if (IsSameContent(*old->second, *entry)) {
        ++diff_.num_unchanged;
      } else {
        touched_.insert(name);
        OVDIFF_RETURN_IF_ERROR(AddChanged(*old->second, *entry));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddChanged(const ClassEntry& before, const ClassEntry& after) {
    ChangedClass& changed = diff_.changed.emplace_back();
    changed.before = before;
    changed.after = after;
    OVDIFF_ASSIGN_OR_RETURN(const auto old_record, Read(before));
    OVDIFF_ASSIGN_OR_RETURN(const auto new_record, Read(after));
    if (old_record.has_value() && new_record.has_value()) {
      changed.is_other_generator = old_record->generator_fingerprint !=
                                   new_record->generator_fingerprint;
      changed.is_other_encoder =
          old_record->encoder_fingerprint != new_record->encoder_fingerprint;
      changed.drift = DriftOf(old_record->set, new_record->set);
    }
    return absl::OkStatus();
  }

  // Only a pair with an added or changed class can have become confusable.
  absl::Status ComparePairs() {
    auto next = touched_.begin();
    while (next != touched_.end()) {
      Block block;
      size_t bytes = 0;
      for (; next != touched_.end() && bytes < kBlockBytes; ++next) {
        OVDIFF_ASSIGN_OR_RETURN(const auto record, Read(*after_.at(*next)));
        if (!record.has_value()) {
          LeaveOut(*next);
          continue;
        }
        block.emplace_back(*next, ForegroundOf(record->set));
        for (const UnitSpace& space : block.back().second) {
          bytes += space.values.size() * sizeof(float);
        }
      }
      OVDIFF_RETURN_IF_ERROR(CompareBlock(block));
    }
    return absl::OkStatus();
  }

  // Whether the pair is `name`'s to compare: of two touched classes it is the
  // first one's.
  bool IsMine(const std::string& name, const std::string& other) const {
    return name != other && (touched_.count(other) == 0 || name < other);
  }

  void LeaveOut(const std::string& name) {
    for (const auto& [other, entry] : after_) {
      diff_.num_pairs_left_out += IsMine(name, other) ? 1 : 0;
    }
  }

  absl::Status CompareBlock(const Block& block) {
    for (const auto& [other, entry] : after_) {
      const int64_t num_pairs = std::count_if(
          block.begin(), block.end(),
          [&](const auto& one) { return IsMine(one.first, other); });
      if (num_pairs == 0) {
        continue;
      }
      if (operations_ >= options_.max_operations) {
        diff_.num_pairs_left_out += num_pairs;
        continue;
      }
      OVDIFF_ASSIGN_OR_RETURN(const auto record, Read(*entry));
      if (!record.has_value()) {
        diff_.num_pairs_left_out += num_pairs;
        continue;
      }
      const Foreground foreground = ForegroundOf(record->set);
      for (const auto& [name, mine] : block) {
        if (IsMine(name, other)) {
          OVDIFF_RETURN_IF_ERROR(ComparePair(name, mine, other, foreground));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status ComparePair(const std::string& a, const Foreground& a_vectors,
                           const std::string& b, const Foreground& b_vectors) {
    OVDIFF_RETURN_IF_ERROR(control_.Check());
    operations_ += Operations(a_vectors, b_vectors);
    if (operations_ >= options_.max_operations) {
      ++diff_.num_pairs_left_out;
      return absl::OkStatus();
    }
    const std::optional<double> cosine = Similarity(a_vectors, b_vectors);
    if (!cosine.has_value() || *cosine < options_.confusable_threshold) {
      return absl::OkStatus();
    }
    ConfusablePair pair{std::min(a, b), std::max(a, b), *cosine, std::nullopt};
    const auto old_a = before_.find(a);
    const auto old_b = before_.find(b);
    if (old_a != before_.end() && old_b != before_.end()) {
      OVDIFF_ASSIGN_OR_RETURN(const auto record_a, Read(*old_a->second));
      OVDIFF_ASSIGN_OR_RETURN(const auto record_b, Read(*old_b->second));
      if (record_a.has_value() && record_b.has_value()) {
        pair.cosine_before = Similarity(ForegroundOf(record_a->set),
                                        ForegroundOf(record_b->set));
      }
    }
    if (!pair.cosine_before.has_value() ||
        *pair.cosine_before < options_.confusable_threshold) {
      diff_.newly_confusable.push_back(std::move(pair));
    }
    return absl::OkStatus();
  }

  const PrototypeStore& store_;
  const DiffOptions& options_;
  const CallControl& control_;
  Entries before_;
  Entries after_;
  std::set<std::string> touched_;  // Added or changed.
  std::map<std::string, absl::Status> unreadable_;
  double operations_ = 0;
  VocabularyDiff diff_;
};

}  // namespace

absl::StatusOr<VocabularyDiff> DiffVocabularies(const PrototypeStore& store,
                                                const Vocabulary& from,
                                                const Vocabulary& to,
                                                const DiffOptions& options,
                                                const CallControl& control) {
  return Differ(store, options, control).Run(from, to);
}

}  // namespace ovdiff::store
