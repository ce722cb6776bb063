#!/usr/bin/env python3
"""Measures the accuracy of the method on a data set. `make accuracy` and `make ablations` call this.

See benchmarks/accuracy/README.md for the data sets, the protocol and the variants.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shlex
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent.parent
sys.path.insert(0, str(FOLDER))

import drive  # noqa: E402
import official_datasets  # noqa: E402
import report  # noqa: E402
import rivals_results  # noqa: E402
import scene_datasets  # noqa: E402
import supports  # noqa: E402
import variants  # noqa: E402
from dataset import Dataset, LayoutError  # noqa: E402


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    names = list(scene_datasets.NAMES) + official_datasets.names()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", required=True, choices=names)
    add("--root", type=pathlib.Path, help="the data set's folder; scenes are made where none is given")
    add("--split", help="default: test for scenes, the official validation split for others")
    add("--profile", default="default")
    add("--variants", default="full", help=f"comma-separated groups: {', '.join(variants.GROUPS)} (default full)")
    add("--seeds", type=int, default=3, help="how many (default 3)")
    add("--size", type=int, default=64, help="scenes only: side in pixels (default 64)")
    add("--colours", help="scenes-colours only: two names, comma-separated (default: the first two)")
    add("--limit", type=int, help="at most so many pictures, evenly spread")
    add("--tuning-limit", type=int, default=100, help="pictures that thresholds are chosen on (default 100)")
    add("--synonyms", action="store_true", help="also ask for each class's synonyms, as classes of the same label")
    add("--bundle", type=pathlib.Path, default=REPOSITORY / "deploy/bundles/demo")
    add("--device", default="cpu")
    add("--threads", type=int, default=0, help="default: all cores")
    add("--out", type=pathlib.Path, default=REPOSITORY / "build/accuracy")
    add("--program", type=pathlib.Path, default=REPOSITORY / "build/release/bin/ovdiff-accuracy")
    add("--scenes", type=pathlib.Path, default=REPOSITORY / "build/scenes", help="where scenes are made")
    add("--save-labels", action="store_true", help="keep the predicted label maps")
    add("--torch-python", help="a Python with requirements-rivals.txt: measures the rivals too")
    return parser.parse_args(arguments)


def load(options: argparse.Namespace, split: str | None, short_side: int) -> Dataset:
    if options.dataset not in scene_datasets.NAMES:
        if options.root is None:
            raise LayoutError(f"{options.dataset} needs ROOT=, the folder that holds it")
        return official_datasets.load(options.dataset, options.root, split)
    split = split or "test"
    root = options.root
    if root is None:
        count = scene_datasets.COUNTS[split]
        root = scene_datasets.generate(options.scenes, split, count, options.size)
    colours = options.colours.split(",") if options.colours else None
    return scene_datasets.scenes(options.dataset, root, split, colours, short_side)


def tuning_set(options: argparse.Namespace, reported: Dataset, short_side: int) -> Dataset:
    """Pictures to choose thresholds on: a split that is not reported."""
    if options.dataset in scene_datasets.NAMES:
        held_out = argparse.Namespace(**{**vars(options), "root": None})
        split = "val" if reported.split != "val" else "train"
        dataset = load(held_out, split, short_side)
    else:
        dataset = load(options, "train" if reported.split != "train" else "val", short_side)
    dataset.pictures = drive.spread(dataset.pictures, options.tuning_limit)
    return dataset


def measure(options: argparse.Namespace) -> pathlib.Path:
    bundle = json.loads((options.bundle / "bundle.json").read_text())
    short_side = bundle["windows"]["short_side"]
    dataset = load(options, options.split, short_side)
    dataset.pictures = drive.spread(dataset.pictures, options.limit)
    setup = drive.Setup(
        options.program, options.bundle, options.device, options.threads, options.out, options.synonyms,
        options.save_labels,
    )
    runs = drive.Runs(setup, dataset)
    info = runs.info()
    profile = variants.profile(options.profile)
    if options.dataset == "scenes":
        dataset.support_titles = supports.titles(options.torch_python)
    if profile["profile"] not in info["profiles"]:
        allowed = ", ".join([*info["profiles"], variants.SMOKE])
        raise ValueError(f'PROFILE is "{options.profile}"; this bundle has {allowed}')
    wanted = variants.make(options.variants, profile, info, dataset)
    if any("support" in v for v in wanted):
        dataset.supports = supports.make(options.scenes / "supports", runs, profile, options.seeds, options.torch_python)
    tuning = None
    if options.torch_python or any("tune" in v for v in wanted):
        tuning = drive.Runs(setup, tuning_set(options, dataset, short_side))
    wanted = [drive.tune(tuning, v) if "tune" in v else v for v in wanted]
    counts = runs.run(wanted, options.seeds)
    if options.torch_python:
        rivals, rival_counts = rivals_results.run(options.torch_python, runs, tuning)
        wanted, counts = wanted + rivals, {**counts, **rival_counts}
    return write(options, dataset, wanted, counts, info)


def write(options: argparse.Namespace, dataset, wanted: list[dict], counts: dict, info: dict) -> pathlib.Path:
    import plots  # Late, for it takes a second: errors come before it.

    facts = {
        "profile": options.profile,
        "profile_options": variants.profile(options.profile)["options"],
        "synonyms": options.synonyms,
        "command": shlex.join(["benchmarks/accuracy/run.py", *sys.argv[1:]]),
    }
    info = {**info, "folder": str(options.bundle)}
    document = report.make(dataset, wanted, counts, info, facts)
    suffix = "" if options.variants == "full" and not options.torch_python else "." + options.variants.replace(",", "+")
    suffix += f".limit-{options.limit}" if options.limit else ""
    suffix += f".{options.colours.replace(',', '-')}" if options.colours else ""
    stem = options.out / f"{dataset.name}-{dataset.split}-{options.profile}{suffix}"
    path = stem.with_name(stem.name + ".json")
    path.write_text(json.dumps(document, indent=1) + "\n")
    markdown = stem.with_name(stem.name + ".md")
    markdown.write_text(report.markdown(document))
    confusion = sum(c.confusion for c in counts[wanted[0]["name"]])
    drawn = plots.draw(document, confusion, stem)
    print(markdown.read_text())
    print("Written:", *[path, markdown, *drawn], sep="\n  ")
    return path


def main() -> int:
    try:
        measure(parse())
    except (LayoutError, drive.ProgramError, ValueError, FileNotFoundError) as error:
        print(f"accuracy: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
