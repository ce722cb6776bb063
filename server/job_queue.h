// JobQueue: accepts, runs, resumes and forgets jobs.
#ifndef OVDIFF_SERVER_JOB_QUEUE_H_
#define OVDIFF_SERVER_JOB_QUEUE_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/engine.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "server/class_builder.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "server/vocabulary_cache.h"
#include "store/prototype_store.h"

namespace ovdiff::server {

// Thread-safe. Blocks on the store: never on a gRPC thread; Find() does not.
class JobQueue {
 public:
  // REQUIRES: all outlive it.
  JobQueue(engine::Engine& engine, store::PrototypeStore& store,
           VocabularyCache& cache, Metrics& metrics,
           const ServerOptions& options);
  ~JobQueue();  // As Stop().

  // Reads the durable records and resumes what was unfinished. Once, first.
  absl::Status Start();

  // The job of `request`: a new one, durable on return and with every class
  // that the store has already linked, or the one that the request names or
  // repeats. validate_only gives a job that is not kept. Fails with
  //   kInvalidArgument     the request, naming the field
  //   kAlreadyExists       request_id belongs to other content; says what
  //   differs kFailedPrecondition  the vocabulary would be too large
  //   kUnavailable         too many jobs, shutting down, store
  absl::StatusOr<std::shared_ptr<Job>> Accept(v1::AddClassesRequest request);

  // kNotFound.
  absl::StatusOr<std::shared_ptr<Job>> Find(const std::string& id);
  // Cancels if it is not terminal; its builder ends it within a step.
  absl::StatusOr<std::shared_ptr<Job>> Cancel(const std::string& id);

  // Interrupts what runs; unfinished jobs stay durable. Idempotent.
  void Stop();

 private:
  using JobPtr = std::shared_ptr<Job>;

  absl::Status Check(const v1::AddClassesRequest& request,
                     const ResolvedBuildOptions& options);
  absl::Status CheckVocabularyRoom(const v1::AddClassesRequest& request);
  // Makes a job durable, and the pictures that `request` gave for it.
  absl::Status SaveNew(const Job& job, const v1::AddClassesRequest& request);
  // Registers `job`, or returns the one that stands for the same request.
  absl::StatusOr<JobPtr> Register(const JobPtr& job, bool has_request_id);
  void Resume(storage::v1::JobRecord record);

  // `queue`: waiting_ or linked_.
  void RunWorker(std::deque<JobPtr> JobQueue::*queue);
  void RunNotifier();
  void RunJob(const JobPtr& job);
  // All classes of which the store has the record, in one write.
  void LinkStored(const JobPtr& job);
  void BuildClass(const JobPtr& job, int index);
  absl::Status Publish(const JobPtr& job, const std::vector<int>& indices,
                       const std::vector<store::NewClass>& classes,
                       v1::CacheHit hit);
  // Fills in which others the finished classes `indices` can be taken for. Not
  // being able to say changes nothing else.
  void Forecast(const JobPtr& job, const std::vector<int>& indices);
  // Fills in which given pictures may not show the job's finished classes, once
  // all of them are there to be compared with. Likewise.
  void Doubt(const JobPtr& job);
  void FailClass(const JobPtr& job, int index, const absl::Status& status);
  void EndJob(const JobPtr& job);
  void Save(const JobPtr& job);
  void Enqueue(const JobPtr& job);
  void ForgetOld();
  void CountJobs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsStopping();
  ResolvedBuildOptions OptionsOf(const v1::AddClassesRequest& request) const;

  engine::Engine& engine_;
  store::PrototypeStore& store_;
  VocabularyCache& cache_;
  Metrics& metrics_;
  const ServerOptions options_;
  ClassBuilder builder_;

  Mutex mutex_;
  CondVar work_;     // Something waits, or the end.
  CondVar stopped_;  // The end.
  std::map<std::string, JobPtr> jobs_ ABSL_GUARDED_BY(mutex_);
  std::deque<JobPtr> waiting_ ABSL_GUARDED_BY(mutex_);
  // Jobs with nothing to build: they do not wait for those that have.
  std::deque<JobPtr> linked_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_JOB_QUEUE_H_
