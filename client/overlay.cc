#include "client/overlay.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/drawn_text.h"
#include "opencv2/imgproc.hpp"

namespace ovdiff::client {
namespace {

const cv::Scalar kPanel(250, 250, 250);
const cv::Scalar kInk(45, 38, 34);
const cv::Scalar kFaintInk(130, 122, 116);

cv::Vec3b Bgr(uint32_t colour) {
  return {static_cast<uint8_t>(colour), static_cast<uint8_t>(colour >> 8),
          static_cast<uint8_t>(colour >> 16)};
}

struct LegendRow {
  std::string text;
  std::string share;
  cv::Scalar colour;
};

std::string Share(int64_t pixels, size_t total) {
  const double percent =
      100.0 * static_cast<double>(pixels) / static_cast<double>(total);
  return percent > 0 && percent < 0.1 ? "<0.1%"
                                      : absl::StrFormat("%.1f%%", percent);
}

// Largest area first, background last.
std::vector<LegendRow> LegendRows(const std::map<int, int64_t>& pixels,
                                  const std::map<int, OverlayClass>& classes,
                                  size_t total) {
  std::vector<std::pair<int64_t, int>> found;
  for (const auto& [label, count] : pixels) {
    if (label != 0) {
      found.emplace_back(-count, label);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<LegendRow> rows;
  for (const auto& [negative_count, label] : found) {
    const OverlayClass& entry = classes.at(label);
    rows.push_back({AsciiWithEscapes(entry.name), Share(-negative_count, total),
                    cv::Scalar(Bgr(entry.colour))});
  }
  const auto background = pixels.find(0);
  rows.push_back(
      {"background",
       Share(background == pixels.end() ? 0 : background->second, total),
       cv::Scalar::all(-1)});
  return rows;
}

// Rows that fit, the rest summed up in a last one.
void CutRows(size_t capacity, std::vector<LegendRow>& rows) {
  if (rows.size() <= capacity) {
    return;
  }
  const LegendRow background = rows.back();
  const size_t kept = std::max<size_t>(capacity, 3) - 2;
  const size_t hidden = rows.size() - 1 - kept;
  rows.resize(kept);
  rows.push_back(
      {absl::StrCat("+ ", hidden, " more"), "", cv::Scalar::all(-2)});
  rows.push_back(background);
}

void DrawSwatch(const LegendRow& row, const cv::Rect& box, int line,
                cv::Mat& panel) {
  if (row.colour[0] == -2) {
    return;
  }
  if (row.colour[0] >= 0) {
    cv::rectangle(panel, box, row.colour, cv::FILLED);
  }
  cv::rectangle(panel, box, row.colour[0] >= 0 ? row.colour * 0.6 : kFaintInk,
                line);
}

cv::Mat LegendPanel(int height, std::vector<LegendRow> rows) {
  // Readable at 512 pixels, in proportion on a photo.
  const int cap = std::clamp(height / 46, 10, 90);
  const int pitch = cap * 12 / 5;
  const int pad = cap * 3 / 2;
  CutRows(static_cast<size_t>(std::max(3, (height - 2 * pad) / pitch)), rows);
  int name_width = 0;
  int share_width = 0;
  for (LegendRow& row : rows) {
    row.text = FitText(row.text, cap, 22 * cap);
    name_width = std::max(name_width, TextWidth(row.text, cap));
    share_width = std::max(share_width, TextWidth(row.share, cap));
  }
  const int swatch = cap * 3 / 2;
  const int width =
      pad + swatch + cap + name_width + 2 * cap + share_width + pad;
  cv::Mat panel(height, width, CV_8UC3, kPanel);
  int top = pad;
  for (const LegendRow& row : rows) {
    const bool faint = row.colour[0] < 0;
    const int baseline = top + (swatch + cap) / 2;
    DrawSwatch(row, cv::Rect(pad, top, swatch, swatch), std::max(1, cap / 8),
               panel);
    DrawText(row.text, {pad + swatch + cap, baseline}, cap,
             faint ? kFaintInk : kInk, panel);
    DrawText(row.share, {width - pad - TextWidth(row.share, cap), baseline},
             cap, faint ? kFaintInk : kInk, panel);
    top += pitch;
  }
  return panel;
}

// Blends and, in the same pass, notes where one label ends: a pixel whose right
// or lower neighbour has another label.
void BlendLabels(const cv::Mat& labels,
                 const std::map<int, OverlayClass>& classes, double opacity,
                 cv::Mat& picture, cv::Mat& borders) {
  borders = cv::Mat::zeros(labels.size(), CV_8UC1);
  for (int y = 0; y < labels.rows; ++y) {
    const uint16_t* row = labels.ptr<uint16_t>(y);
    const uint16_t* below =
        labels.ptr<uint16_t>(std::min(y + 1, labels.rows - 1));
    for (int x = 0; x < labels.cols; ++x) {
      if (row[x] != row[std::min(x + 1, labels.cols - 1)] ||
          row[x] != below[x]) {
        borders.at<uint8_t>(y, x) = 255;
      }
      if (row[x] == 0) {
        continue;
      }
      const cv::Vec3b colour = Bgr(classes.at(row[x]).colour);
      cv::Vec3b& pixel = picture.at<cv::Vec3b>(y, x);
      for (int channel = 0; channel < 3; ++channel) {
        pixel[channel] = cv::saturate_cast<uint8_t>(
            (1 - opacity) * pixel[channel] + opacity * colour[channel]);
      }
    }
  }
}

}  // namespace

std::vector<OverlayClass> OverlayClasses(const v1::SegmentResponse& response) {
  std::vector<OverlayClass> classes;
  for (const v1::SegmentedClass& entry : response.classes()) {
    classes.push_back(
        {entry.name(), entry.label(), static_cast<uint32_t>(entry.colour())});
  }
  return classes;
}

int EnlargementOf(cv::Size size, int min_side) {
  const int side = std::max({size.width, size.height, 1});
  return std::max(1, (min_side + side - 1) / side);
}

absl::StatusOr<cv::Mat> DrawOverlay(const cv::Mat& picture,
                                    const cv::Mat& labels,
                                    const std::vector<OverlayClass>& classes,
                                    const OverlayOptions& options) {
  if (picture.type() != CV_8UC3 || labels.type() != CV_16UC1 ||
      picture.size() != labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("an overlay needs an 8-bit BGR picture and 16-bit labels "
                     "of one size; found ",
                     picture.cols, "x", picture.rows, " and ", labels.cols, "x",
                     labels.rows));
  }
  std::map<int, OverlayClass> by_label;
  for (const OverlayClass& entry : classes) {
    by_label[entry.label] = entry;
  }
  std::map<int, int64_t> pixels;
  for (auto it = labels.begin<uint16_t>(); it != labels.end<uint16_t>(); ++it) {
    ++pixels[*it];
  }
  for (const auto& [label, count] : pixels) {
    if (label != 0 && by_label.count(label) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("label ", label,
                       " stands in the label map but not in the class table"));
    }
  }
  const int factor = EnlargementOf(picture.size(), options.min_side);
  cv::Mat drawn;
  cv::Mat large_labels;
  cv::resize(picture, drawn, picture.size() * factor, 0, 0, cv::INTER_CUBIC);
  cv::resize(labels, large_labels, picture.size() * factor, 0, 0,
             cv::INTER_NEAREST);
  cv::Mat borders;
  BlendLabels(large_labels, by_label, options.opacity, drawn, borders);
  // White with a dark rim is seen on every colour.
  const int line = std::max(1, std::max(drawn.cols, drawn.rows) / 500);
  const cv::Mat rim_brush = cv::getStructuringElement(
      cv::MORPH_ELLIPSE, cv::Size(2 * line + 1, 2 * line + 1));
  cv::Mat rim;
  cv::dilate(borders, rim, rim_brush);
  drawn.setTo(cv::Scalar(30, 30, 30), rim);
  if (line > 1) {
    cv::dilate(
        borders, borders,
        cv::getStructuringElement(cv::MORPH_ELLIPSE, cv::Size(line, line)));
  }
  drawn.setTo(cv::Scalar(255, 255, 255), borders);
  if (options.legend) {
    cv::hconcat(
        drawn,
        LegendPanel(drawn.rows, LegendRows(pixels, by_label, labels.total())),
        drawn);
  }
  return drawn;
}

}  // namespace ovdiff::client
