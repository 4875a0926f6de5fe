"""Scores that are kept as soon as they are there, and the features that they come from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import sklearn
from _features import image_features, reachable_layers
from sklearn.utils import Bunch

from sklearn_decaf import __version__
from sklearn_decaf.networks import load_weights


class Results:
    """Scores by name, in a JSON file that is always whole."""

    def __init__(self, path: Path, about: dict):
        self.path = path
        self.cells: dict[str, dict] = {}
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["about"] != about:
                sys.exit(
                    f"{path} has the results of other data ({stored['about']}, now {about}): "
                    "choose another folder with --results, or remove it"
                )
            self.cells = stored["cells"]
        self.about = about

    def get(self, name: str, compute) -> list[float]:
        """The scores of that name, one a split; computed only if they are not there."""
        if name in self.cells:
            return self.cells[name]["scores"]
        start = time.perf_counter()
        scores = [float(score) for score in np.atleast_1d(compute())]
        seconds = time.perf_counter() - start
        self.cells[name] = {
            "scores": scores,
            "mean": float(np.mean(scores)),
            "std": float(np.std(scores)),
            "seconds": round(seconds, 1),
            "versions": f"sklearn-decaf {__version__}, scikit-learn {sklearn.__version__}, "
            f"numpy {np.__version__}, Python {platform.python_version()}",
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        text = json.dumps({"about": self.about, "cells": self.cells}, indent=1)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, self.path)
        return scores


class Run:
    """What all tables share: the arguments, the features and the results."""

    def __init__(self, arguments, data: Bunch, about: str):
        self.arguments = arguments
        self.data = data
        names = [Path(path).name for path in data.filenames]
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
        title = f"{about}: {len(names)} images of {len(data.target_names)} classes"
        print(title, flush=True)
        path = Path(arguments.results) / f"{arguments.table}.json"
        self.results = Results(path, {"data": title, "names": digest})
        self.title = title
        self._features: dict[str, dict] = {}
        self._start = time.monotonic()

    @property
    def weights(self):
        return {_short(name): name for name in self.arguments.weights}

    def layers(self, weights, wanted):
        """Layers of the table that the weights reach, or the deepest they reach below them."""
        reachable = reachable_layers(weights)
        return [layer for layer in wanted if layer in reachable] or reachable[-1:]

    def features(self, weights, layer):
        """Features of all images; of all layers of these weights at once."""
        if weights not in self._features:
            self._features[weights] = image_features(
                self.data.filenames,
                reachable_layers(weights),
                weights,
                boxes=self.data.get("boxes"),
                cache=self.arguments.cache,
            )
        return self._features[weights][layer]

    def score(self, weights, name, compute) -> str:
        """Mean and standard deviation over the splits, in per cent."""
        key = f"{load_weights(weights).sha256[:12]} {name}"
        known = key in self.results.cells
        scores = 100 * np.array(self.results.get(key, compute))
        cell = f"{scores.mean():.1f}" + (f" ± {scores.std():.1f}" if len(scores) > 1 else "")
        if not known:
            elapsed = time.monotonic() - self._start
            print(f"[{elapsed:5.0f} s] {_short(weights)}, {name}: {cell}", flush=True)
        return cell


def _short(weights) -> str:
    return Path(weights).name.removesuffix(".npz")
