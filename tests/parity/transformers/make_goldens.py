#!/usr/bin/env python3
"""Makes the goldens of tests/parity/transformers with transformers and timm.

    pip install -r tests/parity/requirements.txt
    python tests/parity/transformers/make_goldens.py

Everything is float32 on the CPU and seeded. For each small network: its
config.json in configs/, and goldens/<case>.safetensors with the weights
("weights/<name>"), inputs ("in/…") and outputs ("out/…"). The C++ tests read the
files; they need no Python. make_keys.py beside it: names of full-size networks.
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel,
                          Dinov2Config, Dinov2Model, ViTConfig,
                          ViTMAEConfig, ViTMAEForPreTraining, ViTModel)

HERE = pathlib.Path(__file__).resolve().parent
RULES = ("size", "scale_factor")


def randomize(model, seed):
    """Every tensor random: the usual zeros and ones would hide a swap."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "logit_scale":
                parameter.copy_(torch.tensor(3.3))
            elif parameter.dim() == 1:
                scale = "norm" in name or "gamma" in name or "lambda" in name
                is_gain = scale and not name.endswith("bias")
                parameter.copy_((1.0 if is_gain else 0.0) + 0.3 * noise)
            elif "embedding" in name or "embed" in name and "proj" not in name:
                parameter.copy_(noise)
            else:
                fan_in = parameter[0].numel()
                parameter.copy_(1.3 * noise / fan_in**0.5)
    return model.eval()


def config_json(config):
    return {k: v for k, v in config.to_dict().items()
            if k not in ("transformers_version", "dtype", "torch_dtype")}


def save(case, config, weights, tensors):
    (HERE / "configs").mkdir(exist_ok=True)
    (HERE / "goldens").mkdir(exist_ok=True)
    (HERE / "configs" / f"{case}.json").write_text(
        json.dumps(config, indent=1, default=str) + "\n")
    everything = {f"weights/{k}": v for k, v in weights.items()} | tensors
    path = HERE / "goldens" / f"{case}.safetensors"
    save_file({k: v.detach().clone().contiguous() for k, v in everything.items()},
              path)
    path.chmod(0o644)
    size = path.stat().st_size
    assert size < 300_000, (case, size)
    print(f"{case}: {size} bytes")


