// Every `reason` that a google.rpc.ErrorInfo of ours may carry, in one list
// (AIP-193). They are API: clients switch on them, so none is ever renamed.
#ifndef OVDIFF_SERVER_ERROR_REASONS_H_
#define OVDIFF_SERVER_ERROR_REASONS_H_

#include <array>

#include "absl/strings/string_view.h"

namespace ovdiff::server::reasons {

// ErrorInfo.domain of all of them.
inline constexpr char kDomain[] = "ovdiff.dev";

// The request.
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kInvalidImage[] = "INVALID_IMAGE";
inline constexpr char kImageTooLarge[] = "IMAGE_TOO_LARGE";
inline constexpr char kInvalidOption[] = "INVALID_OPTION";
inline constexpr char kInvalidPageToken[] = "INVALID_PAGE_TOKEN";
inline constexpr char kDuplicateClass[] = "DUPLICATE_CLASS";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kStreamOrder[] = "STREAM_ORDER";
// What it names.
inline constexpr char kVocabularyNotFound[] = "VOCABULARY_NOT_FOUND";
inline constexpr char kClassNotFound[] = "CLASS_NOT_FOUND";
inline constexpr char kJobNotFound[] = "JOB_NOT_FOUND";
// State.
inline constexpr char kVocabularyEmpty[] = "VOCABULARY_EMPTY";
inline constexpr char kVocabularyFull[] = "VOCABULARY_FULL";
inline constexpr char kPrototypeMissing[] = "PROTOTYPE_MISSING";
inline constexpr char kPrototypeStale[] = "PROTOTYPE_STALE";
inline constexpr char kPrototypeDamaged[] = "PROTOTYPE_DAMAGED";
inline constexpr char kNoForeground[] = "NO_FOREGROUND";
inline constexpr char kClassFiltered[] = "CLASS_FILTERED";
inline constexpr char kStoreBusy[] = "STORE_BUSY";
inline constexpr char kStoreState[] = "STORE_STATE";
inline constexpr char kNoBackupFolder[] = "NO_BACKUP_FOLDER";
// Class packs.
inline constexpr char kPackDamaged[] = "PACK_DAMAGED";
inline constexpr char kPackFormat[] = "PACK_FORMAT";
inline constexpr char kPackForeign[] = "PACK_FOREIGN";
inline constexpr char kPackUntrusted[] = "PACK_UNTRUSTED";
inline constexpr char kPackTooLarge[] = "PACK_TOO_LARGE";
inline constexpr char kClassConflict[] = "CLASS_CONFLICT";
// Load and time.
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kFrameDropped[] = "FRAME_DROPPED";
inline constexpr char kCancelled[] = "CANCELLED";
inline constexpr char kDeadlineExceeded[] = "DEADLINE_EXCEEDED";
inline constexpr char kResourceExhausted[] = "RESOURCE_EXHAUSTED";
// Ours.
inline constexpr char kStoreUnavailable[] = "STORE_UNAVAILABLE";
inline constexpr char kStoreDamaged[] = "STORE_DAMAGED";
inline constexpr char kInternal[] = "INTERNAL";

inline constexpr std::array<absl::string_view, 36> kAll = {
    kInvalidField,     kInvalidImage,     kImageTooLarge,
    kInvalidOption,    kInvalidPageToken, kDuplicateClass,
    kRequestIdReused,  kStreamOrder,      kVocabularyNotFound,
    kClassNotFound,    kJobNotFound,      kVocabularyEmpty,
    kVocabularyFull,   kPrototypeMissing, kPrototypeStale,
    kPrototypeDamaged, kNoForeground,     kClassFiltered,
    kPackDamaged,      kPackFormat,       kPackForeign,
    kPackUntrusted,    kPackTooLarge,     kClassConflict,
    kQueueFull,        kDraining,         kFrameDropped,
    kCancelled,        kDeadlineExceeded, kResourceExhausted,
    kStoreUnavailable, kStoreBusy,        kStoreState,
    kNoBackupFolder,   kStoreDamaged,     kInternal};

}  // namespace ovdiff::server::reasons

#endif  // OVDIFF_SERVER_ERROR_REASONS_H_
