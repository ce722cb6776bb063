"""Stage `diffusion`: text encoder and UNet, trained together.

Together, because a text encoder that was trained to match whole pictures tells
colours and grounds apart first, and a UNet under it ignores the product.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from . import critic as critic_stage
from . import probes
from . import vae as vae_stage
from .critic import coloured
from .latents import Latents
from .pictures import BACKGROUNDS, COLOURS, PRODUCTS, held_out, pool, scenes_tensor
from .run import Recipe, Run, Training
from .teacher import truth
from .tokenizer import CONTEXT, NEGATIVE_PROMPT, tokenizer

RECIPE = Recipe(steps=20000, batch=16, rate=1e-3, weight_decay=0.01, warmup=300, ema=0.998, measure=1500)
# Support pictures show one thing; captions of several teach what belongs to which word.
_SHARES = {"single": 0.52, "several": 0.4, "ground": 0.08}
_WITHOUT = 0.1  # share of captions left out, for classifier-free guidance
# Share of the other captions of which the UNet sees the words alone, without the marks that fill the context after
# them. Those know the whole caption: a UNet that listens to them draws a bag while "bag" itself is looked at nowhere.
_WORDS_ALONE = 0.7
# Weight of a picture's squared error, by signal to noise: SNR + 1, at most the cap
# (nearly clean latents teach little). The usual loss on noise is weighted by SNR: it
# hardly counts where little is seen, and only there must the words say what it is.
_SNR_CAP = 5.0
_MOST_WEIGHT = 25.0  # of the noise's squared error
_CRITIC = 0.004  # weight of the critic's word: a sixth of the loss, so that pictures stay likely
# When it speaks, as shares of all steps. From the start, pictures are drawn to please the
# critic (bags of many handles, sleeves in two colours) and stay so; where it speaks to the
# end, nothing takes that away again.
_CRITIC_FROM, _CRITIC_UNTIL = 0.4, 0.75
_GUESSED_BELOW = 900  # later timesteps' guesses say nothing
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
PROMPT = "A good picture of a {}"


def make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(48, 96, 144),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=12,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


def make_text_encoder(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )


class Model:
    """What a prompt needs to become a picture."""

    def __init__(self, run: Run, modules, words, vae):
        self.unet, self.text_encoder = modules["unet"], modules["text_encoder"]
        self.words, self.vae, self.device = words, vae.to(run.device), run.device

    def states(self, captions: list[str]) -> torch.Tensor:
        tokens = self.words(captions, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids.to(self.device))[0]

    def heard(self, captions: list[str], words_alone: np.ndarray) -> torch.Tensor:
        """(b, CONTEXT), 1 or 0: what the UNet may look at. `words_alone` (b,): neither end mark nor padding there."""
        counts = [len(ids) - 1 for ids in self.words(captions, truncation=True, max_length=CONTEXT).input_ids]
        last = torch.where(torch.from_numpy(words_alone), torch.tensor(counts), CONTEXT)
        return (torch.arange(CONTEXT) < last[:, None]).float().to(self.device)

    @torch.no_grad()
    def paint(self, prompts: list[str], steps: int = 20, guidance: float = 8.0, seed: int = 42) -> torch.Tensor:
        """(b, 3, 64, 64), 0…1."""
        sampler = DPMSolverMultistepScheduler(**NOISE)
        sampler.set_timesteps(steps)
        noise = torch.Generator().manual_seed(seed)
        latents = torch.randn(len(prompts), 4, 16, 16, generator=noise).to(self.device)
        states = self.states([NEGATIVE_PROMPT] * len(prompts) + prompts)
        for timestep in sampler.timesteps:
            without, given = self.unet(torch.cat([latents, latents]), timestep, states).sample.chunk(2)
            latents = sampler.step(without + guidance * (given - without), timestep, latents).prev_sample
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return (decoded / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def queries(self, scenes: list) -> torch.Tensor:
        """Of cross-attention, in one pass at timestep 200, as the engine takes them: (b, 16, 16, channels)."""
        latents = self.vae.encode(scenes_tensor(scenes).to(self.device) * 2 - 1).latent_dist.mean * self.vae.config.scaling_factor
        noise = torch.randn(latents[:1].shape, generator=torch.Generator().manual_seed(43)).to(self.device)
        noised = DDPMScheduler(**NOISE).add_noise(latents, noise.expand_as(latents), torch.tensor([200]))
        layers = [module.to_q for name, module in self.unet.named_modules() if name.endswith("attn2")]
        maps = []
        for out in probes.outputs(layers, lambda: self.unet(noised, 200, self.states([""] * len(scenes)))):
            side = int(out.shape[1] ** 0.5)
            maps.append(F.interpolate(out.transpose(1, 2).unflatten(2, (side, side)), (16, 16), mode="bilinear"))
        return torch.cat(maps, 1).permute(0, 2, 3, 1)


class _Probabilities:
    """A cross-attention processor that keeps the softmax's result."""

    def __init__(self, kept: list[torch.Tensor]):
        self.kept = kept

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
        query, key, value = (split(x) for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)))
        weights = (query @ key.transpose(-1, -2) * attn.scale).softmax(-1)
        if encoder_hidden_states is not None:
            self.kept.append(weights)
        return attn.to_out[0]((weights @ value).transpose(1, 2).flatten(2))


