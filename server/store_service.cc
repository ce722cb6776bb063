#include "server/store_service.h"

#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/job_request.h"
#include "server/log.h"
#include "server/store_convert.h"

namespace ovdiff::server {
namespace {

constexpr char kService[] = "ovdiff.v1.StoreService";
constexpr char kUnary[] = "unary";
constexpr char kServerStream[] = "server_stream";

}  // namespace

StoreServiceImpl::StoreServiceImpl(const Dependencies& dependencies,
                                   const ServerOptions& options)
    : with_(dependencies),
      backup_options_{.folder = options.backup_folder,
                      .keep_backups = options.keep_backups},
      store_metrics_(with_.metrics.registry()) {}

grpc::ServerUnaryReactor* StoreServiceImpl::GetStoreStats(
    grpc::CallbackServerContext* context, const v1::GetStoreStatsRequest*,
    v1::GetStoreStatsResponse* response) {
  return UnaryCall::Start(
      {.metrics = with_.metrics,
       .executor = with_.control_executor,
       .method = {kUnary, kService, "GetStoreStats"}},
      context, [this, response](CallScope&) { return Stats(*response); });
}

grpc::ServerWriteReactor<v1::VerifyStoreResponse>*
StoreServiceImpl::VerifyStore(grpc::CallbackServerContext* context,
                              const v1::VerifyStoreRequest* request) {
  return StoreCheckCall<v1::VerifyStoreResponse>::Start(
      with_.long_executor, with_.metrics,
      {kServerStream, kService, "VerifyStore"}, context,
      CheckWork("verify", context->peer(), ToVerifyOptions(*request)));
}

grpc::ServerWriteReactor<v1::ScrubStoreResponse>* StoreServiceImpl::ScrubStore(
    grpc::CallbackServerContext* context,
    const v1::ScrubStoreRequest* request) {
  return StoreCheckCall<v1::ScrubStoreResponse>::Start(
      with_.long_executor, with_.metrics,
      {kServerStream, kService, "ScrubStore"}, context,
      CheckWork("scrub", context->peer(), ToVerifyOptions(*request)));
}

grpc::ServerUnaryReactor* StoreServiceImpl::CollectGarbage(
    grpc::CallbackServerContext* context,
    const v1::CollectGarbageRequest* request,
    v1::CollectGarbageResponse* response) {
  return StartOperation("CollectGarbage", "garbage collection", context,
                        [this, request, response](CallScope& call) {
                          return Collect(*request, call, *response);
                        });
}

grpc::ServerUnaryReactor* StoreServiceImpl::BackUpStore(
    grpc::CallbackServerContext* context, const v1::BackUpStoreRequest*,
    v1::BackUpStoreResponse* response) {
  return StartOperation(
      "BackUpStore", "backup", context,
      [this, response](CallScope& call) { return BackUp(call, *response); });
}

grpc::ServerUnaryReactor* StoreServiceImpl::CompactStore(
    grpc::CallbackServerContext* context, const v1::CompactStoreRequest*,
    v1::CompactStoreResponse* response) {
  return StartOperation(
      "CompactStore", "compaction", context,
      [this, response](CallScope& call) { return Compact(call, *response); });
}

grpc::ServerUnaryReactor* StoreServiceImpl::StartOperation(
    absl::string_view method, absl::string_view name,
    grpc::CallbackServerContext* context, UnaryCall::Handler work) {
  return UnaryCall::Start(
      {.metrics = with_.metrics,
       .executor = with_.long_executor,
       .method = {kUnary, kService, method},
       .default_deadline = absl::InfiniteDuration()},
      context,
      [this, name, caller = context->peer(),
       work = std::move(work)](CallScope& call) -> absl::Status {
        OVDIFF_ASSIGN_OR_RETURN(const auto turn,
                                operations_.Begin(name, caller, call.control));
        return Explained(work(call));
      });
}

StoreCheckWork StoreServiceImpl::CheckWork(
    absl::string_view name, std::string caller,
    absl::StatusOr<store::VerifyOptions> options) {
  return [this, name, caller = std::move(caller), options = std::move(options)](
             const CallControl& control, const OnStoreCheck& on_check)
             -> absl::StatusOr<std::vector<v1::StoreCheck>> {
    OVDIFF_RETURN_IF_ERROR(options.status());
    OVDIFF_RETURN_IF_ERROR(control.Check());
    const auto report = Verify(name, caller, *options, control, on_check);
    OVDIFF_RETURN_IF_ERROR(Explained(report.status()));
    return FromReport(*report);
  };
}

absl::StatusOr<store::VerifyReport> StoreServiceImpl::Verify(
    absl::string_view name, const std::string& caller,
    const store::VerifyOptions& options, const CallControl& control,
    const OnStoreCheck& on_check) {
  OVDIFF_ASSIGN_OR_RETURN(const auto turn,
                          operations_.Begin(name, caller, control));
  OVDIFF_ASSIGN_OR_RETURN(
      store::VerifyReport report,
      with_.admin.Verify(options, control,
                         [&on_check](const store::AdminProgress& progress) {
                           on_check(FromProgress(progress));
                         }));
  store_metrics_.Verified(absl::Now(), report.num_problems, report.bytes);
  Log(report.num_problems == 0 ? LogLevel::kInfo : LogLevel::kError,
      "store_verified",
      {{"operation", std::string(name)},
       {"records", report.records},
       {"bytes", report.bytes},
       {"problems", report.num_problems},
       {"dropped", report.num_dropped}});
  return report;
}

absl::Status StoreServiceImpl::Stats(v1::GetStoreStatsResponse& response) {
  OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats stats, with_.store.Stats());
  response = FromStats(stats);
  if (const absl::Status health = with_.store.Health(); !health.ok()) {
    *response.mutable_health() = ToRpcStatus(health);
  }
  if (const auto running = operations_.running(); running.has_value()) {
    *response.mutable_running() = FromOperation(*running);
  }
  return absl::OkStatus();
}

