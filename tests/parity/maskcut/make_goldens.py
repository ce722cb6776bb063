#!/usr/bin/env python3
"""Makes goldens/<case>.safetensors: normalised cuts and MaskCut's masks by SciPy.

    pip install -r tests/parity/requirements.txt
    python tests/parity/maskcut/make_goldens.py

Written from the description of MaskCut (shared notes networks.md 6.2; Wang et
al., "Cut and Learn", CVPR 2023, section 3.2) with a dense generalised
eigenproblem, scipy.linalg.eigh in float64, where the C++ has Lanczos. A file
holds the keys ("keys", [C, gh, gw] float32), per round the eigenvalue and the
vector ("round<i>/value", "round<i>/vector", sign fixed) and the masks ("masks",
[M, gh, gw], disjoint). Cases where rounding could decide are refused here.
"""

import pathlib

import numpy as np
import scipy.linalg
import scipy.ndimage
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
WEAK = 1e-5  # affinity of patches that do not resemble each other


def affinity(vectors, tau):
    """vectors [C, n] -> [n, n]: 1 where the cosine is above tau, else WEAK."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-12)
    cosine = unit.T @ unit
    # Float32 may see these on the other side: none, or too few of millions to move anything.
    assert (np.abs(cosine - tau) < 3e-7).sum() <= cosine.size / 1e6, "cosines lie on the threshold"
    return np.where(cosine > tau, 1.0, WEAK)


def strongest(y):
    """Index of the largest entry. Patches of equal affinities have equal entries but for rounding: the first of them."""
    below = 1 - y / y.max()
    assert not np.any((below > 1e-7) & (below < 1e-5)), "entries neither equal nor apart"
    return int(np.argmax(below < 1e-6))


def second_vector(a):
    """(value, y) of the second smallest solution of (D - A) y = value D y; y at its largest magnitude is positive."""
    d = np.diag(a.sum(1))
    values, vectors = scipy.linalg.eigh(d - a, d, subset_by_index=[0, 2])
    assert values[2] - values[1] > 1e-5, ("the second value is not single", values)
    y = vectors[:, 1]
    return values[1], y if y[strongest(np.abs(y))] > 0 else -y


def component(mask, seed):
    labels, _ = scipy.ndimage.label(mask)  # 4-connectivity
    return labels == labels[np.unravel_index(seed, mask.shape)]


def overlap(a, b):
    union = (a | b).sum()
    return (a & b).sum() / union if union else 0.0


def bipartition(y, grid):
    """One round's mask and whether the sides were swapped."""
    assert np.abs(y - y.mean()).min() > 1e-6 * np.abs(y).max(), "a patch lies on the mean"
    inside = (y > y.mean()).reshape(grid)
    seed = strongest(np.abs(y))
    corners = sum(bool(inside[r, c]) for r in (0, -1) for c in (0, -1))
    swap = corners >= 3 or not inside.flat[seed]
    if swap:
        inside, y = ~inside, -y
    return component(inside, strongest(y)), swap


def maskcut(keys, tau, rounds):
    grid = keys.shape[1:]
    vectors = keys.reshape(keys.shape[0], -1).astype(np.float64)
    painted = np.zeros(grid, bool)
    previous = np.zeros(grid, bool)
    out, masks, log = {}, [], []
    for i in range(rounds):
        if i > 0:
            painted |= previous
            vectors[:, painted.reshape(-1)] = 0
        value, y = second_vector(affinity(vectors, tau))
        mask, swap = bipartition(y, grid)
        dropped = i > 0 and (overlap(mask, previous) > 0.5 or mask.mean() <= 0.01)
        if dropped:
            mask = np.zeros(grid, bool)
        out[f"round{i}/value"] = np.array([value])
        out[f"round{i}/vector"] = y
        log.append(f"{value:.4f}{' swapped' if swap else ''}{' dropped' if dropped else ''}")
        rest = mask & ~np.any(masks, axis=0) if masks else mask
        masks.append(rest)
        previous = mask
    out["masks"] = np.stack([m for m in masks if m.any()]).astype(np.uint8)
    return out, log


def blobs(seed, grid, dim, areas, noise, shared=0.0):
    """Keys around one direction per area; `areas` is painted in order: (name of direction, y0, y1, x0, x1)."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((1 + max(a[0] for a in areas), dim))
    directions += shared * rng.standard_normal(dim)
    which = np.zeros(grid, int)
    for direction, y0, y1, x0, x1 in areas:
        which[y0:y1, x0:x1] = direction
    keys = directions[which] + noise * rng.standard_normal((*grid, dim))
    return keys.transpose(2, 0, 1).astype(np.float32).copy()


CASES = {
    # An object in the middle, another at an edge, ground below.
    "three_objects": (blobs(1, (20, 24), 16, [(0, 0, 20, 0, 24), (1, 13, 20, 0, 24), (2, 3, 10, 4, 11),
                                             (3, 4, 12, 16, 24)], 0.7), 0.15, 3),
    # The cut's stronger side holds the corners: the corner rule swaps them.
    "corners": (blobs(2, (16, 16), 16, [(0, 0, 16, 0, 16), (1, 5, 11, 4, 12)], 0.9), 0.2, 2),
    # Nothing more than one object: later rounds find crumbs or the same again.
    "one_object": (blobs(3, (18, 15), 12, [(0, 0, 18, 0, 15), (1, 6, 14, 3, 9)], 0.35), 0.15, 3),
    # One direction in two places: the component of the seed alone is taken.
    "two_of_a_kind": (blobs(4, (14, 22), 16, [(0, 0, 14, 0, 22), (1, 2, 8, 2, 8), (1, 5, 12, 13, 20)], 0.5), 0.15, 3),
    # DINO ViT-B/8's grid of a 480-pixel picture.
    "full_grid": (blobs(5, (60, 60), 12, [(0, 0, 60, 0, 60), (1, 40, 60, 0, 60), (2, 10, 34, 8, 30),
                                          (3, 15, 45, 38, 56)], 0.8), 0.15, 3),
}


def main():
    (HERE / "goldens").mkdir(exist_ok=True)
    for name, (keys, tau, rounds) in CASES.items():
        out, log = maskcut(keys, tau, rounds)
        path = HERE / "goldens" / f"{name}.safetensors"
        save_file({"keys": keys, "tau": np.array([tau]), **out}, path)
        path.chmod(0o644)
        assert path.stat().st_size < 300_000, (name, path.stat().st_size)
        print(name, path.stat().st_size, "bytes; rounds:", "; ".join(log), "; areas", out["masks"].sum((1, 2)))


if __name__ == "__main__":
    main()
