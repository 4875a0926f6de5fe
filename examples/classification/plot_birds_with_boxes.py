"""
====================================
Crop objects by their bounding boxes
====================================

A bird fills a tenth of the photograph, and the rest is branches. If its :term:`bounding box` is
known, cut the bird out first: the DeCAF paper classifies the species of CUB-200 after cropping to
1.5 times the box.

No photographs with boxes come with the package, so the pictures of this example are pasted
together: small sample photographs of things on grass, gravel, brick and the like. For birds name
the folder ``CUB_200_2011`` of Caltech-UCSD Birds 200-2011::

    SKLEARN_DECAF_CUB200=path/to/CUB_200_2011 python plot_birds_with_boxes.py
"""

# %%
# Pictures with boxes
# -------------------
# A box is (left, upper, right, lower) in pixels. Things and backgrounds of the test pictures come
# from other halves of the photographs than those of the training pictures.

import os

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.datasets import fetch_cub200, load_sample_photos
from sklearn_decaf.images import read_image

BACKGROUNDS = ["brick", "galaxies", "grass", "gravel", "tissue"]


def paste_pictures(split, rng):
    """Things on backgrounds, the names of the things, and their boxes."""
    photos = load_sample_photos(subset=split)
    labels = photos.target_names[photos.target]
    is_background = np.isin(labels, BACKGROUNDS)
    backgrounds, things = photos.images[is_background], photos.images[~is_background]
    pictures, boxes = [], []
    for thing in things:
        picture = Image.fromarray(backgrounds[rng.integers(len(backgrounds))]).resize((320, 240))
        side = int(rng.integers(60, 110))
        left, upper = (int(rng.integers(0, length - side)) for length in picture.size)
        picture.paste(Image.fromarray(thing).resize((side, side)), (left, upper))
        pictures.append(picture)
        boxes.append((left, upper, left + side, upper + side))
    return pictures, labels[~is_background], np.array(boxes, dtype=float)


def read_birds(folder):
    """Training and test photographs of CUB-200-2011, as many as are there."""
    parts = [
        fetch_cub200(subset=subset, local=folder, allow_incomplete=True)
        for subset in ("train", "test")
    ]
    return [(birds.filenames, birds.target, birds.boxes) for birds in parts]


folder = os.environ.get("SKLEARN_DECAF_CUB200")
if folder is None:
    rng = np.random.default_rng(0)
    train, test = paste_pictures("train", rng), paste_pictures("test", rng)
else:
    train, test = read_birds(folder)
print(f"{len(train[0])} pictures to learn from, {len(test[0])} to test on")

figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for i, axis in zip(np.linspace(0, len(test[0]) - 1, 4).astype(int), axes):
    axis.imshow(read_image(test[0][i]))
    left, upper, right, lower = test[2][i]
    corner, width, height = (left, upper), right - left, lower - upper
    axis.add_patch(Rectangle(corner, width, height, fill=False, color="yellow", linewidth=2))
    axis.set_axis_off()
plt.show()

# %%
# With and without the box
# ------------------------
# :class:`~sklearn_decaf.BoundingBoxCropper` takes the boxes as columns beside the image, so that
# everything that splits rows keeps them together. `enlarge` says how much of the surroundings
# stays.


def with_boxes(images, boxes):
    """One row a picture: the image, left, upper, right, lower."""
    rows = np.empty((len(images), 5), dtype=object)
    rows[:, 1:] = boxes
    for row, image in zip(rows, images):
        row[0] = image
    return rows


def accuracy(classifier, X_train, X_test):
    """Mean accuracy per class in %."""
    predicted = classifier.fit(X_train, train[1]).predict(X_test)
    return 100 * balanced_accuracy_score(test[1], predicted)


classifier = make_pipeline(DeCAFTransformer(), LogisticRegression(max_iter=1000))
scores = {"whole picture": accuracy(classifier, train[0], test[0])}
for enlarge in 2.5, 1.5, 1.0:
    classifier = make_pipeline(
        BoundingBoxCropper(enlarge), DeCAFTransformer(), LogisticRegression(max_iter=1000)
    )
    scores[f"{enlarge} times the box"] = accuracy(
        classifier, with_boxes(train[0], train[2]), with_boxes(test[0], test[2])
    )
for name, score in scores.items():
    print(f"{name:20} {score:.1f} %")

figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
bars = axis.barh(list(scores), list(scores.values()))
axis.bar_label(bars, fmt="%.0f", padding=3)
axis.set(xlabel="mean accuracy per class in %", xlim=(0, 105))
axis.invert_yaxis()
plt.show()

# %%
# Here the surroundings say nothing, so the tighter the better. Birds sit where they live, and some
# context helps: that is what the paper's factor 1.5 is for.
