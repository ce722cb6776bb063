"""Bundles that both the official program and ours can run, for official.py.

`narrow`: a narrow Stable Diffusion 1.5 with seeded random weights.

The shape is the real one wherever the official program counts on it (four levels and sixteen cross-attention layers, 512 pixels,
CLIP ViT-B/16 at 224, DINO with patches of 8, OpenAI's vocabulary); only widths and depths are small, so that the
program runs on a CPU. Attention is made sharper than random weights have it: flat maps have no masks.

`demo`: the trained networks of deploy/bundles/demo, with what the program has fixed: the VAE's factor (moved into its
weights), the blocks and the normalisation that features are taken with, no PAMR. CutLER finds nothing in it.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import math
import pathlib
import shutil
import sys

import timm.models.vision_transformer as vit
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity/cutler"))

import make_goldens as cutler_goldens  # noqa: E402
import reference as cutler_reference  # noqa: E402

BUNDLES = ROOT / "deploy/bundles"
OFFICIAL_FACTOR = 0.18215  # of latents, written into the program
PIPELINE = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.14.0",
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}  # fmt: skip
VOCABULARY, CONTEXT = 49408, 77
TEXT = dict(
    vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, hidden_act="quick_gelu",
    bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=VOCABULARY - 1,
)  # fmt: skip
VIT = dict(img_size=224, patch_size=8, embed_dim=96, depth=3, num_heads=3, mlp_ratio=4, qkv_bias=True)


def write_json(path: pathlib.Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tokenizer(folder: pathlib.Path) -> None:
    """OpenAI's byte pairs, as Open CLIP carries them, in Hugging Face's files."""
    package = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent
    lines = gzip.open(package / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8").read().split("\n")
    merges = lines[1 : VOCABULARY - 512 - 2 + 1]
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [chr(256 + i) for i in range(256 - len(printable))]
    letters = [chr(b) for b in printable] + others
    words = letters + [letter + "</w>" for letter in letters] + ["".join(m.split()) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == VOCABULARY, len(words)
    write_json(folder / "vocab.json", {word: i for i, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    names = {**special, "pad_token": "<|endoftext|>"}
    config = {**names, "tokenizer_class": "CLIPTokenizer", "model_max_length": CONTEXT}
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", names)


@torch.no_grad()
def sharpen(module: torch.nn.Module, ending: str, factor: float) -> None:
    """Multiplies the weights whose names end so."""
    found = [value for name, value in module.named_parameters() if name.endswith(ending)]
    assert found, ending
    for value in found:
        value.mul_(factor)


def rename(path: pathlib.Path, change) -> None:
    """Names of Stable Diffusion 1.5's own files, which the libraries of its time read."""
    tensors = {change(name): value for name, value in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def old_attention(name: str) -> str:
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return name


def diffusion(folder: pathlib.Path) -> None:
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(32, 64, 64, 64), layers_per_block=2, cross_attention_dim=64,
        attention_head_dim=2, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip
    sharpen(unet, "attn2.to_k.weight", 8.0)
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32, 32), layers_per_block=1, norm_num_groups=8, latent_channels=4, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    sharpen(vae, "decoder.conv_out.weight", 2.0)
    vae.save_pretrained(folder / "vae")
    rename(folder / "vae/diffusion_pytorch_model.safetensors", old_attention)
    text = CLIPTextConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, **TEXT)
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    rename(folder / "text_encoder/model.safetensors", lambda name: f"text_model.{name.removeprefix('text_model.')}")
    write_tokenizer(folder / "tokenizer")
    scheduler = {
        "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1,
        "clip_sample": False, "trained_betas": None,
    }  # fmt: skip
    write_json(folder / "scheduler/scheduler_config.json", scheduler)
    write_json(folder / "model_index.json", {**PIPELINE, "scheduler": ["diffusers", "PNDMScheduler"]})


def clip(folder: pathlib.Path) -> None:
    size = dict(hidden_size=128, intermediate_size=512, num_attention_heads=2, projection_dim=64)
    vision = dict(size, num_hidden_layers=4, image_size=224, patch_size=16, hidden_act="quick_gelu")
    config = CLIPConfig(
        text_config=dict(size, num_hidden_layers=3, **TEXT), vision_config=vision, projection_dim=64
    )
    model = CLIPModel(config)
    # Of fresh weights all texts are alike, and so are all pictures.
    sharpen(model, "token_embedding.weight", 10.0)
    sharpen(model, "patch_embedding.weight", 10.0)
    model.save_pretrained(folder)
    write_tokenizer(folder)


