#include "benchmarks/torture/torture_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace ovdiff::store::torture {
namespace {

using Json = nlohmann::ordered_json;

Json RowOf(const std::string& name, const CrashReport& report) {
  Json row = {{"name", name},
              {"runs", report.kills},
              {"acknowledged_writes", report.acknowledged},
              {"lost", report.lost},
              {"torn", report.torn},
              {"refused_writes", report.refused_writes},
              {"records_verified", report.verified},
              {"reads_beside_writes", report.reads},
              {"outcomes", report.kills_at},
              {"seconds", report.seconds}};
  if (report.dropped_bytes + report.dropped_names > 0) {
    row["dropped_bytes"] = report.dropped_bytes;
    row["dropped_names"] = report.dropped_names;
  }
  if (report.care_rounds > 0) {
    row["care_rounds"] = report.care_rounds;
    row["backups"] = report.backups;
  }
  if (!report.first_problem.empty()) {
    row["problem"] = report.first_problem;
  }
  return row;
}

Json RowOf(const FaultRow& fault) {
  Json row = {{"name", fault.name},
              {"runs", fault.runs},
              {"acknowledged_writes", fault.acknowledged},
              {"lost", fault.lost},
              {"torn", fault.torn},
              {"outcomes", fault.outcomes}};
  if (!fault.first_problem.empty()) {
    row["problem"] = fault.first_problem;
  }
  return row;
}

Json Corruptions(const CorruptionReport& report) {
  Json rows = Json::array();
  for (const auto& [what, outcomes] : report.rows) {
    int64_t runs = 0;
    for (const auto& [outcome, number] : outcomes) {
      runs += number;
    }
    rows.push_back({{"name", absl::StrCat(what.first, ": ", what.second)},
                    {"runs", runs},
                    {"outcomes", outcomes}});
  }
  return rows;
}

void Judge(const std::string& name, const CrashReport& report,
           std::vector<std::string>& broken) {
  if (!report.kept_all()) {
    broken.push_back(absl::StrCat(name, ": ", report.lost, " lost, ",
                                  report.torn, " torn, ", report.refused_writes,
                                  " refused: ", report.first_problem));
  }
}

}  // namespace

std::vector<std::string> BrokenPromises(const TortureReport& report) {
  std::vector<std::string> broken;
  Judge("kills", report.kills, broken);
  Judge("care", report.care, broken);
  Judge("power loss", report.power_loss, broken);
  Judge("clock jumps", report.clock, broken);
  if (report.lying_disk.kills > 0 && report.lying_disk.kept_all()) {
    broken.emplace_back(
        "a disk that lies was not noticed: nothing here counts");
  }
  for (const std::string& problem : report.corruption.problems) {
    broken.push_back(absl::StrCat("corruption: ", problem));
  }
  for (const FaultRow& row : report.faults) {
    if (!row.kept_all()) {
      broken.push_back(absl::StrCat(row.name, ": ", row.lost, " lost, ",
                                    row.torn, " torn: ", row.first_problem));
    }
  }
  return broken;
}

std::string ToJson(const TortureReport& report) {
  Json faults = Json::array();
  int64_t acknowledged = 0;
  int64_t lost = 0;
  int64_t torn = 0;
  int64_t kills = 0;
  const std::pair<const char*, const CrashReport*> crashes[] = {
      {"kill -9", &report.kills},
      {"kill -9 while looked after", &report.care},
      {"power loss", &report.power_loss},
      {"kill -9, wall clock jumps", &report.clock}};
  for (const auto& [name, crash] : crashes) {
    faults.push_back(RowOf(name, *crash));
    acknowledged += crash->acknowledged;
    kills += crash->kills;
    lost += crash->lost;
    torn += crash->torn;
  }
  for (const FaultRow& fault : report.faults) {
    faults.push_back(RowOf(fault));
    acknowledged += fault.acknowledged;
    lost += fault.lost;
    torn += fault.torn;
  }
  const CorruptionReport& corruption = report.corruption;
  Json json = {{"seed", report.seed},
               {"seconds", report.seconds},
               {"acknowledged_writes", acknowledged},
               {"kills", kills},
               {"lost", lost},
               {"torn", torn},
               {"injected_corruptions", corruption.injected},
               {"served_damaged", corruption.served_damaged},
               {"vanished", corruption.vanished},
               {"unnamed", corruption.unnamed},
               {"stopped", corruption.stopped},
               {"hung", corruption.hung},
               {"broken_promises", BrokenPromises(report)},
               {"faults", faults},
               {"corruptions", Corruptions(corruption)},
               {"self_check", RowOf("disk that lies", report.lying_disk)}};
  return json.dump(2);
}

}  // namespace ovdiff::store::torture
