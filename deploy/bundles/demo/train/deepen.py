"""Stage `deepen`: twice as many layers in CLIP's image tower, and all sets of products told apart.

Before each layer comes a new one that adds nothing at first, so that the tower is the
one of stage `clip` at the start; it would learn its first shapes slower were it deep from
the beginning. The losses are those of clip.py, but for the texts of product sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import clip
from .clip import Concepts, name_set
from .run import Recipe, Run, Training
from .tokenizer import tokenizer

RECIPE = Recipe(steps=4000, batch=32, rate=6e-4, weight_decay=0.05, betas=(0.9, 0.98), warmup=200, ema=0.998, measure=500)
LAYERS = 2 * clip.LAYERS
_CHOSEN = 8.0  # weight of what the prefilter's second stage asks for
_CHOSEN_PRESENT = 4.0  # there, weight of present products: what is dropped is lost
_LAYER = "clip.vision_model.encoder.layers."


def _place(key: str) -> str:
    """Where a weight of the shallow tower is in the deep one."""
    if not key.startswith(_LAYER):
        return key
    layer, rest = key.removeprefix(_LAYER).split(".", 1)
    return f"{_LAYER}{2 * int(layer) + 1}.{rest}"


@torch.no_grad()
def _grown(run: Run) -> nn.ModuleDict:
    parts = clip.parts(len(tokenizer(run)), LAYERS)
    for layer in parts["clip"].vision_model.encoder.layers:
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    shallow = torch.load(run.work / "clip.pt", map_location="cpu")["average"]
    parts.load_state_dict(parts.state_dict() | {_place(key): value for key, value in shallow.items()})
    return parts


def all_sets(concepts: Concepts, rng: np.random.Generator, indices: np.ndarray, present: float = _CHOSEN_PRESENT) -> tuple[list[str], Callable]:
    """As clip.own_set, but with every set. The prefilter's second stage takes the best of all, so
    it keeps a product if the best set with it is better than the best without; smooth maxima here.
    `present`: weight of present products, beside the absent ones' 1."""
    texts = [name_set(rng.permutation(names)) for names in concepts.subsets]
    there = concepts.truth(indices)[:, : len(concepts.products)]
    some = there.any(1)  # no set of products is nothing's

    def loss(logits: torch.Tensor) -> torch.Tensor:
        members = concepts.members.to(logits.device)
        with_it, without = (logits[some][:, :, None].masked_fill(m, -1e4).logsumexp(1) for m in (~members, members))
        weight = torch.tensor(present, device=logits.device)
        return _CHOSEN * F.binary_cross_entropy_with_logits(with_it - without, there[some].to(logits.device), pos_weight=weight)

    return texts, loss


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    torch.manual_seed(run.seed)
    clip.learn(run, Training(run, "deepen", _grown(run), recipe), 0, 0, all_sets)
