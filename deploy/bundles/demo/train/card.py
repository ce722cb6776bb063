"""Stage `card`: MODEL_CARD.md, with curves and a sheet of samples, from what the stages wrote.

Their logs go into the bundle's train/logs/, from where `restore` takes them. One of a single line is all
that is left of a stage: its steps and seconds, no curve."""

from __future__ import annotations

import json
import pathlib
import shutil

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from . import clip, critic, deepen, diffusion, dino, judge, teacher, vae, widen  # noqa: E402
from .pictures import BACKGROUNDS, COLOURS, LEFT_OUT, PRODUCTS  # noqa: E402
from .run import Run  # noqa: E402

_STAGES = {"vae": vae, "teacher": teacher, "clip": clip, "deepen": deepen, "widen": widen, "dino": dino, "critic": critic, "diffusion": diffusion, "judge": judge}
_NAMED = ["val_names", "val_keeps_all", "val_recall", "val_precision"]
_TERMS = ["names", "place_features", "place_names", "sets", "likely"]
# What is drawn of each stage's log: terms of the loss, and figures on held-out pictures.
_CURVES = {
    "vae": (["l1", "l2", "edges"], ["val_psnr"]),
    "teacher": (["present"], ["val_names", "val_recall", "val_precision"]),
    "clip": (_TERMS, _NAMED),
    "deepen": (_TERMS, _NAMED),
    "widen": (_TERMS, _NAMED),
    "dino": (["class", "patch"], ["val_probe_iou"]),
    "critic": (["present"], ["names"]),
    "diffusion": (["noise", "critic", "colours"], ["auc_mean", "auc_least"]),
    "judge": (["product", "colour"], ["val_product", "val_colour"]),
}
_GATES = {
    "vae_psnr": "VAE, test scenes: PSNR, dB",
    "clip_names": "CLIP names the product of a test scene with one, %",
    "prefilter_keeps_all": "prefilter keeps all present products, % of test scenes",
    "prefilter_recall": "· present products kept, %",
    "prefilter_precision": "· of the kept products, those present, %",
    "painted_product": "judge recognises the prompted product in painted pictures, %",
    "painted_colour": "judge recognises the prompted colour, %",
    "attribution_auc_least": "attribution of the class word on noised test scenes: AUC of the worst product",
    "attribution_auc_mean": "· mean of the products",
    "dino_probe_iou": "linear probe, product or not, DINO's keys: IoU, %",
    "query_probe_iou": "linear probe, product or not, UNet's queries: IoU, %",
    "clip_probe_iou": "linear probe, product or not, CLIP's keys: IoU, %",
    "dino_probe_names": "· which product, DINO's keys: patches of products named right, %",
    "query_probe_names": "· which product, UNet's queries, %",
    "clip_probe_names": "· which product, CLIP's keys, %",
}


def _lines(logs: pathlib.Path, stage: str) -> list[dict]:
    """What a stage said; nothing of one that has no log."""
    path = logs / f"{stage}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _curves(logs: pathlib.Path, path: pathlib.Path) -> None:
    """Above, the loss; below, held-out figures; a column for each stage that has a log of more than a line."""
    shown = [stage for stage in _CURVES if len(_lines(logs, stage)) > 1]
    figure, axes = plt.subplots(2, len(shown), figsize=(3.4 * len(shown), 5.4), constrained_layout=True, squeeze=False)
    for column, stage in enumerate(shown):
        for row, keys in enumerate(_CURVES[stage]):
            axis = axes[row][column]
            for key in keys:
                points = [(line["step"], line[key]) for line in _lines(logs, stage) if key in line]
                if points:
                    axis.plot(*zip(*points), label=key)
            axis.legend(fontsize=7)
        axes[0][column].set_yscale("log")
        axes[0][column].set_title(stage)
        axes[1][column].set_xlabel("step")
    axes[0][0].set_ylabel("loss")
    axes[1][0].set_ylabel("held out")
    figure.savefig(path, dpi=60)
    plt.close(figure)


def _last_losses(lines: list[dict], keys: list[str]) -> str:
    last = next((line for line in reversed(lines) if keys[0] in line and "val_names" not in line), {})
    return ", ".join(f"{key} {last[key]:.3g}" for key in keys if key in last) or "log not kept"


def _table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _training(logs: pathlib.Path) -> str:
    rows = []
    for stage, module in _STAGES.items():
        lines = _lines(logs, stage)
        recipe, minutes = module.RECIPE, max(line["seconds"] for line in lines) / 60
        rows.append([f"`{stage}`", f"{lines[-1]['step']:,}", recipe.batch, f"{recipe.rate:g}", f"{minutes:.0f}", _last_losses(lines, _CURVES[stage][0])])
    return _table(["stage", "steps", "batch", "rate", "minutes", "loss, mean of the last 100 steps"], rows)


