#include "client/console.h"

#include <langinfo.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "absl/strings/str_format.h"
#include "utf8proc.h"

namespace ovdiff::client {
namespace {

// The next character of `utf8`, which is shortened by it. Damage gives -1 and
// takes one byte.
int32_t NextCharacter(absl::string_view& utf8, absl::string_view& bytes) {
  utf8proc_int32_t code = -1;
  const utf8proc_ssize_t length =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()),
                       static_cast<utf8proc_ssize_t>(utf8.size()), &code);
  const size_t taken = length < 1 ? 1 : static_cast<size_t>(length);
  bytes = utf8.substr(0, taken);
  utf8.remove_prefix(taken);
  return length < 1 ? -1 : code;
}

int Width(int32_t code) {
  return code < 0 ? 1 : std::max(0, utf8proc_charwidth(code));
}

[[noreturn]] void Watch(sigset_t signals, Interrupts* interrupts) {
  constexpr int kInterrupted = 130;
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) {
      continue;
    }
    if (!interrupts->first.request_stop() &&
        !interrupts->second.request_stop()) {
      _exit(kInterrupted);
    }
    if (signal == SIGTERM) {
      interrupts->second.request_stop();
    }
  }
}

// The watcher; set before the handler is.
pthread_t g_watcher;

// Libraries start threads before main() blocks anything (OpenBLAS, which OpenCV
// may bring, does), and there a signal would end the process.
void PassOn(int signal_number) { pthread_kill(g_watcher, signal_number); }

}  // namespace

Console StandardConsole() {
  std::setlocale(LC_CTYPE, "");
  Console console{.out = std::cout, .err = std::cerr};
  const char* term = std::getenv("TERM");
  console.live = isatty(STDERR_FILENO) != 0 && term != nullptr &&
                 std::string(term) != "dumb" && std::getenv("CI") == nullptr;
  console.out_is_terminal = isatty(STDOUT_FILENO) != 0;
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    console.columns = size.ws_col;
    console.rows = size.ws_row;
  }
  console.unicode = std::string(nl_langinfo(CODESET)) == "UTF-8";
  return console;
}

Interrupts& WatchInterrupts() {
  static Interrupts interrupts;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  // Inherited by every later thread, so that only the watcher sees them.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread watcher(Watch, signals, &interrupts);
  g_watcher = watcher.native_handle();
  watcher.detach();
  struct sigaction action = {};
  action.sa_handler = PassOn;
  action.sa_mask = signals;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return interrupts;
}

int DisplayWidth(absl::string_view utf8) {
  int width = 0;
  absl::string_view bytes;
  while (!utf8.empty()) {
    width += Width(NextCharacter(utf8, bytes));
  }
  return width;
}

std::string FitColumns(absl::string_view utf8, int columns) {
  const bool cut = DisplayWidth(utf8) > columns;
  const int room = cut ? std::max(0, columns - 2) : columns;
  std::string fitted;
  int width = 0;
  absl::string_view bytes;
  while (!utf8.empty()) {
    const int next = Width(NextCharacter(utf8, bytes));
    if (width + next > room) {
      break;
    }
    fitted.append(bytes.data(), bytes.size());
    width += next;
  }
  if (cut) {
    fitted.append("..");
    width += 2;
  }
  fitted.append(static_cast<size_t>(std::max(0, columns - width)), ' ');
  return fitted;
}

std::string Printable(absl::string_view utf8) {
  std::string printable;
  absl::string_view bytes;
  while (!utf8.empty()) {
    const int32_t code = NextCharacter(utf8, bytes);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
      for (char byte : bytes) {
        absl::StrAppendFormat(&printable, "\\x%02x",
                              static_cast<uint8_t>(byte));
      }
    } else {
      printable.append(bytes.data(), bytes.size());
    }
  }
  return printable;
}

std::string HumanSeconds(double seconds) {
  if (seconds < 9.95) {
    return absl::StrFormat("%.1f s", std::max(0.0, seconds));
  }
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) {
    return absl::StrFormat("%d s", whole);
  }
  return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
}

}  // namespace ovdiff::client
