"""OpenAI's names for the weights of a transformers CLIPModel: what the official
program loads. Used by run_official.py, in its Python."""

from __future__ import annotations

import pathlib

import torch
from safetensors.torch import load_file


def openai_weights(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """A transformers CLIPModel's tensors under OpenAI's names."""
    source = load_file(path)
    made = {"logit_scale": source["logit_scale"]}
    made["text_projection"] = source["text_projection.weight"].T
    made["visual.proj"] = source["visual_projection.weight"].T
    made["visual.class_embedding"] = source["vision_model.embeddings.class_embedding"]
    made["visual.conv1.weight"] = source["vision_model.embeddings.patch_embedding.weight"]
    made["visual.positional_embedding"] = source["vision_model.embeddings.position_embedding.weight"]
    made["positional_embedding"] = source["text_model.embeddings.position_embedding.weight"]
    made["token_embedding.weight"] = source["text_model.embeddings.token_embedding.weight"]
    norms = {
        "vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post",
        "text_model.final_layer_norm": "ln_final",
    }  # fmt: skip
    for theirs, ours in norms.items():
        for part in ("weight", "bias"):
            made[f"{ours}.{part}"] = source[f"{theirs}.{part}"]
    layers = {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2"}
    layers["self_attn.out_proj"] = "attn.out_proj"
    for tower, prefix in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        count = 1 + max(int(n.split(".")[3]) for n in source if n.startswith(f"{tower}.encoder.layers."))
        for i in range(count):
            theirs, ours = f"{tower}.encoder.layers.{i}", f"{prefix}.resblocks.{i}"
            for part in ("weight", "bias"):
                packed = [source[f"{theirs}.self_attn.{p}_proj.{part}"] for p in "qkv"]
                made[f"{ours}.attn.in_proj_{part}"] = torch.cat(packed)
                for a, b in layers.items():
                    made[f"{ours}.{b}.{part}"] = source[f"{theirs}.{a}.{part}"]
    return made
