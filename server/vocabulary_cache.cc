#include "server/vocabulary_cache.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

// Pinned old versions that are kept; heads are always kept.
constexpr size_t kMaxVersions = 256;
// How often a wait for another thread's load looks at its own deadline.
constexpr absl::Duration kPoll = absl::Milliseconds(20);
// Sets read from the store at once: 74 MB of Stable Diffusion 1.5's size.
constexpr size_t kSetsPerRead = 16;

std::string NetworksOf(const Sha256Digest& encoder) {
  return {encoder.begin(), encoder.begin() + engine::kNetworkBytes};
}

// What names the networks in the fingerprints of sets in any of the spaces.
std::set<std::string> KnownNetworks(const engine::Engine& engine) {
  std::set<std::string> networks;
  const std::vector<std::string>& spaces = engine.info().spaces;
  PrototypeOptions options = engine.info().prototype;
  for (size_t bits = 1; bits < size_t{1} << spaces.size(); ++bits) {
    options.spaces.clear();
    for (size_t i = 0; i < spaces.size(); ++i) {
      if ((bits >> i & 1) != 0) {
        options.spaces.push_back(spaces[i]);
      }
    }
    networks.insert(NetworksOf(engine.EncoderFingerprint(options)));
  }
  return networks;
}

absl::Status StaleError(const store::ClassEntry& entry,
                        absl::string_view detail) {
  return PreconditionError(
      entry.name,
      absl::StrCat("class ", Quoted(entry.name),
                   " was built by other encoders than this server's (", detail,
                   "); add it again to rebuild it"),
      reasons::kPrototypeStale);
}

}  // namespace

absl::Status PrototypeReadError(const store::ClassEntry& entry,
                                const absl::Status& status) {
  const std::string subject = absl::StrCat("class ", Quoted(entry.name));
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return PreconditionError(
          entry.name,
          absl::StrCat(subject,
                       " has no prototypes in the store; add it again"),
          reasons::kPrototypeMissing);
    case absl::StatusCode::kDataLoss:
      return ResourceError(
          absl::StatusCode::kDataLoss, "ovdiff.v1.Class", entry.name,
          absl::StrCat(subject, ": its stored prototypes are damaged: ",
                       status.message()),
          reasons::kPrototypeDamaged);
    default:
      return WithPrefix(status, subject);
  }
}

VocabularyCache::VocabularyCache(engine::Engine& engine,
                                 const store::PrototypeStore& store,
                                 Metrics& metrics, int64_t max_bytes)
    : engine_(engine),
      store_(store),
      metrics_(metrics),
      max_bytes_(max_bytes),
      known_networks_(KnownNetworks(engine)) {}

absl::StatusOr<VocabularyCache::VocabularyPtr> VocabularyCache::GetVocabulary(
    const std::string& name, int64_t version) {
  {
    MutexLock lock(&mutex_);
    const auto head = heads_.find(name);
    if (head != heads_.end() &&
        (version == 0 || head->second->version == version)) {
      return head->second;
    }
    const auto pinned = versions_.find({name, version});
    if (pinned != versions_.end()) {
      return pinned->second;
    }
  }
  auto read = store_.GetVocabulary({.name = name}, version);
  if (absl::IsNotFound(read.status())) {
    return ResourceError(absl::StatusCode::kNotFound, "ovdiff.v1.Vocabulary",
                         name, read.status().message(),
                         reasons::kVocabularyNotFound);
  }
  if (!read.ok()) {
    return WithPrefix(read.status(), absl::StrCat("vocabulary ", Quoted(name)));
  }
  if (version == 0) {
    HeadChanged(*std::move(read));
    return GetVocabulary(name, 0);
  }
  auto vocabulary = std::make_shared<const store::Vocabulary>(*std::move(read));
  MutexLock lock(&mutex_);
  if (versions_.size() >= kMaxVersions) {
    versions_.erase(versions_.begin());
  }
  versions_[{name, version}] = vocabulary;
  return vocabulary;
}

void VocabularyCache::HeadChanged(store::Vocabulary head) {
  auto vocabulary = std::make_shared<const store::Vocabulary>(std::move(head));
  Entries added;
  {
    MutexLock lock(&mutex_);
    const auto known = heads_.find(vocabulary->id.name);
    if (known != heads_.end()) {
      added = NewEntries(*known->second, *vocabulary);
    }
  }
  if (!added.empty()) {
    // What cannot be loaded is an error of the Segment that asks for it.
    Load(added, CallControl()).status().IgnoreError();
  }
  MutexLock lock(&mutex_);
  VocabularyPtr& known = heads_[vocabulary->id.name];
  // Versions only rise, so a slow reader cannot bring an old head back.
  if (known == nullptr || known->version < vocabulary->version) {
    known = std::move(vocabulary);
  }
}

bool VocabularyCache::IsKnownEncoder(const Sha256Digest& fingerprint) const {
  return known_networks_.count(NetworksOf(fingerprint)) > 0;
}

void VocabularyCache::ForgetVersions() {
  MutexLock lock(&mutex_);
  versions_.clear();
}

