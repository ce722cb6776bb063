#include "server/info_service.h"

#include "server/call_record.h"
#include "server/convert.h"
#include "server/request_options.h"

#ifndef OVDIFF_VERSION
#error "CMake defines OVDIFF_VERSION"
#endif

namespace ovdiff::server {

const char kServerVersion[] = OVDIFF_VERSION;

InfoServiceImpl::InfoServiceImpl(const engine::Engine& engine, Metrics& metrics,
                                 const Limits& limits)
    : metrics_(metrics) {
  const engine::EngineInfo& info = engine.info();
  info_.set_version(kServerVersion);
  info_.set_device(info.device);
  info_.set_device_name(info.device_name);
  info_.mutable_bundle()->set_name(info.bundle_name);
  info_.mutable_bundle()->set_license(info.bundle_license);
  for (const std::string& space : info.spaces) {
    info_.mutable_bundle()->add_spaces(space);
  }
  info_.mutable_bundle()->set_picture_size(info.picture_size);
  *info_.mutable_limits() = FromLimits(limits);
  *info_.mutable_build_options() =
      FromBuildOptions({info.generation, info.prototype}, info);
  *info_.mutable_segment_options() = FromSegmentOptions(info.segment, info);
  for (const MethodProfile& profile : info.profiles) {
    *info_.add_profiles() = FromProfile(profile, info);
  }
  info_.set_default_profile(info.default_profile);
  info_.mutable_fingerprints()->set_generator(
      ToHex(engine.GeneratorFingerprint(info.generation)));
  info_.mutable_fingerprints()->set_encoder(
      ToHex(engine.EncoderFingerprint(info.prototype)));
}

grpc::ServerUnaryReactor* InfoServiceImpl::GetServerInfo(
    grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
    v1::GetServerInfoResponse* response) {
  CallRecord record(metrics_,
                    {"unary", "ovdiff.v1.InfoService", "GetServerInfo"},
                    context->peer());
  metrics_.MessageReceived(record.method());
  *response = info_;
  metrics_.MessageSent(record.method());
  record.End(absl::OkStatus());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace ovdiff::server
