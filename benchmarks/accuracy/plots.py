"""Plots of a report: IoU by class, confusions, and mIoU over N and over steps."""

from __future__ import annotations

import pathlib
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

# Beyond this a bar or a cell cannot be read any more.
MAX_CONFUSION_CLASSES = 40


def _save(figure, path: pathlib.Path) -> pathlib.Path:
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
    return path


def class_bars(document: dict, path: pathlib.Path) -> pathlib.Path:
    classes = sorted(document["per_class"], key=lambda c: -(c["iou"] or 0))
    figure, axes = plt.subplots(figsize=(6, 1 + 0.25 * len(classes)))
    colours = {"thing": "tab:blue", "stuff": "tab:green", "background": "tab:gray"}
    axes.barh([c["name"] for c in classes], [c["iou"] or 0 for c in classes], color=[colours[c["kind"]] for c in classes])
    axes.axvline(document["miou"], color="black", linewidth=1, linestyle="--", label=f"mIoU {document['miou']:.1f}")
    axes.set(xlabel="IoU, %", xlim=(0, 100), title=document["title"])
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    return _save(figure, path)


def confusions(matrix: np.ndarray, names: list[str], path: pathlib.Path) -> pathlib.Path:
    """`matrix` [true, predicted] in pixels; each row is shown as shares."""
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = 2 + 0.35 * len(names)
    figure, axes = plt.subplots(figsize=(side, side))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title="% of a class's pixels")
    for (y, x), share in np.ndenumerate(shares):
        if share >= 1:
            axes.text(x, y, f"{share:.0f}", ha="center", va="center", fontsize=7, color="white" if share > 50 else "black")
    return _save(figure, path)


def sweep(document: dict, prefix: str, label: str, path: pathlib.Path, log: bool) -> pathlib.Path | None:
    """mIoU of the variants <prefix>-<number> over that number, with their intervals."""
    found = {int(m[1]): v for name, v in document["variants"].items() if (m := re.fullmatch(rf"{prefix}-(\d+)", name))}
    if len(found) < 2:
        return None
    x = sorted(found)
    y = np.array([found[n]["miou"] for n in x])
    low, high = np.array([found[n]["ci95"]["miou"] for n in x]).T
    figure, axes = plt.subplots(figsize=(5, 3.5))
    axes.errorbar(x, y, yerr=np.maximum([y - low, high - y], 0), marker="o", capsize=3)
    if log:
        axes.set_xscale("log", base=2)
    axes.set_xticks(x, [str(n) for n in x])
    axes.set(xlabel=label, ylabel="mIoU, %", title=document["title"])
    axes.grid(alpha=0.3)
    return _save(figure, path)


def draw(document: dict, confusion: np.ndarray, stem: pathlib.Path) -> list[pathlib.Path]:
    """All plots that the document has figures for, as <stem>.<plot>.png."""
    at = lambda name: stem.with_name(f"{stem.name}.{name}.png")
    made = [class_bars(document, at("classes"))]
    names = [c["name"] for c in document["per_class"]]
    if len(names) <= MAX_CONFUSION_CLASSES:
        if "foreground_iou" not in document:
            names = ["background"] + names
        made.append(confusions(confusion, names, at("confusion")))
    made.append(sweep(document, "n", "N, support pictures a class", at("pictures"), log=True))
    made.append(sweep(document, "steps", "denoising steps", at("steps"), log=False))
    return [path for path in made if path]