def positions(table, grid, rule):
    """[1, 1 + g*g, D] for another grid; DINO's own rule adds 0.1 to it."""
    side = int((table.shape[1] - 1) ** 0.5)
    patches = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if rule == "size":
        patches = F.interpolate(patches, size=grid, mode="bicubic",
                                align_corners=False)
    else:
        factors = tuple((g + 0.1) / side for g in grid)
        patches = F.interpolate(patches, scale_factor=factors, mode="bicubic",
                                align_corners=False, recompute_scale_factor=False)
    assert patches.shape[2:] == torch.Size(grid)
    return torch.cat([table[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def to_map(rows, grid):
    return rows[:, 1:].transpose(1, 2).unflatten(2, grid)


def token_ids(generator, vocab, length, ends):
    """Rows that end early and are padded with the end token."""
    rows = []
    for end in ends:
        ids = torch.randint(3, vocab - 2, (length,), generator=generator)
        ids[end:] = vocab - 1
        rows.append(ids)
    return torch.stack(rows)


def make_text():
    cases = {
        # The tower of Stable Diffusion 1 in small, eos id of the old files.
        "text_quick_gelu": (CLIPTextConfig(
            vocab_size=99, hidden_size=32, intermediate_size=37,
            num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=77, hidden_act="quick_gelu",
            bos_token_id=0, eos_token_id=2, pad_token_id=1), ""),
        # With the hub's prefix; odd head size, other eps.
        "text_gelu": (CLIPTextConfig(
            vocab_size=60, hidden_size=27, intermediate_size=50,
            num_hidden_layers=2, num_attention_heads=3,
            max_position_embeddings=20, hidden_act="gelu", layer_norm_eps=1e-3,
            bos_token_id=58, eos_token_id=59, pad_token_id=59), "text_model."),
    }
    for seed, (case, (config, prefix)) in enumerate(cases.items()):
        model = randomize(CLIPTextModel(config), seed)
        generator = torch.Generator().manual_seed(100 + seed)
        length = config.max_position_embeddings
        ids = token_ids(generator, config.vocab_size, length, (length - 1, 6, 1))
        output = model(ids)
        short = model(ids[:, :9])
        weights = {prefix + k: v for k, v in model.state_dict().items()}
        save(case, config_json(config), weights, {
            "in/ids": ids, "out/last_hidden_state": output.last_hidden_state,
            "out/pooled": output.pooler_output,
            "out/short": short.last_hidden_state})


def clip_pictures(model, pixels, tensors, tag):
    """Outputs of the vision tower under both rules of position interpolation."""
    embeddings = model.vision_model.embeddings
    patch = embeddings.patch_size
    grid = (pixels.shape[2] // patch, pixels.shape[3] // patch)
    table = embeddings.position_embedding.weight[None]
    layers = model.vision_model.encoder.layers
    keys = {}
    hooks = [layer.self_attn.k_proj.register_forward_hook(
        lambda _, __, out, i=i: keys.__setitem__(i, out))
        for i, layer in enumerate(layers)]
    original = embeddings.interpolate_pos_encoding
    native = grid[0] ** 2 == table.shape[1] - 1 and pixels.shape[2] == pixels.shape[3]
    for rule in RULES[:1] if native else RULES:
        if rule == "scale_factor":
            embeddings.interpolate_pos_encoding = (
                lambda *_: positions(table, grid, rule))
        out = model.vision_model(pixels, interpolate_pos_encoding=True,
                                 output_hidden_states=True)
        name = f"{tag}/{rule}"
        tensors[f"out/{name}/features"] = model.visual_projection(out.pooler_output)
        tensors[f"out/{name}/tokens_last"] = to_map(out.hidden_states[-1], grid)
        tensors[f"out/{name}/tokens_first"] = to_map(out.hidden_states[1], grid)
        for back in (1, 2):
            tensors[f"out/{name}/keys-{back}"] = to_map(keys[len(layers) - back], grid)
    embeddings.interpolate_pos_encoding = original
    for hook in hooks:
        hook.remove()


def make_clip():
    cases = {
        "clip_quick_gelu": dict(
            text_config=dict(vocab_size=99, hidden_size=24, intermediate_size=37,
                             num_hidden_layers=2, num_attention_heads=4,
                             max_position_embeddings=12, hidden_act="quick_gelu",
                             bos_token_id=0, eos_token_id=2, pad_token_id=1),
            vision_config=dict(hidden_size=32, intermediate_size=44,
                               num_hidden_layers=3, num_attention_heads=4,
                               image_size=24, patch_size=4, hidden_act="quick_gelu"),
            projection_dim=16, pictures=((24, 24), (21, 34), (16, 28))),
        # Eos in the middle of the vocabulary: the pooled row is not the argmax.
        "clip_gelu": dict(
            text_config=dict(vocab_size=60, hidden_size=32, intermediate_size=50,
                             num_hidden_layers=2, num_attention_heads=2,
                             max_position_embeddings=10, hidden_act="gelu",
                             bos_token_id=3, eos_token_id=20, pad_token_id=20),
            vision_config=dict(hidden_size=21, intermediate_size=40,
                               num_hidden_layers=2, num_attention_heads=3,
                               image_size=33, patch_size=6, hidden_act="gelu",
                               layer_norm_eps=1e-4),
            projection_dim=12, pictures=((33, 33), (18, 50), (31, 35))),
    }
    for seed, (case, spec) in enumerate(cases.items()):
        pictures = spec.pop("pictures")
        config = CLIPConfig(**spec)
        model = randomize(CLIPModel(config), 10 + seed)
        generator = torch.Generator().manual_seed(110 + seed)
        text = config.text_config
        ids = token_ids(generator, text.vocab_size, text.max_position_embeddings,
                        (5, 3))
        if text.eos_token_id != 2:
            ids[0, 4], ids[1, 7], ids[1, 8] = (text.eos_token_id,) * 3
        pooled = model.text_model(ids).pooler_output
        tensors = {"in/ids": ids, "out/text_features": model.text_projection(pooled)}
        for i, size in enumerate(pictures):
            pixels = torch.randn(2 if i == 0 else 1, 3, *size, generator=generator)
            tensors[f"in/pixels{i}"] = pixels
            clip_pictures(model, pixels, tensors, f"pixels{i}")
        logits = model(ids, tensors["in/pixels0"],
                       interpolate_pos_encoding=True).logits_per_image
        tensors["out/logits_per_image"] = logits
        save(case, config_json(config), model.state_dict(), tensors)


def vit_outputs(model, options, pixels, rule):
    """timm's model at another size: positions stretched, remainder cut off."""
    patch = options["patch_size"]
    grid = (pixels.shape[2] // patch, pixels.shape[3] // patch)
    size = (grid[0] * patch, grid[1] * patch)
    weights = dict(model.state_dict())
    native = grid[0] ** 2 == weights["pos_embed"].shape[1] - 1
    if not (native and pixels.shape[2] == pixels.shape[3]):
        weights["pos_embed"] = positions(weights["pos_embed"], grid, rule)
    other = VisionTransformer(**options | {"img_size": size}).eval()
    other.load_state_dict(weights)
    qkv, tokens = {}, {}
    for i, block in enumerate(other.blocks):
        block.attn.qkv.register_forward_hook(
            lambda _, __, out, i=i: qkv.__setitem__(i, out))
        block.register_forward_hook(
            lambda _, __, out, i=i: tokens.__setitem__(i, out))
    features = other.forward_features(pixels[:, :, : size[0], : size[1]])
    last = len(other.blocks) - 1
    outputs = {"features": features, "tokens_last": to_map(tokens[last], grid),
               "tokens_first": to_map(tokens[0], grid)}
    for back in (0, 1):
        keys = qkv[last - back].chunk(3, -1)[1]
        outputs[f"keys-{back + 1}"] = to_map(keys, grid)
    return outputs


def hf_vit(model, options):
    """The same network as transformers' ViTModel; asserts that they agree."""
    config = ViTConfig(
        hidden_size=options["embed_dim"], num_hidden_layers=options["depth"],
        num_attention_heads=options["num_heads"],
        intermediate_size=int(options["embed_dim"] * options["mlp_ratio"]),
        image_size=options["img_size"], patch_size=options["patch_size"],
        qkv_bias=options["qkv_bias"], layer_norm_eps=1e-6)
    other = ViTModel(config)
    source = model.state_dict()
    target = {}
    for name, tensor in other.state_dict().items():
        if name.startswith("pooler."):
            target[name] = tensor
            continue
        timm_name = name
        for before, after in (
                ("embeddings.cls_token", "cls_token"),
                ("embeddings.position_embeddings", "pos_embed"),
                ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
                ("layernorm_before", "norm1"), ("layernorm_after", "norm2"),
                ("layers.", "blocks."), ("attention.o_proj", "attn.proj"),
                ("layernorm.", "norm.")):
            timm_name = timm_name.replace(before, after)
        for part, letter in enumerate("qkv"):
            if f"attention.{letter}_proj" in timm_name:
                stacked = timm_name.replace(f"attention.{letter}_proj", "attn.qkv")
                tensor = source[stacked].chunk(3)[part]
                break
        else:
            tensor = source[timm_name]
        target[name] = tensor
    other.load_state_dict(target)
    return other.eval(), config


def make_vit():
    cases = {
        "vit_patch4": (dict(img_size=24, patch_size=4, embed_dim=32, depth=3,
                            num_heads=4, mlp_ratio=2.0, qkv_bias=True),
                       ((24, 24), (22, 37), (16, 16))),
        "vit_patch8": (dict(img_size=43, patch_size=8, embed_dim=24, depth=2,
                            num_heads=3, mlp_ratio=1.7, qkv_bias=False),
                       ((43, 43), (31, 66), (40, 47))),
    }
    for seed, (case, (shape, pictures)) in enumerate(cases.items()):
        options = shape | dict(num_classes=0)
        model = randomize(VisionTransformer(**options), 20 + seed)
        generator = torch.Generator().manual_seed(120 + seed)
        tensors = {}
        for i, size in enumerate(pictures):
            pixels = torch.randn(2 if i == 0 else 1, 3, *size, generator=generator)
            tensors[f"in/pixels{i}"] = pixels
            native = size == (shape["img_size"],) * 2
            for rule in RULES[:1] if native else RULES:
                for name, value in vit_outputs(model, options, pixels, rule).items():
                    tensors[f"out/pixels{i}/{rule}/{name}"] = value
        config = {"architecture": "vit_dino", "layer_norm_eps": 1e-6} | shape
        save(case, config, model.state_dict(), tensors)
        if shape["qkv_bias"]:
            hf, hf_config = hf_vit(model, options)
            got = hf(tensors["in/pixels1"], interpolate_pos_encoding=True)
            want = tensors["out/pixels1/size/features"]
            assert (got.last_hidden_state - want).abs().max() < 1e-4
            save(case + "_hf", config_json(hf_config), hf.state_dict(), {})


def make_dinov2():
    config = Dinov2Config(hidden_size=24, num_hidden_layers=2,
                          num_attention_heads=3, mlp_ratio=2, image_size=28,
                          patch_size=7, layerscale_value=1.0)
    model = randomize(Dinov2Model(config), 30)
    pixels = torch.randn(1, 3, 21, 35, generator=torch.Generator().manual_seed(130))
    output = model(pixels)
    save("dinov2", config_json(config), model.state_dict(),
         {"in/pixels0": pixels,
          "out/pixels0/size/features": output.last_hidden_state})


def make_mae():
    """The encoder as a feature extractor: all patches seen, in their own order. transformers
    shuffles them even so; `noise` draws a shuffle that matters, and it is undone here."""
    config = ViTMAEConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                          intermediate_size=48, image_size=28, patch_size=7, mask_ratio=0.0,
                          layer_norm_eps=1e-6, decoder_hidden_size=16, decoder_num_hidden_layers=1,
                          decoder_num_attention_heads=2, decoder_intermediate_size=20)
    model = randomize(ViTMAEForPreTraining(config), 40)
    generator = torch.Generator().manual_seed(140)
    tensors = {}
    for i, size in enumerate(((28, 28), (42, 42))):
        pixels = torch.randn(1, 3, *size, generator=generator)
        grid = tuple(side // 7 for side in size)
        keys = []
        hook = model.vit.layers[-1].attention.k_proj.register_forward_hook(
            lambda _, __, out: keys.append(out))
        out = model.vit(pixels, noise=torch.rand(1, grid[0] * grid[1], generator=generator),
                        interpolate_pos_encoding=True)
        hook.remove()
        assert not torch.equal(out.ids_restore[0], torch.arange(grid[0] * grid[1]))

        def in_order(rows):
            return torch.cat([rows[:, :1], rows[:, 1:][:, out.ids_restore[0]]], 1)

        tensors |= {f"in/pixels{i}": pixels,
                    f"out/pixels{i}/size/features": in_order(out.last_hidden_state),
                    f"out/pixels{i}/size/keys-1": to_map(in_order(keys[0]), grid)}
    save("mae", config_json(config), model.state_dict(), tensors)


def main():
    torch.set_num_threads(1)
    with torch.no_grad():
        make_text()
        make_clip()
        make_vit()
        make_dinov2()
        make_mae()


if __name__ == "__main__":
    main()
