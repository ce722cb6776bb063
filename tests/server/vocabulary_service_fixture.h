// What the tests of VocabularyService share: a server, and its calls in a line.
#ifndef OVDIFF_TESTS_SERVER_VOCABULARY_SERVICE_FIXTURE_H_
#define OVDIFF_TESTS_SERVER_VOCABULARY_SERVICE_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {

class VocabularyServiceTest : public ::testing::Test {
 protected:
  grpc::Status List(const v1::ListClassesRequest& request,
                    v1::ListClassesResponse* response) {
    grpc::ClientContext context;
    return server_.vocabulary->ListClasses(&context, request, response);
  }
  std::vector<std::string> Names(const std::string& vocabulary) {
    v1::ListClassesRequest request;
    request.set_vocabulary(vocabulary);
    v1::ListClassesResponse response;
    EXPECT_TRUE(List(request, &response).ok());
    std::vector<std::string> names;
    for (const auto& one : response.classes()) {
      names.push_back(one.name());
    }
    return names;
  }
  grpc::Status Remove(const std::string& vocabulary,
                      const std::vector<std::string>& names,
                      v1::RemoveClassesResponse* response) {
    grpc::ClientContext context;
    v1::RemoveClassesRequest request;
    request.set_vocabulary(vocabulary);
    for (const std::string& name : names) {
      request.add_names(name);
    }
    return server_.vocabulary->RemoveClasses(&context, request, response);
  }
  // Expects AddClasses to refuse `request`, naming `field`.
  std::string ExpectRefused(const v1::AddClassesRequest& request,
                            const std::string& field) {
    std::string message = server_.ExpectAddRefused(request, field);
    EXPECT_EQ(engine_.num_painted, 0);
    return message;
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_VOCABULARY_SERVICE_FIXTURE_H_
