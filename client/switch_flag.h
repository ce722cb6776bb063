// A flag that says yes or no or, left out, nothing.
#ifndef OVDIFF_CLIENT_SWITCH_FLAG_H_
#define OVDIFF_CLIENT_SWITCH_FLAG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"

namespace ovdiff::client {

// `names` is "--x,!--no-x". CLI11 2.1's own add_flag makes "no" of an
// optional<bool> whose flag is left out. `value` must outlive `command`.
inline CLI::Option* AddSwitch(CLI::App& command, const std::string& names,
                              std::optional<bool>& value,
                              const std::string& text) {
  return command.add_flag_function(
      names, [&value](int64_t count) { value = count > 0; }, text);
}

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_SWITCH_FLAG_H_
