#include "tests/server/pack_client.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "gtest/gtest.h"

namespace ovdiff::server {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key PrivateKey(const std::string& seed) {
  return Key(EVP_PKEY_new_raw_private_key(
                 EVP_PKEY_ED25519, nullptr,
                 reinterpret_cast<const uint8_t*>(seed.data()), seed.size()),
             &EVP_PKEY_free);
}

}  // namespace

grpc::Status Export(TestServer& server,
                    const v1::ExportVocabularyRequest& request,
                    std::string* pack) {
  grpc::ClientContext context;
  auto reader = server.vocabulary->ExportVocabulary(&context, request);
  v1::ExportVocabularyResponse message;
  while (reader->Read(&message)) {
    EXPECT_LE(message.data().size(), 256u << 10);
    EXPECT_FALSE(message.data().empty());
    *pack += message.data();
  }
  return reader->Finish();
}

std::string MustExport(TestServer& server, const std::string& vocabulary,
                       bool pictures) {
  v1::ExportVocabularyRequest request;
  request.set_vocabulary(vocabulary);
  request.set_include_pictures(pictures);
  std::string pack;
  const grpc::Status status = Export(server, request, &pack);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return pack;
}

grpc::Status Import(TestServer& server, const v1::ImportConfig& config,
                    const std::string& pack,
                    v1::ImportVocabularyResponse* response, size_t part_bytes) {
  grpc::ClientContext context;
  auto writer = server.vocabulary->ImportVocabulary(&context, response);
  v1::ImportVocabularyRequest message;
  *message.mutable_config() = config;
  bool is_open = writer->Write(message);
  for (size_t i = 0; is_open && i < pack.size(); i += part_bytes) {
    message.set_data(pack.substr(i, part_bytes));
    is_open = writer->Write(message);
  }
  writer->WritesDone();
  return writer->Finish();
}

v1::ImportVocabularyResponse MustImport(TestServer& server,
                                        const v1::ImportConfig& config,
                                        const std::string& pack) {
  v1::ImportVocabularyResponse response;
  const grpc::Status status = Import(server, config, pack, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v1::ImportConfig ConfigFor(const std::string& vocabulary) {
  v1::ImportConfig config;
  config.set_vocabulary(vocabulary);
  return config;
}

TestKey::TestKey(uint8_t seed) : seed_(32, static_cast<char>(seed)) {
  size_t size = public_key_.size();
  EXPECT_EQ(EVP_PKEY_get_raw_public_key(PrivateKey(seed_).get(),
                                        public_key_.data(), &size),
            1);
}

std::string TestKey::public_bytes() const {
  return std::string(public_key_.begin(), public_key_.end());
}

std::string TestKey::Sign(const std::string& pack) const {
  // The end record's last 32 bytes are the pack's digest.
  Sha256Digest digest;
  std::copy(pack.end() - 32, pack.end(), digest.begin());
  const std::string message = store::PackSignatureMessage(digest);
  store::PackSignature signature;
  signature.public_key = public_key_;
  size_t size = signature.signature.size();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const Key key = PrivateKey(seed_);
  EXPECT_EQ(
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()),
      1);
  EXPECT_EQ(EVP_DigestSign(context.get(), signature.signature.data(), &size,
                           reinterpret_cast<const uint8_t*>(message.data()),
                           message.size()),
            1);
  return pack + store::EncodePackSignature(signature);
}

}  // namespace ovdiff::server
