#!/usr/bin/env python3
"""Who may know whom (ARCHITECTURE.md, "Layers"), read off every #include.

Checks the checkout it lies in. The rules are first tried on small trees with a
known fault each, so that a rule that no longer bites fails too.
"""

import pathlib
import re
import subprocess
import tempfile
import unittest
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE_FOLDERS = ("engine", "store", "server", "client", "proto", "tests", "benchmarks")
TOP_LEVEL_FOLDERS = {"proto", "server", "client", "store", "engine", "deploy", "docker", "tests",
                     "benchmarks", "cmake"}
TOP_LEVEL_FILES = {"CMakeLists.txt", "CMakePresets.json", "Makefile", "README.md",
                   "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE",
                   "NOTICE"}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
GRPC = re.compile(r"^grpc(pp|\+\+)?/|\.grpc\.pb\.h$")
PROTOBUF = re.compile(r"^google/(protobuf|rpc)/|\.pb\.h$")
API_PROTO = re.compile(r"^ovdiff/v\d+/.*\.pb\.h$")
ROCKSDB = re.compile(r"^rocksdb/")


def ours(*folders):
    return re.compile(r"^(" + "|".join(folders) + r")/")


@dataclass(frozen=True)
class Rule:
    """Files that match `files` include nothing that matches `forbidden`."""

    files: re.Pattern
    forbidden: re.Pattern
    reason: str
    allowed: re.Pattern = field(default=re.compile(r"^$"))


RULES = (
    Rule(ours("engine"), GRPC, "engine/ does not know gRPC"),
    Rule(ours("engine"), PROTOBUF, "engine/ does not know protobuf"),
    Rule(ours("engine"), ROCKSDB, "engine/ does not know RocksDB"),
    Rule(ours("engine"), ours("store", "server", "client"), "engine/ is an inner layer"),
    Rule(ours("engine/base"), ours("engine"), "engine/base is the innermost layer",
         ours("engine/base")),
    Rule(re.compile(r"^engine/(engine\.h$|base/|batching/|text/)"), TORCH,
         "this part of engine/ has no torch types"),
    Rule(ours("store"), TORCH, "store/ does not know torch"),
    Rule(ours("store"), GRPC, "store/ does not know gRPC"),
    Rule(ours("store"), API_PROTO, "store/ does not know the API"),
    Rule(ours("store"), ours("server", "client"), "store/ is an inner layer"),
    Rule(ours("store"), ours("engine"), "of engine/, store/ knows only engine/base",
         ours("engine/base")),
    Rule(ours("client"), ours("engine", "store", "server"), "client/ knows only the protos"),
    Rule(ours("client"), TORCH, "client/ does not know torch"),
    Rule(ours("client"), ROCKSDB, "client/ does not know RocksDB"),
    Rule(ours("server"), TORCH, "server/ compiles without torch's headers"),
    Rule(ours("server"), ROCKSDB, "RocksDB is known inside store/ only"),
    Rule(ours("server"), ours("client"), "server/ and client/ meet in proto/ only"),
    Rule(ours("server"), ours("engine"),
         "of engine/, server/ knows engine.h, base/, pipeline/ and the text that names content",
         re.compile(r"^engine/(engine\.h$|base/|pipeline/|text/prompt_text\.h$)")),
)


class Tree:
    """The sources below a root and what each includes, comments left out."""

    def __init__(self, root):
        self.includes = {}
        for folder in SOURCE_FOLDERS:
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in (".h", ".cc"):
                    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
                    self.includes[path.relative_to(root).as_posix()] = INCLUDE.findall(text)

    def reach(self, name):
        """All that a file includes, through our own headers too: {include: by whom}."""
        found = {}
        waiting = [name]
        while waiting:
            source = waiting.pop()
            for include in self.includes.get(source, ()):
                if include not in found:
                    found[include] = source
                    waiting.append(include)
        return found

    def faults(self):
        result = []
        for name, includes in self.includes.items():
            for rule in RULES:
                if not rule.files.match(name):
                    continue
                result += [f"{name} includes {include}: {rule.reason}" for include in includes
                           if rule.forbidden.search(include) and not rule.allowed.search(include)]
            reached = self.reach(name)
            torch = next((include for include in reached if TORCH.search(include)), None)
            protobuf = next((include for include in reached if PROTOBUF.search(include)), None)
            if torch and protobuf:
                result.append(f"{name} reaches {torch} (by {reached[torch]}) and {protobuf} (by "
                              f"{reached[protobuf]}): torch's headers and protobuf's do not mix")
            if torch and name.startswith("server/") and torch not in includes:
                result.append(f"{name} reaches {torch} by {reached[torch]}: server/ compiles "
                              "without torch's headers")
        return result


