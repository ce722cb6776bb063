#include "server/validation.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/text/prompt_text.h"
#include "server/error_reasons.h"
#include "server/grpc_status.h"
#include "server/prompt_text.h"
#include "server/validate_prompt_spec.h"

namespace ovdiff::server {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxQuotedBytes = 60;
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

bool IsLowerOrDigit(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c));
}

bool IsVocabularyCharacter(char c) {
  return IsLowerOrDigit(c) || c == '-' || c == '_' || c == '.';
}

bool IsJobIdCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
         c == '_';
}

absl::Status ValidateClass(const v1::ClassSpec& spec, const std::string& field,
                           const Limits& limits) {
  OVDIFF_RETURN_IF_ERROR(
      ValidateClassName(spec.name(), absl::StrCat(field, ".name"), limits));
  if (!spec.prompt().empty()) {
    OVDIFF_RETURN_IF_ERROR(ValidateText(spec.prompt(),
                                        absl::StrCat(field, ".prompt"),
                                        limits.max_class_name_characters));
  }
  if (!v1::ClassKind_IsValid(spec.kind())) {
    return FieldError(
        absl::StrCat(field, ".kind"),
        absl::StrCat(field, ".kind is ", spec.kind(),
                     "; CLASS_KIND_THING (1) and CLASS_KIND_STUFF (2) are "
                     "allowed"),
        reasons::kInvalidField);
  }
  return ValidatePromptSpec(spec, field, limits);
}

}  // namespace

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxQuotedBytes)) {
    out += absl::ascii_iscntrl(static_cast<unsigned char>(c)) ? '?' : c;
  }
  if (text.size() > kMaxQuotedBytes) {
    // Not in the middle of a character.
    while (out.size() > 1 &&
           (static_cast<uint8_t>(out.back()) & 0xC0) == 0x80) {
      out.pop_back();
    }
    if (out.size() > 1 && (static_cast<uint8_t>(out.back()) & 0x80) != 0) {
      out.pop_back();
    }
    out += "...";
  }
  return out + "\"";
}

absl::Status ValidateText(absl::string_view text, absl::string_view field,
                          int max_characters) {
  const auto characters = CountCharacters(text);
  if (!characters.ok()) {
    return FieldError(
        field, absl::StrCat(field, " is ", characters.status().message()),
        reasons::kInvalidField);
  }
  if (*characters > max_characters) {
    return FieldError(
        field,
        absl::StrCat(field, " has ", *characters, " characters; at most ",
                     max_characters, " are allowed"),
        reasons::kInvalidField);
  }
  if (HasControlCharacters(text)) {
    return FieldError(
        field,
        absl::StrCat(field, " ", Quoted(text),
                     " has a control or unassigned character; only printable "
                     "ones are allowed"),
        reasons::kInvalidField);
  }
  OVDIFF_ASSIGN_OR_RETURN(const std::string normal,
                          engine::NormalizePrompt(text));
  if (normal.empty()) {
    return FieldError(field,
                      absl::StrCat(field, " is empty; it needs 1 to ",
                                   max_characters, " characters"),
                      reasons::kInvalidField);
  }
  return absl::OkStatus();
}

absl::Status ValidateVocabularyName(absl::string_view name) {
  const bool is_valid =
      !name.empty() && name.size() <= kMaxNameBytes &&
      IsLowerOrDigit(name.front()) &&
      std::all_of(name.begin(), name.end(), IsVocabularyCharacter);
  if (is_valid) {
    return absl::OkStatus();
  }
  return FieldError(
      "vocabulary",
      absl::StrCat("vocabulary is ", Quoted(name), " (", name.size(),
                   " bytes); allowed are 1 to ", kMaxNameBytes,
                   " of a-z, 0-9, '-', '_' and '.', beginning "
                   "with a letter or digit"),
      reasons::kInvalidField);
}

