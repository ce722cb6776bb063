#!/usr/bin/env python3
"""Makes the goldens of tests/parity/cutler with torch's and torchvision's operators.

    pip install -r tests/parity/requirements.txt
    python tests/parity/cutler/make_goldens.py [tiny] [full] [keys] [ops]

`tiny`: a narrow network, stored whole, and what it detects in three pictures.
`full`: the real size, whose 72 million weights are drawn alike here and in C++
(draw() below), and what it detects in three pictures, each resized to 800 pixels;
some 25 s and 2 GB in all on one core, in C++ some 20 s
and 1 GB. `keys`: names and shapes of the real network. `ops`: random boxes through
roi_align, nms and grid_sample. Everything is float32 on the CPU. The C++ tests
read the files; they need no Python.

detectron2 does not install beside this torch; reference.py is its network out of
torchvision's operators.
"""

import json
import math
import pathlib
import sys
import time

import numpy
import torch
import torchvision
from safetensors.torch import save_file

import reference

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
KEYS = HERE.parent / "keys"

TINY = dict(reference.DEFAULTS, stem_out_channels=6, width_per_group=4, res2_out_channels=12,
            stage_blocks=[2, 1, 2, 1], fpn_out_channels=10, anchor_sizes=[16, 32, 64, 96, 128],
            rpn_pre_nms_topk=120, rpn_post_nms_topk=90, box_pooler_resolution=5,
            box_fc_dim=24, mask_pooler_resolution=6, mask_conv_dim=7)


def draw(seed, count):
    """`count` numbers in [-1, 1): number i is a mix of (seed, i), by 32-bit integers.

    h = i + seed * 0x9e3779b9; twice { h ^= h >> 16; h *= 0x85ebca6b };
    h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16; the upper 24 bits / 2^23, less 1.
    """
    h = numpy.arange(count, dtype=numpy.uint32)
    h += numpy.uint32(seed * 0x9e3779b9 & 0xffffffff)
    for shift, factor in ((16, 0x85ebca6b), (16, 0x85ebca6b), (13, 0xc2b2ae35)):
        h ^= h >> numpy.uint32(shift)
        h *= numpy.uint32(factor)
    h ^= h >> numpy.uint32(16)
    return (h >> numpy.uint32(8)).astype(numpy.float64) / 2 ** 23 - 1


# What draw() is multiplied by, and what is added: the first ending that fits the name.
# Convolutions and linear layers: by sqrt(6 / inputs), times the factor here.
SCALES = (
    ("conv3.norm.weight", 0.05, 0.25),
    ("norm.weight", 0.1, 1.0),
    ("norm.bias", 0.1, 0.0),
    ("norm.running_mean", 0.1, 0.0),
    ("norm.running_var", 0.1, 1.0),
    ("anchor_deltas.weight", 0.1, 0.0),
    ("bbox_pred.weight", 0.5, 0.0),
    ("cls_score.weight", 0.5, 0.0),
    ("predictor.weight", 0.1, 0.0),
    ("weight", 1.0, 0.0),
    ("bias", 0.1, 0.0),
)


