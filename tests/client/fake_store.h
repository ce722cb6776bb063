// StoreService with findings that a test sets.
#ifndef OVDIFF_TESTS_CLIENT_FAKE_STORE_H_
#define OVDIFF_TESTS_CLIENT_FAKE_STORE_H_

#include <mutex>

#include "absl/synchronization/notification.h"
#include "ovdiff/v1/store_service.grpc.pb.h"

namespace ovdiff::client {

class FakeStore final : public v1::StoreService::Service {
 public:
  // What the next calls meet. Set before calling.
  int num_damaged = 0;       // Of four records.
  bool is_busy = false;      // CompactStore is refused.
  bool hold_verify = false;  // VerifyStore stays at its first message.
  absl::Notification held;   // It has got there.

  // What they left.
  std::mutex mutex;
  v1::VerifyStoreRequest verify_request;
  v1::ScrubStoreRequest scrub_request;
  v1::CollectGarbageRequest garbage_request;

  grpc::Status GetStoreStats(grpc::ServerContext*,
                             const v1::GetStoreStatsRequest*,
                             v1::GetStoreStatsResponse*) override;
  grpc::Status VerifyStore(
      grpc::ServerContext*, const v1::VerifyStoreRequest*,
      grpc::ServerWriter<v1::VerifyStoreResponse>*) override;
  grpc::Status ScrubStore(grpc::ServerContext*, const v1::ScrubStoreRequest*,
                          grpc::ServerWriter<v1::ScrubStoreResponse>*) override;
  grpc::Status CollectGarbage(grpc::ServerContext*,
                              const v1::CollectGarbageRequest*,
                              v1::CollectGarbageResponse*) override;
  grpc::Status BackUpStore(grpc::ServerContext*, const v1::BackUpStoreRequest*,
                           v1::BackUpStoreResponse*) override;
  grpc::Status CompactStore(grpc::ServerContext*,
                            const v1::CompactStoreRequest*,
                            v1::CompactStoreResponse*) override;

 private:
  // Progress, a message per problem, the totals.
  template <typename Response>
  void Check(bool drops, grpc::ServerWriter<Response>& writer);
};

}  // namespace ovdiff::client

#endif  // OVDIFF_TESTS_CLIENT_FAKE_STORE_H_
