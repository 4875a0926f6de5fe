"""Figures 1, 2, 3 and 5 of the DeCAF paper (Donahue et al., 2014), with numbers.

Usage::

    python benchmarks/figures.py clusters --data FOLDER [--alexnet FILE] [--out FOLDER]
    python benchmarks/figures.py domains --data FOLDER [--out FOLDER]
    python benchmarks/figures.py times [--n-jobs N] [--out FOLDER]

``clusters`` wants a folder with one sub-folder of images per class, classes of Caltech-101, and
draws Figures 1 and 2: t-SNE of an early layer, a late layer, GIST, LLC and HOG, coloured by
super-category. The paper's own network is replaced by those at hand; with a file of torchvision's
AlexNet (its convolutional layers suffice) its first and last pooling layers are there too.

``domains`` wants the files of Office-Caltech10 and draws Figure 5: webcam and dslr, once with
SURF and once with the features of networks. Points go to ``domains.png``, the same with the
photographs in their places to ``domains_*_photographs.png``.

Both print a Markdown table with what the pictures show, and the accuracy of linear classifiers or
of nearest neighbours across the domains. ``--cache`` keeps features between runs.

``times`` draws Figure 3, the time by layer and by type of layer, for CaffeNet (with random weights,
which take as long), SqueezeNet and EfficientNet-Lite0.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from _markdown import table
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize, scale
from sklearn.svm import LinearSVC

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import fetch_office_caltech10, load_image_folder
from sklearn_decaf.descriptors import GISTTransformer, HOGTransformer, LLCTransformer
from sklearn_decaf.inspection import (
    EmbeddingDisplay,
    LayerTimeDisplay,
    cluster_quality,
    group_labels,
    layer_times,
)
from sklearn_decaf.model_selection import PerClassShuffleSplit
from sklearn_decaf.networks import get_architecture

# WordNet's wider nouns, as far as they fit classes of Caltech-101
SUPER_CATEGORIES = {
    "animal": (
        "Leopards ant bass beaver brontosaurus butterfly cougar_body cougar_face crab crayfish "
        "crocodile crocodile_head dalmatian dolphin dragonfly elephant emu flamingo flamingo_head "
        "gerenuk hawksbill hedgehog ibis kangaroo llama lobster mayfly octopus okapi panda pigeon "
        "platypus rhino rooster scorpion sea_horse starfish stegosaurus tick trilobite wild_cat "
        "nautilus snoopy garfield"
    ),
    "plant": "bonsai joshua_tree lotus strawberry sunflower water_lilly",
    "vehicle": "Motorbikes airplanes car_side ferry helicopter inline_skate ketch schooner",
    "body part": "Faces Faces_easy brain",
    "instrument": (
        "accordion electric_guitar euphonium gramophone grand_piano mandolin metronome saxophone"
    ),
    "household object": (
        "anchor barrel binocular buddha camera ceiling_fan cellphone chair chandelier cup "
        "dollar_bill ewer headphone lamp laptop menorah minaret pagoda pizza pyramid revolver "
        "scissors soccer_ball stapler stop_sign umbrella watch wheelchair windsor_chair wrench "
        "yin_yang"
    ),
}
HIERARCHY = {name: group for group, names in SUPER_CATEGORIES.items() for name in names.split()}
PAPER_ACCURACY = "The paper has pictures only, from ILSVRC-2012 and SUN-397: no numbers to compare."


def span(features):
    """Rotate rows to the span of all of them: the same distances and products, fewer columns."""
    features = normalize(features).astype(np.float64)
    if features.shape[1] <= len(features):
        return features
    values, vectors = np.linalg.eigh(features @ features.T)
    return vectors * np.sqrt(np.maximum(values, 0))


def compute(transformer, filenames):
    """Features of photographs; an unsupervised transformer learns from all of them."""
    start = time.perf_counter()
    rows = transformer.set_params(verbose=True).fit(filenames).transform(filenames)
    print(f"{type(transformer).__name__}: {time.perf_counter() - start:.0f} s", flush=True)
    return rows


def cluster_transformers(alexnet):
    """Name of the panel -> transformer."""
    plain = {"dropout": False}
    if alexnet is None:
        early = {
            "DeCAF1: SqueezeNet pool1": DeCAFTransformer(
                "pool1", weights="squeezenet1_1", pooling="avg+max", **plain
            )
        }
    else:
        early = {
            "DeCAF1: AlexNet pool1": DeCAFTransformer("pool1", weights=alexnet, **plain),
            "DeCAF5: AlexNet pool5": DeCAFTransformer("pool5", weights=alexnet, **plain),
        }
    return {
        **early,
        "DeCAF6: SqueezeNet": DeCAFTransformer(6, weights="squeezenet1_1", **plain),
        "DeCAF6: EfficientNet-Lite0": DeCAFTransformer(6, **plain),
        "GIST": GISTTransformer(),
        "LLC": LLCTransformer(random_state=0),
        "HOG": HOGTransformer(),
    }


def svm_accuracy(features, y):
    """30 training images a class, 5 splits; C chosen by training on 25 of them."""
    search = GridSearchCV(
        LinearSVC(max_iter=5000),
        {"C": [100.0, 10.0, 1.0]},
        scoring="balanced_accuracy",
        cv=PerClassShuffleSplit(25, 5, n_splits=1, random_state=0),
    )
    split = PerClassShuffleSplit(30, n_splits=5, random_state=0)
    return cross_val_score(search, features, y, cv=split, scoring="balanced_accuracy")


def clusters(arguments, remembered):
    """Figures 1 and 2."""
    photos = load_image_folder(arguments.data)
    classes = np.asarray(photos.target_names)[photos.target]
    groups = group_labels(classes, HIERARCHY)
    transformers = cluster_transformers(arguments.alexnet)
    columns = -(-len(transformers) // 2)
    figure, axes = plt.subplots(
        2, columns, figsize=(4 * columns, 8.4), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(transformers) :]:
        ax.remove()
    rows = []
    for ax, (name, transformer) in zip(axes.flat, transformers.items()):
        features = remembered(transformer, list(photos.filenames))
        short = span(features)
        display = EmbeddingDisplay.from_features(
            short, groups, random_state=0, ax=ax, legend=False, marker_size=8
        )
        ax.set_title(name)
        accuracy = 100 * svm_accuracy(short, photos.target)
        rows.append(
            (
                name,
                features.shape[1],
                f"{display.quality.silhouette:.2f}",
                f"{100 * display.quality.knn_accuracy:.1f}",
                f"{100 * cluster_quality(short, classes).knn_accuracy:.1f}",
                f"{accuracy.mean():.1f} ± {accuracy.std():.1f}",
            )
        )
        print(rows[-1], flush=True)
    handles = [
        plt.Line2D([], [], marker="o", ls="", color=color, label=label)
        for label, color in display._colors(None, None, len(groups))[1].items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(arguments.out / "clusters.png", dpi=100)
    header = ("features", "width", "silhouette", "5-NN, super-category", "5-NN, class", "SVM")
    text = (
        f"{len(photos.filenames)} photographs of {len(photos.target_names)} classes in "
        f"{len(set(groups))} super-categories; rows of length 1. Silhouette of the "
        "super-categories (-1 to 1); accuracy in % of the five nearest other photographs; linear "
        "SVM, mean accuracy per class in %, 30 training images a class, 5 splits, C chosen within "
        f"them.\n\n{table(header, rows)}\n\n{PAPER_ACCURACY}"
    )
    return text


def domains(arguments, remembered):
    """Figure 5."""
    sources = {
        "SURF": fetch_office_caltech10(
            features="surf", domains=("webcam", "dslr"), data_home=arguments.data
        ),
        "DeCAF6, the paper's network": fetch_office_caltech10(
            features="decaf6", domains=("webcam", "dslr"), data_home=arguments.data
        ),
    }
    photos = fetch_office_caltech10(domains=("webcam", "dslr"), data_home=arguments.data)
    features = {name: data.X for name, data in sources.items()}
    for name, weights in (("SqueezeNet", "squeezenet1_1"), ("EfficientNet-Lite0", None)):
        network = {} if weights is None else {"weights": weights}
        features[f"DeCAF6, {name}"] = remembered(
            DeCAFTransformer(6, dropout=False, **network), list(photos.filenames)
        )
    classes = np.asarray(photos.target_names)[photos.y]
    names = np.asarray(["webcam" if domain > 0 else "dslr" for domain in photos.sample_domain])
    webcam, dslr = names == "webcam", names == "dslr"
    figure, axes = plt.subplots(
        2, len(features), figsize=(4 * len(features), 8.6), layout="constrained"
    )
    rows = []
    for column, (name, X) in zip(axes.T, features.items()):
        short = span(X)
        for ax, labels in zip(column, (classes, names)):
            if ax is column[0]:
                display = EmbeddingDisplay.from_features(
                    short, labels, random_state=0, ax=ax, legend=name == [*features][-1]
                )
            else:
                other = EmbeddingDisplay(
                    display.embedding, labels=labels, quality=cluster_quality(short, labels)
                )
                other.plot(
                    ax=ax,
                    colors={"webcam": "tab:orange", "dslr": "tab:blue"},
                    legend=name == [*features][-1],
                )
        column[0].set_title(name)
        if name == "SURF":
            column[0].set_ylabel("coloured by class")
            column[1].set_ylabel("coloured by camera")
        draw_photographs(display.embedding, names, photos, name, arguments.out)
        standardised = standardise(X, webcam)
        rows.append(
            (
                name,
                X.shape[1],
                f"{100 * display.quality.knn_accuracy:.1f}",
                f"{100 * other.quality.knn_accuracy:.1f}",
                *(
                    f"{100 * nearest_neighbour(rows_, photos.y, *pair):.1f}"
                    for rows_ in (short, standardised)
                    for pair in ((webcam, dslr), (dslr, webcam))
                ),
            )
        )
        print(rows[-1], flush=True)
    figure.savefig(arguments.out / "domains.png", dpi=100)
    header = (
        *("features", "width", "5-NN, class", "5-NN, domain"),
        *("W→D", "D→W", "W→D standardised", "D→W standardised"),
    )
    return (
        f"{webcam.sum()} photographs by webcam, {dslr.sum()} by dslr, 10 classes; accuracies in %. "
        "5-NN: how often the five nearest other photographs, of both domains, have the same class "
        "(good) or are of the same domain (58 % would be if they did not matter). W→D and "
        "D→W: one nearest neighbour in the other domain, with rows of length 1, and with columns "
        f"standardised within each domain.\n\n{table(header, rows)}"
    )


def standardise(X, webcam):
    """Rows of sum 1, then columns of mean 0 and deviation 1 in each domain: Gong et al. 2012."""
    rows = normalize(np.asarray(X, dtype=np.float64), norm="l1")
    for domain in (webcam, ~webcam):
        rows[domain] = scale(rows[domain])
    return rows


def nearest_neighbour(X, y, source, target):
    """Accuracy on the target rows of the nearest source row's class."""
    return KNeighborsClassifier(1).fit(X[source], y[source]).score(X[target], y[target])


