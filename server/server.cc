#include "server/server.h"

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "server/log.h"

namespace ovdiff::server {
namespace {

constexpr char kVocabularyService[] = "ovdiff.v1.VocabularyService";
constexpr char kSegmentationService[] = "ovdiff.v1.SegmentationService";
constexpr char kStoreService[] = "ovdiff.v1.StoreService";
constexpr char kInfoService[] = "ovdiff.v1.InfoService";

constexpr absl::Duration kMonitorInterval = absl::Seconds(1);

Executor::Options SegmentExecutorOptions(const ServerOptions& options,
                                         Metrics& metrics) {
  return {.name = "segment",
          .num_threads = options.segment_threads,
          .max_tasks = options.limits.max_queued_segments,
          .max_bytes = options.limits.max_bytes_in_flight,
          .on_start = [&metrics](absl::Duration wait) {
            metrics.QueueWait("segment", wait);
          }};
}

Executor::Options ControlExecutorOptions(const ServerOptions& options,
                                         Metrics& metrics) {
  // Short tasks: a second's worth of them.
  constexpr int64_t kMaxTasks = 1024;
  return {.name = "control",
          .num_threads = options.control_threads,
          .max_tasks = kMaxTasks,
          .max_bytes = 0,
          .on_start = [&metrics](absl::Duration wait) {
            metrics.QueueWait("control", wait);
          }};
}

// One runs an operation on the store, the other refuses those that come
// meanwhile.
Executor::Options StoreExecutorOptions(Metrics& metrics) {
  return {.name = "store",
          .num_threads = 2,
          .max_tasks = 64,
          .max_bytes = 0,
          .on_start = [&metrics](absl::Duration wait) {
            metrics.QueueWait("store", wait);
          }};
}

Executor::Options PackExecutorOptions(Metrics& metrics) {
  // Long tasks, of which imports are bounded by max_imports.
  return {.name = "pack",
          .num_threads = 2,
          .max_tasks = 64,
          .max_bytes = 0,
          .on_start = [&metrics](absl::Duration wait) {
            metrics.QueueWait("pack", wait);
          }};
}

VocabularyServiceImpl::PackOptions PackOptionsOf(const ServerOptions& options,
                                                 const engine::EngineInfo& info,
                                                 PackImporter& importer,
                                                 Executor& executor) {
  return {.importer = importer,
          .executor = executor,
          .spool = {.folder = options.spool_folder,
                    .max_bytes = options.limits.max_pack_bytes,
                    .min_free_bytes = options.spool_min_free_bytes},
          .about = {.pictures = false,
                    .program = absl::StrCat("ovdiffd ", kServerVersion),
                    .bundle = info.bundle_name,
                    .bundle_license = info.bundle_license,
                    .license = ""}};
}

// gRPC's process-wide switches.
void SetUpGrpc() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

void SetLimits(const Limits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  // A second server on the same port must fail, not share its connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Streams idle behind balancers: clients may ping every 30 s, also without a
  // call; the server pings to notice dead peers.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 120'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 30'000);
}

}  // namespace

Server::Server(const ServerOptions& options, const Dependencies& dependencies)
    : options_(options),
      with_(dependencies),
      store_(with_.store, with_.metrics),
      segment_executor_(SegmentExecutorOptions(options, with_.metrics)),
      control_executor_(ControlExecutorOptions(options, with_.metrics)),
      store_executor_(StoreExecutorOptions(with_.metrics)),
      pack_executor_(PackExecutorOptions(with_.metrics)),
      cache_(with_.engine, store_, with_.metrics,
             options.prototype_cache_bytes),
      segmenter_(with_.engine, cache_, with_.metrics, options.limits),
      explainer_(with_.engine, store_, segmenter_, options.limits),
      jobs_(with_.engine, store_, cache_, with_.metrics, options),
      importer_(with_.engine, store_, cache_, options.limits,
                options.trusted_pack_keys),
      segmentation_(segmenter_, explainer_, segment_executor_,
                    control_executor_, with_.metrics, options.limits),
      vocabulary_(jobs_, cache_, store_, control_executor_,
                  PackOptionsOf(options, with_.engine.info(), importer_,
                                pack_executor_),
                  with_.metrics, options.limits),
      store_service_({.store = store_,
                      .admin = with_.store.admin(),
                      .cache = cache_,
                      .long_executor = store_executor_,
                      .control_executor = control_executor_,
                      .metrics = with_.metrics},
                     options),
      info_(with_.engine, with_.metrics, options.limits),
      collector_(std::make_shared<ServerCollector>(with_.engine, with_.store)) {
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(
    const ServerOptions& options, const Dependencies& dependencies) {
  OVDIFF_RETURN_IF_ERROR(Validate(options));
  std::unique_ptr<Server> server(new Server(options, dependencies));
  OVDIFF_RETURN_IF_ERROR(server->jobs_.Start());
  OVDIFF_RETURN_IF_ERROR(server->Listen());
  const engine::EngineInfo& info = dependencies.engine.info();
  dependencies.metrics.SetBuildInfo(kServerVersion, info.device,
                                    info.bundle_name);
  dependencies.admin.AddCollector(server->collector_);
  server->monitor_ = std::thread([raw = server.get()] { raw->RunMonitor(); });
  dependencies.readiness.SetReady();
  return server;
}

Server::~Server() { Stop(); }

absl::Status Server::Listen() {
  SetUpGrpc();
  grpc::ServerBuilder builder;
  SetLimits(options_.limits, builder);
  int port = 0;
  builder.AddListeningPort(options_.listen_address,
                           grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&segmentation_);
  builder.RegisterService(&vocabulary_);
  builder.RegisterService(&store_service_);
  builder.RegisterService(&info_);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options_.listen_address,
                     "; is it in use? --listen sets another"));
  }
  const size_t colon = options_.listen_address.rfind(':');
  address_ = absl::StrCat(options_.listen_address.substr(0, colon), ":", port);
  SetServing(true);
  return absl::OkStatus();
}

