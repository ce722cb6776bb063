// Client's calls of StoreService.
#include <memory>
#include <utility>

#include "client/calls.h"
#include "client/client.h"

namespace ovdiff::client {
namespace {

using StoreStub = v1::StoreService::StubInterface;

// Follows a stream of {check, last} to its end.
template <typename Response>
absl::StatusOr<v1::StoreCheck> Follow(
    grpc::ClientReaderInterface<Response>& reader,
    const StoreProgress& on_progress) {
  v1::StoreCheck whole;
  Response message;
  bool ended = false;
  while (reader.Read(&message)) {
    v1::StoreCheck& check = *message.mutable_check();
    if (on_progress) {
      on_progress(check);
    }
    // The latest numbers, and the problems of all messages.
    auto* problems = check.mutable_problems();
    problems->Swap(whole.mutable_problems());
    for (v1::StoreProblem& problem : *whole.mutable_problems()) {
      *problems->Add() = std::move(problem);
    }
    whole = std::move(check);
    ended = message.last();
  }
  if (const absl::Status status = FromGrpcStatus(reader.Finish());
      !status.ok()) {
    return status;
  }
  if (!ended) {
    return absl::InternalError("the stream ended before its last message");
  }
  return whole;
}

}  // namespace

absl::StatusOr<v1::GetStoreStatsResponse> Client::GetStoreStats(
    const CallOptions& options) {
  return Unary(*store_, &StoreStub::GetStoreStats, v1::GetStoreStatsRequest(),
               options, options_.timeout);
}

absl::StatusOr<v1::StoreCheck> Client::VerifyStore(
    const v1::VerifyStoreRequest& request, const StoreProgress& on_progress,
    const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(Deadline(options, absl::InfiniteDuration()), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  const auto reader = store_->VerifyStore(&context, request);
  return Follow(*reader, on_progress);
}

absl::StatusOr<v1::StoreCheck> Client::ScrubStore(
    const v1::ScrubStoreRequest& request, const StoreProgress& on_progress,
    const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(Deadline(options, absl::InfiniteDuration()), context);
  std::stop_callback on_stop(options.stop, [&context] { context.TryCancel(); });
  const auto reader = store_->ScrubStore(&context, request);
  return Follow(*reader, on_progress);
}

absl::StatusOr<v1::CollectGarbageResponse> Client::CollectGarbage(
    const v1::CollectGarbageRequest& request, const CallOptions& options) {
  return Unary(*store_, &StoreStub::CollectGarbage, request, options,
               absl::InfiniteDuration());
}

absl::StatusOr<v1::BackUpStoreResponse> Client::BackUpStore(
    const CallOptions& options) {
  return Unary(*store_, &StoreStub::BackUpStore, v1::BackUpStoreRequest(),
               options, absl::InfiniteDuration());
}

absl::StatusOr<v1::CompactStoreResponse> Client::CompactStore(
    const CallOptions& options) {
  return Unary(*store_, &StoreStub::CompactStore, v1::CompactStoreRequest(),
               options, absl::InfiniteDuration());
}

}  // namespace ovdiff::client
