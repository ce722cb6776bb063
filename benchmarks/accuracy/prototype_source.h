// PrototypeSource: a class's prototypes, painted once and kept.
#ifndef OVDIFF_BENCHMARKS_ACCURACY_PROTOTYPE_SOURCE_H_
#define OVDIFF_BENCHMARKS_ACCURACY_PROTOTYPE_SOURCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "benchmarks/accuracy/plan.h"
#include "engine/base/sha256.h"
#include "engine/engine.h"
#include "store/prototype_store.h"

namespace ovdiff::accuracy {

// Hash of the contents of all of them, in order. As ReadFile().
absl::StatusOr<Sha256Digest> DigestOf(absl::Span<const SupportFile> files);

// Keeps what it makes in a store, by content, as the server does: support
// pictures by (prompt, generator fingerprint), prototype sets by that and the
// encoder fingerprint. Thread-compatible.
class PrototypeSource {
 public:
  // Told, in words, what takes long.
  using Report = std::function<void(const std::string&)>;

  // Both must outlive this.
  PrototypeSource(engine::Engine& engine, store::PrototypeStore& store,
                  Report report)
      : engine_(engine), store_(store), report_(std::move(report)) {}

  // Painted. `painted_pictures`: as many as any variant wants; a support set of
  // fewer is the first of them, for picture i depends on the i-th draw alone
  // (GenerationOptions::seed). REQUIRES: >= options.generation.num_pictures.
  absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>> Painted(
      const std::string& prompt, const MethodOptions& options,
      int painted_pictures);

  // From files.
  absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>> FromFiles(
      const std::string& prompt, absl::Span<const SupportFile> files,
      const PrototypeOptions& options);

  // The pictures alone, from the store or painted.
  absl::StatusOr<SupportSet> SupportPictures(const std::string& prompt,
                                             const GenerationOptions& options);

 private:
  using MakeSupport = std::function<absl::StatusOr<SupportSet>()>;

  absl::StatusOr<std::shared_ptr<const engine::LoadedPrototypes>> Get(
      const std::string& prompt, const Sha256Digest& generator,
      const PrototypeOptions& options, const MakeSupport& make_support);

  engine::Engine& engine_;
  store::PrototypeStore& store_;
  const Report report_;
};

}  // namespace ovdiff::accuracy

#endif  // OVDIFF_BENCHMARKS_ACCURACY_PROTOTYPE_SOURCE_H_
