#include "server/class_kinds.h"

#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/text/prompt_text.h"
#include "server/stuff_names.h"

namespace ovdiff::server {
namespace {

struct StuffList {
  absl::flat_hash_set<absl::string_view> names;  // as they are
  absl::flat_hash_set<absl::string_view> heads;  // after one word more
};

const StuffList& List() {
  static const auto* const list = [] {
    auto* made = new StuffList;
    for (absl::string_view name : StuffNames()) {
      if (absl::ConsumePrefix(&name, "* ")) {
        made->heads.insert(name);
      }
      made->names.insert(name);
    }
    return made;
  }();
  return *list;
}

// "sky" of "sky-other-merged".
absl::string_view WithoutDataSetEnding(absl::string_view text) {
  bool cut = true;
  while (cut) {
    cut = absl::ConsumeSuffix(&text, "-other") ||
          absl::ConsumeSuffix(&text, "-merged") ||
          absl::ConsumeSuffix(&text, "-stuff");
  }
  return text;
}

}  // namespace

ClassKind KindOfText(absl::string_view text) {
  const absl::string_view first = text.substr(0, text.find(','));
  const auto normal =
      engine::NormalizePrompt(absl::StrReplaceAll(first, {{"_", " "}}));
  if (!normal.ok()) {
    return ClassKind::kThing;
  }
  const absl::string_view name = WithoutDataSetEnding(*normal);
  const size_t space = name.find(' ');
  const bool is_stuff =
      List().names.contains(name) ||
      (space != name.npos && List().heads.contains(name.substr(space + 1)));
  return is_stuff ? ClassKind::kStuff : ClassKind::kThing;
}

}  // namespace ovdiff::server
