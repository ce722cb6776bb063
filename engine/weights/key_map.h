// Renames that bring a checkpoint's keys to the names of engine/nn, each with
// its reason. LoadStateDict is strict: run one of these first, where a network
// is known under more than one spelling. Keys that are already right stay.
//
// All functions: tensors are moved, not copied, unless the layout differs; two
// keys that would become one are refused with kFailedPrecondition naming both.
// Thread-safe, do not throw.
#ifndef OVDIFF_ENGINE_WEIGHTS_KEY_MAP_H_
#define OVDIFF_ENGINE_WEIGHTS_KEY_MAP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/weights/safetensors.h"

namespace ovdiff::engine {

// To diffusers' AutoencoderKL of today. Old files call the attention's weights
// query, key, value and proj_attn.
absl::StatusOr<StateDict> ToAutoencoderKlKeys(StateDict tensors);

// To transformers' CLIPTextModel as on the hub, with the prefix `text_model.`;
// transformers 5 writes it without.
absl::StatusOr<StateDict> ToClipTextModelKeys(StateDict tensors);

// To transformers' CLIPModel. OpenAI's own names (`visual.…`, `transformer.
// resblocks.…`) are recognised; stacked projections are split and the two
// output projections transposed.
absl::StatusOr<StateDict> ToClipModelKeys(StateDict tensors);

// To timm/DINO's VisionTransformer. Strips the wrappers `module.`, `backbone.`,
// `teacher.`, `model.`, `vit.`, `dinov2.`; recognises HF's ViTModel,
// Dinov2Model and ViTMAEForPreTraining of transformers 4 and 5, whose separate
// query, key and value become the stacked qkv.
absl::StatusOr<StateDict> ToVisionTransformerKeys(StateDict tensors);

// LoadStateDictOptions::ignore_unexpected for each: what the hub's files hold
// beyond the network.
const std::vector<std::string>& IgnoredAutoencoderKlKeys();
const std::vector<std::string>& IgnoredClipTextModelKeys();
const std::vector<std::string>& IgnoredClipModelKeys();
const std::vector<std::string>& IgnoredVisionTransformerKeys();
const std::vector<std::string>& IgnoredCascadeRcnnKeys();

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_WEIGHTS_KEY_MAP_H_
