#!/usr/bin/env python3
"""Classes of given pictures, synonyms and negatives, by a client in another language."""

import json
import pathlib
import signal
import tempfile
import unittest

from harness import (SCENES, Client, PATIENCE_SECONDS, Server, ServerCase, grpc, png, read_png,
                     scene, seg_pb, types_pb, vocab_pb)

LABELS = json.loads((SCENES / "scenes.json").read_text())["labels"]


def true_mask(number, name):
    """(width, height, rows of 0 and 1) of a demo scene's true labels."""
    width, height, _, _, _, rows = read_png((SCENES / f"{number:02d}.labels.png").read_bytes())
    value = LABELS.index(name)
    return width, height, [bytes(label == value for label in row) for row in rows]


def given(number, name):
    """A scene with the mask of one of its products."""
    width, height, rows = true_mask(number, name)
    mask = png(width, height, [bytes(255 * value for value in row) for row in rows], colour_type=0)
    return vocab_pb.GivenPicture(image=types_pb.Image(encoded=scene(number)), mask=mask)


def request(vocabulary, spec, pictures=2, steps=2, **fields):
    return vocab_pb.AddClassesRequest(
        vocabulary=vocabulary, classes=[spec],
        options=vocab_pb.BuildOptions(num_pictures=pictures, num_steps=steps, num_parts=4), **fields)


def scenes_with(name, without=None):
    scenes = json.loads((SCENES / "scenes.json").read_text())["scenes"]
    return [index for index, row in enumerate(scenes)
            if name in row["classes"] and without not in row["classes"]]


class GivenPictures(ServerCase):
    def add(self, vocabulary, spec, **fields):
        messages = list(self.client.vocabulary.AddClasses(request(vocabulary, spec, **fields),
                                                          timeout=PATIENCE_SECONDS))
        return messages[-1].job.classes[0]

    def iou(self, vocabulary, number, name):
        """Of a scene's pixels of a vocabulary's only class with the true ones."""
        answer = self.client.segment(
            vocabulary, scene(number),
            options=seg_pb.SegmentOptions(use_prefilter=False))
        width, height, rows = true_mask(number, name)
        self.assertEqual((width, height), (answer.label_map.width, answer.label_map.height))
        found = [answer.label_map.data[i] != 0 for i in range(0, 2 * width * height, 2)]
        truth = [value != 0 for row in rows for value in row]
        both = sum(a and b for a, b in zip(found, truth))
        return both / sum(a or b for a, b in zip(found, truth))

    def test_masked_pictures_alone_make_a_class(self):
        numbers = scenes_with("sneaker")
        self.assertGreaterEqual(len(numbers), 2)
        spec = vocab_pb.ClassSpec(name="my shoe", only_given_pictures=True,
                                  pictures=[given(number, "sneaker") for number in numbers])
        done = self.add("own", spec)
        self.assertEqual(vocab_pb.CLASS_STAGE_DONE, done.stage, done)
        self.assertEqual(len(numbers), done.num_pictures)
        # It finds what it was shown, and better than chance by far.
        self.assertGreater(max(self.iou("own", number, "sneaker") for number in numbers), 0.4)
        self.assertEqual(vocab_pb.CACHE_HIT_PROTOTYPES, self.add("again", spec).cache_hit)

    def test_with_attention_synonyms_and_negatives(self):
        spec = vocab_pb.ClassSpec(name="sneaker", synonyms=["sandal"])
        spec.pictures.add().image.encoded = scene(scenes_with("sneaker")[0])
        spec.negatives.add().prompt = "ankle boot"
        spec.negatives.add().picture.CopyFrom(given(scenes_with("bag")[0], "bag"))
        done = self.add("mixed", spec)
        self.assertEqual(vocab_pb.CLASS_STAGE_DONE, done.stage, done)
        # 2 painted of each of three prompts, one given, one negative.
        self.assertEqual(8, done.num_pictures)
        listed = self.client.vocabulary.ListClasses(
            vocab_pb.ListClassesRequest(vocabulary="mixed")).classes[0]
        self.assertEqual("sneaker, sandal, 1 given picture; not ankle boot, 1 given picture",
                         listed.prompt)
        # The painting of the prompts is there for the plain classes.
        plain = self.add("plain", vocab_pb.ClassSpec(name="sandal"))
        self.assertEqual(vocab_pb.CACHE_HIT_PICTURES, plain.cache_hit)

    def test_a_picture_of_something_else_is_named(self):
        self.add("doubt", vocab_pb.ClassSpec(name="ankle boot"))
        spec = vocab_pb.ClassSpec(name="bag", only_given_pictures=True)
        spec.pictures.add().image.encoded = scene(scenes_with("bag", without="ankle boot")[0])
        spec.pictures.add().image.encoded = scene(scenes_with("ankle boot", without="bag")[0])
        done = self.add("doubt", spec)
        self.assertEqual(vocab_pb.CLASS_STAGE_DONE, done.stage, done)
        self.assertEqual([(1, "ankle boot")], [(row.index, row.found) for row in done.doubtful_pictures])

    def test_what_cannot_be_used_is_told(self):
        spec = vocab_pb.ClassSpec(name="shoe", only_given_pictures=True)
        spec.pictures.add().CopyFrom(given(scenes_with("pullover")[0], "pullover"))
        spec.pictures[0].mask = png(8, 4, [bytes([255] * 8)] * 4, colour_type=0)
        call = lambda: list(self.client.vocabulary.AddClasses(request("bad", spec)))
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, call, "classes[0].pictures[0].mask",
                          "8x4", "64x64")
        spec.pictures[0].mask = png(64, 64, [bytes(64)] * 64, colour_type=0)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, call, "no object pixel")
        spec.pictures[0].image.encoded = b"GIF89a"
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, call, "classes[0].pictures[0].image")


class Restart(unittest.TestCase):
    def test_a_killed_job_goes_on_with_its_pictures(self):
        with tempfile.TemporaryDirectory(prefix="ovdiff-e2e-") as folder:
            store = pathlib.Path(folder) / "store"
            spec = vocab_pb.ClassSpec(name="bag", pictures=[given(scenes_with("bag")[0], "bag")])
            with Server(store) as server, Client(server.address()) as client:
                job = next(client.vocabulary.AddClasses(
                    request("shop", spec, pictures=4, steps=300))).job
                server.signal(signal.SIGKILL)
                server.wait()
            with Server(store) as server, Client(server.address()) as client:
                messages = list(client.vocabulary.AddClasses(
                    request("shop", spec, pictures=4, steps=300), timeout=PATIENCE_SECONDS))
                self.assertEqual(job.id, messages[-1].job.id)
                done = messages[-1].job.classes[0]
                self.assertEqual(vocab_pb.CLASS_STAGE_DONE, done.stage, done)
                self.assertEqual(5, done.num_pictures)
                self.assertEqual(0, server.stop(), server.log())


if __name__ == "__main__":
    unittest.main()
