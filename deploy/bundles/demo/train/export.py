"""Stage `export`: the trained networks as a bundle, in their hubs' own layout, fp16."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from . import diffusion, dino, judge, widen
from .pictures import PRODUCTS, SIZE, Scene, SceneGenerator
from .run import Run
from .tokenizer import CONTEXT


def _save(folder: pathlib.Path, name: str, module: torch.nn.Module, prefix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {prefix + key: value.detach().half().contiguous() for key, value in module.state_dict().items() if value.is_floating_point()}
    save_file(state, folder / name, metadata={"format": "pt"})


def _json(path: pathlib.Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


# Scenes of `make demo`, apart from the 500 that accuracy is reported on.
_FIRST_SCENE, _SCENES = 10000, 12
# They are shown to people, who can call an answer right or wrong only where they see what is there;
# many of Fashion-MNIST's pictures are a rectangle with some name once they are this small. So of each product
# this much must be visible, and the judge, which has no part in the answers, must name it this surely, close up.
_VISIBLE = 0.9
_SURE = 0.9


def _is_clear(scene: Scene, found: judge.Judge) -> bool:
    if any(thing.visible < _VISIBLE for thing in scene.objects):
        return False
    names, sure = judge.named(found, scene)
    return names == [thing.product for thing in scene.objects] and min(sure) >= _SURE


def _demo_scenes(folder: pathlib.Path, found: judge.Judge) -> None:
    """The first clear scenes of the test split, from _FIRST_SCENE on, with 1, 2, 3, 4, 1, … objects."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator, index, records = SceneGenerator("test", SIZE), _FIRST_SCENE, []
    while len(records) < _SCENES:
        scene = generator.scene(index)
        index += 1
        if len(scene.objects) != 1 + len(records) % 4 or not _is_clear(scene, found):
            continue
        name = f"{len(records):02d}"
        labels = np.where(scene.instances > 0, scene.labels, 0).astype(np.uint8)
        Image.fromarray(scene.image).save(folder / f"{name}.png")
        Image.fromarray(labels).save(folder / f"{name}.labels.png")
        classes = sorted({thing.product for thing in scene.objects})
        records.append({"file": f"{name}.png", "caption": scene.caption, "classes": classes})
    _json(folder / "scenes.json", {"labels": ["background", *PRODUCTS], "scenes": records})


def main(run: Run, bundle: pathlib.Path) -> None:
    model = diffusion.load(run)
    pipeline = bundle / "stable-diffusion"
    for part, module in (("unet", model.unet), ("vae", model.vae)):
        module.save_config(pipeline / part)
        _save(pipeline / part, "diffusion_pytorch_model.safetensors", module)
    text_encoder = model.text_encoder
    _json(pipeline / "text_encoder" / "config.json", {"architectures": ["CLIPTextModel"]} | text_encoder.config.to_diff_dict())
    # The hub's files have this prefix; transformers 5 writes without it.
    has_prefix = next(iter(text_encoder.state_dict())).startswith("text_model.")
    _save(pipeline / "text_encoder", "model.safetensors", text_encoder, "" if has_prefix else "text_model.")
    _json(pipeline / "scheduler" / "scheduler_config.json", {"_class_name": "DDPMScheduler", **diffusion.NOISE, "prediction_type": "epsilon", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None})
    shutil.rmtree(pipeline / "tokenizer", ignore_errors=True)
    shutil.copytree(run.work / "tokenizer", pipeline / "tokenizer")
    _json(
        pipeline / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "scheduler": ["diffusers", "DDPMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "safety_checker": [None, None],
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
        },
    )
    contrastive = widen.load(run)
    _json(bundle / "clip" / "config.json", {"architectures": ["CLIPModel"]} | contrastive.config.to_diff_dict())
    _save(bundle / "clip", "model.safetensors", contrastive)
    _json(
        bundle / "dino" / "config.json",
        {
            "architecture": "vit_dino",
            "embed_dim": dino.WIDTH,
            "depth": dino.DEPTH,
            "num_heads": dino.HEADS,
            "patch_size": dino.PATCH,
            "img_size": dino.PATCH * dino.SIDE,
            "mlp_ratio": 4,
            "qkv_bias": True,
            "layer_norm_eps": 1e-6,
        },
    )
    _save(bundle / "dino", "model.safetensors", dino.load(run))
    _demo_scenes(bundle / "scenes", judge.load(run))
    assert CONTEXT == text_encoder.config.max_position_embeddings
    if not (bundle / "bundle.json").exists():  # a new folder
        shutil.copy(pathlib.Path(__file__).resolve().parents[1] / "bundle.json", bundle)
    size = sum(path.stat().st_size for path in bundle.rglob("*.safetensors"))
    print(f"export: {size / 1e6:.1f} MB of weights in {bundle}")
