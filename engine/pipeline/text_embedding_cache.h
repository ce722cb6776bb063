// TextEmbeddingCache: embeddings of texts, least recently used first to go.
// Torch-free.
#ifndef OVDIFF_ENGINE_PIPELINE_TEXT_EMBEDDING_CACHE_H_
#define OVDIFF_ENGINE_PIPELINE_TEXT_EMBEDDING_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace ovdiff::engine {

using Embedding = std::vector<float>;  // of length one

// Thread-safe. An entry stays valid for whoever holds it after it was dropped.
class TextEmbeddingCache {
 public:
  // Holds embeddings and their texts of at most `max_bytes` together.
  explicit TextEmbeddingCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Null if it is not here.
  std::shared_ptr<const Embedding> Find(const std::string& text);
  void Insert(const std::string& text,
              std::shared_ptr<const Embedding> embedding);

  size_t size() const;  // entries

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const Embedding>>;
  static size_t BytesOf(const Entry& entry);

  const size_t max_bytes_;
  mutable absl::Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // latest used first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_
      ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_TEXT_EMBEDDING_CACHE_H_
