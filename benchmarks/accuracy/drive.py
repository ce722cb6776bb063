"""Drives the C++ program: writes plans, runs them, reads what came out, tunes thresholds."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess

import numpy as np
from PIL import Image

import metric
import variants as method_variants


@dataclasses.dataclass
class Setup:
    """What stays the same over all plans of a run."""

    program: pathlib.Path
    bundle: pathlib.Path
    device: str
    threads: int
    out: pathlib.Path  # build/accuracy
    synonyms: bool
    save_labels: bool


class ProgramError(Exception):
    """A program of the harness failed; it has said why."""


def spread(items: list, limit: int | None) -> list:
    """At most `limit` of them, evenly spread."""
    if not limit or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def write_labels(dataset, folder: pathlib.Path) -> list[dict]:
    """The pictures as a plan has them, their labels written as 8-bit grey PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for picture in dataset.pictures:
        path = folder / f"{picture.id.replace('/', '_')}.png"
        Image.fromarray(picture.labels()).save(path, compress_level=1)
        pictures.append({"id": picture.id, "image": str(picture.image), "labels": str(path)})
    return pictures


def plan_classes(dataset, synonyms: bool) -> list[dict]:
    return [
        {"prompt": prompt, "kind": item.kind, "label": label}
        for label, item in enumerate(dataset.classes, start=1)
        for prompt in (item.prompt, *(item.synonyms if synonyms else ()))
    ]


class Runs:
    """Plans over one data set."""

    def __init__(self, setup: Setup, dataset):
        self.setup, self.dataset = setup, dataset
        self.folder = setup.out / "runs" / f"{dataset.name}-{dataset.split}"
        self.pictures = write_labels(dataset, self.folder / "labels")
        self.num_labels = len(dataset.classes) + 1

    def write_plan(self, variants: list[dict], num_seeds: int) -> pathlib.Path:
        plan = {
            "format": 1,
            "bundle": str(self.setup.bundle),
            "device": self.setup.device,
            "num_threads": self.setup.threads,
            "cache": str(self.setup.out / "cache"),
            "out": str(self.folder),
            "save_labels": str(self.folder / "predicted") if self.setup.save_labels else "",
            "num_seeds": num_seeds,
            "classes": plan_classes(self.dataset, self.setup.synonyms),
            "pictures": self.pictures,
            "variants": [{key: v[key] for key in ("name", "options", "support", "profile", "true_classes") if key in v} for v in variants],
            "supports": self.dataset.supports,
        }
        path = self.folder / "plan.json"
        path.write_text(json.dumps(plan, indent=1))
        return path

    def call(self, *arguments: str, capture: bool = False) -> str:
        command = [str(self.setup.program), *arguments]
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE if capture else None, text=True, env=environment, check=False
        )
        if done.returncode != 0:
            raise ProgramError(f"{' '.join(command)} ended with {done.returncode}; its message stands above")
        return done.stdout or ""

    def info(self) -> dict:
        plan = self.write_plan([method_variants.FULL], 1)
        return json.loads(self.call(str(plan), "--info", capture=True))

    def run(self, variants: list[dict], num_seeds: int) -> dict[str, list[metric.Counts]]:
        self.call(str(self.write_plan(variants, num_seeds)))
        return self.read(variants, num_seeds)

    def read(self, variants: list[dict], num_seeds: int) -> dict[str, list[metric.Counts]]:
        ids = [picture["id"] for picture in self.pictures]
        return {
            v["name"]: [
                metric.read_results(self.folder / f"{v['name']}.seed{seed}.jsonl", ids, self.num_labels)
                for seed in range(num_seeds)
            ]
            for v in variants
        }


def with_threshold(variant: dict, threshold: float) -> dict:
    options = method_variants.merge(variant["options"], {"segment": {"background_threshold": threshold}})
    return {**variant, "options": options, "threshold": threshold}


def tune(runs: Runs, variant: dict) -> dict:
    """`variant` with the threshold that is best on the data set of `runs`, which is never the one reported on."""

    def best(thresholds) -> float:
        tried = {t: {**with_threshold(variant, t), "name": f"{variant['name']}-at-{t:.2f}"} for t in thresholds}
        counts = runs.run(list(tried.values()), 1)
        miou = {t: metric.of_counts(counts[v["name"]][0], True)["miou"] for t, v in tried.items()}
        return max(miou, key=lambda t: (miou[t], -t))

    coarse = best(variant["tune"])
    fine = best([t for t in np.round(coarse + np.arange(-4, 5) / 100, 2).tolist() if 0 <= t <= 1])
    print(f"{variant['name']}: threshold {fine:.2f}, chosen on {len(runs.pictures)} pictures of split {runs.dataset.split}")
    return with_threshold(variant, fine)
