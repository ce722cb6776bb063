"""What a data set is to the harness: pictures, true labels and classes."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

IGNORE = 255


@dataclasses.dataclass
class EvaluatedClass:
    name: str
    prompt: str
    kind: str = "thing"  # or "stuff"
    synonyms: tuple[str, ...] = ()


@dataclasses.dataclass
class Picture:
    id: str
    image: pathlib.Path
    # Labels [H, W] uint8: 0 background, 1… the classes in order, 255 not looked at.
    labels: Callable[[], np.ndarray]


@dataclasses.dataclass
class Dataset:
    name: str
    title: str
    split: str
    background: bool
    classes: list[EvaluatedClass]  # class i has label i + 1
    pictures: list[Picture]
    options: dict = dataclasses.field(default_factory=dict)  # of every variant
    # Support pictures from files: name -> title, and the files by seed and class.
    support_titles: dict[str, str] = dataclasses.field(default_factory=dict)
    supports: dict[str, list] = dataclasses.field(default_factory=dict)
    facts: dict = dataclasses.field(default_factory=dict)  # for the report


class LayoutError(Exception):
    """ROOT is not what it should be: what was looked for and where."""


def read_values(path: pathlib.Path) -> np.ndarray:
    """The values of an annotation: of a palette PNG its indices, of a .mat its LabelMap."""
    if path.suffix == ".mat":
        from scipy.io import loadmat

        return np.asarray(loadmat(path)["LabelMap"])
    with Image.open(path) as image:
        if image.mode not in ("P", "L", "I;16", "I"):
            raise LayoutError(f"{path} is a picture of mode {image.mode}; an annotation has one value a pixel")
        return np.asarray(image)


def to_labels(values: np.ndarray, of_value: dict[int, int], other: int) -> np.ndarray:
    """Labels of annotation values; values that `of_value` does not name become `other`."""
    table = np.full(int(values.max(initial=0)) + 1, other, np.uint8)
    for value, label in of_value.items():
        if value < len(table):
            table[value] = label
    return table[values]
