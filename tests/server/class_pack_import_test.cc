// ImportVocabulary: what is refused, what is done.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/pack/pack_exporter.h"
#include "tests/server/pack_client.h"

namespace ovdiff::server {
namespace {

using ::testing::HasSubstr;

class ClassPackImportTest : public ::testing::Test {
 protected:
  // A pack of "red boat" and "blue sea" by a server of bundle `bundle`.
  static std::string PackOf(const std::string& bundle, bool pictures,
                            const std::string& prompt = "blue sea") {
    FakeEngine engine(bundle);
    const auto store = store::NewInMemoryStore();
    TestServer server(engine, *store);
    v1::AddClassesRequest request = AddRequest("shop", {"red boat", "sea"});
    request.mutable_classes(1)->set_prompt(prompt);
    std::vector<v1::AddClassesResponse> messages;
    EXPECT_TRUE(server.Add(request, &messages).ok());
    return MustExport(server, "shop", pictures);
  }
  void ExpectNothingThere() {
    grpc::ClientContext context;
    v1::ListVocabulariesResponse response;
    ASSERT_TRUE(
        server_.vocabulary->ListVocabularies(&context, {}, &response).ok());
    EXPECT_EQ(response.vocabularies_size(), 0);
  }
  grpc::Status Refused(const v1::ImportConfig& config,
                       const std::string& pack) {
    v1::ImportVocabularyResponse response;
    const grpc::Status status = Import(server_, config, pack, &response);
    EXPECT_FALSE(status.ok());
    return status;
  }

  FakeEngine engine_;
  std::unique_ptr<store::PrototypeStore> store_ = store::NewInMemoryStore();
  TestServer server_{engine_, *store_};
};

TEST_F(ClassPackImportTest, ADamagedPackIsRefusedAndNothingIsSeen) {
  const std::string pack = PackOf("fake", false);
  std::string flipped = pack;
  flipped[pack.size() / 2] ^= 1;
  for (const std::string& bad :
       {flipped, pack.substr(0, pack.size() - 1), pack + "x", std::string()}) {
    const grpc::Status status = Refused({}, bad);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(Reason(status), "PACK_DAMAGED");
  }
  ExpectNothingThere();
  const auto stats = store_->Stats();
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->num_prototype_sets, 0);
}

TEST_F(ClassPackImportTest, ANewerFormatIsAPrecondition) {
  std::string pack = PackOf("fake", false);
  pack[8] = 2;
  const grpc::Status status = Refused({}, pack);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "PACK_FORMAT");
}

TEST_F(ClassPackImportTest, ConflictsFailAreReplacedOrSkipped) {
  MustImport(server_, {}, PackOf("fake", false));
  const std::string other = PackOf("fake", false, "green sea");
  const grpc::Status status = Refused({}, other);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Reason(status), "CLASS_CONFLICT");
  EXPECT_THAT(status.error_message(), HasSubstr("'sea'"));

  v1::ImportConfig config;
  config.set_conflict_policy(v1::CONFLICT_POLICY_SKIP);
  auto response = MustImport(server_, config, other);
  EXPECT_EQ(response.version(), 1);  // Nothing to publish.
  EXPECT_EQ(response.classes(0).outcome(), v1::IMPORT_OUTCOME_UNCHANGED);
  EXPECT_EQ(response.classes(1).outcome(), v1::IMPORT_OUTCOME_SKIPPED);
  config.set_conflict_policy(v1::CONFLICT_POLICY_REPLACE);
  response = MustImport(server_, config, other);
  EXPECT_EQ(response.version(), 2);
  EXPECT_EQ(response.classes(1).outcome(), v1::IMPORT_OUTCOME_REPLACED);
  EXPECT_EQ(response.classes(1).label(), 2);
}

TEST_F(ClassPackImportTest, ADryRunChangesNothing) {
  const std::string pack = PackOf("fake", false);
  v1::ImportConfig config = ConfigFor("shop");
  config.set_validate_only(true);
  const auto response = MustImport(server_, config, pack);
  EXPECT_EQ(response.version(), 0);
  EXPECT_EQ(response.classes(1).outcome(), v1::IMPORT_OUTCOME_ADDED);
  EXPECT_EQ(response.classes(1).label(), 0);
  ExpectNothingThere();
}

