#include "engine/pipeline/text_embedding_cache.h"

namespace ovdiff::engine {

// The text stands in the list and in the index; the rest is what list, index
// and allocator spend on an entry, roughly.
size_t TextEmbeddingCache::BytesOf(const Entry& entry) {
  constexpr size_t kOverhead = 200;
  return 2 * entry.first.size() + entry.second->size() * sizeof(float) +
         kOverhead;
}

std::shared_ptr<const Embedding> TextEmbeddingCache::Find(
    const std::string& text) {
  absl::MutexLock lock(&mutex_);
  const auto found = index_.find(text);
  if (found == index_.end()) {
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void TextEmbeddingCache::Insert(const std::string& text,
                                std::shared_ptr<const Embedding> embedding) {
  absl::MutexLock lock(&mutex_);
  if (index_.contains(text)) {
    return;
  }
  entries_.emplace_front(text, std::move(embedding));
  index_[text] = entries_.begin();
  bytes_ += BytesOf(entries_.front());
  while (bytes_ > max_bytes_ && entries_.size() > 1) {
    bytes_ -= BytesOf(entries_.back());
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }
}

size_t TextEmbeddingCache::size() const {
  absl::MutexLock lock(&mutex_);
  return entries_.size();
}

}  // namespace ovdiff::engine
