"""Initial weights with which a small ViT begins as a convolution.

A ViT has to find out first that neighbouring patches belong together, which takes
it longer than all that follows. Here its positions begin as sines and cosines in
dimensions of their own, and the heads of its first layers as looks to the four
neighbours. The networks and their files are those of any other ViT.
"""

from __future__ import annotations

import math

import torch

_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # a head each; rows, columns
_SHARPNESS = 5.0  # logit of a patch in the right row (or column) above the others


def code_width(heads: int, width: int) -> int:
    """Dimensions that the positions take: those of one head, in fours."""
    return width // heads // 4 * 4


@torch.no_grad()
def start_positions(positions: torch.Tensor, side: int, heads: int) -> None:
    """Of (1 + side * side, width), the class token's first."""
    code = code_width(heads, positions.shape[1])
    positions.normal_(std=0.02)
    positions[:, :code] = 0
    frequencies = _frequencies(code, side)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for axis, place in enumerate((row, column)):
        angle = place.flatten()[:, None] * frequencies
        first = axis * code // 2
        positions[1:, first : first + code // 2] = torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


@torch.no_grad()
def start_heads(query: torch.Tensor, key: torch.Tensor, side: int, heads: int) -> None:
    """Both (width, width), as torch has them: outputs first."""
    width = query.shape[1]
    code = code_width(heads, width)
    frequencies = _frequencies(code, side)
    # Of logits: code / 4 frequencies an axis, divided by the root of a head's width.
    gain = math.sqrt(_SHARPNESS * math.sqrt(width / heads) / (code / 4))
    query.mul_(0.3)
    key.mul_(0.3)
    for head in range(heads):
        offset = _NEIGHBOURS[head % len(_NEIGHBOURS)]
        for axis in range(2):
            for n, frequency in enumerate(frequencies):
                at = axis * code // 2 + 2 * n
                turn = float(frequency) * offset[axis]
                sin, cos = math.sin(turn), math.cos(turn)
                rows, columns = slice(head * width // heads + at, head * width // heads + at + 2), slice(at, at + 2)
                query[rows, columns] += gain * torch.tensor([[cos, sin], [-sin, cos]])
                key[rows, columns] += gain * torch.eye(2)


@torch.no_grad()
def keep_apart(outputs: list[torch.Tensor], heads: int) -> None:
    """What patches and layers write, (width, …) each, leaves the positions' dimensions nearly alone."""
    for weight in outputs:
        weight[: code_width(heads, len(weight))] *= 0.1


def _frequencies(code: int, side: int) -> torch.Tensor:
    return (torch.arange(code // 4) + 0.5) * math.pi / side
