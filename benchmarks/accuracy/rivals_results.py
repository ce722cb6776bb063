"""Runs the rivals (rivals.py, a Python with PyTorch) and reads their results like the method's own."""

from __future__ import annotations

import json
import pathlib
import subprocess

import drive
import metric
import variants

FOLDER = pathlib.Path(__file__).resolve().parent
TITLES = {
    "maskclip": "rival: CLIP value projections (MaskCLIP)",
    "proxyclip": "rival: CLIP values by DINO affinity (ProxyCLIP)",
}


def run(python: str, runs: drive.Runs, tuning: drive.Runs) -> tuple[list[dict], dict[str, list[metric.Counts]]]:
    """The rivals as variants, and their counts. They have no seed: one each."""
    plans = [str(r.write_plan([variants.FULL], 1)) for r in (runs, tuning)]
    command = [python, str(FOLDER / "rivals.py"), *plans]
    if runs.dataset.background:
        command.append("--background")
    if subprocess.run(command, check=False).returncode != 0:
        raise drive.ProgramError(f"{' '.join(command)} failed; its message stands above")
    found = [variants.variant(name, title) for name, title in TITLES.items()]
    counts = runs.read(found, 1)
    for item in found:
        item["options"] = counts[item["name"]][0].header["options"]
    return found, counts
