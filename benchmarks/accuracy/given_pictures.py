#!/usr/bin/env python3
"""What given pictures and negatives are worth: IoU of classes on test scenes, through a real ovdiffd.

    OVDIFF_BIN=build/release/bin PYTHONPATH=build/release/tests/e2e/gen \\
        python3 benchmarks/accuracy/given_pictures.py --out build/accuracy/given_pictures.json

Given pictures are scenes of the train split with their true masks, as a user would cut them out; what is measured
are scenes of the test split, of other products and textures. Each product in turn is made in several ways, while the
other products stay as painted; its IoU is over the pixels of all scenes together. Negatives are measured where they
are needed: a class alone in its vocabulary, so that what resembles it is taken for it.
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tests" / "e2e")]

import harness  # noqa: E402
from harness import seg_pb, types_pb, vocab_pb  # noqa: E402
from scenes import CLASSES, SceneGenerator  # noqa: E402

PRODUCTS = [c.name for c in CLASSES if c.kind == "thing"]
LABELS = {c.name: c.label for c in CLASSES}
# Of a picture that a user would choose: how much of it the product takes.
LEAST_SHARE = 0.08


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def given(scene, name: str, masked: bool) -> vocab_pb.GivenPicture:
    picture = vocab_pb.GivenPicture(image=types_pb.Image(encoded=png(scene.image)))
    if masked:
        picture.mask = png(((scene.labels == LABELS[name]) * 255).astype(np.uint8))
    return picture


def choose(name: str, count: int, others: bool) -> list:
    """The first scenes of the train split that show the product well, alone or among others."""
    generator = SceneGenerator("train") if others else SceneGenerator("train", objects=(1, 1), names=(name,))
    chosen, index = [], 0
    while len(chosen) < count:
        scene = generator.scene(index)
        index += 1
        if (scene.labels == LABELS[name]).mean() >= LEAST_SHARE:
            chosen.append(scene)
    return chosen


class Bench:
    def __init__(self, client: harness.Client, scenes: list, pictures: int | None, seed: int):
        self.client, self.scenes = client, scenes
        self.options = vocab_pb.BuildOptions(seed=seed)
        if pictures:
            self.options.num_pictures = pictures

    def add(self, vocabulary: str, specs: list) -> None:
        messages = list(self.client.vocabulary.AddClasses(vocab_pb.AddClassesRequest(
            vocabulary=vocabulary, classes=specs, options=self.options)))
        for row in messages[-1].job.classes:
            if row.stage != vocab_pb.CLASS_STAGE_DONE:
                raise SystemExit(f"{vocabulary}: {row.name}: {row.error.message}")

    def iou(self, vocabulary: str, name: str) -> float:
        both = either = 0
        for scene in self.scenes:
            answer = self.client.segment(vocabulary, png(scene.image))
            labels = np.frombuffer(answer.label_map.data, "<u2").reshape(scene.labels.shape)
            label = next(row.label for row in answer.classes if row.name == name)
            found, true = labels == label, scene.labels == LABELS[name]
            both += int((found & true).sum())
            either += int((found | true).sum())
        return both / max(either, 1)


def ways(name: str, shown: list) -> dict[str, vocab_pb.ClassSpec]:
    masked = [given(scene, name, True) for scene in shown]
    bare = [given(scene, name, False) for scene in shown]
    return {
        "painted": vocab_pb.ClassSpec(name=name),
        "given, masks": vocab_pb.ClassSpec(name=name, pictures=masked, only_given_pictures=True),
        "given, no masks": vocab_pb.ClassSpec(name=name, pictures=bare, only_given_pictures=True),
        "painted and given": vocab_pb.ClassSpec(name=name, pictures=masked),
    }


def measure_given(bench: Bench, names: list[str], count: int, others: bool) -> list[dict]:
    rows = []
    for name in names:
        shown = choose(name, count, others)
        row = {"class": name, "iou": {}}
        for way, spec in ways(name, shown).items():
            vocabulary = f"{name}-{way}".replace(" ", "-").replace(",", "")
            rest = [vocab_pb.ClassSpec(name=other) for other in PRODUCTS if other != name]
            bench.add(vocabulary, [spec, *rest])
            row["iou"][way] = bench.iou(vocabulary, name)
            print(f"{name:12} {way:20} {100 * row['iou'][way]:5.1f}", flush=True)
        rows.append(row)
    for way in rows[0]["iou"]:
        print(f"{'mean':12} {way:20} {100 * np.mean([row['iou'][way] for row in rows]):5.1f}", flush=True)
    return rows


def measure_negatives(bench: Bench, name: str, against: list[str], count: int) -> dict:
    pictures = [given(scene, other, True) for other in against
                for scene in choose(other, max(1, count // len(against)), others=False)]
    specs = {
        "alone": vocab_pb.ClassSpec(name=name),
        "negative prompts": vocab_pb.ClassSpec(
            name=name, negatives=[vocab_pb.Negative(prompt=other) for other in against]),
        "negative pictures": vocab_pb.ClassSpec(
            name=name, negatives=[vocab_pb.Negative(picture=one) for one in pictures]),
    }
    row = {"class": name, "against": against, "iou": {}}
    for way, spec in specs.items():
        vocabulary = f"only-{name}-{way}".replace(" ", "-")
        bench.add(vocabulary, [spec])
        row["iou"][way] = bench.iou(vocabulary, name)
        print(f"{name:12} {way:20} {100 * row['iou'][way]:5.1f}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="given_pictures.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", nargs="+", default=["sneaker", "bag", "dress"], choices=PRODUCTS)
    parser.add_argument("--given", type=int, default=5, help="given pictures per class (default 5)")
    parser.add_argument("--others", action="store_true", help="given pictures may show other products too (default: the class alone)")
    parser.add_argument("--negatives-of", default="sneaker", choices=PRODUCTS)
    parser.add_argument("--negatives", nargs="+", default=["sandal", "ankle boot"], choices=PRODUCTS)
    parser.add_argument("--scenes", type=int, default=100, help="test scenes (default 100)")
    parser.add_argument("--pictures", type=int, help="painted pictures per prompt (default: the server's)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bundle", type=pathlib.Path, default=harness.BUNDLE)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file")
    arguments = parser.parse_args()
    test = SceneGenerator("test")
    scenes = [test.scene(index) for index in range(arguments.scenes)]
    with tempfile.TemporaryDirectory(prefix="ovdiff-given-") as folder:
        with harness.Server(pathlib.Path(folder) / "store", "--device", arguments.device,
                            bundle=arguments.bundle) as server:
            with harness.Client(server.address()) as client:
                bench = Bench(client, scenes, arguments.pictures, arguments.seed)
                given_rows = measure_given(bench, arguments.classes, arguments.given, arguments.others)
                negatives = measure_negatives(bench, arguments.negatives_of, arguments.negatives,
                                              arguments.given)
    result = {"format": 1, "scenes": arguments.scenes, "given_per_class": arguments.given, "others_in_given": arguments.others,
              "painted_per_prompt": arguments.pictures, "seed": arguments.seed,
              "bundle": arguments.bundle.name, "given": given_rows, "negatives": negatives}
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(arguments.out)


if __name__ == "__main__":
    main()
