"""Stage `teacher`: a convolutional network that names the products of a picture.

No part of the bundle. A small ViT learns shapes from pictures and captions so
slowly that CLIP's gates are out of a CPU's reach; a convolutional network learns
them in minutes from the same captions, and the ViT learns what it sees at each
place within minutes more. It never sees a mask, a box or a test scene.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .pictures import PRODUCTS, Pool, held_out, pool, scenes_tensor
from .run import Recipe, Run, Training

RECIPE = Recipe(steps=9000, batch=48, rate=2e-3, weight_decay=0.05, warmup=100, ema=0.995, measure=1000)
NAMES = list(PRODUCTS)
WIDTH = 128  # of its features
_SHARES = {"single": 0.45, "several": 0.5, "wide": 0.05}


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, WIDTH, 1)):
            layers += _block(inputs, outputs, stride)
        self.features = nn.Sequential(*layers)
        self.classify = nn.Conv2d(WIDTH, len(NAMES), 1)
        nn.init.constant_(self.classify.bias, -5.0)  # most places show no product

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of (b, 3, 64, 64), 0…1: features (b, WIDTH, 8, 8) and logits (b, products, 8, 8)."""
        features = self.features(pictures * 2 - 1)
        return features, self.classify(features)


def present(logits: torch.Tensor) -> torch.Tensor:
    """(b, products): logit of the product being somewhere, a smooth maximum over places."""
    return logits.flatten(2).logsumexp(2)


def truth(pictures: Pool, indices: np.ndarray) -> torch.Tensor:
    """(b, products), 0 or 1."""
    table = torch.zeros(len(indices), len(NAMES))
    for row, index in enumerate(indices):
        for thing in pictures.objects[index]:
            table[row, NAMES.index(thing.product)] = 1
    return table


def _views(rng: np.random.Generator, x: torch.Tensor) -> torch.Tensor:
    """Mirrored half the time, in other channels half the time, scaled, shifted, brighter or darker."""
    n = len(x)
    turn = torch.zeros(n, 2, 3)
    scale = torch.from_numpy(rng.uniform(0.8, 1.2, (n, 2))).float()
    angle = torch.from_numpy(rng.uniform(-0.2, 0.2, n)).float()
    mirror = torch.from_numpy(rng.choice([-1.0, 1.0], n)).float()
    turn[:, 0, 0], turn[:, 0, 1] = scale[:, 0] * angle.cos() * mirror, -scale[:, 0] * angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = scale[:, 1] * angle.sin() * mirror, scale[:, 1] * angle.cos()
    turn[:, :, 2] = torch.from_numpy(rng.uniform(-0.1, 0.1, (n, 2))).float()
    x = F.grid_sample(x, F.affine_grid(turn, x.shape, align_corners=False), padding_mode="reflection", align_corners=False)
    for row in np.flatnonzero(rng.random(n) < 0.5):
        x[row] = x[row][torch.from_numpy(rng.permutation(3))]
    return (x * torch.from_numpy(rng.uniform(0.85, 1.15, (n, 1, 1, 1))).float()).clamp(0, 1)


@torch.no_grad()
def measure(teacher: Teacher, singles: list, scenes: list) -> dict[str, float]:
    device = next(teacher.parameters()).device
    best = present(teacher(scenes_tensor(singles).to(device))[1]).argmax(1).tolist()
    right = np.mean([NAMES[b] == s.objects[0].product for b, s in zip(best, singles)])
    said = present(teacher(scenes_tensor(scenes).to(device))[1]).cpu() > 0
    wanted = torch.tensor([[name in {o.product for o in s.objects} for name in NAMES] for s in scenes])
    return {
        "val_names": right,
        "val_recall": float((said & wanted).sum() / wanted.sum()),
        "val_precision": float((said & wanted).sum() / said.sum().clamp_min(1)),
    }


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    pictures = pool(run)
    torch.manual_seed(run.seed)
    modules = nn.ModuleDict({"teacher": Teacher().to(memory_format=torch.channels_last)})
    training = Training(run, "teacher", modules, recipe)
    singles, scenes = held_out("val", 500, (1, 1)), held_out("val", 500)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(9, step)
        indices = pictures.draw(rng, recipe.batch, _SHARES)
        x = _views(rng, pictures.tensor(indices)).to(run.device, memory_format=torch.channels_last)
        with run.autocast():
            logits = modules["teacher"](x)[1]
        return {"present": len(NAMES) * F.binary_cross_entropy_with_logits(present(logits.float()), truth(pictures, indices).to(run.device))}

    training.fit(loss, lambda: measure(training.average["teacher"], singles, scenes))


def load(run: Run) -> Teacher:
    teacher = Teacher()
    state = torch.load(run.work / "teacher.pt", map_location="cpu")["average"]
    teacher.load_state_dict({key.removeprefix("teacher."): value for key, value in state.items()})
    return teacher.to(run.device).eval().requires_grad_(False)
