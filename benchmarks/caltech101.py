"""Caltech-101 from few images a class: Figure 4 of the DeCAF paper (Donahue et al., 2014).

Usage::

    python benchmarks/caltech101.py --data FOLDER [--weights NAME_OR_FILE ...]

FOLDER has one sub-folder of images per class: the whole of Caltech-101 or some of its classes. A
weight file with AlexNet's convolutional layers alone serves for layer 5.

Left half of the figure: 30 training images a class, all others for testing, five splits; for each
split C is chosen by training on 25 of the 30 and validating on the other 5. The outer
`GridSearchCV` is the figure; the inner one, its estimator, chooses C. Right half: one and five
training images a class, and C fixed. The score is the mean accuracy per class.

The network runs once a photograph: the features of all layers come first, and all that is
searched over (layer, dropout, classifier, C) comes after them. ``Pipeline(memory=...)`` around
the network would be no substitute here: it stores the features of a whole training set, and
every one of the splits is another training set.

Features are scaled to length 1, so that the same values of C suit all layers and networks.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from _markdown import table
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer
from sklearn.svm import LinearSVC

from sklearn_decaf import ActivationDropout, DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder
from sklearn_decaf.model_selection import PerClassShuffleSplit
from sklearn_decaf.networks import load_weights

LAYERS = (5, 6, 7)
DROPOUT = ("passthrough", ActivationDropout(random_state=0))
CLASSIFIERS = {"SVM": LinearSVC(max_iter=10_000), "LogReg": LogisticRegression(max_iter=1000)}
# The first of equally good values is taken, and five validation images a class often leave several:
# weak regularisation first, which is the safe side for features of length 1.
C_VALUES = [100.0, 10.0, 1.0, 0.1]
FEW_SHOT_C = 10.0

PAPER = """\
The paper, on all 102 classes: SVM on layer 6 with dropout 86.9, LogReg about the same; layer 7
lower by 1 to 2, layer 5 substantially lower; dropout better by 0 to 2; SVM with one training image
per class 33.0. Fewer classes are easier: compare the differences, not the values."""


def compute_features(filenames, weights):
    """Features of all layers within reach side by side, names of the columns, and the layers."""
    loaded = load_weights(weights)
    reachable = loaded.available_layers()
    layers = [n for n in LAYERS if loaded.architecture.resolve(n) in reachable]
    transformer = DeCAFTransformer(layers, dropout=False, weights=weights, verbose=True)
    features = transformer.transform(filenames)
    return features, transformer.get_feature_names_out().astype(str), layers


def take_layer(features, layer, names):
    """The columns of one layer."""
    return features[:, np.char.startswith(names, f"decaf{layer}_")]


def after_the_network(names):
    """The pipeline on features; the searches vary its steps."""
    return Pipeline(
        [
            ("layer", FunctionTransformer(take_layer, kw_args={"layer": 6, "names": names})),
            ("scale", Normalizer()),
            ("dropout", "passthrough"),
            ("classifier", LinearSVC()),
        ]
    )


def combinations(layers, names, prefix=""):
    """The grid of the figure: layer, dropout, classifier."""
    return {
        f"{prefix}layer__kw_args": [{"layer": layer, "names": names} for layer in layers],
        f"{prefix}dropout": DROPOUT,
        f"{prefix}classifier": list(CLASSIFIERS.values()),
    }


def search_with_chosen_c(names, layers):
    """30 training images a class; C is chosen within each training set."""
    choose_c = GridSearchCV(
        after_the_network(names),
        {"classifier__C": C_VALUES},
        scoring="balanced_accuracy",
        cv=PerClassShuffleSplit(25, 5, n_splits=1, random_state=0),
    )
    return GridSearchCV(
        choose_c,
        combinations(layers, names, prefix="estimator__"),
        scoring="balanced_accuracy",
        cv=PerClassShuffleSplit(30, n_splits=5, random_state=0),
        refit=False,
    )


def search_with_fixed_c(names, layers, n_train):
    """A few training images a class; more splits, because the few are a matter of luck."""
    return GridSearchCV(
        after_the_network(names),
        {**combinations(layers, names), "classifier__C": [FEW_SHOT_C]},
        scoring="balanced_accuracy",
        cv=PerClassShuffleSplit(n_train, n_splits=20, random_state=0),
        refit=False,
    )


def rows_of(results, weights):
    """One row a layer, one cell a combination of dropout and classifier: mean and deviation."""
    cells = {}
    for parameters, mean, deviation in zip(
        results["params"], results["mean_test_score"], results["std_test_score"]
    ):
        parameters = {key.removeprefix("estimator__"): value for key, value in parameters.items()}
        key = (
            parameters["layer__kw_args"]["layer"],
            parameters["dropout"] != "passthrough",
            type(parameters["classifier"]),
        )
        cells[key] = f"{100 * mean:.1f} ± {100 * deviation:.1f}"
    for layer in sorted({key[0] for key in cells}):
        yield (
            weights,
            layer,
            *(
                cells[layer, dropout, type(classifier)]
                for dropout in (False, True)
                for classifier in CLASSIFIERS.values()
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="one sub-folder per class")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=["efficientnet_lite0", "squeezenet1_1"],
        help="names of weights, or weight files",
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="processes of the searches")
    arguments = parser.parse_args()

    photos = load_image_folder(arguments.data)
    counts = np.bincount(photos.target)
    print(f"{len(counts)} classes, {counts.min()} to {counts.max()} images each\n")
    parts = {
        "30 training images a class, 5 splits, C chosen on 25 + 5": search_with_chosen_c,
        "5 training images a class, 20 splits, C = 10": partial(search_with_fixed_c, n_train=5),
        "1 training image a class, 20 splits, C = 10": partial(search_with_fixed_c, n_train=1),
    }
    rows = {title: [] for title in parts}
    for weights in arguments.weights:
        start = time.perf_counter()
        features, names, layers = compute_features(photos.filenames, weights)
        print(f"{weights}: features in {time.perf_counter() - start:.0f} s", flush=True)
        for title, make_search in parts.items():
            search = make_search(names, layers).set_params(n_jobs=arguments.n_jobs)
            results = search.fit(features, photos.target).cv_results_
            rows[title] += rows_of(results, os.path.basename(weights))

    header = ["weights", "layer"]
    header += [f"{name}{also}" for also in ("", " + dropout") for name in CLASSIFIERS]
    for title, part in rows.items():
        print(f"\nMean accuracy per class in %, {title}\n\n{table(header, part)}")
    print(f"\n{PAPER}")


if __name__ == "__main__":
    main()
