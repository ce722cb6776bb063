"""The method a second time, in Python, to compare ours with: written from the paper's text and what is known of the
official program's order of operations, on the reference libraries' own networks (diffusers, transformers, timm),
sampler, thresholds (scikit-image) and K-means (scikit-learn). It shares no code with the engine.

What it follows is the profile `paper-code` with masks by attention: noise of half precision for painting, one noise
for all support pictures, bilinear cells, windows of two sizes and the whole picture, "a X and a Y".
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import pathlib

import numpy as np
import timm.models.vision_transformer as vit
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

TEMPLATE = "A good picture of a {}"
NEGATIVE = "text, low quality, blurry, cartoon, meme, low resolution, bad, poor, faded"
PAINTING_SEED, SUPPORT_SEED, WINDOW_SEED = 42, 43, 43
GUIDANCE, PARTS, ETA = 8.0, 32, 10


class _Recorder:
    """An attention processor that shows queries and probabilities of every cross-attention."""

    def __init__(self, name: str, log: list):
        self.name, self.log = name, log

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (query, key, value))
        probabilities = (q @ k.transpose(-1, -2) * attn.scale).softmax(-1)
        if encoder_hidden_states is not None:
            self.log.append((self.name, query, probabilities))
        return attn.to_out[0]((probabilities @ v).transpose(1, 2).flatten(2))


def stretch(maps: torch.Tensor) -> torch.Tensor:
    """[N, h, w], each to 0…1."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-6)


def resize(x: torch.Tensor, size) -> torch.Tensor:
    """[B, C, h, w], bilinear, neither aligned corners nor antialiasing."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def positions(table: torch.Tensor, side: int, grid: tuple[int, int]) -> torch.Tensor:
    """[1, 1 + side * side, D] to another grid, by the factor (grid + 0.1) / side."""
    if grid == (side, side):
        return table
    patches = table[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    factor = tuple((g + 0.1) / side for g in grid)
    moved = F.interpolate(patches, scale_factor=factor, mode="bicubic", align_corners=False, recompute_scale_factor=False)
    assert moved.shape[-2:] == grid
    return torch.cat([table[:, :1], moved.flatten(2).transpose(1, 2)], 1)


def picture_tensor(picture: np.ndarray) -> torch.Tensor:
    """[H, W, 3] of 8 bits to [1, 3, H, W], 0…1."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


@dataclasses.dataclass
class Prototypes:
    """Of one class: by space and side, [P, C] of unit length."""

    foreground: dict[str, torch.Tensor]
    background: dict[str, torch.Tensor]


