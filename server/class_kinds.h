// Thing or stuff: what a class is when its caller does not say.
#ifndef OVDIFF_SERVER_CLASS_KINDS_H_
#define OVDIFF_SERVER_CLASS_KINDS_H_

#include "absl/strings/string_view.h"
#include "engine/base/method_options.h"

namespace ovdiff::server {

// Stuff if the shipped list (stuff_names.cc) has it, else a thing. `text` is
// what is painted: the class's prompt, or without one its name. Letter case,
// spaces and '_' do not matter, nor, in data sets' spellings, synonyms after a
// comma ("road, route") and "-other", "-merged" and "-stuff" at the end. Text
// that is not UTF-8 names a thing. Thread-safe.
ClassKind KindOfText(absl::string_view text);

}  // namespace ovdiff::server

#endif  // OVDIFF_SERVER_CLASS_KINDS_H_
