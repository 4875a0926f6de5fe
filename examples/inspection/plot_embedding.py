"""
=================================================
Compare layers and hand-made descriptors by t-SNE
=================================================

Figures 1 and 2 of the DeCAF paper draw photographs as points in the plane, near each other if
their features are: with features of the network's sixth layer things of one kind gather, with
those of the first layer, GIST or LLC they mix. A drawing by :term:`t-SNE` can flatter, so each one
here carries a number that does not depend on it: how often the nearest neighbours of a photograph,
in all dimensions, are of its kind.

To draw your own photographs (500 of them, drawn at random) name a folder with one sub-folder per
class::

    SKLEARN_DECAF_PHOTOS=path/to/folder python plot_embedding.py
"""

# %%
# Photographs and groups of classes
# ---------------------------------
# The paper colours its points by super-category: all dogs, all vehicles. The 14 sample photographs
# fall into groups too, though crops of a single photograph resemble each other far more than two
# photographs of dogs do: these drawings look better than those of a real collection.

import os

import matplotlib.pyplot as plt

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder, load_sample_photos
from sklearn_decaf.descriptors import GISTTransformer, LLCTransformer
from sklearn_decaf.inspection import EmbeddingDisplay

GROUPS = {
    "person": ["astronaut", "cameraman"],
    "surface": ["brick", "grass", "gravel"],
    "thing": ["coffee", "coins", "rocket"],
    "nature": ["cat", "flower"],
    "building": ["pagoda"],
    "through an instrument": ["galaxies", "retina", "tissue"],
}

folder = os.environ.get("SKLEARN_DECAF_PHOTOS")
if folder is None:
    photos = load_sample_photos(subset="test")
    images, hierarchy = photos.images, {c: g for g, classes in GROUPS.items() for c in classes}
    train_images = load_sample_photos(subset="train").images
else:
    photos = load_image_folder(folder, shuffle=True)
    photos.filenames, photos.target = photos.filenames[:500], photos.target[:500]
    images, hierarchy = photos.filenames, None
    train_images = images[::4]
labels = photos.target_names[photos.target]

# %%
# Four descriptions of the same photographs
# -----------------------------------------
# LLC learns its codebook from other images than those drawn.

features = {
    "layer 6": DeCAFTransformer().transform(images),
    "first layer": DeCAFTransformer(layer="stem", pooling="avg+max").transform(images),
    "GIST": GISTTransformer().fit(train_images).transform(images),
    "LLC": LLCTransformer(n_codewords=256, random_state=0).fit(train_images).transform(images),
}
figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
for (name, X), axis in zip(features.items(), axes.flat):
    display = EmbeddingDisplay.from_features(
        X, labels, hierarchy=hierarchy, random_state=0, ax=axis, legend=axis is axes[0, 1]
    )
    axis.set_title(f"{name}, {X.shape[1]} features")
    quality = ", ".join(f"{key} {value:.2f}" for key, value in display.quality.items())
    print(f"{name:12} {quality}")
plt.show()

# %%
# The photographs themselves
# --------------------------
# As in Figure 5 of the paper, thumbnails instead of points show what lies where.

figure, axis = plt.subplots(figsize=(8, 8), layout="constrained")
EmbeddingDisplay.from_features(features["layer 6"], images=images, random_state=0, ax=axis)
plt.show()
