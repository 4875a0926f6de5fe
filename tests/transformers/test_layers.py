"""Layers by number and by name, poolings, ten crops and the classes of ImageNet."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf._kernels import KERNEL_SET
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import imagenet_classes, load_weights
from sklearn_decaf.networks.reference import forward


def centre(images, size, crop):
    """Warp and centre crop with Pillow, written out here."""
    offset = (size - crop) // 2
    box = (offset, offset, offset + crop, offset + crop)
    resized = (Image.fromarray(i).resize((size, size), Image.Resampling.BILINEAR) for i in images)
    return np.stack([np.asarray(image.crop(box)) for image in resized])


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("weights", ["efficientnet_lite0", "squeezenet1_1"])
def test_every_layer_is_within_1e_5_of_float64(photos, weights, exact):
    images = photos[0][:2]
    loaded = load_weights(weights)
    net = loaded.architecture
    pixels = centre(images, 256, net.preprocessing.crop)
    expected = forward(net, loaded.parameters, pixels, net.layer_names, np.float64)
    transformer = DeCAFTransformer(net.layer_names, weights=weights, pooling=None, exact=exact)
    got = transformer.transform(images)
    start = 0
    for name in net.layer_names:
        reference = expected[name].reshape(2, -1)
        block = got[:, start : start + reference.shape[1]]
        assert_allclose(block, reference, rtol=0, atol=1e-5 * abs(reference).max(), err_msg=name)
        start += reference.shape[1]
    assert start == got.shape[1]


@pytest.mark.parametrize(
    ("weights", "layer", "name", "width"),
    [
        ("efficientnet_lite0", 5, "block15", 192),
        ("efficientnet_lite0", 6, "block16", 320),
        ("efficientnet_lite0", 7, "head", 1280),
        ("efficientnet_lite0", 8, "fc", 1000),
        ("squeezenet1_1", 5, "fire8", 1024),
        ("squeezenet1_1", 6, "fire9", 1024),
        ("squeezenet1_1", 7, "relu10", 1000),
        ("squeezenet1_1", 8, "pool10", 1000),
    ],
)
def test_layers_by_number_and_by_name(photos, weights, layer, name, width):
    images = photos[0][:2]
    by_number = DeCAFTransformer(layer, weights=weights)
    by_name = DeCAFTransformer(name, weights=weights)
    rows = by_number.transform(images)
    assert rows.shape == (2, width)
    assert_array_equal(by_name.transform(images), rows)
    assert by_number._n_features_out == width  # known without fitting
    assert by_number.get_feature_names_out()[0].startswith(f"decaf{layer}_0000")
    assert by_name.get_feature_names_out()[0].startswith(f"{name}_0000")


def test_pooling(photos):
    images = photos[0][:2]
    parameters = {"weights": "squeezenet1_1", "layer": "fire9"}
    flat = DeCAFTransformer(pooling=None, **parameters).transform(images)
    maps = flat.reshape(2, 14, 14, 512)  # (n, h, w, c)
    average, largest = maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))
    for pooling, expected in {
        "avg": average,
        "max": largest,
        "avg+max": np.hstack([average, largest]),
        "auto": np.hstack([average, largest]),
    }.items():
        got = DeCAFTransformer(pooling=pooling, **parameters).transform(images)
        assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=pooling)


def test_a_tuple_of_layers_stands_side_by_side(photos):
    images = photos[0][:2]
    both = DeCAFTransformer((5, "fire9", 7), weights="squeezenet1_1")
    parts = [DeCAFTransformer(i, weights="squeezenet1_1").transform(images) for i in (5, 6, 7)]
    assert_array_equal(both.transform(images), np.hstack(parts))
    names = both.get_feature_names_out()
    assert names[0] == "decaf5_0000" and names[1024] == "fire9_0000" and names[-1] == "decaf7_0999"
    assert len(set(names)) == len(names) == 3048


def test_exact_rounds_less(photos):
    """Plain sums instead of Winograd's: nearer to float64 where there are kernels for both."""
    images = photos[0][:3]
    loaded = load_weights("squeezenet1_1")
    net = loaded.architecture
    pixels = centre(images, 256, net.preprocessing.crop)
    expected = forward(net, loaded.parameters, pixels, ["fire9"], np.float64)["fire9"]
    transformer = DeCAFTransformer("fire9", weights="squeezenet1_1", pooling=None)
    errors = [
        abs(transformer.set_params(exact=exact).transform(images) - expected.reshape(3, -1)).max()
        for exact in (False, True)
    ]
    assert errors[1] < 1.2e-6 * abs(expected).max()
    if KERNEL_SET is not None:
        assert errors[1] < errors[0]
    with pytest.raises(ValueError, match="'exact' parameter"):
        DeCAFTransformer(exact="very").transform(images)


def test_ten_crop_is_the_mean_over_ten_crops(photos):
    image = photos[0][0]
    resized = Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR)
    crops = []
    for x, y in [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]:
        crop = np.asarray(resized.crop((x, y, x + 224, y + 224)))
        crops += [crop, crop[:, ::-1]]
    single = DeCAFTransformer(7, resize=None).transform(crops)
    averaged = DeCAFTransformer(7, ten_crop=True).transform([image, image])
    assert_allclose(averaged, np.tile(single.mean(axis=0), (2, 1)), rtol=1e-5, atol=1e-6)


def test_classes_of_imagenet(photos):
    images = photos[0][:2]
    transformer = DeCAFTransformer("prob")
    probabilities = transformer.transform(images)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    labels = transformer.predict_labels(images, top=3)
    for row, best in zip(probabilities, labels):
        assert [name for name, _ in best] == [imagenet_classes()[i] for i in np.argsort(-row)[:3]]
        assert_allclose([p for _, p in best], np.sort(row)[::-1][:3])
    assert DeCAFTransformer().predict_labels(images, top=3) == labels
    names = transformer.get_feature_names_out()
    assert len(set(names)) == 1000 and names[0] == "prob_0000_tench"
    with pytest.raises(ValueError, match="top=0"):
        transformer.predict_labels(images, top=0)


def test_weights_without_the_last_layers(photos, shared_data):
    images = photos[0][:2]
    path = shared_data("weights/alexnet_torchvision_conv1-5.npz")
    rows = DeCAFTransformer(5, weights=path).transform(images)
    assert rows.shape == (2, 9216)
    assert DeCAFTransformer("relu3", weights=path, pooling="avg").transform(images).shape[1] == 384
    for layer in (6, 7, "prob"):
        with pytest.raises(WeightsError, match=r"(?s)fc6.*pool5"):
            DeCAFTransformer(layer, weights=path).fit(images)


def test_predict_labels_refuses_weights_that_changed(photos):
    transformer = DeCAFTransformer().fit(photos[0])
    transformer.weights_sha256_ = "0" * 64
    with pytest.raises(WeightsError, match="changed"):
        transformer.predict_labels(photos[0])
