// What a class is painted and shown as, in one text: the "prompt" of content
// keys, of records and of vocabularies' entries (store/FORMAT.md, "Keys").
#ifndef OVDIFF_SERVER_PROMPT_SPEC_H_
#define OVDIFF_SERVER_PROMPT_SPEC_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ovdiff/v1/vocabulary_service.pb.h"

namespace ovdiff::server {

// A spec is *digested* when each given picture has, in place of its file and
// its mask's, the SHA-256 (32 bytes) of what they decode to, in image.encoded
// and mask: server/given_pictures.h makes it so. Jobs keep digested specs.

// Of each class, whatever the pictures of its own and of its negatives.
inline constexpr int kMaxSynonyms = 8;
inline constexpr int kMaxNegatives = 8;
inline constexpr int kMaxGivenPictures = 64;
// Painted and given ones together, negatives' included: they are one record.
inline constexpr int kMaxSupportPictures = 512;

// `text` normalised (engine/text/prompt_text.h); as it is if it is not UTF-8.
std::string NormalPrompt(const std::string& text);
// Neither synonyms, given pictures nor negatives.
bool IsPlain(const v1::ClassSpec& spec);
// `spec` has pictures, of its own or of negatives.
bool HasGivenPictures(const v1::ClassSpec& spec);
// The prompt, or the name where there is none, normalised.
std::string MainPrompt(const v1::ClassSpec& spec);
// What is painted as the class: the main prompt, then synonyms; empty with
// only_given_pictures. Normalised.
std::vector<std::string> PaintedPrompts(const v1::ClassSpec& spec);
// These, and the prompts of its negatives.
std::vector<std::string> AllPaintedPrompts(const v1::ClassSpec& spec);
// Pictures of the class and its negatives, N of each prompt.
int NumSupportPictures(const v1::ClassSpec& spec, int num_pictures);
// Those of them that are painted.
int NumPaintedPictures(const v1::ClassSpec& spec, int num_pictures);

// The text of a digested spec. Of a plain one its main prompt and nothing more;
// else that, and a line each for:
//   synonym <prompt>
//   only-given-pictures
//   picture <digest> [<digest of its mask>]
//   negative <prompt>
//   negative-picture <digest> [<digest of its mask>]
// in this order, and in the caller's within a kind of picture or synonym and of
// negatives. A prompt has no line break, so no two specs have one text.
std::string PromptSpecText(const v1::ClassSpec& digested);

// The digested spec that has this text; its main prompt is `prompt`.
// kInvalidArgument for a text that PromptSpecText() does not write.
absl::StatusOr<v1::ClassSpec> ParsePromptSpec(absl::string_view text);

// For people: "sneaker, trainer, 5 given pictures; not boot". A plain text
// stays as it is, and one that cannot be parsed its first line.
std::string DescribePromptSpec(absl::string_view text);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_PROMPT_SPEC_H_
