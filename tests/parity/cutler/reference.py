"""Cascade Mask R-CNN R50-FPN, the network of CutLER, out of torch and torchvision.

detectron2, which CutLER runs on, does not install beside this torch. This is its
network written down again from what it computes, with torchvision's operators
where torchvision has them (roi_align, batched_nms) and torch's elsewhere
(convolutions, batch norm, grid_sample). Names are those of detectron2's state
dict. Nothing here is shared with engine/, which it is there to check.
"""

import math

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32, 64)  # p2 to p6
DELTA_CLAMP = math.log(1000.0 / 16)
CASCADE_WEIGHTS = ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))

DEFAULTS = dict(
    stem_out_channels=64, width_per_group=64, res2_out_channels=256,
    stage_blocks=[3, 4, 6, 3], fpn_out_channels=256,
    anchor_sizes=[32, 64, 128, 256, 512], aspect_ratios=[0.5, 1.0, 2.0],
    rpn_pre_nms_topk=1000, rpn_post_nms_topk=1000, rpn_nms_thresh=0.65,
    box_pooler_resolution=7, box_fc_dim=1024, mask_pooler_resolution=14,
    mask_conv_dim=256, nms_thresh=0.5)


class ConvNorm(nn.Conv2d):
    """A convolution without bias, then batch norm."""

    def __init__(self, inside, outside, kernel, stride=1):
        super().__init__(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outside, eps=1e-5)

    def forward(self, x):
        return self.norm(super().forward(x))


class Stem(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvNorm(3, channels, 7, 2)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)


class Bottleneck(nn.Module):
    def __init__(self, inside, middle, outside, stride):
        super().__init__()
        self.conv1 = ConvNorm(inside, middle, 1)
        self.conv2 = ConvNorm(middle, middle, 3, stride)  # STRIDE_IN_1X1 false
        self.conv3 = ConvNorm(middle, outside, 1)
        self.shortcut = (ConvNorm(inside, outside, 1, stride)
                         if inside != outside else nn.Identity())

    def forward(self, x):
        y = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.relu(self.conv3(y) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.stem = Stem(config["stem_out_channels"])
        inside = config["stem_out_channels"]
        for stage, blocks in enumerate(config["stage_blocks"]):
            outside = config["res2_out_channels"] << stage
            middle = config["width_per_group"] << stage
            layers = []
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(Bottleneck(inside, middle, outside, stride))
                inside = outside
            self.add_module(f"res{stage + 2}", nn.Sequential(*layers))

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for stage in (self.res2, self.res3, self.res4, self.res5):
            x = stage(x)
            maps.append(x)
        return maps


class Fpn(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bottom_up = ResNet(config)
        channels = config["fpn_out_channels"]
        for level in range(2, 6):
            inside = config["res2_out_channels"] << (level - 2)
            self.add_module(f"fpn_lateral{level}", ConvNorm(inside, channels, 1))
            self.add_module(f"fpn_output{level}", ConvNorm(channels, channels, 3))

    def forward(self, x):
        maps = self.bottom_up(x)
        merged = self.fpn_lateral5(maps[3])
        pyramid = [self.fpn_output5(merged)]
        for level in (4, 3, 2):
            lateral = getattr(self, f"fpn_lateral{level}")(maps[level - 2])
            merged = lateral + F.interpolate(merged, scale_factor=2, mode="nearest")
            pyramid.insert(0, getattr(self, f"fpn_output{level}")(merged))
        return pyramid + [F.max_pool2d(pyramid[-1], 1, 2)]


def cell_anchors(size, ratios):
    rows = []
    for ratio in ratios:
        width = math.sqrt(size ** 2 / ratio)
        height = ratio * width
        rows.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(rows)


def grid_anchors(height, width, stride, size, ratios):
    """[height * width * ratios, 4], in that order."""
    ys, xs = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride,
                            indexing="ij")
    shifts = torch.stack([xs, ys, xs, ys], -1).reshape(-1, 1, 4).float()
    return (shifts + cell_anchors(size, ratios)).reshape(-1, 4)


def decode(deltas, boxes, weights):
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 0] + 0.5 * widths, boxes[:, 1] + 0.5 * heights
    dx, dy, dw, dh = (deltas[:, i] / weights[i] for i in range(4))
    x, y = dx * widths + x, dy * heights + y
    widths = torch.exp(dw.clamp(max=DELTA_CLAMP)) * widths
    heights = torch.exp(dh.clamp(max=DELTA_CLAMP)) * heights
    return torch.stack([x - 0.5 * widths, y - 0.5 * heights,
                        x + 0.5 * widths, y + 0.5 * heights], 1)


