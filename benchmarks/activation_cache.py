"""What a cache of activations saves: a search over layers, dropout and C against one extraction.

Usage::

    python benchmarks/activation_cache.py --data FOLDER [--images 200] [--weights NAME ...]

FOLDER has one sub-folder of images per class. The search is a `GridSearchCV` over three layers, two
kinds of dropout, five values of C and five folds. Three figures a network, in the processor's time:

- **network**: seconds to extract the features of all numbered layers of the distinct images once;
- **search**: seconds for the search with an empty cache, and again when everything is in it: what
  the second takes is classifiers and looking up, so the difference is what the network cost;
- **a hit**: milliseconds to find an image, reading and hashing its file included, and the share of
  computing it.

`passes` counts the images that went through the network in the search: with ``--jobs 1`` only,
since other processes do not tell.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _markdown import table
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC

from sklearn_decaf import ActivationCache, DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder
from sklearn_decaf.networks.features import FeatureExtractor


def seconds(work, jobs=1) -> float:
    """Of the processor, which other programs do not change; by the clock for several processes."""
    clock = time.process_time if jobs == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def search(weights, cache, jobs):
    pipeline = Pipeline(
        [
            ("decaf", DeCAFTransformer(weights=weights, random_state=0, cache=cache, n_jobs=1)),
            ("normalise", Normalizer()),
            ("classifier", SVC(kernel="linear")),  # quick, so that the network's time shows
        ]
    )
    grid = {
        "decaf__layer": [5, 6, 7],
        "decaf__dropout": [False, True],
        "classifier__C": [0.1, 1.0, 10.0, 100.0, 1000.0],
    }
    return GridSearchCV(pipeline, grid, cv=5, refit=False, n_jobs=jobs)


def measure(filenames, target, weights, jobs):
    passes = []
    compute = FeatureExtractor.__call__

    def counted(self, images, n_threads=1):
        passes.append(len(images))
        return compute(self, images, n_threads)

    everything = DeCAFTransformer((5, 6, 7, 8), dropout=False, weights=weights, n_jobs=1)
    everything.transform(filenames[:8])  # loads the weights, and the files into memory
    network = seconds(lambda: everything.transform(filenames))
    with tempfile.TemporaryDirectory() as folder:
        FeatureExtractor.__call__ = counted
        first = seconds(lambda: search(weights, folder, jobs).fit(filenames, target), jobs)
        FeatureExtractor.__call__ = compute
        second = seconds(lambda: search(weights, folder, jobs).fit(filenames, target), jobs)
        cached = DeCAFTransformer(7, dropout=False, weights=weights, cache=folder, n_jobs=1)
        hit = min(seconds(lambda: cached.transform(filenames)) for _ in range(3))
        cache = ActivationCache(folder)
        size = cache.n_bytes / len(filenames)
        cache.close()
    n = len(filenames)
    return [
        weights,
        f"{network:.1f}",
        f"{first:.1f}",
        f"{second:.1f}",
        f"{(first - second) / network:.2f}",
        f"{sum(passes)} of {n}" if jobs == 1 else "",
        f"{1000 * hit / n:.2f}",
        f"{100 * hit / network:.1f} %",
        f"{size / 1000:.0f}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--weights", nargs="+", default=["efficientnet_lite0", "squeezenet1_1"])
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    photos = load_image_folder(options.data)
    every = np.linspace(0, len(photos.filenames) - 1, options.images).astype(int)
    filenames = [photos.filenames[i] for i in every]
    print(f"{len(filenames)} images, {len(set(photos.target[every]))} classes, 150 fits a search\n")
    header = ["weights", "network (s)", "search (s)", "again (s)", "difference / network", "passes"]
    header += ["a hit (ms)", "of computing", "kB / image"]
    rows = [
        measure(filenames, photos.target[every], name, options.jobs) for name in options.weights
    ]
    print(table(header, rows))


if __name__ == "__main__":
    main()
