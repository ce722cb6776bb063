// VocabularyCache: versions of vocabularies and prototypes loaded on the
// device, so that Segment reads the store once per class and not once per
// picture.
#ifndef OVDIFF_SERVER_VOCABULARY_CACHE_H_
#define OVDIFF_SERVER_VOCABULARY_CACHE_H_

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "engine/engine.h"
#include "server/metrics.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Prototypes of one class, on the device, and what made them.
struct LoadedClass {
  std::shared_ptr<const engine::LoadedPrototypes> prototypes;
  Sha256Digest generator_fingerprint{};
  Sha256Digest encoder_fingerprint{};
};

// A failed read of a class's prototype set, as callers should see it: as
// VocabularyCache::Load().
absl::Status PrototypeReadError(const store::ClassEntry& entry,
                                const absl::Status& status);

// Thread-safe. Blocks on the store and the device: never on a gRPC thread.
class VocabularyCache {
 public:
  // REQUIRES: all three outlive it. Keeps `max_bytes` of loaded prototypes
  // beyond those that calls hold.
  VocabularyCache(engine::Engine& engine, const store::PrototypeStore& store,
                  Metrics& metrics, int64_t max_bytes);

  using VocabularyPtr = std::shared_ptr<const store::Vocabulary>;

  // version 0: the newest. kNotFound with ResourceInfo names the vocabulary.
  absl::StatusOr<VocabularyPtr> GetVocabulary(const std::string& name,
                                              int64_t version);

  // To be called with each head that a write to the store returned. If the
  // vocabulary is in use, its new classes are loaded before anybody gets the
  // new head: the switch costs no Segment anything.
  void HeadChanged(store::Vocabulary head);

  // To be called when versions may have left the store. Loaded prototypes stay.
  void ForgetVersions();

  // Whether this bundle's encoders made such a set, under whatever options.
  bool IsKnownEncoder(const Sha256Digest& fingerprint) const;

  // The classes' prototypes in the order of `entries`. What is missing is read
  // some sets at a time; one thread loads a key, the others wait for it. Errors
  // name the class:
  //   kFailedPrecondition  its record is missing (PROTOTYPE_MISSING) or was
  //   made
  //                        by other encoders (PROTOTYPE_STALE)
  //   kDataLoss            its record is damaged (PROTOTYPE_DAMAGED)
  //   as `control`
  absl::StatusOr<std::vector<LoadedClass>> Load(
      absl::Span<const store::ClassEntry* const> entries,
      const CallControl& control);

 private:
  struct CacheEntry {
    LoadedClass loaded;
    int64_t bytes = 0;
    std::list<store::ContentKey>::iterator use;  // In uses_.
  };

  // The key's prototypes if they are here; marks them used.
  bool FindLoaded(const store::ContentKey& key, LoadedClass& out)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using Entries = std::vector<const store::ClassEntry*>;

  // Loads `entries`, which this thread has claimed in loading_, and gives the
  // claims back.
  std::vector<absl::StatusOr<LoadedClass>> LoadClaimed(const Entries& entries);
  absl::StatusOr<LoadedClass> LoadRecord(
      const store::ClassEntry& entry,
      const absl::StatusOr<store::PrototypeRecord>& record);
  // What `head` has and `known` has not, if `known` is in use.
  Entries NewEntries(const store::Vocabulary& known,
                     const store::Vocabulary& head)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Insert(const store::ContentKey& key, const LoadedClass& loaded)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  engine::Engine& engine_;
  const store::PrototypeStore& store_;
  Metrics& metrics_;
  const int64_t max_bytes_;
  // What this bundle's encoders can have made: one per legal num_parts, the
  // only encoder option that a request can set.
  const std::set<std::string> known_networks_;

  Mutex mutex_;
  CondVar loaded_;  // A load ended.
  absl::flat_hash_map<std::string, VocabularyPtr> heads_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, int64_t>, VocabularyPtr> versions_
      ABSL_GUARDED_BY(mutex_);
  std::map<store::ContentKey, CacheEntry> entries_ ABSL_GUARDED_BY(mutex_);
  std::list<store::ContentKey> uses_ ABSL_GUARDED_BY(mutex_);  // Latest first.
  std::set<store::ContentKey> loading_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_VOCABULARY_CACHE_H_
