// InfoService: what the server is and what it allows.
#ifndef OVDIFF_SERVER_INFO_SERVICE_H_
#define OVDIFF_SERVER_INFO_SERVICE_H_

#include "engine/engine.h"
#include "ovdiff/v1/info_service.grpc.pb.h"
#include "server/metrics.h"
#include "server/server_options.h"

namespace ovdiff::server {

// Of CMake's project().
extern const char kServerVersion[];

// Thread-safe. Answers from memory, on the gRPC thread.
class InfoServiceImpl final : public v1::InfoService::CallbackService {
 public:
  // REQUIRES: `metrics` outlives it.
  InfoServiceImpl(const engine::Engine& engine, Metrics& metrics,
                  const Limits& limits);

  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context,
      const v1::GetServerInfoRequest* request,
      v1::GetServerInfoResponse* response) override;

 private:
  Metrics& metrics_;
  v1::GetServerInfoResponse info_;
};

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_INFO_SERVICE_H_
