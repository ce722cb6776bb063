"""What a run found, as JSON and as Markdown."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import subprocess

import numpy as np

import metric


def _mean_std(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _rounded(value):
    """Figures to two digits, everywhere in a structure but in options; NaN becomes null."""
    if isinstance(value, dict):
        return {key: item if key in ("options", "profile_options") else _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 2)
    return value


def of_variant(variant: dict, counts: list[metric.Counts], dataset, full: list[metric.Counts] | None) -> dict:
    """One variant's figures: means over seeds, spread over seeds, intervals over pictures."""
    each = [metric.of_counts(c, dataset.background) for c in counts]
    result = {"title": variant["title"], "options": variant["options"]}
    for key in each[0]:
        result[key], result[f"{key}_std"] = _mean_std([figures[key] for figures in each])
    result["ci95"] = metric.bootstrap(counts, dataset.background)
    if full is not None and full is not counts:
        of_full = [metric.of_counts(c, dataset.background) for c in full[: len(counts)]]
        result["difference_to_full"] = {
            "miou": result["miou"] - float(np.mean([figures["miou"] for figures in of_full])),
            "ci95": metric.bootstrap(counts, dataset.background, full[: len(counts)])["miou"],
        }
    result["prefilter_keeps_all_present"] = 100 * float(np.mean([c.present_kept for c in counts]))
    result["seconds_per_picture"] = float(np.median([c.seconds for c in counts]))
    result["classes_left_out"] = sorted({name for c in counts for name in c.header.get("left_out", [])})
    result["seeds"] = [{"seed": seed, **figures} for seed, figures in enumerate(each)]
    for key in ("profile", "threshold", "support", "true_classes"):
        if variant.get(key):
            result[key] = variant[key]
    return result


def per_class(counts: list[metric.Counts], dataset) -> list[dict]:
    ious = metric.per_class(counts)
    pixels = np.sum(counts[0].truth, axis=0)
    names = [("background", "background")] * dataset.background + [(c.name, c.kind) for c in dataset.classes]
    first = 0 if dataset.background else 1
    return [
        {"name": name, "kind": kind, "label": label, "iou": float(ious[label]), "pixels": int(pixels[label])}
        for label, (name, kind) in enumerate(names, start=first)
    ]


def _commit() -> str:
    folder = pathlib.Path(__file__).resolve().parent
    run = lambda *words: subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    commit = run("rev-parse", "HEAD").stdout.strip() or "unknown"
    return commit + (" with changes" if run("status", "--porcelain", "--untracked-files=no").stdout.strip() else "")


def _machine(info: dict) -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.processor())
    usable = len(os.sched_getaffinity(0))
    return f"{model}, {os.cpu_count()} cores ({usable} usable), {platform.system()}; device {info['device']}"


def make(dataset, variants: list[dict], counts: dict[str, list], info: dict, facts: dict) -> dict:
    """The whole document. `counts`: by variant name, one a seed."""
    full = counts[variants[0]["name"]]
    each = {v["name"]: of_variant(v, counts[v["name"]], dataset, full) for v in variants}
    head = each[variants[0]["name"]]
    figures = {key: head[key] for key in head if key.endswith(("miou", "_iou", "background", "accuracy"))}
    document = {
        "format": 1,
        "dataset": dataset.name,
        "title": dataset.title,
        "split": dataset.split,
        "pictures": len(dataset.pictures),
        **figures,
        "ci95": head["ci95"],
        "per_class": per_class(full, dataset),
        "variants": each,
        "seeds": head["seeds"],
        "bundle": info,
        "machine": _machine(info),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **facts,
        "dataset_facts": dataset.facts,
    }
    return _rounded(document)


def _number(value, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _interval(pair) -> str:
    return "-" if pair is None or None in pair else f"{pair[0]:.1f} to {pair[1]:.1f}"


def _variant_rows(document: dict, background: bool) -> list[list[str]]:
    rows = []
    for item in document["variants"].values():
        difference = item.get("difference_to_full")
        title = item["title"] + (f" (threshold {item['threshold']:.2f})" if "threshold" in item else "")
        rows.append(
            [title, _number(item["miou"]), _number(item["miou_std"]), _interval(item["ci95"]["miou"])]
            + [_number(item["miou_no_background"])]
            + ([_number(item["foreground_background_miou"])] if background else [])
            + ["" if difference is None else f"{difference['miou']:+.1f} ({_interval(difference['ci95'])})"]
        )
    return rows


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def markdown(document: dict) -> str:
    background = "foreground_iou" in document
    head = ["variant", "mIoU", "± seeds", "95 % interval", "without background"]
    head += ["foreground/background IoU"] if background else []
    head += ["against full"]
    classes = [[c["name"], c["kind"], _number(c["iou"])] for c in document["per_class"]]
    text = (
        f"# {document['title']}\n\n"
        f"{document['pictures']} pictures of split {document['split']}, profile {document['profile']}, "
        f"{len(document['seeds'])} seeds, bundle {document['bundle']['bundle']}. IoU in %, mmseg's protocol; "
        "± is the standard deviation over seeds, intervals are by bootstrap over pictures. "
        "A row of fewer seeds is compared with the full method's first ones.\n\n"
        + _table(head, _variant_rows(document, background))
        + "\n"
        + _table(["class", "kind", "IoU"], classes)
    )
    keeps = next(iter(document["variants"].values()))["prefilter_keeps_all_present"]
    text += f"\nThe prefilter keeps all classes that are there in {_number(keeps)} % of the pictures.\n"
    left_out = {name: v["classes_left_out"] for name, v in document["variants"].items() if v["classes_left_out"]}
    for name, classes in left_out.items():
        text += f"\nLeft out of {name} (no foreground in any support picture): {', '.join(classes)}.\n"
    return text + f"\nMade by `{document['command']}` at commit {document['commit'][:12]}, {document['machine']}.\n"
