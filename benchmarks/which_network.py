"""Which network: accuracy on few and on many photographs, time and size of each.

    python benchmarks/which_network.py --caltech FOLDER --office FOLDER --birds FOLDER
        [--weights NAME_OR_FILE ...] [--cache FOLDER]

CALTECH and BIRDS have a folder of images a class; OFFICE is the folder of `fetch_office_caltech10`
(`data_home`). A data set that is not given is left out. All use layers 6 and 7, scaled to length 1,
and the pipelines of `_protocols.py` with their fixed C:

- Caltech: logistic regression on 1 image a class (20 splits), and on 30 (5 splits);
- Office: amazon to webcam, a linear SVM on 20 source and 3 target images a class (5 splits);
- birds: logistic regression on 30 images a class (5 splits).

Accuracies are averages over the classes, in %, on all images that are not trained on; for Office on
the target. Time is CPU time for an image on one thread, photographs decoded and resized, as a
multiple of that of the first network. Size is that of the weight file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _cost import multiply_adds, seconds_per_image
from _markdown import table
from _protocols import office, office_splits, pipeline
from sklearn import config_context
from sklearn.model_selection import cross_val_score

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import fetch_office_caltech10, load_image_folder
from sklearn_decaf.metrics import target_accuracy
from sklearn_decaf.model_selection import PerClassShuffleSplit
from sklearn_decaf.networks import list_weights, load_weights

LAYERS = (6, 7)
WEIGHTS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "squeezenet1_1"]


def per_class(X, y, n_train, n_splits) -> np.ndarray:
    """Accuracies of logistic regression on so many images a class."""
    return cross_val_score(
        pipeline("LogReg"),
        X,
        y,
        cv=PerClassShuffleSplit(n_train, n_splits=n_splits, random_state=0),
        scoring="balanced_accuracy",
        error_score="raise",
    )


def load_office(folder):
    """Images of amazon and webcam: paths, classes and domains, -1 for webcam."""
    data = fetch_office_caltech10(data_home=folder)
    names = {name: label for label, name in data.domain_names.items()}
    rows = np.isin(data.sample_domain, [names["amazon"], names["webcam"]])
    domain = np.where(data.sample_domain[rows] == names["webcam"], -1, 1)
    return [data.filenames[row] for row in np.flatnonzero(rows)], data.target[rows], domain


def amazon_to_webcam(X, y, domain) -> np.ndarray:
    """Accuracies on webcam's images of an SVM that is trained on both."""
    with config_context(enable_metadata_routing=True):
        return cross_val_score(
            office("SVM (ST)"),
            X,
            y,
            cv=office_splits(y, domain, 20),
            scoring=target_accuracy,
            params={"sample_domain": domain},
            error_score="raise",
        )


def tasks(options) -> dict:
    """(photographs, function of features that returns accuracies), by name."""
    found = {}
    if options.caltech:
        data = load_image_folder(options.caltech)
        for n, n_splits in ((1, 20), (30, 5)):
            found[f"Caltech, {n} a class"] = (
                data.filenames,
                lambda X, y=data.target, n=n, s=n_splits: per_class(X, y, n, s),
            )
    if options.office:
        files, y, domain = load_office(options.office)
        found["Office, A to W"] = files, lambda X: amazon_to_webcam(X, y, domain)
    if options.birds:
        data = load_image_folder(options.birds)
        found["birds, 30 a class"] = data.filenames, lambda X, y=data.target: per_class(X, y, 30, 5)
    return found


def size_of(weights) -> int:
    """Bytes of a weight file."""
    known = {one["name"]: one["path"] for one in list_weights()}
    return Path(known.get(weights, weights)).stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("caltech", "office", "birds"):
        parser.add_argument(f"--{name}", metavar="FOLDER")
    parser.add_argument("--weights", nargs="+", default=WEIGHTS)
    parser.add_argument("--cache", help="folder for the activations")
    options = parser.parse_args()

    todo = tasks(options)
    if not todo:
        parser.error("name one of the data sets at least")
    photographs = next(iter(todo.values()))[0]
    networks = [DeCAFTransformer(LAYERS, False, weights=name, n_jobs=1) for name in options.weights]
    seconds = seconds_per_image(networks, photographs[:32])
    rows = []
    for name, network, time in zip(options.weights, networks, seconds):
        network.set_params(cache=options.cache)
        columns = {block.layer: block.columns for block in network._blocks()}
        found = {layer: [] for layer in LAYERS}
        for filenames, accuracies in todo.values():
            X = network.transform(filenames)
            for layer in LAYERS:
                scores = accuracies(np.ascontiguousarray(X[:, columns[layer]]))
                found[layer].append(f"{100 * scores.mean():.1f} ± {100 * scores.std():.1f}")
            print(name, {layer: cells[-1] for layer, cells in found.items()}, flush=True)
        label = load_weights(name).architecture.name
        cost = [
            f"{multiply_adds(network) / 1e6:.0f}",
            f"{time / seconds[0]:.2f}",
            f"{size_of(name) / 1e6:.0f}",
        ]
        rows += [[f"{label}, layer {layer}", *found[layer], *cost] for layer in LAYERS]
    header = ["", *todo, "million multiply-adds", "time", "MB"]
    print("\n" + table(header, rows))


if __name__ == "__main__":
    main()
