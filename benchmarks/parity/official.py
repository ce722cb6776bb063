#!/usr/bin/env python3
"""Ours and the official OVDiff program, stage by stage, on the same weights, noise and pictures.

    benchmarks/parity/official.py --checkout SDOV --python VENV/bin/python

SDOV is a checkout of the official repository (karazijal/sdov), VENV a Python with requirements-official.txt. Its code
stays outside: it is run from there (run_official.py), and only figures are kept, in report.json beside this file. Needs
tests/parity/requirements.txt and `make build`. shared_bundles.py says what the two bundles are.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "benchmarks/accuracy"))

import drive  # noqa: E402
import scene_datasets  # noqa: E402
import shared_bundles  # noqa: E402
from agreement import miou, relative_error  # noqa: E402

SPACES = ("sd", "dino", "clip")
# In byte order, in which our prefilter puts names into its texts; the program takes them as the data set has them.
THINGS = ("ankle boot", "bag", "dress", "pullover", "sandal", "sneaker", "t-shirt", "trousers")
# Of the narrow bundle, whose weights are random: any names do; one of two words, one that is stuff.
NARROW = (("sneaker", "thing"), ("potted plant", "thing"), ("sand", "stuff"))
NARROW_SIZES = ((500, 375), (448, 448))
# Blocks of the demo's UNet among those that the program lists.
SD_ARGUMENTS = {"narrow": [], "demo": ["--feat_size", "16,16", "--layers", "0,6:9,10:12"]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--checkout", type=pathlib.Path, required=True, help="of the official repository")
    add("--python", type=pathlib.Path, required=True, help="with requirements-official.txt")
    add("--program", type=pathlib.Path, default=ROOT / "build/release/bin/ovdiff-parity-stages")
    add("--out", type=pathlib.Path, default=ROOT / "build/parity/official")
    add("--bundles", default="narrow,demo")
    add("--scenes", type=int, default=40, help="of the val split, for the demo bundle")
    add("--pictures", type=int, default=8, help="support pictures a class, for the demo bundle")
    add("--steps", type=int, default=30, help="for the demo bundle")
    add("--threads", type=int, default=2)
    add("--keep", action="store_true", help="take what the official program left in --out, if it ran with this job")
    options = parser.parse_args()
    unknown = set(options.bundles.split(",")) - SD_ARGUMENTS.keys()
    if unknown:
        parser.error(f"--bundles {','.join(sorted(unknown))}: allowed are {', '.join(SD_ARGUMENTS)}")
    if not (options.checkout / "sample_support_set.py").is_file():
        parser.error(f"--checkout {options.checkout}: no sample_support_set.py there; is it the official repository?")
    return options


def scenes(count: int) -> list[dict]:
    split = scene_datasets.generate(ROOT / "build/scenes", "val", scene_datasets.COUNTS["val"], 64)
    dataset = scene_datasets.scenes("scenes", split, "val", short_side=64)
    order = [0] + [1 + THINGS.index(c.prompt) for c in dataset.classes]
    table = np.array(order + [255] * (256 - len(order)), np.uint8)
    folder = ROOT / "build/parity/scenes"
    photos = []
    for picture in drive.spread(dataset.pictures, count):
        labels = folder / f"{picture.id}.png"
        labels.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(table[picture.labels()]).save(labels)
        photos.append({"id": picture.id, "image": str(picture.image), "labels": str(labels)})
    return photos


def enlarged(photos: list[dict], folder: pathlib.Path) -> list[dict]:
    """Of several shapes, so that there are windows of every kind."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for photo, size in zip(photos, NARROW_SIZES):
        image, labels = folder / f"{photo['id']}.png", folder / f"{photo['id']}.labels.png"
        Image.open(photo["image"]).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(image)
        Image.open(photo["labels"]).resize(size, Image.Resampling.NEAREST).save(labels)
        made.append({"id": photo["id"], "image": str(image), "labels": str(labels)})
    return made


