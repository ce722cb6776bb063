"""The pool: train-split scenes that all stages draw from, made once."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image

# benchmarks/accuracy holds the scenes' package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4] / "benchmarks" / "accuracy"))
from scenes import BACKGROUNDS, COLOURS, LEFT_OUT, PRODUCTS, Scene, SceneGenerator, SceneObject  # noqa: E402, F401
from scenes.compose import caption  # noqa: E402

from .run import Run  # noqa: E402

SIZE = 64

# Parts of the pool: how many scenes, of how many objects, composed at which size.
# A scene of 128 pixels is shrunk: the prefilter sees a large photo so.
_PARTS = {
    "ground": (3000, (0, 0), 64),
    "single": (20000, (1, 1), 64),
    "several": (23000, (2, 4), 64),
    "wide": (4000, (2, 6), 128),
}


@dataclasses.dataclass
class Pool:
    images: np.ndarray  # uint8 (n, SIZE, SIZE, 3), on disk
    objects: list[list[SceneObject]]  # boxes in pixels of the pool's picture
    backgrounds: list[list[str]]
    parts: dict[str, np.ndarray]  # indices of each part

    def draw(self, rng: np.random.Generator, count: int, shares: dict[str, float]) -> np.ndarray:
        """Indices of `count` scenes; `shares` by part, summing to 1."""
        names = rng.choice(list(shares), count, p=list(shares.values()))
        return np.array([self.parts[name][rng.integers(len(self.parts[name]))] for name in names])

    def tensor(self, indices: np.ndarray) -> torch.Tensor:
        """(b, 3, SIZE, SIZE), 0…1."""
        return torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2).float() / 255

    def captions(self, rng: np.random.Generator, indices: np.ndarray) -> list[str]:
        return [caption(rng, self.objects[i], self.backgrounds[i]) for i in indices]


def pool(run: Run) -> Pool:
    folder = run.work / "pool"
    if not (folder / "scenes.json").exists():
        _make(folder, run.seed)
    record = json.loads((folder / "scenes.json").read_text())
    return Pool(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        objects=[[SceneObject(product, colour, 1.0, tuple(box)) for product, colour, box in scene] for scene in record["objects"]],
        backgrounds=record["backgrounds"],
        parts={name: np.arange(first, last) for name, (first, last) in record["parts"].items()},
    )


def _make(folder: pathlib.Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = sum(part[0] for part in _PARTS.values())
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, SIZE, SIZE, 3))
    record: dict = {"parts": {}, "objects": [], "backgrounds": []}
    done = 0
    for number, (name, (size, objects, side)) in enumerate(_PARTS.items()):
        # 1000s keep these apart from the scenes that anybody else makes.
        generator = SceneGenerator("train", side, seed=1000 * (seed + 1) + number, objects=objects)
        record["parts"][name] = (done, done + size)
        for index in range(size):
            scene = generator.scene(index)
            image = Image.fromarray(scene.image)
            images[done] = np.asarray(image if side == SIZE else image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
            boxes = [[side * SIZE // scene.image.shape[0] for side in o.box] for o in scene.objects]
            record["objects"].append([(o.product, o.colour, box) for o, box in zip(scene.objects, boxes)])
            record["backgrounds"].append(scene.backgrounds)
            done += 1
        print(f"pool: {done} of {count} scenes", flush=True)
    images.flush()
    (folder / "scenes.json").write_text(json.dumps(record))


def held_out(split: str, count: int, objects: tuple[int, int] = (1, 4)) -> list:
    """Scenes of the val or test split, none of which any stage is trained on."""
    generator = SceneGenerator(split, SIZE, objects=objects)
    return [generator.scene(index) for index in range(count)]


def scenes_tensor(scenes: list) -> torch.Tensor:
    return torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).float() / 255
