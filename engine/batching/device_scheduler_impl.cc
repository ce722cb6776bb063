// The callers' side: admission, waiting, leaving. The device thread's side is
// device_thread.cc.
#include "engine/batching/device_scheduler_impl.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"

namespace ovdiff::engine {
namespace {

// Run() and RunBulk(): a task that carries its own function.
class FunctionTask : public BatchTask {
 public:
  explicit FunctionTask(absl::FunctionRef<absl::Status()> work) : work_(work) {}
  void Work() { status = work_(); }

 private:
  absl::FunctionRef<absl::Status()> work_;
};

absl::Status RunFunctionTasks(absl::Span<BatchTask* const> tasks) {
  for (BatchTask* task : tasks) {
    static_cast<FunctionTask*>(task)->Work();
  }
  return absl::OkStatus();
}

BatchKind FunctionKind(const char* name) {
  return {.name = name,
          .function = RunFunctionTasks,
          .max_batch = 1,
          .single = true};
}

DeviceSchedulerOptions WithClock(DeviceSchedulerOptions options) {
  if (!options.clock) {
    options.clock = absl::Now;
  }
  return options;
}

}  // namespace

DeviceScheduler::Impl::Impl(DeviceSchedulerOptions options)
    : options_(WithClock(options)),
      has_test_clock_(options.clock != nullptr),
      single_kind_(FunctionKind("single task")),
      bulk_kind_(FunctionKind("bulk quantum")) {
  MutexLock lock(&join_mutex_);
  thread_ = std::thread([this] { DeviceThread(); });
}

DeviceScheduler::Impl::~Impl() {
  Stop();
  MutexLock lock(&mutex_);
  while (num_callers_ > 0) {
    last_caller_left_.Wait(&mutex_);
  }
}

absl::Status DeviceScheduler::Impl::RegisterBatchFunction(
    const std::string& name, BatchFunction function, int max_batch) {
  if (max_batch < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_batch of '", name, "' is ", max_batch,
                     "; it must be at least 1, or 0 for the scheduler's"));
  }
  auto kind = std::make_unique<BatchKind>();
  kind->name = name;
  kind->function = std::move(function);
  kind->max_batch = max_batch == 0 ? options_.max_batch
                                   : std::min(max_batch, options_.max_batch);
  MutexLock lock(&mutex_);
  if (!kinds_.emplace(name, std::move(kind)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("a batch function '", name, "' is already registered"));
  }
  return absl::OkStatus();
}

absl::Status DeviceScheduler::Impl::RunBatched(
    absl::Span<const BatchGroup> groups, const CallControl& control,
    absl::Duration* queued) {
  PendingCall call;
  call.control = control;
  MutexLock lock(&mutex_);
  absl::Status submitted;
  if (auto requests = Resolve(groups); !requests.ok()) {
    submitted = requests.status();
  } else {
    submitted = Submit(*requests, call);
  }
  if (!submitted.ok()) {
    for (const BatchGroup& group : groups) {
      for (BatchTask* task : group.tasks) {
        task->status = submitted;
      }
    }
    return submitted;
  }
  return Await(call, queued);
}

absl::Status DeviceScheduler::Impl::Run(absl::FunctionRef<absl::Status()> work,
                                        const CallControl& control,
                                        absl::Duration* queued) {
  FunctionTask task(work);
  BatchTask* const tasks[] = {&task};
  const std::string shape;
  PendingCall call;
  call.control = control;
  MutexLock lock(&mutex_);
  OVDIFF_RETURN_IF_ERROR(Submit({{&single_kind_, &shape, tasks}}, call));
  return Await(call, queued);
}

absl::Status DeviceScheduler::Impl::RunBulk(
    absl::FunctionRef<absl::Status()> quantum, const CallControl& control,
    absl::Duration* queued) {
  FunctionTask task(quantum);
  PendingCall call;
  call.control = control;
  MutexLock lock(&mutex_);
  OVDIFF_RETURN_IF_ERROR(
      Admit(1, static_cast<int64_t>(bulk_.size()), options_.max_queued_bulk));
  OVDIFF_RETURN_IF_ERROR(ControlStatus(call));
  call.submitted = options_.clock();
  call.waiting = 1;
  bulk_.push_back({&call, &task});
  waiting_.insert(&call);
  work_changed_.Signal();
  return Await(call, queued);
}

absl::StatusOr<std::vector<DeviceScheduler::Impl::Request>>
DeviceScheduler::Impl::Resolve(absl::Span<const BatchGroup> groups) const {
  std::vector<Request> requests;
  requests.reserve(groups.size());
  for (const BatchGroup& group : groups) {
    const auto kind = kinds_.find(group.function);
    if (kind == kinds_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "no batch function '", group.function, "' is registered"));
    }
    requests.push_back({kind->second.get(), &group.shape, group.tasks});
  }
  return requests;
}

