"""Stage `vae`: the autoencoder, 64 px to 16x16x4."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn

from .pictures import held_out, pool, scenes_tensor
from .run import Recipe, Run, Training

RECIPE = Recipe(steps=4000, batch=8, rate=3e-3, weight_decay=0.0, warmup=100, ema=0.995, measure=200)
SHARES = {"ground": 0.05, "single": 0.45, "several": 0.45, "wide": 0.05}
# Of the KL term: latents keep about unit scale, pictures keep their detail.
_KL = 1e-6
_GRADIENT = 0.5  # of the difference of edges: sharp outlines


def make() -> AutoencoderKL:
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(12, 24, 48),
        layers_per_block=1,
        latent_channels=4,
        # Four channels a group: with fewer a group norm throws colour away.
        norm_num_groups=3,
        sample_size=64,
    )
    with torch.no_grad():
        # Log-variances start low, or the first minutes go into unlearning noise.
        vae.quant_conv.bias[4:] = -6.0
        vae.quant_conv.weight[4:] *= 0.1
    return vae


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def psnr(vae: AutoencoderKL, pictures: torch.Tensor) -> float:
    """Mean over pictures of 0…1, through the mean of the latents."""
    decoded = vae.decode(vae.encode(pictures * 2 - 1).latent_dist.mean).sample / 2 + 0.5
    error = (decoded.clamp(0, 1) - pictures).square().mean((1, 2, 3))
    return float((-10 * torch.log10(error)).mean())


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    pictures = pool(run)
    torch.manual_seed(run.seed)
    modules = nn.ModuleDict({"vae": make()}).to(memory_format=torch.channels_last)
    training = Training(run, "vae", modules, recipe)
    vae, average = modules["vae"], training.average["vae"]
    val = scenes_tensor(held_out("val", 128)).to(run.device)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(2, step)
        x = pictures.tensor(pictures.draw(rng, recipe.batch, SHARES)).to(run.device) * 2 - 1
        x = x.contiguous(memory_format=torch.channels_last)
        latents = vae.encode(x).latent_dist
        y = vae.decode(latents.sample()).sample
        edges = sum((a - b).abs().mean() for a, b in zip(_edges(x), _edges(y)))
        return {
            "l1": (x - y).abs().mean(),
            "l2": 2 * (x - y).square().mean(),
            "edges": _GRADIENT * edges,
            "kl": _KL * latents.kl().mean(),
        }

    training.fit(loss, lambda: {"val_psnr": psnr(average, val)})


def load(run: Run) -> AutoencoderKL:
    """The trained autoencoder, its scaling factor measured on train scenes."""
    vae = make()
    checkpoint = torch.load(run.work / "vae.pt", map_location="cpu")
    vae.load_state_dict({key.removeprefix("vae."): value for key, value in checkpoint["average"].items()})
    if "scaling_factor" in checkpoint:  # of a bundle, by `restore`
        vae.register_to_config(scaling_factor=checkpoint["scaling_factor"])
        return vae.eval().requires_grad_(False)
    pictures = pool(run)
    x = pictures.tensor(pictures.draw(run.rng(3), 256, SHARES)) * 2 - 1
    torch.manual_seed(run.seed)
    with torch.no_grad():
        vae.register_to_config(scaling_factor=float(1 / vae.encode(x).latent_dist.sample().std()))
    return vae.eval().requires_grad_(False)
