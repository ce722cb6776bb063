#!/usr/bin/env python3
"""The harness from end to end on the demo bundle: two scenes, a few denoising steps, figures recounted from the maps.

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

    def run_harness(self, *arguments):
        command = [
            sys.executable, str(ROOT / "benchmarks/accuracy/run.py"), "--dataset=scenes", f"--program={PROGRAM}",
            f"--root={self.folder / 'scenes'}", f"--out={self.folder / 'out'}", "--profile=smoke", *arguments,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_measures_and_goes_on_where_it_was(self):
        first = self.run_harness("--seeds=2", "--save-labels")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stderr.count("painting 2 of"), 4, first.stderr)
        document = json.loads((self.folder / "out/scenes-test-smoke.json").read_text())
        self.assertEqual(len(document["seeds"]), 2)
        self.assertEqual(document["per_class"][1]["name"], "bag")
        self.recount(document)
        again = self.run_harness("--seeds=2", "--save-labels")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stderr, "", "nothing is done twice")

    def recount(self, document):
        """Each seed's mIoU from the saved label maps, by boolean masks."""
        runs = self.folder / "out/runs/scenes-test"
        for seed in document["seeds"]:
            names = sorted(path.name for path in (runs / "labels").glob("*.png"))
            read = lambda folder: np.stack([np.asarray(Image.open(folder / name)) for name in names])
            truth, predicted = read(runs / "labels"), read(runs / f"predicted/full.seed{seed['seed']}")
            ious = []
            for label in range(3):
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
