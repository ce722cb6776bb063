#include "engine/text/clip_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <queue>
#include <set>
#include <system_error>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"
#include "engine/text/prompt_text.h"
#include "nlohmann/json.hpp"

namespace ovdiff::engine {
namespace {

using nlohmann::json;

// CLIP's vocabulary is 1 MB; no tokenizer file of its kind comes near this.
constexpr size_t kMaxFileBytes = size_t{32} << 20;
constexpr absl::string_view kWordEnd = "</w>";

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("no file ", path));
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > kMaxFileBytes) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is not a regular file of at most ", kMaxFileBytes, " bytes"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(size), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file || static_cast<size_t>(file.gcount()) != text.size()) {
    return absl::FailedPreconditionError(absl::StrCat("cannot read ", path));
  }
  return text;
}

absl::StatusOr<json> ReadObject(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a JSON object"));
  }
  return parsed;
}

// The printable character that stands for a byte in the vocabulary: itself
// where it is printable in Latin-1, else 256, 257, … in order.
std::vector<std::string> ByteSymbols() {
  const auto is_kept = [](int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
  };
  std::vector<std::string> symbols;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const int value = is_kept(byte) ? byte : next++;
    std::string symbol;
    if (value < 0x80) {
      symbol.push_back(static_cast<char>(value));
    } else {  // all are below 0x800: two bytes of UTF-8
      symbol.push_back(static_cast<char>(0xC0 | (value >> 6)));
      symbol.push_back(static_cast<char>(0x80 | (value & 0x3F)));
    }
    symbols.push_back(std::move(symbol));
  }
  return symbols;
}

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 |
         static_cast<uint32_t>(right);
}

// A special token is written as a string or as {"content": string, …}.
absl::Status ReadSpecial(const json& config, const std::string& path,
                         const char* key, std::string* name) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) {
    return absl::OkStatus();
  }
  const json& value = found->is_object() && found->contains("content")
                          ? (*found)["content"]
                          : *found;
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": '", key, "' is not the text of a token"));
  }
  *name = value.get<std::string>();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const ClipTokenizer>> ClipTokenizer::Create(
    const std::string& folder) {
  std::unique_ptr<ClipTokenizer> tokenizer(new ClipTokenizer());
  Specials specials;
  for (const char* name :
       {"tokenizer_config.json", "special_tokens_map.json"}) {
    OVDIFF_RETURN_IF_ERROR(
        tokenizer->ReadSpecials(absl::StrCat(folder, "/", name), &specials));
  }
  OVDIFF_RETURN_IF_ERROR(
      tokenizer->ReadVocabulary(absl::StrCat(folder, "/vocab.json")));
  OVDIFF_RETURN_IF_ERROR(
      tokenizer->ReadMerges(absl::StrCat(folder, "/merges.txt")));
  const absl::Status resolved = tokenizer->ResolveSpecials(specials);
  if (!resolved.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, ": ", resolved.message()));
  }
  tokenizer->ResolveByteSymbols();
  return std::unique_ptr<const ClipTokenizer>(std::move(tokenizer));
}

absl::Status ClipTokenizer::ReadSpecials(const std::string& path,
                                         Specials* specials) {
  absl::StatusOr<json> config = ReadObject(path);
  if (absl::IsNotFound(config.status())) {
    return absl::OkStatus();
  }
  OVDIFF_RETURN_IF_ERROR(config.status());
  for (const auto& [key, name] : {std::pair{"bos_token", &specials->start},
                                  std::pair{"eos_token", &specials->end},
                                  std::pair{"unk_token", &specials->unknown},
                                  std::pair{"pad_token", &specials->pad}}) {
    OVDIFF_RETURN_IF_ERROR(ReadSpecial(*config, path, key, name));
  }
  const auto length = config->find("model_max_length");
  // Some writers put 1e30 for "no limit": then CLIP's own 77 stays.
  if (length != config->end() && length->is_number_unsigned() &&
      length->get<uint64_t>() >= 2 && length->get<uint64_t>() <= 1 << 16) {
    model_max_length_ = length->get<int64_t>();
  }
  return absl::OkStatus();
}

absl::Status ClipTokenizer::ReadVocabulary(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const json vocabulary, ReadObject(path));
  std::set<int32_t> ids;
  for (const auto& [token, value] : vocabulary.items()) {
    if (!value.is_number_unsigned() ||
        value.get<uint64_t>() > std::numeric_limits<int32_t>::max() - 1) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": the id of '", token, "' is ", value.dump(),
                       ", not a non-negative 32-bit integer"));
    }
    const auto id = value.get<int32_t>();
    if (!ids.insert(id).second) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": the id ", id, " is given twice"));
    }
    vocabulary_.emplace(token, id);
    vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{id} + 1);
  }
  return absl::OkStatus();
}

absl::Status ClipTokenizer::ReadMerges(const std::string& path) {
  OVDIFF_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  int32_t rank = 0;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    absl::ConsumeSuffix(&line, "\r");
    if (line.empty() || (line_number == 1 && absl::StartsWith(line, "#"))) {
      continue;
    }
    const std::vector<std::string> parts = absl::StrSplit(line, ' ');
    const auto id_of = [&](const std::string& token) {
      const auto found = vocabulary_.find(token);
      return found == vocabulary_.end() ? -1 : found->second;
    };
    const int32_t left = parts.size() == 2 ? id_of(parts[0]) : -1;
    const int32_t right = parts.size() == 2 ? id_of(parts[1]) : -1;
    const int32_t merged =
        parts.size() == 2 ? id_of(absl::StrCat(parts[0], parts[1])) : -1;
    if (left < 0 || right < 0 || merged < 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, " line ", line_number,
          ": not two tokens that, like the two joined, are in vocab.json"));
    }
    merges_.emplace(PairKey(left, right), Merge{rank++, merged});
  }
  return absl::OkStatus();
}

