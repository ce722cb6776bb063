#!/usr/bin/env python3
"""run.py around a program of known accuracy: thresholds are found, and on other pictures than those reported."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import run  # noqa: E402
from scenes_fixture import write_scenes  # noqa: E402

# Stands for ovdiff-accuracy. Each picture has 100 pixels of each label; of class 1's, those are right that are left
# by the distance of the variant's threshold to 0.43, in percent. A log says which pictures were asked for.
PROGRAM = """#!{python}
import json, pathlib, sys
plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
if "--info" in sys.argv:
    print(json.dumps(dict(bundle="known", device="cpu", spaces=["a", "b"], short_side=64, num_pictures=2, num_steps=2,
          profiles={{p: dict(num_pictures=2, spaces=["a", "b"]) for p in ("default", "fast")}})))
    sys.exit()
with open("{log}", "a") as log:
    log.write(json.dumps([[v["name"] for v in plan["variants"]], plan["pictures"][0]["image"]]) + "\\n")
for v in plan["variants"]:
    for seed in range(plan["num_seeds"]):
        off = abs(v["options"].get("segment", {{}}).get("background_threshold", 0.43) - 0.43)
        wrong = round(100 * off)
        lines = [dict(variant=v["name"], seed=seed, options=v["options"], left_out=[])]
        for p in plan["pictures"]:
            pixels = [0, 0, 100, 1, 1, 100 - wrong, 1, 0, wrong, 2, 2, 100]
            lines.append(dict(id=p["id"], digest="", confusion=pixels, kept=[1, 2], seconds=0.01))
        path = pathlib.Path(plan["out"]) / f"{{v['name']}}.seed{{seed}}.jsonl"
        path.write_text("".join(json.dumps(line) + "\\n" for line in lines))
"""


class Run(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)
        write_scenes(self.folder / "test")
        # What the generator would make of the val split.
        write_scenes(self.folder / "val")
        self.addCleanup(setattr, run.scene_datasets, "generate", run.scene_datasets.generate)
        run.scene_datasets.generate = lambda out, split, count, size: self.folder / split
        self.log = self.folder / "log"
        self.program = self.folder / "program"
        self.program.write_text(PROGRAM.format(python=sys.executable, log=self.log))
        self.program.chmod(0o755)

    def measure(self, *arguments):
        options = run.parse(
            ["--dataset=scenes", f"--program={self.program}", f"--out={self.folder / 'out'}", *arguments]
        )
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            path = run.measure(options)
        return json.loads(path.read_text()), printed.getvalue()

    def test_threshold_is_chosen_on_val_and_reported_on_test(self):
        document, printed = self.measure("--variants=parts", "--seeds=2")
        self.assertTrue((self.folder / "out/scenes-test-default.parts.md").is_file())
        tuned = document["variants"]["no-background"]
        self.assertEqual(tuned["threshold"], 0.43)
        self.assertEqual(tuned["options"]["segment"], {"use_background": False, "background_threshold": 0.43})
        self.assertIn("chosen on 2 pictures of split val", printed)
        calls = [json.loads(line) for line in self.log.read_text().splitlines()]
        for names, image in calls:
            split = "val" if any("-at-" in name for name in names) else "test"
            self.assertTrue(image.startswith(str(self.folder / split)), (names, image))
        self.assertEqual(len(calls), 3)  # coarse, fine, report
        self.assertEqual(document["miou"], 100)

    def test_val_itself_is_tuned_on_train(self):
        (self.folder / "train").symlink_to(self.folder / "val")
        _, printed = self.measure("--variants=parts", "--seeds=1", "--split=val")
        self.assertIn("of split train", printed)

    def test_limit_and_profile(self):
        document, _ = self.measure("--seeds=1", "--limit=1", "--profile=fast")
        self.assertEqual(document["pictures"], 1)
        self.assertEqual(document["variants"]["full"]["profile"], "fast")
        self.assertTrue((self.folder / "out/scenes-test-fast.limit-1.json").is_file())
        with self.assertRaisesRegex(ValueError, 'PROFILE is "none"; this bundle has default, fast, smoke'):
            self.measure("--profile=none")


if __name__ == "__main__":
    unittest.main()
