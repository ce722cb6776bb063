#include "engine/weights/key_map.h"

#include <exception>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "re2/re2.h"
#include "torch/torch.h"

namespace ovdiff::engine {
namespace {

struct KeyRename {
  const char* pattern;      // RE2, matched against the whole key
  const char* replacement;  // with \1, \2 for groups
  const char* reason;       // for readers of the table
};

// diffusers renamed the VAE's attention in 0.17; files written before keep the
// old names, and diffusers itself still converts them.
constexpr KeyRename kAutoencoderKl[] = {
    {R"((.*\.attentions\.\d+\.)query\.(.*))", R"(\1to_q.\2)", "before 0.17"},
    {R"((.*\.attentions\.\d+\.)key\.(.*))", R"(\1to_k.\2)", "before 0.17"},
    {R"((.*\.attentions\.\d+\.)value\.(.*))", R"(\1to_v.\2)", "before 0.17"},
    {R"((.*\.attentions\.\d+\.)proj_attn\.(.*))", R"(\1to_out.0.\2)",
     "before 0.17"},
};

constexpr KeyRename kClipText[] = {
    {R"(((?:embeddings|encoder|final_layer_norm)\..*))", R"(text_model.\1)",
     "transformers 5 dropped the wrapper module of CLIPTextModel"},
};

// OpenAI's clip/model.py to transformers' CLIPModel.
constexpr KeyRename kOpenAiClip[] = {
    {R"(visual\.conv1\.weight)", R"(visual.embeddings.patch_embedding.weight)",
     "name"},
    {R"(visual\.class_embedding)", R"(visual.embeddings.class_embedding)",
     "name"},
    {R"((visual\.)?positional_embedding)",
     R"(\1embeddings.position_embedding.weight)", "a bare parameter there"},
    {R"(visual\.ln_pre\.(.*))", R"(visual.pre_layrnorm.\1)",
     "transformers' misspelling is the real key"},
    {R"(visual\.ln_post\.(.*))", R"(visual.post_layernorm.\1)", "name"},
    {R"(visual\.proj)", R"(visual_projection.weight)", "transposed below"},
    {R"(text_projection)", R"(text_projection.weight)", "transposed below"},
    {R"(token_embedding\.weight)", R"(embeddings.token_embedding.weight)",
     "name"},
    {R"(ln_final\.(.*))", R"(final_layer_norm.\1)", "name"},
    {R"((visual\.)?transformer\.resblocks\.(\d+)\.(.*))",
     R"(\1encoder.layers.\2.\3)", "name"},
    {R"((.*encoder\.layers\.\d+\.)ln_([12])\.(.*))", R"(\1layer_norm\2.\3)",
     "name"},
    {R"((.*encoder\.layers\.\d+\.)mlp\.c_fc\.(.*))", R"(\1mlp.fc1.\2)", "name"},
    {R"((.*encoder\.layers\.\d+\.)mlp\.c_proj\.(.*))", R"(\1mlp.fc2.\2)",
     "name"},
    {R"((.*encoder\.layers\.\d+\.)attn\.(.*))", R"(\1self_attn.\2)", "name"},
    {R"(visual\.(.*))", R"(vision_model.\1)", "last: the tower's own name"},
    {R"(((?:embeddings|encoder|final_layer_norm)\..*))", R"(text_model.\1)",
     "the text tower has no prefix there"},
};

// HF's ViT family to timm. Order matters: `output.dense` of the attention goes
// before `output.dense` of the MLP.
constexpr KeyRename kHfViT[] = {
    {R"(embeddings\.cls_token)", "cls_token", "name"},
    {R"(embeddings\.mask_token)", "mask_token", "name"},
    {R"(embeddings\.position_embeddings)", "pos_embed", "name"},
    {R"(embeddings\.patch_embeddings\.projection\.(.*))",
     R"(patch_embed.proj.\1)", "name"},
    {R"(layernorm\.(.*))", R"(norm.\1)", "name"},
    {R"((?:encoder\.layers?|layers?)\.(\d+)\.(.*))", R"(blocks.\1.\2)",
     "encoder.layer.i in transformers 4, layers.i in 5"},
    {R"((blocks\.\d+\.)(?:layernorm_before)\.(.*))", R"(\1norm1.\2)", "ViT"},
    {R"((blocks\.\d+\.)(?:layernorm_after)\.(.*))", R"(\1norm2.\2)", "ViT"},
    {R"((blocks\.\d+\.)attention\.output\.dense\.(.*))", R"(\1attn.proj.\2)",
     "transformers 4"},
    {R"((blocks\.\d+\.)attention\.o_proj\.(.*))", R"(\1attn.proj.\2)",
     "transformers 5"},
    {R"((blocks\.\d+\.)attention\.attention\.query\.(.*))", R"(\1attn.q.\2)",
     "transformers 4; stacked below"},
    {R"((blocks\.\d+\.)attention\.attention\.key\.(.*))", R"(\1attn.k.\2)",
     "transformers 4; stacked below"},
    {R"((blocks\.\d+\.)attention\.attention\.value\.(.*))", R"(\1attn.v.\2)",
     "transformers 4; stacked below"},
    {R"((blocks\.\d+\.)attention\.([qkv])_proj\.(.*))", R"(\1attn.\2.\3)",
     "transformers 5; stacked below"},
    {R"((blocks\.\d+\.)intermediate\.dense\.(.*))", R"(\1mlp.fc1.\2)", "ViT"},
    {R"((blocks\.\d+\.)output\.dense\.(.*))", R"(\1mlp.fc2.\2)", "ViT"},
    {R"((blocks\.\d+\.)layer_scale([12])\.lambda1)", R"(\1ls\2.gamma)",
     "Dinov2"},
};

// Applies the rows in turn to every key.
class Renamer {
 public:
  template <size_t kRows>
  explicit Renamer(const KeyRename (&rows)[kRows]) {
    for (const KeyRename& row : rows) {
      rules_.emplace_back(std::make_unique<RE2>(row.pattern), row.replacement);
    }
  }