void Server::SetServing(bool is_serving) {
  grpc::HealthCheckServiceInterface* health = grpc_->GetHealthCheckService();
  for (const char* service : {"", kVocabularyService, kSegmentationService,
                              kStoreService, kInfoService}) {
    health->SetServingStatus(service, is_serving);
  }
}

void Server::RunMonitor() {
  bool was_healthy = true;
  while (true) {
    const absl::Status status = with_.store.Health();
    MutexLock lock(&mutex_);
    if (is_draining_) {
      return;
    }
    if (status.ok() != was_healthy) {
      was_healthy = status.ok();
      // What is stored still segments: only adding classes is out of service.
      grpc_->GetHealthCheckService()->SetServingStatus(kVocabularyService,
                                                       was_healthy);
      with_.readiness.SetDegraded(
          status.ok() ? "" : absl::StrCat("store: ", status.message()));
      Log(status.ok() ? LogLevel::kInfo : LogLevel::kError, "store_health",
          {{"status", status.ToString()}});
    }
    monitor_wake_.WaitUntil(&mutex_, absl::Now() + kMonitorInterval);
  }
}

void Server::StartDrain() {
  {
    MutexLock lock(&mutex_);
    if (is_draining_) {
      return;
    }
    is_draining_ = true;
    monitor_wake_.SignalAll();
  }
  if (monitor_.joinable()) {
    monitor_.join();
  }
  with_.readiness.SetNotReady("draining: the server is shutting down");
  if (grpc_ != nullptr) {
    SetServing(false);
  }
  Log(LogLevel::kInfo, "draining",
      {{"segments_running", segment_executor_.num_running()},
       {"segments_waiting", segment_executor_.num_waiting()}});
}

void Server::Stop() {
  StartDrain();
  {
    MutexLock lock(&mutex_);
    if (is_stopped_) {
      return;
    }
    is_stopped_ = true;
  }
  segmentation_.Drain();
  store_service_.Drain();
  jobs_.Stop();
  if (grpc_ != nullptr) {
    grpc_->Shutdown(absl::ToChronoTime(absl::Now() + options_.drain_timeout));
    grpc_->Wait();
  }
  segment_executor_.Stop();
  control_executor_.Stop();
  store_executor_.Stop();
  pack_executor_.Stop();
  Log(LogLevel::kInfo, "stopped");
}

}  // namespace ovdiff::server
