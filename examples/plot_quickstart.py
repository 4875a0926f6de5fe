"""
=================================
Train a classifier of photographs
=================================

Train a classifier of photographs in a few seconds: :class:`~sklearn_decaf.DeCAFTransformer` turns
each photograph into the activations of a network that was trained on ImageNet and stays as it is,
and logistic regression learns the classes from them.

The photographs are the ones that come with the package, so nothing is downloaded. To use your own,
put them into a folder with one sub-folder per class and name the folder::

    python plot_quickstart.py path/to/folder
"""

# %%
# Load photographs
# ----------------
# The sample photographs come divided: the test images show other parts of the scenes than the
# training images. From a folder of your own, a quarter of each class is set aside for testing;
# files that cannot be read are named and left out.

import argparse
import textwrap
import time

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_image_folder, load_sample_photos
from sklearn_decaf.images import find_unreadable, read_image

parser = argparse.ArgumentParser(description="Train a classifier of photographs.")
parser.add_argument("folder", nargs="?", help="your photographs, one sub-folder per class")
parser.add_argument("--figure", default="quickstart.png", help="where to save the picture")
arguments = parser.parse_args()

if arguments.folder is None:
    photos = load_sample_photos()
    is_train = photos.split == "train"
    X_train, y_train = photos.images[is_train], photos.target[is_train]
    X_test, y_test = photos.images[~is_train], photos.target[~is_train]
else:
    try:
        photos = load_image_folder(arguments.folder)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    unreadable = find_unreadable(photos.filenames)
    for _, message in unreadable:
        print(f"left out: {message}")
    rows = [row for row, _ in unreadable]
    files, y = np.delete(photos.filenames, rows), np.delete(photos.target, rows)
    counts = np.bincount(y, minlength=len(photos.target_names))
    if len(counts) < 2 or counts.min() < 2:
        found = ", ".join(f"{name}: {n}" for name, n in zip(photos.target_names, counts))
        parser.error(f"at least two classes of two photographs each are needed; found {found}")
    X_train, X_test, y_train, y_test = train_test_split(
        files,
        y,
        stratify=y,
        test_size=max(len(counts), len(y) // 4),
        random_state=0,
    )

names = photos.target_names
print(f"{len(y_train)} photographs to learn {len(names)} classes from, {len(y_test)} to test on")

# %%
# Train and test
# --------------
# The pipeline takes arrays, paths or PIL images; it is an ordinary scikit-learn estimator.

start = time.perf_counter()
classifier = make_pipeline(DeCAFTransformer(), LogisticRegression())
classifier.fit(X_train, y_train)
predicted = classifier.predict(X_test)
seconds = time.perf_counter() - start

accuracy = np.mean(predicted == y_test)
guessing = DummyClassifier().fit(X_train, y_train).score(X_test, y_test)
rate = (len(y_train) + len(y_test)) / seconds
print(f"{accuracy:.1%} of the test photographs are classified correctly; guessing: {guessing:.1%}")
print(f"{seconds:.1f} s for everything, {rate:.0f} photographs a second")

shown = np.unique(np.linspace(0, len(y_test) - 1, 24).astype(int))  # evenly over the classes
for i in shown[::4]:
    verdict = "right" if predicted[i] == y_test[i] else f"wrong: {names[y_test[i]]}"
    print(f"  test photograph {i}: {names[predicted[i]]} ({verdict})")

# %%
# Look at the predictions
# -----------------------
# Every photograph carries its predicted class: green if that is right, else red, with the true
# class below it.

try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture, because Matplotlib is not installed")
else:
    columns = 8
    figure, axes = plt.subplots(
        -(-len(shown) // columns), columns, figsize=(12, 5.6), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for i, axis in zip(shown, axes.flat):
        axis.imshow(read_image(X_test[i]))
        title = textwrap.fill(names[predicted[i]], 15)
        if predicted[i] == y_test[i]:
            axis.set_title(title, color="green", fontsize=10)
        else:
            title += "\n" + textwrap.fill(f"(true: {names[y_test[i]]})", 15)
            axis.set_title(title, color="red", fontsize=10)
    figure.suptitle(f"{accuracy:.1%} of {len(y_test)} test photographs classified correctly")
    figure.savefig(arguments.figure, dpi=100)
    print(f"picture saved as {arguments.figure}")
