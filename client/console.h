// Where a program's words go, and what can be shown there.
#ifndef OVDIFF_CLIENT_CONSOLE_H_
#define OVDIFF_CLIENT_CONSOLE_H_

#include <ostream>
#include <stop_token>
#include <string>

#include "absl/strings/string_view.h"

namespace ovdiff::client {

struct Console {
  std::ostream& out;  // Results: what a script reads.
  std::ostream& err;  // Everything else.
  // `err` is a terminal that understands cursor movements.
  bool live = false;
  // Its size. Only used where `live`.
  int columns = 80;
  int rows = 24;
  bool unicode = false;  // May use block characters.
  bool out_is_terminal = false;
};

// The process's own streams, terminal size and locale. TERM=dumb and CI are
// plain.
Console StandardConsole();

// What Ctrl-C asks for: the first time to stop politely, the second time at
// once.
struct Interrupts {
  std::stop_source first;
  std::stop_source second;
};

// Turns SIGINT into the first, then the second stop; a third ends the process.
// SIGTERM is both at once. Call before any other thread starts, once a process.
Interrupts& WatchInterrupts();

// Columns that a UTF-8 text takes on a terminal.
int DisplayWidth(absl::string_view utf8);

// Cut (with "..") or padded with blanks to exactly `columns`.
std::string FitColumns(absl::string_view utf8, int columns);

// Control characters, which could drive the terminal, as \x escapes.
std::string Printable(absl::string_view utf8);

// "0.8 s", "42 s", "3 min 05 s".
std::string HumanSeconds(double seconds);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_CONSOLE_H_
