"""Stage `gates`: each part on held-out data, against the figure that it must reach.

Writes gates.json into the work folder. Test scenes and test textures only.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from . import clip, deepen, diffusion, dino, judge, vae
from .pictures import COLOURS, PRODUCTS, held_out, scenes_tensor
from .run import Run
from .tokenizer import tokenizer

_SCENES = 500
_PAINTED = 24  # pictures of each product, and of each coloured product / 8


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
    coloured = [(c, p) for c in COLOURS for p in names for _ in range(_PAINTED // 8)]
    return {
        "painted_product": share([diffusion.PROMPT.format(n) for n in products], "product", products, names),
        "painted_colour": share([diffusion.PROMPT.format(f"{c} {p}") for c, p in coloured], "colour", [c for c, _ in coloured], list(COLOURS)),
    }


def _queries(model: diffusion.Model, scenes: list) -> tuple[np.ndarray, np.ndarray]:
    """Cross-attention queries of one pass at timestep 200, on 16x16 cells; what is product."""
    kept: list[torch.Tensor] = []
    hooks = [
        module.to_q.register_forward_hook(lambda m, i, out: kept.append(out))
        for name, module in model.unet.named_modules()
        if name.endswith("attn2")
    ]
    schedule = diffusion.DDPMScheduler(**diffusion.NOISE)
    latents = model.vae.encode(scenes_tensor(scenes).to(model.device) * 2 - 1).latent_dist.mean * model.vae.config.scaling_factor
    noise = torch.randn(latents[:1].shape, generator=torch.Generator().manual_seed(43)).to(model.device)
    timestep = torch.tensor([200])
    model.unet(schedule.add_noise(latents, noise.expand_as(latents), timestep), 200, model.states([""] * len(scenes)))
    for hook in hooks:
        hook.remove()
    maps = []
    for out in kept:
        side = int(out.shape[1] ** 0.5)
        maps.append(F.interpolate(out.transpose(1, 2).unflatten(2, (side, side)), (16, 16), mode="bilinear"))
    truth = torch.from_numpy(np.stack([s.instances > 0 for s in scenes])).float()[:, None]
    rows = torch.cat(maps, 1).permute(0, 2, 3, 1).flatten(0, 2)
    return rows.cpu().numpy(), (F.avg_pool2d(truth, 4) > 0.5).flatten().numpy()


@torch.no_grad()
def _query_probe(model: diffusion.Model) -> float:
    """As dino.probe, on the diffusion model's queries."""
    x, y = _queries(model, held_out("train", 100))
    centre, scale = x.mean(0), x.std(0) + 1e-6
    classifier = LogisticRegression(max_iter=300).fit((x - centre) / scale, y)
    x, y = _queries(model, held_out("test", 100))
    found = classifier.predict((x - centre) / scale)
    return 100 * float((found & y).sum() / (found | y).sum())


def main(run: Run, bundle: pathlib.Path) -> None:
    del bundle
    model, ten = diffusion.load(run), judge.load(run)
    towers = clip.Towers(deepen.load(run).to(run.device), tokenizer(run), run.device)
    test = held_out("test", _SCENES)
    with torch.no_grad():
        words = clip.measure(towers, held_out("test", _SCENES, (1, 1)), test)
        areas = diffusion.attribution(model, test[:120])
        figures = {
            "vae_psnr": (vae.psnr(model.vae, scenes_tensor(test[:256]).to(run.device)), 26.0),
            "clip_names": (100 * words["val_names"], 85.0),
            "prefilter_keeps_all": (100 * words["val_keeps_all"], 85.0),
            "prefilter_recall": (100 * words["val_recall"], None),
            "prefilter_precision": (100 * words["val_precision"], None),
            **{key: (100 * value, {"painted_product": 80.0, "painted_colour": 90.0}[key]) for key, value in _painted(run, model, ten).items()},
            "attribution_auc_least": (areas["auc_least"], 0.85),
            "attribution_auc_mean": (areas["auc_mean"], None),
            "dino_probe_iou": (dino.probe(dino.load(run).to(run.device), test[:100], held_out("train", 100)), 75.0),
            "query_probe_iou": (_query_probe(model), 75.0),
        }
    table = judge.confusion(ten, judge.singles("test", 1000))
    result = {
        "seed": run.seed,
        "device": str(run.device),
        "gates": {k: {"value": round(float(v), 3), "wanted": w, "reached": None if w is None else bool(v >= w)} for k, (v, w) in figures.items()},
        "attribution_auc": {k.removeprefix("auc_"): round(v, 3) for k, v in areas.items() if k not in ("auc_mean", "auc_least")},
        "ten_products": {"names": judge.PRODUCT_NAMES, "confusion": table.tolist()},
    }
    (run.work / "gates.json").write_text(json.dumps(result, indent=1) + "\n")
    for key, gate in result["gates"].items():
        mark = {None: " ", True: "+", False: "-"}[gate["reached"]]
        print(f"{mark} {key:24} {gate['value']:8.3f}" + ("" if gate["wanted"] is None else f"  (wanted {gate['wanted']})"))
