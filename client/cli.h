// The program `ovdiff`, as a function.
#ifndef OVDIFF_CLIENT_CLI_H_
#define OVDIFF_CLIENT_CLI_H_

#include <string>
#include <vector>

#include "client/console.h"

namespace ovdiff::client {

// What scripts can rely on; `ovdiff --help` lists them.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitPartlyFailed = 4,
  kExitDamaged = 5,
  kExitInterrupted = 130,
};

// `arguments` without the program's name. Never throws.
int RunCli(const std::vector<std::string>& arguments, Console& console,
           Interrupts& interrupts);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_CLI_H_
