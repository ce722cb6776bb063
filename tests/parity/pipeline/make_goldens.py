"""Writes goldens/demo.safetensors: one picture of the demo bundle by diffusers, transformers and timm.

The order of operations is the official program's (shared notes method.md 1, 2, 4 and networks.md 4, 5), written
here with the reference libraries' own networks and sampler. Run by hand, with tests/parity/requirements.txt:
    python tests/parity/pipeline/make_goldens.py
"""

import functools
import pathlib

import numpy as np
import timm.models.vision_transformer as vit
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

HERE = pathlib.Path(__file__).parent
BUNDLE = HERE.parents[2] / "deploy/bundles/demo"
SD = BUNDLE / "stable-diffusion"
CLASS, TEMPLATE, NEGATIVE = "red sneaker", "A good picture of a {}", "blurry"
STEPS, GUIDANCE, SEED, NOISE_SEED, TIMESTEP = 4, 8.0, 42, 43, 200
QUERY_BLOCKS = ["down_blocks.0.attentions.0", "mid_block.attentions.0", "up_blocks.1.attentions.0",
                "up_blocks.1.attentions.1", "up_blocks.2.attentions.0", "up_blocks.2.attentions.1"]


class Recorder:
    """An attention processor that shows queries and probabilities of every cross-attention, and self-attention."""

    def __init__(self, name, log, selves):
        self.name, self.log, self.selves = name, log, selves

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **kwargs):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        heads = [t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (query, key, value)]
        probabilities = (heads[0] @ heads[1].transpose(-1, -2) * attn.scale).softmax(-1)
        if encoder_hidden_states is not None:
            self.log.append((self.name, query, probabilities))
        else:
            self.selves.append(probabilities.mean(1))
        return attn.to_out[0]((probabilities @ heads[2]).transpose(1, 2).flatten(2))


def load(cls, folder):
    return cls.from_pretrained(folder, torch_dtype=torch.float32).eval()


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    unet, vae = load(UNet2DConditionModel, SD / "unet"), load(AutoencoderKL, SD / "vae")
    text, clip = load(CLIPTextModel, SD / "text_encoder"), load(CLIPModel, BUNDLE / "clip")
    tokenizer = CLIPTokenizer.from_pretrained(SD / "tokenizer")
    log, selves = [], []
    unet.set_attn_processor({name: Recorder(name, log, selves) for name in unet.attn_processors})

    def encode(prompt):
        context = text.config.max_position_embeddings
        ids = tokenizer(prompt, padding="max_length", max_length=context, truncation=True, return_tensors="pt").input_ids
        return text(ids)[0]

    ids = tokenizer(TEMPLATE.format(CLASS)).input_ids
    target = tokenizer(CLASS, add_special_tokens=False).input_ids
    first = len(tokenizer(TEMPLATE.split("{}")[0], add_special_tokens=False).input_ids) + 1
    assert ids[first:first + len(target)] == target
    columns = list(range(first, first + len(target)))

    schedule = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    solver = DPMSolverMultistepScheduler(**schedule, final_sigmas_type="sigma_min")
    solver.set_timesteps(STEPS)
    states = torch.cat([encode(NEGATIVE), encode(TEMPLATE.format(CLASS))])
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(SEED))
    total, count = torch.zeros(16, 16), 0
    looks_at, looks = torch.zeros(256, 256), 0
    for timestep in solver.timesteps:
        log.clear()
        selves.clear()
        unconditional, conditional = unet(torch.cat([latents, latents]), timestep, states).sample.chunk(2)
        for _, _, probabilities in log:
            maps = probabilities[1, :, :, columns].transpose(1, 2)  # [heads, tokens, cells]
            side = int(maps.shape[-1] ** 0.5)
            # Each head's map of each token alone: the clamp comes before any mean.
            resized = F.interpolate(maps.unflatten(2, (side, side)), (16, 16), mode="bicubic", align_corners=False)
            total += resized.clamp_min(0).mean(1).sum(0)
            count += maps.shape[0]
        for probabilities in selves:
            if probabilities.shape[-1] == 256:
                looks_at += probabilities[1]
                looks += 1
        noise = unconditional + GUIDANCE * (conditional - unconditional)
        latents = solver.step(noise, timestep, latents).prev_sample
    picture = (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    pixels = (picture * 255).to(torch.uint8)[0].permute(1, 2, 0).contiguous()

    image = pixels.permute(2, 0, 1)[None].float() / 255
    generator = torch.Generator().manual_seed(NOISE_SEED)
    posterior, forward = (torch.randn(1, 4, 16, 16, generator=generator) for _ in range(2))
    moments = vae.encode(image * 2 - 1).latent_dist
    clean = (moments.mean + moments.std * posterior) * vae.config.scaling_factor
    kept = solver.alphas_cumprod[TIMESTEP]
    log.clear()
    unet(kept.sqrt() * clean + (1 - kept).sqrt() * forward, torch.tensor(TIMESTEP), encode(""))
    queries = []
    for name, query, _ in log:
        if any(name.startswith(block) for block in QUERY_BLOCKS):
            side = int(query.shape[1] ** 0.5)
            layer = query.transpose(1, 2).unflatten(2, (side, side))
            queries.append(F.interpolate(layer, (16, 16), mode="bilinear", align_corners=False))

    def normalised(mean, std):
        return (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)

    kept_keys = {}
    layer = clip.vision_model.encoder.layers[-1].self_attn.k_proj
    layer.register_forward_hook(lambda module, inputs, output: kept_keys.update(clip=output))
    clip.vision_model(pixel_values=normalised([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
    dino = vit.VisionTransformer(img_size=64, patch_size=4, embed_dim=96, depth=4, num_heads=4, num_classes=0,
                                 norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6)).eval()
    dino.load_state_dict({k: v.float() for k, v in load_file(BUNDLE / "dino/model.safetensors").items()})
    dino.blocks[-1].attn.qkv.register_forward_hook(
        lambda module, inputs, output: kept_keys.update(dino=output.chunk(3, -1)[1]))
    dino(normalised([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def grid(keys, side):
        return keys[0, 1:].T.reshape(-1, side, side)

    # Every fourth (second) cell is enough to tell, and keeps the file small.
    save_file({
        "attribution": (total / count).contiguous(),
        "refined": ((looks_at / looks) @ ((looks_at / looks) @ (total / count).flatten())).view(16, 16).contiguous(),
        "picture": pixels,
        "sd": torch.cat(queries, 1)[0, :, ::4, ::4].contiguous(),
        "dino": grid(kept_keys["dino"], 16)[:, ::4, ::4].contiguous(),
        "clip": grid(kept_keys["clip"], 8)[:, ::2, ::2].contiguous(),
    }, HERE / "goldens/demo.safetensors")
    print("attribution", total.min().item() / count, total.max().item() / count, "columns", columns,
          "picture mean", np.round(pixels.float().mean().item(), 2))


if __name__ == "__main__":
    main()
