"""GFK and MMDT on wide features against straightforward implementations, as Markdown.

    OMP_NUM_THREADS=1 python benchmarks/adaptation_speed.py [--rows 3000] [--features 4096]

Times are CPU seconds, medians of interleaved runs, so that a busy machine slows both alike; the
ratio is what counts. Memory is the peak of what is allocated during the call, inputs excluded. The
straightforward implementations follow the papers' equations with matrices over all features:
for GFK the complement of the source subspace and G itself, for MMDT the map A, and its dual
problem by 100 sweeps of coordinate ascent over all pairs of a class and a target row. That comes
within 0.1 % or so of the optimum of a step, which ours reaches: hence the last column.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
import warnings
from functools import partial

import numpy as np
from _markdown import table
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from sklearn_decaf.adaptation import GeodesicFlowKernel, MMDTClassifier


def make_data(rows, features, classes=10, seed=0):
    """float32 rows of unit norm around class means, half of them in a shifted and turned domain."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, features))
    y = np.arange(rows) % classes
    X = means[y] + 2 * rng.normal(size=(rows, features)) * np.linspace(2, 0.2, features)
    half = rows // 2
    X[half:] = np.roll(X[half:], 1, axis=1) + 0.3 * rng.normal(size=features)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y, np.where(np.arange(rows) < half, 1, -2)


def gfk_ours(X, y, sample_domain, dimension):
    flow = GeodesicFlowKernel(dimension).fit(X, sample_domain=sample_domain)
    features = flow.transform(X)
    return features @ features.T


def gfk_plain(X, y, sample_domain, dimension):
    source, target = X[sample_domain >= 0], X[sample_domain < 0]
    P = linalg.svd(source - source.mean(0), full_matrices=False)[2][:dimension].T
    T = linalg.svd(target - target.mean(0), full_matrices=False)[2][:dimension].T
    Q = np.hstack([P, linalg.null_space(P.T)])  # (d, d)
    U1, cosines, Vt = linalg.svd(P.T @ T)
    sines = np.sqrt(np.maximum(0, 1 - cosines**2))
    U2 = -(Q[:, dimension:].T @ T @ Vt.T) / np.maximum(sines, 1e-12)
    theta = np.maximum(np.arccos(np.minimum(cosines, 1)), 1e-20)
    l1 = np.diag(0.5 * (1 + np.sin(2 * theta) / (2 * theta)))
    l2 = np.diag(0.5 * (np.cos(2 * theta) - 1) / (2 * theta))
    l3 = np.diag(0.5 * (1 - np.sin(2 * theta) / (2 * theta)))
    V = np.hstack([P @ U1, Q[:, dimension:] @ U2])
    G = V @ np.block([[l1, l2], [l2, l3]]) @ V.T  # (d, d)
    return X @ G @ X.T


def mmdt_ours(X, y, sample_domain, dimension):
    model = MMDTClassifier(1.0, 1.0, 0.05, transform_loss="linear")
    model.fit(X, y, sample_domain=sample_domain)
    return model.decision_function(X[sample_domain < 0])


def mmdt_plain(X, y, sample_domain, dimension, sweeps=100):
    X = np.hstack([X, np.ones((len(X), 1))])
    source, target = X[sample_domain >= 0], X[sample_domain < 0]
    labels = np.concatenate([y[sample_domain >= 0], y[sample_domain < 0]])
    Y = np.where(y[sample_domain < 0][:, None] == np.unique(y), 1.0, -1.0)
    A, cost = np.eye(X.shape[1]), 0.05
    for _ in range(2):
        rows = np.vstack([source, target @ A])
        svm = LinearSVC(C=1.0, fit_intercept=False, tol=1e-6, max_iter=10000).fit(rows, labels)
        W = svm.coef_
        K_w, K_x = W @ W.T, target @ target.T
        multipliers, scores = np.zeros(Y.shape), target @ W.T
        for _ in range(sweeps):
            largest = 0.0
            for i in range(len(target)):
                for c in range(len(W)):
                    gradient = 1 - Y[i, c] * scores[i, c] - multipliers[i, c] / (2 * cost)
                    step = gradient / (K_w[c, c] * K_x[i, i] + 1 / (2 * cost))
                    step = max(step, -multipliers[i, c])
                    if step:
                        multipliers[i, c] += step
                        scores += np.outer(K_x[:, i], K_w[c] * (step * Y[i, c]))
                        largest = max(largest, abs(step))
            if largest < 1e-5 * cost:
                break
        A = np.eye(X.shape[1]) + target.T @ (multipliers * Y) @ W  # (d, d)
    return target @ A @ W.T


def peak_memory(function, *args):
    tracemalloc.start()
    function(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def compare(name, ours, plain, args, repeats, lighter=None):
    """Median times of interleaved runs, memory, and the difference of the results."""
    lighter = lighter or plain  # needs the same memory, and less time
    times = {ours: [], plain: []}
    results = {}
    for _ in range(repeats):
        for function in (ours, plain):
            start = time.process_time()
            results[function] = function(*args)
            times[function].append(time.process_time() - start)
    fast, slow = np.median(times[ours]), np.median(times[plain])
    difference = np.abs(results[ours] - results[plain]).max() / np.abs(results[plain]).max()
    memory = [peak_memory(function, *args) for function in (ours, lighter)]
    return [
        name, f"{fast:.2f} s", f"{slow:.2f} s", f"{slow / fast:.1f}x",
        f"{memory[0]:.0f} MiB", f"{memory[1]:.0f} MiB", f"{difference:.0e}",
    ]  # fmt: skip


def growth(functions, sizes, dimension, repeats):
    """Median times of each function for each (rows, features)."""
    rows = []
    for n, d in sizes:
        data = make_data(n, d)
        cells = [n, d]
        for function in functions:
            times = []
            for _ in range(repeats):
                start = time.process_time()
                function(*data, dimension)
                times.append(time.process_time() - start)
            cells.append(f"{1000 * np.median(times):.0f} ms")
        rows.append(cells)
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--components", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = (*make_data(args.rows, args.features), args.components)
    print(f"{args.rows} rows of {args.features} features, subspaces of {args.components}\n")
    header = ["", "time", "plain", "ratio", "memory", "plain", "largest difference"]
    rows = [
        compare("GFK", gfk_ours, gfk_plain, data, args.repeats),
        compare("MMDT", mmdt_ours, mmdt_plain, data, args.repeats, partial(mmdt_plain, sweeps=1)),
    ]
    print(table(header, rows), flush=True)
    for title, sizes in (
        ("rows", [(n, 1024) for n in (500, 1000, 2000, 4000)]),
        ("features", [(1000, d) for d in (512, 1024, 2048, 4096)]),
    ):
        print(f"\nGrowth with {title}:\n")
        cells = growth([gfk_ours, mmdt_ours], sizes, args.components, args.repeats)
        print(table(["rows", "features", "GFK", "MMDT"], cells), flush=True)


if __name__ == "__main__":
    main()
