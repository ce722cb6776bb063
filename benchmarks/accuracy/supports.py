"""Support pictures from files, for the scenes: what do the painter and its masks cost?

    painted-judged-masks  the method's own painted pictures, masks by a network trained on the train split's true
                          masks (support_masks.py): against the full method, what the attribution masks cost
    real-true-masks       pictures of the train split with their true masks: against the former, what the painter costs
"""

from __future__ import annotations

import pathlib
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
    num_pictures = profile.get("generation", {}).get("num_pictures", runs.info()["num_pictures"])
    made = {REAL: real(out / "real", runs.dataset, num_pictures, num_seeds)}
    if torch_python:
        made[JUDGED] = judged(runs.folder / "supports", runs, profile, num_seeds, torch_python)
    return made


def real(out: pathlib.Path, dataset, num_pictures: int, num_seeds: int) -> list:
    """Scenes of one object from the train split."""
    from scenes import SceneGenerator

    result = []
    for seed in range(num_seeds):
        found: dict[str, list] = {c.prompt: [] for c in dataset.classes}
        generator = SceneGenerator("train", 64, seed=1000 + seed, objects=(1, 1))
        for index in range(1000 * num_pictures):
            if all(len(files) >= num_pictures for files in found.values()):
                break
            scene = generator.scene(index)
            files = found.get(scene.objects[0].product if scene.objects else "")
            if files is not None and len(files) < num_pictures:
                folder = out / f"seed{seed}" / scene.objects[0].product
                files.append(_save(scene, folder, len(files)))
        else:
            raise ValueError(f"no {num_pictures} train scenes of each of {', '.join(found)}")
        result.append([found[c.prompt] for c in dataset.classes])
    return result


def _save(scene, folder: pathlib.Path, number: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    picture, mask = folder / f"{number:03d}.png", folder / f"{number:03d}.mask.png"
    Image.fromarray(scene.image).save(picture)
    Image.fromarray(np.where(scene.instances == 1, 255, 0).astype(np.uint8)).save(mask)
    return [str(picture), str(mask)]


def judged(folder: pathlib.Path, runs: drive.Runs, profile: dict, num_seeds: int, torch_python: str) -> list:
    """The painted pictures, written by the C++ program, with masks of support_masks.py."""
    plan = runs.write_plan([variants.variant("full", "", profile)], num_seeds)
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
