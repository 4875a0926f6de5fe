"""
====================================
Adapt a classifier to another camera
====================================

A classifier learns from the pictures of one camera and is used with another: the light is bluer,
the lens is soft, the sensor is noisy. How much is lost, and how much of it do three labelled
pictures of a class from the new camera bring back? These are the questions of Table 1 of the DeCAF
paper.

Here the second camera is simulated, from the same sample photographs. For real cameras name the
folder that holds Office-Caltech10, laid out as
:func:`~sklearn_decaf.datasets.fetch_office_caltech10` says; then amazon's catalogue pictures are
the source and the webcam's the target::

    SKLEARN_DECAF_OFFICE_CALTECH10=path/to/data_home python plot_camera_shift.py
"""

# %%
# Two cameras
# -----------
# The bad camera blurs, darkens, tints, adds noise and compresses. Its labelled pictures show the
# left halves of the scenes, as the good camera's do; its test pictures show the right halves, of
# which nothing is trained on.

import io
import os

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.adaptation import (
    DomainSubsetClassifier,
    FeatureAugmentation,
    GeodesicFlowKernel,
    MMDTClassifier,
)
from sklearn_decaf.datasets import fetch_office_caltech10, load_sample_photos
from sklearn_decaf.images import read_image
from sklearn_decaf.model_selection import DomainShuffleSplit


def bad_camera(image, rng):
    """What a soft, dark, noisy camera with a blue cast makes of a photograph."""
    soft = Image.fromarray(image).resize((64, 64)).resize((200, 200), Image.Resampling.BICUBIC)
    light = (np.asarray(soft) / 255) ** 1.6 * [0.55, 0.8, 1.15]
    noisy = np.clip(light + rng.normal(0, 0.06, light.shape), 0, 1)
    file = io.BytesIO()
    Image.fromarray((255 * noisy).astype(np.uint8)).save(file, "JPEG", quality=15)
    return file.getvalue()


data_home = os.environ.get("SKLEARN_DECAF_OFFICE_CALTECH10")
if data_home is None:
    photos = load_sample_photos()
    rng = np.random.default_rng(0)
    left = photos.split == "train"
    images = [*photos.images[left], *(bad_camera(image, rng) for image in photos.images)]
    y = np.concatenate([photos.target[left], photos.target])
    sample_domain = np.repeat([1, -2], [left.sum(), len(photos.images)])
    may_train = np.concatenate([np.ones(left.sum(), dtype=bool), left])
else:
    office = fetch_office_caltech10(domains=["amazon", "webcam"], data_home=data_home)
    images, y, sample_domain = list(office.X), office.y, office.sample_domain
    may_train = np.ones(len(y), dtype=bool)

figure, axes = plt.subplots(2, 6, figsize=(9, 3.2), layout="constrained")
for domain, row, name in zip([True, False], axes, ["source", "target"]):
    shown = np.flatnonzero((sample_domain > 0) == domain)
    for i, axis in zip(shown[np.linspace(0, len(shown) - 1, 6).astype(int)], row):
        axis.imshow(read_image(images[i]).resize((128, 128)))
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
plt.show()

# %%
# Features of both cameras
# ------------------------
# `sample_domain` has a positive number for rows of the source and a negative one for rows of the
# target. All methods below take the same rows.

X = Normalizer().fit_transform(DeCAFTransformer(verbose=False).fit_transform(images))

# %%
# Methods and splits
# ------------------
# All source rows, three labelled target rows a class, ten draws. A method that learns from
# unlabelled target rows gets only the labelled ones here.


def logistic():
    """The classifier inside the meta-estimators."""
    return LogisticRegression(C=10, max_iter=1000)


methods = {
    "source only": DomainSubsetClassifier(logistic(), train_on="source"),
    "target only": DomainSubsetClassifier(logistic(), train_on="target"),
    "both together": DomainSubsetClassifier(logistic(), train_on="both"),
    "feature augmentation": make_pipeline(FeatureAugmentation(), logistic()),
    "geodesic flow kernel": make_pipeline(GeodesicFlowKernel(), KNeighborsClassifier(1)),
    "max-margin transform": MMDTClassifier(),
}


def fit(method, rows):
    """Fit a method; in a pipeline the first step takes `sample_domain`."""
    if hasattr(method, "steps"):
        step = method.steps[0][0]
        return method.fit(X[rows], y[rows], **{f"{step}__sample_domain": sample_domain[rows]})
    return method.fit(X[rows], y[rows], sample_domain=sample_domain[rows])


candidates = np.flatnonzero(may_train)
test_set = np.flatnonzero(~may_train & (sample_domain < 0))
splitter = DomainShuffleSplit(None, 3, n_splits=10, random_state=0)
accuracies = {name: [] for name in methods}
for train, rest in splitter.split(
    candidates, y[candidates], sample_domain=sample_domain[candidates]
):
    train = candidates[train]
    test = test_set if len(test_set) else candidates[rest]
    for name, method in methods.items():
        predicted = fit(method, train).predict(X[test])
        accuracies[name].append(100 * np.mean(predicted == y[test]))

for name, values in accuracies.items():
    print(f"{name:24} {np.mean(values):5.1f} ± {np.std(values):.1f}")

# %%

figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
means = [np.mean(values) for values in accuracies.values()]
bars = axis.barh(list(methods), means, xerr=[np.std(v) for v in accuracies.values()], capsize=3)
axis.bar_label(bars, fmt="%.0f", label_type="center", color="white")
axis.set(xlabel="accuracy on the target camera in %", xlim=(0, 100))
axis.invert_yaxis()
plt.show()

# %%
# What the other camera costs, and what a few of its pictures are worth, is the difference between
# the first and the other bars. Which method is best depends on the task:
# :doc:`/domain_adaptation_results` has twelve pairs of real cameras and catalogues.