def draw_photographs(embedding, domains_, photos, name, folder):
    """The same plane with photographs; the colour of the frame is the domain."""
    display = EmbeddingDisplay(embedding, labels=domains_, images=list(photos.filenames))
    _, ax = plt.subplots(figsize=(11, 10), layout="constrained")
    display.plot(ax=ax, thumbnail_size=28, colors={"webcam": "tab:orange", "dslr": "tab:blue"})
    ax.set_title(name)
    slug = "_".join(name.lower().replace(",", "").replace("'", "").split())
    display.figure_.savefig(folder / f"domains_{slug}_photographs.png", dpi=100)
    plt.close(display.figure_)


def random_weights(architecture, folder):
    """A weight file whose values keep activations in range."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in get_architecture(architecture).parameter_shapes().items():
        scale_ = np.sqrt(2 / np.prod(shape[:-1])) if name.endswith("kernel") else 0.0
        arrays[name] = rng.standard_normal(shape, np.float32) * np.float32(scale_)
    path = Path(folder) / f"{architecture}.npz"
    np.savez(path, **arrays)
    return path


def times(arguments, remembered):
    """Figure 3."""
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        networks = {
            "caffenet": random_weights("caffenet", folder),
            "squeezenet1_1": "squeezenet1_1",
            "efficientnet_lite0": "efficientnet_lite0",
        }
        figure, axes = plt.subplots(
            len(networks),
            2,
            figsize=(14, 4.2 * len(networks)),
            width_ratios=(3, 2),
            layout="constrained",
        )
        for row, (name, weights) in zip(axes, networks.items()):
            measured = layer_times(
                weights, "prob", architecture=name, batch_size=16, n_jobs=arguments.n_jobs
            )
            display = LayerTimeDisplay(measured)
            display.plot(ax=row[0], kind="layer")
            display.plot(ax=row[1], kind="type")
            by_type = measured.by_type()
            rows = [
                (kind, f"{1e3 * s:.3g}", f"{100 * share:.0f}", f"{mflop:.0f}", f"{rate:.0f}")
                for kind, s, share, mflop, rate in zip(*by_type.values())
            ]
            header = ("type", "ms an image", "% of the time", "MFLOP", "GFLOP/s")
            tables.append(f"{measured!r}\n\n{table(header, rows)}")
            print(tables[-1], flush=True)
    figure.savefig(arguments.out / "times.png", dpi=100)
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figure", choices=("clusters", "domains", "times"))
    parser.add_argument("--data", type=Path, help="folder of the data")
    parser.add_argument("--n-jobs", type=int, default=1, help="threads, for times")
    parser.add_argument("--alexnet", type=Path, help="weight file of torchvision's AlexNet")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the pictures")
    parser.add_argument("--cache", type=Path, help="folder that keeps features between runs")
    arguments = parser.parse_args()
    if arguments.data is None and arguments.figure != "times":
        parser.error(f"{arguments.figure} needs --data")
    arguments.out.mkdir(parents=True, exist_ok=True)

    remembered = joblib.Memory(arguments.cache, verbose=0).cache(compute)
    draw = {"clusters": clusters, "domains": domains, "times": times}[arguments.figure]
    text = draw(arguments, remembered)
    (arguments.out / f"{arguments.figure}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
