"""Background textures, computed; one family for each background."""

from __future__ import annotations

import functools
import zlib

import numpy as np
from scipy import ndimage

from .labels import BACKGROUNDS

SIDE = 288  # pixels; a crop of it is a scene's background
_COUNT = {"train": 48, "val": 12, "test": 12}  # textures of each family


def _noise(rng: np.random.Generator, cells: int, octaves: int) -> np.ndarray:
    """Fractal value noise (SIDE, SIDE), mean 0, deviation 1."""
    field = np.zeros((SIDE, SIDE))
    for octave in range(octaves):
        n = min(cells * 2**octave, SIDE)
        grid = rng.standard_normal((n + 1, n + 1))
        field += ndimage.zoom(grid, SIDE / n, order=1)[:SIDE, :SIDE] * 0.6**octave
    return (field - field.mean()) / (field.std() + 1e-9)


def _tint(rng: np.random.Generator, colour: tuple[float, float, float], spread: float) -> np.ndarray:
    return np.array(colour) + rng.uniform(-spread, spread, 3)


def _grass(rng):
    blades = ndimage.gaussian_filter1d(_noise(rng, 72, 2), 1.5, axis=0)
    field = 0.09 * blades / blades.std() + 0.03 * _noise(rng, 6, 2)
    return _tint(rng, (0.27, 0.45, 0.16), 0.04) + field[..., None] * np.array([0.8, 1.0, 0.5])


def _brick_wall(rng):
    y, x = np.mgrid[:SIDE, :SIDE]
    height = int(rng.integers(9, 14))
    width = 2 * height + int(rng.integers(0, 5))
    row = y // height
    column = (x + row % 2 * (width // 2)) // width
    mortar = (y % height < 2) | ((x + row % 2 * (width // 2)) % width < 2)
    shade = rng.uniform(-0.07, 0.07, (row.max() + 1, column.max() + 1))[row, column]
    brick = _tint(rng, (0.55, 0.27, 0.20), 0.04) + shade[..., None]
    picture = np.where(mortar[..., None], _tint(rng, (0.68, 0.65, 0.61), 0.03), brick)
    return picture + 0.015 * _noise(rng, 48, 2)[..., None]


def _gravel(rng):
    return _tint(rng, (0.50, 0.49, 0.47), 0.03) + 0.10 * _noise(rng, 44, 3)[..., None]


def _wood(rng):
    y = np.mgrid[:SIDE, :SIDE][0]
    rings = np.sin(y * rng.uniform(0.35, 0.6) + 4.0 * _noise(rng, 3, 2))
    plank = (y + int(rng.integers(0, 40))) % 40 < 2
    field = 0.05 * rings + 0.015 * _noise(rng, 36, 2) - 0.12 * plank
    return _tint(rng, (0.56, 0.38, 0.22), 0.04) + field[..., None]


def _sand(rng):
    y = np.mgrid[:SIDE, :SIDE][0]
    ripples = np.sin(y * rng.uniform(0.2, 0.35) + 3.0 * _noise(rng, 4, 2))
    field = 0.03 * ripples + 0.02 * _noise(rng, 60, 1)
    return _tint(rng, (0.83, 0.72, 0.50), 0.03) + field[..., None]


def _sky(rng):
    clouds = np.clip(_noise(rng, 4, 4) - 0.2, 0, 2)
    height = np.linspace(0, 1, SIDE)[:, None, None]
    blue = _tint(rng, (0.42, 0.63, 0.88), 0.03) + height * np.array([0.16, 0.12, 0.05])
    return blue + 0.13 * clouds[..., None]


_FAMILIES = {
    "grass": _grass,
    "brick wall": _brick_wall,
    "gravel": _gravel,
    "wood": _wood,
    "sand": _sand,
    "sky": _sky,
}
assert list(_FAMILIES) == list(BACKGROUNDS)


@functools.lru_cache(maxsize=None)
def load(split: str) -> dict[str, np.ndarray]:
    """Textures by background: float32 (count, SIDE, SIDE, 3), 0…1.

    Another split's are drawn from another generator: none is in two splits.
    """
    textures = {}
    for name, family in _FAMILIES.items():
        rng = np.random.default_rng([zlib.crc32(f"{split} {name}".encode())])
        pictures = []
        for _ in range(_COUNT[split]):
            # A camera's softness; it also leaves the autoencoder its bits for the products.
            soft = ndimage.gaussian_filter(family(rng), (0.8, 0.8, 0))
            pictures.append(np.clip(soft, 0, 1))
        textures[name] = np.stack(pictures).astype(np.float32)
    return textures
