// Job: one AddClasses as its callers see it, from acceptance to its end.
#ifndef OVDIFF_SERVER_JOB_H_
#define OVDIFF_SERVER_JOB_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/call_control.h"
#include "engine/base/mutex.h"
#include "ovdiff/storage/v1/job_record.pb.h"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::server {

// Told that a job changed; asks it for what is new. Called on any thread, with
// no lock held.
class JobWatcher {
 public:
  virtual ~JobWatcher() = default;
  virtual void OnJobChanged() = 0;
};

bool IsTerminal(v1::JobState state);
bool IsTerminal(v1::ClassStage stage);

// Thread-safe.
class Job {
 public:
  // REQUIRES: the record's job has one ClassProgress per class of its request.
  explicit Job(storage::v1::JobRecord record);

  const std::string& id() const { return id_; }
  const std::string& content_hash() const { return content_hash_; }
  const v1::AddClassesRequest& request() const { return request_; }
  // Cancels the engine call that works for this job.
  const CallControl& control() const { return control_; }

  // What a watcher has not seen yet.
  struct Update {
    v1::Job job;           // Whole, or the changed classes only.
    int64_t revision = 0;  // To be given back next time.
    bool has_changes = false;
    bool is_terminal = false;
    // Not OK: the server lets go of the job (it shuts down, or could not make
    // it durable), and no more will come.
    absl::Status interruption;
  };
  // revision 0, and any terminal update, give the whole job.
  Update ChangesSince(int64_t revision) const;
  v1::Job Snapshot() const;
  storage::v1::JobRecord Record() const;
  bool is_terminal() const;
  v1::ClassStage class_stage(int index) const;
  absl::Time create_time() const;
  absl::Time end_time() const;  // Infinite while it is not terminal.

  void Modify(const std::function<void(v1::Job&)>& change);
  void ModifyClass(int index,
                   const std::function<void(v1::ClassProgress&)>& change);
  // Ends it, by the stages of its classes; those not terminal are cancelled.
  // Tells nobody yet.
  void End();

  // CancelJob was called: its control is cancelled. False if it was terminal.
  bool Cancel();
  bool is_cancelled() const;
  // See Update::interruption. Cancels its control and tells watchers.
  void Interrupt(const absl::Status& reason);

  // Weakly held. Tells them at once if the job is terminal already.
  void AddWatcher(const std::shared_ptr<JobWatcher>& watcher);
  // Tells the watchers if anything changed since the last time.
  void NotifyIfChanged();

 private:
  void NotifyWatchers();

  const std::string id_;
  const std::string content_hash_;
  const v1::AddClassesRequest request_;
  CallControl control_;

  mutable Mutex mutex_;
  storage::v1::JobRecord record_ ABSL_GUARDED_BY(mutex_);
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t notified_revision_ ABSL_GUARDED_BY(mutex_) = 1;
  std::vector<int64_t> class_revisions_ ABSL_GUARDED_BY(mutex_);
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status interruption_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<JobWatcher>> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_JOB_H_
