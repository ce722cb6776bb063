#!/usr/bin/env python3
"""Ours and a second implementation (reference.py), stage by stage, on the same bundle, noise and pictures.

    benchmarks/parity/compare.py --pictures 8 --steps 10 --scenes 40

Runs `ovdiff-accuracy` with the profile `paper-code` (masks by attention, for the demo bundle has no CutLER), then the
reference, and compares painted pictures, attribution maps, which classes the prefilter keeps, label maps and mIoU.
Writes second_implementation.json beside this file. Needs tests/parity/requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import sys
import time

import numpy as np
import torch
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import drive  # noqa: E402
import scene_datasets  # noqa: E402
import variants  # noqa: E402
from agreement import miou, relative_error  # noqa: E402
from reference import Reference  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--bundle", type=pathlib.Path, default=ROOT / "deploy/bundles/demo")
    add("--program", type=pathlib.Path, default=ROOT / "build/release/bin/ovdiff-accuracy")
    add("--out", type=pathlib.Path, default=ROOT / "build/parity")
    add("--scenes", type=int, default=40, help="of the val split")
    add("--pictures", type=int, default=8, help="support pictures a class")
    add("--steps", type=int, default=10)
    add("--threads", type=int, default=0)
    return parser.parse_args()


def our_variants(options: argparse.Namespace) -> list[dict]:
    """With and without parts: two K-means with seeds of their own end in other optima, so parts agree less."""
    base = {
        "generation": {"num_pictures": options.pictures, "num_steps": options.steps},
        "prototype": {"mask_source": "attention"},
    }
    without = variants.merge(base, {"segment": {"use_part_level": False}})
    return [
        variants.variant("without-parts", "means only", without, profile="paper-code"),
        variants.variant("with-parts", "all prototypes", base, profile="paper-code"),
    ]


def run_ours(options: argparse.Namespace, dataset) -> tuple[drive.Runs, pathlib.Path, list[dict]]:
    setup = drive.Setup(options.program, options.bundle, "cpu", options.threads, options.out, False, True)
    runs = drive.Runs(setup, dataset)
    wanted = our_variants(options)
    runs.run(wanted, 1)
    supports = options.out / "supports"
    shutil.rmtree(supports, ignore_errors=True)
    runs.call(str(runs.write_plan(wanted, 1)), "--export-supports", str(supports))
    return runs, supports / "seed0", wanted


def compare_supports(folder: pathlib.Path, name: str, pictures: np.ndarray, maps: torch.Tensor) -> dict:
    ours = [np.asarray(Image.open(folder / name / f"{n:03d}.png").convert("RGB"), int) for n in range(len(pictures))]
    attribution = [np.asarray(Image.open(folder / name / f"{n:03d}.attribution.tiff")) for n in range(len(pictures))]
    difference = np.abs(np.stack(ours) - pictures.astype(int))
    return {
        "attribution": relative_error(np.stack(attribution), maps.numpy()),
        "picture_largest": int(difference.max()),
        "picture_equal": 100 * float((difference == 0).mean()),
        "picture_within_one": 100 * float((difference <= 1).mean()),
    }


def our_labels(runs: drive.Runs, variant: dict) -> tuple[list[np.ndarray], list[list[int]]]:
    lines = (runs.folder / f"{variant['name']}.seed0.jsonl").read_text().splitlines()[1:]
    kept = {line["id"]: line["kept"] for line in map(json.loads, lines)}
    folder = runs.folder / "predicted" / f"{variant['name']}.seed0"
    labels = [np.asarray(Image.open(folder / f"{p['id']}.png")) for p in runs.pictures]
    return labels, [kept[p["id"]] for p in runs.pictures]


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads or 2)
    split = scene_datasets.generate(ROOT / "build/scenes", "val", scene_datasets.COUNTS["val"], 64)
    dataset = scene_datasets.scenes("scenes", split, "val", short_side=64)
    dataset.pictures = drive.spread(dataset.pictures, options.scenes)
    runs, supports, wanted = run_ours(options, dataset)
    reference = Reference(options.bundle)
    names = [c.prompt for c in dataset.classes]
    start, stages, painted = time.monotonic(), {}, {}
    for name in names:
        painted[name] = reference.diffusion.paint(name, options.pictures, options.steps)
        stages[name] = compare_supports(supports, name, *painted[name])
        print(f"{name}: {stages[name]}", flush=True)
    photos = [np.asarray(Image.open(p["image"]).convert("RGB")) for p in runs.pictures]
    truths = [np.asarray(Image.open(p["labels"])) for p in runs.pictures]
    report = {
        "bundle": options.bundle.name,
        "profile": "paper-code, masks by attention",
        "pictures": options.pictures,
        "steps": options.steps,
        "scenes": len(photos),
        "split": "val",
        "stages": {
            "attribution maps, largest relative error": max(s["attribution"] for s in stages.values()),
            "painted pictures, values equal, %": float(np.mean([s["picture_equal"] for s in stages.values()])),
            "painted pictures, values within 1 of 255, %": float(
                np.mean([s["picture_within_one"] for s in stages.values()])
            ),
        },
    }
    for variant in wanted:
        parts = variant["name"] == "with-parts"
        prototypes = {n: reference.prototypes(*painted[n], parts) for n in names}
        ours, our_kept = our_labels(runs, variant)
        theirs, agree = [], []
        for photo, kept in zip(photos, our_kept):
            label, their_kept = reference.labels(photo, prototypes, names)
            theirs.append(label)
            agree.append({names[k - 1] for k in kept} == set(their_kept))
        report[variant["name"]] = {
            "label_agreement": 100 * float(np.mean([(a == b).mean() for a, b in zip(ours, theirs)])),
            "prefilter_agreement": 100 * float(np.mean(agree)),
            "miou_ours": miou(truths, ours, len(names) + 1),
            "miou_reference": miou(truths, theirs, len(names) + 1),
        }
        print(variant["name"], report[variant["name"]], flush=True)
    report["reference_seconds"] = round(time.monotonic() - start)
    (HERE / "second_implementation.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"Written: {HERE / 'report.json'}")


if __name__ == "__main__":
    main()
