#!/usr/bin/env python3
"""Each data set on a few pictures in its official folder layout, encoded as the official files are."""

import json
import pathlib
import sys
import tempfile
import unittest

import numpy as np
from PIL import Image
from scipy.io import savemat

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import official_datasets  # noqa: E402
from dataset import IGNORE, LayoutError  # noqa: E402


class OfficialDatasets(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = pathlib.Path(self._folder.name)

    def photo(self, path, width=4, height=2):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (10, 20, 30)).save(path)

    def grey(self, path, values):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(values, np.uint8)).save(path)

    def palette(self, path, values):
        """An indexed PNG in VOC's palette: bits of the index spread over the channels' high bits."""
        image = Image.fromarray(np.array(values, np.uint8), "P")
        colours = []
        for index in range(256):
            rgb = [0, 0, 0]
            for bit in range(8):
                for channel in range(3):
                    rgb[channel] |= ((index >> (3 * (bit // 3) + channel)) & 1) << (7 - bit) if bit % 3 == 0 else 0
            colours += rgb
        image.putpalette(colours)
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    def text(self, path, words):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)

    def load(self, name, split=None, below=""):
        return official_datasets.load(name, self.root / below, split)

    def labels_by_name(self, dataset, values):
        names = {i: c.name for i, c in enumerate(dataset.classes, start=1)}
        names.update({0: "background", IGNORE: "ignored"})
        return [[names[v] for v in row] for row in values.tolist()]

    def voc(self):
        self.text("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "2007_000033\n2007_000042\n")
        for name in ("2007_000033", "2007_000042"):
            self.photo(f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg")
            self.palette(f"VOCdevkit/VOC2012/SegmentationClass/{name}.png", [[0, 1, 15, 255], [20, 20, 11, 0]])

    def test_voc_has_background_and_void(self):
        self.voc()
        for below in ("", "VOCdevkit", "VOCdevkit/VOC2012"):
            dataset = self.load("voc2012", below=below)
            self.assertEqual([p.id for p in dataset.pictures], ["2007_000033", "2007_000042"])
            self.assertEqual(
                self.labels_by_name(dataset, dataset.pictures[0].labels()),
                [["background", "aeroplane", "person", "ignored"], ["tvmonitor", "tvmonitor", "diningtable", "background"]],
            )
        self.assertEqual(len(dataset.classes), 20)
        self.assertEqual({c.name: c.prompt for c in dataset.classes}["pottedplant"], "potted plant")
        self.assertEqual(dataset.options, {})

    def test_voc20_ignores_the_background_and_predicts_none(self):
        self.voc()
        dataset = self.load("voc20")
        np.testing.assert_array_equal(dataset.pictures[0].labels(), [[255, 1, 15, 255], [20, 20, 11, 255]])
        self.assertFalse(dataset.options["segment"]["use_background"])

    def context(self, annotated_as):
        for name in ("2008_000002", "2008_000003"):
            self.photo(f"VOC2010/JPEGImages/{name}.jpg")
            if annotated_as == "png":
                self.palette(f"VOC2010/SegmentationClassContext/{name}.png", [[0, 1, 2, 36], [47, 59, 59, 50]])
            else:
                path = self.root / f"VOC2010/trainval/{name}.mat"
                path.parent.mkdir(parents=True, exist_ok=True)
                # 459 labels: 2 aeroplane, 9 bag, 260 mouse, 360 sky, 458 wood, 397 table; 1 and 459 are not of the 59.
                savemat(path, {"LabelMap": np.array([[1, 2, 9, 260], [360, 458, 459, 397]], np.uint16)}, do_compression=True)

    def test_context_reads_the_converted_pngs(self):
        self.context("png")
        self.text("VOC2010/ImageSets/SegmentationContext/val.txt", "2008_000002\n")
        dataset = self.load("context60")
        self.assertEqual(len(dataset.pictures), 1)
        self.assertEqual(
            self.labels_by_name(dataset, dataset.pictures[0].labels()),
            [["background", "aeroplane", "bag", "mouse"], ["sky", "wood", "wood", "table"]],
        )
        self.assertEqual(len(dataset.classes), 59)
        self.assertEqual(self.load("context59").pictures[0].labels()[0, 0], IGNORE)

    def test_context_reads_the_official_mat_files(self):
        self.context("mat")
        self.text("VOC2010/ImageSets/Main/val.txt", "2008_000002 \n2008_000003\n")
        dataset = self.load("context60")
        self.assertEqual(len(dataset.pictures), 2)
        self.assertEqual(
            self.labels_by_name(dataset, dataset.pictures[0].labels()),
            [["background", "aeroplane", "bag", "mouse"], ["sky", "wood", "background", "table"]],
        )
        self.assertEqual(self.load("context59").pictures[0].labels()[1, 2], IGNORE)

    def test_coco_stuff_and_object_from_stuffthingmaps(self):
        self.photo("val2017/000000000139.jpg")
        # Values are category ids less one: person 1, toothbrush 90, banner 92, wood 182.
        self.grey("stuffthingmaps_trainval2017/val2017/000000000139.png", [[0, 89, 91, 181], [255, 12, 43, 0]])
        stuff = self.load("coco-stuff")
        self.assertEqual(len(stuff.classes), 171)
        self.assertEqual(
            self.labels_by_name(stuff, stuff.pictures[0].labels()),
            [["person", "toothbrush", "banner", "wood"], ["ignored", "stop sign", "bottle", "person"]],
        )
        self.assertEqual({c.name: c.kind for c in stuff.classes}["wall-brick"], "stuff")
        things = self.load("coco-object")
        self.assertEqual(len(things.classes), 80)
        self.assertEqual(
            self.labels_by_name(things, things.pictures[0].labels()),
            [["person", "toothbrush", "background", "background"], ["background", "stop sign", "bottle", "person"]],
        )

    def test_coco_object_from_polygons(self):
        self.photo("val2017/000000000139.jpg", 10, 10)
        document = {
            "images": [{"id": 139, "file_name": "000000000139.jpg", "width": 10, "height": 10}],
            "categories": [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}],
            "annotations": [
                {"image_id": 139, "category_id": 90, "area": 4, "iscrowd": 0, "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]]},
                {"image_id": 139, "category_id": 1, "area": 25, "iscrowd": 0, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]},
                # A crowd in the last column but for its first pixel: runs go down the columns.
                {"image_id": 139, "category_id": 1, "area": 9, "iscrowd": 1,
                 "segmentation": {"size": [10, 10], "counts": [91, 9]}},
            ],
        }  # fmt: skip
        self.text("annotations/instances_val2017.json", json.dumps(document))
        dataset = self.load("coco-object")
        expected = np.zeros((10, 10), np.uint8)
        expected[:5, :5] = 1
        expected[1:3, 1:3] = 80
        expected[1:, 9] = IGNORE
        np.testing.assert_array_equal(dataset.pictures[0].labels(), expected)

    def test_ade_ignores_0(self):
        self.photo("ADEChallengeData2016/images/validation/ADE_val_00000001.jpg")
        self.grey("ADEChallengeData2016/annotations/validation/ADE_val_00000001.png", [[0, 1, 13, 150], [9, 2, 0, 128]])
        dataset = self.load("ade20k")
        self.assertEqual([p.id for p in dataset.pictures], ["ADE_val_00000001"])
        self.assertEqual(
            self.labels_by_name(dataset, dataset.pictures[0].labels()),
            [["ignored", "wall", "person", "flag"], ["windowpane", "building", "ignored", "bicycle"]],
        )
        self.assertEqual(len(dataset.classes), 150)
        self.assertEqual(sum(c.kind == "thing" for c in dataset.classes), 100)

    def test_cityscapes_label_ids(self):
        for city, number in (("munster", "000001_000019"), ("frankfurt", "000000_000294")):
            stem = f"{city}/{city}_{number}"
            self.photo(f"leftImg8bit/val/{stem}_leftImg8bit.png")
            self.grey(f"gtFine/val/{stem}_gtFine_labelIds.png", [[7, 8, 11, 0], [33, 24, 29, 26]])
            self.grey(f"gtFine/val/{stem}_gtFine_instanceIds.png", [[7, 8, 11, 0], [33, 24, 29, 26]])
        dataset = self.load("cityscapes")
        self.assertEqual([p.id for p in dataset.pictures], ["frankfurt/frankfurt_000000_000294", "munster/munster_000001_000019"])
        self.assertEqual(
            self.labels_by_name(dataset, dataset.pictures[1].labels()),
            [["road", "sidewalk", "building", "ignored"], ["bicycle", "person", "ignored", "car"]],
        )
        self.assertEqual(len(dataset.classes), 19)

    def test_says_what_is_missing(self):
        with self.assertRaisesRegex(LayoutError, "VOCdevkit/VOC2012/JPEGImages"):
            self.load("voc2012")
        with self.assertRaisesRegex(LayoutError, "is not a folder"):
            self.load("voc2012", below="nowhere")
        self.voc()
        with self.assertRaisesRegex(LayoutError, "ImageSets/Segmentation/train.txt"):
            self.load("voc2012", split="train")
        (self.root / "VOCdevkit/VOC2012/SegmentationClass/2007_000042.png").unlink()
        with self.assertRaisesRegex(LayoutError, "SegmentationClass/2007_000042.png"):
            self.load("voc2012")
        self.photo("coco/val2017/000000000139.jpg")
        with self.assertRaisesRegex(LayoutError, "stuffthingmaps"):
            self.load("coco-stuff")

    def test_coloured_annotations_are_refused(self):
        self.voc()
        Image.new("RGB", (4, 2)).save(self.root / "VOCdevkit/VOC2012/SegmentationClass/2007_000033.png")
        with self.assertRaisesRegex(LayoutError, "one value a pixel"):
            self.load("voc2012").pictures[0].labels()

    def test_descriptions_are_sound(self):
        for name in official_datasets.names():
            description = json.loads((official_datasets.FOLDER / f"{name}.json").read_text())
            classes = description["classes"]
            with self.subTest(name):
                self.assertEqual(description["format"], 1)
                for key in ("name", "value"):
                    self.assertEqual(len({c[key] for c in classes}), len(classes), key)
                self.assertEqual({c["kind"] for c in classes} - {"thing", "stuff"}, set())
                prompts = [c.get("prompt", c["name"]) for c in classes]
                self.assertEqual(len(set(prompts)), len(prompts))
                # A synonym that is also another class's name would split that class's pixels.
                synonyms = [s for c in classes for s in c.get("synonyms", ())]
                self.assertEqual(set(synonyms) & (set(prompts) | {c["name"] for c in classes}), set())
                self.assertEqual(len(set(synonyms)), len(synonyms))


if __name__ == "__main__":
    unittest.main()
