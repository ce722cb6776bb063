#include "server/prompt_spec.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/text/prompt_text.h"

namespace ovdiff::server {
namespace {

constexpr absl::string_view kSynonym = "synonym";
constexpr absl::string_view kOnlyGiven = "only-given-pictures";
constexpr absl::string_view kPicture = "picture";
constexpr absl::string_view kNegative = "negative";
constexpr absl::string_view kNegativePicture = "negative-picture";
constexpr size_t kDigestBytes = 32;

std::string PictureLine(absl::string_view word,
                        const v1::GivenPicture& picture) {
  std::string line = absl::StrCat(
      word, " ", absl::BytesToHexString(picture.image().encoded()));
  if (!picture.mask().empty()) {
    absl::StrAppend(&line, " ", absl::BytesToHexString(picture.mask()));
  }
  return line;
}

absl::Status NotASpec() {
  return absl::InvalidArgumentError(
      "the prompt is not one that this program writes");
}

bool ParsePicture(absl::string_view text, v1::GivenPicture& picture) {
  const std::vector<absl::string_view> digests = absl::StrSplit(text, ' ');
  for (const absl::string_view digest : digests) {
    if (digest.size() != 2 * kDigestBytes || !Sha256FromHex(digest).ok()) {
      return false;
    }
  }
  picture.mutable_image()->set_encoded(absl::HexStringToBytes(digests[0]));
  if (digests.size() == 2) {
    picture.set_mask(absl::HexStringToBytes(digests[1]));
  }
  return digests.size() <= 2;
}

// Adds what `line` says to `spec`.
bool ParseLine(absl::string_view line, v1::ClassSpec& spec) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(' ', 1));
  const auto& [word, rest] = parts;
  if (word == kSynonym) {
    spec.add_synonyms(std::string(rest));
  } else if (word == kOnlyGiven) {
    spec.set_only_given_pictures(true);
  } else if (word == kPicture) {
    return ParsePicture(rest, *spec.add_pictures());
  } else if (word == kNegative) {
    spec.add_negatives()->set_prompt(std::string(rest));
  } else if (word == kNegativePicture) {
    return ParsePicture(rest, *spec.add_negatives()->mutable_picture());
  } else {
    return false;
  }
  return true;
}

std::string Pictures(int count) {
  return absl::StrCat(count, count == 1 ? " given picture" : " given pictures");
}

}  // namespace

std::string NormalPrompt(const std::string& text) {
  // Acceptance has checked the text; what a record from disk holds, the engine
  // checks again.
  const auto normal = engine::NormalizePrompt(text);
  return normal.ok() ? *normal : text;
}

bool IsPlain(const v1::ClassSpec& spec) {
  return spec.synonyms().empty() && spec.pictures().empty() &&
         spec.negatives().empty() && !spec.only_given_pictures();
}

bool HasGivenPictures(const v1::ClassSpec& spec) {
  return !spec.pictures().empty() ||
         std::any_of(spec.negatives().begin(), spec.negatives().end(),
                     [](const v1::Negative& one) { return one.has_picture(); });
}

std::string MainPrompt(const v1::ClassSpec& spec) {
  return NormalPrompt(spec.prompt().empty() ? spec.name() : spec.prompt());
}

std::vector<std::string> PaintedPrompts(const v1::ClassSpec& spec) {
  std::vector<std::string> prompts;
  if (!spec.only_given_pictures()) {
    prompts.push_back(MainPrompt(spec));
    for (const std::string& synonym : spec.synonyms()) {
      prompts.push_back(NormalPrompt(synonym));
    }
  }
  return prompts;
}

std::vector<std::string> AllPaintedPrompts(const v1::ClassSpec& spec) {
  std::vector<std::string> prompts = PaintedPrompts(spec);
  for (const v1::Negative& negative : spec.negatives()) {
    if (!negative.has_picture()) {
      prompts.push_back(NormalPrompt(negative.prompt()));
    }
  }
  return prompts;
}

int NumPaintedPictures(const v1::ClassSpec& spec, int num_pictures) {
  return static_cast<int>(AllPaintedPrompts(spec).size()) * num_pictures;
}

int NumSupportPictures(const v1::ClassSpec& spec, int num_pictures) {
  const auto negatives = static_cast<int>(
      std::count_if(spec.negatives().begin(), spec.negatives().end(),
                    [](const v1::Negative& one) { return one.has_picture(); }));
  return NumPaintedPictures(spec, num_pictures) + spec.pictures_size() +
         negatives;
}

std::string PromptSpecText(const v1::ClassSpec& digested) {
  std::vector<std::string> lines = {MainPrompt(digested)};
  for (const std::string& synonym : digested.synonyms()) {
    lines.push_back(absl::StrCat(kSynonym, " ", NormalPrompt(synonym)));
  }
  if (digested.only_given_pictures()) {
    lines.emplace_back(kOnlyGiven);
  }
  for (const v1::GivenPicture& picture : digested.pictures()) {
    lines.push_back(PictureLine(kPicture, picture));
  }
  for (const v1::Negative& negative : digested.negatives()) {
    lines.push_back(
        negative.has_picture()
            ? PictureLine(kNegativePicture, negative.picture())
            : absl::StrCat(kNegative, " ", NormalPrompt(negative.prompt())));
  }
  return absl::StrJoin(lines, "\n");
}

absl::StatusOr<v1::ClassSpec> ParsePromptSpec(absl::string_view text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  v1::ClassSpec spec;
  spec.set_prompt(std::string(lines[0]));
  for (size_t i = 1; i < lines.size(); ++i) {
    if (!ParseLine(lines[i], spec)) {
      return NotASpec();
    }
  }
  if (lines.size() > 1 && PromptSpecText(spec) != text) {
    return NotASpec();
  }
  return spec;
}

std::string DescribePromptSpec(absl::string_view text) {
  const absl::string_view first = text.substr(0, text.find('\n'));
  const auto spec = ParsePromptSpec(text);
  if (!spec.ok()) {
    return std::string(first);
  }
  std::vector<std::string> shown = {std::string(first)};
  shown.insert(shown.end(), spec->synonyms().begin(), spec->synonyms().end());
  if (!spec->pictures().empty()) {
    shown.push_back(absl::StrCat(spec->only_given_pictures() ? "only " : "",
                                 Pictures(spec->pictures_size())));
  }
  std::vector<std::string> hidden;
  int num_pictures = 0;
  for (const v1::Negative& negative : spec->negatives()) {
    if (negative.has_picture()) {
      ++num_pictures;
    } else {
      hidden.push_back(negative.prompt());
    }
  }
  if (num_pictures > 0) {
    hidden.push_back(Pictures(num_pictures));
  }
  return absl::StrCat(absl::StrJoin(shown, ", "),
                      hidden.empty() ? "" : "; not ",
                      absl::StrJoin(hidden, ", "));
}

}  // namespace ovdiff::server
