// A log of several files: what is lost of an older one is noticed too, where
// something needs it.
#include "store/acknowledged_mark.h"
#include "tests/store/loss_fixture.h"

namespace ovdiff::store {
namespace {

// A log of several files, of which tables have taken over only some writes: the
// number that the database reaches is then no witness of the others.
class LongLogTest : public LossTest, public testing::WithParamInterface<bool> {
 protected:
  // Two files of the log: in the first one the vocabulary's versions and sets,
  // of which the sets are in a table already; in the second a write if
  // `GetParam()`.
  void WriteLong() {
    Write();
    RawDatabase raw(path());
    const std::string set = ContentTableKey(MakeNewClass("0").prototype_key);
    for (int i = 1; i <= kClasses; ++i) {
      const std::string key = VersionKey(kShop, i);
      raw.Put("meta", key, raw.Get("meta", key));
    }
    raw.Put("proto", set, raw.Get("proto", set));
    raw.FlushTable("proto");
    if (GetParam()) {
      raw.Put("meta", HeadKey(kShop), raw.Get("meta", HeadKey(kShop)));
    }
    const auto mark = AcknowledgedMark::Open(path());
    ASSERT_TRUE(mark.ok()) << mark.status();
    ASSERT_TRUE((*mark)->Advance(raw.Sequence()).ok());
    ASSERT_TRUE((*mark)->NoteManifest().ok());
  }
};

INSTANTIATE_TEST_SUITE_P(SecondFile, LongLogTest, testing::Bool(),
                         [](const auto& info) {
                           return std::string(info.param ? "Written" : "Empty");
                         });

TEST_P(LongLogTest, AFlippedBitInAnOlderFileIsNoticed) {
  WriteLong();
  const std::string log = LogFile();
  const std::string bytes = Contents(path()).at(fs::path(log).filename());
  // Every bit of the first write's header, where a bit decides what RocksDB
  // takes the file for (the type, byte 6, with bit 2: for the end of a recycled
  // one).
  for (size_t bit = 0; bit < size_t{7} * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    std::ofstream(log, std::ios::binary) << damaged;
    ExpectRefused("");
  }
  for (size_t part = 0; part < 16; ++part) {
    std::string damaged = bytes;
    damaged[bytes.size() * part / 16] ^= 4;
    std::ofstream(log, std::ios::binary) << damaged;
    ExpectRefused("");
  }
  std::ofstream(log, std::ios::binary) << bytes;
  EXPECT_EQ(MustOpen(path())->GetVocabulary(kShop, 0)->version, kClasses);
}

TEST_P(LongLogTest, AnOlderFileCutShortIsNoticed) {
  WriteLong();
  const std::string log = LogFile();
  for (const uintmax_t size : {fs::file_size(log) - 1, fs::file_size(log) / 2,
                               uintmax_t{20}, uintmax_t{0}}) {
    fs::resize_file(log, size);
    ExpectRefused("");
  }
}

// RocksDB removes files of the log some time after the last need for them.
TEST_F(LossTest, AFileOfTheLogThatNothingNeedsIsNoLoss) {
  Write();
  std::string old_log;
  std::string bytes;
  {
    RawDatabase raw(path());
    const std::string key = HeadKey(kShop);
    raw.Put("meta", key, raw.Get("meta", key));
    old_log = LogFile();
    bytes = Contents(path()).at(fs::path(old_log).filename());
    raw.FlushTable("meta");
    raw.Put("meta", key, raw.Get("meta", key));
    raw.FlushTable("meta");
    raw.Put("meta", key, raw.Get("meta", key));
  }
  ASSERT_FALSE(fs::exists(old_log));
  std::ofstream(old_log, std::ios::binary) << bytes;
  const auto store = OpenRocksDbStore({.path = path()});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->GetVocabulary(kShop, 0)->version, kClasses);
}

}  // namespace
}  // namespace ovdiff::store
