#include "engine/batching/device_scheduler.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/batching/device_scheduler_impl.h"

namespace ovdiff::engine {
namespace {

absl::Status CheckOptions(const DeviceSchedulerOptions& options) {
  const auto at_least_1 = [](const char* name, int value) {
    return value >= 1 ? absl::OkStatus()
                      : absl::InvalidArgumentError(absl::StrCat(
                            name, " is ", value, "; it must be at least 1"));
  };
  const auto not_negative = [](const char* name, absl::Duration value) {
    return value >= absl::ZeroDuration()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(
                     absl::StrCat(name, " is ", absl::FormatDuration(value),
                                  "; it must not be negative"));
  };
  OVDIFF_RETURN_IF_ERROR(at_least_1("max_batch", options.max_batch));
  OVDIFF_RETURN_IF_ERROR(at_least_1("max_queued", options.max_queued));
  OVDIFF_RETURN_IF_ERROR(
      at_least_1("max_queued_bulk", options.max_queued_bulk));
  OVDIFF_RETURN_IF_ERROR(
      not_negative("max_batch_delay", options.max_batch_delay));
  return not_negative("max_bulk_wait", options.max_bulk_wait);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceScheduler>> DeviceScheduler::Create(
    DeviceSchedulerOptions options) {
  OVDIFF_RETURN_IF_ERROR(CheckOptions(options));
  return std::unique_ptr<DeviceScheduler>(
      new DeviceScheduler(std::make_unique<Impl>(std::move(options))));
}

DeviceScheduler::DeviceScheduler(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

DeviceScheduler::~DeviceScheduler() = default;

absl::Status DeviceScheduler::RegisterBatchFunction(const std::string& name,
                                                    BatchFunction function,
                                                    int max_batch) {
  return impl_->RegisterBatchFunction(name, std::move(function), max_batch);
}

absl::Status DeviceScheduler::RunBatched(absl::Span<const BatchGroup> groups,
                                         const CallControl& control,
                                         absl::Duration* queued) {
  return impl_->RunBatched(groups, control, queued);
}

absl::Status DeviceScheduler::Run(absl::FunctionRef<absl::Status()> work,
                                  const CallControl& control,
                                  absl::Duration* queued) {
  return impl_->Run(work, control, queued);
}

absl::Status DeviceScheduler::RunBulk(absl::FunctionRef<absl::Status()> quantum,
                                      const CallControl& control,
                                      absl::Duration* queued) {
  return impl_->RunBulk(quantum, control, queued);
}

DeviceScheduler::InteractiveScope::InteractiveScope(DeviceScheduler& scheduler)
    : scheduler_(scheduler) {
  scheduler_.impl_->OpenScope();
}

DeviceScheduler::InteractiveScope::~InteractiveScope() {
  scheduler_.impl_->CloseScope();
}

void DeviceScheduler::Stop() { impl_->Stop(); }

SchedulerStats DeviceScheduler::stats() const { return impl_->stats(); }

}  // namespace ovdiff::engine
