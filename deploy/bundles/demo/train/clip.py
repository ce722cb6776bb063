"""Stage `clip`: image and text towers, from pictures and captions.

The image tower is helped by the teacher, which has seen no more (teacher.py). Of
lone products it also sees close-ups, by the box that the scene has. deepen.py and widen.py go on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPConfig, CLIPModel

from . import local_attention, probes
from . import teacher as teacher_stage
from .pictures import BACKGROUNDS, COLOURS, PRODUCTS, Pool, held_out, pool, scenes_tensor
from .run import Recipe, Run, Training
from .tokenizer import tokenizer

RECIPE = Recipe(steps=14500, batch=32, rate=6e-4, weight_decay=0.05, betas=(0.9, 0.98), warmup=200, ema=0.998, measure=500)
LAYERS, WIDTH, HEAD = 4, 128, 32  # of the image tower; HEAD: width of one of its heads
# Texts alone first, until each is told from every other. At the start all texts
# have nearly one embedding, and while products look alike to the text tower the
# image tower learns nothing of them: colours and grounds win, products wait long.
_SPREAD = 150
# Then pictures alone: each patch learns what the teacher sees at its place, the
# class token which products there are, through linear layers that are thrown away.
# Shapes are harder than colours and grounds, which would win otherwise.
# Then pictures and texts, with all that can be said of them; every other step, as
# texts cost as much as pictures and are learnt sooner.
_SHAPES = 2800
_SHARES = {"single": 0.35, "several": 0.5, "wide": 0.1, "ground": 0.05}
_CLOSE = 0.25  # share of close-ups among pictures of one object
_CAPTIONED = 16  # pictures of a batch with their whole caption
_ONE_MORE = 0.6  # share of a set with one product too many, beside the right one's 1
_LIKELY = 4.0  # weight of what the prefilter's first stage asks for
_LIKELY_PRESENT = 3.0  # there, weight of present products, beside the absent ones' 1
_TEXTS_AT_ONCE = 64
_WRONG_SETS = 24  # captions that name other products than the picture has

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def make(vocabulary: int, layers: int, width: int = WIDTH) -> CLIPModel:
    """`layers`, `width`: of the image tower."""
    marks = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    tower = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    seen = {**tower, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": width // HEAD}
    clip = CLIPModel(
        CLIPConfig(
            text_config={**tower, **marks, "vocab_size": vocabulary, "max_position_embeddings": 77, "projection_dim": 128},
            vision_config={**seen, "image_size": 64, "patch_size": 8, "projection_dim": 128},
            projection_dim=128,
        )
    )
    # transformers' initial weights are so small that a tower of this size learns no
    # shapes for a thousand steps; with these it does from the hundredth on.
    for name, weight in clip.vision_model.named_parameters():
        if weight.ndim >= 2:
            nn.init.xavier_uniform_(weight.view(len(weight), -1))
    vision = clip.vision_model
    heads, side = seen["num_attention_heads"], 8
    local_attention.start_positions(vision.embeddings.position_embedding.weight, side, heads)
    writes = [vision.embeddings.patch_embedding.weight]
    for layer in vision.encoder.layers:
        writes += [layer.self_attn.out_proj.weight, layer.mlp.fc2.weight]
    local_attention.keep_apart(writes, heads)
    for layer in list(vision.encoder.layers)[:-1]:
        local_attention.start_heads(layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight, side, heads)
    return clip


def tensor(features) -> torch.Tensor:
    """transformers 5 wraps what 4 returned plain."""
    return features if torch.is_tensor(features) else features.pooler_output


class Towers:
    def __init__(self, clip: CLIPModel, words, device: torch.device):
        self.clip, self.words, self.device = clip, words, device

    def images(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.projected(self.tokens(pictures)[0])

    def tokens(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The class token before its projection, (b, width), and those of the patches, (b, 64, width)."""
        seen = self.clip.vision_model(pixel_values=((pictures - MEAN) / STD).to(self.device))
        return seen.pooler_output, seen.last_hidden_state[:, 1:]

    def keys(self, scenes: list) -> torch.Tensor:
        """The last layer's, as the engine takes them: (b, 8, 8, width)."""
        last = self.clip.vision_model.encoder.layers[-1].self_attn.k_proj
        (out,) = probes.outputs([last], lambda: self.tokens(scenes_tensor(scenes)))
        return out[:, 1:].unflatten(1, (8, 8))

    def projected(self, pooled: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.clip.visual_projection(pooled).float(), dim=-1)

    def texts(self, captions: list[str]) -> torch.Tensor:
        """(n, 128). In parts of like lengths, as padding costs what words cost: product sets have one to eight names."""
        ids = self.words(captions, truncation=True, max_length=77).input_ids
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
        features = []
        for first in range(0, len(order), _TEXTS_AT_ONCE):
            some = {"input_ids": [ids[n] for n in order[first : first + _TEXTS_AT_ONCE]]}
            tokens = self.words.pad(some, return_tensors="pt").to(self.device)
            features.append(tensor(self.clip.get_text_features(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)))
        return F.normalize(torch.cat(features)[np.argsort(order)].float(), dim=-1)