  std::string Rename(std::string key) const {
    for (const auto& [pattern, replacement] : rules_) {
      std::string renamed;
      if (RE2::FullMatch(key, *pattern) &&
          RE2::Extract(key, *pattern, replacement, &renamed)) {
        key = std::move(renamed);
      }
    }
    return key;
  }

 private:
  std::vector<std::pair<std::unique_ptr<RE2>, std::string>> rules_;
};

// Renames every key by `rename`, refusing two that become one.
template <typename Rename>
absl::StatusOr<StateDict> RenameAll(StateDict tensors, const Rename& rename) {
  StateDict renamed;
  std::map<std::string, std::string> origins;
  for (auto& [key, tensor] : tensors) {
    const std::string name = rename(key);
    const auto [origin, is_new] = origins.emplace(name, key);
    if (!is_new) {
      return absl::FailedPreconditionError(
          absl::StrCat("the checkpoint holds '", origin->second, "' and '", key,
                       "', two spellings of '", name, "'"));
    }
    renamed.emplace(name, std::move(tensor));
  }
  return renamed;
}

// Wrappers that training code leaves around a network.
std::string StripWrappers(absl::string_view key) {
  bool stripped = true;
  while (stripped) {
    stripped = false;
    for (const absl::string_view wrapper :
         {"module.", "backbone.", "teacher.", "model.", "vit.", "dinov2."}) {
      stripped = absl::ConsumePrefix(&key, wrapper) || stripped;
    }
  }
  return std::string(key);
}

// attn.q, attn.k, attn.v -> attn.qkv: timm's rows are all of q, then k, then v.
absl::StatusOr<StateDict> StackQkv(StateDict tensors) {
  static const RE2* const kQuery = new RE2(R"((.*\.attn\.)q\.(weight|bias))");
  StateDict stacked;
  for (auto& [key, query] : tensors) {
    std::string before, kind;
    if (!RE2::FullMatch(key, *kQuery, &before, &kind)) {
      continue;
    }
    const auto k = tensors.find(absl::StrCat(before, "k.", kind));
    const auto v = tensors.find(absl::StrCat(before, "v.", kind));
    // An incomplete triple stays as it is: the strict load then names it.
    if (k == tensors.end() || v == tensors.end() ||
        k->second.sizes() != query.sizes() ||
        v->second.sizes() != query.sizes() ||
        k->second.scalar_type() != query.scalar_type() ||
        v->second.scalar_type() != query.scalar_type() || query.dim() == 0) {
      continue;
    }
    stacked.emplace(absl::StrCat(before, "qkv.", kind),
                    torch::cat({query, k->second, v->second}, 0));
  }
  for (auto& [key, tensor] : stacked) {
    const size_t at = key.rfind("qkv.");
    for (const char* part : {"q.", "k.", "v."}) {
      tensors.erase(absl::StrCat(key.substr(0, at), part, key.substr(at + 4)));
    }
    if (!tensors.emplace(key, tensor).second) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the checkpoint holds '", key, "' both stacked and in parts"));
    }
  }
  return tensors;
}

// in_proj_{weight,bias} of OpenAI's attention -> q_proj, k_proj, v_proj.
StateDict SplitInProj(StateDict tensors) {
  static const RE2* const kInProj =
      new RE2(R"((.*\.self_attn\.)in_proj_(weight|bias))");
  StateDict split;
  for (auto& [key, tensor] : tensors) {
    std::string before, kind;
    if (!RE2::FullMatch(key, *kInProj, &before, &kind) || tensor.dim() == 0 ||
        tensor.size(0) % 3 != 0) {
      split.emplace(key, std::move(tensor));
      continue;
    }
    const std::vector<torch::Tensor> parts = tensor.chunk(3, 0);
    const char* names[] = {"q_proj.", "k_proj.", "v_proj."};
    for (size_t i = 0; i < 3; ++i) {
      split.emplace(absl::StrCat(before, names[i], kind),
                    parts[i].contiguous());
    }
  }
  return split;
}

// torch may throw (no memory); nothing of it leaves this file.
template <typename Body>
absl::StatusOr<StateDict> NoThrow(const Body& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot rename a checkpoint's keys: ", error.what()));
  }
}

}  // namespace

