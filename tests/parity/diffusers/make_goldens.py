#!/usr/bin/env python3
"""Makes the goldens of tests/parity/diffusers with diffusers itself.

    pip install -r tests/parity/requirements.txt
    python tests/parity/diffusers/make_goldens.py [small] [keys] [full] [demo]

Everything is float32 on the CPU. `small`: networks of a few thousand weights,
stored whole, with inputs, outputs and cross-attention taps, and sampler runs.
`keys`: names and shapes of the full-size networks. `full`: one pass of the
full-size networks with seeded weights, of which a sample of the output is
stored. `demo`: one pass of the demo bundle's networks. The C++ tests read the
files; they need no Python.
"""

import json
import math
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
CONFIGS = HERE / "configs"
KEYS = HERE.parent / "keys"
DEMO = HERE.parents[2] / "deploy/bundles/demo/stable-diffusion"
TOKEN_COLUMNS = [3, 1]  # Out of order on purpose.

UNETS = {
    # Odd sizes at every level, 1x1 convolutions, uneven numbers of heads.
    "unet_conv": dict(
        config=dict(
            block_out_channels=(4, 8, 8), norm_num_groups=2,
            layers_per_block=2, cross_attention_dim=12,
            attention_head_dim=(1, 2, 4), sample_size=16,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                              "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D",
                            "CrossAttnUpBlock2D")),
        sample=(2, 4, 11, 9), tokens=7, timesteps=[801.0, 13.0], half=False),
    # Linear projections, several transformer layers, other block order, time
    # embedding and paddings; stored in half precision.
    "unet_linear": dict(
        config=dict(
            block_out_channels=(4, 12), norm_num_groups=2, norm_eps=1e-6,
            layers_per_block=(1, 2), cross_attention_dim=20,
            attention_head_dim=(2, 3), transformer_layers_per_block=(1, 2),
            use_linear_projection=True, upcast_attention=True,
            flip_sin_to_cos=False, freq_shift=1, downsample_padding=0,
            in_channels=5, out_channels=3, sample_size=16,
            time_embedding_dim=40,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D")),
        sample=(4, 5, 12, 20), tokens=5, timesteps=[200.0], half=True),
}

VAES = {
    "vae_old_names": dict(
        config=dict(
            block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
            latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, sample_size=32),
        image=(2, 3, 26, 18), old_names=True, half=False),
    "vae_no_quant": dict(
        config=dict(
            block_out_channels=(6, 12, 24), norm_num_groups=3,
            layers_per_block=2, latent_channels=3,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3, sample_size=32,
            scaling_factor=0.7, use_quant_conv=False,
            use_post_quant_conv=False),
        image=(1, 3, 23, 34), old_names=False, half=True),
}


class RecordingProcessor:
    """Cross-attention with explicit probabilities, which it keeps."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def __call__(self, attn, hidden_states, encoder_hidden_states=None,
                 attention_mask=None, **_):
        batch = hidden_states.shape[0]
        source = (hidden_states if encoder_hidden_states is None
                  else encoder_hidden_states)
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(source))
        value = attn.head_to_batch_dim(attn.to_v(source))
        p = attn.get_attention_scores(query, key, attention_mask)
        if encoder_hidden_states is not None:
            self.probabilities.append(p.unflatten(0, (batch, attn.heads)))
        out = attn.batch_to_head_dim(torch.bmm(p, value))
        return attn.to_out[1](attn.to_out[0](out))


def perturb(model, seed):
    """Default initialisers leave norms and biases trivial; these do not."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in sorted(model.named_parameters()):
            p += 0.2 * p.abs().mean().clamp(0.1, 0.5) * torch.randn(
                p.shape, generator=generator)


def save_weights(model, folder, half, rename=lambda key: key):
    state = {rename(k): v.contiguous().half() if half else v.contiguous()
             for k, v in model.state_dict().items()}
    save_file(state, folder / "diffusion_pytorch_model.safetensors")


def save_config(model, folder):
    config = {k: v for k, v in dict(model.config).items()
              if k == "_class_name" or not k.startswith("_")}
    config["_class_name"] = type(model).__name__
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n")


@torch.no_grad()
def run_unet(unet, sample, timesteps, text):
    """Output and taps: queries of all rows, probabilities of all tokens."""
    queries, hooks = {}, []
    names = [n for n, _ in unet.named_modules() if n.endswith("attn2")]
    order = []

    def hook(name):
        def keep(_module, _inputs, output):
            order.append(name)
            queries[name] = output.clone()
        return keep

    for name in names:
        to_q = unet.get_submodule(name + ".to_q")
        hooks.append(to_q.register_forward_hook(hook(name)))
    plain = unet(sample, timesteps, text).sample
    order.clear()
    probabilities = []
    unet.set_attn_processor(RecordingProcessor(probabilities))
    unet(sample, timesteps, text)
    for h in hooks:
        h.remove()
    return plain, order, queries, probabilities


