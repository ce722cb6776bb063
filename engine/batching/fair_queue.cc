#include "engine/batching/fair_queue.h"

#include <algorithm>
#include <iterator>

namespace ovdiff::engine {

void FairQueue::Add(const BatchKind* kind, const std::string& shape,
                    QueuedTask task) {
  auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
    return l.kind == kind && l.shape == shape;
  });
  if (lane == lanes_.end()) {
    lane = lanes_.insert(lanes_.end(), Lane{kind, shape, {}, 0});
  }
  // A call adds its tasks in one go, so its own list is the last, if any.
  auto& calls = lane->calls;
  if (calls.empty() || calls.back().call != task.call) {
    calls.push_back(CallTasks{task.call, {}});
  }
  calls.back().tasks.push_back(task.task);
  ++lane->size;
  ++size_;
}

std::vector<BatchTask*> FairQueue::Remove(const PendingCall* call) {
  std::vector<BatchTask*> removed;
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    for (auto it = lane->calls.begin(); it != lane->calls.end();) {
      if (it->call != call) {
        ++it;
        continue;
      }
      removed.insert(removed.end(), it->tasks.begin(), it->tasks.end());
      lane->size -= it->tasks.size();
      it = lane->calls.erase(it);
    }
    lane = lane->calls.empty() ? lanes_.erase(lane) : std::next(lane);
  }
  size_ -= removed.size();
  return removed;
}

Batch FairQueue::Take(absl::Time now, absl::Duration delay) {
  const auto lane =
      std::find_if(lanes_.begin(), lanes_.end(),
                   [&](const Lane& l) { return ReadyAt(l, delay) <= now; });
  Batch batch;
  if (lane == lanes_.end()) {
    return batch;
  }
  batch.kind = lane->kind;
  auto& calls = lane->calls;
  while (!calls.empty() &&
         batch.tasks.size() < static_cast<size_t>(lane->kind->max_batch)) {
    CallTasks& front = calls.front();
    batch.tasks.push_back({front.call, front.tasks.front()});
    front.tasks.pop_front();
    if (front.tasks.empty()) {
      calls.pop_front();
    } else {
      calls.splice(calls.end(), calls, calls.begin());
    }
  }
  lane->size -= batch.tasks.size();
  size_ -= batch.tasks.size();
  if (calls.empty()) {
    lanes_.erase(lane);
  } else {
    lanes_.splice(lanes_.end(), lanes_, lane);
  }
  return batch;
}

absl::Time FairQueue::NextReady(absl::Duration delay) const {
  absl::Time next = absl::InfiniteFuture();
  for (const Lane& lane : lanes_) {
    next = std::min(next, ReadyAt(lane, delay));
  }
  return next;
}

absl::Time FairQueue::ReadyAt(const Lane& lane, absl::Duration delay) {
  if (delay <= absl::ZeroDuration() ||
      lane.size >= static_cast<size_t>(lane.kind->max_batch)) {
    return absl::InfinitePast();
  }
  absl::Time oldest = absl::InfiniteFuture();
  for (const CallTasks& call : lane.calls) {
    oldest = std::min(oldest, call.call->submitted);
  }
  return oldest + delay;
}

}  // namespace ovdiff::engine
