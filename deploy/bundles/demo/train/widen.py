"""Stage `widen`: CLIP's image tower half as wide again, so that a patch's 192 values fit.

An 8x8 patch is 192 numbers, which 128 channels have to squeeze from the first layer on. As in
deepen.py the tower begins as the one before: new channels are read by new heads and units alone,
and these write nothing. A layer norm sees half as many channels more, so its weight shrinks
with the deviation of what it sees."""

from __future__ import annotations

import functools
import math

import torch

from . import clip, deepen
from .run import Recipe, Run, Training
from .tokenizer import tokenizer

RECIPE = Recipe(steps=10000, batch=32, rate=6e-4, weight_decay=0.05, betas=(0.9, 0.98), warmup=200, ema=0.998, measure=500)
WIDTH = 192
_CHOSEN_PRESENT = 6.0  # weight of present products in deepen.all_sets
_QUIET = 0.3  # size of what the new channels take from a patch, beside the usual initial weights
_VISION = "clip.vision_model."


def _without_mean(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """What is written to all channels alike, layer norms take away again; here it would be to the old ones alone."""
    return weight - weight.mean(channels, keepdim=True)


@torch.no_grad()
def _wide(name: str, narrow: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """A weight of the image tower: `narrow`, that of the tower before, within `fresh`, that of a new tower."""
    wide = torch.zeros_like(fresh)
    old = tuple(slice(0, size) for size in narrow.shape)
    if "norm" in name:
        if name.endswith("weight"):
            wide.fill_(math.sqrt(clip.WIDTH / WIDTH))
            narrow = narrow * math.sqrt(clip.WIDTH / WIDTH)
        elif "pre_layrnorm" in name:
            narrow = _without_mean(narrow, 0)
    elif "patch_embedding" in name:
        wide.copy_(_QUIET * fresh)
        narrow = _without_mean(narrow, 0)
    elif name.endswith(("class_embedding", "position_embedding.weight")):
        narrow = _without_mean(narrow, -1)
    elif "out_proj" in name or "fc2" in name:
        narrow = _without_mean(narrow, 0)
    elif name.endswith("weight") and "visual_projection" not in name:
        wide[len(narrow) :] = fresh[len(narrow) :]  # new heads and units see all
    wide[old] = narrow
    return wide


def _new(run: Run) -> torch.nn.ModuleDict:
    return clip.parts(len(tokenizer(run)), deepen.LAYERS, WIDTH)


@torch.no_grad()
def _grown(run: Run) -> torch.nn.ModuleDict:
    parts = _new(run)
    fresh = parts.state_dict()
    narrow = torch.load(run.work / "deepen.pt", map_location="cpu")["average"]
    seen = {name for name in fresh if name.startswith(_VISION) or name == "clip.visual_projection.weight"}
    parts.load_state_dict(
        # The linear layers beside CLIP (clip.parts) begin anew.
        {name: value for name, value in fresh.items() if not name.startswith("clip.")}
        | {name: value for name, value in narrow.items() if name.startswith("clip.") and name not in seen}
        | {name: _wide(name, narrow[name], fresh[name]) for name in seen}
    )
    return parts


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    torch.manual_seed(run.seed)
    # Of a restored checkpoint the stage before is not there, nor needed.
    start = _new(run) if (run.work / "widen.pt").exists() else _grown(run)
    clip.learn(run, Training(run, "widen", start, recipe), 0, 0, functools.partial(deepen.all_sets, present=_CHOSEN_PRESENT))


def load(run: Run):
    return clip.load(run, "widen", deepen.LAYERS, WIDTH)
