"""What all stages share: the training loop, its checkpoints, its log."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of the bundle. Everything random follows from `seed`."""

    work: pathlib.Path  # checkpoints, logs, the pool of pictures
    seed: int
    device: torch.device
    bfloat16: bool  # autocast teacher, CLIP, DINO, UNet and text encoder

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def refuse_restored(self, stage: str) -> None:
        """`restore` makes checkpoints of weights alone; those of some stages lack parts."""
        path = self.work / f"{stage}.pt"
        if path.exists() and "step" not in torch.load(path, map_location="cpu"):
            raise SystemExit(f"{path} was made by `restore` and cannot be trained further; move it away to train {stage} from the stages before it")

    def autocast(self):
        if self.bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one stage is optimised (AdamW, linear warm-up, cosine to 1 % of `rate`)."""

    steps: int
    batch: int
    rate: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 200
    ema: float = 0.0  # decay of the weights' average; 0: none is kept
    report: int = 100  # steps between two lines of the log
    measure: int = 1000  # steps between two measurements on held-out pictures


def _rate(recipe: Recipe, step: int, first: int) -> float:
    """`first`: the step at which the optimiser knew nothing."""
    warm = min(1.0, (step - first + 1) / recipe.warmup)
    return recipe.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps))))


class Training:
    """Resumable: every draw follows from (seed, stage, step), and a checkpoint is
    written at each measurement and at the end. Another `recipe.steps` on resuming
    only bends the rest of the schedule."""

    def __init__(self, run: Run, name: str, modules: nn.ModuleDict, recipe: Recipe):
        self.run, self.name, self.recipe = run, name, recipe
        self.modules = modules.to(run.device)
        self.average = copy.deepcopy(modules).requires_grad_(False) if recipe.ema else modules
        decayed = [p for p in modules.parameters() if p.requires_grad and p.ndim >= 2]
        others = [p for p in modules.parameters() if p.requires_grad and p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed}, {"params": others, "weight_decay": 0.0}],
            lr=recipe.rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.step, self.seconds, self.first = 0, 0.0, 0
        self.checkpoint = run.work / f"{name}.pt"
        self.log = run.work / f"{name}.jsonl"
        if self.checkpoint.exists():
            self._load()
        else:
            self.log.unlink(missing_ok=True)  # another training's

    @property
    def done(self) -> bool:
        return self.step >= self.recipe.steps

    def fit(
        self,
        loss: Callable[[int], dict[str, torch.Tensor]],
        measure: Callable[[], dict[str, float]],
        after: Callable[[int], None] = lambda step: None,
    ) -> None:
        """`loss(step)` gives named terms; their sum is minimised. `after` each step."""
        recipe, sums, since = self.recipe, {}, time.monotonic()
        parameters = [p for p in self.modules.parameters() if p.requires_grad]
        self.modules.train()
        while not self.done:
            for group in self.optimizer.param_groups:
                group["lr"] = _rate(recipe, self.step, self.first)
            torch.manual_seed(int(self.run.rng(1, self.step).integers(2**62)))
            terms = loss(self.step)
            total = sum(terms.values())
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            self._average()
            after(self.step)
            self.step += 1
            for key, value in terms.items():
                sums[key] = sums.get(key, 0.0) + value.detach()  # on the device: to read it is to wait for it
            reports, measures = self.step % recipe.report == 0, self.step % recipe.measure == 0 or self.done
            if reports or measures:
                if not all(value.isfinite() for value in sums.values()):
                    raise SystemExit(f"{self.name}: the loss is not finite, at step {self.step} or up to {recipe.report} before; {self.checkpoint} is whole")
            if reports:
                self._write({key: value / recipe.report for key, value in sums.items()})
                sums = {}
            if measures:
                self.seconds += time.monotonic() - since
                since = time.monotonic()
                self._save()
                self.average.eval()
                with torch.no_grad():
                    self._write(measure())
                self.modules.train()

    @torch.no_grad()
    def _average(self) -> None:
        if self.average is self.modules:
            return
        keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        # All in one call, as there are hundreds of small ones.
        torch._foreach_lerp_(list(self.average.parameters()), list(self.modules.parameters()), 1 - keep)
        for ours, theirs in zip(self.average.buffers(), self.modules.buffers()):
            ours.copy_(theirs)

    def _write(self, values: dict[str, float]) -> None:
        line = {"stage": self.name, "step": self.step, "of": self.recipe.steps, "seconds": round(self.seconds, 1)}
        line |= {key: round(float(value), 5) for key, value in values.items()}
        text = json.dumps(line)
        print(time.strftime("%H:%M:%S"), text, flush=True)
        with self.log.open("a") as file:
            file.write(text + "\n")

    def _save(self) -> None:
        state = {
            "modules": self.modules.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "first": self.first,
            "seed": self.run.seed,
        }
        fresh = self.checkpoint.with_suffix(".tmp")
        torch.save(state, fresh)
        fresh.replace(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.run.device)
        if state["seed"] != self.run.seed:
            raise SystemExit(f"{self.checkpoint} was trained with seed {state['seed']}, not {self.run.seed}")
        self.step, self.seconds = state["step"], state["seconds"]
        if "optimizer" not in state:  # of a bundle, by `restore`: what is in none begins anew
            for modules in (self.modules, self.average):
                modules.load_state_dict(self.modules.state_dict() | state["average"])
            self.first = self.step
            return
        self.first = state["first"]
        # What was logged after the checkpoint is done once more.
        if self.log.exists():
            lines = self.log.read_text().splitlines(keepends=True)
            self.log.write_text("".join(line for line in lines if json.loads(line)["step"] <= self.step))
        self.modules.load_state_dict(state["modules"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
