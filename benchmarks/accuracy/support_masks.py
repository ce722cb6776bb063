#!/usr/bin/env python3
"""Masks for painted support pictures by a judge that is no part of the method: what would better masks bring?

A small network learns, from the train split's true masks alone, to tell products from background; it then writes
<picture>.mask.png beside pictures that `ovdiff-accuracy --export-supports` wrote. run.py calls this.
Needs requirements-rivals.txt.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scenes import SceneGenerator  # noqa: E402

BATCH = 32


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU(),
    )  # fmt: skip


class Judge(nn.Module):
    """Pictures [B, 3, H, W] in 0…1 to logits of "a product" [B, H, W]."""

    def __init__(self, widths=(8, 16, 32, 32)):
        super().__init__()
        self.down = nn.ModuleList(block(i, o) for i, o in zip((3, *widths), widths))
        self.up = nn.ModuleList(block(i + o, o) for i, o in zip(widths[:0:-1], widths[-2::-1]))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        x, skips = x - 0.5, []
        for layer in self.down:
            x = layer(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for layer, skip in zip(self.up, skips[-2::-1]):
            x = layer(torch.cat([F.interpolate(x, size=skip.shape[-2:], mode="bilinear"), skip], 1))
        return self.head(x)[:, 0]


def scenes(split: str, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [count, 3, 64, 64] and true masks [count, 64, 64]."""
    generator = SceneGenerator(split, 64, seed=seed, objects=(1, 2))
    made = [generator.scene(i) for i in range(count)]
    images = torch.from_numpy(np.stack([s.image for s in made])).permute(0, 3, 1, 2) / 255
    return images, torch.from_numpy(np.stack([s.instances > 0 for s in made]))


def train(count: int, epochs: int) -> Judge:
    torch.manual_seed(0)
    judge = Judge()
    images, masks = scenes("train", count, 2000)
    steps = epochs * (count // BATCH)
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in range(steps):
        chosen = torch.randint(count, (BATCH,))
        loss = F.binary_cross_entropy_with_logits(judge(images[chosen]), masks[chosen].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == steps - 1:
            print(f"judge of masks: step {step} of {steps}, loss {loss.item():.3f}", flush=True)
    return judge.eval()


@torch.inference_mode()
def quality(judge: Judge, count: int) -> float:
    images, masks = scenes("val", count, 0)
    found = torch.cat([judge(batch) > 0 for batch in images.split(BATCH)])
    return ((found & masks).sum() / (found | masks).sum()).item()


@torch.inference_mode()
def write_masks(judge: Judge, folder: pathlib.Path) -> int:
    """How many. A picture in which the judge sees nothing gets none."""
    written = 0
    for path in [p for p in sorted(folder.rglob("*.png")) if p.stem.isdigit()]:
        image = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255
        mask = (judge(image)[0] > 0).numpy()
        if mask.any():
            Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(path.with_suffix(".mask.png"))
            written += 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    judge = train(arguments.scenes, arguments.epochs)
    iou = quality(judge, 200)
    print(f"judge of masks: IoU {100 * iou:.1f} on 200 val scenes; {write_masks(judge, arguments.folder)} masks written")


if __name__ == "__main__":
    main()
