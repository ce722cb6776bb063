#!/usr/bin/env python3
"""Writes kmeans_goldens.json: scikit-learn's K-means with its own k-means++, by random_state.

Run with scikit-learn 1.2 (the official program's; 1.3 draws the first row another way) and numpy below 2, as in
benchmarks/parity/requirements-official.txt. The test repeats blobs().
"""

import json
import pathlib
import sys

import sklearn
from sklearn.cluster import KMeans

from make_goldens import blobs


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
