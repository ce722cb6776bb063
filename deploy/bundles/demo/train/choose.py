"""Stage `choose`: whether the bundle refines attribution by self-attention, by mIoU on val scenes.

A painter whose attribution is blotchy gains a dozen points by it, one whose attribution is clear loses one, and which of
them a run of `diffusion` gives is seen only when it has ended. The figures come from the harness, which must have been
built (`make accuracy`).
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from .run import Run

_HARNESS = pathlib.Path(__file__).resolve().parents[4] / "benchmarks/accuracy/run.py"
_OPTION = "self_attention_rounds"


def main(run: Run, bundle: pathlib.Path) -> None:
    out = run.work / "choose"
    command = [sys.executable, _HARNESS, "--dataset=scenes", "--split=val", "--variants=refinement", "--limit=200", "--seeds=1"]
    command += [f"--bundle={bundle.resolve()}", f"--out={out}"]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit("choose: the harness did not measure (above); `make accuracy LIMIT=1 SEEDS=1` builds and tries it")
    found = json.loads((out / "scenes-val-default.refinement.limit-200.json").read_text())["variants"]
    miou = {v["options"]["generation"][_OPTION]: v["miou"] for name, v in found.items() if name != "full"}
    best = max(miou, key=lambda rounds: (miou[rounds], -rounds))
    path = bundle / "bundle.json"
    document = json.loads(path.read_text())
    generation = document.setdefault("options", {}).setdefault("generation", {})
    if generation.get(_OPTION, 0) != best:
        generation[_OPTION] = best
        path.write_text(json.dumps(document, indent=2) + "\n")
    (run.work / "choose.json").write_text(json.dumps({_OPTION: best, "val_miou": miou}) + "\n")
    print(f"choose: {_OPTION} {best}; mIoU of 200 val scenes {miou}")
