"""What fine-tuning is worth: accuracy and CPU time beside the best frozen pipeline, as Markdown.

    python benchmarks/fine_tuning.py --birds CROPS --office DATA_HOME --caltech CALTECH
    python benchmarks/fine_tuning.py --birds CROPS --trainable last:2 last:6 all --seeds 0 1 2

- birds: crops of CUB-200-2011 with a table `crops.csv` (path, species, is_training); official
  split.
- office: Office-Caltech10, from Amazon to webcam: 20 source images a class and 3 target images,
  tested on the other target images.
- caltech: folders of Caltech-101, 30 training images a class.
- flowers: the 17 flowers of Oxford, image_0001.jpg to image_1360.jpg, 30 training images a class.

The frozen pipeline is logistic regression on layer 6 or 7, of length 1 or as they are, chosen with
its C by 3-fold cross-validation on the training images; its time is that of features and search.
Times are CPU seconds of the whole `fit`, the activations included, so that neither threads nor
other programs count. A cell has the mean over the seeds, which draw the split, the images that are
held back and the order; `kept` counts the fits whose result was a trained epoch and not the frozen
pipeline.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from _markdown import table
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import fetch_office_caltech10
from sklearn_decaf.model_selection import DomainShuffleSplit, PerClassShuffleSplit
from sklearn_decaf.training import FineTunedClassifier

C_VALUES = [0.003, 0.03, 0.3, 3.0, 30.0, 300.0]


# Data: each function yields files, labels, training rows and test rows for a seed -----------------


def birds(folder: Path, seed: int):
    with open(folder / "crops.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    files = np.array([str(folder / "images" / row["path"]) for row in rows])
    labels = np.array([row["species"] for row in rows])
    training = np.array([row["is_training"] == "1" for row in rows])
    return files, labels, np.flatnonzero(training), np.flatnonzero(~training)


def office(folder: Path, seed: int):
    data = fetch_office_caltech10(
        domains=["amazon", "webcam"], target="webcam", local=folder, download_if_missing=False
    )
    splitter = DomainShuffleSplit(20, 3, n_splits=1, random_state=seed)
    domain = np.asarray(data.sample_domain)
    ((train, test),) = splitter.split(data.filenames, data.target, sample_domain=domain)
    test = test[domain[test] < 0]
    return np.array(data.filenames), np.asarray(data.target), train, test


def caltech(folder: Path, seed: int):
    files = np.array(sorted(map(str, folder.rglob("*.jpg"))))
    labels = np.array([Path(file).parent.name for file in files])
    return files, labels, *per_class(labels, seed)


def flowers(folder: Path, seed: int):
    files = np.array(sorted(map(str, folder.glob("image_*.jpg"))))
    labels = (np.array([int(Path(file).stem[-4:]) for file in files]) - 1) // 80
    return files, labels, *per_class(labels, seed)


def per_class(labels, seed):
    splitter = PerClassShuffleSplit(30, n_splits=1, random_state=seed)
    ((train, test),) = splitter.split(labels, labels)
    return train, test


DATA = {"birds": birds, "office": office, "caltech": caltech, "flowers": flowers}


# Models -----------------------------------------------------------------------------------------


def frozen(arguments, seed):
    """The search that a user of scikit-learn would write."""
    columns = DeCAFTransformer((6, 7), dropout=False, weights=arguments.weights)
    blocks = [block.columns for block in columns._blocks()]
    pipeline = Pipeline(
        [
            ("layer", FunctionTransformer(_take)),
            ("scale", "passthrough"),
            ("classifier", LogisticRegression(max_iter=500, tol=1e-3)),
        ]
    )
    grid = {
        "layer__kw_args": [{"columns": block} for block in blocks],
        "scale": ["passthrough", Normalizer()],
        "classifier__C": C_VALUES,
    }
    return Pipeline([("decaf", columns), ("search", GridSearchCV(pipeline, grid, cv=3))])


def _take(X, columns):
    return X[:, columns]


def tuned(trainable, arguments, seed):
    return FineTunedClassifier(
        trainable,
        weights=arguments.weights,
        random_state=seed,
        early_stopping=not arguments.no_early_stopping,
        max_iter=arguments.epochs,
        learning_rate_init=arguments.rate,
        layer=arguments.layer if arguments.layer == "auto" else int(arguments.layer),
        n_jobs=arguments.n_jobs,
    )


def measure(model, data):
    """Accuracy in per cent, and CPU seconds of the fit."""
    files, labels, train, test = data
    start = time.process_time()
    model.fit(files[train], labels[train])
    seconds = time.process_time() - start
    return 100 * model.score(files[test], labels[test]), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in DATA:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--weights", default="efficientnet_lite0")
    parser.add_argument("--trainable", nargs="*", default=["last:2", "last:6"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--layer", default="auto", help="that the head reads: auto, 6 or 7")
    parser.add_argument("--classes", type=int, help="the first so many classes only")
    parser.add_argument("--no-early-stopping", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    for name, load in DATA.items():
        folder = getattr(arguments, name)
        if folder is None:
            continue
        splits = {
            seed: some_classes(load(folder, seed), arguments.classes) for seed in arguments.seeds
        }
        for recipe in ("frozen", *arguments.trainable):
            results, kept, heads = [], 0, set()
            for seed, data in splits.items():
                model = (
                    frozen(arguments, seed)
                    if recipe == "frozen"
                    else tuned(recipe, arguments, seed)
                )
                results.append(measure(model, data))
                if recipe != "frozen":
                    kept += model.best_epoch_ > 0
                    heads.add(f"{model.layer_} {model.scaling_ or ''}".strip())
                print(
                    f"# {name}, {recipe}, seed {seed}: {results[-1][0]:.2f} %, "
                    f"{results[-1][1]:.0f} s",
                    *sorted(heads),
                    flush=True,
                )
                if recipe != "frozen":
                    print("#   validation", model.validation_scores_, flush=True)
            accuracies, seconds = np.array(results).T
            spread = f" ± {accuracies.std():.1f}" if len(results) > 1 else ""
            n_train, n_test = map(len, data[2:])
            rows.append(
                [
                    f"{name} ({n_train}, {n_test})",
                    recipe,
                    f"{accuracies.mean():.1f}{spread}",
                    f"{seconds.mean():.0f}",
                    "" if recipe == "frozen" else f"{kept} of {len(results)}",
                    ", ".join(sorted(heads)),
                ]
            )
    header = ["data (training, test)", "trained", "accuracy in %", "CPU s", "kept", "head reads"]
    print(table(header, rows))


def some_classes(data, n):
    files, labels, train, test = data
    if n is None:
        return data
    chosen = np.isin(labels, np.unique(labels)[:n])
    return files, labels, train[chosen[train]], test[chosen[test]]


if __name__ == "__main__":
    main()
