"""Stage `dino`: a ViT by self-distillation, without captions.

DINO's class-token loss with iBOT's patch loss. The teacher sees the whole
picture; the student sees windows of it in other colours, in part masked, at
their own places of the position grid, and must say what the teacher says of
the picture (class token) and of each place (patches).
"""

from __future__ import annotations

import copy
import math

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import nn

from . import local_attention, probes
from .pictures import held_out, pool, scenes_tensor
from .run import Recipe, Run, Training

RECIPE = Recipe(steps=1600, batch=24, rate=6e-4, weight_decay=0.04, warmup=300, measure=500)
_SHARES = {"single": 0.4, "several": 0.5, "wide": 0.05, "ground": 0.05}
WIDTH, DEPTH, HEADS, PATCH, SIDE = 96, 4, 4, 4, 16  # SIDE: patches of a picture's side
_WINDOW = 9  # patches of a student window's side
_MASKED = 0.3  # share of a window's patches that the student does not see
_PROTOTYPES = 256
_TEACHER_TEMPERATURE, _STUDENT_TEMPERATURE = 0.05, 0.1
_FIRST_MOMENTUM = 0.99

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def make_vit() -> timm.models.vision_transformer.VisionTransformer:
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=PATCH * SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=0
    )
    # As for CLIP: timm's initial weights are too small for a network of this size.
    for name, weight in vit.named_parameters():
        if weight.ndim >= 2 and name not in ("pos_embed", "cls_token"):
            nn.init.xavier_uniform_(weight.view(len(weight), -1))
    local_attention.start_positions(vit.pos_embed[0], SIDE, HEADS)
    writes = [vit.patch_embed.proj.weight]
    for block in vit.blocks:
        writes += [block.attn.proj.weight, block.mlp.fc2.weight]
    local_attention.keep_apart(writes, HEADS)
    for block in list(vit.blocks)[:-1]:
        query, key, _ = block.attn.qkv.weight.chunk(3)
        local_attention.start_heads(query, key, SIDE, HEADS)
    return vit


class _Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, 64))
        self.prototypes = nn.Parameter(torch.randn(_PROTOTYPES, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.vit = make_vit()
        self.class_head, self.patch_head = _Head(), _Head()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, WIDTH))

    def tokens(self, pictures: torch.Tensor, places: torch.Tensor | None = None, masked: torch.Tensor | None = None):
        """(b, 1 + n, WIDTH). `places` (n,): the patches to look at; all if None. `masked` (b, n)."""
        vit = self.vit
        patches = vit.patch_embed(pictures)
        positions = vit.pos_embed[:, 1:]
        if places is not None:
            patches, positions = patches[:, places], positions[:, places]
        if masked is not None:
            patches = torch.where(masked[..., None], self.mask_token, patches)
        class_token = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(pictures), -1, -1)
        return vit.norm(vit.blocks(torch.cat([class_token, patches + positions], 1)))


def _turn_colours(rng: np.random.Generator, pictures: torch.Tensor) -> torch.Tensor:
    """Each picture in other colours: a product is no colour. Channels are exchanged
    half the time, and brightness and contrast change."""
    out = pictures.clone()
    for n in range(len(out)):
        if rng.random() < 0.5:
            out[n] = out[n][torch.from_numpy(rng.permutation(3))]
    gain = torch.from_numpy(rng.uniform(0.7, 1.3, (len(out), 1, 1, 1))).float()
    bias = torch.from_numpy(rng.uniform(-0.1, 0.1, (len(out), 3, 1, 1))).float()
    return (out * gain + bias).clamp(0, 1)


def _zoom(rng: np.random.Generator, pictures: torch.Tensor) -> torch.Tensor:
    """Mirrored and zoomed by up to a third; the same for teacher and student."""
    n = len(pictures)
    scale = torch.from_numpy(rng.uniform(0.65, 1.0, n)).float()
    shift = torch.from_numpy(rng.uniform(-1, 1, (n, 2))).float() * (1 - scale)[:, None]
    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0] = scale * torch.from_numpy(rng.choice([-1.0, 1.0], n)).float()
    turn[:, 1, 1] = scale
    turn[:, :, 2] = shift
    return F.grid_sample(pictures, F.affine_grid(turn, pictures.shape, align_corners=False), align_corners=False)


