// CallRecord: one RPC's metrics and its one line in the log.
#ifndef OVDIFF_SERVER_CALL_RECORD_H_
#define OVDIFF_SERVER_CALL_RECORD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/log.h"
#include "server/metrics.h"

namespace ovdiff::server {

// Thread-compatible. REQUIRES: `metrics` outlives it; End() is called once.
class CallRecord {
 public:
  CallRecord(Metrics& metrics, const MethodInfo& method, std::string peer);

  // A field of the log line. No class names, no prompts.
  template <typename Value>
  void Note(const std::string& key, const Value& value) {
    fields_[key] = value;
  }

  // Counts and logs: errors of ours as errors, the rest at info. The log has
  // the whole message; the caller's copy lacks our paths (grpc_status.h).
  void End(const absl::Status& status);

  Metrics& metrics() { return metrics_; }
  const MethodInfo& method() const { return method_; }
  absl::Time start_time() const { return start_time_; }

 private:
  Metrics& metrics_;
  const MethodInfo method_;
  const absl::Time start_time_;
  LogFields fields_ = LogFields::object();
};

// Whether an error with this code is our fault and deserves an operator's look.
bool IsServerFault(absl::StatusCode code);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CALL_RECORD_H_