def top_level_faults(names):
    """names: of tracked files, relative to the root."""
    result = []
    for name in sorted({name.split("/")[0] for name in names}):
        is_folder = any(other.startswith(name + "/") for other in names)
        allowed = TOP_LEVEL_FOLDERS if is_folder else TOP_LEVEL_FILES
        if not name.startswith(".") and name not in allowed:
            result.append(f"{name}: not a part of the root (allowed: {', '.join(sorted(allowed))})")
    return result


def faults_of(**files):
    """Faults of a made-up tree: path with '/' as '__' and '.' as '_h'/'_cc' -> includes."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for key, includes in files.items():
            stem, _, suffix = key.rpartition("_")
            path = root / (stem.replace("__", "/") + "." + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f'#include "{include}"\n' for include in includes))
        return Tree(root).faults()


class RulesBite(unittest.TestCase):
    def assert_one_fault(self, part, **files):
        faults = faults_of(**files)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(part, faults[0])

    def test_each_forbidden_pair_is_found(self):
        self.assert_one_fault("gRPC", engine__nn__a_cc=["grpcpp/server.h"])
        self.assert_one_fault("protobuf", engine__nn__a_cc=["google/protobuf/message.h"])
        self.assert_one_fault("RocksDB", engine__nn__a_h=["rocksdb/db.h"])
        self.assert_one_fault("inner layer", engine__a_h=["store/prototype_store.h"])
        self.assert_one_fault("innermost", engine__base__a_h=["engine/nn/attention.h"])
        self.assert_one_fault("no torch", engine__text__a_cc=["torch/types.h"])
        self.assert_one_fault("no torch", engine__engine_h=["ATen/ATen.h"])
        self.assert_one_fault("torch", store__a_cc=["torch/torch.h"])
        self.assert_one_fault("gRPC", store__a_cc=["grpcpp/server.h"])
        self.assert_one_fault("API", store__a_cc=["ovdiff/v1/types.pb.h"])
        self.assert_one_fault("engine/base", store__a_cc=["engine/engine.h"])
        self.assert_one_fault("only the protos", client__a_cc=["engine/base/image.h"])
        self.assert_one_fault("RocksDB", client__a_cc=["rocksdb/db.h"])
        self.assert_one_fault("RocksDB", server__a_cc=["rocksdb/db.h"])
        self.assert_one_fault("torch", server__a_cc=["torch/types.h"])
        self.assert_one_fault("engine.h, base/", server__a_cc=["engine/nn/attention.h"])
        self.assert_one_fault("meet in proto", server__a_cc=["client/client.h"])

    def test_what_hides_behind_a_header_is_found(self):
        self.assert_one_fault("do not mix", tests__a_cc=["engine/nn/a.h", "ovdiff/v1/types.pb.h"],
                              engine__nn__a_h=["torch/types.h"])
        self.assert_one_fault("without torch's headers", server__a_cc=["engine/pipeline/a.h"],
                              engine__pipeline__a_h=["engine/nn/a.h"],
                              engine__nn__a_h=["torch/types.h"])

    def test_what_is_allowed_passes(self):
        self.assertEqual([], faults_of(
            engine__nn__a_cc=["torch/torch.h", "engine/base/image.h", "absl/status/status.h"],
            store__a_cc=["rocksdb/db.h", "engine/base/prototype_set.h"],
            server__a_cc=["engine/engine.h", "store/prototype_store.h", "grpcpp/server.h",
                          "ovdiff/v1/types.pb.h"],
            client__a_cc=["grpcpp/channel.h", "ovdiff/v1/types.pb.h"]))

    def test_a_new_top_level_folder_is_found(self):
        self.assertEqual(1, len(top_level_faults(["docs/a.md", "engine/engine.h", ".ci/run"])))
        self.assertEqual(1, len(top_level_faults(["notes.txt", "README.md"])))


class ThisTree(unittest.TestCase):
    def test_includes(self):
        tree = Tree(ROOT)
        self.assertGreater(len(tree.includes), 20, "the sources were not found")
        self.assertEqual([], tree.faults())

    def test_root_holds_only_what_it_may(self):
        # Untracked files count as well, build outputs (ignored) do not.
        listing = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "--cached",
             "--others", "--exclude-standard"], capture_output=True, text=True, check=False)
        if listing.returncode == 0 and listing.stdout:
            names = listing.stdout.split("\n")[:-1]
        else:  # not a git checkout: a release archive has no build outputs but build/
            names = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*")]
            names += [path.name for path in ROOT.iterdir() if path.is_file()]
            names = [name for name in names if not name.startswith(("build/", "demo-out/"))]
        self.assertEqual([], top_level_faults(names))


if __name__ == "__main__":
    unittest.main()