class Diffusion:
    def __init__(self, folder: pathlib.Path, picture_size: int):
        load = lambda cls, part: cls.from_pretrained(folder / part, torch_dtype=torch.float32).eval()  # noqa: E731
        self.unet, self.vae = load(UNet2DConditionModel, "unet"), load(AutoencoderKL, "vae")
        self.text = load(CLIPTextModel, "text_encoder")
        self.words = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.log: list = []
        self.unet.set_attn_processor({name: _Recorder(name, self.log) for name in self.unet.attn_processors})
        self.side = picture_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.schedule = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")

    def states(self, prompts: list[str]) -> torch.Tensor:
        context = self.text.config.max_position_embeddings
        ids = self.words(prompts, padding="max_length", max_length=context, truncation=True, return_tensors="pt")
        return self.text(ids.input_ids)[0]

    def columns(self, name: str) -> list[int]:
        """Where the class stands in the prompt's tokens."""
        before = self.words(TEMPLATE.split("{}")[0], add_special_tokens=False).input_ids
        own = self.words(name, add_special_tokens=False).input_ids
        first = 1 + len(before)
        assert self.words(TEMPLATE.format(name)).input_ids[first : first + len(own)] == own
        return list(range(first, first + len(own)))

    def paint(self, name: str, count: int, steps: int, batch: int = 8) -> tuple[np.ndarray, torch.Tensor]:
        """[N, H, W, 3] of 8 bits and attribution maps [N, h, w]."""
        generator = torch.Generator().manual_seed(PAINTING_SEED)
        pictures, maps = [], []
        for first in range(0, count, batch):
            n = min(batch, count - first)
            noise = torch.randn(n, 4, self.side, self.side, generator=generator, dtype=torch.float16)
            picture, attribution = self._denoise(name, noise.float(), steps)
            pictures.append(picture)
            maps.append(attribution)
        return np.concatenate(pictures), torch.cat(maps)

    def _denoise(self, name: str, latents: torch.Tensor, steps: int) -> tuple[np.ndarray, torch.Tensor]:
        n, columns, side = len(latents), self.columns(name), self.side
        solver = DPMSolverMultistepScheduler(**self.schedule, final_sigmas_type="sigma_min")
        solver.set_timesteps(steps)
        states = self.states([NEGATIVE] * n + [TEMPLATE.format(name)] * n)
        total, count = torch.zeros(n, side, side), 0
        for timestep in solver.timesteps:
            self.log.clear()
            without, given = self.unet(torch.cat([latents, latents]), timestep, states).sample.chunk(2)
            for _, _, probabilities in self.log:
                chosen = probabilities[n:, :, :, columns].transpose(2, 3)  # [n, heads, tokens, cells]
                grid = int(chosen.shape[-1] ** 0.5)
                heads = chosen.flatten(1, 2).unflatten(2, (grid, grid))
                # Each head's map of each token alone: the clamp comes before any mean.
                heads = F.interpolate(heads, (side, side), mode="bicubic", align_corners=False).clamp_min(0)
                total += heads.sum(1) / len(columns)
                count += chosen.shape[1]
            noise = without + GUIDANCE * (given - without)
            latents = solver.step(noise, timestep, latents).prev_sample
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy()
        return pixels, total / count

    def features(self, image: torch.Tensor, spec: dict, posterior: torch.Tensor, forward: torch.Tensor) -> torch.Tensor:
        """[C, h, w] of [1, 3, H, W], 0…1: queries of the chosen blocks, in the order they run."""
        schedule = DPMSolverMultistepScheduler(**self.schedule)
        moments = self.vae.encode(image * 2 - 1).latent_dist
        clean = (moments.mean + moments.std * posterior) * self.vae.config.scaling_factor
        kept = schedule.alphas_cumprod[spec["timestep"]]
        self.log.clear()
        noised = kept.sqrt() * clean + (1 - kept).sqrt() * forward
        self.unet(noised, torch.tensor(spec["timestep"]), self.states([spec.get("prompt", "")]))
        maps = []
        for name, query, _ in self.log:
            if any(name.startswith(f"{block}.") for block in spec["layers"]):
                grid = int(query.shape[1] ** 0.5)
                maps.append(query.transpose(1, 2).unflatten(2, (grid, grid)))
        side = max(m.shape[-1] for m in maps)
        return torch.cat([resize(m, (side, side)) for m in maps], 1)[0]


class Vit:
    """Keys of a block of a timm vision transformer."""

    def __init__(self, folder: pathlib.Path, spec: dict):
        c = json.loads((folder / "config.json").read_text())
        self.model = vit.VisionTransformer(
            img_size=c["img_size"], patch_size=c["patch_size"], embed_dim=c["embed_dim"], depth=c["depth"],
            num_heads=c["num_heads"], num_classes=0, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        ).eval()  # fmt: skip
        self.model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
        self.patch, self.side, self.layer = c["patch_size"], c["img_size"] // c["patch_size"], spec["layer"]

    def keys(self, image: torch.Tensor) -> torch.Tensor:
        m = self.model
        patches = m.patch_embed.proj(image)
        grid = tuple(patches.shape[-2:])
        x = torch.cat([m.cls_token, patches.flatten(2).transpose(1, 2)], 1) + positions(m.pos_embed, self.side, grid)
        blocks = list(m.blocks)[: self.layer % len(m.blocks) + 1]
        for block in blocks[:-1]:
            x = block(x)
        keys = blocks[-1].attn.qkv(blocks[-1].norm1(x)).chunk(3, -1)[1]
        return keys[0, 1:].T.unflatten(1, grid)