absl::Status DeviceScheduler::Impl::Admit(int64_t num_tasks,
                                          int64_t num_waiting, int limit) {
  if (OnDeviceThread()) {
    return absl::InternalError(
        "device work must not wait for other device work");
  }
  if (stopping_) {
    return absl::UnavailableError("the device scheduler is stopping");
  }
  if (num_tasks > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the call has ", num_tasks, " device tasks; at most ", limit,
        " can wait at a time: use a smaller picture or fewer windows"));
  }
  if (num_waiting + num_tasks > limit) {
    stats_.rejected_tasks += num_tasks;
    return absl::UnavailableError(absl::StrCat(
        "the device queue is full: ", num_waiting, " of ", limit,
        " tasks wait and the call has ", num_tasks, "; try again later"));
  }
  return absl::OkStatus();
}

absl::Status DeviceScheduler::Impl::Submit(absl::Span<const Request> requests,
                                           PendingCall& call) {
  int64_t num_tasks = 0;
  for (const Request& request : requests) {
    num_tasks += static_cast<int64_t>(request.tasks.size());
  }
  OVDIFF_RETURN_IF_ERROR(Admit(num_tasks,
                               static_cast<int64_t>(interactive_.size()),
                               options_.max_queued));
  OVDIFF_RETURN_IF_ERROR(ControlStatus(call));
  call.submitted = options_.clock();
  call.waiting = static_cast<int>(num_tasks);
  for (const Request& request : requests) {
    for (BatchTask* task : request.tasks) {
      task->status = absl::OkStatus();
      interactive_.Add(request.kind, *request.shape, {&call, task});
    }
  }
  if (num_tasks > 0) {
    waiting_.insert(&call);
    work_changed_.Signal();
  }
  return absl::OkStatus();
}

absl::Status DeviceScheduler::Impl::Await(PendingCall& call,
                                          absl::Duration* queued) {
  ++num_callers_;
  while (call.waiting + call.running > 0) {
    if (call.waiting == 0) {
      call.changed.Wait(&mutex_);
      continue;
    }
    if (absl::Status status = ControlStatus(call); !status.ok()) {
      stats_.expired_tasks += call.waiting;
      Drop(call, status);
      continue;
    }
    const absl::Duration left = call.control.deadline - options_.clock();
    call.changed.WaitFor(&mutex_, std::min(kPollInterval, left));
  }
  --num_callers_;
  last_caller_left_.Signal();
  if (queued != nullptr) {
    *queued = std::max(absl::ZeroDuration(),
                       options_.clock() - call.submitted - call.ran);
  }
  return call.failure;
}

absl::Status DeviceScheduler::Impl::ControlStatus(
    const PendingCall& call) const {
  if (call.control.cancellation.IsCancelled()) {
    return absl::CancelledError("cancelled while waiting for the device");
  }
  if (options_.clock() >= call.control.deadline) {
    return absl::DeadlineExceededError(
        "the deadline has passed while waiting for the device");
  }
  return absl::OkStatus();
}

void DeviceScheduler::Impl::Drop(PendingCall& call,
                                 const absl::Status& status) {
  for (BatchTask* task : interactive_.Remove(&call)) {
    task->status = status;
  }
  std::erase_if(bulk_, [&](const QueuedTask& q) { return q.call == &call; });
  call.waiting = 0;
  waiting_.erase(&call);
  if (call.failure.ok()) {
    call.failure = status;
  }
  call.changed.Signal();
}

void DeviceScheduler::Impl::DropExpired() {
  const std::vector<PendingCall*> calls(waiting_.begin(), waiting_.end());
  for (PendingCall* call : calls) {
    if (absl::Status status = ControlStatus(*call); !status.ok()) {
      stats_.expired_tasks += call->waiting;
      Drop(*call, status);
    }
  }
}

void DeviceScheduler::Impl::OpenScope() {
  MutexLock lock(&mutex_);
  ++open_scopes_;
}

void DeviceScheduler::Impl::CloseScope() {
  MutexLock lock(&mutex_);
  --open_scopes_;
  work_changed_.Signal();
}

void DeviceScheduler::Impl::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    const std::vector<PendingCall*> calls(waiting_.begin(), waiting_.end());
    for (PendingCall* call : calls) {
      Drop(*call,
           absl::UnavailableError("the device scheduler has been stopped"));
    }
    work_changed_.Signal();
  }
  MutexLock lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
}

SchedulerStats DeviceScheduler::Impl::stats() const {
  MutexLock lock(&mutex_);
  SchedulerStats stats = stats_;
  stats.queued_tasks = static_cast<int64_t>(interactive_.size());
  stats.queued_bulk = static_cast<int64_t>(bulk_.size());
  return stats;
}

}  // namespace ovdiff::engine