@torch.no_grad()
def attribution(model: Model, scenes: list, timesteps=(200, 400, 600)) -> dict[str, float]:
    """AUC of each product's attention map against its true mask, on noised scenes.

    0.5 is chance; below it, the word looks away from its object."""
    kept: list[torch.Tensor] = []
    processors = model.unet.attn_processors
    model.unet.set_attn_processor({name: _Probabilities(kept) for name in processors})
    scores: dict[str, list[float]] = {name: [] for name in PRODUCTS}
    schedule = DDPMScheduler(**NOISE)
    latents = model.vae.encode(scenes_tensor(scenes).to(model.device) * 2 - 1).latent_dist.mean
    latents = latents * model.vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(7)).to(model.device)
    for index, scene in enumerate(scenes):
        for number, thing in enumerate(scene.objects, start=1):
            prompt = PROMPT.format(thing.product)
            ids, word = model.words(prompt).input_ids, model.words(thing.product, add_special_tokens=False).input_ids
            first = next(i for i in range(len(ids)) if ids[i : i + len(word)] == word)
            maps = torch.zeros(16, 16)
            kept.clear()
            times = torch.tensor(timesteps, device=model.device)
            same = [slice(index, index + 1)] * len(timesteps)
            noised = schedule.add_noise(torch.cat([latents[s] for s in same]), torch.cat([noise[s] for s in same]), times)
            model.unet(noised, times, model.states([prompt] * len(timesteps)))
            for weights in kept:
                side = int(weights.shape[2] ** 0.5)
                column = weights[..., first : first + len(word)].mean((0, 1, 3)).view(1, 1, side, side).float().cpu()
                maps += F.interpolate(column, (16, 16), mode="bilinear")[0, 0]
            truth = torch.from_numpy(scene.instances == number).float().view(1, 1, 64, 64)
            truth = F.avg_pool2d(truth, 4)[0, 0] > 0.5
            if truth.any():
                scores[thing.product].append(roc_auc_score(truth.flatten(), maps.flatten()))
    model.unet.set_attn_processor(processors)
    means = {name: float(np.mean(values)) for name, values in scores.items() if values}
    return {"auc_mean": float(np.mean(list(means.values()))), "auc_least": min(means.values())} | {
        f"auc_{name}": value for name, value in means.items()
    }


def sheet(model: Model, path) -> None:
    """Four of each product and background, of coloured products and of pairs; a column each."""
    prompts = [PROMPT.format(name) for name in [*PRODUCTS, *BACKGROUNDS]]
    prompts += [f"a {colour} bag" for colour in COLOURS] + ["a red sneaker and a blue bag", "a dress on grass"]
    pictures = model.paint([prompt for prompt in prompts for _ in range(4)], steps=15).cpu()
    grid = pictures.view(len(prompts), 4, 3, 64, 64).permute(1, 3, 0, 4, 2).reshape(4 * 64, len(prompts) * 64, 3)
    Image.fromarray((grid.numpy() * 255).astype(np.uint8)).save(path)


