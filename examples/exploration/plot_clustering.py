"""
==================================
Cluster photographs without labels
==================================

Photographs without labels fall into groups when the activations of a network are clustered. The
groups have no names, but the network was trained to name things and can suggest some:
:meth:`~sklearn_decaf.DeCAFTransformer.predict_labels`.

For your own photographs name a folder with one sub-folder per class (the classes are used only to
measure how well the groups match them)::

    SKLEARN_DECAF_PHOTOS=path/to/folder python plot_clustering.py
"""

# %%
# Cluster the rows
# ----------------
# k-means on rows of length 1, for as many groups as there are classes. The adjusted Rand index
# compares the groups with the true classes: 1 if they are the same, 0 if they are as good as drawn
# at random.

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import FunctionTransformer, normalize

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder, load_sample_photos
from sklearn_decaf.images import read_image

folder = os.environ.get("SKLEARN_DECAF_PHOTOS")
if folder is None:
    photos = load_sample_photos()
    images, y = photos.images, photos.target
else:
    images, y = load_image_folder(folder, return_X_y=True)
n_groups = len(np.unique(y))


def mean_colours(images):
    """The obvious alternative."""
    return np.array([np.asarray(read_image(image)).mean(axis=(0, 1)) for image in images])


for name, features in {
    "mean colour": FunctionTransformer(mean_colours),
    "network": DeCAFTransformer(layer=7),
}.items():
    X = normalize(features.fit_transform(images))
    groups = KMeans(n_groups, n_init=10, random_state=0).fit_predict(X)
    print(f"{name:12} adjusted Rand index {adjusted_rand_score(y, groups):.2f}")

# %%
# What is in the groups
# ---------------------
# Four photographs from each group, the ones nearest to its centre, and the class of ImageNet that
# the network finds most probable for the nearest. ImageNet has no astronauts or galaxies, so a
# name can be quite wrong for a group that is right.

centres = np.stack([X[groups == group].mean(axis=0) for group in range(n_groups)])
nearest = [
    np.flatnonzero(groups == group)[np.argsort(-(X[groups == group] @ centres[group]))][:4]
    for group in range(n_groups)
]
suggested = DeCAFTransformer().predict_labels([images[rows[0]] for rows in nearest], top=1)

columns = 2
figure = plt.figure(figsize=(8, 1.1 * -(-min(n_groups, 20) // columns)), layout="constrained")
cells = figure.subfigures(-(-min(n_groups, 20) // columns), columns, squeeze=False)
for group, cell in zip(range(n_groups), cells.flat):
    [(name, probability)] = suggested[group]
    name = name.split(",")[0]
    cell.suptitle(f"{np.sum(groups == group)} photographs: {name} ({probability:.0%})", fontsize=9)
    for axis in cell.subplots(1, 4, squeeze=False).flat:
        axis.set_axis_off()
    for i, axis in zip(nearest[group], cell.axes):
        axis.imshow(read_image(images[i]).resize((96, 96)))
plt.show()
