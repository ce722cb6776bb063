#!/usr/bin/env python3
"""The rival of our figures: the same work in PyTorch, diffusers and transformers.

Same bundle, same sizes, same number of threads as the C++ benchmarks; written as a
careful user of those libraries would: inference mode, whole batches, SDPA where the
maps are not needed, text states computed once. Prints one JSON object: seconds of
each repetition by operation. benchmarks/rival/compare.py runs it beside ours.

Needs the packages of tests/parity/requirements.txt.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (AutoencoderKL, DPMSolverMultistepScheduler,
                       UNet2DConditionModel)
from PIL import Image
from safetensors.torch import load_file
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans
from timm.models.vision_transformer import VisionTransformer
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class Tap:
    """Attention processor that can keep class-token maps and queries."""

    def __init__(self, store, is_cross):
        self.store, self.is_cross = store, is_cross

    def __call__(self, attn, hidden, encoder_hidden_states=None, **_):
        context = hidden if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden), attn.to_k(context), attn.to_v(context)
        if self.is_cross and self.store.get("queries") is not None:
            self.store["queries"].append(q)
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q, k, v = split(q), split(k), split(v)
        if self.is_cross and self.store.get("columns"):
            probs = (q @ k.transpose(-1, -2) * attn.scale).softmax(-1)
            half = probs[probs.shape[0] // 2:][..., self.store["columns"]].mean(-1)
            side = math.isqrt(half.shape[-1])
            maps = half.reshape(-1, 1, side, side)
            size = self.store["sum"].shape[-1]
            maps = F.interpolate(maps, size=(size, size), mode="bicubic").clamp_min(0)
            self.store["sum"] += maps.view(half.shape[0], -1, size, size).sum(1)
            out = probs @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


class Pipeline:
    def __init__(self, bundle):
        sd = bundle / "stable-diffusion"
        load = dict(torch_dtype=torch.float32)
        self.unet = UNet2DConditionModel.from_pretrained(sd / "unet", **load).eval()
        self.vae = AutoencoderKL.from_pretrained(sd / "vae", **load).eval()
        self.text = CLIPTextModel.from_pretrained(sd / "text_encoder").float().eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(sd / "tokenizer")
        self.clip = CLIPModel.from_pretrained(bundle / "clip").float().eval()
        c = json.loads((bundle / "dino" / "config.json").read_text())
        self.dino = VisionTransformer(
            img_size=c["img_size"], patch_size=c["patch_size"], embed_dim=c["embed_dim"],
            depth=c["depth"], num_heads=c["num_heads"], mlp_ratio=c["mlp_ratio"],
            qkv_bias=c["qkv_bias"], num_classes=0, dynamic_img_size=True).eval()
        self.dino.load_state_dict(
            {k: v.float() for k, v in load_file(bundle / "dino" / "model.safetensors").items()})
        self.tap = {}
        self.unet.set_attn_processor(
            {n: Tap(self.tap, "attn2" in n) for n in self.unet.attn_processors})
        self.scheduler = DPMSolverMultistepScheduler.from_pretrained(
            sd / "scheduler", timestep_spacing="linspace", final_sigmas_type="sigma_min")
        self.picture = self.vae.config.sample_size
        self.latent = self.unet.config.sample_size
        self.empty = self.encode([""])

    def encode(self, texts):
        ids = self.tokenizer(texts, padding="max_length", max_length=77, truncation=True,
                             return_tensors="pt").input_ids
        return self.text(ids)[0]

    def paint(self, name, pictures, steps, guidance):
        prefix, ids = "A good picture of a ", self.tokenizer(name, add_special_tokens=False).input_ids
        start = len(self.tokenizer(prefix, add_special_tokens=False).input_ids) + 1
        self.tap.update(columns=list(range(start, start + len(ids))),
                        sum=torch.zeros(pictures, self.latent, self.latent), queries=None)
        noise = torch.Generator().manual_seed(42)
        z = torch.randn(pictures, 4, self.latent, self.latent, generator=noise)
        context = torch.cat([self.encode(["text, low quality, blurry"]).expand(pictures, -1, -1),
                             self.encode([prefix + name]).expand(pictures, -1, -1)])
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            plain, cond = self.unet(torch.cat([z, z]), t, context).sample.chunk(2)
            z = self.scheduler.step(plain + guidance * (cond - plain), t, z).prev_sample
        maps, self.tap["columns"] = self.tap["sum"], None
        x = self.vae.decode(z / self.vae.config.scaling_factor).sample
        return (x / 2 + 0.5).clamp(0, 1), maps

    @staticmethod
    def normalise(x, stats):
        mean, std = (torch.tensor(s).view(1, 3, 1, 1) for s in stats)
        return (x - mean) / std

    def features(self, x):
        side = self.latent
        square = F.interpolate(x, size=(self.picture, self.picture), mode="bilinear") \
            if x.shape[-1] != self.picture else x
        z = self.vae.encode(square * 2 - 1).latent_dist.mean * self.vae.config.scaling_factor
        noise = torch.randn(1, *z.shape[1:], generator=torch.Generator().manual_seed(43))
        ac = self.scheduler.alphas_cumprod[200]
        self.tap["queries"] = []
        self.unet(ac.sqrt() * z + (1 - ac).sqrt() * noise, 200, self.empty.expand(len(x), -1, -1))
        maps = []
        for q in self.tap["queries"]:
            s = math.isqrt(q.shape[1])
            maps.append(F.interpolate(q.transpose(1, 2).unflatten(-1, (s, s)),
                                      size=(side, side), mode="bilinear"))
        self.tap["queries"] = None
        keys = {}
        hook = self.clip.vision_model.encoder.layers[-2].self_attn.k_proj.register_forward_hook(
            lambda m, i, o: keys.__setitem__("clip", o))
        self.clip.vision_model(pixel_values=self.normalise(square, IMAGENET))
        hook.remove()
        block = self.dino.blocks[-1].attn
        hook = block.qkv.register_forward_hook(lambda m, i, o: keys.__setitem__("dino", o))
        self.dino.forward_features(self.normalise(x, IMAGENET))
        hook.remove()
        dim = self.dino.embed_dim
        grid = lambda k: k[:, 1:].transpose(1, 2).unflatten(-1, (math.isqrt(k.shape[1] - 1),) * 2)
        return {"sd": torch.cat(maps, 1), "clip": grid(keys["clip"]),
                "dino": grid(keys["dino"][..., dim:2 * dim])}

    def prototypes(self, pictures, maps, parts):
        stretched = maps - maps.amin((1, 2), keepdim=True)
        stretched = stretched / stretched.amax((1, 2), keepdim=True).clamp_min(1e-6)
        low, high = threshold_multiotsu(stretched.numpy(), 3)
        out = {}
        for space, feature in self.features(pictures).items():
            size = feature.shape[-2:]
            for side, mask in (("fg", stretched > high), ("bg", stretched < low)):
                inside = F.adaptive_avg_pool2d(mask[:, None].float(), size)[:, 0] >= 0.5
                cells = feature.permute(0, 2, 3, 1)
                rows = cells[inside]
                rows_of = [cells[i][inside[i]] for i in range(len(cells))]
                means = [r.mean(0) for r in rows_of if len(r)]
                centres = KMeans(min(parts, len(rows)), n_init=1, random_state=0).fit(rows.numpy())
                out[space, side] = F.normalize(torch.cat(
                    [rows.mean(0, keepdim=True), torch.stack(means),
                     torch.from_numpy(centres.cluster_centers_)]), dim=-1)
        return out

    def segment(self, picture, classes, windows, stride):
        total = torch.zeros(len(classes) + 1, *picture.shape[-2:])
        count = torch.zeros(picture.shape[-2:])
        height, width = picture.shape[-2:]
        crops = {}
        for size in windows:
            for y in sorted({min(v, height - size) for v in range(0, height - size + stride, stride)}):
                for x in sorted({min(v, width - size) for v in range(0, width - size + stride, stride)}):
                    crops.setdefault(size, []).append((y, x))
        for size, places in crops.items():
            batch = torch.cat([picture[:, :, y:y + size, x:x + size] for y, x in places])
            scores = 0
            features = self.features(batch)
            for space, feature in features.items():
                v = F.normalize(feature, dim=1)
                match = lambda p: torch.einsum("bchw,pc->bphw", v, p).amax(1)
                fg = torch.stack([match(c[space, "fg"]) for c in classes], 1)
                bg = torch.stack([match(c[space, "bg"]) for c in classes], 1).amax(1, keepdim=True)
                scores = scores + F.interpolate(torch.cat([bg, fg], 1), size=(size, size),
                                                mode="bilinear") / len(features)
            for (y, x), s in zip(places, scores):
                total[:, y:y + size, x:x + size] += s
                count[y:y + size, x:x + size] += 1
        return (total / count).argmax(0)


def timed(repetitions, work):
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--builds", type=int, default=1, help="repetitions of the class build")
    parser.add_argument("--windows", type=int, nargs="+", required=True)
    parser.add_argument("--stride", type=int, required=True)
    parser.add_argument("--classes", type=int, default=10)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    p = Pipeline(a.bundle)
    report = {}
    built = {}

    def build():
        pictures, maps = p.paint("sneaker", a.pictures, a.steps, 8.0)
        built.update(p.prototypes(pictures, maps, 32))

    report["class_build"] = timed(a.builds, build)
    z = torch.randn(16, 4, p.latent, p.latent)
    states = p.empty.expand(16, -1, -1)
    report["unet_step_16"] = timed(a.repetitions, lambda: p.unet(z, 500, states))
    report["vae_decode_8"] = timed(a.repetitions, lambda: p.vae.decode(z[:8]))
    x = torch.rand(8, 3, p.picture, p.picture)
    report["features_8"] = timed(a.repetitions, lambda: p.features(x))
    scene = torch.from_numpy(np.asarray(Image.open(a.scene).convert("RGB"))).permute(2, 0, 1)[None] / 255
    classes = [built] * a.classes
    report["segment"] = timed(a.repetitions, lambda: p.segment(scene, classes, a.windows, a.stride))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
