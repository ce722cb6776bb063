// A client of grpc.health.v1, whose proto Debian's gRPC does not ship.
#ifndef OVDIFF_TESTS_SERVER_HEALTH_CLIENT_H_
#define OVDIFF_TESTS_SERVER_HEALTH_CLIENT_H_

#include <memory>
#include <string>

#include "grpcpp/channel.h"

namespace ovdiff::server {

// Whether Check(`service`) answers SERVING within a second.
bool IsServing(const std::shared_ptr<grpc::Channel>& channel,
               const std::string& service);

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_HEALTH_CLIENT_H_
