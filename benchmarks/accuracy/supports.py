"""Support pictures from files, for the scenes: what do the painter and its masks cost?

    painted-judged-masks  the method's own painted pictures, masks by a network trained on the train split's true
                          masks (support_masks.py): against the full method, what its masks cost
    real-true-masks       pictures of the train split with their true masks: against the former, what the painter costs
"""

from __future__ import annotations

import itertools
import pathlib
import shutil
import subprocess

import numpy as np
from PIL import Image

import drive
import variants

FOLDER = pathlib.Path(__file__).resolve().parent
REAL, JUDGED = "real-true-masks", "painted-judged-masks"


def titles(torch_python: str | None) -> dict[str, str]:
    judged = {JUDGED: "painted pictures, masks by a trained judge"} if torch_python else {}
    return {**judged, REAL: "pictures and true masks of the train split"}


def make(out: pathlib.Path, runs: drive.Runs, profile: dict, num_seeds: int, torch_python: str | None) -> dict[str, list]:
    """By title, then by seed and class: [picture, mask] files."""
    of_profile = runs.info()["profiles"][profile["profile"]]["num_pictures"]
    num_pictures = profile["options"].get("generation", {}).get("num_pictures", of_profile)
    made = {REAL: real(out / "real", runs.dataset, num_pictures, num_seeds)}
    if torch_python:
        made[JUDGED] = judged(runs.folder / "supports", runs, profile, num_seeds, torch_python)
    return made


def real(out: pathlib.Path, dataset, num_pictures: int, num_seeds: int) -> list:
    """Scenes of one object from the train split."""
    from scenes import SceneGenerator

    def files(seed: int, product: str) -> list:
        generator = SceneGenerator("train", 64, seed=1000 + seed, objects=(1, 1), names=(product,))
        # Now and then an object finds no place.
        made = (scene for scene in map(generator.scene, itertools.count()) if scene.objects)
        chosen = itertools.islice(made, num_pictures)
        return [_save(scene, out / f"seed{seed}" / product, i) for i, scene in enumerate(chosen)]

    return [[files(seed, c.prompt) for c in dataset.classes] for seed in range(num_seeds)]


def _save(scene, folder: pathlib.Path, number: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    picture, mask = folder / f"{number:03d}.png", folder / f"{number:03d}.mask.png"
    Image.fromarray(scene.image).save(picture)
    Image.fromarray(np.where(scene.instances == 1, 255, 0).astype(np.uint8)).save(mask)
    return [str(picture), str(mask)]


def judged(folder: pathlib.Path, runs: drive.Runs, profile: dict, num_seeds: int, torch_python: str) -> list:
    """The painted pictures, written by the C++ program, with masks of support_masks.py."""
    shutil.rmtree(folder, ignore_errors=True)  # another profile's pictures
    plan = runs.write_plan([variants.variant("full", "", **profile)], num_seeds)
    runs.call(str(plan), "--export-supports", str(folder))
    command = [torch_python, str(FOLDER / "support_masks.py"), str(folder)]
    if subprocess.run(command, check=False).returncode != 0:
        raise drive.ProgramError(f"{' '.join(command)} failed; its message stands above")
    return [
        [
            [[str(mask.with_name(mask.name.replace(".mask.png", ".png"))), str(mask)]
             for mask in sorted((folder / f"seed{seed}" / c.prompt).glob("*.mask.png"))]
            for c in runs.dataset.classes
        ]
        for seed in range(num_seeds)
    ]  # fmt: skip