VocabularyCache::Entries VocabularyCache::NewEntries(
    const store::Vocabulary& known, const store::Vocabulary& head) {
  std::set<store::ContentKey> old;
  bool is_in_use = false;
  for (const store::ClassEntry& entry : known.classes) {
    old.insert(entry.prototype_key);
    is_in_use = is_in_use || entries_.count(entry.prototype_key) > 0;
  }
  Entries added;
  for (const store::ClassEntry& entry : head.classes) {
    if (is_in_use && old.count(entry.prototype_key) == 0) {
      added.push_back(&entry);
    }
  }
  return added;
}

bool VocabularyCache::FindLoaded(const store::ContentKey& key,
                                 LoadedClass& out) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    return false;
  }
  uses_.splice(uses_.begin(), uses_, it->second.use);
  out = it->second.loaded;
  return true;
}

absl::StatusOr<std::vector<LoadedClass>> VocabularyCache::Load(
    absl::Span<const store::ClassEntry* const> entries,
    const CallControl& control) {
  std::vector<LoadedClass> loaded(entries.size());
  std::vector<size_t> missing;
  {
    MutexLock lock(&mutex_);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!FindLoaded(entries[i]->prototype_key, loaded[i])) {
        missing.push_back(i);
      }
    }
  }
  if (missing.empty()) {
    metrics_.PrototypeHit("device");
    return loaded;
  }
  metrics_.PrototypeMiss("device");
  while (!missing.empty()) {
    // Claims some, and takes what others have loaded meanwhile.
    Entries claimed;
    std::vector<size_t> places;
    std::vector<size_t> rest;
    {
      MutexLock lock(&mutex_);
      for (const size_t i : missing) {
        const store::ContentKey& key = entries[i]->prototype_key;
        if (FindLoaded(key, loaded[i])) {
          continue;
        }
        if (claimed.size() < kSetsPerRead && loading_.insert(key).second) {
          claimed.push_back(entries[i]);
          places.push_back(i);
        } else {
          rest.push_back(i);
        }
      }
      if (claimed.empty() && !rest.empty()) {
        OVDIFF_RETURN_IF_ERROR(control.Check());
        loaded_.WaitUntil(&mutex_, absl::Now() + kPoll);
      }
    }
    std::vector<absl::StatusOr<LoadedClass>> results = LoadClaimed(claimed);
    for (size_t i = 0; i < results.size(); ++i) {
      OVDIFF_ASSIGN_OR_RETURN(loaded[places[i]], std::move(results[i]));
    }
    OVDIFF_RETURN_IF_ERROR(control.Check());
    missing = std::move(rest);
  }
  return loaded;
}

std::vector<absl::StatusOr<LoadedClass>> VocabularyCache::LoadClaimed(
    const Entries& entries) {
  std::vector<absl::StatusOr<LoadedClass>> results;
  if (entries.empty()) {
    return results;
  }
  std::vector<store::ContentKey> keys;
  for (const store::ClassEntry* entry : entries) {
    keys.push_back(entry->prototype_key);
  }
  const auto records = store_.GetPrototypeSets(keys);
  for (size_t i = 0; i < entries.size(); ++i) {
    results.push_back(LoadRecord(*entries[i], records[i]));
  }
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < entries.size(); ++i) {
    loading_.erase(keys[i]);
    if (results[i].ok()) {
      Insert(keys[i], *results[i]);
    }
  }
  loaded_.SignalAll();
  return results;
}

absl::StatusOr<LoadedClass> VocabularyCache::LoadRecord(
    const store::ClassEntry& entry,
    const absl::StatusOr<store::PrototypeRecord>& record) {
  if (!record.ok()) {
    return PrototypeReadError(entry, record.status());
  }
  if (!IsKnownEncoder(record->encoder_fingerprint)) {
    return StaleError(
        entry, absl::StrCat("encoder fingerprint ",
                            ToHex(record->encoder_fingerprint).substr(0, 12)));
  }
  auto prototypes = engine_.LoadPrototypes(record->set);
  if (absl::IsFailedPrecondition(prototypes.status())) {
    return StaleError(entry, prototypes.status().message());
  }
  if (!prototypes.ok()) {
    return WithPrefix(prototypes.status(),
                      absl::StrCat("class ", Quoted(entry.name)));
  }
  return LoadedClass{*std::move(prototypes), record->generator_fingerprint,
                     record->encoder_fingerprint};
}

void VocabularyCache::Insert(const store::ContentKey& key,
                             const LoadedClass& loaded) {
  const int64_t bytes = loaded.prototypes->size_bytes();
  if (bytes > max_bytes_ || entries_.count(key) > 0) {
    return;
  }
  while (bytes_ + bytes > max_bytes_ && !uses_.empty()) {
    const auto oldest = entries_.find(uses_.back());
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
    uses_.pop_back();
  }
  uses_.push_front(key);
  entries_[key] = CacheEntry{loaded, bytes, uses_.begin()};
  bytes_ += bytes;
  metrics_.SetPrototypeCacheBytes(bytes_);
}

}  // namespace ovdiff::server
