// store_scale <folder> <sets> demo|sd15: writes that many sets, each published
// as a class of its own, then compacts, opens, reads, backs up, restores and
// compares; one JSON object with the figures. <folder> must not be there, and
// is gone at the end. 1,000 sd15 sets need 20 GB: store, compaction, backup and
// restored store.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "store/prototype_store.h"
#include "store/store_admin.h"

namespace ovdiff::store {
namespace {

constexpr int64_t kSetsPerRead = 16;

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(result);
}

void OrDie(const absl::Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
}

PrototypeVectors MakeVectors(int64_t dim, std::mt19937& random) {
  // One mean, 32 instances, 32 parts (method.md section 5).
  constexpr int kVectors = 65;
  PrototypeVectors vectors;
  std::uniform_real_distribution<float> value(-1.0f, 1.0f);
  vectors.levels.assign(kVectors, PrototypeLevel::kInstance);
  vectors.source_pictures.assign(kVectors, 0);
  vectors.values.resize(static_cast<size_t>(kVectors * dim));
  for (float& one : vectors.values) {
    one = value(random);
  }
  return vectors;
}

// Random, so that no compression flatters the figures.
NewClass MakeClass(int64_t number, bool is_sd15) {
  std::mt19937 random(static_cast<uint32_t>(number));
  NewClass made;
  made.name = absl::StrCat("class ", number);
  made.prompt = made.name;
  made.prototype_key = Sha256Of(made.name);
  made.set.emplace();
  made.set->prompt = made.prompt;
  made.set->create_time = absl::UnixEpoch();
  const std::pair<const char*, int64_t> spaces[] = {
      {"sd", is_sd15 ? 7680 : 640},
      {"dino", is_sd15 ? 768 : 96},
      {"clip", is_sd15 ? 768 : 128}};
  for (const auto& [name, dim] : spaces) {
    FeatureSpacePrototypes& space = made.set->set.spaces.emplace_back();
    space.space = name;
    space.dim = static_cast<int32_t>(dim);
    space.foreground = MakeVectors(dim, random);
    space.background = MakeVectors(dim, random);
  }
  return made;
}

bool IsSame(const PrototypeRecord& a, const PrototypeRecord& b) {
  bool is_same = a.prompt == b.prompt && a.create_time == b.create_time &&
                 a.set.spaces.size() == b.set.spaces.size();
  for (size_t i = 0; is_same && i < a.set.spaces.size(); ++i) {
    const FeatureSpacePrototypes& x = a.set.spaces[i];
    const FeatureSpacePrototypes& y = b.set.spaces[i];
    is_same = x.space == y.space && x.dim == y.dim &&
              x.foreground.values == y.foreground.values &&
              x.background.values == y.background.values;
  }
  return is_same;
}

double MillisecondsSince(absl::Time start) {
  return absl::ToDoubleMilliseconds(absl::Now() - start);
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q *
                                    static_cast<double>(values.size() - 1))];
}

void Print(const char* name, double value) {
  std::printf("  \"%s\": %.4g,\n", name, value);
  std::fflush(stdout);
}

class Scale {
 public:
  Scale(std::string folder, int64_t sets, bool is_sd15)
      : folder_(std::move(folder)), sets_(sets), is_sd15_(is_sd15) {}

  void Run() {
    std::printf("{\n  \"sets\": %lld,\n  \"shape\": \"%s\",\n",
                static_cast<long long>(sets_), is_sd15_ ? "sd15" : "demo");
    Put();
    Compact();
    Open();
    Get();
    BackUpAndRestore();
    std::printf("  \"done\": true\n}\n");
  }

 private:
  void Put() {
    store_ = OrDie(OpenRocksDbStore({.path = folder_ + "/store"}));
    std::vector<double> times;
    for (int64_t i = 0; i < sets_; ++i) {
      const NewClass made = MakeClass(i, is_sd15_);
      const absl::Time start = absl::Now();
      OrDie(store_->Publish(id_, {made}).status());
      times.push_back(MillisecondsSince(start));
    }
    Print("publish_p50_ms", Quantile(times, 0.5));
    Print("publish_p99_ms", Quantile(times, 0.99));
  }

