"""Data sets in their official folder layouts, described by descriptions/*.json (README.md says what each key means)."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from dataset import IGNORE, Dataset, EvaluatedClass, LayoutError, Picture, read_values, to_labels

FOLDER = pathlib.Path(__file__).resolve().parent / "descriptions"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


class Layout:
    """The files of one split below ROOT, by the patterns of a description."""

    def __init__(self, description: dict, root: pathlib.Path, split: str):
        self.patterns = description["layout"]
        self.split = split
        self.folder = self.patterns.get("split_folders", {}).get(split, split)
        if not root.is_dir():
            raise LayoutError(f"ROOT={root} is not a folder")
        self.root = next((r for r in (root / p for p in self.patterns["roots"]) if self._has_images(r)), None)
        if self.root is None:
            looked = [str(root / p / self._fill(pattern)) for p in self.patterns["roots"] for pattern in self.patterns["images"]]
            raise LayoutError("no pictures found; looked for\n  " + "\n  ".join(looked))

    def _fill(self, pattern: str, name: str = "{id}") -> str:
        return pattern.replace("{split}", self.folder).replace("{id}", name)

    def _has_images(self, root: pathlib.Path) -> bool:
        return any(self._folder(root, pattern).is_dir() for pattern in self.patterns["images"])

    def _folder(self, root: pathlib.Path, pattern: str) -> pathlib.Path:
        """What stands before the id in a pattern: the folder that must be there."""
        return root / self._fill(pattern).split("{id}")[0].rstrip("/")

    def find(self, kind: str, name: str) -> pathlib.Path:
        candidates = [self.root / self._fill(pattern, name) for pattern in self.patterns[kind]]
        for path in candidates:
            if path.is_file():
                return path
        raise LayoutError(f"no file for {name}; looked for\n  " + "\n  ".join(map(str, candidates)))

    def optional(self, kind: str) -> pathlib.Path | None:
        paths = (self.root / self._fill(pattern) for pattern in self.patterns.get(kind, []))
        return next((path for path in paths if path.is_file()), None)

    def ids(self) -> list[str]:
        """From the split's list where the data set has one, else from its annotations."""
        lists = [self.root / self._fill(pattern) for pattern in self.patterns["list"]]
        for path in lists:
            if path.is_file():
                return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
        if lists:
            raise LayoutError(f"no list of split {self.split}; looked for\n  " + "\n  ".join(map(str, lists)))
        for pattern in self.patterns["annotations"]:
            folder, tail = self._folder(self.root, pattern), self._fill(pattern).split("{id}")[1]
            found = sorted(str(path.relative_to(folder))[: -len(tail)] for path in folder.rglob("*" + tail))
            if found:
                return found
        looked = [str(self.root / self._fill(pattern)) for pattern in self.patterns["annotations"]]
        raise LayoutError(f"no annotations of split {self.split}; looked for\n  " + "\n  ".join(looked))


def rasterise(segmentation, height: int, width: int) -> np.ndarray:
    """A COCO segmentation, polygons or uncompressed runs, as a mask [H, W]."""
    if isinstance(segmentation, dict):
        if not isinstance(segmentation["counts"], list):
            raise LayoutError("a compressed run-length mask; instances_*.json has polygons and uncompressed runs only")
        runs = np.asarray(segmentation["counts"])
        # Column by column, beginning with zeros.
        return np.repeat(np.arange(len(runs)) % 2, runs).reshape(width, height).T.astype(bool)
    mask = Image.new("L", (width, height))
    for polygon in segmentation:
        ImageDraw.Draw(mask).polygon([tuple(point) for point in np.reshape(polygon, (-1, 2))], fill=1)
    return np.asarray(mask).astype(bool)


def read_instances(path: pathlib.Path, label_of: dict[int, int]) -> dict[str, Callable[[], np.ndarray]]:
    """Label maps from instances_*.json: objects over background, smaller ones on top; crowds are not looked at."""
    document = json.loads(path.read_text())
    by_image: dict[int, list] = {}
    for annotation in document["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)

    def draw(image: dict) -> np.ndarray:
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        objects = by_image.get(image["id"], [])
        # Crowds first, so that what is also annotated one by one counts.
        for item in sorted(objects, key=lambda a: (not a.get("iscrowd", 0), -a["area"])):
            mask = rasterise(item["segmentation"], *labels.shape)
            labels[mask] = IGNORE if item.get("iscrowd", 0) else label_of[item["category_id"]]
        return labels

    return {pathlib.Path(i["file_name"]).stem: functools.partial(draw, i) for i in document["images"]}


def load(name: str, root: pathlib.Path, split: str | None) -> Dataset:
    """The data set that descriptions/<name>.json describes, below `root`. Raises LayoutError."""
    description = json.loads((FOLDER / f"{name}.json").read_text())
    split = split or description["split"]
    layout = Layout(description, root, split)
    other = IGNORE if description["other_values"] == "ignore" else 0
    of_value = {value: 0 for value in description["background_values"]}
    of_459 = {}
    for label, item in enumerate(description["classes"], start=1):
        of_value[item["value"]] = label
        of_459[item.get("label_459")] = label

    def read(annotation: pathlib.Path) -> np.ndarray:
        return to_labels(read_values(annotation), of_459 if annotation.suffix == ".mat" else of_value, other)

    try:
        pictures = [
            Picture(i, layout.find("images", i), functools.partial(read, layout.find("annotations", i)))
            for i in layout.ids()
        ]
    except LayoutError:
        instances = layout.optional("instances")
        if instances is None:
            raise
        category = {c["category_id"]: label for label, c in enumerate(description["classes"], start=1)}
        drawn = read_instances(instances, category)
        pictures = [Picture(i, layout.find("images", i), draw) for i, draw in sorted(drawn.items())]
    return Dataset(
        name=name,
        title=description["title"],
        split=split,
        background=description["background"],
        classes=[
            EvaluatedClass(c["name"], c.get("prompt", c["name"]), c["kind"], tuple(c.get("synonyms", ())))
            for c in description["classes"]
        ],
        pictures=pictures,
        # Every pixel belongs to a class: no background is predicted.
        options={} if description["background"] else {"segment": {"use_background": False, "background_threshold": -1.0}},
        facts={"notes": description["notes"], "root": str(layout.root)},
    )
