#include "client/progress.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/status.h"

namespace ovdiff::client {
namespace {

constexpr absl::Duration kRedrawInterval = absl::Milliseconds(100);
constexpr int kBarColumns = 24;
// Lines of the window that the bars leave free.
constexpr int kSpareRows = 4;

std::string Bar(double fraction, int columns, bool unicode) {
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * columns);
  std::string bar;
  for (int i = 0; i < columns; ++i) {
    bar += unicode ? (i < full ? "█" : "░") : (i < full ? "#" : ".");
  }
  return bar;
}

std::string Tail(const v1::ClassProgress& progress) {
  std::string tail =
      absl::StrCat(progress.pictures_done(), "/", progress.num_pictures());
  if (progress.has_remaining_seconds()) {
    absl::StrAppend(&tail, "  ", HumanSeconds(progress.remaining_seconds()),
                    " left");
  }
  return tail;
}

std::string LiveLine(const v1::ClassProgress& progress, int name_columns,
                     const Console& console) {
  const std::string line =
      absl::StrCat("  ", FitColumns(Printable(progress.name()), name_columns),
                   "  ", FitColumns(StageWords(progress), 10),
                   Bar(progress.fraction_done(), kBarColumns, console.unicode),
                   "  ", Tail(progress));
  // One column less than the window: a full line would wrap and spoil the
  // count.
  return FitColumns(line, std::max(10, console.columns - 1));
}

std::string FinishedLine(const v1::ClassProgress& progress, int name_columns,
                         const Console& console) {
  const bool done = progress.stage() == v1::CLASS_STAGE_DONE;
  const absl::string_view mark =
      console.unicode ? (done ? "✓" : "✗") : (done ? "+" : "!");
  return absl::StrCat(mark, " ",
                      FitColumns(Printable(progress.name()), name_columns),
                      "  ", StageWords(progress));
}

int NameColumns(const v1::Job& job, const Console& console) {
  int columns = 8;
  for (const v1::ClassProgress& progress : job.classes()) {
    columns = std::max(columns, DisplayWidth(Printable(progress.name())));
  }
  return std::min(columns, std::max(8, console.columns / 3));
}

}  // namespace

bool IsTerminal(v1::ClassStage stage) {
  return stage == v1::CLASS_STAGE_DONE || stage == v1::CLASS_STAGE_FAILED ||
         stage == v1::CLASS_STAGE_CANCELLED;
}

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED || state == v1::JOB_STATE_VALIDATED;
}

std::string StageWords(const v1::ClassProgress& progress) {
  switch (progress.stage()) {
    case v1::CLASS_STAGE_PAINTING:
      return "painting";
    case v1::CLASS_STAGE_ENCODING:
      return "encoding";
    case v1::CLASS_STAGE_DONE:
      if (progress.cache_hit() == v1::CACHE_HIT_PROTOTYPES) {
        return "done, stored prototypes reused";
      }
      return absl::StrCat(progress.cache_hit() == v1::CACHE_HIT_PICTURES
                              ? "done, stored pictures encoded in "
                              : "done, painted and encoded in ",
                          HumanSeconds(progress.elapsed_seconds()));
    case v1::CLASS_STAGE_FAILED:
      return absl::StrCat("failed: ",
                          Printable(Readable(FromRpcStatus(progress.error()))));
    case v1::CLASS_STAGE_CANCELLED:
      return "cancelled";
    default:
      return "waiting";
  }
}

void ProgressView::EraseBlock() {
  if (block_lines_ > 0) {
    console_.err << "\x1b[" << block_lines_ << "A\r\x1b[0J";
    block_lines_ = 0;
  }
}

void ProgressView::UpdateLive(const v1::Job& job) {
  const int name_columns = NameColumns(job, console_);
  std::vector<const v1::ClassProgress*> running;
  std::vector<const v1::ClassProgress*> waiting;
  std::vector<const v1::ClassProgress*> newly_finished;
  for (const v1::ClassProgress& progress : job.classes()) {
    if (!IsTerminal(progress.stage())) {
      (progress.stage() == v1::CLASS_STAGE_WAITING ? waiting : running)
          .push_back(&progress);
    } else if (finished_.insert(progress.name()).second) {
      newly_finished.push_back(&progress);
    }
  }
  const absl::Time now = absl::Now();
  if (newly_finished.empty() && now - last_draw_ < kRedrawInterval) {
    return;
  }
  last_draw_ = now;
  EraseBlock();
  for (const v1::ClassProgress* progress : newly_finished) {
    console_.err << FinishedLine(*progress, name_columns, console_) << "\n";
  }
  running.insert(running.end(), waiting.begin(), waiting.end());
  const size_t room =
      static_cast<size_t>(std::max(1, console_.rows - kSpareRows));
  const size_t shown = std::min(running.size(), room);
  for (size_t i = 0; i < shown; ++i) {
    console_.err << LiveLine(*running[i], name_columns, console_) << "\n";
  }
  block_lines_ = static_cast<int>(shown);
  if (shown < running.size()) {
    console_.err << "  and " << running.size() - shown << " more waiting\n";
    ++block_lines_;
  }
  console_.err << std::flush;
}

void ProgressView::UpdatePlain(const v1::ClassProgress& progress) {
  if (finished_.count(progress.name()) > 0) {
    return;
  }
  const int quarter = static_cast<int>(progress.fraction_done() * 4);
  const bool terminal = IsTerminal(progress.stage());
  if (terminal) {
    finished_.insert(progress.name());
  }
  const std::string state = absl::StrCat(progress.stage(), "/", quarter);
  std::string& last = plain_state_[progress.name()];
  if (last == state || progress.stage() == v1::CLASS_STAGE_WAITING) {
    return;
  }
  last = state;
  console_.err << Printable(progress.name()) << ": " << StageWords(progress)
               << (terminal ? "" : absl::StrCat(" ", Tail(progress)))
               << std::endl;
}

void ProgressView::Update(const v1::Job& job) {
  if (console_.live) {
    UpdateLive(job);
    return;
  }
  for (const v1::ClassProgress& progress : job.classes()) {
    UpdatePlain(progress);
  }
}

void ProgressView::Note(absl::string_view text) {
  EraseBlock();
  console_.err << text << std::endl;
  last_draw_ = absl::InfinitePast();
}

void ProgressView::Finish() {
  EraseBlock();
  console_.err << std::flush;
}

}  // namespace ovdiff::client