absl::Status ClipTokenizer::ResolveSpecials(const Specials& specials) {
  for (const auto& [name, id] : {std::pair{&specials.start, &start_id_},
                                 std::pair{&specials.end, &end_id_},
                                 std::pair{&specials.unknown, &unknown_id_},
                                 std::pair{&specials.pad, &pad_id_}}) {
    const auto found = vocabulary_.find(*name);
    if (found == vocabulary_.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the special token '", *name, "' is not in vocab.json"));
    }
    *id = found->second;
    specials_.emplace_back(*name, found->second);
  }
  std::sort(specials_.begin(), specials_.end(),
            [](const auto& a, const auto& b) {
              return std::tuple(b.first.size(), a.first) <
                     std::tuple(a.first.size(), b.first);
            });
  specials_.erase(std::unique(specials_.begin(), specials_.end()),
                  specials_.end());
  return absl::OkStatus();
}

void ClipTokenizer::ResolveByteSymbols() {
  const std::vector<std::string> symbols = ByteSymbols();
  const auto id_or_unknown = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    return found == vocabulary_.end() ? static_cast<int32_t>(unknown_id_)
                                      : found->second;
  };
  for (size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = id_or_unknown(symbols[byte]);
    last_byte_ids_[byte] = id_or_unknown(absl::StrCat(symbols[byte], kWordEnd));
  }
}

absl::StatusOr<std::vector<int64_t>> ClipTokenizer::Encode(
    absl::string_view text) const {
  std::vector<int64_t> ids;
  size_t ordinary_begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto special = std::find_if(
        specials_.begin(), specials_.end(), [&](const auto& candidate) {
          return absl::StartsWith(text.substr(at), candidate.first);
        });
    if (special == specials_.end()) {
      ++at;
      continue;
    }
    OVDIFF_RETURN_IF_ERROR(
        EncodeOrdinary(text.substr(ordinary_begin, at - ordinary_begin), &ids));
    ids.push_back(special->second);
    at += special->first.size();
    ordinary_begin = at;
  }
  OVDIFF_RETURN_IF_ERROR(EncodeOrdinary(text.substr(ordinary_begin), &ids));
  return ids;
}

absl::StatusOr<std::vector<int64_t>> ClipTokenizer::EncodeForModel(
    absl::string_view text, int64_t max_length, int64_t pad_id) const {
  if (max_length < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a length of ", max_length,
                     " has no room for the start and end tokens"));
  }
  OVDIFF_ASSIGN_OR_RETURN(std::vector<int64_t> ids, Encode(text));
  const auto size = static_cast<size_t>(max_length);
  if (ids.size() > size - 2) {
    ids.resize(size - 2);
  }
  ids.insert(ids.begin(), start_id_);
  ids.push_back(end_id_);
  ids.resize(size, pad_id);
  return ids;
}

absl::Status ClipTokenizer::EncodeOrdinary(absl::string_view text,
                                           std::vector<int64_t>* ids) const {
  OVDIFF_ASSIGN_OR_RETURN(const std::string normalized, NormalizeText(text));
  for (const absl::string_view word : SplitWords(normalized)) {
    EncodeWord(word, ids);
  }
  return absl::OkStatus();
}

void ClipTokenizer::EncodeWord(absl::string_view word,
                               std::vector<int64_t>* ids) const {
  // A linked list of symbols in one array: `next` skips what was merged away.
  struct Symbol {
    int32_t id;
    int previous;
    int next;
  };
  const int size = static_cast<int>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    symbols[static_cast<size_t>(i)] = {
        i + 1 < size ? byte_ids_[byte] : last_byte_ids_[byte], i - 1,
        i + 1 < size ? i + 1 : -1};
  }
  // Lowest rank first, then leftmost. Entries whose pair has changed since are
  // passed over when they come up.
  using Candidate = std::tuple<int32_t, int, uint64_t>;  // rank, left, pair
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto at = [&](int i) -> Symbol& {
    return symbols[static_cast<size_t>(i)];
  };
  const auto offer = [&](int left) {
    if (left < 0 || at(left).next < 0) {
      return;
    }
    const uint64_t pair = PairKey(at(left).id, at(at(left).next).id);
    const auto found = merges_.find(pair);
    if (found != merges_.end()) {
      queue.emplace(found->second.rank, left, pair);
    }
  };
  for (int i = 0; i < size; ++i) {
    offer(i);
  }
  while (!queue.empty()) {
    const auto [rank, left, pair] = queue.top();
    queue.pop();
    const int right = at(left).next;
    if (at(left).id < 0 || right < 0 ||
        PairKey(at(left).id, at(right).id) != pair) {
      continue;
    }
    at(left).id = merges_.at(pair).id;
    at(left).next = at(right).next;
    at(right).id = -1;
    if (at(left).next >= 0) {
      at(at(left).next).previous = left;
    }
    offer(at(left).previous);
    offer(left);
  }
  for (int i = 0; i >= 0; i = at(i).next) {
    ids->push_back(at(i).id);
  }
}

}  // namespace ovdiff::engine
