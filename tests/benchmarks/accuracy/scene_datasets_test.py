#!/usr/bin/env python3
"""The protocols over a hand-made folder of scenes, the variants, and the report made of known counts."""

import json
import pathlib
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import drive  # noqa: E402
import metric  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
import scene_datasets  # noqa: E402
import variants  # noqa: E402
from dataset import LayoutError  # noqa: E402
from scenes_fixture import write_scenes  # noqa: E402

INFO = {"spaces": ["sd", "dino", "clip", "mae"], "default_spaces": ["sd", "dino", "clip"], "profiles": {"default": {}, "fast": {}}, "device": "cpu", "bundle": "test"}


class Scenes(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = pathlib.Path(self._folder.name) / "scenes"
        write_scenes(self.root)

    def shares(self, labels):
        values, pixels = np.unique(labels, return_counts=True)
        return dict(zip(values.tolist(), pixels.tolist()))

    def test_products_and_background(self):
        dataset = scene_datasets.scenes("scenes", self.root, "test")
        self.assertEqual([c.name for c in dataset.classes], ["bag", "sneaker"])
        self.assertTrue(dataset.background)
        self.assertEqual(self.shares(dataset.pictures[0].labels()), {0: 4096 - 96, 1: 32, 2: 64})
        self.assertEqual(dataset.options, {})

    def test_backgrounds_as_classes(self):
        dataset = scene_datasets.scenes("scenes-stuff", self.root, "test")
        self.assertEqual([c.kind for c in dataset.classes], ["thing", "thing", "stuff", "stuff"])
        self.assertFalse(dataset.background)
        self.assertEqual(self.shares(dataset.pictures[1].labels()), {2: 256, 4: 4096 - 256})

    def test_colours_as_classes(self):
        dataset = scene_datasets.scenes("scenes-colours", self.root, "test")
        self.assertEqual([c.prompt for c in dataset.classes], ["red bag", "blue bag", "red sneaker", "blue sneaker"])
        self.assertEqual(self.shares(dataset.pictures[0].labels()), {0: 4096 - 96, 1: 32, 255: 64})
        self.assertEqual(self.shares(dataset.pictures[1].labels()), {0: 4096 - 256, 4: 256})
        green = scene_datasets.scenes("scenes-colours", self.root, "test", ["red", "green"])
        self.assertEqual([p.id for p in green.pictures], ["00000"])
        with self.assertRaisesRegex(LayoutError, "no colour pink; it has red, blue, green"):
            scene_datasets.scenes("scenes-colours", self.root, "test", ["red", "pink"])

    def test_larger_scenes_are_slid_over(self):
        large = self.root.with_name("large")
        write_scenes(large, size=128)
        dataset = scene_datasets.scenes("scenes", large, "test", short_side=64)
        self.assertEqual(dataset.options, {"segment": {"windows": {"short_side": 128}}})
        self.assertEqual(dataset.name, "scenes-128")

    def test_says_what_is_missing(self):
        with self.assertRaisesRegex(LayoutError, "scenes.json"):
            scene_datasets.scenes("scenes", self.root / "images", "test")

    def test_variants_follow_the_bundle_and_the_data_set(self):
        dataset = scene_datasets.scenes("scenes", self.root, "test")
        profile = {"profile": "fast", "options": {"generation": {"num_steps": 9}}}
        found = {v["name"]: v for v in variants.make("ablations", profile, INFO, dataset)}
        self.assertEqual([n for n in found if n.startswith("only-")][:4], ["only-sd", "only-dino", "only-clip", "only-mae"])
        self.assertIn("pair-dino-clip", found)
        self.assertNotIn("pair-clip-mae", found)
        self.assertNotIn("prototype", found["only-clip"]["options"])
        self.assertEqual(found["only-mae"]["options"]["prototype"], {"spaces": ["mae"]})
        self.assertNotIn("no-stuff-filter", found)
        self.assertIn("tune", found["no-background"])
        self.assertEqual(found["n-4"]["options"]["generation"], {"num_steps": 9, "num_pictures": 4})
        self.assertEqual(found["full"]["profile"], "fast")
        self.assertEqual(found["steps-20"]["options"]["generation"]["num_steps"], 20)
        part = found["only-part"]["options"]["segment"]
        self.assertEqual(part, {"use_class_level": False, "use_instance_level": False, "use_part_level": True})
        profiles = {v["name"]: v for v in variants.make("profiles", profile, INFO, dataset)}
        self.assertEqual(list(profiles), ["full", "profile-default", "profile-fast", "paper-maskcut"])
        self.assertEqual(profiles["paper-maskcut"]["options"]["prototype"]["mask_source"], "maskcut")
        self.assertEqual(profiles["paper-maskcut"]["profile"], "paper")
        stuff = scene_datasets.scenes("scenes-stuff", self.root, "test")
        trials = {v["name"]: v["options"] for v in variants.make("trials", variants.profile("default"), INFO, dataset)}
        for rounds in (0, 1, 2):
            refined = trials[f"refined-{rounds}"]["generation"]
            self.assertEqual(refined, {"self_attention_rounds": rounds})
            by_attention = trials[f"attention-refined-{rounds}"]
            self.assertEqual(by_attention["generation"], refined)
            self.assertEqual(by_attention["prototype"], {"mask_source": "attention"})
        refinement = [v["name"] for v in variants.make("refinement", profile, INFO, dataset)]
        self.assertEqual(refinement, ["full", "refined-0", "refined-1", "refined-2"])
        names = [v["name"] for v in variants.make("full,parts", variants.profile("default"), INFO, stuff)]
        self.assertIn("no-stuff-filter", names)
        self.assertEqual(names.count("full"), 1)
        with self.assertRaisesRegex(ValueError, "allowed are full"):
            variants.make("everything", profile, INFO, dataset)

    def counts(self, wrong):
        """Two pictures of 100 pixels of each label; `wrong` of class 1 are called background."""
        rows = np.array([[0, 0, 100], [1, 1, 100 - wrong], [1, 0, wrong], [2, 2, 100]])
        counts = metric.count(["00000", "00001"], [rows, rows], 3)
        counts.present_kept, counts.seconds, counts.header = 0.5, 0.01, {"left_out": ["bag"] * bool(wrong)}
        return counts

    def test_report(self):
        dataset = scene_datasets.scenes("scenes", self.root, "test")
        wanted = [variants.FULL] + [variants.variant(f"n-{n}", f"N = {n}") for n in (1, 2)]
        # One seed of two is half wrong: IoU of class 1 is 50 there, of background 100 / 150.
        counts = {"full": [self.counts(0), self.counts(50)], "n-1": [self.counts(50)] * 2, "n-2": [self.counts(0)] * 2}
        facts = {"profile": "default", "command": "this test"}
        document = report.make(dataset, wanted, counts, INFO, facts)
        self.assertEqual(document["seeds"][0]["miou"], 100)
        half = (100 * 100 / 150 + 50 + 100) / 3
        self.assertAlmostEqual(document["miou"], (100 + half) / 2, places=1)
        self.assertAlmostEqual(document["miou_no_background"], (100 + 75) / 2, places=1)
        self.assertEqual(document["ci95"]["miou"][0], document["ci95"]["miou"][1])  # equal pictures
        self.assertAlmostEqual(document["variants"]["n-2"]["difference_to_full"]["miou"], (100 - half) / 2, places=1)
        self.assertEqual([c["iou"] for c in document["per_class"]], [83.33, 75.0, 100.0])
        text = report.markdown(json.loads(json.dumps(document)))
        self.assertIn("| N = 2 | 100.0 | 0.0 |", text)
        self.assertIn("Left out of n-1 (no foreground in any support picture): bag.", text)
        stem = self.root / "out"
        drawn = plots.draw(document, counts["full"][0].confusion, stem)
        self.assertEqual([p.name for p in drawn], ["out.classes.png", "out.confusion.png", "out.pictures.png"])
        self.assertTrue(all(p.stat().st_size > 1000 for p in drawn))

    def test_spread(self):
        self.assertEqual(drive.spread(list(range(10)), 4), [0, 2, 5, 7])
        self.assertEqual(drive.spread([1, 2], None), [1, 2])
        self.assertEqual(drive.spread([1, 2], 5), [1, 2])


if __name__ == "__main__":
    unittest.main()
