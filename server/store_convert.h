// Between the store's reports and StoreService's messages.
#ifndef OVDIFF_SERVER_STORE_CONVERT_H_
#define OVDIFF_SERVER_STORE_CONVERT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ovdiff/v1/store_service.pb.h"
#include "server/store_operations.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::server {

v1::StoreCheck FromProgress(const store::AdminProgress& progress);

// What a verification ends with: its problems, some to a message so that none
// is too large for a client, the totals in the last. At least one.
std::vector<v1::StoreCheck> FromReport(const store::VerifyReport& report);

// kInvalidArgument naming the field.
absl::StatusOr<store::VerifyOptions> ToVerifyOptions(
    const v1::VerifyStoreRequest& request);
absl::StatusOr<store::VerifyOptions> ToVerifyOptions(
    const v1::ScrubStoreRequest& request);
absl::StatusOr<store::GarbageOptions> ToGarbageOptions(
    const v1::CollectGarbageRequest& request);

v1::CollectGarbageResponse FromReport(const store::GarbageReport& report);
v1::BackUpStoreResponse FromBackup(const store::BackupInfo& backup);
v1::GetStoreStatsResponse FromStats(const store::StoreStats& stats);
v1::StoreOperation FromOperation(const StoreOperations::Operation& operation);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_CONVERT_H_
