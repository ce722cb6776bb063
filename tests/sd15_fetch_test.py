#!/usr/bin/env python3
"""deploy/bundles/sd15/fetch.py against a hub of our own making: no network, no torch.

The hub and the conversion are stood in for; what is under test is that nothing
unverified is kept, and that a second run fetches nothing.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import pickle
import shutil
import sys
import tempfile
import types
import unittest
from unittest import mock

BUNDLE = pathlib.Path(__file__).resolve().parent.parent / "deploy" / "bundles" / "sd15"
sys.dont_write_bytecode = True
SPEC = importlib.util.spec_from_file_location("sd15_fetch", BUNDLE / "fetch.py")
sd15_fetch = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sd15_fetch)

CONTENT = {"config.json": b"{}", "big.safetensors": b"weights", "pickled.bin": b"pickle"}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(types.ModuleType):
    """As much of huggingface_hub as fetch.py calls."""

    def __init__(self, served):
        super().__init__("huggingface_hub")
        self.served = served
        self.downloads = 0

    def HfApi(self):  # the library's own name
        return self

    def model_info(self, repository, revision):
        return types.SimpleNamespace(sha=f"commit-of-{revision}")

    def get_paths_info(self, repository, paths, revision):
        data = CONTENT[paths[0]]
        lfs = None if paths[0] == "config.json" else types.SimpleNamespace(sha256=sha256(data))
        return [types.SimpleNamespace(size=len(data), lfs=lfs, blob_id=git_blob(data))]

    def hf_hub_download(self, repository, path, revision, local_dir):
        self.downloads += 1
        target = pathlib.Path(local_dir) / path
        target.write_bytes(self.served[path])
        return str(target)


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.manifest = {
            "repositories": {"some/model": {"revision": "main", "folder": "part"}},
            "files": [{"repository": "some/model", "path": path, "bytes": None, "sha256": None}
                      for path in CONTENT]}
        self.manifest["files"][2]["to"] = "pickled.safetensors"

    def fetch(self, served, lock=None):
        lock = {} if lock is None else lock
        hub = Hub(served)

        def convert(source, target):
            target.write_bytes(b"safe:" + source.read_bytes())

        with mock.patch.dict(sys.modules, {"huggingface_hub": hub}), \
                mock.patch.object(sd15_fetch, "to_safetensors", convert), \
                contextlib.redirect_stdout(io.StringIO()):
            sd15_fetch.fetch(self.manifest, self.root, lock)
        return hub, lock

    def test_fetches_verifies_and_converts_once(self):
        _, lock = self.fetch(CONTENT)
        self.assertEqual(b"weights", (self.root / "part/big.safetensors").read_bytes())
        self.assertEqual(b"safe:pickle", (self.root / "part/pickled.safetensors").read_bytes())
        self.assertFalse((self.root / "part/pickled.bin").exists())
        self.assertEqual(lock, json.loads((self.root / "fetched.json").read_text()))
        hub, _ = self.fetch(CONTENT, lock)
        self.assertEqual(0, hub.downloads)
        (self.root / "part/big.safetensors").write_bytes(b"damaged")
        hub, _ = self.fetch(CONTENT, lock)
        self.assertEqual(1, hub.downloads)

    def test_what_differs_from_the_record_is_not_kept(self):
        for path in CONTENT:
            wrong = dict(CONTENT)
            wrong[path] = b"?" * len(CONTENT[path])
            with self.subTest(path), self.assertRaises(SystemExit) as caught:
                self.fetch(wrong)
            self.assertIn(path, str(caught.exception))
            self.assertFalse((self.root / "part" / path).exists())
            (self.root / "fetched.json").unlink(missing_ok=True)

    def test_what_differs_from_the_pin_is_not_kept(self):
        self.manifest["files"][1]["sha256"] = sha256(b"other")
        with self.assertRaises(SystemExit) as caught:
            self.fetch(CONTENT)
        self.assertIn("big.safetensors", str(caught.exception))

    def test_the_manifest_fits_the_bundle(self):
        manifest = json.loads((BUNDLE / "files.json").read_text())
        bundle = json.loads((BUNDLE / "bundle.json").read_text())
        folders = {entry["folder"] for entry in manifest["repositories"].values()}
        wanted = {space["folder"] for space in bundle["spaces"] if "folder" in space}
        wanted |= {bundle["diffusion"]["folder"], bundle["prefilter"]["folder"]}
        self.assertEqual(wanted, folders)
        targets = {sd15_fetch.target_of(manifest, entry) for entry in manifest["files"]}
        targets |= set(manifest["written"])
        for name in ("unet", "vae"):
            self.assertIn(f"stable-diffusion/{name}/diffusion_pytorch_model.safetensors", targets)
        for name in ("clip", "dino", "stable-diffusion/text_encoder"):
            self.assertLessEqual({f"{name}/config.json", f"{name}/model.safetensors"}, targets)


class Optional(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.manifest = json.loads((BUNDLE / "files.json").read_text())
        self.source = self.root / "checkpoint.pth"
        self.source.write_bytes(b"pickle")

    def run_main(self, *arguments):
        def convert(source, target, name, part):
            target.write_bytes(b"safe:" + source.read_bytes())

        with mock.patch.object(sd15_fetch, "save_optional", convert), \
                mock.patch.object(sys, "argv", ["fetch.py", "--root", str(self.root), *arguments]), \
                contextlib.redirect_stdout(io.StringIO()):
            sd15_fetch.main()

    def test_adds_weights_configuration_and_key(self):
        self.run_main("--cutler", str(self.source))
        self.assertEqual(b"safe:pickle", (self.root / "cutler/model.safetensors").read_bytes())
        self.assertEqual({"architecture": "cascade_mask_rcnn"},
                         json.loads((self.root / "cutler/config.json").read_text()))
        bundle = json.loads((self.root / "bundle.json").read_text())
        self.assertEqual(self.manifest["optional"]["cutler"]["keys"]["cutler"], bundle.pop("cutler"))
        self.assertEqual(json.loads((BUNDLE / "bundle.json").read_text()), bundle)
        lock = json.loads((self.root / "fetched.json").read_text())
        self.assertEqual(sha256(b"pickle"), lock["cutler/model.safetensors"]["source_sha256"])

    def test_mae_is_one_more_space_that_nobody_gets_unasked(self):
        self.run_main("--mae", str(self.source))
        self.assertEqual(448, json.loads((self.root / "mae/config.json").read_text())["img_size"])
        self.run_main("--cutler", str(self.source))
        bundle = json.loads((self.root / "bundle.json").read_text())
        self.assertEqual(["sd", "dino", "clip", "mae"], [space["name"] for space in bundle["spaces"]])
        self.assertTrue(bundle["spaces"][3]["optional"])
        self.assertIn("cutler", bundle)

    def test_weights_of_another_network_are_refused(self):
        part = self.manifest["optional"]["mae"]
        shaped = lambda shape: types.SimpleNamespace(shape=shape)  # noqa: E731
        state = {key: shaped(tuple(shape)) for key, shape in part["holds"].items()}
        state |= {"decoder_embed.weight": shaped((384, 768)), "mask_token": shaped((1, 1, 384)), "epoch": 3}
        self.assertEqual(set(part["holds"]), set(sd15_fetch.select(state, "mae.pth", "mae", part)))
        for wrong in ({"pos_embed": shaped((1, 197, 768))}, {"patch_embed.proj.weight": 1}):
            with self.subTest(wrong), self.assertRaises(SystemExit) as caught:
                sd15_fetch.select(state | wrong, "mae.pth", "mae", part)
            self.assertIn(f"mae.pth is not what --mae wants: {next(iter(wrong))} should be", str(caught.exception))

    def test_a_section_that_somebody_changed_stays(self):
        self.run_main("--cutler", str(self.source))
        bundle = json.loads((self.root / "bundle.json").read_text())
        with mock.patch.object(sd15_fetch, "HERE", self.root):
            bundle["cutler"]["short_side"] = 640
            (self.root / "bundle.json").write_text(json.dumps(bundle))
            sd15_fetch.write_bundle(self.manifest, self.root, json.loads((self.root / "fetched.json").read_text()))
        self.assertEqual(640, json.loads((self.root / "bundle.json").read_text())["cutler"]["short_side"])

    def test_a_later_fetch_keeps_it_and_checks_it(self):
        self.run_main("--cutler", str(self.source))
        lock = json.loads((self.root / "fetched.json").read_text())
        shutil.copy(BUNDLE / "bundle.json", self.root / "bundle.json")
        sd15_fetch.write_bundle(self.manifest, self.root, lock)
        self.assertIn("cutler", json.loads((self.root / "bundle.json").read_text()))
        (self.root / "cutler/model.safetensors").write_bytes(b"damaged")
        with self.assertRaises(SystemExit) as caught:
            self.run_main("--check")
        self.assertIn("cutler/model.safetensors", str(caught.exception))

    def test_without_it_the_bundle_is_this_folders(self):
        sd15_fetch.write_bundle(self.manifest, self.root, {})
        self.assertEqual((BUNDLE / "bundle.json").read_bytes(),
                         (self.root / "bundle.json").read_bytes())

    def test_an_absent_file_is_told_where_to_come_from(self):
        with self.assertRaises(SystemExit) as caught:
            self.run_main("--cutler", str(self.root / "nothing.pth"))
        self.assertIn(self.manifest["optional"]["cutler"]["source"], str(caught.exception))

    def test_only_containers_and_numbers_are_unpickled(self):
        self.source.write_bytes(pickle.dumps({"model": {"a": [1, 2.5]}, "iteration": 3}))
        self.assertEqual({"model": {"a": [1, 2.5]}, "iteration": 3},
                         sd15_fetch.read_checkpoint(self.source))

        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(trapped),)

        trapped = self.root / "trapped"
        self.source.write_bytes(pickle.dumps({"model": Trap()}))
        with self.assertRaises(SystemExit) as caught:
            sd15_fetch.read_checkpoint(self.source)
        self.assertIn("mkdir", str(caught.exception))
        self.assertFalse(trapped.exists())


if __name__ == "__main__":
    unittest.main()
