// FillSmallVolume(): disk_faults.h.
#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/store/torture/disk_faults.h"
#include "tests/store/torture/fault_run.h"

namespace ovdiff::store::torture {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMiB = int64_t{1} << 20;

// A tmpfs that can be filled and enlarged.
class SmallVolume {
 public:
  explicit SmallVolume(const std::string& folder) : folder_(folder) {
    fs::create_directories(folder);
    is_mounted_ = mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=96m") == 0;
    if (!is_mounted_) {
      why_ = strerror(errno);
    }
  }
  ~SmallVolume() {
    if (is_mounted_) {
      umount2(folder_.c_str(), MNT_DETACH);
    }
  }
  SmallVolume(const SmallVolume&) = delete;
  SmallVolume& operator=(const SmallVolume&) = delete;

  bool is_mounted() const { return is_mounted_; }
  const std::string& why() const { return why_; }

  // Leaves so many bytes free.
  void Fill(int64_t leave) const {
    const auto free = static_cast<int64_t>(fs::space(folder_).available);
    const std::string zeros(
        static_cast<size_t>(std::max<int64_t>(0, free - leave)), '\0');
    std::ofstream(folder_ + "/ballast", std::ios::binary) << zeros;
  }
  void Heal() const {
    fs::remove(folder_ + "/ballast");
    // Recovery needs as much again as the log holds (serving.md finding 3).
    mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, "size=512m");
  }

 private:
  const std::string folder_;
  bool is_mounted_ = false;
  std::string why_;
};

struct FullDisk {
  const char* name;
  bool at_open;
  // The store's own gate; 0: RocksDB meets the full disk.
  int64_t min_free_bytes;
  // Of the volume, beside the store; -1: the store fills it by itself.
  int64_t leave;
};
constexpr FullDisk kFullDisks[] = {
    {"full volume, gate, writing", false, 24 * kMiB, -1},
    {"full volume, gate, small writes", false, 8 * kMiB, 6 * kMiB},
    {"full volume, no gate, writing", false, 0, -1},
    {"full volume, no gate, log", false, 0, kMiB},
    {"full volume, at open", true, 24 * kMiB, kMiB},
};

}  // namespace

std::vector<FaultRow> FillSmallVolume(const DiskFaultOptions& options) {
  std::vector<FaultRow> rows;
  for (const FullDisk& full : kFullDisks) {
    if (!absl::StrContains(full.name, options.only)) continue;
    FaultRow row = {.name = full.name};
    for (int i = 0; i < options.runs && row.kept_all(); ++i) {
      const SmallVolume volume(options.folder);
      if (!volume.is_mounted()) {
        ++row.outcomes["no tmpfs: " + volume.why()];
        continue;
      }
      DiskFaultOptions once = options;
      once.seed += static_cast<uint64_t>(i);
      FaultRun run(once, full.name);
      run.WriteInHealth(100);
      run.MeetOutside(
          full.at_open, full.min_free_bytes,
          [&] {
            if (full.leave >= 0) volume.Fill(full.leave);
          },
          [&] { volume.Heal(); });
      row.Add(run.row());
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace ovdiff::store::torture
