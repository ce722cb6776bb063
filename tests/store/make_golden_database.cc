// make_golden_database <folder>: writes a golden database with this program's
// store. The result is committed once per release that changes what is on disk
// and never made again: tests/store/golden/README.md.
#include <cstdio>
#include <filesystem>

#include "tests/store/golden_database.h"
#include "tests/store/raw_database.h"

int main(int argc, char** argv) {
  if (argc != 2 || std::filesystem::exists(argv[1])) {
    std::fprintf(stderr, "usage: %s <folder that is not there yet>\n", argv[0]);
    return 2;
  }
  const std::string path = argv[1];
  absl::Status status;
  if (const auto store = ovdiff::store::MustOpen(path)) {
    status = ovdiff::store::WriteGoldenFiles(*store);
  }
  ovdiff::store::RawDatabase(path).Flush();
  if (const auto store = ovdiff::store::MustOpen(path)) {
    status.Update(ovdiff::store::WriteGoldenLog(*store));
  }
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