@torch.no_grad()
def fill_by_name(model, class_bias):
    """Weights that C++ draws alike: full_size_test.cc, FillByName."""
    tensors = {name: value for name, value in model.state_dict().items()
               if not name.endswith("num_batches_tracked")}
    for seed, (name, value) in enumerate(sorted(tensors.items())):
        scale, offset = next((s, o) for end, s, o in SCALES if name.endswith(end))
        if value.dim() > 1:
            scale *= math.sqrt(6.0 / (value.numel() // value.shape[0]))
        values = draw(seed, value.numel()) * scale + offset
        if name.endswith("cls_score.bias"):
            values = numpy.array([class_bias, 0.0])
        value.copy_(torch.from_numpy(values).float().view(value.shape))
    return model.eval()


def picture(seed, height, width, shapes):
    """uint8 [height, width, 3]: rectangles and discs on a slope, with noise."""
    numbers = (draw(seed, 10 * shapes) + 1) / 2
    ys, xs = numpy.mgrid[:height, :width]
    values = numpy.stack([60 + 80 * xs / width, 90 + 60 * ys / height,
                          120 - 60 * xs / width], -1)
    for i in range(shapes):
        x, y, a, b, kind, red, green, blue = numbers[10 * i:10 * i + 8]
        x, y, a, b = x * width, y * height, (0.08 + a * 0.25) * width, (0.08 + b * 0.25) * height
        inside = (abs(xs - x) < a) & (abs(ys - y) < b) if kind < 0.5 else \
            ((xs - x) / a) ** 2 + ((ys - y) / b) ** 2 < 1
        values[inside] = 255 * numpy.array([red, green, blue])
    if shapes:
        values += 12 * draw(seed + 1, values.size).reshape(values.shape)
    return torch.from_numpy(numpy.clip(values, 0, 255).astype(numpy.uint8))


def flat(height, width):
    """uint8 [height, width, 3] of the networks' mean colour."""
    return torch.tensor([124, 116, 104], dtype=torch.uint8).repeat(height, width, 1)


def choose_threshold(scores, most):
    """The middle of the widest gap between the scores of interest: above all of the last
    picture's, which thus has no detection, and so that of each other picture's proposals
    some `most` / 4 to `most` are above."""
    ranked = [s.sort(descending=True)[0] for s in scores]
    lowest = max(ranked[-1][0].item(), *(s[most].item() for s in ranked[:-1]))
    highest = min(s[most // 4].item() for s in ranked[:-1])
    assert lowest < highest, [s[[0, most // 4, most]] for s in ranked]
    between = torch.cat(scores).sort()[0]
    between = between[(between >= lowest) & (between <= highest)]
    widest = (between[1:] - between[:-1]).argmax()
    return ((between[widest] + between[widest + 1]) / 2).item()


def check_margins(boxes, scores, threshold, iou_threshold, found):
    """No decision here hangs on rounding."""
    assert (scores - threshold).abs().min() > 5e-5, "a score at the threshold"
    boxes, scores = boxes[scores > threshold], scores[scores > threshold]
    overlaps = torchvision.ops.box_iou(boxes, boxes).fill_diagonal_(0)
    assert len(scores) == 0 or (overlaps - iou_threshold).abs().min() > 1e-5, "an overlap"
    alike = ((scores[:, None] - scores).abs() < 5e-6) & (overlaps > iou_threshold)
    assert not alike.any(), "two boxes of which either may stay"
    assert (found[:-1] - found[1:] > 5e-6).all(), "two detections in either order"


def run(model, config, pictures, spec, most):
    """What the model finds in the pictures: {name: tensor}."""
    seen = []
    for image in pictures:
        start = time.process_time()
        seen.append(reference.look(model, image, spec))
        print(f"  {tuple(image.shape)} as {seen[-1][0]}: {time.process_time() - start:.1f} s")
    threshold = choose_threshold([s[3] for s in seen], most)
    io = dict(score_threshold=torch.tensor([threshold], dtype=torch.float64),
              max_detections=torch.tensor([100]), **{k: torch.tensor([v]) for k, v in spec.items()})
    for i, (image, (_, _, boxes, scores)) in enumerate(zip(pictures, seen)):
        found = reference.detect(model, image, seen[i], threshold, 100)
        check_margins(boxes, scores, threshold, config["nms_thresh"], found["scores"])
        near = int(((found["pasted"] - 0.5).abs() < 1e-4).sum())
        print(f"  picture {i}: {len(found['scores'])} found, scores",
              [round(s, 4) for s in found["scores"].tolist()], "best of all",
              scores.max().item(), "pixels inside",
              [int((p >= 0.5).sum()) for p in found["pasted"]],
              "near 0.5:", near)
        io[f"{i}/near_half"] = torch.tensor([near])
        io[f"{i}/picture"] = image
        io[f"{i}/pasted"] = (found.pop("pasted") >= 0.5).to(torch.uint8)
        io.update({f"{i}/{name}": value for name, value in found.items()})
    return io


def save(io, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in io.items()}, path)
    print(f"  {path.name}: {path.stat().st_size} bytes")


def tiny():
    print("tiny")
    model = fill_by_name(reference.CascadeRcnn(TINY), -1.0)
    # No side is a multiple of 32; the second is as long as is allowed.
    pictures = [picture(7, 60, 80, 6), picture(17, 90, 50, 9),
                flat(48, 48)]
    io = run(model, TINY, pictures, dict(short_side=120, max_long_side=200), 24)
    weights = dict(model.state_dict(), pixel_mean=reference.MEAN.view(3, 1, 1),
                   pixel_std=reference.STD.view(3, 1, 1))
    for level, size in enumerate(TINY["anchor_sizes"]):
        weights[f"proposal_generator.anchor_generator.cell_anchors.{level}"] = \
            reference.cell_anchors(size, TINY["aspect_ratios"])
    save(weights, GOLDENS / "tiny" / "model.safetensors")
    (GOLDENS / "tiny" / "config.json").write_text(
        json.dumps(dict(architecture="cascade_mask_rcnn", **TINY), indent=1) + "\n")
    save(io, GOLDENS / "tiny.safetensors")


def full():
    print("full")
    model = fill_by_name(reference.CascadeRcnn(reference.DEFAULTS), -1.0)
    pictures = [picture(7, 64, 64, 6), picture(17, 72, 60, 9),
                flat(40, 48)]
    save(run(model, reference.DEFAULTS, pictures, dict(short_side=800, max_long_side=1333), 160),
         GOLDENS / "full_size.safetensors")


def keys():
    state = reference.CascadeRcnn(reference.DEFAULTS).state_dict()
    lines = [f"{name} {'x'.join(str(n) for n in value.shape) or 'scalar'}"
             for name, value in sorted(state.items())]
    (KEYS / "cutler.txt").write_text("\n".join(lines) + "\n")
    print("keys:", len(lines))


def ops():
    """Random boxes through torchvision's own operators."""
    generator = torch.Generator().manual_seed(5)

    def boxes_in(count, width, height):
        corners = torch.rand(count, 2, 2, generator=generator) * torch.tensor([width, height])
        return torch.cat([corners.amin(1), corners.amax(1)], 1)

    features = torch.randn(1, 5, 13, 17, generator=generator)
    # Beyond the borders too, thin, and without extent.
    rois = boxes_in(40, 17 * 8 + 40, 13 * 8 + 40) - 20
    rois = torch.cat([rois, torch.tensor([[0, 0, 136, 104], [3, 5, 3, 5], [10, 4, 130, 4.5],
                                          [135.9, 103.9, 136, 104], [-60, -60, -30, -30]])])
    aligned = torchvision.ops.roi_align(
        features, torch.cat([torch.zeros(len(rois), 1), rois], 1), 4, 1 / 8, 0, True)
    boxes = boxes_in(300, 100, 60)
    scores = torch.rand(300, generator=generator)
    scores[100:110] = scores[100]
    masks = torch.rand(6, 28, 28, generator=generator)
    mask_boxes = torch.tensor([[10.3, 4.7, 30.2, 25.1], [0, 0, 50, 40], [20.2, 10.4, 20.9, 39.5],
                               [3, 3, 4, 4], [49.2, 39.3, 50, 40], [0.4, 12.2, 49.1, 13.9]])
    pasted = torch.stack([reference.paste(m, b, 40, 50) for m, b in zip(masks, mask_boxes)])
    deltas = torch.randn(300, 4, generator=generator) * torch.tensor([1.0, 1, 2, 4])
    save(dict(features=features, rois=rois, aligned=aligned, boxes=boxes, scores=scores,
              kept_50=torchvision.ops.nms(boxes, scores, 0.5),
              kept_20=torchvision.ops.nms(boxes, scores, 0.2),
              deltas=deltas, decoded=reference.decode(deltas, boxes, (10, 10, 5, 5)),
              masks=masks, mask_boxes=mask_boxes, pasted=pasted,
              anchors=reference.grid_anchors(3, 4, 16, 128, [0.5, 1.0, 2.0])),
         GOLDENS / "ops.safetensors")


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["tiny", "full", "keys", "ops"]:
        globals()[name]()


if __name__ == "__main__":
    main()
