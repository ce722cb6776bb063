// What the tests of classes of given pictures share: pictures by colour, and a
// server to give them to.
#ifndef OVDIFF_TESTS_SERVER_GIVEN_PICTURES_FIXTURE_H_
#define OVDIFF_TESTS_SERVER_GIVEN_PICTURES_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/image_codec.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {

inline constexpr uint32_t kRed = 0xE02020;
inline constexpr uint32_t kBlue = 0x2020E0;
// Not red, but near enough to be taken for it.
inline constexpr uint32_t kOrange = 0xE06820;

// A PNG of `width` x `height`, object in the left `columns`.
inline std::string LeftMask(int width, int height, int columns) {
  Mask mask{.width = width, .height = height, .data = {}};
  for (int i = 0; i < width * height; ++i) {
    mask.data.push_back(i % width < columns ? 1 : 0);
  }
  return EncodeMaskPng(mask).value();
}

// 8 x 8: `colour` in the masked left half, `other` in the right one.
inline v1::GivenPicture Masked(uint32_t colour, uint32_t other) {
  v1::GivenPicture picture;
  *picture.mutable_image() = SolidImage(8, 8, other, colour);
  picture.set_mask(LeftMask(8, 8, 4));
  return picture;
}

inline v1::GivenPicture Unmasked(uint32_t colour) {
  v1::GivenPicture picture;
  *picture.mutable_image() = SolidImage(8, 8, colour);
  return picture;
}

class GivenPicturesTest : public ::testing::Test {
 protected:
  static v1::AddClassesRequest Request(const std::string& name) {
    return AddRequest("shop", {name});
  }
  v1::ClassProgress Build(const v1::AddClassesRequest& request) {
    std::vector<v1::AddClassesResponse> messages;
    const grpc::Status status = server_->Add(request, &messages);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return messages.empty() ? v1::ClassProgress()
                            : messages.back().job().classes(0);
  }
  // Whether `colour` is taken for a class of the vocabulary.
  static bool IsFound(TestServer& server, uint32_t colour,
                      const std::string& vocabulary = "shop") {
    return server.LabelsOf(vocabulary, SolidImage(4, 4, colour))
               .find_first_not_of('\0') != std::string::npos;
  }
  store::SupportRecord Support(const std::string& text) const {
    auto record = store_->GetSupportSet(store::SupportKey(
        text, engine_.GeneratorFingerprint(engine_.info().generation)));
    EXPECT_TRUE(record.ok()) << text << ": " << record.status();
    return record.ok() ? *record : store::SupportRecord();
  }
  store::ClassEntry Entry() const {
    return store_->GetVocabulary({.name = "shop"}, 0)->classes.at(0);
  }
  // Expects AddClasses to refuse `request`, naming `field`.
  std::string ExpectRefused(const v1::AddClassesRequest& request,
                            const std::string& field) {
    std::string message = server_->ExpectAddRefused(request, field);
    EXPECT_THAT(message, ::testing::HasSubstr(field));
    EXPECT_EQ(engine_.num_painted, 0);
    return message;
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  std::unique_ptr<TestServer> server_ =
      std::make_unique<TestServer>(engine_, *store_);
};

}  // namespace ovdiff::server

#endif  // OVDIFF_TESTS_SERVER_GIVEN_PICTURES_FIXTURE_H_
