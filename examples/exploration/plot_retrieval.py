"""
==============================
Search for similar photographs
==============================

Photographs of the same thing have similar activations, so the nearest neighbours of a photograph
are what a person would call similar: a search engine for images in three lines, with no label and
no training.

For your own collection name a folder with one sub-folder per class; the classes serve only to count
how many of the pictures found are right::

    SKLEARN_DECAF_PHOTOS=path/to/folder python plot_retrieval.py
"""

# %%
# The collection and the queries
# ------------------------------
# The collection has the crops of the left half of each sample photograph. The queries are crops of
# the right halves, so that no query shows a pixel of the collection.

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import FunctionTransformer

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder, load_sample_photos
from sklearn_decaf.images import read_image

folder = os.environ.get("SKLEARN_DECAF_PHOTOS")
if folder is None:
    collection = load_sample_photos(subset="train")
    queries = load_sample_photos(subset="test")
    names = collection.target_names
    collection, y = collection.images, collection.target
    queries, y_queries = queries.images, queries.target
else:
    photos = load_image_folder(folder)
    names = photos.target_names
    collection, queries, y, y_queries = train_test_split(
        photos.filenames, photos.target, test_size=0.2, random_state=0, stratify=photos.target
    )
print(f"{len(y)} pictures in the collection, {len(y_queries)} queries")

# %%
# Index and search
# ----------------
# The cosine between two rows measures which activations they share, however strong.


def mean_colours(images):
    """The obvious alternative."""
    return np.array([np.asarray(read_image(image)).mean(axis=(0, 1)) for image in images])


found = {}
for name, features in {
    "network": DeCAFTransformer(layer=7),
    "mean colour": FunctionTransformer(mean_colours),
}.items():
    index = NearestNeighbors(n_neighbors=5, metric="cosine")
    index.fit(features.fit_transform(collection))
    found[name] = index.kneighbors(features.transform(queries), return_distance=False)
    precision = np.mean(y[found[name]] == y_queries[:, np.newaxis])
    print(f"{name:12} {precision:.1%} of the five nearest show the same class as the query")

# %%
# Look at what was found
# ----------------------
# The query is on the left; the frame of a neighbour is green if its class is that of the query.

shown = np.linspace(0, len(queries) - 1, 6).astype(int)
figure, axes = plt.subplots(len(shown), 6, figsize=(8, 8.4), layout="constrained")
for i, row in zip(shown, axes):
    row[0].imshow(read_image(queries[i]).resize((128, 128)))
    row[0].set_ylabel(names[y_queries[i]])
    for j, axis in zip(found["network"][i], row[1:]):
        axis.imshow(read_image(collection[j]).resize((128, 128)))
        colour = "green" if y[j] == y_queries[i] else "red"
        for spine in axis.spines.values():
            spine.set(color=colour, linewidth=3)
    for axis in row:
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_title("query")
axes[0, 3].set_title("nearest in the collection")
plt.show()

# %%
# Ordinary nearest neighbours compare a query with every row: fast enough up to about a million
# pictures. Beyond that the same rows go into an approximate index.