TEST_F(ClassPackImportTest, ForeignEncodersAreRefusedUnlessPicturesAreEncoded) {
  const std::string bare = PackOf("other", false);
  EXPECT_EQ(Reason(Refused({}, bare)), "PACK_FOREIGN");
  v1::ImportConfig config;
  config.set_reencode(true);
  const grpc::Status no_pictures = Refused(config, bare);
  EXPECT_EQ(no_pictures.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(no_pictures.error_message(), HasSubstr("no pictures"));
  ExpectNothingThere();

  const std::string with_pictures = PackOf("other", true);
  EXPECT_THAT(Refused({}, with_pictures).error_message(),
              HasSubstr("reencode"));
  const auto response = MustImport(server_, config, with_pictures);
  EXPECT_EQ(response.version(), 1);
  EXPECT_TRUE(response.classes(0).reencoded());
  EXPECT_EQ(engine_.num_painted, 0);
  EXPECT_EQ(engine_.num_encoded, 2);
  v1::SegmentRequest request;
  request.set_vocabulary("shop");
  *request.mutable_image() = SolidImage(4, 4, 0xff0000);
  v1::SegmentResponse segmented;
  ASSERT_TRUE(server_.Segment(request, &segmented).ok());
  // Again: nothing is new, and nothing is encoded again.
  const auto again = MustImport(server_, config, with_pictures);
  EXPECT_EQ(again.version(), 1);
  EXPECT_EQ(again.classes(0).outcome(), v1::IMPORT_OUTCOME_UNCHANGED);
  EXPECT_EQ(engine_.num_encoded, 2);
}

TEST_F(ClassPackImportTest, ASignatureCanBeRequired) {
  const std::string pack = PackOf("fake", false);
  const TestKey key(1);
  const TestKey other(2);
  v1::ImportConfig config;
  config.add_trusted_keys(key.public_bytes());
  EXPECT_EQ(Reason(Refused(config, pack)), "PACK_UNTRUSTED");
  EXPECT_EQ(Reason(Refused(config, other.Sign(pack))), "PACK_UNTRUSTED");
  std::string forged = other.Sign(pack);
  // The right key's name over the wrong key's signature.
  forged.replace(forged.size() - 96, 32, key.public_bytes());
  EXPECT_EQ(Reason(Refused(config, forged)), "PACK_DAMAGED");
  ExpectNothingThere();
  config.add_trusted_keys(other.public_bytes());
  const auto response = MustImport(server_, config, other.Sign(pack));
  EXPECT_EQ(response.signed_by(), other.public_bytes());
  config.add_trusted_keys("short");
  EXPECT_EQ(Refused(config, pack).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ClassPackImportTest, AnOperatorCanRequireASignature) {
  const TestKey key(1);
  ServerOptions options = TestOptions();
  options.trusted_pack_keys = {key.public_key()};
  TestServer server(engine_, *store_, options);
  const std::string pack = PackOf("fake", false);
  v1::ImportVocabularyResponse response;
  EXPECT_EQ(Reason(Import(server, {}, pack, &response)), "PACK_UNTRUSTED");
  MustImport(server, {}, key.Sign(pack));
}

TEST_F(ClassPackImportTest, VectorsThatTheEngineCannotUseAreRefused) {
  // A set that claims to be of this server's encoders.
  store::PrototypeRecord record;
  record.prompt = "red boat";
  record.generator_fingerprint = Sha256Of("any");
  record.encoder_fingerprint =
      engine_.EncoderFingerprint(engine_.info().prototype);
  FeatureSpacePrototypes& space = record.set.spaces.emplace_back();
  space.space = "rgb";
  space.dim = 5;
  space.foreground = {
      std::vector<float>(5, 1.0f), {PrototypeLevel::kClass}, {-1}};
  store::NewClass forged;
  forged.name = "red boat";
  forged.prompt = record.prompt;
  forged.prototype_key = store::PrototypeKey(
      record.prompt, record.generator_fingerprint, record.encoder_fingerprint);
  forged.support_key =
      store::SupportKey(record.prompt, record.generator_fingerprint);
  forged.set = record;
  const auto store = store::NewInMemoryStore();
  const auto vocabulary = store->Publish({.name = "shop"}, {forged});
  ASSERT_TRUE(vocabulary.ok());
  store::PackExporter exporter(*store, *vocabulary, {});
  std::string pack;
  for (auto piece = exporter.Next(); piece.ok() && !piece->empty();
       piece = exporter.Next()) {
    pack += *piece;
  }
  const grpc::Status status = Refused({}, pack);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Reason(status), "PACK_FOREIGN");
  ExpectNothingThere();
}

TEST_F(ClassPackImportTest, LimitsHoldAndAreNamed) {
  ServerOptions options = TestOptions();
  options.limits.max_pack_bytes = 1 << 16;
  options.limits.max_classes_per_vocabulary = 1;
  TestServer server(engine_, *store_, options);
  v1::ImportVocabularyResponse response;
  const grpc::Status large =
      Import(server, {}, std::string(1 << 20, 'x'), &response);
  EXPECT_EQ(large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Reason(large), "PACK_TOO_LARGE");
  EXPECT_THAT(large.error_message(), HasSubstr("65536"));
  const grpc::Status many =
      Import(server, {}, PackOf("fake", false), &response);
  EXPECT_EQ(many.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server.info->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.limits().max_pack_bytes(), 1 << 16);
  EXPECT_EQ(info.limits().max_imports(), options.limits.max_imports);
  EXPECT_EQ(info.limits().max_exports(), options.limits.max_exports);
}

TEST_F(ClassPackImportTest, AVolumeWithoutRoomRefuses) {
  ServerOptions options = TestOptions();
  options.spool_min_free_bytes = int64_t{1} << 40;
  TestServer server(engine_, *store_, options);
  v1::ImportVocabularyResponse response;
  const grpc::Status status =
      Import(server, {}, PackOf("fake", false), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  options.spool_folder = "/no/such/folder";
  TestServer without(engine_, *store_, options);
  EXPECT_EQ(Import(without, {}, "x", &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ClassPackImportTest, ImportsAtOnceAreBounded) {
  ServerOptions options = TestOptions();
  options.limits.max_imports = 1;
  TestServer server(engine_, *store_, options);
  grpc::ClientContext context;
  v1::ImportVocabularyResponse held_response;
  auto held = server.vocabulary->ImportVocabulary(&context, &held_response);
  v1::ImportVocabularyRequest message;
  message.mutable_config()->set_vocabulary("held");
  ASSERT_TRUE(held->Write(message));
  v1::ImportVocabularyResponse response;
  const std::string pack = PackOf("fake", false);
  // The first call reaches the server a little later than its client thinks.
  grpc::Status status;
  for (int i = 0; i < 100; ++i) {
    status =
        Import(server, ConfigFor(absl::StrCat("try-", i)), pack, &response);
    if (!status.ok()) {
      break;
    }
  }
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "QUEUE_FULL");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(Details(status)).has_value());
  // A caller that goes away frees its place.
  context.TryCancel();
  held->Finish();
  for (int i = 0; i < 500 && !status.ok(); ++i) {
    status = Import(server, ConfigFor("later"), pack, &response);
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ClassPackImportTest, TheOrderOfMessagesIsChecked) {
  const auto send = [&](const std::vector<v1::ImportVocabularyRequest>& all) {
    grpc::ClientContext context;
    v1::ImportVocabularyResponse response;
    auto writer = server_.vocabulary->ImportVocabulary(&context, &response);
    for (const auto& message : all) {
      if (!writer->Write(message)) {
        break;
      }
    }
    writer->WritesDone();
    return Reason(writer->Finish());
  };
  v1::ImportVocabularyRequest config;
  config.mutable_config();
  v1::ImportVocabularyRequest data;
  data.set_data("x");
  EXPECT_EQ(send({}), "STREAM_ORDER");
  EXPECT_EQ(send({data}), "STREAM_ORDER");
  EXPECT_EQ(send({config, config}), "STREAM_ORDER");
  EXPECT_EQ(send({config, v1::ImportVocabularyRequest()}), "STREAM_ORDER");
  config.mutable_config()->set_vocabulary("No Such Name");
  EXPECT_EQ(send({config, data}), "INVALID_FIELD");
}

TEST_F(ClassPackImportTest, NamesThatDifferInCaseOnlyAreRefused) {
  server_.Add("shop", {"Red Boat"});
  const grpc::Status status = Refused(ConfigFor("shop"), PackOf("fake", false));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(status), "DUPLICATE_CLASS");
}

}  // namespace
}  // namespace ovdiff::server