def _gate_table(gates: dict) -> str:
    rows = []
    for key, title in _GATES.items():
        gate = gates[key]
        mark = {None: "", True: "reached", False: "**missed**"}[gate["reached"]]
        rows.append([title, f"{gate['value']:.3g}", gate["wanted"] or "", mark])
    return _table(["on held-out data", "figure", "wanted", ""], rows)


def _confusion(products: dict) -> str:
    rows = []
    for name, row in zip(products["names"], products["confusion"]):
        rows.append([name, *(f"{100 * n / max(sum(row), 1):.0f}" for n in row)])
    return _table(["is, % taken for", *products["names"]], rows)


def main(run: Run, bundle: pathlib.Path) -> None:
    result = json.loads((run.work / "gates.json").read_text())
    logs = bundle / "train" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for stage in _STAGES:
        shutil.copy(run.work / f"{stage}.jsonl", logs)
    _curves(logs, bundle / "curves.png")
    others = sorted(logs.glob("seed-*"))
    for folder in others:
        _curves(folder, folder / "curves.png")
    diffusion.sheet(diffusion.load(run), bundle / "samples.png")
    areas = ", ".join(f"{name} {value:.2f}" for name, value in result["attribution_auc"].items())
    size = sum(path.stat().st_size for path in bundle.rglob("*.safetensors")) / 1e6
    text = f"""# Demo bundle

Small networks of the real architectures in their hubs' layout, trained from nothing by the scripts in `train/`, so that the quick
start, the tests and the accuracy figures need no download. Written by `python3 -m train --work DIR card`; do not edit.

| folder | network | plays |
| --- | --- | --- |
| `stable-diffusion/` | diffusers layout: UNet (48, 96, 144 channels), VAE (64 px to 16x16x4), CLIP text encoder (4 layers of 128, 32 tokens), byte-level BPE tokenizer | painting 64 px pictures of a class; feature space `sd` |
| `clip/` | transformers `CLIPModel`: ViT of 8 layers of 192, patch 8, 64 px | prefilter; feature space `clip` |
| `dino/` | ViT in timm's names: 4 layers of 96, patch 4, 64 px | feature space `dino` |
| `scenes/` | 12 scenes of the test split with label maps and captions, chosen so that one sees what is there: the judge names each product, at least 90 % sure | `make demo` |

{size:.1f} MB of fp16 safetensors. Licence: MIT.

**What it knows.** {", ".join(PRODUCTS)}; in {", ".join(COLOURS)}; on {", ".join(BACKGROUNDS)}. Other words mean little to it.
For wiring, tests, accuracy of this project's code, and speed on a CPU; not for decisions about anything.

**Data.** Scenes of `benchmarks/accuracy/scenes`: Fashion-MNIST products (Zalando, MIT licence; Debian's `dataset-fashion-mnist`) in plain colours
on computed textures, with captions. Training sees the train split only. CLIP, its teacher and the critic learn from pictures and what each is composed of (products, their colours, grounds; CLIP also from captions, and from lone products close up, by their box), UNet and text encoder from captions, DINO from pictures; no mask is ever used. Teacher, critic and judge are small convolutional classifiers that are no part of
the bundle: CLIP's patches learn from the teacher, the UNet's guesses are looked at by the critic, and the judge, which neither has met, marks the paintings.
[train/README.md](train/README.md) says how it is done and what was tried.

## Training

Seed {result["seed"]}. Minutes are wall time, whatever else the machine did; [train/README.md](train/README.md) says on which. The figures below were measured on {result["machine"]}.

{_training(logs)}

![curves](curves.png)

Curves of the other stages: [before `widen`](train/curves-before-widen.png), drawn while their logs were there{"".join(f"; [{folder.name}](train/logs/{folder.name}/curves.png), every stage" for folder in others)}.

Samples, four a column: {", ".join([*PRODUCTS, *BACKGROUNDS])}; bags in {", ".join(COLOURS)}; "a red sneaker and a blue bag"; "a dress on grass".

![samples](samples.png)

## Measured

{_gate_table(result["gates"])}

AUC by product: {areas}. The judge is a classifier outside the bundle, trained on the train split.

**{" and ".join(LEFT_OUT)} are left out** of the scenes. The judge, trained on all ten products of Fashion-MNIST one to a scene, tells them apart on test scenes so:

{_confusion(result["ten_products"])}

The eight that stay, where it may say no other:

{_confusion(result["products"])}

In the 500 test scenes, of one to four objects, smaller and in part hidden, it names {result["named_close_up"]["objects"]:.0f} % of the objects in a close-up by their box; of those of which nine tenths are seen, {result["named_close_up"]["nine_tenths_visible"]:.0f} %.

Accuracy of the whole method with these weights: README.md and `make accuracy`.
"""
    (bundle / "MODEL_CARD.md").write_text(text)
    print(f"card: {bundle / 'MODEL_CARD.md'}")
