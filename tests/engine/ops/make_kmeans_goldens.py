#!/usr/bin/env python3
"""Writes kmeans_goldens.json: scikit-learn's K-means with its own k-means++, by random_state.

Run with scikit-learn 1.2 (the official program's; 1.3 draws the first row another way) and numpy below 2, as in
benchmarks/parity/requirements-official.txt. Rows are those of blobs(), which the test repeats.
"""

import json
import pathlib
import sys

import numpy as np
import sklearn
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
    corner = np.array([[3.0 * ((i % groups) >> (j % 3) & 1) for j in range(d)] for i in range(n)])
    return (mean + corner + draws(seed, n * d).reshape(n, d)).astype(np.float32)


def main():
    if not sklearn.__version__.startswith("1.2."):
        sys.exit(f"scikit-learn is {sklearn.__version__}; wanted is 1.2")
    cases = []
    for n, d, groups, mean, k, seed in [(600, 8, 8, 0.0, 16, 0), (513, 5, 4, 2.0, 7, 42), (40, 3, 2, 0.0, 1, 3),
                                        (1, 4, 1, 0.0, 1, 0), (1000, 12, 8, 0.0, 32, 4294967295)]:  # fmt: skip
        fit = KMeans(k, random_state=seed, n_init="auto").fit(blobs(11, n, d, groups, mean))
        cases.append({
            "n": n, "d": d, "groups": groups, "mean": mean, "k": k, "seed": seed,
            "centres": fit.cluster_centers_.flatten().tolist(), "labels": fit.labels_.tolist(),
        })  # fmt: skip
    here = pathlib.Path(__file__).with_name("kmeans_goldens.json")
    here.write_text(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
