"""ImageNet classes predicted by the networks that come with the package, on labelled images.

Usage::

    python benchmarks/imagenet_sample.py --data FOLDER [--check]

FOLDER holds images and ``labels.csv`` with the columns ``file`` and ``class_index`` (0 to 999, in
the order of the sorted WordNet ids); one image a class is a good sample. The table has the share of
images whose class is the network's first guess (top-1), or among its first five (top-5), for
both ways to bring a photograph to the network's input size.

With ``--check``, every layer of both networks is computed on a few of the images and compared with
a float64 computation in plain NumPy. Each layer is asked for by itself, so that it
is computed the way it is when a user asks for it, with the layers before it fused.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from _markdown import table
from sklearn.metrics import top_k_accuracy_score

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import reference
from sklearn_decaf.networks.weights import list_weights, load_weights

# those of extras where they are installed
WEIGHTS = tuple(
    one["name"] for one in list_weights() if one["path"] is not None and not one["urls"]
)

# Top-1 and top-5 found with independent implementations of the networks on 100 images, every
# tenth class of github.com/EliSchwartz/imagenet-sample-images. They may be training images.
EXPECTED = {
    ("efficientnet_lite0", "warp"): "86 / 98",
    ("efficientnet_lite0", "crop"): "89 / 99",
    ("squeezenet1_1", "warp"): "68 / 87",
    ("squeezenet1_1", "crop"): "63 / 85",
}


def read_labels(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Paths and class indices (n,) of the labelled images."""
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = [folder / row["file"] for row in rows]
    return paths, np.array([int(row["class_index"]) for row in rows])


def accuracy_table(paths: list[Path], target: np.ndarray) -> str:
    """Top-1 and top-5 accuracy of every network and way of resizing."""
    rows = []
    for weights, resize in itertools.product(WEIGHTS, ("warp", "crop")):
        expected = EXPECTED.get((weights, resize), "")
        transformer = DeCAFTransformer(layer="prob", weights=weights, resize=resize)
        probabilities = transformer.transform(paths)  # (n, 1000)
        top1, top5 = (
            100 * top_k_accuracy_score(target, probabilities, k=k, labels=np.arange(1000))
            for k in (1, 5)
        )
        rows.append((weights, resize, f"{top1:.1f}", f"{top5:.1f}", expected))
    header = ("weights", "resize", "top-1 %", "top-5 %", "top-1 / top-5 expected of the 100 images")
    return table(header, rows)


def layer_errors(paths: list[Path], weights: str) -> dict[str, float]:
    """Largest error of each layer, relative to the layer's largest value."""
    loaded = load_weights(weights)
    net = loaded.architecture
    error, largest = dict.fromkeys(net.layer_names, 0.0), dict.fromkeys(net.layer_names, 0.0)
    sizes = {"size": net.preprocessing.resize, "crop": net.preprocessing.crop}
    # a few images at a time: all layers in float64 take 100 MB an image
    for start, images, _ in iter_batches(paths, batch_size=10, **sizes):  # (n, crop, crop, 3)
        expected = reference.forward(net, loaded.parameters, images, net.layer_names, np.float64)
        for name, correct in expected.items():
            transformer = DeCAFTransformer(layer=name, dropout=False, pooling=None, weights=weights)
            features = transformer.transform(paths[start : start + len(images)])
            difference = np.abs(features - correct.reshape(len(images), -1)).max()
            error[name] = max(error[name], difference)
            largest[name] = max(largest[name], np.abs(correct).max())
    return {name: error[name] / largest[name] for name in error}


def check_table(paths: list[Path]) -> str:
    """The layer of every network with the largest error, and how many layers were compared."""
    rows = []
    for weights in WEIGHTS:
        errors = layer_errors(paths, weights)
        worst = max(errors, key=errors.get)
        decaf = max(
            errors[name] for name in load_weights(weights).architecture.decaf_layers.values()
        )
        rows.append((weights, f"{decaf:.1e}", len(errors), worst, f"{errors[worst]:.1e}"))
    return table(("weights", "layers 5 to 8", "all layers", "least exact", "its error"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--check", action="store_true", help="compare every layer with float64")
    parser.add_argument("--check-images", type=int, default=4, help="how many images to compare on")
    arguments = parser.parse_args()

    paths, target = read_labels(arguments.data)
    print(f"{len(paths)} images\n")
    print(accuracy_table(paths, target))
    if arguments.check:
        print(f"\nEvery layer against float64, {arguments.check_images} images\n")
        print(check_table(paths[: arguments.check_images]))


if __name__ == "__main__":
    main()
