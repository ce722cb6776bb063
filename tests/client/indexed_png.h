// Label maps as the server sends them: pictures with a palette.
#ifndef OVDIFF_TESTS_CLIENT_INDEXED_PNG_H_
#define OVDIFF_TESTS_CLIENT_INDEXED_PNG_H_

#include <string>

#include "opencv2/core.hpp"

namespace ovdiff::client {

// 0xRRGGBB.
int ColourOf(int label);

// An indexed PNG of CV_16UC1 labels below 256, with a palette that is not grey.
std::string IndexedPng(const cv::Mat& labels);

}  // namespace ovdiff::client

#endif  // OVDIFF_TESTS_CLIENT_INDEXED_PNG_H_
