"""
========================================
Train the last layers of a known network
========================================

A network that knows a million photographs from ImageNet needs few of yours. Usually it stays as it
is, and only a linear classifier on its features learns. Here its last layers learn too, by
:class:`~sklearn_decaf.training.FineTunedClassifier`. The sample photographs are easy, so it wins
little here; :doc:`/howto/fine_tuning` says where it pays.
"""

# %%
# Fit
# ---
# The left half of each picture is for training, the right half for testing. The layers below the
# first that is trained run once for each photograph and its mirror image.

import matplotlib.pyplot as plt

from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.inspection import LearningCurveDisplay
from sklearn_decaf.training import FineTunedClassifier

train = load_sample_photos(subset="train")
test = load_sample_photos(subset="test")

scores = {}
for trainable in "head", "last:2":
    classifier = FineTunedClassifier(trainable, max_iter=4, random_state=0)
    classifier.fit(train.images, train.target)
    scores[trainable] = classifier.score(test.images, test.target)
    print(f"{trainable}: trains {', '.join(classifier.trained_layers_)}")
print({name: f"{100 * score:.1f} %" for name, score in scores.items()})

# %%
# Epoch 0
# -------
# The first score is that of the frozen network with the best of several logistic regressions. If no
# later one is better, that pipeline is the result: the circle shows which epoch was kept.

LearningCurveDisplay.from_estimator(classifier)
plt.show()

# %%
# Use
# ---
# The network that was trained is a transformer like any other: for features, for the displays, in a
# pipeline.

transformer = classifier.to_transformer()
print(transformer.transform(test.images[:3]).shape)
