// A full disk: writes are refused before RocksDB can meet it (it aborts the
// process: serving.md finding 2), reads go on, and writes resume with the room.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "tests/store/test_records.h"

namespace ovdiff::store {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr int64_t kMiB = int64_t{1} << 20;
const VocabularyId kShop = {.project = "default", .name = "shop"};

// About 1.2 MB.
PrototypeRecord LargeRecord(int seed) {
  return MakePrototypeRecord(seed, 3000, 32);
}

// A volume of 64 MiB where this process may mount one, else an ordinary folder
// whose gate stands where 40 MiB are left to fill.
class SmallVolume {
 public:
  SmallVolume()
      : is_mounted_(mount("tmpfs", folder_.path().c_str(), "tmpfs", 0,
                          "size=64m") == 0),
        min_free_bytes_(24 * kMiB) {
    if (!is_mounted_) {
      min_free_bytes_ = Free() - 40 * kMiB;
    }
  }
  ~SmallVolume() {
    if (is_mounted_) {
      EXPECT_EQ(umount(folder_.path().c_str()), 0);
    }
  }

  std::string store_path() const { return folder_.path() + "/store"; }
  bool is_mounted() const { return is_mounted_; }
  int64_t min_free_bytes() const { return min_free_bytes_; }

  int64_t Free() const {
    return static_cast<int64_t>(
        std::filesystem::space(folder_.path()).available);
  }
  std::string ballast() const { return folder_.path() + "/ballast"; }
  void Enlarge() const {
    EXPECT_EQ(mount(nullptr, folder_.path().c_str(), nullptr, MS_REMOUNT,
                    "size=192m"),
              0);
  }
  // Fills the volume but for `leave` bytes.
  void Fill(int64_t leave) const {
    const std::string zeros(static_cast<size_t>(Free() - leave), '\0');
    std::ofstream(ballast(), std::ios::binary) << zeros;
  }

 private:
  TempFolder folder_;
  bool is_mounted_;
  int64_t min_free_bytes_;
};

TEST(FullDiskTest, NoHeadroomRefusesAllWritesAndNoReads) {
  const TempFolder folder;
  const NewClass dog = MakeNewClass("dog");
  ASSERT_TRUE(MustOpen(folder.path())->Publish(kShop, {dog}).ok());
  const auto opened = OpenRocksDbStore(
      {.path = folder.path(), .min_free_bytes = int64_t{1} << 60});
  ASSERT_TRUE(opened.ok()) << opened.status();
  PrototypeStore& store = **opened;
  const PrototypeRecord record = MakePrototypeRecord(9);
  const SupportRecord support = MakeSupportRecord(9);
  const absl::Status refusals[] = {
      store.PutPrototypeSet(KeyOf(record), record),
      store.PutSupportSet(KeyOf(support), support),
      store.Publish(kShop, {MakeNewClass("cat")}).status(),
      store.RemoveClasses(kShop, {{"dog"}}).status(),
      store.PutJob("job", "bytes"),
      store.DeleteJob("job"),
      store.Health()};
  for (const absl::Status& refusal : refusals) {
    EXPECT_EQ(refusal.code(), kExhausted);
    EXPECT_THAT(refusal.message(),
                AllOf(HasSubstr(folder.path()), HasSubstr("MiB free"),
                      HasSubstr(absl::StrCat(int64_t{1} << 40, " MiB"))));
  }
  EXPECT_FALSE(store.HasPrototypeSet(KeyOf(record)).value());
  EXPECT_EQ(store.GetVocabulary(kShop, 0)->version, 1);
  EXPECT_EQ(
      Difference(store.GetPrototypeSet(dog.prototype_key).value(), *dog.set),
      "");
  // Nothing to write: nothing to refuse.
  EXPECT_EQ(store.Publish(kShop, {dog})->version, 1);
}

TEST(FullDiskTest, WritesStopBeforeTheVolumeIsFullAndResumeWithRoom) {
  const SmallVolume volume;
  auto opened = OpenRocksDbStore(
      {.path = volume.store_path(), .min_free_bytes = volume.min_free_bytes()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::unique_ptr<PrototypeStore> store = *std::move(opened);
  std::vector<PrototypeRecord> kept;
  absl::Status status;
  for (int i = 0; i < 200 && status.ok(); ++i) {
    const PrototypeRecord record = LargeRecord(i);
    status = store->PutPrototypeSet(KeyOf(record), record);
    if (status.ok()) {
      kept.push_back(record);
    }
  }
  EXPECT_EQ(status.code(), kExhausted) << status;
  EXPECT_GT(kept.size(), 5U);
  for (const PrototypeRecord& record : kept) {
    EXPECT_EQ(Difference(store->GetPrototypeSet(KeyOf(record)).value(), record),
              "");
  }
  if (volume.is_mounted()) {
    volume.Fill(kMiB);
    EXPECT_EQ(store->Health().code(), kExhausted);
    EXPECT_EQ(store->PutJob("job", "bytes").code(), kExhausted);
    EXPECT_TRUE(store->GetPrototypeSet(KeyOf(kept[0])).ok());
    std::filesystem::remove(volume.ballast());
    volume.Enlarge();
    EXPECT_TRUE(store->Health().ok()) << store->Health();
    EXPECT_TRUE(store->PutJob("job", "bytes").ok());
  }
  store.reset();
  const auto again = OpenRocksDbStore(
      {.path = volume.store_path(), .min_free_bytes = 8 * kMiB});
  ASSERT_TRUE(again.ok()) << again.status();
  for (const PrototypeRecord& record : kept) {
    EXPECT_EQ(
        Difference((*again)->GetPrototypeSet(KeyOf(record)).value(), record),
        "");
  }
  const PrototypeRecord next = LargeRecord(1000);
  EXPECT_TRUE((*again)->PutPrototypeSet(KeyOf(next), next).ok());
}

// Recovery replays the log into new files (serving.md finding 3).
TEST(FullDiskTest, OpeningSaysHowMuchRoomItNeeds) {
  const SmallVolume volume;
  const PrototypeRecord record = LargeRecord(1);
  const StoreOptions options = {.path = volume.store_path(),
                                .min_free_bytes = volume.min_free_bytes()};
  {
    const auto store = OpenRocksDbStore(options);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->PutPrototypeSet(KeyOf(record), record).ok());
  }
  if (volume.is_mounted()) {
    volume.Fill(2 * kMiB);
  } else {
    // A log as long as the disk is large, in holes that take no room.
    std::ofstream(volume.store_path() + "/999999.log").put('x');
    std::filesystem::resize_file(volume.store_path() + "/999999.log",
                                 static_cast<uintmax_t>(volume.Free()));
  }
  const auto refused = OpenRocksDbStore(options);
  EXPECT_EQ(refused.status().code(), kExhausted) << refused.status();
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr("opening needs about"), HasSubstr("MiB free")));
  std::filesystem::remove(volume.is_mounted()
                              ? volume.ballast()
                              : volume.store_path() + "/999999.log");
  const auto store = OpenRocksDbStore(options);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(
      Difference((*store)->GetPrototypeSet(KeyOf(record)).value(), record), "");
}

}  // namespace
}  // namespace ovdiff::store