def small_unet(name, spec):
    torch.manual_seed(11)
    unet = UNet2DConditionModel(**spec["config"]).eval()
    perturb(unet, 12)
    if spec["half"]:
        unet = unet.half().float()
    folder = GOLDENS / name
    folder.mkdir(parents=True, exist_ok=True)
    save_config(unet, folder)
    save_weights(unet, folder, spec["half"])
    torch.manual_seed(13)
    batch = spec["sample"][0]
    sample = torch.randn(spec["sample"])
    text = torch.randn(batch, spec["tokens"], unet.config.cross_attention_dim)
    timesteps = torch.tensor(spec["timesteps"])
    if len(timesteps) == 1:  # Shared text rows: the first half, the second half.
        text = text[[0, batch - 1]].repeat_interleave(batch // 2, 0)
    out, order, queries, probabilities = run_unet(
        unet, sample, timesteps.expand(batch), text)
    io = dict(sample=sample, timesteps=timesteps, text=text, output=out,
              token_columns=torch.tensor(TOKEN_COLUMNS))
    for i, layer in enumerate(order):
        io[f"queries.{i}"] = queries[layer]
        io[f"probabilities.{i}"] = probabilities[i][
            batch // 2:, :, :, TOKEN_COLUMNS].contiguous()
    io = {k: v.contiguous() for k, v in io.items()}
    save_file(io, folder / "io.safetensors")
    (folder / "cross_attention_layers.txt").write_text(
        "".join(layer + "\n" for layer in order))
    print(name, sum(p.numel() for p in unet.parameters()), "weights",
          len(order), "layers", "output std", out.std().item())


def old_vae_name(key):
    """The names of diffusers before 0.18, which Stable Diffusion 1.5 has."""
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"),
                     ("to_out.0", "proj_attn")):
        key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return key


@torch.no_grad()
def small_vae(name, spec):
    torch.manual_seed(21)
    vae = AutoencoderKL(**spec["config"]).eval()
    perturb(vae, 22)
    if spec["half"]:
        vae = vae.half().float()
    folder = GOLDENS / name
    folder.mkdir(parents=True, exist_ok=True)
    save_config(vae, folder)
    save_weights(vae, folder, spec["half"],
                 old_vae_name if spec["old_names"] else lambda key: key)
    torch.manual_seed(23)
    image = torch.rand(spec["image"]) * 2 - 1
    posterior = vae.encode(image).latent_dist
    noise = torch.randn(posterior.mean.shape)
    z = posterior.mean + posterior.std * noise
    io = dict(image=image, mean=posterior.mean, logvar=posterior.logvar,
              noise=noise, sample=z, decoded=vae.decode(z).sample)
    save_file({k: v.contiguous() for k, v in io.items()},
              folder / "io.safetensors")
    print(name, sum(p.numel() for p in vae.parameters()), "weights",
          "decoded std", io["decoded"].std().item())


def sampler_runs():
    """DPM-Solver++ with a "model" that needs no weights: x * t / (t + 1)."""
    base = json.loads((CONFIGS / "sd15_scheduler.json").read_text())
    torch.manual_seed(31)
    start = torch.randn(2, 4, 6, 5)
    goldens = {"start": start, "noise": torch.randn(2, 4, 6, 5)}
    for final in ("sigma_min", "zero"):
        for prediction in ("epsilon", "v_prediction"):
            for spacing in ("linspace", "leading", "trailing"):
                for steps in (1, 10, 15, 30, 50):
                    scheduler = DPMSolverMultistepScheduler.from_config(
                        base, final_sigmas_type=final,
                        prediction_type=prediction, timestep_spacing=spacing)
                    scheduler.set_timesteps(steps)
                    x = start
                    for t in scheduler.timesteps:
                        residual = x * (t / (t + 1))
                        x = scheduler.step(residual, t, x).prev_sample
                    key = f"{final}.{prediction}.{spacing}.{steps}"
                    goldens[key] = x
                    goldens[key + ".timesteps"] = scheduler.timesteps.long()
    ddpm = DDPMScheduler.from_config(base)
    for t in (0, 200, 261, 999):
        goldens[f"add_noise.{t}"] = ddpm.add_noise(
            start, goldens["noise"], torch.tensor([t]))
    goldens["alphas_cumprod"] = ddpm.alphas_cumprod
    save_file({k: v.contiguous() for k, v in goldens.items()},
              GOLDENS / "schedulers.safetensors")


def build(cls, config_file, device):
    config = json.loads(config_file.read_text())
    with torch.device(device):
        return cls.from_config(config).eval()


def write_keys():
    KEYS.mkdir(exist_ok=True)
    for cls, name in ((UNet2DConditionModel, "sd15_unet"),
                      (AutoencoderKL, "sd15_vae")):
        model = build(cls, CONFIGS / f"{name}.json", "meta")
        lines = [f"{k} {'x'.join(map(str, v.shape))}\n"
                 for k, v in sorted(model.state_dict().items())]
        (KEYS / f"{name}.txt").write_text("".join(lines))
        print(name, len(lines), "tensors")


@torch.no_grad()
def fill_by_name(model):
    """Weights that C++ draws alike: full_size_test.cc, FillByName."""
    for i, (name, p) in enumerate(sorted(model.named_parameters())):
        torch.manual_seed(1000 + i)
        if p.dim() > 1:
            p.copy_(torch.randn(p.shape) / math.sqrt(p.numel() / p.shape[0]))
        else:
            p.copy_(0.1 * torch.randn(p.shape))
            if name.endswith("weight"):
                p += 1.0


def sampled(tensor, count=400):
    """Every k-th value, and the norm of all."""
    flat = tensor.flatten()
    step = max(1, flat.numel() // count)
    return flat[::step].clone(), flat.double().norm().float().reshape(1)


@torch.no_grad()
def full_size():
    unet = build(UNet2DConditionModel, CONFIGS / "sd15_unet.json", "cpu")
    fill_by_name(unet)
    torch.manual_seed(41)
    sample = torch.randn(1, 4, 32, 24)
    text = torch.randn(1, 77, 768)
    out, order, queries, _ = run_unet(
        unet, sample, torch.tensor([200.0]), text)
    io = {}
    io["unet.output"], io["unet.output.norm"] = sampled(out)
    for i, layer in enumerate(order):
        io[f"unet.queries.{i}"], io[f"unet.queries.{i}.norm"] = sampled(
            queries[layer], 20)
    print("unet output std", out.std().item())
    del unet
    vae = build(AutoencoderKL, CONFIGS / "sd15_vae.json", "cpu")
    fill_by_name(vae)
    torch.manual_seed(42)
    image = torch.rand(1, 3, 64, 48) * 2 - 1
    latent = torch.randn(1, 4, 8, 6)
    posterior = vae.encode(image).latent_dist
    for name, value in (("vae.mean", posterior.mean),
                        ("vae.logvar", posterior.logvar),
                        ("vae.decoded", vae.decode(latent).sample)):
        io[name], io[name + ".norm"] = sampled(value)
        print(name, "std", value.std().item())
    save_file(io, GOLDENS / "full_size.safetensors")


@torch.no_grad()
def demo():
    """The demo bundle's networks, at sizes that it was not trained at."""
    unet = UNet2DConditionModel.from_pretrained(
        DEMO / "unet", torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(
        DEMO / "vae", torch_dtype=torch.float32).eval()
    torch.manual_seed(51)
    sample = torch.randn(2, unet.config.in_channels, 14, 17)
    text = torch.randn(2, 9, unet.config.cross_attention_dim)
    out, _, _, _ = run_unet(unet, sample, torch.tensor([640.0, 3.0]), text)
    image = torch.rand(1, 3, 44, 32) * 2 - 1
    posterior = vae.encode(image).latent_dist
    io = dict(sample=sample, text=text, timesteps=torch.tensor([640.0, 3.0]),
              output=out, image=image, mean=posterior.mean,
              logvar=posterior.logvar, decoded=vae.decode(
                  posterior.mean).sample)
    save_file({k: v.contiguous() for k, v in io.items()},
              GOLDENS / "demo_io.safetensors")


def main():
    wanted = sys.argv[1:] or ["small", "keys", "full", "demo"]
    GOLDENS.mkdir(exist_ok=True)
    if "small" in wanted:
        for name, spec in UNETS.items():
            small_unet(name, spec)
        for name, spec in VAES.items():
            small_vae(name, spec)
        sampler_runs()
    if "keys" in wanted:
        write_keys()
    if "full" in wanted:
        full_size()
    if "demo" in wanted:
        demo()


if __name__ == "__main__":
    main()