def name_set(names) -> str:
    return " and ".join(f"a {name}" for name in names)


def _views(rng: np.random.Generator, pictures: Pool, indices: np.ndarray, close: float) -> torch.Tensor:
    """Mirrored half the time, brighter or darker, shifted by up to a tenth; a share
    `close` of those with one object as a close-up of it."""
    turn = np.zeros((len(indices), 2, 3), np.float32)
    for n, index in enumerate(indices):
        objects = pictures.objects[index]
        scale, centre = 1.0, rng.uniform(-0.1, 0.1, 2)
        if len(objects) == 1 and rng.random() < close:
            x0, y0, x1, y1 = objects[0].box
            scale = max(x1 - x0, y1 - y0) / 64 * rng.uniform(1.05, 1.5)
            centre = np.array([x0 + x1, y0 + y1]) / 64 - 1 + rng.uniform(-0.1, 0.1, 2)
        turn[n, :, 2], turn[n, 1, 1], turn[n, 0, 0] = centre, scale, scale * rng.choice([-1, 1])
    x = pictures.tensor(indices)
    grid = F.affine_grid(torch.from_numpy(turn), x.shape, align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return (x * torch.from_numpy(rng.uniform(0.85, 1.15, (len(x), 1, 1, 1))).float()).clamp(0, 1)


def _spread(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross entropy against equal shares of what is wanted; rows without any are left out."""
    share = wanted.sum(1, keepdim=True)
    per_row = -(wanted / share.clamp_min(1) * logits.log_softmax(1)).sum(1)
    some = (share[:, 0] > 0).float()
    return (per_row * some).sum() / some.sum().clamp_min(1)


class Concepts:
    """Short texts of which several may be true of a picture: products, coloured
    products, backgrounds; and texts of product sets, of which one is."""

    def __init__(self, pictures: Pool):
        self.pictures = pictures
        self.products = list(PRODUCTS)
        self.coloured = [f"{colour} {product}" for product in PRODUCTS for colour in COLOURS]
        self.grounds = list(BACKGROUNDS)
        self.texts = [f"a {name}" for name in self.products + self.coloured + self.grounds]
        self.subsets = subsets(self.products)
        self.members = torch.tensor([[name in names for name in self.products] for names in self.subsets])
        self.groups = np.cumsum([0, len(self.products), len(self.coloured), len(self.grounds)])

    def truth(self, indices: np.ndarray) -> torch.Tensor:
        table = torch.zeros(len(indices), len(self.texts))
        column = {text: n for n, text in enumerate(self.texts)}
        for row, index in enumerate(indices):
            for thing in self.pictures.objects[index]:
                table[row, column[f"a {thing.product}"]] = 1
                table[row, column[f"a {thing.colour} {thing.product}"]] = 1
            for ground in self.pictures.backgrounds[index]:
                table[row, column[f"a {ground}"]] = 1
        return table

    def sets(self, rng: np.random.Generator, indices: np.ndarray) -> tuple[list[str], torch.Tensor]:
        """Texts of the pictures' product sets and of other sets; which is whose."""
        own = [frozenset(o.product for o in self.pictures.objects[i]) for i in indices]
        bank = dict.fromkeys(s for s in own if s)
        bank |= dict.fromkeys(frozenset([name]) for name in self.products)
        for n in range(_WRONG_SETS):
            # Half are a picture's own set with one product more, less or exchanged.
            near = set(own[rng.integers(len(own))]) if n % 2 else set(rng.choice(self.products, rng.integers(2, 9), replace=False))
            change = rng.choice(self.products, 2, replace=False)
            if n % 2 and rng.random() < 0.67:
                near ^= set(change[: rng.integers(1, 3)])
            if near:
                bank[frozenset(str(name) for name in near)] = None
        sets = list(bank)
        texts = [name_set(rng.permutation(sorted(s))) for s in sets]
        row = {s: n for n, s in enumerate(sets)}
        wanted = torch.zeros(len(indices), len(sets))
        for n, s in enumerate(own):
            for other in sets if s else ():
                # In doubt one product too many: what the prefilter drops is lost.
                wanted[n, row[other]] = 1.0 if other == s else _ONE_MORE if other > s and len(other) == len(s) + 1 else 0.0
        return texts, wanted


class _TeacherView:
    """What the teacher sees at each place: features (b, 64, width), each channel of
    mean 0 and deviation 1 over the pool, and logits of the products (b, 64, products)."""

    def __init__(self, run: Run, pictures: Pool):
        self.teacher = teacher_stage.load(run)
        some = pictures.tensor(np.arange(0, len(pictures.images), len(pictures.images) // 512))
        features = self._places(some.to(run.device))[0]
        self.mean, self.deviation = features.mean((0, 1)), features.std((0, 1)) + 1e-3

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = self._places(x)
        return (features - self.mean) / self.deviation, logits

    @torch.no_grad()
    def _places(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = self.teacher(x)
        return features.flatten(2).transpose(1, 2), logits.flatten(2).transpose(1, 2)


def _likely(logits: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The prefilter first drops names whose softmax is below 1 / names, which at a
    cosine's scale is: below the mean. So present products belong above it."""
    centred = logits - logits.mean(1, keepdim=True)
    return F.binary_cross_entropy_with_logits(centred, there, pos_weight=torch.tensor(_LIKELY_PRESENT, device=there.device))


def subsets(names: list[str]) -> list[tuple[str, ...]]:
    return [tuple(n for b, n in enumerate(names) if bits >> b & 1) for bits in range(1, 2 ** len(names))]


@torch.no_grad()
def measure(towers: Towers, singles: list, scenes: list) -> dict[str, float]:
    """Held-out: names of lone products; all present products kept by the prefilter's rule."""
    names = sorted(PRODUCTS)
    single = towers.texts([f"a {name}" for name in names])
    best = (towers.images(scenes_tensor(singles)) @ single.T).argmax(1).tolist()
    right = np.mean([names[b] == scene.objects[0].product for b, scene in zip(best, singles)])
    pictures = towers.images(scenes_tensor(scenes))
    likely = (pictures @ single.T).softmax(1) >= 1 / len(names)
    sets = subsets(names)
    fits = pictures @ torch.cat([towers.texts([name_set(s) for s in sets[i : i + 64]]) for i in range(0, len(sets), 64)]).T
    kept_all, kept = [], []
    for row, scene in enumerate(scenes):
        allowed = {name for n, name in enumerate(names) if likely[row, n]}
        order = fits[row].argsort(descending=True).tolist()
        keep = next((set(sets[i]) for i in order if set(sets[i]) <= allowed), set())
        present = {o.product for o in scene.objects}
        kept_all.append(present <= keep)
        kept.append((len(keep & present), len(present), len(keep)))
    hit, present, all_kept = np.sum(kept, axis=0)
    return {
        "val_names": right,
        "val_keeps_all": np.mean(kept_all),
        "val_recall": hit / present,
        "val_precision": hit / max(all_kept, 1),
    }


def parts(vocabulary: int, layers: int, width: int = WIDTH) -> nn.ModuleDict:
    """CLIP, and the linear layers through which it learns, thrown away later."""
    products = len(PRODUCTS)
    return nn.ModuleDict(
        {
            "clip": make(vocabulary, layers, width),
            "names": nn.Linear(width, products),
            "places": nn.Linear(width, teacher_stage.WIDTH + products),
        }
    )


def own_set(concepts: Concepts, rng: np.random.Generator, indices: np.ndarray) -> tuple[list[str], Callable]:
    """Texts, and the loss of their logits: each picture's own set stands out from the others."""
    texts, wanted = concepts.sets(rng, indices)
    return texts, lambda logits: _spread(logits, wanted.to(logits.device))


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    torch.manual_seed(run.seed)
    learn(run, Training(run, "clip", parts(len(tokenizer(run)), LAYERS), recipe), _SPREAD, _SHAPES, own_set)


def learn(run: Run, training: Training, spread: int, shapes_alone: int, sets: Callable) -> None:
    """`spread` and `shapes_alone`: where texts alone, and pictures alone, end (above).
    `sets` as own_set."""
    pictures, words, products = pool(run), tokenizer(run), len(PRODUCTS)
    modules, recipe = training.modules, training.recipe
    clip = modules["clip"]
    if run.device.type == "cpu":  # where PyTorch's fused attention is slower than the plain one at bfloat16
        for m in (clip, training.average["clip"]):
            m.set_attn_implementation("eager")
    towers, averaged = (Towers(m["clip"], words, run.device) for m in (modules, training.average))
    concepts = Concepts(pictures)
    singles, scenes = held_out("val", 200, (1, 1)), held_out("val", 200)
    seen_by_teacher = _TeacherView(run, pictures)

    def shapes(rng: np.random.Generator, indices: np.ndarray) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The class tokens, and what they and the patches have to learn of shapes."""
        views = _views(rng, pictures, indices, _CLOSE)
        features, logits = seen_by_teacher(views.to(run.device))
        with run.autocast():
            pooled, patches = towers.tokens(views)
        told = modules["places"](patches.float())
        binary = F.binary_cross_entropy_with_logits
        there = teacher_stage.truth(pictures, indices).to(run.device)
        return pooled, {
            "names": binary(modules["names"](pooled.float()), there) * products,
            "place_features": F.mse_loss(told[..., products:], features),
            "place_names": binary(told[..., :products], logits.sigmoid()) * products,
        }

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(5, step)
        indices = pictures.draw(rng, recipe.batch, _SHARES)
        captions = pictures.captions(rng, indices[:_CAPTIONED])
        set_texts, set_loss = sets(concepts, rng, indices)
        if step < spread:
            with run.autocast():
                texts = towers.texts(list(dict.fromkeys(set_texts + concepts.texts)))
            itself = torch.arange(len(texts), device=run.device)
            return {"spread": F.cross_entropy(clip.logit_scale.exp() * texts @ texts.T, itself)}
        pooled, terms = shapes(rng, indices)
        if step < shapes_alone or step % 2:
            return terms
        scale, truth = clip.logit_scale.exp(), concepts.truth(indices).to(run.device)
        with run.autocast():
            image = towers.projected(pooled)
            text, set_text, short = (towers.texts(t) for t in (captions, set_texts, concepts.texts))
        logits = scale * image[:_CAPTIONED] @ text.T
        same = torch.tensor([[a == b for b in captions] for a in captions]).float().to(run.device)
        terms |= {
            "image_to_text": _spread(logits, same) / 2,
            "text_to_image": _spread(logits.T, same) / 2,
            "sets": set_loss(scale * image @ set_text.T),
        }
        for name, first, last in zip(("products", "coloured", "grounds"), concepts.groups, concepts.groups[1:]):
            terms[name] = _spread(scale * image @ short[first:last].T, truth[:, first:last])
        named = slice(concepts.groups[0], concepts.groups[1])
        terms["likely"] = _LIKELY * _likely(scale * image @ short[named].T, truth[:, named])
        return terms

    training.fit(
        loss,
        lambda: measure(averaged, singles, scenes),
        after=lambda step: clip.logit_scale.data.clamp_(max=4.6),
    )


def load(run: Run, stage: str, layers: int, width: int = WIDTH) -> CLIPModel:
    clip = make(len(tokenizer(run)), layers, width)
    state = torch.load(run.work / f"{stage}.pt", map_location="cpu")["average"]
    clip.load_state_dict({key.removeprefix("clip."): value for key, value in state.items() if key.startswith("clip.")})
    return clip.eval().requires_grad_(False)
