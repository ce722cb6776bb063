// Signals: SIGTERM and SIGINT as something that can be waited for.
#ifndef OVDIFF_SERVER_SIGNALS_H_
#define OVDIFF_SERVER_SIGNALS_H_

#include "absl/time/time.h"

namespace ovdiff::server {

// To be called first in main(), before any thread: threads made later inherit
// that the signals are blocked, and one thread of ours takes them.
void BlockSignals();

// Returns true once `count` signals have come in all, false after `timeout`.
bool WaitForSignals(int count, absl::Duration timeout);

// From now on one more signal ends the process at once, with 128 + its number.
// The store is safe at any moment.
void ExitOnNextSignal();

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_SIGNALS_H_
