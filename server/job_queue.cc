#include "server/job_queue.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/error_reasons.h"
#include "server/given_pictures.h"
#include "server/grpc_status.h"
#include "server/job_request.h"
#include "server/log.h"
#include "server/validation.h"

namespace ovdiff::server {
namespace {

// Watchers hear of changes five times a second at most.
constexpr absl::Duration kNotifyInterval = absl::Milliseconds(200);
// Finished jobs kept whatever their age, so that the map stays small.
constexpr size_t kMaxFinishedJobs = 1000;

absl::Status Draining() {
  return OverloadError(
      "the server is shutting down; the job is durable and goes on when the "
      "server is back: ask again with the same request",
      reasons::kDraining, absl::Seconds(5));
}

}  // namespace

JobQueue::JobQueue(engine::Engine& engine, store::PrototypeStore& store,
                   VocabularyCache& cache, Metrics& metrics,
                   const ServerOptions& options)
    : engine_(engine),
      store_(store),
      cache_(cache),
      metrics_(metrics),
      options_(options),
      builder_(engine, store, metrics, options.limits) {}

JobQueue::~JobQueue() { Stop(); }

absl::Status JobQueue::Start() {
  int64_t damaged = 0;
  OVDIFF_ASSIGN_OR_RETURN(const auto records, store_.ListJobs(&damaged));
  if (damaged > 0) {
    Log(LogLevel::kError, "job_records_damaged", {{"count", damaged}});
  }
  std::vector<storage::v1::JobRecord> readable;
  for (const auto& [id, bytes] : records) {
    storage::v1::JobRecord record;
    if (!record.ParseFromString(bytes) || record.format() > kJobRecordFormat ||
        record.job().classes_size() != record.request().classes_size()) {
      Log(LogLevel::kError, "job_record_unreadable",
          {{"job", id}, {"format", record.format()}});
      continue;
    }
    readable.push_back(std::move(record));
  }
  std::sort(readable.begin(), readable.end(), [](const auto& a, const auto& b) {
    return FromTimestamp(a.job().create_time()) <
           FromTimestamp(b.job().create_time());
  });
  for (storage::v1::JobRecord& record : readable) {
    Resume(std::move(record));
  }
  ForgetOld();
  for (int i = 0; i < options_.build_threads; ++i) {
    threads_.emplace_back([this] { RunWorker(&JobQueue::waiting_); });
  }
  threads_.emplace_back([this] { RunWorker(&JobQueue::linked_); });
  threads_.emplace_back([this] { RunNotifier(); });
  return absl::OkStatus();
}

void JobQueue::Resume(storage::v1::JobRecord record) {
  v1::Job& job = *record.mutable_job();
  const bool is_over = IsTerminal(job.state());
  if (!is_over) {
    job.set_state(v1::JOB_STATE_QUEUED);
    for (v1::ClassProgress& progress : *job.mutable_classes()) {
      if (!IsTerminal(progress.stage())) {
        progress.set_stage(v1::CLASS_STAGE_WAITING);
        progress.clear_remaining_seconds();
      }
    }
    // The bundle may be another one since: what is built now is of this one.
    const ResolvedBuildOptions options = OptionsOf(record.request());
    job.mutable_fingerprints()->set_generator(
        ToHex(engine_.GeneratorFingerprint(options.generation)));
    job.mutable_fingerprints()->set_encoder(
        ToHex(engine_.EncoderFingerprint(options.prototype)));
    Log(LogLevel::kInfo, "job_resumed", {{"job", job.id()}});
  }
  const auto resumed = std::make_shared<Job>(std::move(record));
  MutexLock lock(&mutex_);
  jobs_[resumed->id()] = resumed;
  if (!is_over) {
    waiting_.push_back(resumed);
  }
  CountJobs();
}

// An accepted request has all options set; the profile gives what an older
// program's record lacks. One that is gone by now is not missed.
ResolvedBuildOptions JobQueue::OptionsOf(
    const v1::AddClassesRequest& request) const {
  auto profile = FindProfile(request.profile(), engine_.info());
  if (!profile.ok()) {
    profile = FindProfile("", engine_.info());
  }
  return ToBuildOptions(request.options(), **profile);
}

absl::StatusOr<JobQueue::JobPtr> JobQueue::Accept(
    v1::AddClassesRequest request) {
  OVDIFF_ASSIGN_OR_RETURN(const MethodProfile* profile,
                          FindProfile(request.profile(), engine_.info()));
  const ResolvedBuildOptions options =
      ToBuildOptions(request.options(), *profile);
  OVDIFF_RETURN_IF_ERROR(
      ValidateJobRequest(request, options, engine_, options_.limits));
  OVDIFF_RETURN_IF_ERROR(CheckVocabularyRoom(request));
  OVDIFF_ASSIGN_OR_RETURN(const v1::AddClassesRequest digested,
                          DigestGivenPictures(request, options_.limits));
  auto job = std::make_shared<Job>(MakeJobRecord(digested, options, engine_));
  if (request.validate_only()) {
    job->Modify(
        [](v1::Job& state) { state.set_state(v1::JOB_STATE_VALIDATED); });
    return job;
  }
  OVDIFF_ASSIGN_OR_RETURN(JobPtr registered,
                          Register(job, !request.request_id().empty()));
  if (registered != job) {
    if (registered->content_hash() != job->content_hash()) {
      return RequestIdReused(registered->request(), digested,
                             FromBuildOptions(options, engine_.info()));
    }
    return registered;
  }
  const absl::Status saved = SaveNew(*job, request);
  if (!saved.ok()) {
    {
      MutexLock lock(&mutex_);
      jobs_.erase(job->id());
      CountJobs();
    }
    job->Interrupt(saved);  // Others may have attached meanwhile.
    return saved;
  }
  LinkStored(job);
  Enqueue(job);
  return job;
}

absl::Status JobQueue::SaveNew(const Job& job,
                               const v1::AddClassesRequest& request) {
  // The pictures first: a job that is there has what it takes to finish it.
  for (int i = 0; i < request.classes_size(); ++i) {
    OVDIFF_RETURN_IF_ERROR(StoreGivenPictures(
        request.classes(i), job.request().classes(i), options_.limits, store_));
  }
  return store_.PutJob(job.id(), job.Record().SerializeAsString());
}

absl::Status JobQueue::CheckVocabularyRoom(
    const v1::AddClassesRequest& request) {
  const auto head = cache_.GetVocabulary(request.vocabulary(), 0);
  if (absl::IsNotFound(head.status())) {
    return absl::OkStatus();
  }
  OVDIFF_RETURN_IF_ERROR(head.status());
  return ValidateVocabularyRoom(request.classes(), **head, options_.limits);
}

absl::StatusOr<JobQueue::JobPtr> JobQueue::Register(const JobPtr& job,
                                                    bool has_request_id) {
  MutexLock lock(&mutex_);
  if (stopping_) {
    return Draining();
  }
  const auto held = jobs_.find(job->id());
  // A job named by its content is done when it ends: the same request later is
  // a new job, which finds in the store what is left of the old one's work.
  if (held != jobs_.end() && (has_request_id || !held->second->is_terminal())) {
    return held->second;
  }
  const int64_t active = std::count_if(
      jobs_.begin(), jobs_.end(),
      [](const auto& entry) { return !entry.second->is_terminal(); });
  if (active >= options_.limits.max_queued_jobs) {
    return OverloadError(
        absl::StrCat("the job queue is full: ", active, " jobs run or wait, ",
                     options_.limits.max_queued_jobs,
                     " are allowed; try again later"),
        reasons::kQueueFull, absl::Seconds(10));
  }
  jobs_[job->id()] = job;
  CountJobs();
  return job;
}

absl::StatusOr<JobQueue::JobPtr> JobQueue::Find(const std::string& id) {
  MutexLock lock(&mutex_);
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) {
    return ResourceError(
        absl::StatusCode::kNotFound, "ovdiff.v1.Job", id,
        absl::StrCat("job ", Quoted(id),
                     " is not known; it was never started, or ended more than ",
                     absl::FormatDuration(options_.limits.job_retention),
                     " ago"),
        reasons::kJobNotFound);
  }
  return it->second;
}

