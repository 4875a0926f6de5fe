"""
===========================================
Train a small network on handwritten digits
===========================================

:class:`~sklearn_decaf.training.ConvNetClassifier` trains a convolutional network from the
beginning, as scikit-learn's :class:`~sklearn.neural_network.MLPClassifier` trains a fully connected
one. The digits here have 8 x 8 pixels; a few seconds are enough.
"""

# %%
# Rows of numbers
# ---------------
# Data sets of scikit-learn hold an image as a row. ``image_shape`` tells how to read it.

# sphinx_gallery_multi_image = "single"
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_decaf.inspection import LearningCurveDisplay
from sklearn_decaf.training import ConvNetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

net = ConvNetClassifier(image_shape=(8, 8), max_iter=15, early_stopping=True, random_state=0)
net.fit(X_train, y_train)
mlp = make_pipeline(StandardScaler(), MLPClassifier(max_iter=300, random_state=0))
mlp.fit(X_train, y_train)
print(f"convolutional network: {100 * net.score(X_test, y_test):.1f} %")
print(f"fully connected network: {100 * mlp.score(X_test, y_test):.1f} %")

# %%
# What was trained: the default network has a few layers of 3 x 3 kernels, as many as fit the
# images.

for layer in net.weights_.architecture.layers:
    print(layer)

# %%
# How the training went
# ---------------------
# The loss of each step, its mean over each epoch, and the accuracy on the images that
# ``early_stopping`` held back. The learning rate rises for a while and then falls along a cosine.

LearningCurveDisplay.from_estimator(net)
plt.show()

# %%
# What it gets wrong
# ------------------

found = net.predict(X_test)
wrong = np.flatnonzero(found != y_test)[:8]
figure, axes = plt.subplots(1, 8, figsize=(8, 1.6), layout="constrained")
for ax in axes:
    ax.axis("off")
for ax, i in zip(axes, wrong):
    ax.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{y_test[i]} as {found[i]}", fontsize="small")
plt.show()
