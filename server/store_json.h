// Reports of StoreAdmin as JSON, and as text for people.
#ifndef OVDIFF_SERVER_STORE_JSON_H_
#define OVDIFF_SERVER_STORE_JSON_H_

#include <ostream>

#include "nlohmann/json.hpp"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::server {

// Bytes of names that are no UTF-8 are replaced.
nlohmann::ordered_json ToJson(const store::StoreStats& stats);
nlohmann::ordered_json ToJson(const store::VerifyReport& report);
nlohmann::ordered_json ToJson(const store::GarbageReport& report);
nlohmann::ordered_json ToJson(const store::BackupInfo& info);

// `answer`, an object: a line "name: value" for each member, and the elements
// of arrays indented below theirs.
void PrintText(const nlohmann::ordered_json& answer, std::ostream& out);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_JSON_H_