def job_of(bundle: str, options: argparse.Namespace) -> dict:
    folder = options.out / bundle
    common = {"bundle": str(folder / "bundle"), "threads": options.threads, "sd_arguments": SD_ARGUMENTS[bundle]}
    if bundle == "demo":
        return {
            **common, "pictures": options.pictures, "steps": options.steps, "parts": 32, "score_threshold": 0.35,
            "classes": [{"name": name, "kind": "thing"} for name in THINGS], "photos": scenes(options.scenes),
        }  # fmt: skip
    photos = enlarged(scenes(len(NARROW_SIZES)), folder / "photos")
    return {
        **common, "pictures": 2, "steps": 3, "parts": 4, "score_threshold": 0.6,
        "classes": [{"name": name, "kind": kind} for name, kind in NARROW], "photos": photos,
    }  # fmt: skip


def run_official(job: dict, folder: pathlib.Path, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    path, result = folder / "job.json", folder / "official.safetensors"
    text = json.dumps(job, indent=1)
    if not (options.keep and result.is_file() and path.is_file() and path.read_text() == text):
        shutil.rmtree(folder / "supports", ignore_errors=True)
        path.write_text(text)
        command = [options.python, HERE / "run_official.py", options.checkout, path, folder]
        subprocess.run([str(c) for c in command], check=True)
    return load_file(result)


def run_ours(job: dict, folder: pathlib.Path, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    base = {
        "generation": {"num_pictures": job["pictures"], "num_steps": job["steps"]},
        "prototype": {"num_parts": job["parts"], "cutler": {"score_threshold": job["score_threshold"]}},
    }

    def variant(name: str, **changed) -> dict:
        merged = {part: {**base.get(part, {}), **changed.get(part, {})} for part in ("generation", "prototype", "segment")}
        return {"name": name, "profile": "paper-code", "options": merged}

    official = [
        [[str(folder / f"supports/{c['name']}/{n:05d}.png")] * 2 for n in range(job["pictures"])] for c in job["classes"]
    ]
    plan = {
        "format": 1, "bundle": job["bundle"], "num_threads": job["threads"], "num_seeds": 1,
        "cache": str(folder / "unused"), "out": str(folder / "unused"),
        "classes": [{"prompt": c["name"], "kind": c["kind"], "label": i} for i, c in enumerate(job["classes"], 1)],
        "pictures": job["photos"],
        "variants": [
            variant("means", segment={"use_part_level": False}), variant("parts"),
            variant("thresholds", prototype={"mask_source": "attention"}),
        ],
        "supports": {"official": [official]},
    }  # fmt: skip
    path = folder / "plan.json"
    path.write_text(json.dumps(plan, indent=1))
    result = folder / "ours.safetensors"
    command = [options.program, path, "--out", result, "--masks-only", "thresholds"]
    subprocess.run([str(c) for c in command], check=True)
    return load_file(result)


def at_side(masks: torch.Tensor, side: int) -> torch.Tensor:
    """[N, S, S] that was enlarged by repeating pixels, back to `side`."""
    step = masks.shape[-1] // side
    return masks[:, ::step, ::step]


def support_stages(job: dict, ours: dict, theirs: dict) -> dict[str, float]:
    names = [c["name"] for c in job["classes"]]
    rows: dict[str, list[float]] = {}

    def add(stage: str, value: float) -> None:
        rows.setdefault(stage, []).append(value)

    for name in names:
        a, b = ours[f"{name}/pictures"].int(), theirs[f"{name}/pictures"].int()
        add("painted pictures, values within 1 of 255, %", 100 * float(((a - b).abs() <= 1).float().mean()))
        add("attribution maps, largest relative error", relative_error(*(t[f"{name}/attribution"].numpy() for t in (ours, theirs))))
        for variant, kind in (("thresholds", "thresholds"), ("means", "cutler")):
            for side in ("foreground", "background"):
                mine = ours[f"{variant}/{name}/{side}"]
                equal = mine == at_side(theirs[f"{name}/{kind}/{side}"], mine.shape[-1])
                add(f"masks by {kind}, {side}, pixels equal, %", 100 * float(equal.float().mean()))
        for space in SPACES:
            mine, other = ours[f"{name}/features/{space}"], theirs[f"{name}/features/{space}"]
            add(f"features of {space}, largest relative error", relative_error(mine.numpy(), other.numpy()))
            for side in ("foreground", "background"):
                for stage, value in prototype_stages(ours, theirs, name, space, side).items():
                    add(stage, value)
    worst = {stage: min if stage.endswith("%") or "cosine" in stage else max for stage in rows}
    return {stage: worst[stage](values) for stage, values in rows.items()}


def prototype_stages(ours: dict, theirs: dict, name: str, space: str, side: str) -> dict[str, float]:
    mine, levels = ours[f"parts/{name}/{space}/{side}"], ours[f"parts/{name}/{space}/{side}/levels"]
    # A picture without a background cell leaves a row that is not a number, which the program drops when it predicts.
    other = {level: theirs[f"{name}/{space}/{side}/{level}"] for level in ("class", "instance", "part")}
    other = {level: rows[rows.isfinite().any(-1)] for level, rows in other.items()}
    means, their_means = mine[levels < 2], torch.cat([other["class"], other["instance"]])
    if means.shape != their_means.shape:
        return {"prototypes, sets with another number of means": 1.0}
    found = {"prototypes, sets with another number of means": 0.0}
    found["prototypes, class and instance, least cosine"] = float(F.cosine_similarity(means, their_means).min())
    nearest = F.normalize(other["part"], dim=1) @ F.normalize(mine[levels == 2], dim=1).T
    found["prototypes, parts, mean cosine to the nearest of ours"] = float(nearest.amax(1).mean())
    return found


def photo_stages(variant: str, job: dict, ours: dict, theirs: dict) -> dict[str, float]:
    alike, agree, errors, truths, labels = [], [], [], [], ([], [])
    for photo in job["photos"]:
        key = f"{variant}/{photo['id']}"
        kept = ours[f"{key}/kept"].tolist()
        # Stuff is kept without being asked for.
        stuff = {i for i, c in enumerate(job["classes"], 1) if c["kind"] == "stuff"}
        alike.append(set(kept) - stuff == set(theirs[f"{key}/kept"].tolist()) - stuff)
        mine, other = ours[f"{key}/labels"].numpy(), theirs[f"{key}/labels"].numpy()
        agree.append((mine == other).mean())
        if alike[-1]:
            rows = [0] * int(ours[f"{key}/has_background"]) + kept
            errors.append(float((ours[f"{key}/scores"] - theirs[f"{key}/scores"][rows]).abs().max()))
        truths.append(np.asarray(Image.open(photo["labels"])))
        labels[0].append(mine)
        labels[1].append(other)
    num_labels = 1 + max(len(job["classes"]), *(int(t[t < 255].max(initial=0)) for t in truths))
    return {
        "prefilter_agreement": 100 * float(np.mean(alike)),
        "scores_largest_difference": max(errors, default=float("nan")),
        "label_agreement": 100 * float(np.mean(agree)),
        "miou_ours": miou(truths, labels[0], num_labels),
        "miou_official": miou(truths, labels[1], num_labels),
    }


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    path = HERE / "report.json"
    report = json.loads(path.read_text()) if path.is_file() else {}  # bundles that are not asked for keep their figures
    report.update(program="karazijal/sdov", profile="paper-code")
    for bundle in options.bundles.split(","):
        folder = (options.out / bundle).resolve()
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        getattr(shared_bundles, bundle)(folder / "bundle")
        job = job_of(bundle, options)
        start = time.monotonic()
        theirs = run_official(job, folder, options)
        seconds = [round(time.monotonic() - start)]
        start = time.monotonic()
        ours = run_ours(job, folder, options)
        seconds.append(round(time.monotonic() - start))
        report[bundle] = {
            **{key: job[key] for key in ("pictures", "steps", "parts")},
            "classes": len(job["classes"]), "photos": len(job["photos"]),
            "seconds_official": seconds[0], "seconds_ours": seconds[1],
            "stages": support_stages(job, ours, theirs),
            "without_parts": photo_stages("means", job, ours, theirs),
            "with_parts": photo_stages("parts", job, ours, theirs),
        }  # fmt: skip
        print(json.dumps(report[bundle], indent=1), flush=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
