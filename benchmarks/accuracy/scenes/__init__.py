"""Scenes: pictures composed of Fashion-MNIST products, with pixel-true masks.

    from scenes import SceneGenerator
    scene = SceneGenerator("test", size=64).scene(0)

Deterministic: a scene depends on (split, seed, size, index) alone. The splits
share no textures, and no products but the few pictures that Fashion-MNIST's own
train and test files share.
"""

from .compose import Scene, SceneGenerator, SceneObject
from .labels import BACKGROUNDS, CLASSES, COLOURS, LEFT_OUT, PRODUCTS, SceneClass

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "COLOURS",
    "LEFT_OUT",
    "PRODUCTS",
    "Scene",
    "SceneClass",
    "SceneGenerator",
    "SceneObject",
]