def clip(boxes, size):
    height, width = size
    limits = torch.tensor([width, height, width, height]).float()
    return torch.minimum(boxes.clamp(min=0), limits)


def nonempty(boxes):
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


class RpnHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, ratios = config["fpn_out_channels"], len(config["aspect_ratios"])
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, ratios, 1)
        self.anchor_deltas = nn.Conv2d(channels, 4 * ratios, 1)

    def forward(self, x):
        x = F.relu(self.conv(x))
        logits = self.objectness_logits(x)[0]  # [A, H, W]
        deltas = self.anchor_deltas(x)[0]
        deltas = deltas.view(-1, 4, *deltas.shape[-2:])
        return logits.permute(1, 2, 0).flatten(), deltas.permute(2, 3, 0, 1).reshape(-1, 4)


class Rpn(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.rpn_head = RpnHead(config)

    def forward(self, pyramid, size):
        config = self.config
        boxes, scores, levels = [], [], []
        for level, x in enumerate(pyramid):
            logits, deltas = self.rpn_head(x)
            anchors = grid_anchors(*x.shape[-2:], STRIDES[level],
                                   config["anchor_sizes"][level], config["aspect_ratios"])
            best, index = logits.topk(min(len(logits), config["rpn_pre_nms_topk"]))
            boxes.append(decode(deltas[index], anchors[index], (1, 1, 1, 1)))
            scores.append(best)
            levels.append(torch.full_like(index, level))
        boxes, scores, levels = clip(torch.cat(boxes), size), torch.cat(scores), torch.cat(levels)
        kept = nonempty(boxes)
        boxes, scores, levels = boxes[kept], scores[kept], levels[kept]
        kept = torchvision.ops.batched_nms(boxes, scores, levels, config["rpn_nms_thresh"])
        return boxes[kept[:config["rpn_post_nms_topk"]]]


def pool(pyramid, boxes, resolution):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    level = torch.floor(4 + torch.log2(torch.sqrt(area) / 224 + 1e-8)).clamp(2, 5).long() - 2
    pooled = torch.zeros(len(boxes), pyramid[0].shape[1], resolution, resolution)
    for i in range(4):
        index = torch.nonzero(level == i)[:, 0]
        rois = torch.cat([torch.zeros(len(index), 1), boxes[index]], 1)
        pooled[index] = torchvision.ops.roi_align(
            pyramid[i], rois, resolution, 1.0 / STRIDES[i], sampling_ratio=0, aligned=True)
    return pooled


class BoxHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        side, width = config["box_pooler_resolution"], config["box_fc_dim"]
        self.fc1 = nn.Linear(config["fpn_out_channels"] * side * side, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x):
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))


