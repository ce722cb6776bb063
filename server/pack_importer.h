// PackImporter: from a class pack on disk to a new version of a vocabulary.
#ifndef OVDIFF_SERVER_PACK_IMPORTER_H_
#define OVDIFF_SERVER_PACK_IMPORTER_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/call_control.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/pack_spool.h"
#include "server/server_options.h"
#include "server/vocabulary_cache.h"
#include "store/pack/import_plan.h"
#include "store/pack/pack_reader.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. Blocks on the disk, the store and the device.
class PackImporter {
 public:
  // REQUIRES: engine, store and cache outlive it. With `trusted_keys`, packs
  // that none of them signed are refused, whatever the caller says.
  PackImporter(engine::Engine& engine, store::PrototypeStore& store,
               VocabularyCache& cache, const Limits& limits,
               std::vector<store::Ed25519PublicKey> trusted_keys);

  // What can be said before the pack is there. kInvalidArgument.
  absl::Status Validate(const v1::ImportConfig& config) const;

  // Reads all of the pack and checks it; then stores its sets, which nobody
  // sees yet; then publishes all classes at once. Sets that were stored when it
  // fails halfway stay, unnamed, and make the next try shorter. Fails as
  // ImportVocabulary says. A class that another call changes between the last
  // look at the vocabulary and the publish is replaced.
  // REQUIRES: Validate().
  absl::StatusOr<v1::ImportVocabularyResponse> Import(
      const v1::ImportConfig& config, const PackSpool& pack,
      const CallControl& control);

 private:
  // One import on its way.
  struct Work {
    const v1::ImportConfig& config;
    const PackSpool& spool;
    const CallControl& control;
    store::VocabularyId vocabulary;
    store::VerifiedPack pack;
    // Of the pack's classes, in their order: what is to be published, whether
    // its pictures are encoded for that, and what becomes of it.
    std::vector<store::NewClass> classes;
    std::vector<bool> reencode;
    std::vector<store::ImportOutcome> outcomes;
  };

  absl::Status Verify(Work& work) const;
  absl::Status CheckSignature(const Work& work) const;
  absl::Status CheckRecord(const store::PackItem& item) const;
  // Fills classes and reencode.
  absl::Status ChooseSets(Work& work) const;
  absl::Status CheckNames(const Work& work);
  // Fills outcomes; the head, or null if there is no such vocabulary.
  absl::StatusOr<VocabularyCache::VocabularyPtr> Plan(Work& work);
  absl::StatusOr<VocabularyCache::VocabularyPtr> Head(
      const store::VocabularyId& id);
  absl::Status StoreSets(const Work& work);
  absl::Status StoreItem(const Work& work, const store::PackItem& item,
                         const std::set<store::ContentKey>& wanted,
                         const std::set<store::ContentKey>& to_encode);
  absl::Status Encode(const Work& work, const store::SupportRecord& pictures);
  v1::ImportVocabularyResponse Describe(const Work& work,
                                        const store::Vocabulary* head) const;

  engine::Engine& engine_;
  store::PrototypeStore& store_;
  VocabularyCache& cache_;
  const Limits limits_;
  const std::vector<store::Ed25519PublicKey> trusted_keys_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PACK_IMPORTER_H_
