#include "server/signals.h"

#include <signal.h>

#include <cstdlib>
#include <thread>

#include "absl/time/clock.h"
#include "engine/base/mutex.h"

namespace ovdiff::server {
namespace {

struct State {
  Mutex mutex;
  CondVar changed;
  int count ABSL_GUARDED_BY(mutex) = 0;
  bool exits_on_next ABSL_GUARDED_BY(mutex) = false;
};

// Never destroyed: the thread that takes signals outlives main().
State& GlobalState() {
  static State* const state = new State;
  return *state;
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void TakeSignals() {
  const sigset_t signals = StopSignals();
  while (true) {
    int signal_number = 0;
    if (sigwait(&signals, &signal_number) != 0) {
      continue;
    }
    State& state = GlobalState();
    MutexLock lock(&state.mutex);
    if (state.exits_on_next) {
      std::_Exit(128 + signal_number);
    }
    ++state.count;
    state.changed.SignalAll();
  }
}

// The thread that takes signals; set before the handler is.
pthread_t g_taker;

// Libraries start threads before main() blocks anything (OpenBLAS, which OpenCV
// may bring, does), and there a signal would end the process.
void PassOn(int signal_number) { pthread_kill(g_taker, signal_number); }

}  // namespace

void BlockSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A client that hangs up is an error of a write, not of the process.
  signal(SIGPIPE, SIG_IGN);
  std::thread taker(TakeSignals);
  g_taker = taker.native_handle();
  taker.detach();
  struct sigaction action = {};
  action.sa_handler = PassOn;
  action.sa_mask = signals;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

bool WaitForSignals(int count, absl::Duration timeout) {
  State& state = GlobalState();
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(&state.mutex);
  while (state.count < count && absl::Now() < deadline) {
    state.changed.WaitUntil(&state.mutex, deadline);
  }
  return state.count >= count;
}

void ExitOnNextSignal() {
  State& state = GlobalState();
  MutexLock lock(&state.mutex);
  state.exits_on_next = true;
}

}  // namespace ovdiff::server
