// PackExporter: a version of a vocabulary as a class pack, a piece at a time.
#ifndef OVDIFF_STORE_PACK_PACK_EXPORTER_H_
#define OVDIFF_STORE_PACK_PACK_EXPORTER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/pack/pack_format.h"
#include "store/prototype_store.h"

namespace ovdiff::store {

struct ExportOptions {
  bool pictures = false;  // Support sets too, of the classes that have them.
  // For the manifest; see there. At most kMaxPromptBytes each.
  std::string program;
  std::string bundle;
  std::string bundle_license;
  std::string license;
};

// Holds one record at a time. The bytes follow from the store's content and the
// options alone: the same version is the same file. Thread-compatible.
class PackExporter {
 public:
  // REQUIRES: `vocabulary` (of `store`, which outlives this) has a class.
  PackExporter(const PrototypeStore& store, const Vocabulary& vocabulary,
               const ExportOptions& options);

  // The next bytes of the file; empty: it is whole. Then, and after an error,
  // it is over. Errors name the class:
  //   kDataLoss            a record is damaged: no pack is made of it
  //   kFailedPrecondition  a record is missing
  absl::StatusOr<std::string> Next();

 private:
  // A record to be read when its turn comes.
  struct Step {
    size_t class_index = 0;
    bool is_support = false;
  };

  absl::StatusOr<std::string> Begin();
  absl::StatusOr<std::string> ReadRecord(const Step& step) const;
  std::string End();
  std::string Hashed(std::string bytes);

  const PrototypeStore& store_;
  const ExportOptions options_;
  PackManifest manifest_;
  std::vector<Step> steps_;
  size_t next_step_ = 0;
  bool has_begun_ = false;
  bool is_over_ = false;
  Sha256 hash_;
  uint64_t num_bytes_ = 0;
};

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_PACK_PACK_EXPORTER_H_
