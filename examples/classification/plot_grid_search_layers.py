"""
=================================================
Choose the layer and the classifier in one search
=================================================

Which layer suits a task, whether to drop activations and how much to regularise belong together:
late layers say more about the classes of ImageNet, earlier ones more about texture and colour, and
wide ones want more regularisation. All of them are parameters of one pipeline, so
:class:`~sklearn.model_selection.GridSearchCV` can choose them together, as Figure 4 of the DeCAF
paper does.
"""

# %%
# One pipeline, one grid
# ----------------------
# The crops of one half of a photograph overlap, so ordinary cross-validation would test on pixels
# it has trained on. :class:`~sklearn.model_selection.PredefinedSplit` trains on the left halves and
# validates on the right halves instead.

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos

photos = load_sample_photos()
halves = PredefinedSplit(np.where(photos.split == "train", -1, 0))

# %%
# The network is the slow part. With `cache` it sees each image once, and every candidate after the
# first finds the activations of all numbered layers in a folder.

grid = {
    "features__layer": [5, 6, 7],
    "features__dropout": [False, True],
    "classify__C": [1e-5, 1e-4, 1e-3, 1e-2],
}
with TemporaryDirectory() as folder:
    pipeline = Pipeline(
        [
            ("features", DeCAFTransformer(cache=folder, random_state=0)),
            ("classify", LogisticRegression(max_iter=1000)),
        ]
    )
    search = GridSearchCV(pipeline, grid, cv=halves, refit=False)
    search.fit(photos.images, photos.target)

results = pd.DataFrame(search.cv_results_)
columns = {"param_features__layer": "layer", "param_features__dropout": "dropout"}
results = results.rename(columns={**columns, "param_classify__C": "C"})
table = results.pivot(index=["layer", "dropout"], columns="C", values="mean_test_score")
print(f"accuracy on the right halves, in %:\n{(100 * table).round(1)}\n")
print(f"best: {search.best_params_}")

# %%
# What the grid shows
# -------------------
# One test image of the 112 is 0.9 %, so many of these differences are chance: all three layers
# serve this easy task. Harder ones tell them apart (:doc:`/howto/choose_layer`). Dropout was made
# for the fully connected layers 6 and 7 of AlexNet, for which ``dropout="auto"`` turns it on
# (:doc:`/dropout`).

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for (layer, dropout), scores in table.iterrows():
    axis.semilogx(
        scores.index.astype(float),
        100 * scores,
        color=f"C{layer - 5}",
        linestyle="--" if dropout else "-",
        marker="o",
        label=f"layer {layer}, {'with' if dropout else 'no'} dropout",
    )
axis.set(xlabel="C of logistic regression", ylabel="accuracy in %")
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# The best of 24 candidates, scored on the images that chose it, is a little too good to be true. A
# number to report needs images that no candidate has seen: an outer split around this search, as
# :func:`~sklearn.model_selection.cross_val_score` makes it.
