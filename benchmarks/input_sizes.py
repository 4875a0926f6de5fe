"""What other input sizes are worth: accuracy and cost of `DeCAFTransformer(crop=...)`.

    python benchmarks/input_sizes.py --data FOLDER [--weights NAME_OR_FILE] [--crop 160 224 288 320]

FOLDER has a folder of images a class. Of each class 30 images are for training (`--n-train`), the
others are tested, in 5 random splits (20 for up to 5 images); the classifier is the logistic
regression of `_protocols.py`. Printed are accuracies, averaged over the classes, with their
standard deviation over the splits, for layers 6 and 7; and for each size the multiply-adds of the
network and the CPU time for an image, photographs decoded and resized, as multiples of those of its
own size.
"""

from __future__ import annotations

import argparse

from _cost import multiply_adds, seconds_per_image
from _markdown import table
from _protocols import pipeline
from sklearn.model_selection import cross_val_score

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder
from sklearn_decaf.model_selection import PerClassShuffleSplit
from sklearn_decaf.networks import load_weights

LAYERS = (6, 7)


def accuracies(transformer, photographs, n_train) -> list[str]:
    """For each layer the accuracy in %, with its deviation over the splits."""
    rows = transformer.transform(photographs.filenames)
    n_splits = 20 if n_train <= 5 else 5  # the fewer images, the greater the luck
    splits = PerClassShuffleSplit(n_train, n_splits=n_splits, random_state=0)
    found, start = [], 0
    for layer in LAYERS:
        width = len(DeCAFTransformer(layer, weights=transformer.weights).get_feature_names_out())
        scores = cross_val_score(
            pipeline("LogReg"),
            rows[:, start : start + width],
            photographs.target,
            cv=splits,
            scoring="balanced_accuracy",
            error_score="raise",
        )
        start += width
        found.append(f"{100 * scores.mean():.1f} ± {100 * scores.std():.1f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with a folder of images a class")
    parser.add_argument("--weights", default="efficientnet_lite0", help="name or file of weights")
    parser.add_argument("--crop", type=int, nargs="+", default=[160, 224, 288, 320])
    parser.add_argument("--n-train", type=int, default=30, help="training images of a class")
    parser.add_argument("--cache", help="folder for the activations")
    options = parser.parse_args()

    photographs = load_image_folder(options.data)
    own = DeCAFTransformer(LAYERS, weights=options.weights, n_jobs=1)
    crops = {
        crop: DeCAFTransformer(LAYERS, weights=options.weights, crop=crop, n_jobs=1)
        for crop in options.crop
    }
    seconds = seconds_per_image([own, *crops.values()], photographs.filenames[:32])
    net = load_weights(options.weights).architecture
    rows = []
    for (crop, transformer), time in zip(crops.items(), seconds[1:]):
        transformer.set_params(cache=options.cache)
        operations = multiply_adds(transformer) / multiply_adds(own)
        resized = transformer._network().architecture.preprocessing.resize
        rows.append(
            [
                f"{crop} of {resized}" + (" (its own)" if crop == net.preprocessing.crop else ""),
                *accuracies(transformer, photographs, options.n_train),
                f"{operations:.2f}",
                f"{time / seconds[0]:.2f}",
            ]
        )
    print(
        f"{net.name}, {len(photographs.target)} images of {len(photographs.target_names)} classes\n"
    )
    header = ["pixels", *(f"layer {layer}" for layer in LAYERS), "multiply-adds", "time"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