def dino(folder: pathlib.Path) -> None:
    model = vit.VisionTransformer(**VIT, num_classes=0, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6))
    sharpen(model, "proj.weight", 4.0)
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    write_json(folder / "config.json", {"architecture": "vit_dino", **VIT, "layer_norm_eps": 1e-6})


def cutler(folder: pathlib.Path, class_bias: float) -> None:
    """A narrow one that finds whole pieces of a picture; how many is up to the bias."""
    config = dict(cutler_goldens.TINY, anchor_sizes=[160, 200, 256, 320, 400])
    model = cutler_goldens.fill_by_name(cutler_reference.CascadeRcnn(config), class_bias)
    sharpen(model, "bbox_pred.weight", 0.1)
    with torch.no_grad():
        model.roi_heads.mask_head.predictor.bias.add_(1.0)
    tensors = {n: v.contiguous() for n, v in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    write_json(folder / "config.json", {"architecture": "cascade_mask_rcnn", **config})


def spec_of_cutler(short_side: int) -> dict:
    return {
        "folder": "cutler", "short_side": short_side, "max_long_side": short_side * 5 // 3,
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip


def narrow(folder: pathlib.Path, seed: int = 0, class_bias: float = -1.0) -> None:
    """At `folder`, which must not be there."""
    torch.manual_seed(seed)
    diffusion(folder / "stable-diffusion")
    clip(folder / "clip")
    dino(folder / "dino")
    cutler(folder / "cutler", class_bias)
    document = json.loads((BUNDLES / "sd15/bundle.json").read_text())
    document.update(name="narrow", description="Stable Diffusion 1.5 in narrow, random weights.", license="none")
    document.update(cutler=spec_of_cutler(800), options={})
    write_json(folder / "bundle.json", document)


def scale_latents(path: pathlib.Path, factor: float) -> None:
    """The same VAE with latents `factor` times as large."""
    tensors = {name: value.float() for name, value in load_file(path).items()}
    channels = tensors["quant_conv.weight"].shape[0] // 2
    tensors["quant_conv.weight"][:channels] *= factor
    tensors["quant_conv.bias"][:channels] *= factor
    tensors["quant_conv.bias"][channels:] += 2 * math.log(factor)
    tensors["post_quant_conv.weight"] /= factor
    save_file(tensors, path, metadata={"format": "pt"})


def demo(folder: pathlib.Path) -> None:
    """At `folder`, which must not be there."""
    for part in ("stable-diffusion", "clip", "dino"):
        shutil.copytree(BUNDLES / "demo" / part, folder / part)
    for path in folder.rglob("*.safetensors"):
        save_file({n: v.float() for n, v in load_file(path).items()}, path, metadata={"format": "pt"})
    vae = folder / "stable-diffusion/vae"
    config = json.loads((vae / "config.json").read_text())
    scale_latents(vae / "diffusion_pytorch_model.safetensors", config["scaling_factor"] / OFFICIAL_FACTOR)
    rename(vae / "diffusion_pytorch_model.safetensors", old_attention)
    write_json(vae / "config.json", {**config, "scaling_factor": OFFICIAL_FACTOR})
    text = folder / "stable-diffusion/text_encoder/model.safetensors"
    rename(text, lambda name: f"text_model.{name.removeprefix('text_model.')}")
    index = json.loads((BUNDLES / "demo/stable-diffusion/model_index.json").read_text())
    write_json(folder / "stable-diffusion/model_index.json", {**index, **PIPELINE})
    cutler(folder / "cutler", class_bias=-30.0)
    document = json.loads((BUNDLES / "demo/bundle.json").read_text())
    official = {s["name"]: s for s in json.loads((BUNDLES / "sd15/bundle.json").read_text())["spaces"]}
    for space in document["spaces"]:
        for key in ("layer", "mean", "std"):
            if key in space:
                space[key] = official[space["name"]][key]
    document.update(name="demo-official", cutler=spec_of_cutler(64), options={})
    write_json(folder / "bundle.json", document)
