// ovdiff, the command line client.
#include <string>
#include <vector>

#include "client/cli.h"

int main(int argc, char** argv) {
  ovdiff::client::Interrupts& interrupts = ovdiff::client::WatchInterrupts();
  ovdiff::client::Console console = ovdiff::client::StandardConsole();
  return ovdiff::client::RunCli(std::vector<std::string>(argv + 1, argv + argc),
                                console, interrupts);
}
