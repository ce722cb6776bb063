#include "client/build_flags.h"

#include "client/switch_flag.h"

namespace ovdiff::client {

void AddBuildFlags(CLI::App& command, BuildFlags& flags) {
  const char* group =
      "How to build (defaults: the server's, see `ovdiff info`)";
  command
      .add_option("--pictures", flags.pictures,
                  "Support pictures per class (N)")
      ->check(CLI::PositiveNumber)
      ->group(group);
  command.add_option("--steps", flags.steps, "Denoising steps")
      ->check(CLI::PositiveNumber)
      ->group(group);
  command.add_option("--parts", flags.parts, "Part prototypes per side (K)")
      ->check(CLI::PositiveNumber)
      ->group(group);
  command.add_option("--guidance", flags.guidance, "Guidance scale")
      ->group(group);
  command.add_option("--seed", flags.seed, "Rules all noise of the pictures")
      ->group(group);
  command
      .add_option("--prompt-template", flags.prompt_template,
                  "Prompt with {} in place of the class")
      ->group(group);
  command
      .add_option("--negative-prompt", flags.negative_prompt,
                  "What the pictures should not be")
      ->group(group);
  command
      .add_option("--profile", flags.profile,
                  "Named options of the server's; the other flags change them")
      ->group(group);
  command
      .add_option("--mask-source", flags.mask_source,
                  "What finds the object in the pictures: attention, maskcut "
                  "or cutler, as far as the server's bundle has it")
      ->group(group);
  command
      .add_option("--self-attention-rounds", flags.self_attention_rounds,
                  "Rounds of refining attribution maps by the painter's "
                  "self-attention; 0: none")
      ->group(group);
  AddSwitch(command, "--cut-by-attribution,!--no-cut-by-attribution",
            flags.cut_by_attribution,
            "Cut what maskcut or cutler finds by the attribution maps, or do "
            "not")
      ->group(group);
  command
      .add_option("--prune-share", flags.prune_share,
                  "Leave out this share of the pictures, those that CLIP "
                  "finds least like the class")
      ->group(group);
  command
      .add_option("--space", flags.spaces,
                  "Make prototypes in this feature space only, one of those "
                  "that `ovdiff info` names; may be repeated. Classes that are "
                  "to be told apart need one in common")
      ->allow_extra_args(false)
      ->group(group);
}

v1::BuildOptions ToBuildOptions(const BuildFlags& flags) {
  v1::BuildOptions options;
  if (flags.pictures) options.set_num_pictures(*flags.pictures);
  if (flags.steps) options.set_num_steps(*flags.steps);
  if (flags.parts) options.set_num_parts(*flags.parts);
  if (flags.guidance) options.set_guidance_scale(*flags.guidance);
  if (flags.seed) options.set_seed(*flags.seed);
  if (flags.prompt_template)
    options.set_prompt_template(*flags.prompt_template);
  if (flags.negative_prompt)
    options.set_negative_prompt(*flags.negative_prompt);
  if (flags.mask_source) options.set_mask_source(*flags.mask_source);
  if (flags.self_attention_rounds) {
    options.set_self_attention_rounds(*flags.self_attention_rounds);
  }
  if (flags.cut_by_attribution) {
    options.set_cut_by_attribution(*flags.cut_by_attribution);
  }
  if (flags.prune_share) options.set_prune_share(*flags.prune_share);
  options.mutable_spaces()->Assign(flags.spaces.begin(), flags.spaces.end());
  return options;
}

}  // namespace ovdiff::client