class Clip:
    def __init__(self, folder: pathlib.Path, tokenizer: pathlib.Path):
        self.model = CLIPModel.from_pretrained(folder).float().eval()
        self.words = CLIPTokenizer.from_pretrained(tokenizer)
        self.vision = self.model.vision_model

    def texts(self, texts: list[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            ids = self.words(text, truncation=True, max_length=77, return_tensors="pt")
            pooled = self.model.text_model(input_ids=ids.input_ids, attention_mask=ids.attention_mask).pooler_output
            rows.append(self.model.text_projection(pooled)[0])
        return F.normalize(torch.stack(rows), dim=-1)

    def picture(self, image: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.model.visual_projection(self.vision(pixel_values=image).pooler_output), dim=-1)[0]

    def keys(self, image: torch.Tensor, layer: int) -> torch.Tensor:
        embeddings = self.vision.embeddings
        patches = embeddings.patch_embedding(image)
        grid = tuple(patches.shape[-2:])
        side = int((embeddings.position_embedding.weight.shape[0] - 1) ** 0.5)
        table = positions(embeddings.position_embedding.weight[None], side, grid)
        x = torch.cat([embeddings.class_embedding[None, None], patches.flatten(2).transpose(1, 2)], 1) + table
        x = self.vision.pre_layrnorm(x)
        layers = list(self.vision.encoder.layers)[: layer % len(self.vision.encoder.layers) + 1]
        for block in layers[:-1]:
            x = block(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
        keys = layers[-1].self_attn.k_proj(layers[-1].layer_norm1(x))
        return keys[0, 1:].T.unflatten(1, grid)


class Reference:
    def __init__(self, bundle: pathlib.Path):
        torch.set_grad_enabled(False)
        self.spec = json.loads((bundle / "bundle.json").read_text())
        self.size = self.spec["diffusion"]["picture_size"]
        self.diffusion = Diffusion(bundle / self.spec["diffusion"]["folder"], self.size)
        self.spaces = {s["name"]: s for s in self.spec["spaces"]}
        prefilter = self.spec["prefilter"]
        self.clip = Clip(bundle / prefilter["folder"], bundle / prefilter["tokenizer"])
        self.vits = {n: Vit(bundle / s["folder"], s) for n, s in self.spaces.items() if s["type"] == "vit"}
        self.subsets: dict[tuple[str, ...], torch.Tensor] = {}

    # Support pictures.

    def masks(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, h, w] to foreground and background, [N, S, S] bool."""
        stretched = stretch(maps)
        lower, upper = threshold_multiotsu(stretched.numpy(), classes=3)
        pixels = stretch(resize(stretched[:, None], (self.size, self.size))[:, 0])
        return pixels > upper, pixels < lower

    def features(self, image: torch.Tensor, space: str, support: bool) -> torch.Tensor:
        """[C, h, w] of [1, 3, H, W], 0…1."""
        spec = self.spaces[space]
        kind = spec["support_input" if support else "window_input"]
        short, long = min(image.shape[-2:]), max(image.shape[-2:])
        if kind["fit"] == "squash":
            image = image if image.shape[-2:] == (kind["size"],) * 2 else resize(image, (kind["size"], kind["size"]))
        else:
            assert short <= kind["size"] and long <= kind["max_size"], "a window larger than the bundle's is not covered"
        if spec["type"] == "stable_diffusion":
            noise = torch.Generator().manual_seed(SUPPORT_SEED if support else WINDOW_SEED)
            shape = (1, 4, self.diffusion.side, self.diffusion.side)
            posterior = torch.randn(shape, generator=noise)
            forward = posterior if support else torch.randn(shape, generator=noise)
            return self.diffusion.features(image, spec, posterior, forward)
        mean, std = (torch.tensor(spec[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        image = (image - mean) / std
        return self.clip.keys(image, spec["layer"]) if spec["type"] == "clip_vision" else self.vits[space].keys(image)

    def prototypes(self, pictures: np.ndarray, maps: torch.Tensor, parts: bool) -> Prototypes:
        masks = self.masks(maps)
        made = Prototypes({}, {})
        for space in self.spaces:
            cells: tuple[list, list] = ([], [])
            for n, picture in enumerate(pictures):
                features = self.features(picture_tensor(picture), space, support=True)
                inside = [resize(m[n][None, None].float(), features.shape[-2:])[0, 0] > 0 for m in masks]
                if inside[0].any():
                    for side in (0, 1):
                        cells[side].append(features[:, inside[side]].T)
            for side, out in zip(cells, (made.foreground, made.background)):
                rows = torch.cat(side)
                vectors = [rows.mean(0, keepdim=True)] + [c.mean(0, keepdim=True) for c in side if len(c)]
                if parts:
                    k = min(PARTS, len(rows))
                    centres = KMeans(k, n_init=1, random_state=0).fit(rows.numpy()).cluster_centers_
                    vectors.append(torch.from_numpy(centres))
                out[space] = F.normalize(torch.cat(vectors), dim=1)
        return made

    # Photos.

    def prefilter(self, picture: np.ndarray, names: list[str]) -> list[str]:
        spec = self.spec["prefilter"]
        square = Image.fromarray(picture).resize((spec["intermediate_size"],) * 2, Image.Resampling.LANCZOS)
        image = picture_tensor(np.asarray(square))
        if spec["input_size"] != spec["intermediate_size"]:
            image = resize(image, (spec["input_size"],) * 2)
        mean, std = (torch.tensor(spec[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        seen = self.clip.picture((image - mean) / std)
        names = sorted(names)
        likely = (self._texts(tuple(f"a {n}" for n in names)) @ seen).softmax(0)
        kept = [n for n, p in zip(names, likely.tolist()) if p >= 1 / len(names) * (1 - 1e-6)]
        kept = sorted(sorted(kept, key=lambda n: -likely[names.index(n)])[:ETA])
        subsets = [s for size in range(1, len(kept) + 1) for s in itertools.combinations(kept, size)]
        fits = self._texts(tuple(" and ".join(f"a {n}" for n in s) for s in subsets)) @ seen
        return list(subsets[int(fits.argmax())])

    def _texts(self, texts: tuple[str, ...]) -> torch.Tensor:
        missing = [t for t in texts if t not in self.subsets]
        if missing:
            self.subsets.update(zip(missing, self.clip.texts(missing)))
        return torch.stack([self.subsets[t] for t in texts])

    def windows(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """(y, x, height, width): each size every `stride` pixels, the last shifted inward; then the whole picture."""
        stride = self.spec["windows"]["stride"]
        found = []
        for size in self.spec["windows"]["sizes"]:
            starts = [
                [min(i * stride, max(side - size, 0)) for i in range(max(math.ceil((side - size) / stride), 0) + 1)]
                for side in (height, width)
            ]
            found += [(y, x, min(size, height), min(size, width)) for y in starts[0] for x in starts[1]]
        return [*found, (0, 0, height, width)]

    def scores(self, picture: np.ndarray, prototypes: dict[str, Prototypes], kept: list[str]) -> torch.Tensor:
        """[1 + kept, H, W]: background, then the kept classes."""
        height, width = picture.shape[:2]
        assert min(height, width) == self.spec["windows"]["short_side"], "pictures of another size are not covered"
        image = picture_tensor(picture)
        total, count = torch.zeros(1 + len(kept), height, width), torch.zeros(height, width)
        for y, x, h, w in self.windows(height, width):
            for space in self.spaces:
                features = F.normalize(self.features(image[..., y : y + h, x : x + w], space, support=False), dim=0)
                best = lambda side: torch.einsum("pc,chw->phw", side[space], features).amax(0)  # noqa: E731
                backgrounds = torch.stack([best(prototypes[n].background) for n in kept]).amax(0)
                maps = torch.stack([backgrounds, *(best(prototypes[n].foreground) for n in kept)])
                total[:, y : y + h, x : x + w] += resize(maps[None], (h, w))[0]
                count[y : y + h, x : x + w] += 1
        return total / count

    def labels(self, picture: np.ndarray, prototypes: dict[str, Prototypes], names: list[str]) -> tuple[np.ndarray, list]:
        """[H, W] of 8 bits, 0 background, 1… in the order of `names`; and which classes were kept."""
        kept = self.prefilter(picture, names)
        scores = self.scores(picture, prototypes, kept).clamp_min(0)
        table = np.array([0] + [1 + names.index(n) for n in kept], np.uint8)
        return table[scores.argmax(0).numpy()], kept
