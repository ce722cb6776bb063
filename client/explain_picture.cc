#include "client/explain_picture.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/drawn_text.h"
#include "client/image_io.h"
#include "opencv2/imgcodecs.hpp"
#include "opencv2/imgproc.hpp"

namespace ovdiff::client {
namespace {

const cv::Scalar kPaper(250, 250, 250);
const cv::Scalar kInk(45, 38, 34);
const cv::Scalar kFaintInk(130, 122, 116);
const cv::Scalar kLine(222, 218, 214);
const cv::Scalar kBox(236, 233, 230);

// Pixels. Capitals of the text are kCap high, of headings kHeadingCap.
constexpr int kCap = 10;
constexpr int kHeadingCap = 13;
constexpr int kMargin = 28;
constexpr int kPhotoSide = 560;
constexpr int kThumbnail = 128;
constexpr int kThumbnailGap = 10;
constexpr int kColumn = 2 * kThumbnail + kThumbnailGap;
constexpr int kColumnGap = 34;
constexpr int kTitleHeight = 74;
// A class: its bar, the names of the spaces, pictures and two lines of words.
constexpr int kBarHeight = 12;
constexpr int kBarWidth = 220;
constexpr int kNameWidth = 250;
constexpr int kHeadHeight = 34;
constexpr int kSpaceHeight = 24;
constexpr int kWordsHeight = 44;
constexpr int kRowGap = 26;
constexpr int kRowHeight =
    kHeadHeight + kSpaceHeight + kThumbnail + kWordsHeight;

cv::Scalar Bgr(int32_t colour) {
  return {static_cast<double>(colour & 0xff),
          static_cast<double>((colour >> 8) & 0xff),
          static_cast<double>((colour >> 16) & 0xff)};
}

std::string LevelWord(v1::PrototypeLevel level) {
  switch (level) {
    case v1::PROTOTYPE_LEVEL_CLASS:
      return "class mean";
    case v1::PROTOTYPE_LEVEL_INSTANCE:
      return "mean";
    case v1::PROTOTYPE_LEVEL_PART:
      return "part";
    default:
      return "prototype";
  }
}

// A picture file, or nothing if it is none.
std::optional<cv::Mat> Decode(const std::string& png, int flags) {
  if (png.empty()) {
    return std::nullopt;
  }
  cv::Mat decoded =
      cv::imdecode(std::vector<uint8_t>(png.begin(), png.end()), flags);
  return decoded.empty() ? std::nullopt : std::optional<cv::Mat>(decoded);
}

// `picture` as large as fits into a square of kThumbnail.
cv::Size FitSize(const cv::Mat& picture, int side) {
  const double scale =
      static_cast<double>(side) / std::max(picture.cols, picture.rows);
  return {std::max(1, static_cast<int>(std::lround(picture.cols * scale))),
          std::max(1, static_cast<int>(std::lround(picture.rows * scale)))};
}

cv::Mat Resized(const cv::Mat& picture, cv::Size size) {
  cv::Mat resized;
  cv::resize(picture, resized, size, 0, 0,
             size.width < picture.cols ? cv::INTER_AREA : cv::INTER_CUBIC);
  return resized;
}

// Dims what is outside of `mask` and draws its edge, white with a dark rim.
void DrawMask(const cv::Mat& mask, cv::Mat& picture) {
  cv::Mat dimmed;
  picture.convertTo(dimmed, -1, 0.55, 100);  // towards the paper
  dimmed.copyTo(picture, mask < 128);
  std::vector<std::vector<cv::Point>> edges;
  cv::findContours(mask >= 128, edges, cv::RETR_LIST, cv::CHAIN_APPROX_NONE);
  cv::drawContours(picture, edges, -1, cv::Scalar(30, 30, 30), 3, cv::LINE_AA);
  cv::drawContours(picture, edges, -1, cv::Scalar(255, 255, 255), 1,
                   cv::LINE_AA);
}

void DrawPlaceholder(const std::string& words, cv::Rect box, cv::Mat& canvas) {
  cv::rectangle(canvas, box, kBox, cv::FILLED);
  const int cap = kCap - 1;
  const std::string text = FitText(words, cap, box.width - 8);
  DrawText(text,
           {box.x + (box.width - TextWidth(text, cap)) / 2,
            box.y + (box.height + cap) / 2},
           cap, kFaintInk, canvas);
}

// The match's support picture, and below it what it is.
void DrawMatch(const v1::PrototypeMatch& match, bool is_background,
               cv::Point at, cv::Mat& canvas) {
  const cv::Rect box(at, cv::Size(kThumbnail, kThumbnail));
  const auto picture = Decode(match.picture_png(), cv::IMREAD_COLOR);
  if (picture.has_value()) {
    const cv::Size size = FitSize(*picture, kThumbnail);
    cv::Mat shown = Resized(*picture, size);
    const auto mask = Decode(match.mask_png(), cv::IMREAD_GRAYSCALE);
    if (mask.has_value()) {
      cv::Mat large;
      cv::resize(*mask, large, size, 0, 0, cv::INTER_LINEAR);
      DrawMask(large, shown);
    }
    cv::rectangle(canvas, box, kBox, cv::FILLED);
    const cv::Point corner((kThumbnail - size.width) / 2,
                           (kThumbnail - size.height) / 2);
    shown.copyTo(canvas(cv::Rect(box.tl() + corner, size)));
  } else {
    DrawPlaceholder(match.source_picture() < 0 ? "mean of all" : "not stored",
                    box, canvas);
  }
  const int baseline = box.br().y + 7 + kCap;
  const std::string cosine = absl::StrFormat("%.2f", match.cosine());
  const int cosine_width = TextWidth(cosine, kCap);
  DrawText(cosine, {box.br().x - cosine_width, baseline}, kCap, kInk, canvas);
  const std::string level = match.source_picture() < 0
                                ? LevelWord(match.level())
                                : absl::StrCat(LevelWord(match.level()), ", #",
                                               match.source_picture() + 1);
  DrawText(FitText(level, kCap, kThumbnail - cosine_width - 8),
           {box.x, baseline}, kCap, kInk, canvas);
  if (is_background) {
    DrawText(FitText(absl::StrCat("of ", AsciiWithEscapes(match.class_name())),
                     kCap - 1, kThumbnail),
             {box.x, baseline + kCap + 8}, kCap - 1, kFaintInk, canvas);
  }
}

void DrawSpace(const v1::SpaceEvidence& space, bool is_background, cv::Point at,
               cv::Mat& canvas) {
  const std::string score = absl::StrFormat("%.2f", space.score());
  DrawText(FitText(AsciiWithEscapes(space.space()), kCap, kColumn / 2),
           {at.x, at.y + kCap}, kCap, kFaintInk, canvas);
  DrawText(score, {at.x + kColumn - TextWidth(score, kCap), at.y + kCap}, kCap,
           kFaintInk, canvas);
  const int top = at.y + kSpaceHeight;
  DrawMatch(space.winner(), is_background, {at.x, top}, canvas);
  if (space.has_runner_up()) {
    DrawMatch(space.runner_up(), is_background,
              {at.x + kThumbnail + kThumbnailGap, top}, canvas);
  }
}

void DrawClass(const v1::ExplainedClass& explained, cv::Point at,
               cv::Mat& canvas) {
  const bool is_background = explained.label() == 0;
  const cv::Scalar colour = is_background ? kFaintInk : Bgr(explained.colour());
  const int baseline = at.y + kHeadingCap;
  cv::rectangle(
      canvas,
      cv::Rect(at.x, baseline - kHeadingCap, kHeadingCap, kHeadingCap + 1),
      colour, cv::FILLED);
  const int name_x = at.x + kHeadingCap + 10;
  DrawText(
      FitText(AsciiWithEscapes(ClassTitle(explained)), kHeadingCap, kNameWidth),
      {name_x, baseline}, kHeadingCap, kInk, canvas);
  const int bar_x = name_x + kNameWidth + 16;
  const cv::Rect bar(bar_x, baseline - kBarHeight, kBarWidth, kBarHeight);
  cv::rectangle(canvas, bar, kBox, cv::FILLED);
  const double share = std::clamp(explained.score(), 0.0, 1.0);
  if (share > 0) {
    cv::rectangle(
        canvas,
        cv::Rect(bar.x, bar.y,
                 std::max(1, static_cast<int>(std::lround(share * bar.width))),
                 bar.height),
        colour, cv::FILLED);
  }
  DrawText(absl::StrFormat("%.3f", explained.score()),
           {bar.br().x + 12, baseline}, kCap, kInk, canvas);
  cv::Point column(at.x, at.y + kHeadHeight);
  for (const v1::SpaceEvidence& space : explained.spaces()) {
    DrawSpace(space, is_background, column, canvas);
    column.x += kColumn + kColumnGap;
  }
  if (explained.spaces().empty()) {
    DrawText("no prototypes: its score is a threshold, or 0",
             {at.x, column.y + kCap}, kCap, kFaintInk, canvas);
  }
}

// A ring with a cross in it: white with a dark rim is seen on every photo.
void DrawMark(cv::Point centre, cv::Mat& photo) {
  constexpr int kRadius = 13;
  constexpr int kInner = 5;
  constexpr int kOuter = 20;
  for (const auto& [ink, width] : {std::pair{cv::Scalar(20, 20, 20), 5},
                                   std::pair{cv::Scalar(255, 255, 255), 2}}) {
    cv::circle(photo, centre, kRadius, ink, width, cv::LINE_AA);
    for (const cv::Point& way : {cv::Point(1, 0), cv::Point(-1, 0),
                                 cv::Point(0, 1), cv::Point(0, -1)}) {
      cv::line(photo, centre + kInner * way, centre + kOuter * way, ink, width,
               cv::LINE_AA);
    }
  }
}

cv::Mat MarkedPhoto(const cv::Mat& photo, const v1::Point& point) {
  const cv::Size size = FitSize(photo, kPhotoSide);
  cv::Mat shown = Resized(photo, size);
  DrawMark({static_cast<int>((point.x() + 0.5) * size.width / photo.cols),
            static_cast<int>((point.y() + 0.5) * size.height / photo.rows)},
           shown);
  return shown;
}

// "not seen by the prefilter: bag, coat"; empty if nothing was dropped.
std::string FilteredWords(const v1::ExplainResponse& explanation) {
  std::string words;
  for (const std::string& name : explanation.filtered_classes()) {
    absl::StrAppend(&words,
                    words.empty() ? "left out by the prefilter: " : ", ",
                    AsciiWithEscapes(name));
  }
  return words;
}

void DrawTitle(const std::string& name, const v1::ExplainResponse& explanation,
               int width, cv::Mat& canvas) {
  const std::string label =
      explanation.classes().empty()
          ? "nothing"
          : AsciiWithEscapes(ClassTitle(explanation.classes(0)));
  DrawText(FitText(absl::StrFormat("%s at %d,%d: %s", AsciiWithEscapes(name),
                                   explanation.point().x(),
                                   explanation.point().y(), label),
                   kHeadingCap + 2, width),
           {kMargin, kMargin + kHeadingCap + 2}, kHeadingCap + 2, kInk, canvas);
  std::string about =
      absl::StrCat("vocabulary ", AsciiWithEscapes(explanation.vocabulary()),
                   ", version ", explanation.version(),
                   "; of each pair, the winning prototype and the runner-up");
  const std::string filtered = FilteredWords(explanation);
  if (!filtered.empty()) {
    absl::StrAppend(&about, "; ", filtered);
  }
  DrawText(FitText(about, kCap, width),
           {kMargin, kMargin + kHeadingCap + 2 + kCap + 14}, kCap, kFaintInk,
           canvas);
}

}  // namespace

std::string ClassTitle(const v1::ExplainedClass& explained) {
  return explained.label() == 0 ? "background" : explained.name();
}

std::string MatchWords(const v1::PrototypeMatch& match, bool is_background) {
  std::string words =
      match.source_picture() < 0
          ? LevelWord(match.level())
          : absl::StrCat(LevelWord(match.level()), " of picture ",
                         match.source_picture() + 1);
  if (is_background) {
    absl::StrAppend(&words, " of ", match.class_name());
  }
  return words;
}

absl::StatusOr<cv::Mat> DrawExplanation(
    const cv::Mat& photo, const std::string& name,
    const v1::ExplainResponse& explanation) {
  const v1::Point& point = explanation.point();
  if (photo.type() != CV_8UC3 || point.x() < 0 || point.x() >= photo.cols ||
      point.y() < 0 || point.y() >= photo.rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the explained point ", point.x(), ",", point.y(),
        " is not in the 8-bit BGR photo of ", photo.cols, "x", photo.rows));
  }
  int columns = 2;  // As wide as a class's bar needs.
  for (const v1::ExplainedClass& explained : explanation.classes()) {
    columns = std::max(columns, explained.spaces_size());
  }
  const cv::Mat shown = MarkedPhoto(photo, point);
  const int evidence_x = kMargin + kPhotoSide + 2 * kMargin;
  const int evidence_width = columns * kColumn + (columns - 1) * kColumnGap;
  const int rows = explanation.classes_size();
  const int evidence_height =
      rows * kRowHeight + std::max(0, rows - 1) * kRowGap;
  cv::Mat canvas(
      kTitleHeight + kMargin + std::max(kPhotoSide, evidence_height) + kMargin,
      evidence_x + evidence_width + kMargin, CV_8UC3, kPaper);
  DrawTitle(name, explanation, canvas.cols - 2 * kMargin, canvas);
  const int top = kTitleHeight + kMargin;
  cv::line(canvas, {kMargin, kTitleHeight + kMargin / 3},
           {canvas.cols - kMargin, kTitleHeight + kMargin / 3}, kLine, 1);
  const cv::Point corner(kMargin + (kPhotoSide - shown.cols) / 2, top);
  shown.copyTo(canvas(cv::Rect(corner, shown.size())));
  cv::Point at(evidence_x, top);
  for (const v1::ExplainedClass& explained : explanation.classes()) {
    DrawClass(explained, at, canvas);
    at.y += kRowHeight + kRowGap;
  }
  return canvas;
}

}  // namespace ovdiff::client
