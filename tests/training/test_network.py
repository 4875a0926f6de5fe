"""The network that is trained: from a name, an architecture, layers, or nothing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sklearn_decaf.networks import Architecture, Preprocessing, get_architecture
from sklearn_decaf.networks.layers import Conv, Dense, ReLU, Softmax
from sklearn_decaf.networks.mean_image import MeanImage
from sklearn_decaf.training._network import build_network, dropout_by_layer

LAYERS = (Conv("a", filters=4, kernel_size=3), ReLU("b"), Dense("c", units=6), ReLU("d"))


def build(network, n=3, image_size=None, found_size=(8, 8)):
    return build_network(network, n, image_size=image_size, found_size=found_size)


@pytest.mark.parametrize(
    ("name", "output", "dropped"),
    [
        ("squeezenet1_1", "pool10", []),
        ("caffenet", "fc8", ["relu6", "relu7"]),
        ("efficientnet_lite0", "fc", []),
        ("mobilenet_v3_small", "classifier.3", ["classifier.1"]),
    ],
)
def test_a_known_network_gets_another_head(name, output, dropped):
    found = build(name, 7)
    assert found.output == output
    assert found.architecture.shapes()[output] == (7,)
    assert found.architecture.preprocessing == get_architecture(name).preprocessing
    assert dropout_by_layer(found, 0.5) == dict.fromkeys(dropped, 0.5)


def test_a_known_network_at_another_size():
    net = build("squeezenet1_1", image_size=(64, 96)).architecture
    assert net.input_shape == (64, 96, 3) and net.preprocessing.resize == 108
    image = MeanImage(np.zeros((256, 256, 3), np.float32))
    known = get_architecture("caffenet")
    known = replace(known, preprocessing=replace(known.preprocessing, mean_image=image))
    with pytest.raises(ValueError, match="mean image"):
        build(known, image_size=128)


def test_sizes_of_any_integer():
    """A search over ``np.arange`` passes integers of NumPy."""
    for size in (np.int64(48), (np.int32(48), 48), [48, 48]):
        assert build("squeezenet1_1", image_size=size).architecture.input_shape == (48, 48, 3)


@pytest.mark.parametrize("size", [0, -3, 4.0, True, (8,), (8, 0), (8, 8, 3), "8"])
def test_what_is_no_size_is_named(size):
    with pytest.raises(ValueError, match=f"image_size={re.escape(repr(size))}: it must be"):
        build(LAYERS, image_size=size)


def test_layers_get_a_head():
    found = build(LAYERS)
    net = found.architecture
    assert net.layer_names == ("a", "b", "c", "d", "scores") and found.output == "scores"
    assert net.input_shape == (8, 8, 3) and net.shapes()["scores"] == (3,)
    assert net.decaf_layers == {8: "scores", 7: "d", 6: "b"}
    assert dropout_by_layer(found, 0.25) == {"d": 0.25}
    assert dropout_by_layer(found, {"b": 0.5, "d": 0}) == {"b": 0.5}


@pytest.mark.parametrize(
    ("size", "pools"), [((8, 8), 1), ((28, 28), 2), ((32, 32), 3), ((5, 40), 0), ((1, 2), 0)]
)
def test_the_small_network_fits_the_images(size, pools):
    net = build(None, found_size=size).architecture
    assert sum(name.startswith("pool") for name in net.layer_names) == pools
    assert net.input_shape == (*size, 3) and net.shapes()["scores"] == (3,)
    if pools:
        assert min(net.shapes()[f"pool{pools + 1}"][:2]) in range(4, 8)


def test_an_architecture_keeps_a_head_that_fits():
    net = Architecture(
        "own", (*LAYERS, Dense("e", units=3), Softmax("f")), Preprocessing(crop=8), {}
    )
    found = build(net)
    assert found.architecture is net and found.output == "e"
    assert build(net, 5).architecture.shapes()["e"] == (5,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "resnet500"}, "resnet500"),
        ({"network": ["conv"]}, "'conv' is no layer"),
        ({"network": [Dense("scores", units=2)]}, "is for the head"),
        ({"network": None, "found_size": None}, "pass image_size="),
        ({"network": None, "image_size": (3, 0)}, "image_size="),
        (
            {"network": Architecture("own", LAYERS[:2], Preprocessing(crop=8), {})},
            r"has the shape \(6, 6, 3\).*Dense\(units=3\)",
        ),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_dropout_that_cannot_be_is_named():
    network = build(LAYERS)
    with pytest.raises(ValueError, match=r"'z', which is no layer of .*a, b, c, d"):
        dropout_by_layer(network, {"z": 0.5})
    with pytest.raises(ValueError, match=r"dropout\['d'\]=1.5"):
        dropout_by_layer(network, {"d": 1.5})
