"""Stage `restore`: checkpoints from a bundle's own weights, where those of its training are gone.

For figures (`gates`), samples, stages that come after, and more steps: a checkpoint made so has the averaged weights at
half precision and no optimiser. `widen` and `diffusion` can be trained further (from the step that their logs end
with; the optimiser begins anew, with a warm-up), the others cannot. What is in no bundle (teacher, critic, judge) is trained anew by whoever needs it.
"""

from __future__ import annotations

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file

from . import widen
from .run import Run

# Stages of which a bundle has all that matters.
_RESUMABLE = ("widen", "diffusion")


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
    logs = bundle / "train" / "logs"
    for stage, state in checkpoints.items():
        if stage in _RESUMABLE and (logs / f"{stage}.jsonl").exists():
            last = json.loads((logs / f"{stage}.jsonl").read_text().splitlines()[-1])
            state |= {"step": last["step"], "seconds": last["seconds"]}
        torch.save(state | {"seed": run.seed}, run.work / f"{stage}.pt")
    shutil.copytree(pipeline / "tokenizer", run.work / "tokenizer", dirs_exist_ok=True)
    for log in logs.glob("*.jsonl"):
        if not (run.work / log.name).exists():
            shutil.copy(log, run.work)
    print(f"restore: {', '.join(checkpoints)} and the tokenizer in {run.work}, from {bundle}")
