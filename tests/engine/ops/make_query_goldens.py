#!/usr/bin/env python3
"""Writes query_goldens.json: the stuff filter and PAMR, written from their definitions.

Nothing of engine/ is used, nor any library's layers: loops in float64, one pixel and
one vector at a time. Inputs are not stored: draws() is repeated by the tests, to the bit.
Run: python3 make_query_goldens.py   (needs numpy)
"""

import json
import math
import pathlib

import numpy as np


def draws(seed, count):
    """`count` numbers in [0, 1): a linear congruential generator's upper bits."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 8) / 2**24)
    return np.array(out, dtype=np.float64)


def drawn(seed, *shape):
    """As the tests hold it: rounded to float32."""
    return draws(seed, math.prod(shape)).astype(np.float32).astype(np.float64).reshape(shape)


def cosine(a, b):
    return float(a @ b / (math.sqrt(a @ a) * math.sqrt(b @ b)))


def stuff_filter_cases():
    """A background prototype of a thing goes if it is too like ANY foreground prototype of
    ANY stuff class: max cosine > threshold (OVDiff, section 3.3; method.md 8)."""
    cases = []
    for rows, dim, stuff_rows, threshold in [
            (12, 5, [4, 9], 0.85), (12, 5, [4, 9], 0.6), (12, 5, [4, 9], -1.0),
            (12, 5, [4, 9], 1.0), (65, 3, [1], 0.85), (20, 8, [], 0.0), (20, 8, [0, 3], 0.3)]:
        background = drawn(3, rows, dim) - 0.5
        stuff = [drawn(100 + i, n, dim) - 0.5 for i, n in enumerate(stuff_rows)]
        kept, margin = [], 2.0
        for i, vector in enumerate(background):
            cosines = [cosine(vector, row) for group in stuff for row in group]
            worst = max(cosines, default=-1.0)
            margin = min(margin, abs(worst - threshold) if cosines else 2.0)
            if worst <= threshold:
                kept.append(i)
        assert margin > 1e-5, "a tie that float32 may break differently: draw others"
        cases.append({"rows": rows, "dim": dim, "stuff_rows": stuff_rows,
                      "threshold": threshold, "kept": kept})
    return cases


def pamr(picture, maps, iterations, dilations):
    """picture [C, H, W] of 0..255, maps [K, H, W]."""
    channels, height, width = picture.shape

    def at(y, x):
        return min(max(y, 0), height - 1), min(max(x, 0), width - 1)

    around = [(d * dy, d * dx) for d in dilations for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    neighbours = [offset for offset in around if offset != (0, 0)]
    weights = np.empty((height, width, len(neighbours)))
    for y in range(height):
        for x in range(width):
            kernel = np.zeros(len(neighbours))
            for c in range(channels):
                window = [picture[(c, *at(y + dy, x + dx))] for dy, dx in around]
                mean = sum(window) / len(window)
                deviation = math.sqrt(sum((v - mean) ** 2 for v in window) / (len(window) - 1))
                for n, (dy, dx) in enumerate(neighbours):
                    distance = abs(picture[(c, *at(y + dy, x + dx))] - picture[c, y, x])
                    kernel[n] -= distance / (1e-8 + 0.1 * deviation) / channels
            exponentials = np.exp(kernel - kernel.max())
            weights[y, x] = exponentials / exponentials.sum()
    for _ in range(iterations):
        out = np.empty_like(maps)
        for y in range(height):
            for x in range(width):
                places = [at(y + dy, x + dx) for dy, dx in neighbours]
                for k in range(maps.shape[0]):
                    values = np.array([maps[(k, *place)] for place in places])
                    out[k, y, x] = weights[y, x] @ values
        maps = out
    return maps


def pamr_cases():
    cases = []
    for name, height, width, maps, iterations, dilations in [
            ("method", 11, 13, 3, 10, [1, 2, 4, 8, 12, 24]), ("one round", 6, 9, 2, 1, [1]),
            ("steps", 16, 12, 2, 4, [1, 3]), ("flat", 5, 5, 1, 2, [1, 2]),
            ("one pixel", 1, 1, 2, 3, [2]), ("one row", 1, 10, 1, 3, [1, 4])]:
        picture = np.floor(drawn(5, 3, height, width) * 256)
        if name == "flat":
            picture[:] = 77
        if name == "steps":  # Two areas with little noise: an edge to stop at.
            picture = np.floor(picture / 64)
            picture[:, :, width // 2:] += 200
        scores = drawn(6, maps, height, width) * 2 - 1
        refined = pamr(picture, scores, iterations, dilations)
        cases.append({"name": name, "height": height, "width": width, "maps": maps,
                      "iterations": iterations, "dilations": dilations,
                      "refined": [round(v, 9) for v in refined.flatten().tolist()]})
    return cases


def main():
    path = pathlib.Path(__file__).with_name("query_goldens.json")
    goldens = {"numpy": np.__version__, "stuff_filter": stuff_filter_cases(),
               "pamr": pamr_cases()}
    path.write_text(json.dumps(goldens) + "\n")


if __name__ == "__main__":
    main()
