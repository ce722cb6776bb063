"""Scenes: one to four products in named colours before one or two backgrounds."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
from scipy import ndimage

from . import products, textures
from .labels import BACKGROUNDS, CLASSES, COLOURS, PRODUCTS

# Long side of an object in pixels, by the number of objects in the scene.
_SIZES = {1: (30, 52), 2: (27, 42), 3: (24, 34), 4: (23, 31)}
_MAX_TILT = 20.0  # degrees
_MIN_VISIBLE = 0.75  # of an object's pixels, after all that covers it
_HORIZON = 0.25  # share of scenes with sky above another background
_REPEAT = 0.15  # share of scenes in which a product may come twice
_PLACEMENTS = 40  # tries for an object, before the scene does without it

_LABELS = {c.name: c.label for c in CLASSES}
_COLOUR_NAMES = list(COLOURS)


@dataclasses.dataclass
class SceneObject:
    product: str
    colour: str
    visible: float  # share of its pixels that nothing covers
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 of the visible pixels; x1, y1 excluded


@dataclasses.dataclass
class Scene:
    image: np.ndarray  # uint8 (size, size, 3), RGB
    labels: np.ndarray  # uint8 (size, size), SceneClass.label of every pixel
    instances: np.ndarray  # uint8 (size, size), 0 or 1 + index of the object
    objects: list[SceneObject]
    backgrounds: list[str]
    caption: str


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def caption(rng: np.random.Generator, objects: list[SceneObject], backgrounds: list[str]) -> str:
    """What a person might write under the picture: now and then without colours or ground."""
    with_colour, with_ground = rng.random(2) < (0.6, 0.5)
    names = [f"{o.colour} {o.product}" if with_colour else o.product for o in objects]
    # The class prompts say "a" whatever follows; a caption does so half the time.
    plain = rng.random() < 0.5
    words = " and ".join("a " + name if plain else article(name) for name in rng.permutation(names)) if names else ""
    if not names:
        words = " and ".join("a " + name if plain else name for name in backgrounds)
    elif with_ground:
        words += " " + " and ".join(BACKGROUNDS[name] for name in backgrounds)
    return ("", "a photo of ", "a picture of ", "a good picture of ")[rng.integers(4)] + words


class SceneGenerator:
    """Scenes of one split, "train", "val" or "test". Not thread-safe; cheap to make."""

    def __init__(
        self,
        split: str,
        size: int = 64,
        seed: int = 0,
        objects: tuple[int, int] = (1, 4),
        names: tuple[str, ...] = tuple(PRODUCTS),
    ):
        """`objects`: fewest and most of a scene. A scene of more than 64 pixels keeps
        the objects' size and, with `objects` left alone, holds more of them. `names`:
        the products to choose from; one that is left out has label 0."""
        if split not in ("train", "val", "test"):
            raise ValueError(f"split {split!r}: allowed are train, val, test")
        if not 64 <= size <= textures.SIDE:
            raise ValueError(f"size {size}: allowed are 64 to {textures.SIDE} pixels")
        self.split, self.size, self.seed = split, size, seed
        self._few, self._many = objects
        if objects == (1, 4):
            self._many = min(4 * (size // 64) ** 2, 8)
        self._names = names
        self._products = products.load(split)
        self._textures = textures.load(split)

    def scene(self, index: int) -> Scene:
        rng = np.random.default_rng([zlib.crc32(self.split.encode()), self.seed, self.size, index])
        picture, labels, grounds = self._background(rng)
        count = int(rng.integers(self._few, self._many + 1))
        repeat = rng.random() < _REPEAT or count > len(self._names)
        names = rng.choice(self._names, count, replace=repeat)
        instances = np.zeros(labels.shape, np.uint8)
        areas: list[int] = []
        objects: list[SceneObject] = []
        for name in names:
            used = {o.colour for o in objects} if count <= 4 else set()
            colour = self._place(rng, str(name), count, used, picture, instances, areas)
            if colour:
                objects.append(SceneObject(str(name), colour, 1.0, (0, 0, 0, 0)))
        for number, (thing, area) in enumerate(zip(objects, areas), start=1):
            rows, columns = np.nonzero(instances == number)
            thing.visible = round(len(rows) / area, 3)
            thing.box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            labels[rows, columns] = _LABELS.get(thing.product, 0)
        grounds = [name for name in grounds if (labels == _LABELS[name]).any()]
        image = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Scene(image, labels, instances, objects, grounds, caption(rng, objects, grounds))

    def _background(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        names = [str(rng.choice(list(BACKGROUNDS)))]
        if rng.random() < _HORIZON and names[0] != "sky":
            names = ["sky", names[0]]
        picture = np.empty((self.size, self.size, 3), np.float32)
        labels = np.empty((self.size, self.size), np.uint8)
        horizon = int(self.size * rng.uniform(0.3, 0.6)) if len(names) == 2 else 0
        for name, rows in zip(names, (np.s_[:horizon], np.s_[horizon:]) if horizon else (np.s_[:],)):
            texture = self._textures[name][rng.integers(len(self._textures[name]))]
            y, x = rng.integers(0, textures.SIDE - self.size + 1, 2)
            crop = texture[y : y + self.size, x : x + self.size]
            picture[rows] = crop[rows] * rng.uniform(0.88, 1.12)
            labels[rows] = _LABELS[name]
        return picture, labels, names

    def _place(self, rng, name, count, used, picture, instances, areas) -> str | None:
        """Draws one product where it hides no other too much; its colour, None if it found no place."""
        cutouts = self._products[name]
        cutout = cutouts[rng.integers(len(cutouts))]
        low, high = _SIZES[min(count, 4)]
        if count > 4:
            low, high = 24, 40
        scale = rng.uniform(low, high) / max(cutout.shape[1:])
        shade, alpha = _turn(cutout, scale, rng.uniform(-_MAX_TILT, _MAX_TILT), rng.random() < 0.5)
        height, width = alpha.shape
        if height > self.size or width > self.size:
            return None
        solid = alpha > 0.5
        for _ in range(_PLACEMENTS):
            y = int(rng.integers(0, self.size - height + 1))
            x = int(rng.integers(0, self.size - width + 1))
            box = np.s_[y : y + height, x : x + width]
            covered = np.bincount(instances[box][solid], minlength=len(areas) + 1)[1:]
            visible = np.bincount(instances.ravel(), minlength=len(areas) + 1)[1:]
            if np.all(visible - covered >= _MIN_VISIBLE * np.array(areas)):
                break
        else:
            return None
        colour = _distinct_colour(rng, picture[box][solid].mean(0), used)
        paint = np.array(COLOURS[colour], np.float32) * (0.4 + 0.6 * shade[..., None])
        picture[box] += alpha[..., None] * (paint - picture[box])
        instances[box][solid] = len(areas) + 1
        areas.append(int(solid.sum()))
        return colour


def _turn(cutout: np.ndarray, scale: float, degrees: float, mirror: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scaled, turned and mirrored shade and mask (0…1), cropped to the mask."""
    turn = np.deg2rad(degrees)
    inverse = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
    if mirror:
        cutout = cutout[:, :, ::-1]
    side = int(np.ceil(scale * np.hypot(*cutout.shape[1:]))) + 2
    offset = (np.array(cutout.shape[1:]) - 1) / 2 - inverse @ np.full(2, (side - 1) / 2)
    shade, mask = (
        ndimage.affine_transform(plane, inverse, offset, (side, side), order=1, mode="constant") for plane in cutout
    )
    rows, columns = np.nonzero(mask > 0.5)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.clip(shade[box] / np.maximum(mask[box], 1e-3), 0, 1), mask[box]


def _distinct_colour(rng: np.random.Generator, ground: np.ndarray, used: set[str]) -> str:
    """A colour that stands out from what the object is drawn on, and that no other has."""
    colours = [c for c in _COLOUR_NAMES if np.linalg.norm(np.array(COLOURS[c]) - ground) > 0.35]
    return str(rng.choice([c for c in colours if c not in used] or colours))
