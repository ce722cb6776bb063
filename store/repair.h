// RepairRecords: makes a damaged store consistent, for StoreMode::kRecover.
#ifndef OVDIFF_STORE_REPAIR_H_
#define OVDIFF_STORE_REPAIR_H_

#include "absl/status/status.h"
#include "store/prototype_store.h"
#include "store/record_tables.h"

namespace ovdiff::store {

// After it every record of "sys", "meta" and "jobs" can be read, and every
// version that is there rests on what is there; a line in `report` for each
// change. Unreadable versions, labels and jobs go. A vocabulary whose newest
// version is unreadable gets a new version with the classes of the newest
// readable one: no version number ever means two things. Sets are not looked
// at. Idempotent.
absl::Status RepairRecords(RecordTables& tables, RecoveryReport& report);

}  // namespace ovdiff::store

#endif  // OVDIFF_STORE_REPAIR_H_
