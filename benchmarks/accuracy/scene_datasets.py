"""The scenes of benchmarks/accuracy/scenes as data sets, under several protocols.

    scenes          products are classes, all backgrounds are background: the headline
    scenes-stuff    products and backgrounds are classes; what is called background is wrong
    scenes-colours  each product in two colours as two classes; the other colours are not looked at
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib

import numpy as np

from dataset import IGNORE, Dataset, EvaluatedClass, LayoutError, Picture, read_values

NAMES = ("scenes", "scenes-stuff", "scenes-colours")
# Scenes of a split when nothing else is said. They are the same ones whatever the count.
COUNTS = {"test": 500, "val": 200, "train": 1000}


def generate(out: pathlib.Path, split: str, count: int, size: int) -> pathlib.Path:
    """A folder below `out` with scenes.json, made unless the same generator has made it before."""
    from scenes.__main__ import write

    sources = sorted(pathlib.Path(__file__).with_name("scenes").glob("*.py"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]
    folder = out / f"{split}-{size}-{count}-{version}"
    if not (folder / "scenes.json").is_file():
        print(f"making {count} scenes of split {split}, {size} pixels, in {folder}", flush=True)
        write(folder, split, count, size, 0)
    return folder


def _read(root: pathlib.Path) -> dict:
    path = root / "scenes.json"
    if not path.is_file():
        raise LayoutError(f"no scenes in ROOT={root}; looked for\n  {path}")
    document = json.loads(path.read_text())
    if document.get("format") != 1:
        raise LayoutError(f"{path} has format {document.get('format')}; this harness reads format 1")
    return document


def _picture(root: pathlib.Path, name: str, labels) -> Picture:
    return Picture(name, root / "images" / f"{name}.png", labels)


def _by_table(root: pathlib.Path, name: str, table: np.ndarray) -> np.ndarray:
    return table[read_values(root / "labels" / f"{name}.png")]


def _by_class(root: pathlib.Path, document: dict, classes: list[dict]) -> list[Picture]:
    """Labels of `classes` in their order, all else background."""
    table = np.zeros(256, np.uint8)
    for label, item in enumerate(classes, start=1):
        table[item["label"]] = label
    return [
        _picture(root, s["id"], functools.partial(_by_table, root, s["id"], table)) for s in document["scenes"]
    ]


def _by_instance(root: pathlib.Path, scene: dict, label_of: dict[tuple[str, str], int]) -> np.ndarray:
    instances = read_values(root / "instances" / f"{scene['id']}.png")
    table = np.full(256, IGNORE, np.uint8)
    table[0] = 0
    for number, thing in enumerate(scene["objects"], start=1):
        table[number] = label_of.get((thing["product"], thing["colour"]), IGNORE)
    return table[instances]


def _coloured(root: pathlib.Path, document: dict, products: list[dict], colours: list[str]):
    unknown = [c for c in colours if c not in document["colours"]]
    if unknown:
        raise LayoutError(f"{root} has no colour {', '.join(unknown)}; it has {', '.join(document['colours'])}")
    pairs = [(p["name"], c) for p in products for c in colours]
    label_of = {pair: label for label, pair in enumerate(pairs, start=1)}
    pictures = [
        _picture(root, s["id"], functools.partial(_by_instance, root, s, label_of))
        for s in document["scenes"]
        if any((o["product"], o["colour"]) in label_of for o in s["objects"])
    ]
    prompt = {p["name"]: p["prompt"] for p in products}
    return [EvaluatedClass(f"{c} {p}", f"{c} {prompt[p]}") for p, c in pairs], pictures


def scenes(name: str, root: pathlib.Path, split: str, colours: list[str] | None = None, short_side: int = 0) -> Dataset:
    """Protocol `name` over the scenes in `root`. `short_side`: the bundle's; larger scenes keep their size."""
    document = _read(root)
    products = [c for c in document["classes"] if c["kind"] == "thing"]
    evaluated = document["classes"] if name == "scenes-stuff" else products
    if name == "scenes-colours":
        classes, pictures = _coloured(root, document, products, colours or document["colours"][:2])
    else:
        classes = [EvaluatedClass(c["name"], c["prompt"], c["kind"]) for c in evaluated]
        pictures = _by_class(root, document, evaluated)
    size = document["size"]
    titles = {
        "scenes": "products and background",
        "scenes-stuff": "products and backgrounds, all as classes",
        "scenes-colours": "products in two colours as separate classes, and background",
    }
    return Dataset(
        name=name if size == 64 else f"{name}-{size}",
        title=f"scenes of {size} pixels: {titles[name]}",
        split=split,
        background=name != "scenes-stuff",
        classes=classes,
        pictures=pictures,
        # A larger scene holds more objects of the same size: windows slide over it.
        options={"segment": {"windows": {"short_side": size}}} if short_side and size > short_side else {},
        facts={"root": str(root), "seed": document["seed"], "scenes": len(document["scenes"])},
    )