absl::Status StoreServiceImpl::Collect(const v1::CollectGarbageRequest& request,
                                       CallScope& call,
                                       v1::CollectGarbageResponse& response) {
  OVDIFF_ASSIGN_OR_RETURN(store::GarbageOptions options,
                          ToGarbageOptions(request));
  OVDIFF_ASSIGN_OR_RETURN(options.keep, KeysOfJobs(with_.store));
  OVDIFF_ASSIGN_OR_RETURN(const store::GarbageReport report,
                          with_.admin.CollectGarbage(options, call.control));
  response = FromReport(report);
  if (!report.is_dry_run) {
    with_.cache.ForgetVersions();
    store_metrics_.GarbageFreed(report.bytes);
  }
  call.record.Note("dry_run", report.is_dry_run);
  call.record.Note("bytes", report.bytes);
  return absl::OkStatus();
}

absl::Status StoreServiceImpl::BackUp(CallScope& call,
                                      v1::BackUpStoreResponse& response) {
  if (backup_options_.folder.empty()) {
    return PreconditionError(
        "--backup-dir",
        "this server has no folder for backups; its operator sets one with "
        "--backup-dir",
        reasons::kNoBackupFolder);
  }
  OVDIFF_ASSIGN_OR_RETURN(const store::BackupInfo backup,
                          with_.admin.Backup(backup_options_, call.control));
  response = FromBackup(backup);
  store_metrics_.BackedUp(absl::Now());
  call.record.Note("backup", backup.id);
  call.record.Note("bytes", backup.bytes);
  return absl::OkStatus();
}

absl::Status StoreServiceImpl::Compact(CallScope& call,
                                       v1::CompactStoreResponse& response) {
  OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats before, with_.store.Stats());
  OVDIFF_RETURN_IF_ERROR(with_.admin.Compact(call.control));
  OVDIFF_ASSIGN_OR_RETURN(const store::StoreStats after, with_.store.Stats());
  response.set_disk_bytes_before(before.disk_bytes);
  response.set_disk_bytes_after(after.disk_bytes);
  call.record.Note("disk_bytes", after.disk_bytes);
  return absl::OkStatus();
}

absl::Status StoreServiceImpl::Explained(absl::Status status) const {
  if (absl::IsCancelled(status) && operations_.is_stopped()) {
    return OverloadError("the server is shutting down", reasons::kDraining,
                         absl::Seconds(1));
  }
  if (status.ok() || !ReasonOf(status).empty()) {
    return status;
  }
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
      return WithReason(std::move(status), reasons::kStoreDamaged);
    case absl::StatusCode::kFailedPrecondition:
      return PreconditionError("store", status.message(), reasons::kStoreState);
    default:
      return status;
  }
}

}  // namespace ovdiff::server
