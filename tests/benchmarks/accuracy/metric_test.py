#!/usr/bin/env python3
"""The metric against a second way to say the same: boolean masks, pixel by pixel."""

import json
import math
import pathlib
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import metric  # noqa: E402


def sparse(truth, predicted):
    pairs = {}
    for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist()):
        if t != 255:
            pairs[t, p] = pairs.get((t, p), 0) + 1
    return np.array([(t, p, n) for (t, p), n in pairs.items()])


def by_masks(truths, predictions, labels):
    """IoU by label with the split as one long picture, as the definition has it."""
    truth = np.concatenate([t.ravel() for t in truths])
    predicted = np.concatenate([p.ravel() for p in predictions])
    truth, predicted = truth[truth != 255], predicted[truth != 255]
    result = {}
    for label in labels:
        union = ((truth == label) | (predicted == label)).sum()
        result[label] = ((truth == label) & (predicted == label)).sum() / union if union else math.nan
    return result


class Metric(unittest.TestCase):
    def setUp(self):
        random = np.random.default_rng(1)
        shape = (20, 9, 7)
        self.truth = random.integers(0, 5, shape).astype(np.uint8)
        self.predicted = np.where(random.random(shape) < 0.6, self.truth, random.integers(0, 5, shape)).astype(np.uint8)
        self.truth[random.random(shape) < 0.1] = 255
        # Label 5 is nowhere; label 4 is predicted and never true.
        self.truth[self.truth == 4] = 0
        rows = [sparse(t, p) for t, p in zip(self.truth, self.predicted)]
        self.counts = metric.count([str(i) for i in range(20)], rows, 6)

    def test_equals_the_definition(self):
        expected = by_masks(self.truth, self.predicted, range(6))
        self.assertEqual(expected[4], 0)
        self.assertTrue(math.isnan(expected[5]))
        np.testing.assert_allclose(
            metric.per_class([self.counts]), [100 * expected[i] for i in range(6)], rtol=1e-12
        )
        figures = metric.of_counts(self.counts, background=True)
        self.assertAlmostEqual(figures["miou"], 100 * np.nanmean([expected[i] for i in range(5)]))
        self.assertAlmostEqual(figures["miou_no_background"], 100 * np.nanmean([expected[i] for i in range(1, 5)]))

    def test_foreground_and_background_are_two_classes(self):
        truth = np.where(self.truth == 255, 255, self.truth > 0)
        expected = by_masks(truth, self.predicted > 0, (0, 1))
        figures = metric.of_counts(self.counts, background=True)
        self.assertAlmostEqual(figures["background_iou"], 100 * expected[0])
        self.assertAlmostEqual(figures["foreground_iou"], 100 * expected[1])
        self.assertAlmostEqual(figures["foreground_background_miou"], 50 * (expected[0] + expected[1]))

    def test_without_background_label_0_has_no_part_in_the_mean(self):
        figures = metric.of_counts(self.counts, background=False)
        self.assertEqual(figures["miou"], figures["miou_no_background"])
        self.assertNotIn("background_iou", figures)

    def test_sums_over_the_split_before_it_divides(self):
        # Two pictures: 1 of 1 pixel right, and 1 of 9. The split's IoU is 2/10, the mean of pictures' would be 5/9.
        counts = metric.count(["a", "b"], [np.array([[1, 1, 1]]), np.array([[1, 1, 1], [1, 2, 8]])], 3)
        self.assertAlmostEqual(metric.per_class([counts])[1], 20)

    def test_confusion_matrix_counts_every_looked_at_pixel(self):
        matrix = np.zeros((6, 6), int)
        for t, p in zip(self.truth.ravel(), self.predicted.ravel()):
            if t != 255:
                matrix[t, p] += 1
        np.testing.assert_array_equal(self.counts.confusion, matrix)

    def test_intervals_hold_the_figure_and_shrink_with_pictures(self):
        figure = metric.of_counts(self.counts, True)["miou"]
        low, high = metric.bootstrap([self.counts], True)["miou"]
        self.assertLess(low, figure)
        self.assertLess(figure, high)
        rows = [sparse(t, p) for t, p in zip(self.truth, self.predicted)] * 16
        many = metric.count([str(i) for i in range(320)], rows, 6)
        narrow = metric.bootstrap([many], True)["miou"]
        self.assertAlmostEqual((narrow[1] - narrow[0]) / (high - low), 1 / 4, delta=0.06)

    def test_difference_to_itself_is_nothing(self):
        self.assertEqual(metric.bootstrap([self.counts], True, [self.counts])["miou"], [0, 0])

    def test_reads_result_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "full.seed0.jsonl"
            lines = [
                {"variant": "full", "left_out": []},
                {"id": "b", "confusion": [1, 1, 5], "kept": [2], "seconds": 1.0},
                {"id": "a", "confusion": [1, 1, 3, 0, 1, 1], "kept": [1], "seconds": 3.0},
                {"id": "b", "confusion": [1, 0, 5], "kept": [2], "seconds": 5.0},
            ]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            counts = metric.read_results(path, ["a", "b"], 2)
            np.testing.assert_array_equal(counts.confusion, [[0, 1], [5, 3]])  # the later line of b counts
            self.assertEqual(counts.present_kept, 0.5)
            self.assertEqual(counts.seconds, 4.0)
            with self.assertRaisesRegex(ValueError, "1 of 3 pictures are missing, c"):
                metric.read_results(path, ["a", "b", "c"], 2)


if __name__ == "__main__":
    unittest.main()
