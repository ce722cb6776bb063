#!/usr/bin/env python3
"""`ovdiff` against the real server, as a script would use it."""

import json
import pathlib
import subprocess
import unittest

from harness import (BIN, PATIENCE_SECONDS, SCENES, ServerCase, read_png, scene,
                     seg_pb)


class CommandLine(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        status, output, errors = cls.ovdiff("add", "sneaker", "bag", "-v", "shop", "--pictures",
                                            "2", "--steps", "2", "--parts", "2", "--json")
        assert status == 0, (output, errors)

    @classmethod
    def ovdiff(cls, *arguments, server=None):
        done = subprocess.run([str(BIN / "ovdiff"), *arguments, "--server",
                               server or cls.server.address()], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS,
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def test_pictures_are_segmented_into_a_folder(self):
        out = pathlib.Path(self.folder.name) / "out"
        status, output, errors = self.ovdiff("segment", str(SCENES / "00.png"),
                                             str(SCENES / "01.png"), "-v", "shop", "-o", str(out),
                                             "--json")
        self.assertEqual(0, status, errors)
        self.assertEqual(2, len(json.loads(output)["photos"]))
        for stem in ("00", "01"):
            labels = read_png((out / f"{stem}.labels.png").read_bytes())
            self.assertEqual((64, 64, 8, 3), labels[:4])
            self.assertTrue((out / f"{stem}.overlay.png").stat().st_size > 0)
            document = json.loads((out / f"{stem}.json").read_text())
            self.assertIn("sneaker", json.dumps(document))
        # Without flags the command asks for nothing that another client would not.
        plain = self.client.segment("shop", scene(0), label_map_format=seg_pb.LABEL_MAP_FORMAT_PNG)
        self.assertEqual(plain.label_map.data, (out / "00.labels.png").read_bytes())

    def test_a_pixel_is_explained_in_one_picture(self):
        out = pathlib.Path(self.folder.name) / "why.png"
        status, output, errors = self.ovdiff("explain", str(SCENES / "00.png"), "-v", "shop",
                                             "--at", "20,31", "-o", str(out))
        self.assertEqual(0, status, errors)
        self.assertIn(str(out), output)
        self.assertIn("dino", output)
        self.assertEqual(b"\x89PNG", out.read_bytes()[:4])
        status, output, errors = self.ovdiff("explain", str(SCENES / "00.png"), "-v", "shop",
                                             "--class", "bag", "--no-prefilter", "-o", str(out),
                                             "--json")
        self.assertEqual(0, status, errors)
        self.assertIn("bag", [row["name"] for row in json.loads(output)["classes"]])
        status, _, errors = self.ovdiff("explain", str(SCENES / "00.png"), "-v", "shop",
                                        "--at", "64,0", "-o", str(out))
        self.assertEqual(1, status)
        self.assertIn("64x64", errors)

    def test_classes_and_info(self):
        status, output, errors = self.ovdiff("classes", "-v", "shop", "--json")
        self.assertEqual(0, status, errors)
        self.assertEqual(["sneaker", "bag"], [row["name"] for row in json.loads(output)["classes"]])
        status, output, errors = self.ovdiff("info")
        self.assertEqual(0, status, errors)
        self.assertIn("cpu", output)

    def test_an_unknown_class_is_an_error_of_the_request(self):
        status, output, errors = self.ovdiff("segment", str(SCENES / "00.png"), "-v", "shop",
                                             "--class", "unicorn", "-o", self.folder.name + "/no")
        self.assertNotEqual(0, status)
        self.assertIn("unicorn", output + errors)

    def test_no_server_has_its_own_exit_code(self):
        status, _, errors = self.ovdiff("info", "--connect-timeout", "0", server="127.0.0.1:9")
        self.assertEqual(3, status, errors)

    def test_wrong_usage_has_its_own_exit_code(self):
        self.assertEqual(2, self.ovdiff("segment", "--no-such-flag")[0])


if __name__ == "__main__":
    unittest.main()
