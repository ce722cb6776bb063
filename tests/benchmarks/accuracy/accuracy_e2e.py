#!/usr/bin/env python3
"""The harness from end to end on the demo bundle: two pictures, a few denoising steps, figures recounted from the maps.

OVDIFF_BIN is the folder of the programs.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from PIL import Image

from scenes_fixture import write_scenes

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = pathlib.Path(os.environ["OVDIFF_BIN"]) / "ovdiff-accuracy"


class Accuracy(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)
        write_scenes(self.folder / "scenes")

    def run_harness(self, *arguments, dataset="scenes"):
        command = [
            sys.executable, str(ROOT / "benchmarks/accuracy/run.py"), f"--dataset={dataset}", f"--program={PROGRAM}",
            f"--root={self.folder / dataset}", f"--out={self.folder / 'out'}", "--profile=smoke", *arguments,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_measures_and_goes_on_where_it_was(self):
        first = self.run_harness("--seeds=2", "--save-labels")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stderr.count("painting 2 of"), 4, first.stderr)
        document = json.loads((self.folder / "out/scenes-test-smoke.json").read_text())
        self.assertEqual(len(document["seeds"]), 2)
        self.assertEqual(document["per_class"][1]["name"], "bag")
        self.recount(document, "scenes-test")
        again = self.run_harness("--seeds=2", "--save-labels")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stderr, "", "nothing is done twice")

    def test_measures_an_official_layout(self):
        root = self.folder / "voc2012"
        for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (root / folder).mkdir(parents=True)
        ids = ["2007_000033", "2007_000042"]
        (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"{i}\n" for i in ids))
        rng = np.random.default_rng(0)
        for i in ids:
            Image.fromarray(rng.integers(0, 256, (48, 80, 3), np.uint8)).save(root / f"JPEGImages/{i}.jpg")
            labels = np.zeros((48, 80), np.uint8)
            labels[8:40, 10:50] = 15  # person
            labels[:, 60:] = 255
            annotation = Image.fromarray(labels, "P")
            annotation.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
            annotation.save(root / f"SegmentationClass/{i}.png")
        found = self.run_harness("--seeds=1", "--save-labels", dataset="voc2012")
        self.assertEqual(found.returncode, 0, found.stderr)
        document = json.loads((self.folder / "out/voc2012-val-smoke.json").read_text())
        self.assertEqual(document["pictures"], 2)
        pixels = {row["name"]: row["pixels"] for row in document["per_class"] if row["pixels"]}
        self.assertEqual(pixels, {"background": 2 * (48 * 60 - 32 * 40), "person": 2 * 32 * 40})
        self.recount(document, "voc2012-val")

    def recount(self, document, name):
        """Each seed's mIoU from the saved label maps, by boolean masks."""
        runs = self.folder / "out/runs" / name
        for seed in document["seeds"]:
            names = sorted(path.name for path in (runs / "labels").glob("*.png"))
            read = lambda folder: np.stack([np.asarray(Image.open(folder / name)) for name in names])
            truth, predicted = read(runs / "labels"), read(runs / f"predicted/full.seed{seed['seed']}")
            predicted = np.where(truth == 255, 255, predicted)
            ious = []
            for label in range(255):
                union = ((truth == label) | (predicted == label)).sum()
                if union:
                    ious.append(100 * ((truth == label) & (predicted == label)).sum() / union)
            self.assertAlmostEqual(seed["miou"], float(np.mean(ious)), delta=0.006)

    def test_wrong_requests_say_why(self):
        for arguments, words in (
            (["--variants=all"], "allowed are full"),
            ([f"--root={self.folder}"], "scenes.json"),
            ([f"--bundle={self.folder}"], "bundle.json"),
        ):
            found = self.run_harness(*arguments)
            self.assertEqual(found.returncode, 1)
            self.assertIn(words, found.stderr)
            self.assertNotIn("Traceback", found.stderr)


if __name__ == "__main__":
    unittest.main()
