"""A hand-made folder of scenes, laid out as the generator does."""

import json

import numpy as np
from PIL import Image

CLASSES = [("bag", "thing"), ("sneaker", "thing"), ("grass", "stuff"), ("sky", "stuff")]


def write_scenes(root, size=64):
    """One scene with a red bag and a green sneaker on grass, one with a blue sneaker under sky."""
    labels = np.full((2, size, size), 3, np.uint8)
    labels[1] = 4
    instances = np.zeros_like(labels)
    for scene, number, label, columns in ((0, 1, 1, (0, 4)), (0, 2, 2, (8, 16)), (1, 1, 2, (0, 32))):
        labels[scene, :8, columns[0] : columns[1]] = label
        instances[scene, :8, columns[0] : columns[1]] = number
    thing = lambda product, colour: {"product": product, "colour": colour, "visible": 1.0, "box": [0, 0, 1, 1]}
    objects = [[thing("bag", "red"), thing("sneaker", "green")], [thing("sneaker", "blue")]]
    for folder in ("images", "labels", "instances"):
        (root / folder).mkdir(parents=True)
    for i in range(2):
        Image.new("RGB", (size, size)).save(root / f"images/0000{i}.png")
        Image.fromarray(labels[i]).save(root / f"labels/0000{i}.png")
        Image.fromarray(instances[i]).save(root / f"instances/0000{i}.png")
    document = {
        "format": 1, "split": "test", "size": size, "seed": 0, "colours": ["red", "blue", "green"],
        "classes": [{"name": n, "prompt": n, "kind": k, "label": i} for i, (n, k) in enumerate(CLASSES, start=1)],
        "scenes": [{"id": f"0000{i}", "caption": "", "objects": objects[i], "backgrounds": []} for i in range(2)],
    }  # fmt: skip
    (root / "scenes.json").write_text(json.dumps(document))
