#!/usr/bin/env python3
"""Writes goldens.json: what scikit-learn, scikit-image, Pillow and torch say.

Inputs are not stored: draws() is repeated by the tests, to the bit.
Run: python3 make_goldens.py   (needs numpy, scikit-learn, scikit-image, Pillow, torch)
"""

import hashlib
import json
import pathlib
import warnings

import numpy as np
import PIL
import sklearn
import skimage
import torch
from PIL import Image
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans


def draws(seed, count):
    """`count` numbers in [0, 1): a linear congruential generator's upper bits."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 8) / 2**24)
    return np.array(out, dtype=np.float64)


def blobs(seed, n, d, groups, mean):
    """Row i is around corner (i % groups) of a cube, all moved by `mean`."""
    noise = draws(seed, n * d).reshape(n, d)
    rows = np.empty((n, d))
    for i in range(n):
        for j in range(d):
            corner = 3.0 * ((i % groups) >> (j % 3) & 1)
            rows[i, j] = mean + corner + noise[i, j]
    return rows.astype(np.float32)


def kmeans_cases():
    cases = []
    for name, n, d, groups, mean, starts in [
        ("separate", 120, 6, 4, 0.0, "rows"),
        ("overlapping", 200, 5, 2, 0.0, "rows"),
        ("large_mean", 120, 6, 4, 100.0, "rows"),
        ("empty_cluster", 60, 4, 2, 0.0, "far"),
    ]:
        rows = blobs(7, n, d, groups, mean)
        k = 5
        initial = rows[:: n // k][:k].copy()
        if starts == "far":
            initial[3:] = 1000.0 + np.arange(2)[:, None]
        fit = KMeans(k, init=initial, n_init=1, tol=1e-4, max_iter=300,
                     algorithm="lloyd").fit(rows)
        cases.append({
            "name": name, "n": n, "d": d, "groups": groups, "mean": mean,
            "initial": initial.flatten().tolist(),
            "centres": fit.cluster_centers_.flatten().tolist(),
            "labels": fit.labels_.tolist(),
            "inertia": float(fit.inertia_), "iterations": int(fit.n_iter_),
        })
    return cases


def kmeans_plus_plus():
    """Typical inertia of scikit-learn's own k-means++ over 20 seeds."""
    rows = blobs(11, 600, 8, 8, 0.0)
    inertia = [KMeans(16, n_init=1, random_state=s).fit(rows).inertia_
               for s in range(20)]
    return {"median_inertia": float(np.median(inertia)),
            "max_inertia": float(np.max(inertia))}


def otsu_values(kind, n):
    u = draws(3, n)
    if kind == "uniform":
        return u.astype(np.float32)
    if kind == "cubed":
        return (u * u * u).astype(np.float32)
    if kind == "three_modes":
        return (np.arange(n) % 3 * 0.4 + 0.1 * u).astype(np.float32)
    if kind == "negative":
        return (20.0 * u * u - 15.0).astype(np.float32)
    if kind == "few":
        return (np.floor(u * 4) / 3).astype(np.float32)
    if kind == "exactly_three":
        return (np.floor(u * 3) * 0.3).astype(np.float32)
    raise ValueError(kind)


def otsu_cases():
    cases = []
    for kind in ["uniform", "cubed", "three_modes", "negative", "few",
                 "exactly_three"]:
        for n, bins in [(4096, 256), (700, 16), (700, 256)]:
            values = otsu_values(kind, n)
            low, high = threshold_multiotsu(values, classes=3, nbins=bins)
            cases.append({"kind": kind, "n": n, "bins": bins,
                          "lower": float(low), "upper": float(high)})
    return cases


def picture(seed, width, height):
    data = np.floor(draws(seed, width * height * 3) * 256).astype(np.uint8)
    # Flat black and white areas make the filters overshoot.
    data = data.reshape(height, width, 3)
    data[: height // 3, : width // 2] = 0
    data[height // 3: height // 2, width // 2:] = 255
    return Image.fromarray(data)


def resample_cases():
    cases = []
    for name in ["BILINEAR", "BICUBIC", "LANCZOS"]:
        for (iw, ih), (ow, oh) in [
            ((37, 23), (16, 16)), ((37, 23), (50, 41)), ((37, 23), (37, 10)),
            ((37, 23), (5, 23)), ((37, 23), (1, 1)), ((2, 3), (9, 7)),
            ((640, 480), (597, 448)), ((320, 200), (512, 512)),
        ]:
            out = picture(5, iw, ih).resize((ow, oh), getattr(
                Image.Resampling, name))
            raw = out.tobytes()
            case = {"filter": name, "in": [iw, ih], "out": [ow, oh],
                    "sha256": hashlib.sha256(raw).hexdigest()}
            if ow * oh <= 300:
                case["hex"] = raw.hex()
            cases.append(case)
    return cases


def attribution_case():
    """networks.md section 4: per head bicubic, clamp, then the means."""
    target, total, count = (6, 6), torch.zeros(2, 6, 6), 0
    for seed, heads, h, w in [(1, 2, 6, 6), (2, 3, 3, 3), (3, 2, 2, 1)]:
        probs = torch.tensor(draws(seed, 2 * heads * h * w * 2)).float()
        probs = probs.reshape(2, heads, h * w, 2)
        for head in range(heads):
            for token in range(2):
                maps = probs[:, head, :, token].reshape(2, 1, h, w)
                up = torch.nn.functional.interpolate(
                    maps, size=target, mode="bicubic", align_corners=False)
                total += up.clamp(min=0)[:, 0]
                count += 1
    return {"map": (total / count).flatten().tolist()}


def main():
    warnings.simplefilter("ignore")
    goldens = {
        "made_with": {"sklearn": sklearn.__version__,
                      "skimage": skimage.__version__,
                      "pillow": PIL.__version__,
                      "torch": torch.__version__},
        "kmeans": kmeans_cases(),
        "kmeans_plus_plus": kmeans_plus_plus(),
        "otsu": otsu_cases(),
        "resample": resample_cases(),
        "attribution": attribution_case(),
    }
    path = pathlib.Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens, indent=None, separators=(",", ":"))
                    .replace('},{', '},\n{') + "\n")


if __name__ == "__main__":
    main()
