"""Products: Fashion-MNIST's grey pictures (Zalando, MIT), cut out of their ground."""

from __future__ import annotations

import functools
import gzip
import pathlib

import numpy as np
from scipy import ndimage

from .labels import LEFT_OUT, PRODUCTS

# Where Debian's package dataset-fashion-mnist lies.
FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")
SIDE = 28
# The train file's last pictures are the val split.
_VAL = 6000


def _read(name: str, header: int) -> np.ndarray:
    path = FOLDER / name
    if not path.exists():
        raise SystemExit(f"{path} is missing: install Debian's package dataset-fashion-mnist")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def _cut_out(picture: np.ndarray) -> np.ndarray | None:
    """A product's mask: what the black ground does not reach. None if in pieces."""
    ground, _ = ndimage.label(np.pad(picture < 12, 1, constant_values=True))
    mask = (ground != ground[0, 0])[1:-1, 1:-1]
    parts, count = ndimage.label(mask)
    if count == 0:
        return None
    areas = np.bincount(parts.ravel())[1:]
    # Laces and straps come loose now and then; a pair of things is not one.
    if areas.max() < 0.9 * areas.sum() or areas.max() < 0.12 * mask.size:
        return None
    return parts == 1 + areas.argmax()


@functools.lru_cache(maxsize=None)
def load(split: str) -> dict[str, list[np.ndarray]]:
    """Cut-out pictures by product: float32 (2, h, w), shade 0…1 and mask 0 or 1.

    Cropped to the mask, with a border of one empty pixel. Shades are stretched
    so that black products keep a colour: the brightest tenth becomes 1.
    """
    part = "t10k" if split == "test" else "train"
    pictures = _read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, SIDE, SIDE)
    numbers = _read(f"{part}-labels-idx1-ubyte.gz", 8)
    chosen = {"train": slice(0, -_VAL), "val": slice(-_VAL, None), "test": slice(None)}[split]
    by_number = {number: name for name, number in (PRODUCTS | LEFT_OUT).items()}
    products: dict[str, list[np.ndarray]] = {name: [] for name in by_number.values()}
    for picture, number in zip(pictures[chosen], numbers[chosen]):
        name = by_number[int(number)]
        mask = _cut_out(picture)
        if mask is None:
            continue
        rows, columns = np.nonzero(mask)
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        bright = max(float(np.quantile(picture[mask], 0.9)), 1.0)
        shade = np.clip(picture / bright, 0, 1) * mask
        products[name].append(np.pad(np.stack([shade, mask])[:, *box], ((0, 0), (1, 1), (1, 1))).astype(np.float32))
    return products
