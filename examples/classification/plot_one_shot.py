"""
==================================
Learn from one image of each class
==================================

How many labelled images does a class need? The right half of Figure 4 of the DeCAF paper asks that
of Caltech-101, where one image a class gave 33 % with 102 classes. Here the same question goes to
the 14 sample photographs: one to eight crops of the left half of a photograph to learn from, its
right half to test on.

For the real thing name a folder with one sub-folder per class, such as Caltech-101's::

    SKLEARN_DECAF_CALTECH101=path/to/101_ObjectCategories python plot_one_shot.py
"""

# %%
# Features first, classifiers after
# ---------------------------------
# The network runs once an image, and all classifiers learn from the same rows. Beside two networks
# stand two descriptions that know nothing of ImageNet: the mean colour, and the histogram of
# gradients from scikit-image.

import os

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import normalize

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder, load_sample_photos
from sklearn_decaf.images import read_image
from sklearn_decaf.model_selection import PerClassShuffleSplit

folder = os.environ.get("SKLEARN_DECAF_CALTECH101")
if folder is None:
    photos = load_sample_photos()
    images, y = photos.images, photos.target
    may_train, may_test = photos.split == "train", photos.split == "test"
else:
    images, y = load_image_folder(folder, return_X_y=True)
    may_train = may_test = np.ones(len(y), dtype=bool)


def gradients(image):
    """Histogram of oriented gradients of an image of 64 x 64 pixels."""
    small = read_image(image).convert("L").resize((64, 64), Image.Resampling.BILINEAR)
    return hog(np.asarray(small), pixels_per_cell=(16, 16), cells_per_block=(2, 2))


features = {
    "EfficientNet-Lite0, layer 7": DeCAFTransformer(layer=7).fit_transform(images),
    "SqueezeNet 1.1, layer 6": DeCAFTransformer(weights="squeezenet1_1").fit_transform(images),
    "gradients (HOG)": np.array([gradients(image) for image in images]),
    "mean colour": np.array([np.asarray(read_image(image)).mean((0, 1)) for image in images]),
}
features = {name: normalize(X) for name, X in features.items()}  # length 1: one C suits all

# %%
# Draw a few images of each class
# -------------------------------
# :class:`~sklearn_decaf.model_selection.PerClassShuffleSplit` draws the same number from every
# class. What one image teaches depends on the image, so each point is the mean of ten draws.

SHOTS, N_DRAWS = [1, 2, 4, 8], 10
scores = {name: np.empty((len(SHOTS), N_DRAWS)) for name in features}
rows = np.flatnonzero(may_train)
for i, shots in enumerate(SHOTS):
    splitter = PerClassShuffleSplit(shots, n_splits=N_DRAWS, random_state=0)
    for draw, (chosen, _) in enumerate(splitter.split(rows, y[rows])):
        train = rows[chosen]
        test = np.setdiff1d(np.flatnonzero(may_test), train)
        for name, X in features.items():
            classifier = LogisticRegression(C=10, max_iter=1000).fit(X[train], y[train])
            score = balanced_accuracy_score(y[test], classifier.predict(X[test]))
            scores[name][i, draw] = 100 * score

print(f"mean accuracy per class in %, {len(np.unique(y))} classes; images of a class: {SHOTS}")
for name, values in scores.items():
    print(f"  {name:28}", *(f"{mean:5.1f} ± {std:.1f}" for mean, std in zip(
        values.mean(axis=1), values.std(axis=1))))  # fmt: skip

# %%
# One image with a network's features is worth more than eight without.

figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, values in scores.items():
    axis.errorbar(SHOTS, values.mean(axis=1), values.std(axis=1), marker="o", capsize=3, label=name)
axis.axhline(100 / len(np.unique(y)), color="grey", linestyle=":", label="guessing")
axis.set_xscale("log", base=2)
axis.set_xticks(SHOTS, SHOTS)
axis.set(xlabel="training images of a class", ylabel="mean accuracy per class in %", ylim=(0, 100))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