  void Compact() {
    const absl::Time start = absl::Now();
    OrDie(store_->admin().Compact(CallControl()));
    Print("compact_seconds", MillisecondsSince(start) / 1000);
    const StoreStats stats = OrDie(store_->Stats());
    Print("payload_mb", static_cast<double>(stats.prototype_bytes) / 1e6);
    Print("disk_mb", static_cast<double>(stats.disk_bytes) / 1e6);
    Print("space_per_payload", static_cast<double>(stats.disk_bytes) /
                                   static_cast<double>(stats.prototype_bytes));
  }

  void Open() {
    store_.reset();
    absl::Time start = absl::Now();
    store_ = OrDie(OpenRocksDbStore({.path = folder_ + "/store"}));
    Print("open_seconds", MillisecondsSince(start) / 1000);
    start = absl::Now();
    const Vocabulary head = OrDie(store_->GetVocabulary(id_, 0));
    Print("get_vocabulary_ms", MillisecondsSince(start));
    // As after a kill: all of the last writes are in the log.
    for (int i = 0; i < (is_sd15_ ? 10 : 100); ++i) {
      OrDie(store_->Publish({.name = "log"}, {MakeClass(sets_ + i, is_sd15_)})
                .status());
    }
    store_.reset();
    start = absl::Now();
    store_ = OrDie(OpenRocksDbStore({.path = folder_ + "/store"}));
    Print("open_with_log_seconds", MillisecondsSince(start) / 1000);
  }

  void Get() {
    std::vector<double> times;
    std::vector<ContentKey> keys;
    for (int64_t i = 0; i < sets_; ++i) {
      keys.push_back(Sha256Of(absl::StrCat("class ", (i * 7919) % sets_)));
      const absl::Time start = absl::Now();
      OrDie(store_->GetPrototypeSet(keys.back()).status());
      times.push_back(MillisecondsSince(start));
    }
    Print("get_p50_ms", Quantile(times, 0.5));
    Print("get_p99_ms", Quantile(times, 0.99));
    const absl::Time start = absl::Now();
    for (int64_t i = 0; i < sets_; i += kSetsPerRead) {
      const int64_t count = std::min(kSetsPerRead, sets_ - i);
      for (const auto& record :
           store_->GetPrototypeSets(absl::MakeConstSpan(keys).subspan(
               static_cast<size_t>(i), static_cast<size_t>(count)))) {
        OrDie(record.status());
      }
    }
    Print("load_all_seconds", MillisecondsSince(start) / 1000);
  }

  void BackUpAndRestore() {
    absl::Time start = absl::Now();
    OrDie(store_->admin()
              .Backup({.folder = folder_ + "/backup"}, CallControl())
              .status());
    Print("backup_seconds", MillisecondsSince(start) / 1000);
    start = absl::Now();
    OrDie(RestoreStore({.backup_folder = folder_ + "/backup",
                        .path = folder_ + "/restored"})
              .status());
    Print("restore_seconds", MillisecondsSince(start) / 1000);
    const auto restored =
        OrDie(OpenRocksDbStore({.path = folder_ + "/restored"}));
    int64_t different = 0;
    for (int64_t i = 0; i < sets_; ++i) {
      const NewClass made = MakeClass(i, is_sd15_);
      const PrototypeRecord found =
          OrDie(restored->GetPrototypeSet(made.prototype_key));
      different += IsSame(found, *made.set) ? 0 : 1;
    }
    Print("restored_sets_that_differ", static_cast<double>(different));
  }

  const std::string folder_;
  const int64_t sets_;
  const bool is_sd15_;
  const VocabularyId id_ = {.name = "scale"};
  std::unique_ptr<PrototypeStore> store_;
};

}  // namespace
}  // namespace ovdiff::store

int main(int argc, char** argv) {
  int64_t sets = 0;
  const std::string shape = argc == 4 ? argv[3] : "";
  if (argc != 4 || !absl::SimpleAtoi(argv[2], &sets) || sets < 1 ||
      (shape != "demo" && shape != "sd15") ||
      std::filesystem::exists(argv[1])) {
    std::fprintf(stderr, "usage: %s <new folder> <sets> demo|sd15\n", argv[0]);
    return 2;
  }
  ovdiff::store::Scale(argv[1], sets, shape == "sd15").Run();
  std::filesystem::remove_all(argv[1]);
  return 0;
}
