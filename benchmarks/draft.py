"""What `DeCAFTransformer(draft=True)` saves and changes: large photographs reduced by the decoder.

Usage::

    python benchmarks/draft.py --data FOLDER [--width 4000 2000] [--per-class 12]
                               [--weights NAME ...]

FOLDER has a folder a class. Large photographs of known classes are rare, so these are enlarged to
`width` x 3/4 `width` pixels, get the noise of a camera (4 grey levels), and become JPEG files of
quality 90. Printed are CPU time to read an image (decode, resize, crop) with and without `draft`,
how far pixels and features move, beside features of the same pixels with one grey level more or
less at random in a tenth of them, and the accuracy of a linear SVM, trained on half of the images
and tested on the other half, with features of either kind on either side.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
from _markdown import table
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder
from sklearn_decaf.images import iter_batches


def large_file(path: str, width: int, seed: int) -> bytes:
    """A photograph as a camera of more pixels would have written it."""
    size = (width, width * 3 // 4)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    noise = 4 * np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=90
    )
    return stream.getvalue()


def read(files, draft) -> tuple[np.ndarray, float]:
    """The squares of 256 x 256 pixels, and milliseconds an image."""
    start = time.thread_time()
    batches = iter_batches(files, size=256, crop=256, draft=draft)
    pixels = np.concatenate([batch for _, batch, _ in batches])
    return pixels, 1000 * (time.thread_time() - start) / len(files)


def moved(changed, features) -> str:
    """Mean distance of rows, in % of their length."""
    distance = np.linalg.norm(changed - features, axis=1) / np.linalg.norm(features, axis=1)
    return f"{100 * distance.mean():.2f} %"


def measure(photographs, width, weights):
    files = [large_file(path, width, i) for i, path in enumerate(photographs.filenames)]
    exact, exact_ms = read(files, False)
    reduced, reduced_ms = read(files, True)
    flips = np.random.default_rng(0)
    step = (flips.random(exact.shape) < 0.1) * flips.choice([-1, 1], exact.shape)
    noisy = np.clip(exact + step, 0, 255).astype(np.uint8)
    y = photographs.target
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)
    for name in weights:
        network = DeCAFTransformer(weights=name, dropout=False)
        features = {"whole": network.transform(exact), "reduced": network.transform(reduced)}
        accuracies = []
        for first, second in (("whole", "whole"), ("reduced", "reduced"), ("whole", "reduced")):
            model = make_pipeline(Normalizer(), LinearSVC(C=10, tol=1e-2, max_iter=10_000))
            model.fit(features[first][train], y[train])
            accuracies.append(f"{100 * model.score(features[second][test], y[test]):.1f}")
        yield [
            f"{width} x {width * 3 // 4}",
            *(f"{ms:.1f}" for ms in (exact_ms, reduced_ms)),
            f"{np.abs(reduced.astype(int) - exact).mean():.2f}",
            name,
            moved(features["reduced"], features["whole"]),
            moved(network.transform(noisy), features["whole"]),
            *accuracies,
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with a folder a class")
    parser.add_argument("--width", nargs="+", type=int, default=[4000, 2000])
    parser.add_argument("--per-class", type=int, default=12)
    parser.add_argument("--weights", nargs="+", default=["efficientnet_lite0", "squeezenet1_1"])
    options = parser.parse_args()
    photographs = load_image_folder(options.data)
    y = photographs.target
    chosen = [np.flatnonzero(y == label)[: options.per_class] for label in np.unique(y)]
    chosen = np.concatenate(chosen)
    photographs.filenames, photographs.target = photographs.filenames[chosen], y[chosen]
    rows = [row for width in options.width for row in measure(photographs, width, options.weights)]
    header = ["pixels", "ms to read", "with draft", "grey levels", "weights", "features"]
    header += ["a grey level in a tenth", "accuracy, whole", "draft", "trained whole, tested draft"]
    print(f"{len(chosen)} images of {len(np.unique(y))} classes\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
