// FakeStoreAdmin: a store's keeper whose findings a test sets, and who waits at
// a gate.
#ifndef OVDIFF_TESTS_SERVER_FAKE_STORE_ADMIN_H_
#define OVDIFF_TESTS_SERVER_FAKE_STORE_ADMIN_H_

#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "store/store_admin.h"
#include "tests/server/gate.h"

namespace ovdiff::server {

// Thread-safe, but for what is set before calls.
class FakeStoreAdmin final : public store::StoreAdmin {
 public:
  Gate gate;  // Every operation passes here, after its first progress.
  // Set before calls.
  absl::Status status;  // What operations end with.
  store::VerifyReport verify_report;
  store::GarbageReport garbage_report;

  // What the latest calls were asked.
  store::VerifyOptions verify_options() const { return Read(verify_options_); }
  store::GarbageOptions garbage_options() const {
    return Read(garbage_options_);
  }
  store::BackupOptions backup_options() const { return Read(backup_options_); }

  absl::StatusOr<store::VerifyReport> Verify(
      const store::VerifyOptions& options, const CallControl& control,
      const store::AdminProgressCallback& on_progress) override {
    Write(options, verify_options_);
    for (int64_t record = 0; record <= 10; ++record) {
      on_progress({.records = record, .total_records = 10, .bytes = 7});
      OVDIFF_RETURN_IF_ERROR(gate.Pass(control));
    }
    OVDIFF_RETURN_IF_ERROR(status);
    return verify_report;
  }

  absl::StatusOr<store::GarbageReport> CollectGarbage(
      const store::GarbageOptions& options,
      const CallControl& control) override {
    Write(options, garbage_options_);
    OVDIFF_RETURN_IF_ERROR(gate.Pass(control));
    OVDIFF_RETURN_IF_ERROR(status);
    store::GarbageReport report = garbage_report;
    report.is_dry_run = options.dry_run;
    return report;
  }

  absl::StatusOr<store::BackupInfo> Backup(
      const store::BackupOptions& options,
      const CallControl& control) override {
    Write(options, backup_options_);
    OVDIFF_RETURN_IF_ERROR(gate.Pass(control));
    OVDIFF_RETURN_IF_ERROR(status);
    return store::BackupInfo{.id = 3,
                             .create_time = absl::FromUnixSeconds(1000),
                             .bytes = 4096,
                             .num_files = 5};
  }

  absl::Status Compact(const CallControl& control) override {
    OVDIFF_RETURN_IF_ERROR(gate.Pass(control));
    return status;
  }

 private:
  template <typename Options>
  Options Read(const Options& options) const {
    MutexLock lock(&mutex_);
    return options;
  }
  template <typename Options>
  void Write(const Options& from, Options& to) {
    MutexLock lock(&mutex_);
    to = from;
  }

  mutable Mutex mutex_;
  store::VerifyOptions verify_options_;
  store::GarbageOptions garbage_options_;
  store::BackupOptions backup_options_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_FAKE_STORE_ADMIN_H_
