"""What two programs' results are compared by."""

from __future__ import annotations

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "accuracy"))

import metric  # noqa: E402


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, in units of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def miou(truths: list[np.ndarray], labels: list[np.ndarray], num_labels: int) -> float:
    """In %, background among the labels."""
    confusion = np.zeros((num_labels, num_labels), np.int64)
    for truth, label in zip(truths, labels):
        looked_at = truth != 255
        np.add.at(confusion, (truth[looked_at], label[looked_at]), 1)
    counts = metric.summary(confusion.sum(1), confusion.sum(0), np.diag(confusion), background=True)
    return float(counts["miou"])
