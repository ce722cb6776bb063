"""Writes scenes as a data set: `python3 -m scenes --split test --count 500 --out DIR`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

from PIL import Image

from . import CLASSES, COLOURS, SceneGenerator


def write(out: pathlib.Path, split: str, count: int, size: int, seed: int) -> None:
    generator = SceneGenerator(split, size, seed)
    for folder in ("images", "labels", "instances"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    records = []
    for index in range(count):
        scene, name = generator.scene(index), f"{index:05d}"
        for folder, pixels in (("images", scene.image), ("labels", scene.labels), ("instances", scene.instances)):
            Image.fromarray(pixels).save(out / folder / f"{name}.png")
        records.append(
            {
                "id": name,
                "caption": scene.caption,
                "objects": [dataclasses.asdict(o) for o in scene.objects],
                "backgrounds": scene.backgrounds,
            }
        )
    summary = {
        "format": 1,
        "split": split,
        "size": size,
        "seed": seed,
        "classes": [{"name": c.name, "prompt": c.name, "kind": c.kind, "label": c.label} for c in CLASSES],
        "colours": list(COLOURS),
        "scenes": records,
    }
    # Last, so that a folder with it is whole.
    (out / "scenes.json").write_text(json.dumps(summary, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scenes", description=__doc__)
    parser.add_argument("--split", choices=("train", "val", "test"), required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default 64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    write(arguments.out, arguments.split, arguments.count, arguments.size, arguments.seed)


if __name__ == "__main__":
    main()
