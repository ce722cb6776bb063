// The envelope that every stored value wears: what it is, how long, and a
// SHA-256 over all of it. Layout: store/FORMAT.md, "Envelope".
#ifndef OVDIFF_STORE_ENVELOPE_H_
#define OVDIFF_STORE_ENVELOPE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/bytes.h"

namespace ovdiff::store {

// The format this program writes, and the newest it reads, but for records of
// which NewestFormat() says otherwise.
inline constexpr uint16_t kFormatVersion = 1;
// Of support sets with given masks or negatives; the others are of format 1.
inline constexpr uint16_t kMaskedSupportFormat = 2;

inline constexpr size_t kEnvelopeHeaderBytes = 24;
inline constexpr size_t kEnvelopeBytes = kEnvelopeHeaderBytes + 32;
// No record may be longer: a limit for damaged lengths, far above real ones.
inline constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 30;

// Values are on disk: do not change or reuse them.
enum class RecordType : uint8_t {
  kStoreFormat = 1,
  kPrototypeSet = 2,
  kSupportSet = 3,
  kContentEntry = 4,
  kVocabularyHead = 5,
  kVocabularyVersion = 6,
  kLabel = 7,
  kJob = 8,
  kMark = 9,  // The file ACKED, not in a table.
  kMarkNote = 10,
};

// The newest format of records of `type` that this program reads.
uint16_t NewestFormat(RecordType type);

struct OpenedEnvelope {
  uint16_t format_version = 0;
  PayloadType payload_type = PayloadType::kNone;
  absl::string_view payload;  // Into the bytes that were opened.
};

std::string SealEnvelope(RecordType type, PayloadType payload_type,
                         absl::string_view payload,
                         uint16_t format_version = kFormatVersion);

// Checks everything before it looks at the meaning of anything.
//   kDataLoss            not a whole, unharmed record of `type`
//   kFailedPrecondition  unharmed, but of a newer format (both versions told)
absl::StatusOr<OpenedEnvelope> OpenEnvelope(RecordType type,
                                            absl::string_view record);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_ENVELOPE_H_
