"""The words of the scenes: products, colours, backgrounds, and their labels."""

from __future__ import annotations

import dataclasses

# Fashion-MNIST's class number of each product.
PRODUCTS: dict[str, int] = {
    "t-shirt": 0,
    "trousers": 1,
    "pullover": 2,
    "dress": 3,
    "sandal": 5,
    "sneaker": 7,
    "bag": 8,
    "ankle boot": 9,
}

# Left out: shirts pass for t-shirts and pullovers, coats for pullovers, also to a
# person at this size. `python3 -m train gates` (deploy/bundles/demo) measures it:
# its judge learns all ten, and the model card then has the confusion matrix.
LEFT_OUT: dict[str, int] = {"coat": 4, "shirt": 6}

# Linear RGB is not meant: these are 0…1 of an 8-bit picture.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.12),
    "yellow": (0.95, 0.85, 0.12),
    "green": (0.10, 0.62, 0.22),
    "blue": (0.12, 0.25, 0.88),
    "purple": (0.56, 0.16, 0.68),
    "white": (0.96, 0.96, 0.96),
}

# Phrase of a caption for each background.
BACKGROUNDS: dict[str, str] = {
    "grass": "on grass",
    "brick wall": "against a brick wall",
    "gravel": "on gravel",
    "wood": "on wood",
    "sand": "on sand",
    "sky": "against the sky",
}


@dataclasses.dataclass(frozen=True)
class SceneClass:
    name: str
    kind: str  # "thing" or "stuff"
    label: int  # value in a scene's label map


# Products are things, 1…P; backgrounds are stuff, P+1…. 0 is used by no pixel.
CLASSES: tuple[SceneClass, ...] = tuple(
    SceneClass(name, kind, label)
    for label, (name, kind) in enumerate(
        [(name, "thing") for name in PRODUCTS] + [(name, "stuff") for name in BACKGROUNDS],
        start=1,
    )
)
