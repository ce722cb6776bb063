"""Stage `critic`: which products a picture shows, and in which colours, told from its latents.

No part of the bundle. The loss on noise is nearly the same whether a painted shoe
is a sneaker or a boot; what the critic sees in the UNet's guess at the clean
picture says it louder (diffusion.py). Colours, because a critic of products alone
is pleased best by products in other colours. Trained on what each scene is composed of.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .latents import Latents
from .pictures import COLOURS, Pool, pool
from .run import Recipe, Run, Training
from .teacher import NAMES, present, truth

RECIPE = Recipe(steps=1600, batch=64, rate=2e-3, weight_decay=0.05, warmup=100, ema=0.995, measure=400)
_SHARES = {"single": 0.55, "several": 0.4, "ground": 0.05}
_HELD_OUT = 1000  # pictures of part `single`, its last ones


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((4, 48, 1), (48, 96, 1), (96, 128, 2), (128, 128, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Conv2d(128, len(NAMES) * (1 + len(COLOURS)), 1)
        nn.init.constant_(self.classify.bias, -5.0)  # most places show no product

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of scaled latents (b, 4, 16, 16): logits (b, products) of each being there,
        and (b, products * colours) of each being there in each colour."""
        return present(self.classify(self.features(latents))).tensor_split((len(NAMES),), 1)


def coloured(pictures: Pool, indices: np.ndarray) -> torch.Tensor:
    """(b, products * colours), 0 or 1."""
    table, colours = torch.zeros(len(indices), len(NAMES), len(COLOURS)), list(COLOURS)
    for row, index in enumerate(indices):
        for thing in pictures.objects[index]:
            table[row, NAMES.index(thing.product), colours.index(thing.colour)] = 1
    return table.flatten(1)


def _guessed(rng: np.random.Generator, x: torch.Tensor) -> torch.Tensor:
    """As a UNet's guesses: mirrored half the time, often blurred, often with noise left."""
    n = len(x)
    x = torch.where(torch.from_numpy(rng.random((n, 1, 1, 1)) < 0.5), x.flip(-1), x)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.from_numpy(rng.uniform(0, 1, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.6)).float()
    noise = torch.from_numpy(rng.uniform(0, 0.5, (n, 1, 1, 1))).float()
    return x + share * (blurred - x) + noise * torch.randn_like(x)


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    pictures = pool(run)
    latents = Latents(run, pictures)
    held_out = pictures.parts["single"][-_HELD_OUT:]
    pictures.parts["single"] = pictures.parts["single"][:-_HELD_OUT]
    torch.manual_seed(run.seed)
    modules = nn.ModuleDict({"critic": Critic().to(memory_format=torch.channels_last)})
    training = Training(run, "critic", modules, recipe)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(10, step)
        indices = pictures.draw(rng, recipe.batch, _SHARES)
        guessed = _guessed(rng, latents.means(indices)).to(run.device, memory_format=torch.channels_last)
        names, pairs = modules["critic"](guessed)
        wrong = lambda said, true: F.binary_cross_entropy_with_logits(said, true.to(run.device)) * said.shape[1]  # noqa: E731
        return {"present": wrong(names, truth(pictures, indices)), "coloured": wrong(pairs, coloured(pictures, indices))}

    def measure() -> dict[str, float]:
        said = training.average["critic"](latents.means(held_out).to(run.device))
        right = lambda said, true: float((said.argmax(1).cpu() == true.argmax(1)).float().mean())  # noqa: E731
        return {"names": right(said[0], truth(pictures, held_out)), "coloured": right(said[1], coloured(pictures, held_out))}

    training.fit(loss, measure)


def load(run: Run) -> Critic:
    critic = Critic()
    state = torch.load(run.work / "critic.pt", map_location="cpu")["average"]
    critic.load_state_dict({key.removeprefix("critic."): value for key, value in state.items()})
    return critic.to(run.device).eval().requires_grad_(False)
