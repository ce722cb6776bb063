"""Stage `judge`: a small classifier of lone products and their colours.

No part of the bundle. It says whether a generated picture shows what was asked
for, and which of Fashion-MNIST's ten products can be told apart at this size.
Trained on the train split alone.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from .pictures import COLOURS, LEFT_OUT, PRODUCTS, SIZE, Scene, SceneGenerator, scenes_tensor
from .run import Recipe, Run, Training

RECIPE = Recipe(steps=1500, batch=64, rate=2e-3, weight_decay=0.05, warmup=50, measure=500)
PRODUCT_NAMES, COLOUR_NAMES = [*PRODUCTS, *LEFT_OUT], list(COLOURS)
_POOL = 12000
_CLOSE_UP = 44  # long side of a product in a close-up of SIZE pixels: about that of the scenes it learns from


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            layers += [nn.Conv2d(b, b, 3, padding=1, groups=b, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleDict(
            {"product": nn.Linear(widths[-1], len(PRODUCT_NAMES)), "colour": nn.Linear(widths[-1], len(COLOUR_NAMES))}
        )

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.features(pictures * 2 - 1).amax((2, 3))
        return {name: head(features) for name, head in self.heads.items()}


def singles(split: str, count: int, seed: int = 0) -> list:
    generator = SceneGenerator(split, seed=seed, objects=(1, 1), names=tuple(PRODUCT_NAMES))
    return [generator.scene(index) for index in range(count)]


def _truth(scenes: list) -> dict[str, torch.Tensor]:
    return {
        "product": torch.tensor([PRODUCT_NAMES.index(s.objects[0].product) for s in scenes]),
        "colour": torch.tensor([COLOUR_NAMES.index(s.objects[0].colour) for s in scenes]),
    }


@torch.no_grad()
def confusion(judge: Judge, scenes: list, allowed: int = len(PRODUCT_NAMES)) -> np.ndarray:
    """Of the first `allowed` PRODUCT_NAMES: rows the truth, columns the answer."""
    found = judge(scenes_tensor(scenes))["product"][:, :allowed].argmax(1)
    table = np.zeros((allowed, allowed), int)
    np.add.at(table, (_truth(scenes)["product"].numpy(), found.numpy()), 1)
    return table


@torch.no_grad()
def named(judge: Judge, scene: Scene) -> tuple[list[str], list[float]]:
    """What each object of a scene is, seen close up by its box, among PRODUCTS; and how sure that is."""
    views = []
    for thing in scene.objects:
        x0, y0, x1, y1 = thing.box
        side = min(max(x1 - x0, y1 - y0) * SIZE / _CLOSE_UP, SIZE)
        left, top = (min(max((a + b - side) / 2, 0), SIZE - side) for a, b in ((x0, x1), (y0, y1)))
        box = (left, top, left + side, top + side)
        views.append(np.asarray(Image.fromarray(scene.image).transform((SIZE, SIZE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)))
    pictures = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255
    sure, best = judge(pictures)["product"][:, : len(PRODUCTS)].softmax(1).max(1)
    return [PRODUCT_NAMES[b] for b in best], sure.tolist()


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    scenes = singles("train", _POOL, seed=500 + run.seed)
    pictures, truth = scenes_tensor(scenes), _truth(scenes)
    torch.manual_seed(run.seed)
    modules = nn.ModuleDict({"judge": Judge()})
    training = Training(run, "judge", modules, recipe)
    judge = modules["judge"]
    val = singles("val", 500)
    val_truth = _truth(val)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(8, step)
        chosen = torch.from_numpy(rng.integers(0, len(pictures), recipe.batch))
        x = pictures[chosen]
        # Mirrored, shifted, brighter or darker; half of them blurred a little, as painted pictures are.
        x = torch.where(torch.from_numpy(rng.random((len(x), 1, 1, 1)) < 0.5), x.flip(-1), x)
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = torch.where(torch.from_numpy(rng.random((len(x), 1, 1, 1)) < 0.5), 0.5 * x + 0.5 * soft, x)
        y, left = rng.integers(0, 13, 2)
        x = F.pad(x * float(rng.uniform(0.85, 1.15)), (6, 6, 6, 6), mode="replicate")[..., y : y + 64, left : left + 64]
        said = judge(x.clamp(0, 1).to(run.device))
        return {name: F.cross_entropy(said[name], truth[name][chosen].to(run.device)) for name in said}

    def measure() -> dict[str, float]:
        said = judge(scenes_tensor(val).to(run.device))
        return {f"val_{name}": float((said[name].argmax(1).cpu() == val_truth[name]).float().mean()) for name in said}

    training.fit(loss, measure)


def load(run: Run) -> Judge:
    judge = Judge()
    state = torch.load(run.work / "judge.pt", map_location="cpu")["modules"]
    judge.load_state_dict({key.removeprefix("judge."): value for key, value in state.items()})
    return judge.eval().requires_grad_(False)
