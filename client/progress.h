// The progress of an AddClasses job, for people.
//
// On a terminal: a line per finished class, once, and below it a block of bars
// that is redrawn in place and never higher than the window. Elsewhere: a plain
// line per class when its stage changes and at each quarter of its work.
#ifndef OVDIFF_CLIENT_PROGRESS_H_
#define OVDIFF_CLIENT_PROGRESS_H_

#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/console.h"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::client {

// Thread-compatible. The console must outlive it.
class ProgressView {
 public:
  explicit ProgressView(Console& console) : console_(console) {}
  ~ProgressView() { Finish(); }

  // Shows the whole job as it is now. At most ten redraws a second.
  void Update(const v1::Job& job);
  // A line of words above the bars.
  void Note(absl::string_view text);
  // Leaves the cursor below what was drawn.
  void Finish();

 private:
  void UpdateLive(const v1::Job& job);
  void UpdatePlain(const v1::ClassProgress& progress);
  void EraseBlock();

  Console& console_;
  std::set<std::string> finished_;  // Classes that have their line.
  std::map<std::string, std::string>
      plain_state_;  // What was last said of a class.
  absl::Time last_draw_ = absl::InfinitePast();
  int block_lines_ = 0;  // Lines of bars that now stand above the cursor.
};

// "done, painted in 12 s", "done, stored prototypes reused", "failed: …".
std::string StageWords(const v1::ClassProgress& progress);

// In the vocabulary, failed, or cancelled.
bool IsTerminal(v1::ClassStage stage);
bool IsTerminal(v1::JobState state);

}  // namespace ovdiff::client

#endif  // OVDIFF_CLIENT_PROGRESS_H_
