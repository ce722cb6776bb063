#include "server/job.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/convert.h"

namespace ovdiff::server {

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED || state == v1::JOB_STATE_VALIDATED;
}

bool IsTerminal(v1::ClassStage stage) {
  return stage == v1::CLASS_STAGE_DONE || stage == v1::CLASS_STAGE_FAILED ||
         stage == v1::CLASS_STAGE_CANCELLED;
}

Job::Job(storage::v1::JobRecord record)
    : id_(record.job().id()),
      content_hash_(record.content_hash()),
      request_(record.request()),
      record_(std::move(record)),
      class_revisions_(record_.job().classes_size(), 1) {}

Job::Update Job::ChangesSince(int64_t revision) const {
  MutexLock lock(&mutex_);
  Update update;
  update.revision = revision_;
  update.has_changes = revision_ > revision;
  update.is_terminal = IsTerminal(record_.job().state());
  update.interruption = interruption_;
  update.job = record_.job();
  if (revision > 0 && !update.is_terminal) {
    update.job.clear_classes();
    for (size_t i = 0; i < class_revisions_.size(); ++i) {
      if (class_revisions_[i] > revision) {
        *update.job.add_classes() = record_.job().classes(static_cast<int>(i));
      }
    }
  }
  return update;
}

v1::Job Job::Snapshot() const {
  MutexLock lock(&mutex_);
  return record_.job();
}

storage::v1::JobRecord Job::Record() const {
  MutexLock lock(&mutex_);
  return record_;
}

bool Job::is_terminal() const {
  MutexLock lock(&mutex_);
  return IsTerminal(record_.job().state());
}

v1::ClassStage Job::class_stage(int index) const {
  MutexLock lock(&mutex_);
  return record_.job().classes(index).stage();
}

absl::Time Job::create_time() const {
  MutexLock lock(&mutex_);
  return FromTimestamp(record_.job().create_time());
}

absl::Time Job::end_time() const {
  MutexLock lock(&mutex_);
  return record_.has_end_time() ? FromTimestamp(record_.end_time())
                                : absl::InfiniteFuture();
}

void Job::Modify(const std::function<void(v1::Job&)>& change) {
  MutexLock lock(&mutex_);
  change(*record_.mutable_job());
  ++revision_;
}

void Job::ModifyClass(int index,
                      const std::function<void(v1::ClassProgress&)>& change) {
  MutexLock lock(&mutex_);
  change(*record_.mutable_job()->mutable_classes(index));
  class_revisions_[index] = ++revision_;
}

void Job::End() {
  MutexLock lock(&mutex_);
  bool has_failed = false;
  bool has_cancelled = false;
  ++revision_;
  for (size_t i = 0; i < class_revisions_.size(); ++i) {
    auto& progress =
        *record_.mutable_job()->mutable_classes(static_cast<int>(i));
    if (!IsTerminal(progress.stage())) {
      progress.set_stage(v1::CLASS_STAGE_CANCELLED);
      progress.clear_remaining_seconds();
      class_revisions_[i] = revision_;
    }
    has_failed |= progress.stage() == v1::CLASS_STAGE_FAILED;
    has_cancelled |= progress.stage() == v1::CLASS_STAGE_CANCELLED;
  }
  record_.mutable_job()->set_state(has_cancelled ? v1::JOB_STATE_CANCELLED
                                   : has_failed  ? v1::JOB_STATE_FAILED
                                                 : v1::JOB_STATE_SUCCEEDED);
  *record_.mutable_end_time() = ToTimestamp(absl::Now());
}

bool Job::Cancel() {
  MutexLock lock(&mutex_);
  if (IsTerminal(record_.job().state())) {
    return false;
  }
  is_cancelled_ = true;
  control_.cancellation.Cancel();
  return true;
}

bool Job::is_cancelled() const {
  MutexLock lock(&mutex_);
  return is_cancelled_;
}

void Job::Interrupt(const absl::Status& reason) {
  {
    MutexLock lock(&mutex_);
    if (IsTerminal(record_.job().state())) {
      return;
    }
    interruption_ = reason;
    control_.cancellation.Cancel();
  }
  NotifyWatchers();
}

void Job::AddWatcher(const std::shared_ptr<JobWatcher>& watcher) {
  {
    MutexLock lock(&mutex_);
    std::erase_if(watchers_, [](const auto& held) { return held.expired(); });
    watchers_.push_back(watcher);
  }
  watcher->OnJobChanged();
}

void Job::NotifyIfChanged() {
  {
    MutexLock lock(&mutex_);
    if (revision_ == notified_revision_) {
      return;
    }
    notified_revision_ = revision_;
  }
  NotifyWatchers();
}

void Job::NotifyWatchers() {
  std::vector<std::weak_ptr<JobWatcher>> watchers;
  {
    MutexLock lock(&mutex_);
    watchers = watchers_;
  }
  for (const auto& held : watchers) {
    if (const auto watcher = held.lock()) {
      watcher->OnJobChanged();
    }
  }
}

}  // namespace ovdiff::server
