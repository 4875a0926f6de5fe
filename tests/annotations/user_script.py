"""Code as users write it, which has to pass ``mypy --strict`` against the installed package.

`.ci/run` checks it. Lines with ``type: ignore`` are mistakes that a type checker has to find: mypy
reports those that it does not.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from typing_extensions import assert_type

import sklearn_decaf
from sklearn_decaf import ActivationCache, ActivationDropout, BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.adaptation import FeatureAugmentation, MMDTClassifier, geodesic_flow_kernel
from sklearn_decaf.datasets import fetch_cub200, load_image_folder, load_sample_photos
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.images import find_unreadable, iter_batches, read_image
from sklearn_decaf.inspection import EmbeddingDisplay, layer_times
from sklearn_decaf.metrics import target_accuracy_score
from sklearn_decaf.model_selection import PerClassShuffleSplit
from sklearn_decaf.training import ConvNetClassifier, ConvNetRegressor, Mirror, RandomCrop

# images in all their forms
photos = load_sample_photos(subset="train")
images, target = load_sample_photos(return_X_y=True)
assert_type(target, np.ndarray)
paths = sorted(Path("photos").glob("*.jpg"))
transformer = DeCAFTransformer(layer=(5, "pool5"), cache=ActivationCache("cache"), n_jobs=2)
assert_type(transformer.transform(photos.images), np.ndarray)
transformer.transform(paths)
transformer.transform(["a.jpg", b"...", Image.new("RGB", (8, 8)), np.zeros((8, 8))])
transformer.transform(np.zeros((2, 8, 8, 3), np.uint8))
assert_type(transformer.predict_labels(paths, top=1), list[list[tuple[str, float]]])
DeCAFTransformer(6, "auto", weights=Path("model.safetensors"), image_shape=(32, 32, 3))
make_pipeline(transformer, LogisticRegression()).fit(paths, target)
ActivationDropout(0.5, random_state=0).fit_transform(np.ones((2, 3)))
GISTTransformer(channels="rgb").transform(paths)

try:
    assert_type(read_image("a.jpg", exif_transpose=False), Image.Image)
except ImageError as error:
    print(error)
for start, batch, failed in iter_batches(paths, on_error="nan"):
    assert_type(start, int)
    assert_type(batch, np.ndarray)
    assert_type(failed, list[tuple[int, str]])
assert_type(find_unreadable(paths), list[tuple[int, str]])
crops = BoundingBoxCropper().transform(paths, boxes=np.zeros((len(paths), 4)))
assert_type(crops[0], Image.Image)

# networks, without and with the names of their homes
weights = sklearn_decaf.networks.load("model.caffemodel", mean="mean.binaryproto")
assert_type(weights, sklearn_decaf.networks.Weights)
network = sklearn_decaf.networks.get_architecture("alexnet")
sklearn_decaf.networks.register(network, weights)
DeCAFTransformer(5, weights=weights, architecture=network, crop=(224, 320), resize_to=400)
assert_type(weights.architecture.name, str)
weights.parameters["conv1.kernel"].mean()
assert_type(len(layer_times("squeezenet1_1", layer=7)), int)
sklearn_decaf.show_versions()

# networks that learn
net = ConvNetClassifier(
    "resnet18",
    augmentation=(RandomCrop(), Mirror(0.5), "colour"),
    learning_rate="cosine",
    alpha={"conv1": 1e-3},
    checkpoint=Path("training"),
    random_state=0,
)
net.fit(paths, target, sample_weight=np.ones(len(target)))
net.partial_fit(photos.images, target, classes=[0, 1])
assert_type(net.predict_proba(paths), np.ndarray)
assert_type(net.weights_, sklearn_decaf.networks.Weights)
assert_type(net.to_transformer(layer=6, cache="cache"), DeCAFTransformer)
layers = [sklearn_decaf.networks.layers.Conv("conv", filters=8, kernel_size=3)]
ConvNetRegressor(layers, image_shape=(8, 8)).fit([[0.0] * 64], [1.0]).predict([[0.0] * 64])
ConvNetClassifier(solver="newton")  # type: ignore[arg-type]

# domain adaptation
domains = [1, 1, -2]
MMDTClassifier(max_iter=3).fit([[0.0], [1.0], [2.0]], [0, 1, 0], sample_domain=domains)
FeatureAugmentation().fit_transform(np.zeros((3, 1)), sample_domain=domains)
assert_type(
    geodesic_flow_kernel(np.eye(2), source_basis=np.eye(2)[:, :1], target_basis=np.eye(2)[:, :1]),
    np.ndarray,
)
assert_type(target_accuracy_score([0, 1], [1, 1], sample_domain=-1), float)
splits = PerClassShuffleSplit(5, random_state=np.random.RandomState(0)).split(paths, target)
assert_type(splits, Iterator[tuple[np.ndarray, np.ndarray]])
EmbeddingDisplay.from_features(np.zeros((3, 2)), target).figure_.savefig("embedding.png")
filenames, birds = fetch_cub200(version="2010", local="birds", return_X_y=True)
print(load_image_folder(Path("photos"), classes=["cat", "dog"]).target_names)

# mistakes
DeCAFTransformer(pooling="mean")  # type: ignore[arg-type]
DeCAFTransformer(crop="large")  # type: ignore[arg-type]
DeCAFTransformer(layers=6)  # type: ignore[call-arg]
DeCAFTransformer().transform(3)  # type: ignore[arg-type]
load_sample_photos(subset="validation")  # type: ignore[call-overload]
fetch_cub200(location="birds")  # type: ignore[call-overload]
sklearn_decaf.DeCAFTransformr  # type: ignore[attr-defined]  # noqa: B018
read_image(3.0)  # type: ignore[arg-type]
