#include "server/grpc_status.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "engine/text/prompt_text.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/error_reasons.h"
#include "server/page_token.h"
#include "server/prompt_text.h"
#include "server/similar_names.h"
#include "server/validation.h"
#include "tests/server/test_server.h"

namespace ovdiff::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(GrpcStatusTest, EveryErrorHasARegisteredReason) {
  const std::set<std::string> known(reasons::kAll.begin(), reasons::kAll.end());
  EXPECT_EQ(known.size(), reasons::kAll.size());
  for (const std::string& reason : known) {
    EXPECT_LE(reason.size(), 63u);  // AIP-193
  }
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpcStatus(
        absl::Status(static_cast<absl::StatusCode>(code), "message"));
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(known.count(Reason(status)), 1u) << code;
  }
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(GrpcStatusTest, CarriesDetailsThroughPrefixes) {
  const absl::Status status =
      WithPrefix(FieldError("image", "bad", reasons::kInvalidImage), "frame 3");
  EXPECT_EQ(status.message(), "frame 3: bad");
  const google::rpc::Status details = ToRpcStatus(status);
  EXPECT_EQ(details.details_size(), 2);
  EXPECT_EQ(
      FindDetail<google::rpc::BadRequest>(details)->field_violations(0).field(),
      "image");
  const auto retry = ToRpcStatus(
      OverloadError("full", reasons::kQueueFull, absl::Milliseconds(1500)));
  const auto info = FindDetail<google::rpc::RetryInfo>(retry);
  EXPECT_EQ(info->retry_delay().seconds(), 1);
  EXPECT_EQ(info->retry_delay().nanos(), 500'000'000);
}

TEST(GrpcStatusTest, TakesPathsOutAndCutsLongMessages) {
  const auto message = [](const std::string& text) {
    return ToRpcStatus(absl::InternalError(text)).message();
  };
  EXPECT_EQ(message("IO error: /var/lib/ovdiff/000012.sst: Input/output error"),
            "IO error: <path>: Input/output error");
  EXPECT_EQ(message("cannot open '/etc/x/y'"), "cannot open '<path>'");
  EXPECT_EQ(message("4/5 of frames/s and/or 1"), "4/5 of frames/s and/or 1");
  std::string text(1022, 'a');
  text += "\xC3\xA4\xC3\xA4";
  const std::string cut = message(text);
  EXPECT_LE(cut.size(), 1024u);
  EXPECT_TRUE(CountCharacters(cut).ok());
}

TEST(PromptTextTest, NormalFormIsTheTokenizers) {
  EXPECT_EQ(*engine::NormalizePrompt("  Red\t\n SNEAKER "), "red sneaker");
  EXPECT_EQ(*engine::NormalizePrompt("CAFE\xCC\x81"), "caf\xC3\xA9");   // NFC
  EXPECT_EQ(*engine::NormalizePrompt("\xC3\x84pfel"), "\xC3\xA4pfel");  // Ä
  EXPECT_EQ(*engine::NormalizePrompt("a\xC2\xA0\xE3\x80\x80z"),
            "a z");  // Wide spaces
  EXPECT_EQ(*engine::NormalizePrompt(""), "");
  EXPECT_FALSE(engine::NormalizePrompt("\xFF").ok());
  EXPECT_EQ(*CountCharacters("\xE7\x8C\xAB\xC3\xA4z"), 3);
  EXPECT_FALSE(HasControlCharacters("red sneaker \xE7\x8C\xAB"));
  EXPECT_TRUE(HasControlCharacters("a\x7F"));
  EXPECT_TRUE(HasControlCharacters("a\xE2\x80\xA8z"));  // Line separator
  EXPECT_TRUE(HasControlCharacters("\xC2\x85"));        // NEL
  EXPECT_TRUE(HasControlCharacters("a\xE2\x80\xAEz"));  // Bidi override
  EXPECT_FALSE(HasControlCharacters(
      "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x8C\xBE"));  // Joined emoji
}

TEST(ValidationTest, QuotedIsShortAndPrintable) {
  EXPECT_EQ(Quoted("a\nb"), "\"a?b\"");
  const std::string quoted = Quoted(std::string(59, 'x') + "\xC3\xA4" + "yyyy");
  EXPECT_TRUE(CountCharacters(quoted).ok());
  EXPECT_LT(quoted.size(), 70u);
}

TEST(PageTokenTest, IsBoundToItsList) {
  const std::string token = MakePageToken("classes:shop:0", "3:17");
  EXPECT_EQ(*ParsePageToken("classes:shop:0", token), "3:17");
  EXPECT_FALSE(ParsePageToken("classes:yard:0", token).ok());
  std::string altered = token;
  altered[12] = altered[12] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(ParsePageToken("classes:shop:0", altered).ok());
  EXPECT_FALSE(ParsePageToken("classes:shop:0", "").ok());
  EXPECT_FALSE(ParsePageToken("classes:shop:0", "%%%").ok());
}

TEST(SimilarNamesTest, NearestFirst) {
  std::vector<store::ClassEntry> classes(4);
  classes[0].name = "red sneaker";
  classes[1].name = "red sneakers";
  classes[2].name = "blue bag";
  classes[3].name = "dog";
  EXPECT_THAT(SimilarNames("red sneakars", classes),
              ElementsAre("red sneakers", "red sneaker"));
  EXPECT_TRUE(SimilarNames("aeroplane", classes).empty());
}

}  // namespace
}  // namespace ovdiff::server
