"""python3 -m train --work DIR [stage …], run in deploy/bundles/demo.

Stages, in their order: see README.md beside this file. Without a stage: all but `restore`.
Interrupt and start again at will; a stage goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pathlib

import torch

from .run import Run

STAGES = ("pool", "vae", "teacher", "clip", "deepen", "widen", "dino", "critic", "diffusion", "judge", "export", "gates", "card", "choose", "restore")


def main() -> None:
    parser = argparse.ArgumentParser(prog="train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=", ".join(STAGES))
    parser.add_argument("--work", type=pathlib.Path, required=True, help="checkpoints, logs, pool of pictures")
    parser.add_argument("--bundle", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1], help="where export writes (default: this bundle)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--steps", type=int, default=0, help="instead of the recipe's, for one stage")
    arguments = parser.parse_args()
    unknown = set(arguments.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; allowed are {', '.join(STAGES)}")
    if arguments.steps and len(arguments.stages) != 1:
        parser.error(f"--steps is of one stage; {len(arguments.stages) or 'all'} are asked for")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    device = torch.device(arguments.device)
    has_bfloat16 = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    run = Run(arguments.work, arguments.seed, device, has_bfloat16)
    for stage in arguments.stages or STAGES[:-1]:
        if stage == "pool":
            importlib.import_module(".pictures", __package__).pool(run)
            continue
        module = importlib.import_module(f".{stage}", __package__)
        if stage in ("export", "gates", "card", "choose", "restore"):
            getattr(module, "main")(run, arguments.bundle)
            continue
        run.refuse_restored(stage)
        steps = arguments.steps or module.RECIPE.steps
        module.train(run, dataclasses.replace(module.RECIPE, steps=steps))


if __name__ == "__main__":
    main()
