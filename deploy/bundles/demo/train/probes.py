"""Linear probes: what the patches of a feature space know, before any prototype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from .pictures import PRODUCTS


@torch.no_grad()
def outputs(modules: list[nn.Module], forward: Callable[[], object]) -> list[torch.Tensor]:
    """What `modules` put out while `forward` runs."""
    kept: list[torch.Tensor] = []
    hooks = [module.register_forward_hook(lambda m, i, out: kept.append(out)) for module in modules]
    forward()
    for hook in hooks:
        hook.remove()
    return kept


def _truth(scenes: list, side: int) -> np.ndarray:
    """Of each patch what covers more than half of it: 0 background, else the product's label; -1 if nothing does."""
    labels = torch.from_numpy(np.stack([np.where(s.instances > 0, s.labels, 0) for s in scenes])).long()
    shares = F.adaptive_avg_pool2d(F.one_hot(labels, len(PRODUCTS) + 1).permute(0, 3, 1, 2).float(), side)
    most, which = shares.max(1)
    return torch.where(most > 0.5, which, -1).flatten().numpy()


def probe(features: Callable[[list], torch.Tensor], fitted_on: list, scenes: list) -> dict[str, float]:
    """`features(scenes)`: (b, side, side, channels). Fitted on one list of scenes, measured on the other, percent:
    `iou` of product against background, `names` right on patches of products (mean over products)."""

    def rows(pictures: list) -> tuple[np.ndarray, np.ndarray]:
        maps = torch.cat([features(pictures[first : first + 50]) for first in range(0, len(pictures), 50)]).float().cpu()
        truth = _truth(pictures, maps.shape[1])
        return maps.flatten(0, 2).numpy()[truth >= 0], truth[truth >= 0]

    x, y = rows(fitted_on)
    centre, scale = x.mean(0), x.std(0) + 1e-6
    fit = lambda x, y: LogisticRegression(max_iter=300).fit((x - centre) / scale, y)  # noqa: E731
    is_product, name = fit(x, y > 0), fit(x[y > 0], y[y > 0])
    x, y = rows(scenes)
    found = is_product.predict((x - centre) / scale)
    named, y_named = name.predict((x[y > 0] - centre) / scale), y[y > 0]
    return {
        "iou": 100 * float((found & (y > 0)).sum() / (found | (y > 0)).sum()),
        "names": 100 * float(np.mean([(named[y_named == n] == n).mean() for n in np.unique(y_named)])),
    }
