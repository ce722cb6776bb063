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

std::set<Sha256Digest> KnownEncoders(const engine::Engine& engine) {
  std::set<Sha256Digest> fingerprints;
  PrototypeOptions options = engine.info().prototype;
  fingerprints.insert(engine.EncoderFingerprint(options));
  for (options.num_parts = 1; options.num_parts <= 256; ++options.num_parts) {
    fingerprints.insert(engine.EncoderFingerprint(options));
  }
  return fingerprints;
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

// A failed read of a class's record, as callers of Segment should see it.
absl::Status ReadError(const store::ClassEntry& entry,
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

}  // namespace

VocabularyCache::VocabularyCache(engine::Engine& engine,
                                 const store::PrototypeStore& store,
                                 Metrics& metrics, int64_t max_bytes)
    : engine_(engine),
      store_(store),
      metrics_(metrics),
      max_bytes_(max_bytes),
      known_encoders_(KnownEncoders(engine)) {}

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
  MutexLock lock(&mutex_);
  VocabularyPtr& known = heads_[vocabulary->id.name];
  // Versions only rise, so a slow reader cannot bring an old head back.
  if (known == nullptr || known->version < vocabulary->version) {
    known = std::move(vocabulary);
  }
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
  for (const size_t i : missing) {
    OVDIFF_ASSIGN_OR_RETURN(loaded[i], LoadOne(*entries[i], control));
  }
  return loaded;
}

absl::StatusOr<LoadedClass> VocabularyCache::LoadOne(
    const store::ClassEntry& entry, const CallControl& control) {
  const store::ContentKey& key = entry.prototype_key;
  {
    MutexLock lock(&mutex_);
    while (true) {
      LoadedClass found;
      if (FindLoaded(key, found)) {
        return found;
      }
      OVDIFF_RETURN_IF_ERROR(control.Check());
      if (loading_.insert(key).second) {
        break;
      }
      loaded_.WaitUntil(&mutex_, absl::Now() + kPoll);
    }
  }
  absl::StatusOr<LoadedClass> loaded = ReadAndLoad(entry);
  MutexLock lock(&mutex_);
  loading_.erase(key);
  loaded_.SignalAll();
  if (loaded.ok()) {
    Insert(key, *loaded);
  }
  return loaded;
}

absl::StatusOr<LoadedClass> VocabularyCache::ReadAndLoad(
    const store::ClassEntry& entry) {
  const auto record = store_.GetPrototypeSet(entry.prototype_key);
  if (!record.ok()) {
    return ReadError(entry, record.status());
  }
  if (known_encoders_.count(record->encoder_fingerprint) == 0) {
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
