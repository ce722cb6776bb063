#include "server/store_convert.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"

namespace ovdiff::server {
namespace {

// A problem is some kilobytes at most (its users' names); gRPC's clients take
// 4 MiB unless told otherwise.
constexpr int64_t kProblemsPerMessage = 100;
constexpr int64_t kScrubBytesPerSecond = 64'000'000;
constexpr double kMaxAgeSeconds = 100.0 * 365 * 24 * 3600;

v1::StoreProblem FromProblem(const store::RecordProblem& problem) {
  v1::StoreProblem out;
  out.set_table(problem.table);
  out.set_key(problem.key);
  *out.mutable_error() = ToRpcStatus(problem.status);
  // The code says it all, and there may be a thousand of them.
  out.mutable_error()->clear_details();
  for (const std::string& user : problem.users) {
    out.add_users(user);
  }
  out.set_num_users(problem.num_users);
  out.set_is_dropped(problem.is_dropped);
  return out;
}

v1::GarbageKind FromKind(store::GarbageItem::Kind kind) {
  switch (kind) {
    case store::GarbageItem::Kind::kPrototypeSet:
      return v1::GARBAGE_KIND_PROTOTYPE_SET;
    case store::GarbageItem::Kind::kSupportSet:
      return v1::GARBAGE_KIND_SUPPORT_SET;
    case store::GarbageItem::Kind::kVersion:
      return v1::GARBAGE_KIND_VERSION;
  }
  return v1::GARBAGE_KIND_UNSPECIFIED;
}

absl::Status CheckNotNegative(absl::string_view field, int64_t value) {
  if (value >= 0) {
    return absl::OkStatus();
  }
  return FieldError(
      field,
      absl::StrCat(field, " is ", value, "; a positive number or 0 is allowed"),
      reasons::kInvalidField);
}

}  // namespace

v1::StoreCheck FromProgress(const store::AdminProgress& progress) {
  v1::StoreCheck check;
  check.set_num_records(progress.records);
  check.set_total_records(std::max(progress.records, progress.total_records));
  check.set_bytes(progress.bytes);
  return check;
}

std::vector<v1::StoreCheck> FromReport(const store::VerifyReport& report) {
  v1::StoreCheck done = FromProgress({.records = report.records,
                                      .total_records = report.records,
                                      .bytes = report.bytes});
  std::vector<v1::StoreCheck> checks(1, done);
  for (const store::RecordProblem& problem : report.problems) {
    if (checks.back().problems_size() == kProblemsPerMessage) {
      checks.push_back(done);
    }
    *checks.back().add_problems() = FromProblem(problem);
  }
  checks.back().set_num_problems(report.num_problems);
  checks.back().set_num_dropped(report.num_dropped);
  return checks;
}

absl::StatusOr<store::VerifyOptions> ToVerifyOptions(
    const v1::VerifyStoreRequest& request) {
  const absl::Status status =
      CheckNotNegative("max_bytes_per_second", request.max_bytes_per_second());
  if (!status.ok()) {
    return status;
  }
  store::VerifyOptions options;
  options.check_files = !request.skip_files();
  options.max_bytes_per_second = request.max_bytes_per_second();
  return options;
}

absl::StatusOr<store::VerifyOptions> ToVerifyOptions(
    const v1::ScrubStoreRequest& request) {
  const absl::Status status =
      CheckNotNegative("max_bytes_per_second", request.max_bytes_per_second());
  if (!status.ok()) {
    return status;
  }
  store::VerifyOptions options;
  options.check_files = false;  // It knows no pace.
  options.max_bytes_per_second = request.max_bytes_per_second() > 0
                                     ? request.max_bytes_per_second()
                                     : kScrubBytesPerSecond;
  options.drop_damaged_sets = true;
  return options;
}

absl::StatusOr<store::GarbageOptions> ToGarbageOptions(
    const v1::CollectGarbageRequest& request) {
  const absl::Status status =
      CheckNotNegative("keep_versions", request.keep_versions());
  if (!status.ok()) {
    return status;
  }
  store::GarbageOptions options;
  options.dry_run = !request.has_dry_run() || request.dry_run();
  options.keep_versions = request.keep_versions();
  if (request.has_min_age_seconds()) {
    const double seconds = request.min_age_seconds();
    if (!(seconds >= 0 && seconds <= kMaxAgeSeconds)) {
      return FieldError("min_age_seconds",
                        absl::StrCat("min_age_seconds is ", seconds, "; 0 to ",
                                     kMaxAgeSeconds, " are allowed"),
                        reasons::kInvalidField);
    }
    options.min_age = absl::Seconds(seconds);
  }
  return options;
}

v1::CollectGarbageResponse FromReport(const store::GarbageReport& report) {
  v1::CollectGarbageResponse out;
  out.set_dry_run(report.is_dry_run);
  out.set_num_prototype_sets(report.num_prototype_sets);
  out.set_num_support_sets(report.num_support_sets);
  out.set_num_versions(report.num_versions);
  out.set_bytes(report.bytes);
  for (const store::GarbageItem& item : report.items) {
    v1::GarbageItem& to = *out.add_items();
    to.set_kind(FromKind(item.kind));
    to.set_name(item.name);
    to.set_bytes(item.bytes);
  }
  return out;
}

v1::BackUpStoreResponse FromBackup(const store::BackupInfo& backup) {
  v1::BackUpStoreResponse out;
  out.set_id(backup.id);
  *out.mutable_create_time() = ToTimestamp(backup.create_time);
  out.set_bytes(backup.bytes);
  out.set_num_files(backup.num_files);
  return out;
}

v1::GetStoreStatsResponse FromStats(const store::StoreStats& stats) {
  v1::GetStoreStatsResponse out;
  out.set_num_prototype_sets(stats.num_prototype_sets);
  out.set_num_support_sets(stats.num_support_sets);
  out.set_num_vocabularies(stats.num_vocabularies);
  out.set_num_classes(stats.num_classes);
  out.set_num_jobs(stats.num_jobs);
  out.set_prototype_bytes(stats.prototype_bytes);
  out.set_support_bytes(stats.support_bytes);
  out.set_num_damaged(stats.num_damaged);
  out.set_disk_bytes(stats.disk_bytes);
  out.set_log_bytes(stats.log_bytes);
  out.set_dead_bytes(stats.dead_bytes);
  out.set_free_bytes(stats.free_bytes);
  out.set_num_background_errors(stats.num_background_errors);
  return out;
}

v1::StoreOperation FromOperation(const StoreOperations::Operation& operation) {
  v1::StoreOperation out;
  out.set_name(operation.name);
  out.set_caller(operation.caller);
  *out.mutable_start_time() = ToTimestamp(operation.start_time);
  return out;
}

}  // namespace ovdiff::server
