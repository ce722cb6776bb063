#include "tests/client/fake_server.h"

namespace ovdiff::client {

grpc::Status FakeServer::ExportVocabulary(
    grpc::ServerContext*, const v1::ExportVocabularyRequest* request,
    grpc::ServerWriter<v1::ExportVocabularyResponse>* writer) {
  {
    std::lock_guard lock(mutex);
    export_request = *request;
  }
  const size_t size = pack.size() - (cut_export ? 1 : 0);
  v1::ExportVocabularyResponse message;
  for (size_t i = 0; i < size; i += 100) {
    message.set_data(pack.substr(i, std::min<size_t>(100, size - i)));
    writer->Write(message);
  }
  return cut_export ? grpc::Status(grpc::StatusCode::DATA_LOSS, "damaged")
                    : grpc::Status::OK;
}

grpc::Status FakeServer::ImportVocabulary(
    grpc::ServerContext*,
    grpc::ServerReader<v1::ImportVocabularyRequest>* reader,
    v1::ImportVocabularyResponse* response) {
  v1::ImportVocabularyRequest message;
  std::lock_guard lock(mutex);
  while (reader->Read(&message)) {
    if (message.has_config()) {
      import_config = message.config();
      if (import_config.vocabulary() == "full") {
        return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"};
      }
    } else {
      imported_pack += message.data();
    }
  }
  response->set_vocabulary("shop");
  response->set_version(3);
  response->set_pack_digest("0123");
  response->set_source_vocabulary("store");
  response->set_source_version(7);
  response->set_bundle("demo");
  response->set_license("CC0-1.0");
  v1::ImportedClass& row = *response->add_classes();
  row.set_name("cat");
  row.set_outcome(v1::IMPORT_OUTCOME_REPLACED);
  row.set_reencoded(true);
  return grpc::Status::OK;
}

grpc::Status FakeServer::DiffVocabularyVersions(
    grpc::ServerContext*, const v1::DiffVocabularyVersionsRequest* request,
    v1::DiffVocabularyVersionsResponse* response) {
  std::lock_guard lock(mutex);
  diff_request = *request;
  *response = difference;
  return grpc::Status::OK;
}

}  // namespace ovdiff::client
