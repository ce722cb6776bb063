#include "tests/client/fake_store.h"

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"

namespace ovdiff::client {

template <typename Response>
void FakeStore::Check(bool drops, grpc::ServerWriter<Response>& writer) {
  Response message;
  v1::StoreCheck& check = *message.mutable_check();
  check.set_total_records(4);
  for (int i = 1; i <= 4; ++i) {
    check.set_num_records(i);
    check.set_bytes(1'150'000 * i);
    writer.Write(message);
  }
  for (int i = 0; i < num_damaged; ++i) {
    check.clear_problems();
    v1::StoreProblem& problem = *check.add_problems();
    problem.set_table("proto");
    problem.set_key(absl::StrCat("prototype set ", i, "f2e"));
    problem.mutable_error()->set_code(grpc::StatusCode::DATA_LOSS);
    problem.mutable_error()->set_message("its SHA-256 differs");
    problem.add_users("default/shop: boat");
    problem.set_num_users(3);
    problem.set_is_dropped(drops);
    writer.Write(message);
  }
  check.clear_problems();
  check.set_num_problems(num_damaged);
  check.set_num_dropped(drops ? num_damaged : 0);
  message.set_last(true);
  writer.Write(message);
}

grpc::Status FakeStore::GetStoreStats(grpc::ServerContext*,
                                      const v1::GetStoreStatsRequest*,
                                      v1::GetStoreStatsResponse* response) {
  response->set_num_vocabularies(2);
  response->set_num_prototype_sets(12);
  response->set_prototype_bytes(55'200'000);
  response->set_disk_bytes(812);
  response->mutable_health()->set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
  response->mutable_health()->set_message("the volume is full");
  response->mutable_running()->set_name("backup");
  response->mutable_running()->set_caller("ipv4:10.0.0.7:5");
  return grpc::Status::OK;
}

grpc::Status FakeStore::VerifyStore(
    grpc::ServerContext* context, const v1::VerifyStoreRequest* request,
    grpc::ServerWriter<v1::VerifyStoreResponse>* writer) {
  {
    std::lock_guard lock(mutex);
    verify_request = *request;
  }
  if (hold_verify) {
    writer->Write(v1::VerifyStoreResponse());
    held.Notify();
    while (!context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return grpc::Status::CANCELLED;
  }
  Check(/*drops=*/false, *writer);
  return grpc::Status::OK;
}

grpc::Status FakeStore::ScrubStore(
    grpc::ServerContext*, const v1::ScrubStoreRequest* request,
    grpc::ServerWriter<v1::ScrubStoreResponse>* writer) {
  {
    std::lock_guard lock(mutex);
    scrub_request = *request;
  }
  Check(/*drops=*/true, *writer);
  return grpc::Status::OK;
}

grpc::Status FakeStore::CollectGarbage(grpc::ServerContext*,
                                       const v1::CollectGarbageRequest* request,
                                       v1::CollectGarbageResponse* response) {
  std::lock_guard lock(mutex);
  garbage_request = *request;
  response->set_dry_run(!request->has_dry_run() || request->dry_run());
  response->set_num_prototype_sets(3);
  response->set_num_versions(1);
  response->set_bytes(4'600'000);
  v1::GarbageItem& set = *response->add_items();
  set.set_kind(v1::GARBAGE_KIND_PROTOTYPE_SET);
  set.set_name("1f2e");
  set.set_bytes(1500);
  v1::GarbageItem& version = *response->add_items();
  version.set_kind(v1::GARBAGE_KIND_VERSION);
  version.set_name("default/shop@1");
  version.set_bytes(100);
  return grpc::Status::OK;
}

grpc::Status FakeStore::BackUpStore(grpc::ServerContext*,
                                    const v1::BackUpStoreRequest*,
                                    v1::BackUpStoreResponse* response) {
  response->set_id(3);
  response->set_bytes(2'000'000);
  response->set_num_files(1);
  return grpc::Status::OK;
}

grpc::Status FakeStore::CompactStore(grpc::ServerContext*,
                                     const v1::CompactStoreRequest*,
                                     v1::CompactStoreResponse* response) {
  if (is_busy) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                        "a verify of the store, called by ipv4:10.0.0.7:5, "
                        "runs");
  }
  response->set_disk_bytes_before(12'000'000);
  response->set_disk_bytes_after(999);
  return grpc::Status::OK;
}

}  // namespace ovdiff::client
