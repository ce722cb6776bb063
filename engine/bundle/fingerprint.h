// Fingerprints: SHA-256 over all that can change a result, field by field.
#ifndef OVDIFF_ENGINE_BUNDLE_FINGERPRINT_H_
#define OVDIFF_ENGINE_BUNDLE_FINGERPRINT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/method_options.h"
#include "engine/base/sha256.h"
#include "engine/bundle/bundle.h"

namespace ovdiff::engine {

// Raised whenever code here changes what a picture or a vector is, given the
// same files and options: old stored results then no longer count as equal.
inline constexpr int kGeneratorVersion = 1;
inline constexpr int kEncoderVersion = 2;

// Digests of a bundle's model folders: of every weight file's and
// configuration's bytes, by file name. Made once at load; immutable.
struct BundleDigests {
  Sha256Digest diffusion{};                    // all five parts
  std::map<std::string, Sha256Digest> spaces;  // by space name
  Sha256Digest prefilter{};                    // CLIP and its tokenizer
  Sha256Digest cutler{};                       // zero where there is none
};

// Reads every file once. Errors as HubWeightFiles() and Sha256OfFile().
absl::StatusOr<BundleDigests> DigestBundle(const Bundle& bundle);

// `dtype`: what the networks compute in ("float32"). Options are validated.
Sha256Digest GeneratorFingerprint(const Bundle& bundle,
                                  const BundleDigests& digests,
                                  const std::string& dtype,
                                  const GenerationOptions& options);
// As Engine::EncoderFingerprint().
Sha256Digest EncoderFingerprint(const Bundle& bundle,
                                const BundleDigests& digests,
                                const std::string& dtype,
                                const PrototypeOptions& options);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_BUNDLE_FINGERPRINT_H_
