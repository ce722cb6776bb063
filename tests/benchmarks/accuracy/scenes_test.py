"""The scenes' generator: deterministic, true to its masks, splits kept apart."""

import hashlib
import pathlib
import sys
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "benchmarks" / "accuracy"))
from scenes import BACKGROUNDS, CLASSES, COLOURS, PRODUCTS, SceneGenerator, products, textures  # noqa: E402

LABELS = {c.name: c.label for c in CLASSES}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


class ScenesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.generator = SceneGenerator("test")
        cls.scenes = [cls.generator.scene(index) for index in range(120)]

    def test_a_scene_depends_on_its_number_alone(self):
        again = SceneGenerator("test").scene(37)
        self.assertEqual(digest(again.image), digest(self.scenes[37].image))
        self.assertEqual(digest(again.labels), digest(self.scenes[37].labels))
        self.assertEqual(again.caption, self.scenes[37].caption)
        self.assertNotEqual(digest(SceneGenerator("test", seed=1).scene(37).image), digest(again.image))
        self.assertNotEqual(digest(SceneGenerator("val").scene(37).image), digest(again.image))

    def test_every_pixel_has_the_class_that_was_drawn_there(self):
        stuff = {LABELS[name] for name in BACKGROUNDS}
        for scene in self.scenes:
            self.assertTrue(set(np.unique(scene.labels)) <= {c.label for c in CLASSES})
            self.assertEqual(set(np.unique(scene.instances)) - {0}, set(range(1, len(scene.objects) + 1)))
            ground = scene.labels[scene.instances == 0]
            self.assertEqual(set(np.unique(ground)), {LABELS[name] for name in scene.backgrounds})
            self.assertTrue(set(np.unique(ground)) <= stuff)
            for number, thing in enumerate(scene.objects, start=1):
                mask = scene.instances == number
                self.assertEqual(set(np.unique(scene.labels[mask])), {LABELS[thing.product]})
                x0, y0, x1, y1 = thing.box
                self.assertEqual(mask[y0:y1, x0:x1].sum(), mask.sum())

    def test_objects_have_their_colour_and_can_be_seen(self):
        right = []
        for scene in self.scenes:
            for number, thing in enumerate(scene.objects, start=1):
                mask = scene.instances == number
                self.assertGreaterEqual(thing.visible, 0.75)
                self.assertGreater(mask.sum(), 40)
                # Shading changes brightness, never hue: compare directions.
                mean = scene.image[mask].mean(0) / 255
                names = [n for n in COLOURS if n != "white"] if np.ptp(mean) > 0.15 else ["white"]
                cosine = {n: mean @ np.array(COLOURS[n]) / np.linalg.norm(COLOURS[n]) for n in names}
                right.append(max(cosine, key=cosine.get) == thing.colour)
        self.assertGreater(np.mean(right), 0.97)

    def test_captions_name_what_is_there(self):
        for scene in self.scenes:
            for thing in scene.objects:
                self.assertIn(thing.product, scene.caption)

    def test_all_products_counts_and_backgrounds_come_up(self):
        self.assertEqual({o.product for s in self.scenes for o in s.objects}, set(PRODUCTS))
        self.assertEqual({b for s in self.scenes for b in s.backgrounds}, set(BACKGROUNDS))
        self.assertEqual({len(s.objects) for s in self.scenes}, {1, 2, 3, 4})

    def test_splits_share_neither_products_nor_textures(self):
        # Fashion-MNIST's train and test files share a picture or two themselves;
        # cut out and cropped, none of val or test may be one that training sees.
        seen = {digest(cutout) for name in PRODUCTS for cutout in products.load("train")[name]}
        for split in ("val", "test"):
            other = [digest(cutout) for name in PRODUCTS for cutout in products.load(split)[name]]
            self.assertLess(sum(d in seen for d in other), 5, split)
        train, val, test = ({digest(t) for family in textures.load(split).values() for t in family} for split in ("train", "val", "test"))
        self.assertFalse(train & val | train & test | val & test)

    def test_larger_scenes_and_bad_arguments(self):
        scene = SceneGenerator("test", 128).scene(3)
        self.assertEqual(scene.image.shape, (128, 128, 3))
        with self.assertRaisesRegex(ValueError, "train, val, test"):
            SceneGenerator("dev")
        with self.assertRaisesRegex(ValueError, "64 to 288"):
            SceneGenerator("test", 32)


if __name__ == "__main__":
    unittest.main()
