#!/usr/bin/env python3
"""cmake/fetch_deps.py on wheels of our own making: no network."""

import contextlib
import hashlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import zipfile
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cmake"))
import fetch_deps  # noqa: E402  (needs the path above)

FILES = {
    "ovthing/include/a.h": b"header",
    "ovthing/include/google/b.h": b"shadow",
    "ovthing/lib/liba.so": b"library",
    "ovthing/lib/libunused.so": b"unused",
    "ovthing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: ovthing\nVersion: 1.0\n",
    "ovthing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
                                   b"Tag: cp311-cp311-manylinux_2_28_x86_64\n",
}


class LaysOut(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "deps"
        self.root.mkdir()
        wheels = pathlib.Path(folder.name) / "wheels"
        wheels.mkdir()
        path = wheels / "ovthing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
            archive.writestr("ovthing-1.0.dist-info/RECORD", "")
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        environment = {"PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1"}
        patch = mock.patch.dict(os.environ, environment)
        patch.start()
        self.addCleanup(patch.stop)

    def wheel(self, **changes):
        values = {"name": "ovthing", "version": "1.0", "sha256": self.sha256,
                  "keep": (("ovthing/include/", "include"), ("ovthing/lib/", "lib")),
                  "only": ("liba.so",), "drop": ("ovthing/include/google/",)}
        return fetch_deps.Wheel(**{**values, **changes})

    def lay_out(self, wheel):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            fetch_deps.lay_out(self.root, "thing", (wheel,))
        return output.getvalue()

    def kept(self):
        folder = self.root / "thing"
        return sorted(path.relative_to(folder).as_posix()
                      for path in folder.rglob("*") if path.is_file())

    def test_keeps_what_is_needed_and_fetches_once(self):
        self.lay_out(self.wheel())
        self.assertEqual([fetch_deps.STAMP, "include/a.h", "lib/liba.so"], self.kept())
        with mock.patch.object(fetch_deps, "download", side_effect=AssertionError("fetched")):
            self.assertIn("nothing to download", self.lay_out(self.wheel()))

    def test_a_damaged_or_older_layout_is_made_again(self):
        self.lay_out(self.wheel())
        (self.root / "thing/lib/liba.so").write_bytes(b"cut")
        self.lay_out(self.wheel())
        self.assertEqual(b"library", (self.root / "thing/lib/liba.so").read_bytes())
        with mock.patch.object(fetch_deps, "LAYOUT_VERSION", 2):
            self.assertNotIn("nothing to download", self.lay_out(self.wheel()))

    def test_a_wrong_hash_leaves_nothing(self):
        with mock.patch.object(fetch_deps.time, "sleep"), self.assertRaises(SystemExit) as caught:
            self.lay_out(self.wheel(sha256="0" * 64))
        self.assertIn("0" * 64, str(caught.exception))
        self.assertEqual([], list(self.root.iterdir()))

    def test_a_wheel_that_lacks_a_library_leaves_nothing(self):
        with self.assertRaises(SystemExit) as caught:
            self.lay_out(self.wheel(only=("libmissing.so",)))
        self.assertIn("libmissing.so", str(caught.exception))
        self.assertEqual([], list(self.root.iterdir()))

    def test_an_interrupted_run_is_cleaned_up(self):
        (self.root / ".thing-abc" / "layout").mkdir(parents=True)
        fetch_deps.remove_leftovers(self.root)
        self.assertEqual([], list(self.root.iterdir()))


class Pins(unittest.TestCase):
    def test_every_wheel_is_pinned(self):
        for wheels in (fetch_deps.LIBTORCH, fetch_deps.LIBTORCH_CUDA, fetch_deps.GOOGLEAPIS):
            for wheel in wheels:
                self.assertRegex(wheel.sha256, r"^[0-9a-f]{64}$")
                self.assertRegex(wheel.version, r"^\d+(\.\d+)+$")

    def test_no_member_leaves_the_layout(self):
        wheel = fetch_deps.LIBTORCH[0]
        self.assertIsNone(fetch_deps.destination(wheel, "torch/include/../../etc/x"))
        self.assertIsNone(fetch_deps.destination(wheel, "torch/include/google/protobuf/any.h"))
        self.assertEqual("lib/libc10.so", fetch_deps.destination(wheel, "torch/lib/libc10.so"))


if __name__ == "__main__":
    unittest.main()
