// Put, get and publish on RocksDB in a temporary folder, and the codec alone,
// with sets as large as the demo bundle's and as Stable Diffusion 1.5's.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "store/record_codec.h"

namespace ovdiff::store {
namespace {

struct SetShape {
  int64_t sd_dim;
  int64_t dino_dim;
  int64_t clip_dim;
};

// By the benchmarks' argument: a small bundle of the same architectures, and
// 7680 query channels of nine blocks, ViT-B twice (method.md section 4); 130
// vectors of 9216 values take 4.6 MiB.
constexpr SetShape kShapes[] = {{640, 96, 128}, {7680, 768, 768}};
// One mean, 32 instances, 32 parts (method.md section 5).
constexpr int kVectorsPerSide = 65;

PrototypeVectors MakeVectors(int64_t dim, std::mt19937& random) {
  PrototypeVectors vectors;
  std::normal_distribution<float> normal;
  for (int i = 0; i < kVectorsPerSide; ++i) {
    vectors.levels.push_back(i == 0    ? PrototypeLevel::kClass
                             : i <= 32 ? PrototypeLevel::kInstance
                                       : PrototypeLevel::kPart);
    vectors.source_pictures.push_back(i == 0 ? -1 : (i - 1) % 32);
  }
  vectors.values.resize(static_cast<size_t>(kVectorsPerSide * dim));
  for (float& value : vectors.values) {
    value = normal(random);
  }
  return vectors;
}

PrototypeRecord MakeRecord(const SetShape& shape) {
  std::mt19937 random(1);
  PrototypeRecord record;
  record.prompt = "red sneaker";
  record.create_time = absl::UnixEpoch();
  const std::pair<const char*, int64_t> spaces[] = {
      {"sd", shape.sd_dim}, {"dino", shape.dino_dim}, {"clip", shape.clip_dim}};
  for (const auto& [name, dim] : spaces) {
    FeatureSpacePrototypes space;
    space.space = name;
    space.dim = static_cast<int32_t>(dim);
    space.foreground = MakeVectors(dim, random);
    space.background = MakeVectors(dim, random);
    record.set.spaces.push_back(std::move(space));
  }
  return record;
}

ContentKey NumberedKey(int64_t number) {
  return Sha256Of(absl::StrCat(number));
}

// A store in a folder of its own, gone at the end.
class StoreInTemporaryFolder {
 public:
  explicit StoreInTemporaryFolder(bool float16_payload = false) {
    path_ = (std::filesystem::temp_directory_path() / "ovdiff_bench_XXXXXX");
    if (mkdtemp(path_.data()) == nullptr) {
      std::perror(path_.c_str());
      std::abort();
    }
    auto store =
        OpenRocksDbStore({.path = path_, .float16_payload = float16_payload});
    if (!store.ok()) {
      std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
      std::abort();
    }
    store_ = *std::move(store);
  }
  ~StoreInTemporaryFolder() {
    store_.reset();
    std::filesystem::remove_all(path_);
  }

  PrototypeStore* operator->() { return store_.get(); }

 private:
  std::string path_;
  std::unique_ptr<PrototypeStore> store_;
};

void ReportBytes(benchmark::State& state, const PrototypeRecord& record) {
  const auto bytes = static_cast<int64_t>(
      EncodePrototypeRecord(NumberedKey(0), record, PayloadType::kFloat32)
          .size());
  state.SetBytesProcessed(state.iterations() * bytes);
  state.counters["float32_record_bytes"] = static_cast<double>(bytes);
}

// Synced, so the disk's time counts: real time, not the processor's.
void BM_PutPrototypeSet(benchmark::State& state) {
  const PrototypeRecord record = MakeRecord(kShapes[state.range(0)]);
  StoreInTemporaryFolder store(state.range(1) == 1);
  int64_t number = 0;
  for (auto _ : state) {
    const absl::Status status =
        store->PutPrototypeSet(NumberedKey(number++), record);
    if (!status.ok()) {
      state.SkipWithError(status.ToString().c_str());
    }
  }
  ReportBytes(state, record);
}
BENCHMARK(BM_PutPrototypeSet)
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->ArgNames({"sd15", "float16"})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(30);

void BM_GetPrototypeSet(benchmark::State& state) {
  constexpr int kSets = 30;
  const PrototypeRecord record = MakeRecord(kShapes[state.range(0)]);
  StoreInTemporaryFolder store(state.range(1) == 1);
  for (int i = 0; i < kSets; ++i) {
    const absl::Status status = store->PutPrototypeSet(NumberedKey(i), record);
    if (!status.ok()) {
      state.SkipWithError(status.ToString().c_str());
    }
  }
  int64_t number = 0;
  for (auto _ : state) {
    const auto found = store->GetPrototypeSet(NumberedKey(number++ % kSets));
    if (!found.ok()) {
      state.SkipWithError(found.status().ToString().c_str());
    }
  }
  ReportBytes(state, record);
}
BENCHMARK(BM_GetPrototypeSet)
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->ArgNames({"sd15", "float16"})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// One more class in a vocabulary that has some, its set being there.
void BM_PublishIntoVocabulary(benchmark::State& state) {
  StoreInTemporaryFolder store;
  const ContentKey key = NumberedKey(0);
  absl::Status status = store->PutPrototypeSet(key, MakeRecord(kShapes[0]));
  const VocabularyId id = {.name = "bench"};
  std::vector<NewClass> classes(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < classes.size(); ++i) {
    classes[i].name = absl::StrCat("class ", i);
    classes[i].prototype_key = key;
  }
  status.Update(store->Publish(id, classes).status());
  int64_t number = 0;
  for (auto _ : state) {
    NewClass added;
    added.name = absl::StrCat("added ", number++);
    added.prototype_key = key;
    status.Update(store->Publish(id, {added}).status());
  }
  if (!status.ok()) {
    state.SkipWithError(status.ToString().c_str());
  }
}
BENCHMARK(BM_PublishIntoVocabulary)
    ->Arg(10)
    ->Arg(1000)
    ->Arg(10000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(30);

void BM_GetVocabulary(benchmark::State& state) {
  StoreInTemporaryFolder store;
  const ContentKey key = NumberedKey(0);
  absl::Status status = store->PutPrototypeSet(key, MakeRecord(kShapes[0]));
  const VocabularyId id = {.name = "bench"};
  std::vector<NewClass> classes(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < classes.size(); ++i) {
    classes[i].name = absl::StrCat("class ", i);
    classes[i].prototype_key = key;
  }
  status.Update(store->Publish(id, classes).status());
  for (auto _ : state) {
    status.Update(store->GetVocabulary(id, 0).status());
  }
  if (!status.ok()) {
    state.SkipWithError(status.ToString().c_str());
  }
}
BENCHMARK(BM_GetVocabulary)
    ->Arg(10)
    ->Arg(1000)
    ->Arg(10000)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ovdiff::store

BENCHMARK_MAIN();
