// Text in pictures. Debian's OpenCV without its contrib modules (which drag in
// a desktop) draws ASCII only and turns every other byte into "?". So two names
// that differ only in such characters would look the same: we write those
// characters as \u escapes instead. JSON and HTML carry the names unchanged.
#ifndef OVDIFF_CLIENT_DRAWN_TEXT_H_
#define OVDIFF_CLIENT_DRAWN_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "opencv2/core.hpp"

namespace ovdiff::client {

// "caf\u00e9" for "café"; control characters and bytes that are not UTF-8 as
// \x...
std::string AsciiWithEscapes(absl::string_view utf8);

// Width in pixels of an ASCII text whose capital letters are `cap_height` high.
int TextWidth(const std::string& ascii, int cap_height);

// The text, with its end cut to ".." where it is wider than `max_width` pixels.
std::string FitText(const std::string& ascii, int cap_height, int max_width);

// Draws antialiased text into an 8-bit BGR picture; `origin` is the left end of
// the baseline. Parts outside the picture are not drawn.
void DrawText(const std::string& ascii, cv::Point origin, int cap_height,
              const cv::Scalar& bgr, cv::Mat& picture);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_DRAWN_TEXT_H_