absl::StatusOr<JobQueue::JobPtr> JobQueue::Cancel(const std::string& id) {
  OVDIFF_ASSIGN_OR_RETURN(JobPtr job, Find(id));
  if (!job->Cancel()) {
    return job;
  }
  bool was_waiting = false;
  {
    MutexLock lock(&mutex_);
    was_waiting = std::erase(waiting_, job) > 0 || std::erase(linked_, job) > 0;
  }
  if (was_waiting) {
    EndJob(job);
  }
  return job;
}

void JobQueue::Enqueue(const JobPtr& job) {
  const v1::Job state = job->Snapshot();
  const bool has_work =
      std::any_of(state.classes().begin(), state.classes().end(),
                  [](const auto& one) { return !IsTerminal(one.stage()); });
  {
    MutexLock lock(&mutex_);
    // Cancel() looks for the job in the queue under this lock.
    if (!job->is_cancelled()) {
      (has_work ? waiting_ : linked_).push_back(job);
      work_.SignalAll();
      return;
    }
  }
  EndJob(job);
}

bool JobQueue::IsStopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

void JobQueue::Stop() {
  std::vector<JobPtr> active;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    waiting_.clear();
    linked_.clear();
    for (const auto& [id, job] : jobs_) {
      active.push_back(job);
    }
    work_.SignalAll();
    stopped_.SignalAll();
  }
  for (const JobPtr& job : active) {
    job->Interrupt(Draining());
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

void JobQueue::CountJobs() {
  int64_t running = 0;
  int64_t queued = 0;
  for (const auto& [id, job] : jobs_) {
    const v1::JobState state = job->Snapshot().state();
    running += state == v1::JOB_STATE_RUNNING;
    queued += state == v1::JOB_STATE_QUEUED;
  }
  metrics_.SetJobs("running", running);
  metrics_.SetJobs("queued", queued);
}

void JobQueue::RunNotifier() {
  while (true) {
    std::vector<JobPtr> jobs;
    {
      MutexLock lock(&mutex_);
      if (stopping_) {
        return;
      }
      stopped_.WaitUntil(&mutex_, absl::Now() + kNotifyInterval);
      for (const auto& [id, job] : jobs_) {
        jobs.push_back(job);
      }
    }
    for (const JobPtr& job : jobs) {
      job->NotifyIfChanged();
    }
  }
}

void JobQueue::ForgetOld() {
  std::vector<JobPtr> old;
  {
    MutexLock lock(&mutex_);
    std::vector<JobPtr> finished;
    for (const auto& [id, job] : jobs_) {
      if (job->is_terminal()) {
        finished.push_back(job);
      }
    }
    std::sort(finished.begin(), finished.end(),
              [](const JobPtr& a, const JobPtr& b) {
                return a->end_time() > b->end_time();
              });
    const absl::Time oldest = absl::Now() - options_.limits.job_retention;
    for (size_t i = 0; i < finished.size(); ++i) {
      if (i >= kMaxFinishedJobs || finished[i]->end_time() < oldest) {
        old.push_back(finished[i]);
        jobs_.erase(finished[i]->id());
      }
    }
  }
  for (const JobPtr& job : old) {
    const absl::Status status = store_.DeleteJob(job->id());
    if (!status.ok()) {
      Log(LogLevel::kError, "job_not_forgotten",
          {{"job", job->id()}, {"error", status.ToString()}});
    }
  }
}

}  // namespace ovdiff::server