def _distil(student: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * (student / _STUDENT_TEMPERATURE).log_softmax(-1)).sum(-1).mean()


class _Centre:
    """Running mean of the teacher's logits, kept in a buffer so that it is saved."""

    def __init__(self, buffer: torch.Tensor):
        self.buffer = buffer

    def target(self, logits: torch.Tensor) -> torch.Tensor:
        target = ((logits - self.buffer) / _TEACHER_TEMPERATURE).softmax(-1)
        self.buffer.lerp_(logits.flatten(0, -2).mean(0), 0.1)
        return target


def keys(vit: nn.Module, scenes: list) -> torch.Tensor:
    """The last block's, as the engine takes them: (b, SIDE, SIDE, WIDTH)."""
    x = ((scenes_tensor(scenes) - MEAN) / STD).to(next(vit.parameters()).device)
    (out,) = probes.outputs([vit.blocks[-1].attn.qkv], lambda: vit.forward_features(x))
    return out[:, 1:, WIDTH : 2 * WIDTH].unflatten(1, (SIDE, SIDE))


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    pictures = pool(run)
    torch.manual_seed(run.seed)
    student = _Network()
    modules = nn.ModuleDict({"student": student, "teacher": copy.deepcopy(student).requires_grad_(False)})
    modules.register_buffer("class_centre", torch.zeros(_PROTOTYPES))
    modules.register_buffer("patch_centre", torch.zeros(_PROTOTYPES))
    training = Training(run, "dino", modules, recipe)
    student, teacher = modules["student"], modules["teacher"]
    if run.device.type == "cpu":  # as in clip.py
        for block in [*student.vit.blocks, *teacher.vit.blocks]:
            block.attn.fused_attn = False
    class_centre, patch_centre = _Centre(modules.class_centre), _Centre(modules.patch_centre)
    val, train_scenes = held_out("val", 100), held_out("train", 100)
    grid = torch.arange(SIDE * SIDE).view(SIDE, SIDE)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(7, step)
        whole = _zoom(rng, pictures.tensor(pictures.draw(rng, recipe.batch, _SHARES)))
        with torch.no_grad(), run.autocast():
            tokens = teacher.tokens(((whole - MEAN) / STD).to(run.device))
            class_logits, patch_logits = teacher.class_head(tokens[:, 0]).float(), teacher.patch_head(tokens[:, 1:]).float()
        class_target, patch_target = class_centre.target(class_logits), patch_centre.target(patch_logits)
        class_loss = patch_loss = 0.0
        for _ in range(2):
            y, x = rng.integers(0, SIDE - _WINDOW + 1, 2)
            places = grid[y : y + _WINDOW, x : x + _WINDOW].flatten().to(run.device)
            masked = torch.from_numpy(rng.random((recipe.batch, len(places))) < _MASKED).to(run.device)
            view = ((_turn_colours(rng, whole) - MEAN) / STD).to(run.device)
            with run.autocast():
                tokens = student.tokens(view, places, masked)
                class_logits, patch_logits = student.class_head(tokens[:, 0]), student.patch_head(tokens[:, 1:])
            class_loss = class_loss + _distil(class_logits.float(), class_target) / 2
            patch_loss = patch_loss + _distil(patch_logits.float(), patch_target[:, places]) / 2
        return {"class": class_loss, "patch": patch_loss}

    @torch.no_grad()
    def follow(step: int) -> None:
        keep = 1 - (1 - _FIRST_MOMENTUM) * (math.cos(math.pi * step / recipe.steps) + 1) / 2
        for theirs, ours in zip(teacher.parameters(), student.parameters()):
            theirs.lerp_(ours, 1 - keep)

    def measure() -> dict[str, float]:
        found = probes.probe(lambda scenes: keys(teacher.vit, scenes), train_scenes, val)
        return {f"val_probe_{name}": value for name, value in found.items()}

    training.fit(loss, measure, follow)


def load(run: Run) -> nn.Module:
    vit = make_vit()
    state = torch.load(run.work / "dino.pt", map_location="cpu")["modules"]
    vit.load_state_dict({k.removeprefix("teacher.vit."): v for k, v in state.items() if k.startswith("teacher.vit.")})
    return vit.eval().requires_grad_(False)
