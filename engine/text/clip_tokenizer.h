// ClipTokenizer: CLIP's byte-level BPE, as transformers 5.23's CLIPTokenizer
// (fast) computes it; networks.md 1.8. No torch.
#ifndef OVDIFF_ENGINE_TEXT_CLIP_TOKENIZER_H_
#define OVDIFF_ENGINE_TEXT_CLIP_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ovdiff::engine {

// Immutable after Create: thread-safe. Does not throw.
class ClipTokenizer {
 public:
  // Reads vocab.json and merges.txt of a hub `tokenizer/` folder and, where
  // they are there, tokenizer_config.json and special_tokens_map.json (which
  // wins, as in transformers). kNotFound names a file that is missing,
  // kFailedPrecondition one that is malformed or does not fit the others.
  static absl::StatusOr<std::unique_ptr<const ClipTokenizer>> Create(
      const std::string& folder);

  // Ids without start and end. Special tokens written in the text become their
  // own ids, as in transformers. kInvalidArgument if `text` is not UTF-8.
  absl::StatusOr<std::vector<int64_t>> Encode(absl::string_view text) const;

  // Start, at most max_length - 2 ids (the rest is dropped), end, then padding:
  // exactly `max_length` ids. REQUIRES: max_length >= 2.
  absl::StatusOr<std::vector<int64_t>> EncodeForModel(absl::string_view text,
                                                      int64_t max_length,
                                                      int64_t pad_id) const;
  // The same with model_max_length() and pad_id().
  absl::StatusOr<std::vector<int64_t>> EncodeForModel(
      absl::string_view text) const {
    return EncodeForModel(text, model_max_length_, pad_id_);
  }

  int64_t start_id() const { return start_id_; }
  int64_t end_id() const { return end_id_; }
  int64_t pad_id() const { return pad_id_; }
  int64_t model_max_length() const { return model_max_length_; }
  // One more than the highest id.
  int64_t vocab_size() const { return vocab_size_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the merged symbol
  };
  // Names of the special tokens, from the files or CLIP's own.
  struct Specials {
    std::string start = "<|startoftext|>";
    std::string end = "<|endoftext|>";
    std::string unknown = "<|endoftext|>";
    std::string pad = "<|endoftext|>";
  };

  ClipTokenizer() = default;
  absl::Status ReadSpecials(const std::string& path, Specials* specials);
  absl::Status ReadVocabulary(const std::string& path);
  absl::Status ReadMerges(const std::string& path);
  absl::Status ResolveSpecials(const Specials& specials);
  void ResolveByteSymbols();
  // Appends the ids of `text`, which holds no special token.
  absl::Status EncodeOrdinary(absl::string_view text,
                              std::vector<int64_t>* ids) const;
  // Appends the ids of one word: byte symbols merged by rank.
  void EncodeWord(absl::string_view word, std::vector<int64_t>* ids) const;

  std::unordered_map<std::string, int32_t> vocabulary_;
  // (left id << 32 | right id) -> merge.
  std::unordered_map<uint64_t, Merge> merges_;
  // Id of each byte within a word and at its end; the unknown id where the
  // vocabulary lacks it.
  int32_t byte_ids_[256] = {};
  int32_t last_byte_ids_[256] = {};
  std::vector<std::pair<std::string, int64_t>> specials_;  // longest first
  int64_t start_id_ = 0;
  int64_t end_id_ = 0;
  int64_t unknown_id_ = 0;
  int64_t pad_id_ = 0;
  int64_t model_max_length_ = 77;
  int64_t vocab_size_ = 0;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_TEXT_CLIP_TOKENIZER_H_
