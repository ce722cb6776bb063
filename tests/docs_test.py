#!/usr/bin/env python3
"""What the documents point at is there: files, `make` targets, presets.

Reads every tracked *.md. A path in backticks counts when it begins with a folder
of this checkout and holds no placeholder (<…>, {…}, *, …).
"""

import json
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("proto", "server", "client", "store", "engine", "deploy", "docker", "tests",
           "benchmarks", "cmake", ".ci")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
MAKE = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
# Lines of a fenced block, or code in backticks: where a command may stand.
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def documents():
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "--cached",
         "--others", "--exclude-standard", "*.md"], capture_output=True, text=True, check=False)
    names = listing.stdout.split() or [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.md")
        if path.relative_to(ROOT).parts[0] not in (".deps", "build")]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def faults_of(text, folder, targets):
    """What a document in `folder` points at and is not there."""
    result = []
    for link in LINK.findall(text):
        if "://" not in link and not link.startswith("mailto:") and not (folder / link).exists():
            result.append(f"link to {link}")
    code = CODE.findall(FENCE.sub("", text))
    for words in code:
        path = words.split()[0].rstrip("/.,:") if words.split() else ""
        first = path.split("/")[0]
        if first in FOLDERS and "/" in path and not re.search(r"[<>{}*…$\[\]]", path):
            # `a/b:12` and `a/b.{h,cc}` are not used; a stem may stand for .h and .cc.
            if not ((ROOT / path).exists() or (ROOT / (path + ".h")).exists()):
                result.append(f"path {path}")
    for command in code + FENCE.findall(text):
        for target in MAKE.findall(command):
            if target not in targets:
                result.append(f"make {target}")
    return result


class Documents(unittest.TestCase):
    def setUp(self):
        makefile = (ROOT / "Makefile").read_text()
        self.targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))

    def test_a_dead_pointer_is_found(self):
        for text in ("[x](no/such/file.md)", "`engine/no/such.cc`", "`make nothing`",
                     "```\nmake nothing\n```"):
            self.assertEqual(1, len(faults_of(text, ROOT, self.targets)), text)
        self.assertEqual([], faults_of("[x](LICENSE) `make test` `engine/engine.h` `a/b`", ROOT,
                                       self.targets))

    def test_all_pointers_live(self):
        self.assertGreater(len(documents()), 3)
        for path in documents():
            with self.subTest(path.relative_to(ROOT).as_posix()):
                self.assertEqual([], faults_of(path.read_text(), path.parent, self.targets))

    def test_help_lists_every_target(self):
        makefile = (ROOT / "Makefile").read_text()
        phony = set(re.findall(r"^\.PHONY: ([a-z0-9-]+)$", makefile, re.MULTILINE))
        described = set(re.findall(r"^([a-z][a-z0-9-]*):[^#\n]*## ", makefile, re.MULTILINE))
        self.assertEqual(phony, described)

    def test_presets_of_make_exist(self):
        presets = json.loads((ROOT / "CMakePresets.json").read_text())
        names = {preset["name"] for preset in presets["configurePresets"]}
        used = set(re.findall(r"configure_preset,([a-z]+)\)", (ROOT / "Makefile").read_text()))
        self.assertTrue(used)
        self.assertLessEqual(used, names)


if __name__ == "__main__":
    unittest.main()
