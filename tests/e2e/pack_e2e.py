#!/usr/bin/env python3
"""Class packs between two real servers: by stubs of another language and by `ovdiff`."""

import json
import pathlib
import random
import subprocess
import tempfile
import unittest

from harness import (BIN, PATIENCE_SECONDS, Client, Server, ServerCase, grpc, scene, vocab_pb)

NAMES = ["sneaker", "bag", "coat", "dress", "shirt", "sandal", "trousers", "pullover", "boot",
         "top"]
PART_BYTES = 100_000


def export(client, vocabulary, **fields):
    request = vocab_pb.ExportVocabularyRequest(vocabulary=vocabulary, **fields)
    messages = list(client.vocabulary.ExportVocabulary(request, timeout=PATIENCE_SECONDS))
    assert max(len(message.data) for message in messages) <= 256 << 10
    return b"".join(message.data for message in messages)


def import_(client, pack, **fields):
    def messages():
        yield vocab_pb.ImportVocabularyRequest(config=vocab_pb.ImportConfig(**fields))
        for begin in range(0, len(pack), PART_BYTES):
            yield vocab_pb.ImportVocabularyRequest(data=pack[begin:begin + PART_BYTES])
    return client.vocabulary.ImportVocabulary(messages(), timeout=PATIENCE_SECONDS)


def masks(client, vocabulary):
    """What must be the same on both servers, for some scenes: bytes of the labels, the table."""
    result = []
    for number in range(3):
        answer = client.segment(vocabulary, scene(number))
        result.append((answer.label_map.SerializeToString(deterministic=True),
                       [row.SerializeToString(deterministic=True) for row in answer.classes],
                       answer.fingerprints.SerializeToString(deterministic=True)))
    return result


class Packs(ServerCase):
    """`server` is where classes are built; `there` is where they go."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.there = Server(pathlib.Path(cls.folder.name) / "other-store")
        cls.enterContext_(cls.there)
        cls.other = Client(cls.there.address())
        cls.addClassCleanup(cls.other.channel.close)
        # A label that is given and free again: labels must travel, not be counted anew.
        cls.client.add("shop", ["first", *NAMES])
        cls.client.vocabulary.RemoveClasses(
            vocab_pb.RemoveClassesRequest(vocabulary="shop", names=["first"]))
        cls.pack = export(cls.client, "shop")

    @staticmethod
    def ovdiff(server, *arguments, **options):
        return subprocess.run([str(BIN / "ovdiff"), *arguments, "--server", server.address()],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE_SECONDS, check=False, **options)

    def test_ten_classes_move_and_give_identical_masks(self):
        here = masks(self.client, "shop")
        answer = import_(self.other, self.pack)
        self.assertEqual(("shop", 1), (answer.vocabulary, answer.version))
        self.assertEqual(NAMES, [row.name for row in answer.classes])
        self.assertEqual(list(range(2, 12)), [row.label for row in answer.classes])
        self.assertEqual({vocab_pb.IMPORT_OUTCOME_ADDED}, {row.outcome for row in answer.classes})
        self.assertEqual(here, masks(self.other, "shop"))

    def test_a_flipped_byte_is_refused_and_leaves_nothing(self):
        chance = random.Random(7)
        places = [0, 8, 9, 15, 16, len(self.pack) - 1,
                  *(chance.randrange(len(self.pack)) for _ in range(60))]
        for place in places:
            harmed = bytearray(self.pack)
            harmed[place] ^= 1 << chance.randrange(8)
            with self.assertRaises(grpc.RpcError, msg=f"byte {place}") as caught:
                import_(self.other, bytes(harmed), vocabulary="harmed")
            self.assertIn(caught.exception.code(), (grpc.StatusCode.INVALID_ARGUMENT,
                                                    grpc.StatusCode.FAILED_PRECONDITION))
        listed = self.other.vocabulary.ListVocabularies(vocab_pb.ListVocabulariesRequest())
        self.assertNotIn("harmed", [row.name for row in listed.vocabularies])

    def test_the_command_line_signs_moves_and_compares(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            key, public, pack = folder / "key.pem", folder / "key.pub", folder / "shop.ovpack"
            for command in (["genpkey", "-algorithm", "ed25519", "-out", key],
                            ["pkey", "-in", key, "-pubout", "-out", public]):
                subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
            done = self.ovdiff(self.server, "export", "--vocabulary", "shop", "--sign-key",
                               str(key))
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(self.pack, done.stdout[:len(self.pack)])
            pack.write_bytes(done.stdout)
            trust = ["--require-signature", str(public)]
            done = self.ovdiff(self.there, "import", str(pack), "-v", "signed", *trust, "--json")
            self.assertEqual(0, done.returncode, done.stderr)
            answer = json.loads(done.stdout)
            self.assertEqual((1, 64), (answer["version"], len(answer["signed_by"])))
            pack.write_bytes(self.pack)
            done = self.ovdiff(self.there, "import", str(pack), "-v", "signed", *trust)
            self.assertEqual(1, done.returncode)
            self.assertIn(b"not signed", done.stderr)
        done = self.ovdiff(self.server, "diff", "shop@11", "shop@12", "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        difference = json.loads(done.stdout)
        self.assertEqual(["first"], [row["name"] for row in difference["removed"]])
        self.assertEqual(10, difference["num_unchanged"])
        done = self.ovdiff(self.server, "diff", "v11", "--vocabulary", "shop", text=True)
        self.assertIn("shop@11 -> shop@12: 0 added, 1 removed", done.stdout)

    def test_pictures_travel_and_need_not_be_painted_again(self):
        pack = export(self.client, "shop", classes=["bag"], include_pictures=True)
        self.assertGreater(len(pack), len(export(self.client, "shop", classes=["bag"])))
        answer = import_(self.other, pack, vocabulary="pictures", reencode=True)
        self.assertFalse(answer.classes[0].reencoded)
        # The pictures are here now: the class with other parts is encoded, not painted.
        progress = list(self.other.vocabulary.AddClasses(vocab_pb.AddClassesRequest(
            vocabulary="pictures", classes=[vocab_pb.ClassSpec(name="bag")],
            options=vocab_pb.BuildOptions(num_pictures=2, num_steps=2, num_parts=3)),
            timeout=PATIENCE_SECONDS))
        self.assertEqual(vocab_pb.CACHE_HIT_PICTURES, progress[-1].job.classes[0].cache_hit)
        changed = self.other.vocabulary.DiffVocabularyVersions(
            vocab_pb.DiffVocabularyVersionsRequest(
                **{"from": vocab_pb.VocabularyVersion(vocabulary="pictures", version=1)},
                to=vocab_pb.VocabularyVersion(vocabulary="pictures"))).changed
        self.assertEqual(["bag"], [row.after.name for row in changed])
        self.assertTrue(changed[0].other_encoder)
        self.assertFalse(changed[0].other_generator)
        self.assertEqual(["sd", "dino", "clip"], [row.space for row in changed[0].drift])
        for row in changed[0].drift:  # The class means do not depend on the parts.
            self.assertAlmostEqual(1.0, row.cosine, places=4)


if __name__ == "__main__":
    unittest.main()
