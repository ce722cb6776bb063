"""Stage `gates`: each part on held-out data, against the figure that it must reach.

Writes gates.json into the work folder. Test scenes and test textures only.
"""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import torch

from . import clip, diffusion, dino, judge, probes, vae, widen
from .pictures import COLOURS, PRODUCTS, held_out, scenes_tensor
from .run import Run
from .tokenizer import tokenizer

_SCENES = 500
_PAINTED, _COLOURED = 24, 6  # pictures of each product, and of each product in each colour


def _painted(run: Run, model: diffusion.Model, found: judge.Judge) -> dict[str, float]:
    """How often the judge sees the product, and the colour, that the prompt names."""
    names = list(PRODUCTS)

    def share(prompts: list[str], head: str, wanted: list[str], allowed: list[str]) -> float:
        hits = []
        for first in range(0, len(prompts), 32):
            said = found(model.paint(prompts[first : first + 32], steps=30, seed=1000 + first).cpu())[head]
            best = said[:, : len(allowed)].argmax(1).tolist()
            hits += [allowed[b] == w for b, w in zip(best, wanted[first : first + 32])]
        return float(np.mean(hits))

    products = [name for name in names for _ in range(_PAINTED)]
    coloured = [(c, p) for c in COLOURS for p in names for _ in range(_COLOURED)]
    return {
        "painted_product": share([diffusion.PROMPT.format(n) for n in products], "product", products, names),
        "painted_colour": share([diffusion.PROMPT.format(f"{c} {p}") for c, p in coloured], "colour", [c for c, _ in coloured], list(COLOURS)),
    }


def _named(found: judge.Judge, scenes: list) -> dict[str, float]:
    """Per cent of the objects that the judge names in a close-up; of all, and of those that little hides."""
    right = [(name == thing.product, thing.visible) for scene in scenes for name, thing in zip(judge.named(found, scene)[0], scene.objects)]
    return {
        "objects": 100 * float(np.mean([r for r, _ in right])),
        "nine_tenths_visible": 100 * float(np.mean([r for r, visible in right if visible >= 0.9])),
    }


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        models = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        name = f"{len(models)} CPU cores ({models[0]})"
    return f"{name}, PyTorch {torch.__version__}"


def main(run: Run, bundle: pathlib.Path) -> None:
    del bundle
    model, ten = diffusion.load(run), judge.load(run)
    towers = clip.Towers(widen.load(run).to(run.device), tokenizer(run), run.device)
    test = held_out("test", _SCENES)
    with torch.no_grad():
        words = clip.measure(towers, held_out("test", _SCENES, (1, 1)), test)
        areas = diffusion.attribution(model, test[:120])
        vit, fitted_on = dino.load(run).to(run.device), held_out("train", 200)
        spaces = {"dino": lambda scenes: dino.keys(vit, scenes), "query": model.queries, "clip": towers.keys}
        probed = {name: probes.probe(features, fitted_on, test[:200]) for name, features in spaces.items()}
        figures = {
            "vae_psnr": (vae.psnr(model.vae, scenes_tensor(test[:256]).to(run.device)), 26.0),
            "clip_names": (100 * words["val_names"], 85.0),
            "prefilter_keeps_all": (100 * words["val_keeps_all"], 85.0),
            "prefilter_recall": (100 * words["val_recall"], None),
            "prefilter_precision": (100 * words["val_precision"], None),
            **{key: (100 * value, {"painted_product": 80.0, "painted_colour": 90.0}[key]) for key, value in _painted(run, model, ten).items()},
            "attribution_auc_least": (areas["auc_least"], 0.85),
            "attribution_auc_mean": (areas["auc_mean"], None),
            **{f"{name}_probe_iou": (found["iou"], None if name == "clip" else 75.0) for name, found in probed.items()},
            **{f"{name}_probe_names": (found["names"], None) for name, found in probed.items()},
        }
    singles = judge.singles("test", 1000)
    kept = [scene for scene in singles if scene.objects[0].product in PRODUCTS]
    result = {
        "seed": run.seed,
        "machine": _machine(run.device),
        "gates": {k: {"value": round(float(v), 3), "wanted": w, "reached": None if w is None else bool(v >= w)} for k, (v, w) in figures.items()},
        "attribution_auc": {k.removeprefix("auc_"): round(v, 3) for k, v in areas.items() if k not in ("auc_mean", "auc_least")},
        "ten_products": {"names": judge.PRODUCT_NAMES, "confusion": judge.confusion(ten, singles).tolist()},
        "products": {"names": list(PRODUCTS), "confusion": judge.confusion(ten, kept, len(PRODUCTS)).tolist()},
        "named_close_up": _named(ten, test),
    }
    (run.work / "gates.json").write_text(json.dumps(result, indent=1) + "\n")
    for key, gate in result["gates"].items():
        mark = {None: " ", True: "+", False: "-"}[gate["reached"]]
        print(f"{mark} {key:24} {gate['value']:8.3f}" + ("" if gate["wanted"] is None else f"  (wanted {gate['wanted']})"))
