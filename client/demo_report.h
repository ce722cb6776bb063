// The page that `ovdiff-demo` writes.
#ifndef OVDIFF_CLIENT_DEMO_REPORT_H_
#define OVDIFF_CLIENT_DEMO_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "client/json_output.h"

namespace ovdiff::client {

// A whole HTML document without scripts or outside links, made from
// summary.json alone; its pictures are the paths in there, relative to the
// page.
std::string DemoPage(const Json& summary);

// What the program says at its end: figures, where to look, what next.
std::string DemoWords(const Json& summary, const std::string& out_folder,
                      const std::string& server);

// For text between tags and in quoted attributes.
std::string HtmlEscape(absl::string_view text);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_DEMO_REPORT_H_