def make(run: Run) -> nn.ModuleDict:
    torch.manual_seed(run.seed)
    text_encoder = make_text_encoder(len(tokenizer(run)))
    # As large as its neighbours' outputs: with the usual 0.02 the words look alike for long.
    nn.init.normal_(text_encoder.get_input_embeddings().weight, std=0.5)
    return nn.ModuleDict({"unet": make_unet(), "text_encoder": text_encoder})


def train(run: Run, recipe: Recipe = RECIPE) -> None:
    pictures = pool(run)
    vae, latents_of = vae_stage.load(run), Latents(run, pictures)
    critic = critic_stage.load(run)
    training = Training(run, "diffusion", make(run), recipe)
    words = tokenizer(run)
    if run.device.type == "cpu":  # as in clip.py
        training.modules["unet"].set_attn_processor(AttnProcessor())
        training.modules["text_encoder"].set_attn_implementation("eager")
    model, averaged = (Model(run, m, words, vae) for m in (training.modules, training.average))
    schedule = DDPMScheduler(**NOISE)
    signal = schedule.alphas_cumprod / (1 - schedule.alphas_cumprod)
    weight = ((signal + 1).clamp(max=_SNR_CAP) / signal).clamp(max=_MOST_WEIGHT)
    weight = (weight / weight.mean()).to(run.device)
    scenes = held_out("val", 32)

    def wrong(said: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(said, true.to(run.device), reduction="none").sum(1)

    def loss(step: int) -> dict[str, torch.Tensor]:
        rng = run.rng(6, step)
        indices = pictures.draw(rng, recipe.batch, _SHARES)
        latents = latents_of.samples(indices).to(run.device)
        captions = pictures.captions(rng, indices)
        without = rng.random(recipe.batch) < _WITHOUT
        blank = [("", NEGATIVE_PROMPT)[n] for n in rng.integers(0, 2, recipe.batch)]
        captions = [b if w else c for b, w, c in zip(blank, without, captions)]
        noise = torch.randn_like(latents)
        # Stratified: every batch sees the whole range of noise.
        timesteps = torch.from_numpy((rng.permutation(recipe.batch) + rng.random(recipe.batch)) / recipe.batch * 1000).long()
        timesteps = timesteps.to(run.device)
        noised = schedule.add_noise(latents, noise, timesteps)
        heard = model.heard(captions, ~without & (rng.random(recipe.batch) < _WORDS_ALONE))
        with run.autocast():
            predicted = model.unet(noised, timesteps, model.states(captions), encoder_attention_mask=heard).sample.float()
        error = (predicted - noise).square().mean((1, 2, 3))
        terms = {"noise": (error * weight[timesteps]).mean()}
        if not _CRITIC_FROM <= step / recipe.steps < _CRITIC_UNTIL:
            return terms
        # What the guess at the clean picture shows, where words could tell.
        kept = schedule.alphas_cumprod.to(run.device)[timesteps].view(-1, 1, 1, 1)
        guess = (noised - (1 - kept).sqrt() * predicted) / kept.sqrt()
        asked = torch.from_numpy(~without).to(run.device) & (timesteps < _GUESSED_BELOW)
        names, pairs = critic(guess.to(memory_format=torch.channels_last))
        names, pairs = wrong(names, truth(pictures, indices)), wrong(pairs, coloured(pictures, indices))
        # A caption names the colours of all its products or of none.
        told = asked & torch.tensor([any(c in text for c in COLOURS) for text in captions], device=run.device)
        return terms | {"critic": _CRITIC * (names * asked).mean(), "colours": _CRITIC * (pairs * told).mean()}

    def measure() -> dict[str, float]:
        sheet(averaged, run.work / f"sheet-{training.step:06d}.png")
        return attribution(averaged, scenes)

    training.fit(loss, measure)


def load(run: Run) -> Model:
    modules = make(run)
    modules.load_state_dict(torch.load(run.work / "diffusion.pt", map_location="cpu")["average"])
    return Model(run, modules.to(run.device).eval().requires_grad_(False), tokenizer(run), vae_stage.load(run))
