#!/usr/bin/env python3
"""Ours beside PyTorch + diffusers: the same weights, cores and run.

    python benchmarks/rival/compare.py --python build/venv/bin/python

Alternates the C++ benchmarks and pytorch_pipeline.py for some rounds, so that a busy
minute of the machine hits both, and prints a Markdown table of medians. `--python`
is an interpreter with the packages of tests/parity/requirements.txt.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "deploy/bundles/demo"

# Rival's operation: the benchmark programs and names that do the same work, summed.
SAME_WORK = {
    "class_build": ("class build, N=32, 30 steps, 3 spaces, K=32",
                    [("engine_bench", "BM_PaintSupportSet/32"),
                     ("engine_bench", "BM_BuildPrototypeSet/32")]),
    "unet_step_16": ("UNet step, 8 pictures with guidance",
                     [("networks_bench", "BM_UnetStep/8")]),
    "vae_decode_8": ("VAE decode, 8 pictures", [("networks_bench", "BM_VaeDecode/8")]),
    "features_8": ("features of 8 windows, 3 spaces",
                   [("networks_bench", f"BM_Features/{i}/8") for i in range(3)]),
    "segment": ("64x64 scene, 10 classes, 5 windows",
                [("engine_bench", "BM_Segment/10")]),
}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def run_ours(binaries):
    times = {}
    for program in ("networks_bench", "engine_bench"):
        wanted = sorted({n for _, parts in SAME_WORK.values() for p, n in parts if p == program})
        pattern = "|".join(f"^{n}(/|$)" for n in wanted)
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run([binaries / program, f"--benchmark_filter={pattern}",
                            f"--benchmark_out={out.name}", "--benchmark_out_format=json"],
                           check=True, stdout=subprocess.DEVNULL)
            for row in json.loads(Path(out.name).read_text())["benchmarks"]:
                name = row["run_name"].removesuffix("/real_time").removesuffix("/iterations:1")
                times[program, name] = row["real_time"] * SECONDS[row["time_unit"]]
    return {op: sum(times[part] for part in parts) for op, (_, parts) in SAME_WORK.items()}


def run_rival(python, threads):
    windows = json.loads((BUNDLE / "bundle.json").read_text())["windows"]
    command = [python, ROOT / "benchmarks/rival/pytorch_pipeline.py", "--bundle", BUNDLE,
               "--scene", BUNDLE / "scenes/00.png", "--threads", str(threads),
               "--windows", *map(str, windows["sizes"]), "--stride", str(windows["stride"])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    return {op: statistics.median(s) for op, s in json.loads(done.stdout).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--binaries", type=Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    ours, rival = [], []
    for _ in range(args.rounds):
        ours.append(run_ours(args.binaries))
        rival.append(run_rival(args.python, args.threads))
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), platform.processor())
    print(f"Medians of {args.rounds} alternating rounds, {args.threads} threads, {cpu}\n")
    print("| work | ours, s | PyTorch + diffusers, s | ratio |\n| --- | --- | --- | --- |")
    for op, (text, _) in SAME_WORK.items():
        a = statistics.median(r[op] for r in ours)
        b = statistics.median(r[op] for r in rival)
        print(f"| {text} | {a:.3f} | {b:.3f} | {b / a:.2f}x |")


if __name__ == "__main__":
    main()