absl::Status ValidateJobId(absl::string_view id, absl::string_view field,
                           bool may_be_empty) {
  const bool is_valid = (may_be_empty || !id.empty()) &&
                        id.size() <= kMaxNameBytes &&
                        std::all_of(id.begin(), id.end(), IsJobIdCharacter);
  if (is_valid) {
    return absl::OkStatus();
  }
  return FieldError(
      field,
      absl::StrCat(field, " is ", Quoted(id), " (", id.size(),
                   " bytes); allowed are ", may_be_empty ? 0 : 1, " to ",
                   kMaxNameBytes, " of A-Z, a-z, 0-9, '-' and '_'"),
      reasons::kInvalidField);
}

absl::Status ValidateClassName(absl::string_view name, absl::string_view field,
                               const Limits& limits) {
  return ValidateText(name, field, limits.max_class_name_characters);
}

absl::Status ValidateClasses(
    const google::protobuf::RepeatedPtrField<v1::ClassSpec>& classes,
    const Limits& limits) {
  if (classes.empty() || classes.size() > limits.max_classes_per_request) {
    return FieldError(
        "classes",
        absl::StrCat("classes has ", classes.size(), " entries; 1 to ",
                     limits.max_classes_per_request, " are allowed"),
        reasons::kInvalidField);
  }
  absl::flat_hash_map<std::string, int> seen;  // Normal form -> index.
  for (int i = 0; i < classes.size(); ++i) {
    const std::string field = absl::StrCat("classes[", i, "]");
    OVDIFF_RETURN_IF_ERROR(ValidateClass(classes[i], field, limits));
    OVDIFF_ASSIGN_OR_RETURN(std::string normal,
                            engine::NormalizePrompt(classes[i].name()));
    const auto [it, is_new] = seen.emplace(std::move(normal), i);
    if (!is_new) {
      return FieldError(
          absl::StrCat(field, ".name"),
          absl::StrCat(field, ".name ", Quoted(classes[i].name()),
                       " is the same class as classes[", it->second, "] ",
                       Quoted(classes[it->second].name()),
                       "; names must differ in more than case and spaces"),
          reasons::kDuplicateClass);
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateVocabularyRoom(
    const google::protobuf::RepeatedPtrField<v1::ClassSpec>& classes,
    const store::Vocabulary& head, const Limits& limits) {
  absl::flat_hash_map<std::string, std::string> names;  // Normal form -> name.
  for (const store::ClassEntry& entry : head.classes) {
    const auto normal = engine::NormalizePrompt(entry.name);
    names.emplace(normal.ok() ? *normal : entry.name, entry.name);
  }
  for (int i = 0; i < classes.size(); ++i) {
    const std::string& name = classes[i].name();
    OVDIFF_ASSIGN_OR_RETURN(const std::string normal,
                            engine::NormalizePrompt(name));
    const auto [it, is_new] = names.emplace(normal, name);
    if (!is_new && it->second != name) {
      return FieldError(
          absl::StrCat("classes[", i, "].name"),
          absl::StrCat("classes[", i, "].name ", Quoted(name),
                       " is the same class as ", Quoted(it->second),
                       " in vocabulary ", Quoted(head.id.name),
                       "; names must differ in more than case and spaces"),
          reasons::kDuplicateClass);
    }
  }
  if (static_cast<int64_t>(names.size()) > limits.max_classes_per_vocabulary) {
    return PreconditionError(
        head.id.name,
        absl::StrCat("vocabulary ", Quoted(head.id.name), " would have ",
                     names.size(), " classes; ",
                     limits.max_classes_per_vocabulary, " are allowed"),
        reasons::kVocabularyFull);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return FieldError(
        "page_size",
        absl::StrCat("page_size is ", requested, "; 0 (the default, ",
                     kDefaultPageSize, ") to ", kMaxPageSize, " are allowed"),
        reasons::kInvalidField);
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

absl::Status ValidateVersion(int64_t version) {
  if (version < 0) {
    return FieldError(
        "version",
        absl::StrCat("version is ", version,
                     "; allowed are 0 (the newest) and positive versions"),
        reasons::kInvalidField);
  }
  return absl::OkStatus();
}

}  // namespace ovdiff::server
