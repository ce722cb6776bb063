"""Stage `restore`: checkpoints from a bundle's own weights, where those of its training are gone.

For figures (`gates`), samples, and stages that come after: a checkpoint made so has the averaged weights at
half precision and no optimiser, so that its own stage cannot be trained further. What is in no bundle
(teacher, critic, judge) is trained anew by whoever needs it.
"""

from __future__ import annotations

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file

from . import widen
from .run import Run


def _weights(path: pathlib.Path, prefix: str, drop: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name.removeprefix(drop): value.float() for name, value in load_file(path).items()}


def main(run: Run, bundle: pathlib.Path) -> None:
    pipeline = bundle / "stable-diffusion"
    unet = _weights(pipeline / "unet/diffusion_pytorch_model.safetensors", "unet.")
    # As the hub has it; the installed transformers may write it without.
    text = _weights(pipeline / "text_encoder/model.safetensors", "text_encoder.", "text_model.")
    factor = json.loads((pipeline / "vae/config.json").read_text())["scaling_factor"]
    width = json.loads((bundle / "clip/config.json").read_text())["vision_config"]["hidden_size"]
    checkpoints = {
        "vae": {"average": _weights(pipeline / "vae/diffusion_pytorch_model.safetensors", "vae."), "scaling_factor": factor},
        "diffusion": {"average": unet | text},
        "widen" if width == widen.WIDTH else "deepen": {"average": _weights(bundle / "clip/model.safetensors", "clip.")},
        "dino": {"modules": _weights(bundle / "dino/model.safetensors", "teacher.vit.")},
    }
    for stage in checkpoints:
        if (run.work / f"{stage}.pt").exists():
            raise SystemExit(f"restore: {run.work / stage}.pt is there already; give another --work, or move it away")
    for stage, state in checkpoints.items():
        torch.save(state | {"seed": run.seed}, run.work / f"{stage}.pt")
    shutil.copytree(pipeline / "tokenizer", run.work / "tokenizer", dirs_exist_ok=True)
    for log in (bundle / "train" / "logs").glob("*.jsonl"):
        if not (run.work / log.name).exists():
            shutil.copy(log, run.work)
    print(f"restore: {', '.join(checkpoints)} and the tokenizer in {run.work}, from {bundle}")
