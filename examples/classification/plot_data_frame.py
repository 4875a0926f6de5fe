"""
=================================================
Combine photographs with other columns of a table
=================================================

A photograph is often one column of a table: the goods of a shop with their weight, a plant with
the place where it grew. :class:`~sklearn.compose.ColumnTransformer` sends each column to a
transformer of its own, and one classifier learns from all of them.

The photographs are the sample photographs, reduced to thumbnails of 8 x 8 pixels in which little
can be recognised. The column `weight` is made up, drawn at random around a value for each class.
The example shows how to combine columns, not that weights help in general.
"""

# %%
# A table with a column of photographs
# ------------------------------------

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.images import read_image

photos = load_sample_photos()
rng = np.random.default_rng(0)
typical = rng.normal(size=len(photos.target_names))  # invented
thumbnails = [Image.fromarray(image).resize((8, 8)) for image in photos.images]
table = pd.DataFrame(
    {
        "photo": thumbnails,
        "weight": np.exp(typical[photos.target] + rng.normal(0, 0.25, len(photos.target))),
    }
)
train = photos.split == "train"
print(table.assign(label=photos.target_names[photos.target]).groupby("label").weight.median())

# %%
# One transformer for each column
# -------------------------------
# The photographs go two ways: into the network, and into a histogram of their colours, of which the
# network makes little. All parts come to a similar scale, here by scaling the network's rows to
# length 1: with the activations as they are, hundreds of large numbers, the classifier would hardly
# notice the others.


def colour_histograms(photo):
    """Share of pixels in each of 4 x 4 x 4 colours, one row a photograph."""
    pixels = [np.asarray(read_image(image)).reshape(-1, 3) // 64 for image in photo["photo"]]
    bins = np.array([16, 4, 1])
    return np.array([np.bincount(p @ bins, minlength=64) / len(p) for p in pixels])


parts = {
    "network": (make_pipeline(DeCAFTransformer(), Normalizer()), ["photo"]),
    "colours": (FunctionTransformer(colour_histograms), ["photo"]),
    "weight": (
        make_pipeline(
            FunctionTransformer(np.log, feature_names_out="one-to-one"), StandardScaler()
        ),
        ["weight"],
    ),
}


def classifier_of(*names):
    """A classifier that sees some of the parts."""
    columns = ColumnTransformer([(name, *parts[name]) for name in names])
    return make_pipeline(columns, LogisticRegression(C=10, max_iter=5000))


combinations = [("weight",), ("colours",), ("network",), ("network", "weight"), tuple(parts)]
scores = {}
for names in combinations:
    classifier = classifier_of(*names).fit(table[train], photos.target[train])
    scores[" + ".join(names)] = classifier.score(table[~train], photos.target[~train])
    print(f"{' + '.join(names):28} {scores[' + '.join(names)]:6.1%}")

# %%
# The estimators draw themselves; this is the last and largest:

classifier

# %%
# The names of the features lead back to the columns.

features = ColumnTransformer([("network", *parts["network"]), ("weight", *parts["weight"])])
features.set_output(transform="pandas")
print(features.fit_transform(table[:3]).iloc[:, [0, 1, -1]])

# %%

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
bars = axis.barh(list(scores), [100 * score for score in scores.values()])
axis.bar_label(bars, fmt="%.0f", padding=3)
axis.set(xlabel="accuracy on the right halves of the photographs in %", xlim=(0, 105))
axis.invert_yaxis()
plt.show()
