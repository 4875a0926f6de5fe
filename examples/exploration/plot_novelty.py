"""
===================================
Detect photographs of something new
===================================

A camera watches a production line, a meadow or a shelf, and should report what it has never seen.
There are only pictures of the usual scenes, so this is not classification: a model of the usual
pictures measures how unusual a new one is. Here the models are
:class:`~sklearn.neighbors.LocalOutlierFactor` and the Mahalanobis distance, on a network's
activations.
"""

# %%
# The usual and the rest
# ----------------------
# The usual are seven of the sample photographs, from an astronaut to a rocket. Learn from their
# left halves. Test on their right halves, which show other parts of the same scenes, mixed with
# pictures of the seven other classes, none of which the model has met.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import FunctionTransformer, normalize

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos

photos = load_sample_photos()
USUAL = ["astronaut", "cameraman", "cat", "coffee", "flower", "pagoda", "rocket"]
usual = np.isin(photos.target_names, USUAL)[photos.target]
train = usual & (photos.split == "train")
test = photos.split == "test"
is_new = ~usual[test]
print(f"{train.sum()} usual pictures to learn from; {test.sum()} to judge, {is_new.sum()} new ones")

# %%
# Two models of the usual
# -----------------------
# The distance to the mean under a regularised covariance (Mahalanobis), and the local outlier
# factor, which asks how lonely a row is among its neighbours. The mean colour shows what colour
# alone would do.


def mean_colours(images):
    """The obvious alternative."""
    return np.array([image.mean(axis=(0, 1)) for image in images])


scores = {}
for name, features in {
    "network": DeCAFTransformer(),
    "mean colour": FunctionTransformer(mean_colours),
}.items():
    X = normalize(features.fit_transform(photos.images))
    nearest = LocalOutlierFactor(n_neighbors=10, novelty=True).fit(X[train])
    scores[f"{name}, outlier factor"] = -nearest.score_samples(X[test])
    gaussian = LedoitWolf().fit(X[train])
    scores[f"{name}, covariance"] = gaussian.mahalanobis(X[test])

for name, score in scores.items():
    print(f"{name:30} area under the ROC curve {roc_auc_score(is_new, score):.3f}")

# %%
# How to choose the threshold
# ---------------------------
# The curve shows what a threshold does: the share of new pictures that are reported against the
# share of usual ones that are reported by mistake.

figure, axis = plt.subplots(figsize=(6, 6), layout="constrained")
for name, score in scores.items():
    RocCurveDisplay.from_predictions(is_new, score, name=name, ax=axis)
axis.set(xlabel="usual pictures reported", ylabel="new pictures reported")
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=1)
plt.show()

# %%
# The pictures at the threshold
# -----------------------------
# The most usual of the new pictures, and the most unusual of the usual ones: where it goes wrong
# first.

score = scores["network, covariance"]
rows = np.flatnonzero(test)
missed = rows[is_new][np.argsort(score[is_new])[:6]]
alarms = rows[~is_new][np.argsort(-score[~is_new])[:6]]
figure, axes = plt.subplots(2, 6, figsize=(8, 3.2), layout="constrained")
for chosen, row, label in zip([missed, alarms], axes, ["new, but usual", "usual, but new"]):
    for i, axis in zip(chosen, row):
        axis.imshow(photos.images[i])
        axis.set(xticks=[], yticks=[], xlabel=photos.target_names[photos.target[i]])
    row[0].set_ylabel(label)
plt.show()
