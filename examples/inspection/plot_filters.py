"""
================================================
Draw filters, activation maps and occlusion maps
================================================

Three displays look into a network: the filters of its first layer, the maps of these filters and
of later layers for one photograph, and the parts of the photograph that a classifier's decision
depends on.
"""

# %%
# The filters of the first layer
# ------------------------------
# Each of the 32 filters is a window of 3 x 3 pixels; one that is coloured looks for that colour,
# one with a dark and a light side for an edge. In AlexNet, whose windows have 11 x 11 pixels,
# they are the stripes and blobs that pictures of such filters are known for.

# sphinx_gallery_multi_image = "single"
import matplotlib.pyplot as plt
from skimage import data
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.inspection import ActivationDisplay, FilterDisplay, OcclusionDisplay

display = FilterDisplay.from_estimator(DeCAFTransformer())
display.figure_.set_size_inches(6, 3.4)
plt.show()

# %%
# One photograph, layer by layer
# ------------------------------
# Bright is a strong activation. Early maps are edge drawings of the photograph; late ones are
# coarse and respond to things, wherever they are.

flower = load_sample_image("flower.jpg")
for layer in "stem", "block3", "block11":
    ActivationDisplay.from_estimator(DeCAFTransformer(), flower, layer=layer)
plt.show()

# %%
# Which part of the photograph decides
# ------------------------------------
# A classifier learns from crops of the left halves of photographs. Then a grey square moves
# over the whole photograph, and the map shows how much the score of its class falls (red) or rises
# (blue) where the square hides something.

photos = load_sample_photos()
train = photos.split == "train"
classifier = make_pipeline(DeCAFTransformer(), LogisticRegression(max_iter=1000))
classifier.fit(photos.images[train], photos.target_names[photos.target[train]])

figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained")
for name, (above, below) in zip(["chelsea", "coffee", "rocket"], axes.T):
    photograph = getattr(data, name)()
    [predicted] = classifier.predict([photograph])
    above.imshow(photograph)
    above.set(title=f"taken for: {predicted}", xticks=[], yticks=[])
    OcclusionDisplay.from_estimator(
        classifier, photograph, stride=0.1, response_method="decision_function", ax=below
    )
plt.show()

# %%
# The classifier knows crops of fur, wood and sky, and that is what its decisions rest on. A map of
# this kind is a good way to find out that a classifier has learnt something else than one thinks.
