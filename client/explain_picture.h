// The picture that shows to a person why a pixel has its label.
#ifndef OVDIFF_CLIENT_EXPLAIN_PICTURE_H_
#define OVDIFF_CLIENT_EXPLAIN_PICTURE_H_

#include <string>

#include "absl/status/statusor.h"
#include "opencv2/core.hpp"
#include "ovdiff/v1/segmentation_service.pb.h"

namespace ovdiff::client {

// At the left the photo with the pixel marked. At the right, best class first,
// its fused score as a bar, and for each feature space the support pictures of
// the winning and the runner-up prototype: the mask's outside dimmed, its edge
// drawn, level and cosine below. Matches without a picture get a box that says
// why. `photo` is BGR, 8-bit; `name` is what it is called. INVALID_ARGUMENT for
// another kind of photo, or a point outside of it.
absl::StatusOr<cv::Mat> DrawExplanation(const cv::Mat& photo,
                                        const std::string& name,
                                        const v1::ExplainResponse& explanation);

// "background" for the explained background.
std::string ClassTitle(const v1::ExplainedClass& explained);

// "part of picture 3", "class mean"; with whose it is for background.
std::string MatchWords(const v1::PrototypeMatch& match, bool is_background);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_EXPLAIN_PICTURE_H_