class BoxPredictor(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.cls_score = nn.Linear(config["box_fc_dim"], 2)  # object, background
        self.bbox_pred = nn.Linear(config["box_fc_dim"], 4)


class MaskHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        inside, width = config["fpn_out_channels"], config["mask_conv_dim"]
        for i in range(1, 5):
            self.add_module(f"mask_fcn{i}", nn.Conv2d(inside, width, 3, padding=1))
            inside = width
        self.deconv = nn.ConvTranspose2d(width, width, 2, 2)
        self.predictor = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        for i in range(1, 5):
            x = F.relu(getattr(self, f"mask_fcn{i}")(x))
        return torch.sigmoid(self.predictor(F.relu(self.deconv(x))))[:, 0]


class RoiHeads(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.box_head = nn.ModuleList(BoxHead(config) for _ in range(3))
        self.box_predictor = nn.ModuleList(BoxPredictor(config) for _ in range(3))
        self.mask_head = MaskHead(config)

    def cascade(self, pyramid, boxes, size):
        """Refined boxes and their scores."""
        scores = []
        for stage in range(3):
            x = self.box_head[stage](pool(pyramid, boxes, self.config["box_pooler_resolution"]))
            predictor = self.box_predictor[stage]
            scores.append(F.softmax(predictor.cls_score(x), 1))
            boxes = clip(decode(predictor.bbox_pred(x), boxes, CASCADE_WEIGHTS[stage]), size)
        return boxes, (sum(scores) * (1.0 / 3))[:, 0]

    def select(self, pyramid, boxes, scores, score_threshold, max_detections):
        kept = scores > score_threshold
        boxes, scores = boxes[kept], scores[kept]
        kept = torchvision.ops.batched_nms(boxes, scores, torch.zeros(len(boxes)),
                                           self.config["nms_thresh"])[:max_detections]
        boxes, scores = boxes[kept], scores[kept]
        masks = self.mask_head(pool(pyramid, boxes, self.config["mask_pooler_resolution"]))
        return boxes, scores, masks


class CascadeRcnn(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.backbone = Fpn(config)
        self.proposal_generator = Rpn(config)
        self.roi_heads = RoiHeads(config)

    def propose(self, image):
        """image: normalised [1, 3, H, W]. The pyramid's p2 to p5, and scored boxes."""
        size = image.shape[-2:]
        padded = F.pad(image, (0, -size[1] % 32, 0, -size[0] % 32))
        pyramid = self.backbone(padded)
        boxes = self.proposal_generator(pyramid, size)
        return pyramid[:4], *self.roi_heads.cascade(pyramid[:4], boxes, size)


MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)


def input_size(height, width, short_side, max_long_side):
    """torchvision's Resize(short_side, max_size=max_long_side)."""
    short, long = min(height, width), max(height, width)
    new_short, new_long = short_side, int(short_side * long / short)
    if new_long > max_long_side:
        new_short, new_long = int(max_long_side * new_short / new_long), max_long_side
    return (new_short, new_long) if height <= width else (new_long, new_short)


def paste(mask, box, height, width):
    """[height, width] values of the box's mask at the picture's pixel centres."""
    x = (torch.arange(width) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(height) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
    return F.grid_sample(mask[None, None], grid[None], mode="bilinear", padding_mode="zeros",
                         align_corners=False)[0, 0]


@torch.no_grad()
def look(model, picture, spec):
    """What comes before any threshold. picture: uint8 [H, W, 3], RGB."""
    size = input_size(*picture.shape[:2], spec["short_side"], spec["max_long_side"])
    values = picture.permute(2, 0, 1)[None].float()
    values = F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=False)
    return size, *model.propose((values - MEAN) / STD)


@torch.no_grad()
def detect(model, picture, seen, score_threshold, max_detections):
    """seen: what look() returned. Boxes are in the picture's pixels."""
    height, width = picture.shape[:2]
    size, pyramid, boxes, scores = seen
    boxes, scores, masks = model.roi_heads.select(pyramid, boxes, scores, score_threshold,
                                                  max_detections)
    boxes = boxes * torch.tensor([width / size[1], height / size[0]] * 2)
    boxes = clip(boxes, (height, width))
    kept = nonempty(boxes)
    boxes, scores, masks = boxes[kept], scores[kept], masks[kept]
    pasted = [paste(m, b, height, width) for m, b in zip(masks, boxes)]
    return dict(boxes=boxes, scores=scores, masks=masks,
                pasted=torch.stack(pasted) if pasted else torch.zeros(0, height, width))
