#!/usr/bin/env python3
"""Rivals of the method, made of the same bundle's CLIP and DINO, on the same pictures.

    maskclip   each patch's value projection of CLIP's last layer against the class names (Zhou et al., ECCV 2022)
    proxyclip  the same values gathered by the affinity of DINO's features (Lan et al., ECCV 2024)

What they leave open (size of the input, features, how background is told by a threshold) is chosen on the second
plan's pictures, which are not reported. Writes result files like the C++ program's. run.py calls this.
Needs requirements-rivals.txt.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from transformers import CLIPModel, CLIPTokenizer

TEMPLATES = ("a {}", "a photo of a {}", "a picture of a {}", "a good picture of a {}")
LOGIT_SCALE = 40.0  # ProxyCLIP's
BETA, GAMMA = 1.2, 3.0  # ProxyCLIP's
MAX_TUNING_PIXELS = 200_000  # of a picture
# (enlargement, windows): CLIP sees the whole picture, or windows of its own size.
VIEWS = ((1, False), (2, False), (2, True))
CHOICES = {
    "maskclip": [dict(view=v, residual=r) for v, r in itertools.product(VIEWS, (False, True))],
    "proxyclip": [dict(view=v, affinity=a) for v, a in itertools.product(VIEWS, ("tokens", "keys"))],
}


def stats(spec: dict) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.tensor(spec[key]).view(1, 3, 1, 1) for key in ("mean", "std"))


class Clip:
    def __init__(self, bundle: pathlib.Path, spec: dict):
        self.model = CLIPModel.from_pretrained(bundle / spec["folder"]).float().eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(bundle / spec["tokenizer"])
        self.mean, self.std = stats(spec)
        self.size = self.model.config.vision_config.image_size
        self.patch = self.model.config.vision_config.patch_size

    def text(self, names: list[str]) -> torch.Tensor:
        """[C, D], the mean over templates."""
        rows = []
        for template in TEMPLATES:
            ids = self.tokenizer(
                [template.format(n) for n in names], padding="max_length", truncation=True, max_length=77, return_tensors="pt"
            )
            pooled = self.model.text_model(input_ids=ids.input_ids, attention_mask=ids.attention_mask).pooler_output
            rows.append(F.normalize(self.model.text_projection(pooled), dim=-1))
        return F.normalize(torch.stack(rows).mean(0), dim=-1)

    def values(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Last layer's input tokens and its values, [B, h*w, D] each, class token dropped."""
        vision = self.model.vision_model
        x = vision.embeddings((images - self.mean) / self.std, interpolate_pos_encoding=True)
        x = vision.pre_layrnorm(x)
        for layer in vision.encoder.layers[:-1]:
            x = layer(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
        last = vision.encoder.layers[-1]
        return x[:, 1:], last.self_attn.v_proj(last.layer_norm1(x))[:, 1:]

    def project(self, values: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        """Values (or mixtures of them) to the space of the text, [B, n, D], of unit length."""
        vision = self.model.vision_model
        last = vision.encoder.layers[-1]
        x = last.self_attn.out_proj(values)
        if residual is not None:
            x = x + residual
            x = x + last.mlp(last.layer_norm2(x))
        return F.normalize(self.model.visual_projection(vision.post_layernorm(x)), dim=-1)


class Dino:
    def __init__(self, bundle: pathlib.Path, spec: dict):
        folder = bundle / spec["folder"]
        c = json.loads((folder / "config.json").read_text())
        self.model = VisionTransformer(
            img_size=c["img_size"], patch_size=c["patch_size"], embed_dim=c["embed_dim"], depth=c["depth"],
            num_heads=c["num_heads"], mlp_ratio=c["mlp_ratio"], qkv_bias=c["qkv_bias"], num_classes=0,
            dynamic_img_size=True,
        ).eval()
        weights = load_file(folder / "model.safetensors")
        self.model.load_state_dict({key: value.float() for key, value in weights.items()})
        self.mean, self.std = stats(spec)
        self.patch = c["patch_size"]

    def features(self, images: torch.Tensor, kind: str) -> torch.Tensor:
        """[B, h*w, D] of unit length: last layer's tokens or keys."""
        found = {}
        attention = self.model.blocks[-1].attn
        hook = attention.qkv.register_forward_hook(lambda _m, _i, out: found.update(qkv=out))
        tokens = self.model.forward_features((images - self.mean) / self.std)
        hook.remove()
        dim = self.model.embed_dim
        x = tokens if kind == "tokens" else found["qkv"][..., dim : 2 * dim]
        return F.normalize(x[:, 1:], dim=-1)


class Rivals:
    def __init__(self, bundle: pathlib.Path, names: list[str]):
        spec = json.loads((bundle / "bundle.json").read_text())
        self.clip = Clip(bundle, spec["prefilter"])
        vit = next((s for s in spec["spaces"] if s["type"] == "vit"), None)
        if vit is None:
            raise SystemExit("rivals: the bundle has no space of type vit, which ProxyCLIP's affinity needs")
        self.dino = Dino(bundle, vit)
        self.text = self.clip.text(names)

    def crop_logits(self, rival: str, images: torch.Tensor, choice: dict) -> torch.Tensor:
        """Cosines [B, C, h, w] of crops [B, 3, H, W]."""
        height, width = images.shape[-2:]
        inputs, values = self.clip.values(images)
        grid = (height // self.clip.patch, width // self.clip.patch)
        if rival == "proxyclip":
            fine = (height // self.dino.patch, width // self.dino.patch)
            spread = F.interpolate(values.transpose(1, 2).unflatten(-1, grid), size=fine, mode="bilinear")
            f = self.dino.features(images, choice["affinity"])
            similarity = f @ f.transpose(1, 2)
            similarity = GAMMA * (similarity - BETA * similarity.mean((1, 2), keepdim=True))
            weights = similarity.masked_fill(similarity < 0, -math.inf).softmax(-1)
            # A patch unlike the mean of all, itself included, has no row to attend to.
            weights = torch.nan_to_num(weights)
            values, inputs, grid = weights @ spread.flatten(2).transpose(1, 2), None, fine
        features = self.clip.project(values, inputs if choice.get("residual") else None)
        return (features @ self.text.T).transpose(1, 2).unflatten(-1, grid)

    def logits(self, rival: str, image: torch.Tensor, choice: dict) -> torch.Tensor:
        """Cosines [C, H, W] of a picture [3, H, W]."""
        enlarge, windows = choice["view"]
        height, width = image.shape[-2:]
        size = self.clip.size
        factor = enlarge * size / min(height, width) if not windows else enlarge
        step = self.clip.patch
        sides = [max(size, round(s * factor / step) * step) for s in (height, width)]
        big = F.interpolate(image[None], size=sides, mode="bicubic", antialias=True).clamp(0, 1)
        if not windows:
            out = self.crop_logits(rival, big, choice)
        else:
            starts = [sorted({*range(0, s - size, size // 2), s - size}) for s in sides]
            corners = list(itertools.product(*starts))
            crops = torch.cat([big[..., y : y + size, x : x + size] for y, x in corners])
            each = F.interpolate(self.crop_logits(rival, crops, choice), size=(size, size), mode="bilinear")
            out, hits = torch.zeros(1, each.shape[1], *sides), torch.zeros(1, 1, *sides)
            for (y, x), part in zip(corners, each):
                out[..., y : y + size, x : x + size] += part
                hits[..., y : y + size, x : x + size] += 1
            out = out / hits
        return F.interpolate(out, size=(height, width), mode="bilinear")[0]


def judge(logits: torch.Tensor, labels: np.ndarray, kinds) -> tuple[np.ndarray, dict]:
    """[H, W] best label, and by kind of score how sure it is."""
    of_kind = {
        "cosine": lambda: logits.amax(0),
        "probability": lambda: (LOGIT_SCALE * logits).softmax(0).amax(0),
        None: lambda: torch.ones(logits.shape[-2:]),
    }
    return labels[logits.argmax(0).numpy()], {kind: of_kind[kind]().numpy() for kind in kinds}


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """[K, 3] of (truth, predicted, pixels), pixels of true label 255 left out."""
    looked_at = truth != 255
    pairs = np.bincount(256 * truth[looked_at].astype(np.int64) + predicted[looked_at])
    found = np.flatnonzero(pairs)
    return np.column_stack([found // 256, found % 256, pairs[found]])


def read(picture: dict) -> tuple[torch.Tensor, np.ndarray]:
    image = np.asarray(Image.open(picture["image"]).convert("RGB"), np.float32) / 255
    return torch.from_numpy(image).permute(2, 0, 1), np.asarray(Image.open(picture["labels"]))


def all_pixels(rivals: Rivals, rival: str, plan: dict, choice: dict, kinds) -> tuple[np.ndarray, np.ndarray, dict]:
    """Truth, best label and scores of a plan's pixels in one row; of large pictures every n-th."""
    labels = np.array([c["label"] for c in plan["classes"]], np.uint8)
    truths, bests, scores = [], [], {kind: [] for kind in kinds}
    for picture in plan["pictures"]:
        image, truth = read(picture)
        best, sure = judge(rivals.logits(rival, image, choice), labels, kinds)
        step = max(1, truth.size // MAX_TUNING_PIXELS)
        truths.append(truth.ravel()[::step])
        bests.append(best.ravel()[::step])
        for kind in kinds:
            scores[kind].append(sure[kind].ravel()[::step])
    return np.concatenate(truths), np.concatenate(bests), {k: np.concatenate(s) for k, s in scores.items()}


def choose(rivals: Rivals, rival: str, plan: dict, background: bool) -> dict:
    """The choice, and with background the score and threshold, of the best mIoU on a plan's pictures."""
    from metric import count, of_counts

    num_labels = max(c["label"] for c in plan["classes"]) + 1
    grid = {"cosine": np.arange(-0.2, 1, 0.02), "probability": np.arange(0, 1, 0.02)} if background else {None: [0.0]}
    best: tuple[float, dict] = (-1.0, {})
    for choice in CHOICES[rival]:
        truth, labels, scores = all_pixels(rivals, rival, plan, choice, list(grid))
        for kind, thresholds in grid.items():
            for threshold in thresholds:
                found = confusion(truth, np.where(scores[kind] > threshold, labels, 0))
                figure = of_counts(count([""], [found], num_labels), background)["miou"]
                if figure > best[0]:
                    best = (figure, {**choice, "score": kind, "threshold": round(float(threshold), 2)})
    print(f"{rival}: {best[1]}, chosen on {len(plan['pictures'])} other pictures (mIoU {best[0]:.1f} there)", flush=True)
    return best[1]


def measure(rivals: Rivals, rival: str, plan: dict, choice: dict) -> None:
    labels = np.array([c["label"] for c in plan["classes"]], np.uint8)
    kind = choice["score"]
    path = pathlib.Path(plan["out"]) / f"{rival}.seed0.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps({"format": 1, "variant": rival, "seed": 0, "options": choice}) + "\n")
        for picture in plan["pictures"]:
            image, truth = read(picture)
            start = time.perf_counter()
            best, sure = judge(rivals.logits(rival, image, choice), labels, [kind])
            predicted = np.where(sure[kind] > choice["threshold"], best, 0)
            line = {
                "id": picture["id"],
                "confusion": confusion(truth, predicted).ravel().tolist(),
                "kept": sorted(set(labels.tolist())),
                "seconds": time.perf_counter() - start,
            }
            file.write(json.dumps(line) + "\n")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=pathlib.Path, help="whose pictures are reported")
    parser.add_argument("tuning_plan", type=pathlib.Path)
    parser.add_argument("--background", action="store_true", help="the data set has background")
    arguments = parser.parse_args()
    plan, tuning = (json.loads(p.read_text()) for p in (arguments.plan, arguments.tuning_plan))
    rivals = Rivals(pathlib.Path(plan["bundle"]), [c["prompt"] for c in plan["classes"]])
    for rival in CHOICES:
        measure(rivals, rival, plan, choose(rivals, rival, tuning, arguments.background))


if __name__ == "__main__":
    main()
