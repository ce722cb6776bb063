"""Runs the official OVDiff program, as it stands in a checkout, on a bundle, and keeps what every stage made.

    python run_official.py CHECKOUT JOB.json OUT

For a Python of its own (requirements-official.txt); official.py calls it. The program's scripts run from beginning
to end with their own functions. What is put in their place, because it does not install or cannot be downloaded:

    mmseg           the data set is the job's pictures; its metric only takes the labels
    detectron2      CutLER's network is tests/parity/cutler/reference.py (torchvision's operators)
    clip.load       OpenAI's network with the bundle's weights
    torch.hub.load  DINO's own network, as the checkout carries it for MaskCut, with the bundle's weights

and what is held still, so that two programs can be compared: networks in float32 (the program asks for float16; its
first noise is drawn in that), one seeded draw of noise for every window (the program draws on), CutLER's picture at
8 bits (the program's is not yet rounded; its encoders' are), tensors resized without antialias (the default of the
torchvision that it names). Of a bundle with pictures other than 512 pixels, the sizes that are written into the
program are read as the bundle's; of one with 512 they stay.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import pathlib
import runpy
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from openai_clip import openai_weights
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOW_SEED = 43


def module(name: str, **members) -> types.ModuleType:
    """A module of this name that the program finds when it imports it."""
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, made)
    return made


def load_by_path(name: str, path: pathlib.Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


class Recorder:
    """What the program hands over on its way."""

    def __init__(self, classes: list[str]):
        self.classes = classes
        self.tensors: dict[str, torch.Tensor] = {}
        self.kept: list[list[str]] = []
        self.labels: list[torch.Tensor] = []
        self.scores: list[torch.Tensor] = []
        self.painted: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.painted_by_class: list[list] = []
        self.features: list[torch.Tensor] | None = None
        self.last_resized: torch.Tensor | None = None

    def keep(self, name: str, value: torch.Tensor) -> None:
        self.tensors[name] = value.detach().clone().contiguous()


def replace_mmseg(job: dict, recorder: Recorder) -> None:
    class Registry:
        def register_module(self, **_):
            return lambda registered: registered

    class Pictures:
        def __init__(self, **_):
            pass

        def __len__(self):
            return len(job["photos"])

        def __getitem__(self, index):
            photo = job["photos"][index]
            rgb = np.asarray(Image.open(photo["image"]).convert("RGB"))
            return {"img": rgb[..., ::-1], "gt_semantic_seg": np.asarray(Image.open(photo["labels"]))}

        def evaluate(self, _):
            pass

    def intersect_and_union(labels, truth, *_):
        recorder.labels.append(torch.from_numpy(labels.astype(np.uint8)))
        recorder.scores.append(recorder.last_resized)
        return tuple(torch.zeros(1 + len(recorder.classes), dtype=torch.float64) for _ in range(4))

    def total_area_to_metrics(*_, **__):
        return {"IoU": np.zeros(1 + len(recorder.classes))}

    module("mmseg")
    module("mmseg.datasets", DATASETS=Registry(), PascalVOCDataset=Pictures)
    module("mmseg.core")
    module("mmseg.core.evaluation")
    metrics = dict(intersect_and_union=intersect_and_union, total_area_to_metrics=total_area_to_metrics)
    module("mmseg.core.evaluation.metrics", **metrics)


def replace_cutler(bundle: pathlib.Path, score_threshold: float) -> None:
    reference = load_by_path("cutler_reference", ROOT / "tests/parity/cutler/reference.py")
    spec = json.loads((bundle / "bundle.json").read_text())["cutler"]
    config = json.loads((bundle / "cutler/config.json").read_text())
    model = reference.CascadeRcnn(config)
    model.load_state_dict(load_file(bundle / "cutler/model.safetensors"), strict=False)
    model.eval()
    sizes = {key: spec[key] for key in ("short_side", "max_long_side")}

    class Processor(torch.nn.Module):
        """[3, H, W], 0…255, to [1 + M, H, W]: what no detection covers, then the detections."""

        @torch.no_grad()
        def forward(self, picture):
            picture = picture.byte()  # as the PNG file has it, and as ours is kept
            height, width = picture.shape[-2:]
            size = reference.input_size(height, width, **sizes)
            values = F.interpolate(picture[None].float(), size, mode="bilinear", align_corners=False)
            seen = size, *model.propose((values - reference.MEAN) / reference.STD)
            found = reference.detect(model, picture.permute(1, 2, 0), seen, score_threshold, 100)["pasted"] >= 0.5
            print(f"CutLER: {len(found)} found, best of all {seen[3].max().item():.3f}")
            return torch.cat([1 - found.any(0, keepdim=True).float(), found.float()])

    module("utils.cutler", CUTLER_Processor=Processor)


def replace_downloads(bundle: pathlib.Path, checkout: pathlib.Path) -> None:
    import clip
    import clip.model
    from transformers import CLIPTokenizer

    weights = openai_weights(bundle / "clip/model.safetensors")
    config = json.loads((bundle / "clip/config.json").read_text())
    words = CLIPTokenizer.from_pretrained(bundle / "stable-diffusion/tokenizer")

    def load(name, device="cpu", jit=False):
        built = clip.model.build_model(dict(weights)).float()
        built.load_state_dict(weights)  # build_model() rounds to half precision
        for tower, part in ((built.visual.transformer, "vision_config"), (built.transformer, "text_config")):
            for block in tower.resblocks:  # one head for 64 channels, if nothing is said
                block.attn.num_heads = config[part]["num_attention_heads"]
                block.attn.head_dim = block.attn.embed_dim // block.attn.num_heads
        return built.eval(), None

    def tokenize(texts, context_length=77, truncate=False):
        rows = torch.zeros(len(texts), context_length, dtype=torch.int)
        for row, ids in zip(rows, words(texts).input_ids):
            row[: len(ids)] = torch.tensor(ids)
        return rows

    clip.load = load
    if len(words) != 49408:
        clip.tokenize = tokenize

    def hub(repository, name, **_):
        dino = load_by_path("dino_network", checkout / "CutLER/maskcut/dino.py")
        c = json.loads((bundle / "dino/config.json").read_text())
        network = dino.VisionTransformer(
            img_size=[c["img_size"]], patch_size=c["patch_size"], embed_dim=c["embed_dim"], depth=c["depth"],
            num_heads=c["num_heads"], qkv_bias=True, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        )  # fmt: skip
        network.load_state_dict(load_file(bundle / "dino/model.safetensors"))
        return network

    torch.hub.load = hub


def hold_still(bundle: pathlib.Path, recorder: Recorder) -> None:
    import sd

    pipeline = sd.StableDiffusionDAAMPipeline
    by_name = pipeline.from_pretrained.__func__
    folder = str(bundle / "stable-diffusion")
    nothing = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.from_pretrained = classmethod(lambda cls, *_, **__: by_name(cls, folder, torch_dtype=torch.float32, **nothing))

    drawn = sd.randn_tensor
    sd.randn_tensor = lambda shape, generator=None, device=None, dtype=None: drawn(
        shape, generator=generator, device=device, dtype=torch.float16
    ).to(dtype)

    painted = pipeline.__call__

    def paint(self, *args, **kwargs):
        pictures, maps = painted(self, *args, **kwargs)
        recorder.painted.append((pictures.clone(), maps.clone()))
        return pictures, maps

    pipeline.__call__ = paint
    extract = pipeline.extract_features

    def keep_features(self, *args, **kwargs):
        found = extract(self, *args, **kwargs)
        if recorder.features is not None:
            recorder.features.append(found.clone())
        return found

    pipeline.extract_features = keep_features
    features = pipeline.features

    def with_seed(self, *args, generator=None, **kwargs):
        return features(self, *args, generator=generator or torch.Generator().manual_seed(WINDOW_SEED), **kwargs)

    pipeline.features = with_seed


def fit_sizes(document: dict) -> None:
    """Tensors as the named torchvision resizes them, and pictures of other sizes."""
    import torchvision.transforms.functional as TF

    import mmdata
    import utils.clip_class as clip_class

    resize = TF.resize
    window = {s["name"]: s["window_input"] for s in document["spaces"]}
    prefilter = document["prefilter"]
    sizes = {(512, 512): (window["sd"]["size"],) * 2, (448, 448): (window["clip"]["size"],) * 2,
             448: window["dino"]["size"], (224, 224): (prefilter["input_size"],) * 2}  # fmt: skip
    longest = {None: None, 800: window["dino"].get("max_size")}

    def resized(image, size, *args, max_size=None, **kwargs):
        if not isinstance(image, torch.Tensor):
            return resize(image, size, *args, max_size=max_size, **kwargs)
        wanted = tuple(size) if isinstance(size, (list, tuple)) else size
        return resize(image, sizes[wanted], *args, max_size=longest[max_size], antialias=False, **kwargs)

    TF.resize = resized
    mmdata.prep_sample.__defaults__ = ((prefilter["intermediate_size"],) * 2,)
    built = clip_class.CLIP.__init__

    def build(self, *args, **kwargs):
        built(self, *args, **kwargs)
        self.aug.transforms[0] = lambda image: resized(image, (224, 224))

    clip_class.CLIP.__init__ = build


def choose_classes(job: dict) -> None:
    import mmdata

    names = [c["name"] for c in job["classes"]]
    mmdata.PascalVOCDataset.CLASSES = ("__background__", *names)
    mmdata.PascalVOCDataset.CLASS_TO_PROMPT = {"__background__": "background", **{n: n for n in names}}
    mmdata.IS_STUFF.clear()
    mmdata.IS_STUFF.update({c["name"]: c["kind"] == "stuff" for c in job["classes"]})


def watch_predictions(recorder: Recorder) -> None:
    """Score maps and the prefilter's choice; both are local to the program's functions."""
    import utils.clip_class as clip_class

    resize = F.interpolate

    def interpolate(value, *args, **kwargs):
        if value.dim() == 4 and value.shape[1] == 1 + len(recorder.classes):
            recorder.last_resized = value[0].clone()
        return resize(value, *args, **kwargs)

    F.interpolate = interpolate
    forward = clip_class.CLIPClassifierThresh.forward

    def classify(self, picture):
        chosen = forward(self, picture)
        recorder.kept.append([self.classes[i] for i in chosen])
        return chosen

    clip_class.CLIPClassifierThresh.forward = classify


def run(script: str, *arguments) -> None:
    print("==", script, *arguments, flush=True)
    sys.argv = [script, *map(str, arguments)]
    runpy.run_path(script, run_name="__main__")


def heads_outside(vectors: torch.Tensor, heads: int, axis: int) -> torch.Tensor:
    """Channels from the program's order, [channel of a head, head], to the networks' own."""
    return vectors.unflatten(axis, (-1, heads)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def keep_supports(recorder: Recorder, folder: pathlib.Path, count: int, stems: dict[str, str], heads: dict) -> None:
    for name, calls in zip(recorder.classes, recorder.painted_by_class):
        recorder.keep(f"{name}/attribution", torch.cat([maps for _, maps in calls])[:, 0])
        here = folder / name
        read = lambda path: torch.from_numpy(np.array(Image.open(path)))  # noqa: E731
        recorder.keep(f"{name}/pictures", torch.stack([read(here / f"{n:05d}.png") for n in range(count)]))
        masks = {
            "thresholds/foreground": "proc_masks_thresh/fg", "thresholds/background": "proc_masks_thresh/bg",
            "cutler/foreground": "proc_masks_cutler_v3/fg", "cutler/background": "proc_masks_cutler_v3/bg_pp",
        }  # fmt: skip
        for kind, prefix in masks.items():
            rows = [read(here / f"{prefix}_{n:05d}.png") > 127 for n in range(count)]
            recorder.keep(f"{name}/{kind}", torch.stack(rows).to(torch.uint8))
        for space, stem in stems.items():
            rows = [torch.load(here / f"{stem}_{n:05d}.pt", weights_only=False)["feats"] for n in range(count)]
            recorder.keep(f"{name}/features/{space}", heads_outside(torch.cat(rows), heads[space], 1))


def keep_prototypes(recorder: Recorder, files: dict[str, pathlib.Path], heads: dict[str, int]) -> None:
    suffixes = {"": "class", "_ind": "instance", "_kmeans": "part"}
    for space, path in files.items():
        table = torch.load(path, weights_only=False)
        for name in recorder.classes:
            for suffix, level in suffixes.items():
                background = f"{name}_kmeans_bg" if suffix == "_kmeans" else f"{name}_bg{suffix}"
                for side, key in (("foreground", name + suffix), ("background", background)):
                    rows = table[key].reshape(-1, table[key].shape[-1])
                    rows = heads_outside(rows, heads[space], 1) if space in heads else rows
                    recorder.keep(f"{name}/{space}/{side}/{level}", rows)


def main() -> None:
    checkout, job_path, out = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
    job = json.loads(job_path.read_text())
    bundle = pathlib.Path(job["bundle"])
    sys.path.insert(0, str(checkout))
    torch.set_grad_enabled(False)
    torch.set_num_threads(job["threads"])
    out.mkdir(parents=True, exist_ok=True)
    recorder = Recorder([c["name"] for c in job["classes"]])
    replace_mmseg(job, recorder)
    import utils  # noqa: F401  (the checkout's)

    document = json.loads((bundle / "bundle.json").read_text())
    replace_cutler(bundle, job["score_threshold"])
    replace_downloads(bundle, checkout)
    hold_still(bundle, recorder)
    fit_sizes(document)
    choose_classes(job)
    count, cpu = job["pictures"], ("--device", "cpu")
    script = lambda name: str(checkout / f"{name}.py")  # noqa: E731
    supports = out / "supports"
    # By class, so that what was painted for which is known.
    for name in recorder.classes:
        recorder.painted = []
        paint = ("--n", count, "--num_inference_steps", job["steps"])
        run(script("sample_support_set"), *cpu, *paint, "voc", supports, "--categories", name)
        recorder.painted_by_class.append(recorder.painted)
    run(script("gen_vit_features"), *cpu, "--model_key", "clip_ViT-B/16", "--layer", "-2", "voc", supports)
    run(script("gen_vit_features"), *cpu, "--model_key", "dino_vitb8", "voc", supports)
    vision = json.loads((bundle / "clip/config.json").read_text())["vision_config"]
    dino = json.loads((bundle / "dino/config.json").read_text())
    stems = {"dino": f"dino/dino_vitb8_{dino['patch_size']}", "clip": f"clip/clip_vit-b_16_{vision['patch_size']}_-2"}
    heads = {"dino": dino["num_heads"], "clip": vision["num_attention_heads"]}
    keep_supports(recorder, supports, count, stems, heads)

    table = ("--total", count, "--num_samples", count, "--kmeans", job["parts"])
    for space, stem in stems.items():
        run(script("gen_proto_vit"), *cpu, *table, "--feature_path_prefix", f"{stem}_0", "voc", supports, space)
    recorder.features = []
    run(script("gen_proto_sd"), *cpu, *table, *job["sd_arguments"], "voc", supports, "sd")
    # Pictures without a foreground are not looked at.
    assert len(recorder.features) == count * len(recorder.classes), "a picture had no foreground; change the job"
    for i, name in enumerate(recorder.classes):
        recorder.keep(f"{name}/features/sd", torch.cat(recorder.features[i * count : (i + 1) * count]))
    recorder.features = None
    files = {"sd": next(supports.glob("voc_sd_*_proto.pt"))}
    files.update({space: supports / f"voc_{space}_proto.pt" for space in stems})
    keep_prototypes(recorder, files, heads)
    watch_predictions(recorder)
    sizes, stride = document["windows"]["sizes"], document["windows"]["stride"]
    windows = ("--size", document["windows"]["short_side"], "--crops", ",".join(map(str, sizes)))
    windows += ("--strides", ",".join([str(stride)] * len(sizes)))
    for variant, mode in (("means", "mean_ind"), ("parts", "all")):
        recorder.kept, recorder.labels, recorder.scores = [], [], []
        chosen = ("--prots", *files.values(), "--feat_mode", mode)
        run(script("predict"), *cpu, *windows, "voc", out / "runs", *chosen)
        for photo, kept, labels, scores in zip(job["photos"], recorder.kept, recorder.labels, recorder.scores):
            numbers = [1 + recorder.classes.index(n) for n in kept]
            recorder.keep(f"{variant}/{photo['id']}/kept", torch.tensor(sorted(numbers)))
            recorder.keep(f"{variant}/{photo['id']}/labels", labels)
            recorder.keep(f"{variant}/{photo['id']}/scores", scores)
    save_file(recorder.tensors, out / "official.safetensors")


if __name__ == "__main__":
    main()
