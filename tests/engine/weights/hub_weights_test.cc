#include <string>

#include "absl/strings/str_cat.h"
#include "engine/weights/hub_config_file.h"
#include "engine/weights/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/weights/temp_folder.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class HubWeightsTest : public ::testing::Test {
 protected:
  void Put(const std::string& name, const StateDict& tensors) {
    ASSERT_TRUE(WriteSafetensors(folder_.Path(name), tensors).ok());
  }
  // An index of the given lines, `"tensor": "file"` each.
  void PutIndex(const std::string& map) {
    folder_.Write("model.safetensors.index.json",
                  absl::StrCat(R"({"metadata":{"total_size":8},"weight_map":{)",
                               map, "}}"));
  }
  absl::StatusOr<StateDict> Read() {
    return ReadHubWeights(folder_.Path(), "model");
  }
  std::string Refusal(
      absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
    const auto result = Read();
    EXPECT_EQ(result.status().code(), code) << result.status();
    return std::string(result.status().message());
  }

  TempFolder folder_;
  torch::Tensor one_ = torch::ones({1});
  torch::Tensor two_ = torch::full({1}, 2.0f);
};

TEST_F(HubWeightsTest, PrefersTheWholePrecisionFile) {
  Put("model.fp16.safetensors", {{"a", one_}});
  EXPECT_EQ(Read()->at("a").item<float>(), 1.0f);
  EXPECT_THAT(HubWeightFiles(folder_.Path(), "model").value(),
              ElementsAre(folder_.Path("model.fp16.safetensors")));
  Put("model.safetensors", {{"a", two_}});
  EXPECT_EQ(Read()->at("a").item<float>(), 2.0f);
  EXPECT_THAT(HubWeightFiles(folder_.Path(), "model").value(),
              ElementsAre(folder_.Path("model.safetensors")));
}

TEST_F(HubWeightsTest, MergesShards) {
  Put("model-00001-of-00002.safetensors", {{"a", one_}, {"b", one_}});
  Put("model-00002-of-00002.safetensors", {{"c", two_}});
  PutIndex(R"("a":"model-00001-of-00002.safetensors",
              "b":"model-00001-of-00002.safetensors",
              "c":"model-00002-of-00002.safetensors")");
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size(), 3u);
  EXPECT_EQ(read->at("c").item<float>(), 2.0f);
  EXPECT_THAT(HubWeightFiles(folder_.Path(), "model").value(),
              ElementsAre(folder_.Path("model.safetensors.index.json"),
                          folder_.Path("model-00001-of-00002.safetensors"),
                          folder_.Path("model-00002-of-00002.safetensors")));
}

TEST_F(HubWeightsTest, ListsWhatWasLookedFor) {
  EXPECT_THAT(Refusal(absl::StatusCode::kNotFound),
              AllOf(HasSubstr(folder_.Path()), HasSubstr("model.safetensors"),
                    HasSubstr("model.safetensors.index.json"),
                    HasSubstr("model.fp16.safetensors"),
                    HasSubstr("model.fp16.safetensors.index.json"),
                    Not(HasSubstr("pickle"))));
  EXPECT_EQ(HubWeightFiles(folder_.Path(), "model").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadHubWeights(folder_.Path("none"), "model").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(HubWeightsTest, TellsHowToConvertPickles) {
  folder_.Write("pytorch_model.bin", "PK");
  EXPECT_THAT(Refusal(absl::StatusCode::kNotFound),
              AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("save_file"),
                    HasSubstr("'model.safetensors'")));
}

TEST_F(HubWeightsTest, ShardNamesArePlain) {
  for (const std::string name :
       {"../x.safetensors", "/etc/x.safetensors", "a/b.safetensors",
        "a\\\\b.safetensors", "..", ".safetensors", "", "model.bin"}) {
    PutIndex(absl::StrCat(R"("a":")", name, R"(")"));
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("'a'"), HasSubstr("plain"))) << name;
  }
  PutIndex(R"("a":1,"b":"../c.safetensors")");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("'a' -> 1"), HasSubstr("'b'")));
}

TEST_F(HubWeightsTest, NamesEveryTensorThatDoesNotFitTheIndex) {
  Put("s1.safetensors", {{"a", one_}, {"extra", one_}});
  Put("s2.safetensors", {{"c", one_}, {"a", one_}});
  PutIndex(R"("a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors",
              "d":"s2.safetensors")");
  EXPECT_THAT(Refusal(),
              AllOf(HasSubstr("[b (s1.safetensors), d (s2.safetensors)]"),
                    HasSubstr("[extra (s1.safetensors), a (s2.safetensors)]")));
}

TEST_F(HubWeightsTest, NamesAShardThatIsMissingOrDamaged) {
  PutIndex(R"("a":"gone.safetensors")");
  EXPECT_THAT(Refusal(), HasSubstr("gone.safetensors"));
  folder_.Write("gone.safetensors", "short");
  EXPECT_THAT(Refusal(), HasSubstr("gone.safetensors"));
}

TEST_F(HubWeightsTest, RefusesADamagedIndex) {
  for (const std::string text :
       {"", "[]", "{", R"({"weight_map":[]})", R"({"weight_map":{}})", "{}",
        R"({"weight_map":{"a":"s.safetensors","a":"t.safetensors"}})"}) {
    folder_.Write("model.safetensors.index.json", text);
    EXPECT_THAT(Refusal(), HasSubstr("model.safetensors.index.json")) << text;
  }
}

class HubConfigTest : public ::testing::Test {
 protected:
  std::string Refusal(const std::string& text) {
    folder_.Write("config.json", text);
    const auto result = ReadHubConfig(folder_.Path("config.json"), 1000);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition)
        << text;
    EXPECT_THAT(std::string(result.status().message()),
                HasSubstr(folder_.Path("config.json")));
    return std::string(result.status().message());
  }
  TempFolder folder_;
};

TEST_F(HubConfigTest, ReadsAnObject) {
  folder_.Write("config.json", R"({"a": {"b": [1, 2.5, null]}})");
  const auto config = ReadHubConfig(folder_.Path("config.json"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)["a"]["b"][1], 2.5);
  EXPECT_EQ(ReadHubConfigText(folder_.Path("config.json")).value(),
            R"({"a":{"b":[1,2.5,null]}})");
}

// diffusers writes "lambda_min_clipped": -Infinity, which is not JSON.
TEST_F(HubConfigTest, PythonsNonFiniteNumbersAreNull) {
  folder_.Write("config.json", R"({"a": -Infinity, "b": [NaN], "c": "NaN"})");
  EXPECT_EQ(ReadHubConfigText(folder_.Path("config.json")).value(),
            R"({"a":null,"b":[null],"c":"NaN"})");
}

TEST_F(HubConfigTest, RefusesWithTheReason) {
  EXPECT_EQ(ReadHubConfig(folder_.Path("none.json")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadHubConfig(folder_.Path()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Refusal("[1]"), HasSubstr("JSON object"));
  EXPECT_THAT(Refusal(""), HasSubstr("not valid"));
  EXPECT_THAT(Refusal("{\"a\":\"\xff\"}"), HasSubstr("not valid"));
  EXPECT_THAT(Refusal(R"({"a":1,"b":{"c":1,"c":2}})"),
              HasSubstr("key 'c' twice"));
  EXPECT_THAT(Refusal(std::string(1001, ' ')), HasSubstr("1000 bytes"));
  EXPECT_THAT(Refusal(absl::StrCat("{\"a\":", std::string(400, '['),
                                   std::string(400, ']'), "}")),
              HasSubstr("deeper than 32"));
}

}  // namespace
}  // namespace ovdiff::engine
