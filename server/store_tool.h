// `ovdiffd store …`: looking after a store that no server has open.
#ifndef OVDIFF_SERVER_STORE_TOOL_H_
#define OVDIFF_SERVER_STORE_TOOL_H_

#include <ostream>

namespace ovdiff::server {

// Exit codes, for scripts.
inline constexpr int kStoreToolOk = 0;
inline constexpr int kStoreToolFailed = 1;    // Could not be done; said why.
inline constexpr int kStoreToolUsage = 2;     // A mistake on the command line.
inline constexpr int kStoreToolProblems = 3;  // Done, and the store has damage.

// `argv` begins with the program's name, then "store", then the command. The
// answer, and with --json one JSON object, goes to `out`; progress and errors
// to `err`.
int RunStoreTool(int argc, const char* const* argv, std::ostream& out,
                 std::ostream& err);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_STORE_TOOL_H_
