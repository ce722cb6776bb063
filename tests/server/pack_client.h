// Calls of class packs, for tests.
#ifndef OVDIFF_TESTS_SERVER_PACK_CLIENT_H_
#define OVDIFF_TESTS_SERVER_PACK_CLIENT_H_

#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "ovdiff/v1/vocabulary_service.pb.h"
#include "store/pack/pack_format.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {

// Runs an export to its end; the parts joined are in `*pack`.
grpc::Status Export(TestServer& server,
                    const v1::ExportVocabularyRequest& request,
                    std::string* pack);
// As above; fails the test on an error.
std::string MustExport(TestServer& server, const std::string& vocabulary,
                       bool pictures = false);

// Uploads `pack` in parts of `part_bytes`.
grpc::Status Import(TestServer& server, const v1::ImportConfig& config,
                    const std::string& pack,
                    v1::ImportVocabularyResponse* response,
                    size_t part_bytes = 1000);
// As above; fails the test on an error.
v1::ImportVocabularyResponse MustImport(TestServer& server,
                                        const v1::ImportConfig& config,
                                        const std::string& pack);

v1::ImportConfig ConfigFor(const std::string& vocabulary);

// A key pair made of `seed`.
class TestKey {
 public:
  explicit TestKey(uint8_t seed);

  store::Ed25519PublicKey public_key() const { return public_key_; }
  std::string public_bytes() const;
  // `pack`, which is unsigned, with its signature.
  std::string Sign(const std::string& pack) const;

 private:
  std::string seed_;
  store::Ed25519PublicKey public_key_{};
};

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_PACK_CLIENT_H_
