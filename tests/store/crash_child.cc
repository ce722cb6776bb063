// Publishes classes one after the other until it is killed, and says on stdout
// which ones were acknowledged. tests/store/crash_test.cc runs it.
//   crash_child <path> <round>   "<class name>\n" for each acknowledged class
//   crash_child <path> hold      "open\n", then waits
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "store/prototype_store.h"
#include "tests/store/test_records.h"

namespace {

// Unbuffered: what is said is said before the next write begins.
void Say(const std::string& line) {
  if (write(STDOUT_FILENO, line.data(), line.size()) !=
      static_cast<ssize_t>(line.size())) {
    std::exit(3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s <path> <round>|hold\n", argv[0]);
    return 2;
  }
  const auto store = ovdiff::store::OpenRocksDbStore({.path = argv[1]});
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
    return 1;
  }
  const std::string round = argv[2];
  if (round == "hold") {
    Say("open\n");
    pause();
    return 0;
  }
  for (int i = 0;; ++i) {
    const std::string name = absl::StrCat(round, ":", i);
    const auto published = (*store)->Publish(
        {.name = absl::StrCat("vocabulary ", i % 2)},
        {ovdiff::store::MakeNewClass(name, std::atoi(round.c_str()))});
    if (!published.ok()) {
      std::fprintf(stderr, "%s\n", published.status().ToString().c_str());
      return 1;
    }
    Say(name + "\n");
  }
}
