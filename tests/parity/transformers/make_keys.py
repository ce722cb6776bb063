#!/usr/bin/env python3
"""Writes ../keys/*.txt, names and shapes of the full-size networks, and their configs/.

    python tests/parity/transformers/make_keys.py

With tests/parity/requirements.txt. Nothing is downloaded: the networks are built without weights.
"""

import json

import timm
import torch
from make_goldens import HERE, config_json
from transformers import CLIPConfig, CLIPModel, CLIPTextModel

KEYS = HERE.parent / "keys"


def write_keys(name, state, prefix=""):
    KEYS.mkdir(exist_ok=True)
    lines = [f"{prefix}{key} {'x'.join(map(str, value.shape)) or 'scalar'}"
             for key, value in state.items()]
    (KEYS / f"{name}.txt").write_text("\n".join(sorted(lines)) + "\n")
    total = sum(value.numel() for value in state.values())
    print(f"{name}: {len(lines)} tensors, {total} parameters")


def make_keys():
    """The real configurations of networks.md 1.7, 2 and 3, without weights."""
    def clip(text, vision, projection):
        return CLIPConfig(
            text_config=dict(vocab_size=49408, max_position_embeddings=77,
                             hidden_act="quick_gelu", eos_token_id=2,
                             bos_token_id=0, pad_token_id=1,
                             projection_dim=projection) | text,
            vision_config=dict(image_size=224, hidden_act="quick_gelu",
                               projection_dim=projection) | vision,
            projection_dim=projection)

    clips = {
        "clip_b16": clip(
            dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12,
                 num_attention_heads=8),
            dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                 num_attention_heads=12, patch_size=16), 512),
        "clip_l14": clip(
            dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                 num_attention_heads=12),
            dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                 num_attention_heads=16, patch_size=14), 768),
    }
    text = clips["clip_l14"].text_config
    dino = dict(img_size=224, patch_size=8, embed_dim=768, depth=12, num_heads=12,
                mlp_ratio=4.0, qkv_bias=True)
    with torch.device("meta"):
        for name, config in clips.items():
            write_keys(name, CLIPModel(config).state_dict())
        # The hub's file carries the prefix, transformers 5 dropped it.
        write_keys("sd15_text_encoder", CLIPTextModel(text).state_dict(),
                   "text_model.")
        model = timm.create_model("vit_base_patch8_224.dino", pretrained=False,
                                  num_classes=0)
        write_keys("dino_b8", model.state_dict())
    configs = {name: config_json(config) for name, config in clips.items()}
    configs["sd15_text_encoder"] = config_json(text)
    configs["dino_b8"] = {"architecture": "vit_dino", "layer_norm_eps": 1e-6} | dino
    for name, config in configs.items():
        (HERE / "configs" / f"{name}.json").write_text(
            json.dumps(config, indent=1, default=str) + "\n")


if __name__ == "__main__":
    make_keys()
