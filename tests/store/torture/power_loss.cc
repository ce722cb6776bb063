#include "tests/store/torture/power_loss.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ovdiff::store::torture {
namespace {

namespace fs = std::filesystem;

// The first `durable` bytes survive. `broken`: no later sync brings back what
// one failed sync has lost (the kernel marks such pages clean).
struct FileFate {
  int64_t durable = 0;
  bool broken = false;
};

// What is known of the files after the journal was read up to its end.
struct Volume {
  std::map<std::string, int> files;  // By path.
  std::vector<FileFate> fates;
  // Places in the journal of what happened to names since their folder's sync.
  std::vector<int64_t> pending;
  // Overwritten bytes that are not durable: the file, the place in the journal.
  std::vector<std::pair<int, int64_t>> overwrites;
};

FileFate& FateOf(const std::string& path, int64_t durable, Volume& volume) {
  const auto [file, is_new] =
      volume.files.try_emplace(path, static_cast<int>(volume.fates.size()));
  if (is_new) {
    volume.fates.push_back({.durable = durable});
  }
  return volume.fates[static_cast<size_t>(file->second)];
}

void Move(const std::string& from, const std::string& to, Volume& volume) {
  const auto moved = volume.files.find(from);
  if (moved == volume.files.end()) {
    volume.files.erase(to);
    return;
  }
  volume.files[to] = moved->second;
  volume.files.erase(from);
}

bool IsIn(const std::string& folder, const JournalEntry& entry) {
  return fs::path(entry.path.data()).parent_path() == fs::path(folder);
}

// Renames and removals are noted first; the child may have died in between.
bool WasDone(const JournalEntry& entry) {
  return (entry.op != JournalOp::kRemove || fs::exists(entry.other.data())) &&
         (entry.op != JournalOp::kRename || !fs::exists(entry.path.data()));
}

void Replay(const FaultState& state, int64_t place, Volume& volume) {
  const JournalEntry& entry = state.journal[static_cast<size_t>(place)];
  const std::string path = entry.path.data();
  if (!WasDone(entry)) {
    return;
  }
  switch (entry.op.load()) {
    case JournalOp::kNone:
      break;
    case JournalOp::kCreate:
      volume.files.erase(path);
      FateOf(path, 0, volume);
      volume.pending.push_back(place);
      break;
    case JournalOp::kOpen:
      FateOf(path, entry.size, volume);
      break;
    case JournalOp::kRemove:
      Move(path, entry.other.data(), volume);
      volume.pending.push_back(place);
      break;
    case JournalOp::kRename:
      if (entry.kept[0] != '\0') {
        Move(entry.other.data(), entry.kept.data(), volume);
      }
      Move(path, entry.other.data(), volume);
      volume.pending.push_back(place);
      break;
    case JournalOp::kOverwrite:
      volume.overwrites.emplace_back(volume.files.at(path), place);
      break;
    case JournalOp::kSync: {
      FileFate& fate = FateOf(path, 0, volume);
      if (!fate.broken) {
        fate.durable = std::max(fate.durable, entry.size);
        std::erase_if(volume.overwrites, [&](const auto& overwrite) {
          return overwrite.first == volume.files.at(path);
        });
      }
      break;
    }
    case JournalOp::kSyncFailed:
      FateOf(path, 0, volume).broken = true;
      break;
    case JournalOp::kFolderSync:
      std::erase_if(volume.pending, [&](int64_t pending) {
        return IsIn(path, state.journal[static_cast<size_t>(pending)]);
      });
      break;
  }
}

void Undo(const JournalEntry& entry, Volume& volume) {
  const std::string path = entry.path.data();
  const std::string other = entry.other.data();
  switch (entry.op.load()) {
    case JournalOp::kCreate:
      fs::remove(path);
      volume.files.erase(path);
      break;
    case JournalOp::kRemove:
      fs::rename(other, path);
      Move(other, path, volume);
      break;
    case JournalOp::kRename:
      fs::rename(other, path);
      Move(other, path, volume);
      if (entry.kept[0] != '\0') {
        fs::rename(entry.kept.data(), other);
        Move(entry.kept.data(), other, volume);
      }
      break;
    default:
      break;
  }
}

void WriteAt(const std::string& path, int64_t offset,
             const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.flush();
  if (!file.good()) {
    std::fprintf(stderr, "torture: cannot write %s\n", path.c_str());
    std::abort();
  }
}

int64_t Damage(const std::string& path, int64_t durable, PowerLoss how,
               std::mt19937_64& random) {
  if (!fs::exists(path)) {
    return 0;
  }
  const auto size = static_cast<int64_t>(fs::file_size(path));
  if (size <= durable) {
    return 0;
  }
  if (how == PowerLoss::kZeroes) {
    WriteAt(path, durable,
            std::string(static_cast<size_t>(size - durable), '\0'));
    return size - durable;
  }
  const int64_t kept =
      how == PowerLoss::kPart
          ? static_cast<int64_t>(random() %
                                 static_cast<uint64_t>(size - durable + 1))
          : 0;
  fs::resize_file(path, static_cast<uintmax_t>(durable + kept));
  return size - durable - kept;
}

// Bytes that were written over durable ones: back, half back, or nothing.
int64_t UndoOverwrites(const FaultState& state, const Volume& volume,
                       PowerLoss how, std::mt19937_64& random) {
  int64_t bytes = 0;
  for (auto at = volume.overwrites.rbegin(); at != volume.overwrites.rend();
       ++at) {
    const JournalEntry& entry = state.journal[static_cast<size_t>(at->second)];
    auto size = static_cast<size_t>(entry.size);
    if (how == PowerLoss::kPart) {
      size = random() % (size + 1);
    }
    std::string before(entry.before.data(), size);
    if (how == PowerLoss::kZeroes) {
      before.assign(size, '\0');
    }
    for (const auto& [path, file] : volume.files) {
      if (file == at->first && fs::exists(path)) {
        WriteAt(path, entry.offset, before);
        bytes += static_cast<int64_t>(size);
      }
    }
  }
  return bytes;
}

}  // namespace

PowerLossCounts LosePower(PowerLoss how, std::mt19937_64& random,
                          FaultState& state) {
  Volume volume;
  for (int64_t place = 0; place < state.journal_size; ++place) {
    Replay(state, place, volume);
  }
  PowerLossCounts counts;
  // Names go back from the last one: a file system's own log is a prefix.
  auto undone = static_cast<int64_t>(volume.pending.size());
  if (how == PowerLoss::kPart) {
    undone = static_cast<int64_t>(random() % static_cast<uint64_t>(undone + 1));
  } else if (how == PowerLoss::kZeroes) {
    undone = 0;
  }
  for (; counts.names < undone; ++counts.names) {
    Undo(state.journal[static_cast<size_t>(volume.pending.back())], volume);
    volume.pending.pop_back();
  }
  counts.bytes += UndoOverwrites(state, volume, how, random);
  for (const auto& [path, number] : volume.files) {
    counts.bytes += Damage(
        path, volume.fates[static_cast<size_t>(number)].durable, how, random);
  }
  for (int64_t place = 0; place < state.journal_size; ++place) {
    state.journal[static_cast<size_t>(place)].op = JournalOp::kNone;
  }
  state.journal_size = 0;
  const std::string trash = std::string(state.root.data()) + ".trash";
  fs::remove_all(trash);
  fs::create_directories(trash);
  return counts;
}

}  // namespace ovdiff::store::torture
