// AddClassesCall: one AddClasses stream, watching one job.
#ifndef OVDIFF_SERVER_ADD_CLASSES_CALL_H_
#define OVDIFF_SERVER_ADD_CLASSES_CALL_H_

#include <memory>

#include "absl/status/status.h"
#include "engine/base/mutex.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/call_record.h"
#include "server/executor.h"
#include "server/job.h"
#include "server/job_queue.h"

namespace ovdiff::server {

// Accepts the request on `executor`, then writes what the job's notifications
// bring, one message at a time: changes that come while a message is on its way
// are joined into the next, so a slow client costs nothing.
class AddClassesCall final
    : public grpc::ServerWriteReactor<v1::AddClassesResponse>,
      public JobWatcher,
      public std::enable_shared_from_this<AddClassesCall> {
 public:
  // Owned by gRPC until OnDone().
  static grpc::ServerWriteReactor<v1::AddClassesResponse>* Start(
      JobQueue& jobs, Executor& executor, Metrics& metrics,
      const MethodInfo& method, grpc::CallbackServerContext* context,
      const v1::AddClassesRequest& request);

  void OnJobChanged() override;

 private:
  enum class Action { kNone, kWrite, kFinish };

  AddClassesCall(Metrics& metrics, const MethodInfo& method,
                 grpc::CallbackServerContext* context);

  void Accept(JobQueue& jobs, const v1::AddClassesRequest& request);
  // Starts the next write or finishes, if nothing is on its way.
  void Advance();
  Action ChooseAction() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the job's news into message_ or, if it was interrupted, result_.
  void TakeUpdate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the call as soon as no write is on its way.
  void FinishWith(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  std::shared_ptr<AddClassesCall> self_;  // Until OnDone().

  Mutex mutex_;
  CallRecord record_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Job> job_ ABSL_GUARDED_BY(mutex_);
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_result_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  // While is_writing_ it is gRPC's and nobody touches it.
  v1::AddClassesResponse message_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_ADD_CLASSES_CALL_H_
