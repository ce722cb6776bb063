"""mmseg's protocol: intersections and unions summed over the split, mean over classes.

Counts come from the C++ program, which leaves pixels of true label 255 out. Label 0 is background; a data set
without one has no pixel of true label 0, and a pixel predicted 0 there is simply wrong.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np


@dataclasses.dataclass
class Counts:
    """Pixels of P pictures by label: arrays [P, L], and the confusion matrix [L, L] (true, predicted) of all."""

    ids: list[str]
    truth: np.ndarray
    predicted: np.ndarray
    intersection: np.ndarray
    confusion: np.ndarray
    present_kept: float  # share of pictures all of whose classes passed the prefilter
    seconds: float  # median of a Segment call, waiting included
    header: dict


def count(ids: list[str], sparse: list[np.ndarray], num_labels: int) -> Counts:
    """From one array [K, 3] of (truth, predicted, pixels) a picture."""
    shape = (len(sparse), num_labels)
    truth, predicted, intersection = (np.zeros(shape, np.int64) for _ in range(3))
    confusion = np.zeros((num_labels, num_labels), np.int64)
    for i, rows in enumerate(sparse):
        t, p, n = np.asarray(rows, np.int64).reshape(-1, 3).T
        np.add.at(truth[i], t, n)
        np.add.at(predicted[i], p, n)
        np.add.at(intersection[i], t[t == p], n[t == p])
        np.add.at(confusion, (t, p), n)
    return Counts(list(ids), truth, predicted, intersection, confusion, float("nan"), float("nan"), {})


def read_results(path: pathlib.Path, ids: list[str], num_labels: int) -> Counts:
    """A result file of the C++ program; its pictures in the order of `ids`."""
    with open(path, encoding="utf-8") as file:
        header = json.loads(file.readline())
        # A picture counted again (its file had changed) stands later.
        lines = {line["id"]: line for line in map(json.loads, file)}
    missing = [name for name in ids if name not in lines]
    if missing:
        raise ValueError(f"{path}: {len(missing)} of {len(ids)} pictures are missing, {missing[0]} is the first")
    counts = count(ids, [np.array(lines[name]["confusion"]) for name in ids], num_labels)
    present = [set(np.flatnonzero(row[1:]) + 1) <= set(lines[name]["kept"]) for name, row in zip(ids, counts.truth)]
    counts.present_kept = float(np.mean(present))
    counts.seconds = float(np.median([lines[name]["seconds"] for name in ids]))
    counts.header = header
    return counts


def iou(truth, predicted, intersection) -> np.ndarray:
    """Per label over the last axis; NaN for a label that is neither there nor predicted."""
    union = np.asarray(truth + predicted - intersection, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(union > 0, intersection / union, np.nan)


def _mean(values) -> np.ndarray:
    """Over the last axis, NaNs left out; NaN where there is nothing else."""
    number = np.sum(~np.isnan(values), axis=-1)
    return np.where(number > 0, np.nansum(values, axis=-1) / np.maximum(number, 1), np.nan)


def summary(truth, predicted, intersection, background: bool) -> dict[str, np.ndarray]:
    """Figures in % of label counts [..., L] (summed over pictures)."""
    per_label = iou(truth, predicted, intersection)
    result = {
        "miou": _mean(per_label if background else per_label[..., 1:]),
        "miou_no_background": _mean(per_label[..., 1:]),
        "pixel_accuracy": intersection.sum(-1) / np.maximum(truth.sum(-1), 1),
    }
    if background:
        # Two classes: background, and all others as one. Unlike the classes', the union's intersection needs pixels
        # called one class that are another: all that is neither truly nor predicted background.
        total = truth.sum(-1)
        either = truth[..., 0] + predicted[..., 0] - intersection[..., 0]
        result["foreground_iou"] = (total - either) / np.maximum(total - intersection[..., 0], 1)
        result["background_iou"] = iou(truth[..., 0], predicted[..., 0], intersection[..., 0])
        result["foreground_background_miou"] = (result["foreground_iou"] + result["background_iou"]) / 2
    return {key: 100 * value for key, value in result.items()}


def of_counts(counts: Counts, background: bool) -> dict[str, float]:
    parts = (array.sum(0) for array in (counts.truth, counts.predicted, counts.intersection))
    return {key: float(value) for key, value in summary(*parts, background).items()}


def per_class(counts: list[Counts]) -> np.ndarray:
    """[L] IoU in %, the mean over seeds."""
    each = [iou(*(array.sum(0) for array in (c.truth, c.predicted, c.intersection))) for c in counts]
    return 100 * _mean(np.stack(each, -1))


def bootstrap(
    counts: list[Counts], background: bool, other: list[Counts] | None = None, rounds: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """95 % intervals of the mean over seeds, by drawing pictures with replacement, the same ones for every seed.

    With `other`, of the difference to it: both are measured on the same drawn pictures.
    """
    random = np.random.default_rng(seed)
    num_pictures = len(counts[0].ids)
    weights = random.multinomial(num_pictures, np.full(num_pictures, 1 / num_pictures), size=rounds).astype(float)

    def figures(group: list[Counts]) -> dict[str, np.ndarray]:
        each = [summary(*(weights @ a for a in (c.truth, c.predicted, c.intersection)), background) for c in group]
        return {key: np.mean([figure[key] for figure in each], axis=0) for key in each[0]}

    drawn = figures(counts)
    if other is not None:
        drawn = {key: value - figures(other)[key] for key, value in drawn.items()}
    return {key: [float(q) for q in np.nanpercentile(value, [2.5, 97.5])] for key, value in drawn.items()}
