#include "server/store_json.h"

#include <string>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace ovdiff::server {
namespace {

using nlohmann::ordered_json;

const char* KindName(store::GarbageItem::Kind kind) {
  switch (kind) {
    case store::GarbageItem::Kind::kPrototypeSet:
      return "prototype set";
    case store::GarbageItem::Kind::kSupportSet:
      return "support set";
    case store::GarbageItem::Kind::kVersion:
      return "version";
  }
  return "";
}

std::string TextOf(const ordered_json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// "a: 1, b: 2"
std::string LineOf(const ordered_json& value) {
  if (!value.is_object()) {
    return TextOf(value);
  }
  std::vector<std::string> parts;
  for (const auto& [name, member] : value.items()) {
    const bool is_empty = member.is_array() && member.empty();
    if (!is_empty) {
      parts.push_back(name + ": " + TextOf(member));
    }
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace

ordered_json ToJson(const store::StoreStats& stats) {
  return {{"prototype_sets", stats.num_prototype_sets},
          {"support_sets", stats.num_support_sets},
          {"vocabularies", stats.num_vocabularies},
          {"classes", stats.num_classes},
          {"jobs", stats.num_jobs},
          {"prototype_bytes", stats.prototype_bytes},
          {"support_bytes", stats.support_bytes},
          {"damaged", stats.num_damaged},
          {"disk_bytes", stats.disk_bytes},
          {"log_bytes", stats.log_bytes},
          {"dead_bytes", stats.dead_bytes},
          {"free_bytes", stats.free_bytes}};
}

ordered_json ToJson(const store::VerifyReport& report) {
  ordered_json problems = ordered_json::array();
  for (const store::RecordProblem& problem : report.problems) {
    problems.push_back(
        {{"table", problem.table},
         {"key", problem.key},
         {"code", absl::StatusCodeToString(problem.status.code())},
         {"message", std::string(problem.status.message())},
         {"users", problem.users},
         {"num_users", problem.num_users},
         {"dropped", problem.is_dropped}});
  }
  return {{"records", report.records},
          {"bytes", report.bytes},
          {"num_problems", report.num_problems},
          {"num_dropped", report.num_dropped},
          {"problems", problems}};
}

ordered_json ToJson(const store::GarbageReport& report) {
  ordered_json items = ordered_json::array();
  for (const store::GarbageItem& item : report.items) {
    items.push_back({{"kind", KindName(item.kind)},
                     {"name", item.name},
                     {"bytes", item.bytes}});
  }
  return {{"dry_run", report.is_dry_run},
          {"prototype_sets", report.num_prototype_sets},
          {"support_sets", report.num_support_sets},
          {"versions", report.num_versions},
          {"bytes", report.bytes},
          {"items", items}};
}

ordered_json ToJson(const store::BackupInfo& info) {
  return {{"id", info.id},
          {"create_time", absl::FormatTime(absl::RFC3339_sec, info.create_time,
                                           absl::UTCTimeZone())},
          {"bytes", info.bytes},
          {"files", info.num_files}};
}

void PrintText(const ordered_json& answer, std::ostream& out) {
  for (const auto& [name, value] : answer.items()) {
    if (!value.is_array()) {
      out << name << ": " << TextOf(value) << "\n";
      continue;
    }
    out << name << ":" << (value.empty() ? " none\n" : "\n");
    for (const ordered_json& element : value) {
      out << "  " << LineOf(element) << "\n";
    }
  }
}

}  // namespace ovdiff::server
