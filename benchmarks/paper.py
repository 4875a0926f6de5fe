"""The tables and figures of the DeCAF paper (Donahue et al., 2014), beside the paper's numbers.

    python benchmarks/paper.py figure4 --data CALTECH101 --weights NAME_OR_FILE ...
    python benchmarks/paper.py table1 --data OFFICE
    python benchmarks/paper.py table2 --data CUB200
    python benchmarks/paper.py table3 --data SUN397

- figure4: Caltech-101, 30 training images a class, and the learning curve from 1 to 30.
- table1: Office-31 (or Office-Caltech10), domain adaptation.
- table2: CUB-200, birds in their bounding boxes (`--cub-version 2010` for the older edition).
- table3: SUN-397, scenes.

Without --data the data set is looked for in the data folder, and fetched if it is not there. A part
of a data set does too, and the output says so; compare differences then, not values. A weight file
with AlexNet's convolutional layers alone serves for layer 5.

The protocols are the pipelines in `_protocols.py`. The network runs once a photograph; with --cache
its features are kept. Every number goes into RESULTS/TABLE.json as soon as it is there, and what is
in it already is not computed again: stop and start as you like, and remove it when you change a
protocol. The same numbers as Markdown are printed and go into RESULTS/TABLE.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from _markdown import table as markdown
from _protocols import (
    OFFICE_METHODS,
    caltech101,
    caltech101_learning_curve,
    cub200,
    office,
    office_splits,
    sun397,
    with_unlabelled_target,
)
from _results import Run
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import Bunch

from sklearn_decaf.datasets import (
    fetch_caltech101,
    fetch_cub200,
    fetch_office31,
    fetch_office_caltech10,
    fetch_sun397,
    load_image_folder,
)
from sklearn_decaf.metrics import target_accuracy

# of the classifier
VARIANTS = [(kind, dropout) for dropout in (False, True) for kind in ("LogReg", "SVM")]
N_TRAIN = (1, 2, 3, 5, 10, 15, 20, 25, 30)


# Caltech-101 ---------------------------------------------------------------------------------

# the text gives these; the other bars and points of the figure have no printed values
FIGURE_4_LEFT = {(6, "SVM", True): "86.9", (6, "LogReg", True): "about 86"}
FIGURE_4_RIGHT = {1: "33.0", 30: "86.9"}


def load_caltech101(arguments):
    if arguments.data is None:
        return fetch_caltech101(data_home=arguments.data_home), "Caltech-101"
    data = fetch_caltech101(local=arguments.data, allow_incomplete=True)
    whole = "Caltech-101" if len(data.target_names) == 102 else "part of Caltech-101"
    return data, whole


def figure4(run: Run):
    y = run.data.target

    def cell(weights, layer, name, protocol):
        model, cv = protocol
        return run.score(
            weights,
            name,
            lambda: cross_val_score(
                model,
                run.features(weights, layer),
                y,
                cv=cv,
                scoring="balanced_accuracy",
                n_jobs=run.arguments.n_jobs,
                error_score="raise",
            ),
        )

    columns = {}
    for name, weights in run.weights.items():
        for layer in run.layers(weights, (5, 6, 7)):
            for kind, dropout in VARIANTS:
                label = f"layer {layer}, {kind}" + (" + dropout" if dropout else "")
                columns[name, layer, kind, dropout] = cell(
                    weights, layer, f"left: {label}", caltech101(kind, dropout)
                )
    rows = []
    for layer in (5, 6, 7):
        for kind, dropout in VARIANTS:
            label = f"DeCAF{layer}, {kind}" + (" + dropout" if dropout else "")
            found = [columns.get((name, layer, kind, dropout), "") for name in run.weights]
            rows.append([label, FIGURE_4_LEFT.get((layer, kind, dropout), ""), *found])
    yield (
        "Figure 4, left: 30 training images a class, 5 splits, C chosen on 25 + 5; mean accuracy "
        "per class in %",
        ["", "paper", *run.weights],
        rows,
    )

    numbers = [n for n in run.arguments.n_train if n < np.bincount(y).min()]
    for name, weights in run.weights.items():
        (layer,) = run.layers(weights, (run.arguments.layer,))
        labels = [kind + (" + dropout" if dropout else "") for kind, dropout in VARIANTS]
        by_column = [
            [
                cell(
                    weights,
                    layer,
                    f"right: {n:2} images, layer {layer}, {label}",
                    caltech101_learning_curve(kind, dropout, n),
                )
                for n in numbers
            ]
            for label, (kind, dropout) in zip(labels, VARIANTS)
        ]
        yield (
            f"Figure 4, right: n training images a class, fixed C, 20 splits up to 5 images and 5 "
            f"above; {name}, layer {layer}",
            ["n", "paper, DeCAF6, SVM + dropout", *labels],
            [[n, FIGURE_4_RIGHT.get(n, ""), *row] for n, row in zip(numbers, zip(*by_column))],
        )


# Office --------------------------------------------------------------------------------------

# method: A->W SURF, DeCAF6, DeCAF7, D->W SURF, DeCAF6, DeCAF7
TABLE_1 = {
    "LogReg (S)": (9.63, 48.58, 53.56, 24.22, 88.77, 87.38),
    "SVM (S)": (11.05, 52.22, 53.90, 38.80, 91.48, 89.15),
    "LogReg (T)": (24.33, 72.56, 74.19, 24.33, 72.56, 74.19),
    "SVM (T)": (51.05, 78.26, 78.72, 51.05, 78.26, 78.72),
    "LogReg (ST)": (19.89, 75.30, 76.32, 36.55, 92.88, 91.91),
    "SVM (ST)": (23.19, 80.66, 79.12, 46.32, 94.79, 92.96),
    "Daumé III 2007": (40.26, 82.14, 81.65, 55.07, 91.25, 89.52),
    "Hoffman et al. 2013": (37.66, 80.06, 80.37, 53.65, 93.25, 91.45),
    "Gong et al. 2012": (39.80, 75.21, 77.55, 39.12, 88.40, 88.66),
}
SHIFTS = {"amazon": 20, "dslr": 8}  # labelled source images a class


def load_office(arguments):
    if arguments.data is None:
        return fetch_office31(data_home=arguments.data_home), "Office-31"
    if (Path(arguments.data) / "office_caltech10_images").is_dir():
        data = fetch_office_caltech10(data_home=arguments.data)
        return data, "Office-Caltech10"
    return fetch_office31(local=arguments.data), "Office-31"


def table1(run: Run):
    names = {name: label for label, name in run.data.domain_names.items()}

    def scores(weights, layer, source, method):
        rows = np.isin(run.data.sample_domain, [names[source], names["webcam"]])
        X = np.asarray(run.features(weights, layer)[rows])
        y, domain = (
            run.data.target[rows],
            np.where(run.data.sample_domain[rows] == names["webcam"], -1, 1),
        )
        splits = office_splits(y, domain, SHIFTS[source])
        # more directions than that the few training rows hardly have
        n_components = round(0.8 * len(splits[0][0]))
        if method.startswith("Gong"):
            X, y, domain, splits = with_unlabelled_target(X, y, domain, splits)
        model = office(method, n_components if n_components < X.shape[1] else None)
        with config_context(enable_metadata_routing=True):
            return cross_val_score(
                model,
                X,
                y,
                cv=splits,
                scoring=target_accuracy,
                params={"sample_domain": domain},
                error_score="raise",
            )

    for source in SHIFTS:
        shown = [
            (name, weights, layer)
            for name, weights in run.weights.items()
            for layer in run.layers(weights, (6, 7))
        ]
        rows = []
        for method in OFFICE_METHODS:
            first = 0 if source == "amazon" else 3
            paper = [f"{value:.1f}" for value in TABLE_1[method][first : first + 3]]
            found = [
                run.score(
                    weights,
                    f"{source} to webcam, layer {layer}, {method}",
                    lambda w=weights, n=layer, m=method, s=source: scores(w, n, s, m),
                )
                for _, weights, layer in shown
            ]
            rows.append([method, *paper, *found])
        header = [f"{name}, layer {layer}" for name, _, layer in shown]
        yield (
            f"Table 1, {source} to webcam: {SHIFTS[source]} source and 3 target images a class, 5 "
            "splits; accuracy on the other target images in %",
            ["", "paper, SURF", "paper, DeCAF6", "paper, DeCAF7", *header],
            rows,
        )


# CUB-200 -------------------------------------------------------------------------------------


def load_cub200(arguments):
    version = arguments.cub_version
    if arguments.data is None:
        return fetch_cub200(version=version, data_home=arguments.data_home), f"CUB-200 ({version})"
    folder = Path(arguments.data)
    boxes = folder / "bounding_boxes.txt"
    if not boxes.is_file() and (folder / "train_test_split.txt").is_file():
        return _load_cropped_birds(folder), "part of CUB-200, cropped to the birds already"
    data = fetch_cub200(version=version, local=folder, allow_incomplete=True)
    return data, f"CUB-200 ({version})"


def _load_cropped_birds(folder: Path) -> Bunch:
    """Images that are cropped already, so without boxes, with the split of the list files.

    The official split trains on 29 or 30 images of every species and tests on what is left, from 11
    on; that says which of the two marks in the list stands for training: not the 1 in every copy.
    """

    def read(name):
        lines = (folder / name).read_text(encoding="utf-8").replace(",", " ").splitlines()
        return dict(line.split() for line in lines if line.strip())

    paths, marks = read("images.txt"), read("train_test_split.txt")
    counts = {
        mark: Counter(path.split("/")[0] for number, path in paths.items() if marks[number] == mark)
        for mark in ("1", "0")
    }
    training = max(counts, key=lambda mark: min(counts[mark].values(), default=0))
    is_train = {path: marks[number] == training for number, path in paths.items()}
    data = load_image_folder(folder / "images")
    part = [
        is_train[Path(path).relative_to(folder / "images").as_posix()] for path in data.filenames
    ]
    data.splits = [(np.flatnonzero(part), np.flatnonzero(np.invert(part)))]
    return data


def table2(run: Run):
    ((train, test),) = run.data.splits
    y = run.data.target

    def score(weights, layer, kind, metric):
        X = np.asarray(run.features(weights, layer))
        model = clone(cub200(kind)).fit(X[train], y[train])
        return metric(y[test], model.predict(X[test]))

    paper = {
        ("LogReg", 6): "58.75",
    }
    rows = []
    for layer in (5, 6, 7):
        for kind in ("LogReg", "SVM"):
            found = []
            for weights in run.weights.values():
                cell = ""
                if layer in run.layers(weights, (5, 6, 7)):
                    cell = run.score(
                        weights,
                        f"layer {layer}, {kind}",
                        lambda w=weights, n=layer, k=kind: score(w, n, k, accuracy_score),
                    )
                found.append(cell)
            rows.append([f"DeCAF{layer} + {kind}", paper.get((kind, layer), ""), *found])
    for name, value in (
        ("DPD (Zhang et al. 2013)", "50.98"),
        ("POOF (Berg and Belhumeur 2013)", "56.78"),
        ("DPD + DeCAF6", "64.96"),
    ):
        rows.append([name, value, *[""] * len(run.weights)])
    crops = "their boxes" if run.data.get("boxes") is None else "boxes enlarged 1.5 times"
    yield (
        f"Table 2: birds in {crops}, official split; accuracy in %",
        ["", "paper", *run.weights],
        rows,
    )


# SUN-397 -------------------------------------------------------------------------------------


def load_sun397(arguments):
    if arguments.data is None:
        data = fetch_sun397(data_home=arguments.data_home)
    else:
        data = fetch_sun397(local=arguments.data)
    # the images of five partitions only: a third less
    splits = data.splits[:5]
    used = np.unique(np.concatenate([rows for split in splits for rows in split]))
    data.filenames, data.target = data.filenames[used], data.target[used]
    data.splits = [tuple(np.searchsorted(used, rows) for rows in split) for split in splits]
    return data, "SUN-397"


def table3(run: Run):
    paper = {(7, "SVM", True): "40.94"}
    rows = []
    for layer in (6, 7):
        for kind, dropout in VARIANTS:
            found = []
            for weights in run.weights.values():
                cell = ""
                if layer in run.layers(weights, (6, 7)):
                    cell = run.score(
                        weights,
                        f"layer {layer}, {kind}{' + dropout' if dropout else ''}",
                        lambda w=weights, n=layer, k=kind, d=dropout: cross_val_score(
                            sun397(k, d),
                            np.asarray(run.features(w, n)),
                            run.data.target,
                            cv=run.data.splits,
                            scoring="accuracy",
                            n_jobs=run.arguments.n_jobs,
                            error_score="raise",
                        ),
                    )
                found.append(cell)
            label = f"DeCAF{layer}, {kind}" + (" + dropout" if dropout else "")
            rows.append([label, paper.get((layer, kind, dropout), ""), *found])
    rows.append(["Xiao et al. 2010", "38.0", *[""] * len(run.weights)])
    yield (
        "Table 3: five official partitions of 50 + 50 images a class, C chosen on 42 + 8; accuracy "
        "in %",
        ["", "paper", *run.weights],
        rows,
    )


TABLES = {
    "figure4": (load_caltech101, figure4),
    "table1": (load_office, table1),
    "table2": (load_cub200, table2),
    "table3": (load_sun397, table3),
}


def ignore_expected_warnings() -> None:
    """Leave out warnings of what the protocols are: a run prints them hundreds of times."""
    # liblinear stops after so many passes without reaching its tolerance now and then
    warnings.simplefilter("ignore", ConvergenceWarning)
    # one or two images a class look like a regression to scikit-learn
    warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", help="folder of the data set, if it is not in the data folder")
    parser.add_argument("--data-home", help="the data folder, for data sets that are fetched")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=["efficientnet_lite0", "squeezenet1_1"],
        help="names of weights, or weight files",
    )
    parser.add_argument(
        "--layer", type=int, choices=(5, 6, 7), default=6, help="layer of the learning curve"
    )
    parser.add_argument(
        "--n-train", type=int, nargs="+", default=N_TRAIN, help="its training images of a class"
    )
    parser.add_argument("--cub-version", choices=["2010", "2011"], default="2011")
    parser.add_argument("--results", default="results", help="folder for the numbers")
    parser.add_argument("--cache", help="folder for the features")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes of the searches")
    arguments = parser.parse_args(argv)
    ignore_expected_warnings()

    load, make = TABLES[arguments.table]
    run = Run(arguments, *load(arguments))
    text = [f"{run.title}."]
    for title, header, rows in make(run):
        text.append(f"{title}\n\n{markdown(header, rows)}")
    report = "\n\n".join(text) + "\n"
    print("\n" + report)
    Path(arguments.results, f"{arguments.table}.md").write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