absl::StatusOr<StateDict> ToAutoencoderKlKeys(StateDict tensors) {
  const Renamer renamer(kAutoencoderKl);
  return NoThrow([&] {
    return RenameAll(std::move(tensors), [&](const std::string& key) {
      return renamer.Rename(key);
    });
  });
}

absl::StatusOr<StateDict> ToClipTextModelKeys(StateDict tensors) {
  const Renamer renamer(kClipText);
  return NoThrow([&] {
    return RenameAll(std::move(tensors), [&](const std::string& key) {
      return renamer.Rename(key);
    });
  });
}

absl::StatusOr<StateDict> ToClipModelKeys(StateDict tensors) {
  if (tensors.count("visual.conv1.weight") == 0) {
    return tensors;
  }
  const Renamer renamer(kOpenAiClip);
  return NoThrow([&]() -> absl::StatusOr<StateDict> {
    OVDIFF_ASSIGN_OR_RETURN(
        StateDict renamed,
        RenameAll(std::move(tensors),
                  [&](const std::string& key) { return renamer.Rename(key); }));
    for (const char* name :
         {"visual_projection.weight", "text_projection.weight"}) {
      const auto found = renamed.find(name);
      if (found != renamed.end() && found->second.dim() == 2) {
        found->second = found->second.t().contiguous();
      }
    }
    return SplitInProj(std::move(renamed));
  });
}

absl::StatusOr<StateDict> ToVisionTransformerKeys(StateDict tensors) {
  const Renamer renamer(kHfViT);
  return NoThrow([&]() -> absl::StatusOr<StateDict> {
    OVDIFF_ASSIGN_OR_RETURN(
        StateDict renamed,
        RenameAll(std::move(tensors), [&](const std::string& key) {
          return renamer.Rename(StripWrappers(key));
        }));
    return StackQkv(std::move(renamed));
  });
}

const std::vector<std::string>& IgnoredAutoencoderKlKeys() {
  static const auto* const kKeys = new std::vector<std::string>();
  return *kKeys;
}

const std::vector<std::string>& IgnoredClipTextModelKeys() {
  static const auto* const kKeys = new std::vector<std::string>{
      // A buffer with 0…76, in files written before transformers 4.31.
      R"(text_model\.embeddings\.position_ids)",
      // Of CLIPTextModelWithProjection; Stable Diffusion 1 and 2 do not use it.
      R"(text_projection\.weight)",
  };
  return *kKeys;
}

const std::vector<std::string>& IgnoredClipModelKeys() {
  static const auto* const kKeys = new std::vector<std::string>{
      R"((?:text|vision)_model\.embeddings\.position_ids)",
      // Integers that describe OpenAI's TorchScript archives.
      R"(input_resolution|context_length|vocab_size)",
  };
  return *kKeys;
}

const std::vector<std::string>& IgnoredVisionTransformerKeys() {
  static const auto* const kKeys = new std::vector<std::string>{
      // Heads of the training task.
      R"(pooler\..*)",
      R"(classifier\..*)",
      R"(head\..*)",
      // Only used in masked training.
      R"(mask_token)",
      R"(decoder\..*)",
      R"(decoder_.*)",
  };
  return *kKeys;
}

const std::vector<std::string>& IgnoredCascadeRcnnKeys() {
  static const auto* const kKeys = new std::vector<std::string>{
      // The bundle and the configuration say these; batches are not counted.
      R"(pixel_mean|pixel_std)",
      R"(proposal_generator\.anchor_generator\.cell_anchors\..*)",
      R"(.*\.num_batches_tracked)",
  };
  return *kKeys;
}

}  // namespace ovdiff::engine
