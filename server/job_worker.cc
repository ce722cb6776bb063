// The half of JobQueue that does the work: linking, building, publishing.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/status_macros.h"
#include "server/convert.h"
#include "server/doubtful_pictures.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/job_queue.h"
#include "server/log.h"
#include "server/similar_classes.h"
#include "server/validation.h"
#include "store/pack/vocabulary_diff.h"

namespace ovdiff::server {
namespace {

// Classes that were linked, or finished before the server stopped. Those whose
// forecast was made and found nothing are among them: it is made once more.
std::vector<int> Unforecast(const v1::Job& job) {
  std::vector<int> indices;
  for (int i = 0; i < job.classes_size(); ++i) {
    if (job.classes(i).stage() == v1::CLASS_STAGE_DONE &&
        job.classes(i).similar().empty()) {
      indices.push_back(i);
    }
  }
  return indices;
}

}  // namespace

void JobQueue::RunWorker(std::deque<JobPtr> JobQueue::*queue) {
  while (true) {
    JobPtr job;
    {
      MutexLock lock(&mutex_);
      while ((this->*queue).empty() && !stopping_) {
        work_.Wait(&mutex_);
      }
      if (stopping_) {
        return;
      }
      job = (this->*queue).front();
      (this->*queue).pop_front();
    }
    RunJob(job);
  }
}

void JobQueue::RunJob(const JobPtr& job) {
  job->Modify([](v1::Job& state) { state.set_state(v1::JOB_STATE_RUNNING); });
  {
    MutexLock lock(&mutex_);
    CountJobs();
  }
  LinkStored(job);
  Forecast(job, Unforecast(job->Snapshot()));
  for (int i = 0; i < job->request().classes_size(); ++i) {
    if (IsTerminal(job->class_stage(i))) {
      continue;
    }
    if (IsStopping() || job->is_cancelled()) {
      break;
    }
    BuildClass(job, i);
  }
  // Stopped: the record says what is left, for the next start.
  if (!IsStopping() || job->is_cancelled()) {
    Doubt(job);
    EndJob(job);
  }
}

void JobQueue::LinkStored(const JobPtr& job) {
  const ResolvedBuildOptions options = OptionsOf(job->request());
  std::vector<int> indices;
  std::vector<store::NewClass> classes;
  for (int i = 0; i < job->request().classes_size(); ++i) {
    if (IsTerminal(job->class_stage(i))) {
      continue;
    }
    store::NewClass described =
        builder_.Describe(job->request().classes(i), options);
    const auto is_stored = store_.HasPrototypeSet(described.prototype_key);
    if (is_stored.ok() && *is_stored) {
      indices.push_back(i);
      classes.push_back(std::move(described));
    }
  }
  if (indices.empty()) {
    return;
  }
  const absl::Status status =
      Publish(job, indices, classes, v1::CACHE_HIT_PROTOTYPES);
  if (!status.ok()) {
    // BuildClass() tries each alone, and says of each what is wrong.
    Log(LogLevel::kWarning, "link_failed",
        {{"job", job->id()}, {"error", status.ToString()}});
    return;
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    metrics_.PrototypeHit("store");
  }
  Save(job);
}

void JobQueue::BuildClass(const JobPtr& job, int index) {
  const v1::ClassSpec& spec = job->request().classes(index);
  const ResolvedBuildOptions options = OptionsOf(job->request());
  const store::NewClass described = builder_.Describe(spec, options);
  const auto report = [&](const v1::ClassProgress& update) {
    job->ModifyClass(index, [&](v1::ClassProgress& progress) {
      const std::string name = progress.name();
      progress = update;
      progress.set_name(name);
      progress.set_kind(FromKind(described.kind));
    });
  };
  const absl::Time start = absl::Now();
  v1::CacheHit hit = v1::CACHE_HIT_UNSPECIFIED;
  const auto publish = [&](const store::NewClass& built, v1::CacheHit found) {
    hit = found;
    return Publish(job, {index}, {built}, found);
  };
  const absl::Status status =
      builder_.Build(spec, options, job->control(), report, publish, described);
  job->ModifyClass(index, [&](v1::ClassProgress& progress) {
    progress.set_elapsed_seconds(absl::ToDoubleSeconds(absl::Now() - start));
  });
  if (absl::IsCancelled(status) && (job->is_cancelled() || IsStopping())) {
    return;
  }
  if (!status.ok()) {
    FailClass(job, index, status);
  }
  Log(LogLevel::kInfo, "class_built",
      {{"job", job->id()},
       {"vocabulary", job->request().vocabulary()},
       {"prototype_key", ToHex(described.prototype_key)},
       {"cache_hit", v1::CacheHit_Name(hit)},
       {"code", CodeName(status.code())},
       {"seconds", absl::ToDoubleSeconds(absl::Now() - start)}});
  if (status.ok()) {
    Forecast(job, {index});
  }
  Save(job);
}

absl::Status JobQueue::Publish(const JobPtr& job,
                               const std::vector<int>& indices,
                               const std::vector<store::NewClass>& classes,
                               v1::CacheHit hit) {
  const std::string& vocabulary = job->request().vocabulary();
  OVDIFF_ASSIGN_OR_RETURN(store::Vocabulary head,
                          store_.Publish({.name = vocabulary}, classes));
  absl::flat_hash_map<std::string, int> labels;
  for (const store::ClassEntry& entry : head.classes) {
    labels[entry.name] = entry.label;
  }
  const int64_t version = head.version;
  cache_.HeadChanged(std::move(head));
  job->Modify([version](v1::Job& state) { state.set_version(version); });
  for (size_t i = 0; i < indices.size(); ++i) {
    const int label = labels[classes[i].name];
    job->ModifyClass(indices[i], [&](v1::ClassProgress& progress) {
      progress.set_stage(v1::CLASS_STAGE_DONE);
      progress.set_pictures_done(progress.num_pictures());
      progress.set_fraction_done(1.0);
      progress.set_cache_hit(hit);
      progress.set_label(label);
      progress.clear_remaining_seconds();
    });
  }
  return absl::OkStatus();
}

void JobQueue::Forecast(const JobPtr& job, const std::vector<int>& indices) {
  const v1::AddClassesRequest& request = job->request();
  std::map<std::string, int> index_of;
  std::set<std::string> names;
  for (const int index : indices) {
    index_of[request.classes(index).name()] = index;
    names.insert(request.classes(index).name());
  }
  const auto find = [&]() -> absl::StatusOr<SimilarClasses> {
    OVDIFF_ASSIGN_OR_RETURN(const auto vocabulary,
                            cache_.GetVocabulary(request.vocabulary(), 0));
    return FindSimilarClasses(store_, *vocabulary, names,
                              request.has_similar_threshold()
                                  ? request.similar_threshold()
                                  : store::DiffOptions().confusable_threshold,
                              job->control());
  };
  if (names.empty()) {
    return;
  }
  const absl::StatusOr<SimilarClasses> similar = find();
  if (!similar.ok()) {
    if (!absl::IsCancelled(similar.status())) {
      Log(LogLevel::kWarning, "forecast_failed",
          {{"job", job->id()}, {"error", similar.status().ToString()}});
    }
    return;
  }
  if (similar->num_pairs_left_out > 0) {
    Log(LogLevel::kWarning, "forecast_incomplete",
        {{"job", job->id()}, {"pairs_left_out", similar->num_pairs_left_out}});
  }
  for (const auto& [name, others] : similar->by_name) {
    const int index = index_of.at(name);
    job->ModifyClass(index, [&](v1::ClassProgress& progress) {
      progress.mutable_similar()->Assign(others.begin(), others.end());
    });
    Log(LogLevel::kWarning, "class_confusable",
        {{"job", job->id()},
         {"vocabulary", request.vocabulary()},
         {"index", index},
         {"similar_classes", others.size()},
         {"cosine", others.front().cosine()}});
  }
}

void JobQueue::Doubt(const JobPtr& job) {
  const v1::AddClassesRequest& request = job->request();
  const auto find =
      [&](int index) -> absl::StatusOr<std::vector<v1::DoubtfulPicture>> {
    OVDIFF_ASSIGN_OR_RETURN(const auto vocabulary,
                            cache_.GetVocabulary(request.vocabulary(), 0));
    return FindDoubtfulPictures(request.classes(index), *vocabulary,
                                options_.limits, store_, engine_,
                                job->control());
  };
  for (int index = 0; index < request.classes_size(); ++index) {
    if (job->class_stage(index) != v1::CLASS_STAGE_DONE) {
      continue;
    }
    const auto doubtful = find(index);
    if (absl::IsCancelled(doubtful.status())) {
      return;
    }
    if (!doubtful.ok()) {
      Log(LogLevel::kWarning, "doubtful_pictures_failed",
          {{"job", job->id()}, {"error", doubtful.status().ToString()}});
      continue;
    }
    job->ModifyClass(index, [&](v1::ClassProgress& progress) {
      progress.mutable_doubtful_pictures()->Assign(doubtful->begin(),
                                                   doubtful->end());
    });
    if (!doubtful->empty()) {
      Log(LogLevel::kWarning, "pictures_doubtful",
          {{"job", job->id()},
           {"vocabulary", request.vocabulary()},
           {"index", index},
           {"pictures", doubtful->size()}});
    }
  }
}

void JobQueue::FailClass(const JobPtr& job, int index,
                         const absl::Status& status) {
  const std::string& name = job->request().classes(index).name();
  absl::Status named = WithPrefix(status, absl::StrCat("class ", Quoted(name)));
  if (absl::IsFailedPrecondition(named) && ReasonOf(named).empty()) {
    named = PreconditionError(name, named.message(), reasons::kNoForeground);
  }
  Log(LogLevel::kWarning, "class_failed",
      {{"job", job->id()}, {"index", index}, {"error", status.ToString()}});
  job->ModifyClass(index, [&named](v1::ClassProgress& progress) {
    progress.set_stage(v1::CLASS_STAGE_FAILED);
    progress.clear_remaining_seconds();
    *progress.mutable_error() = ToRpcStatus(named);
  });
}

void JobQueue::EndJob(const JobPtr& job) {
  job->End();
  Save(job);
  job->NotifyIfChanged();
  const std::string state = v1::JobState_Name(job->Snapshot().state());
  metrics_.JobEnded(state);
  Log(LogLevel::kInfo, "job_ended", {{"job", job->id()}, {"state", state}});
  {
    MutexLock lock(&mutex_);
    CountJobs();
  }
  ForgetOld();
}

void JobQueue::Save(const JobPtr& job) {
  const absl::Status status =
      store_.PutJob(job->id(), job->Record().SerializeAsString());
  if (!status.ok()) {
    // The classes are safe: a resumed job finds them in the store.
    Log(LogLevel::kError, "job_not_saved",
        {{"job", job->id()}, {"error", status.ToString()}});
  }
}

}  // namespace ovdiff::server
