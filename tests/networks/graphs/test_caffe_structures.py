"""Caffemodels and DeCAF pickles of networks that nobody knows, as their layers describe them."""

import numpy as np
import pytest
from oracles import caffe_network, decaf_writer, protobuf_writer, random_graphs
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture, load, reference
from sklearn_decaf.networks.formats import caffemodel
from sklearn_decaf.networks.graphs import read_structure
from sklearn_decaf.networks.layers import (
    ELU,
    LRN,
    AveragePool,
    BatchNorm,
    Conv,
    GlobalAveragePool,
    LeakyReLU,
    MaxPool,
    Multiply,
    PReLU,
    Scale,
    Softmax,
)

RNG = np.random.default_rng(1)
BLOB, LAYER = protobuf_writer.blob, protobuf_writer.layer


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32) / 3


def structure_of(*layers, side=9):
    content = protobuf_writer.field(1, "net")
    for size in (1, 3, side, side):
        content += protobuf_writer.field(4, size)
    content += b"".join(layers)
    return read_structure(caffemodel.read(memoryview(content)), "net")


def conv(name, bottom, kernel, **options):
    numbers = {1: len(kernel), 4: kernel.shape[-1], 2: 0}
    numbers |= {int(key[1:]): value for key, value in options.items()}
    return LAYER(name, "Convolution", [bottom], [name], [BLOB(kernel)], {"convolution": numbers})


def outputs(found, side=9):
    images = RNG.integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    names = found.architecture.layer_names
    p = found.architecture.preprocessing
    x = (images[..., ::-1] - np.array(p.mean)) / np.array(p.std)
    values = reference.forward(found.architecture, found.parameters, images, names, np.float64)
    return x, values


def test_batch_normalisation_is_over_the_pictures_seen():
    """Mean and variance are sums, divided by the third blob; scale and shift are the next layer."""
    kernel, scale, shift = drawn(4, 3, 1, 1), drawn(4), drawn(4)
    mean, variance = drawn(4), RNG.uniform(1, 2, 4).astype(np.float32)
    count = np.array([5], np.float32)
    statistics = [BLOB(mean * 5), BLOB(variance * 5), BLOB(count)]
    options = {"batch_norm": {3: 0.01}}
    found = structure_of(
        conv("conv", "data", kernel),
        LAYER("bn", "BatchNorm", ["conv"], ["conv"], statistics, options),
        LAYER("scale", "Scale", ["conv"], ["conv"], [BLOB(scale), BLOB(shift)], {"scale": {4: 1}}),
    )
    assert [type(layer) for layer in found.architecture.layers] == [Conv, BatchNorm, Scale]
    x, values = outputs(found)
    expected = np.einsum("nhwc,fc->nhwf", x, kernel[:, :, 0, 0].astype(np.float64))
    expected = (expected - mean) / np.sqrt(variance + 0.01) * scale + shift
    np.testing.assert_allclose(values["scale"], expected, atol=1e-5 * np.abs(expected).max())


def test_poolings():
    """The last window may stick out; averages count the border, as Caffe does."""

    def pool(name, bottom, **numbers):
        own = {int(key[1:]): value for key, value in numbers.items()}
        return LAYER(name, "Pooling", [bottom], [name], [], {"pooling": own})

    found = structure_of(
        conv("conv", "data", drawn(4, 3, 1, 1)),
        pool("max", "conv", n2=2, n3=2),
        pool("average", "max", n1=1, n2=3, n3=2, n4=1),
        pool("whole", "average", n1=1, n12=1),
    )
    net = found.architecture
    assert [type(layer) for layer in net.layers[1:]] == [MaxPool, AveragePool, GlobalAveragePool]
    assert net.shapes() == {
        "conv": (9, 9, 4),
        "max": (5, 5, 4),
        "average": (3, 3, 4),
        "whole": (4,),
    }
    _, values = outputs(found)
    corner = values["max"][:, :2, :2].sum(axis=(1, 2)) / 9
    np.testing.assert_allclose(values["average"][:, 0, 0], corner)


def test_other_types():
    slope, gate = drawn(4), drawn(4, 3)
    found = structure_of(
        conv("conv", "data", drawn(4, 3, 3, 3), n3=1, n18=2),
        LAYER("prelu", "PReLU", ["conv"], ["conv"], [BLOB(slope)]),
        LAYER("elu", "ELU", ["conv"], ["e"], [], {"elu": {1: 0.5}}),
        LAYER("leaky", "ReLU", ["conv"], ["l"], [], {"relu": {1: 0.1}}),
        LAYER("sum", "Eltwise", ["e", "l", "conv"], ["s"], [], {"eltwise": {1: 1}}),
        LAYER("norm", "LRN", ["s"], ["n"], [], {"lrn": {1: 3, 2: 0.1}}),
        LAYER("mean", "Pooling", ["n"], ["m"], [], {"pooling": {1: 1, 12: 1}}),
        LAYER("fc", "InnerProduct", ["m"], ["fc"], [BLOB(gate.T)], {"inner_product": {1: 3, 2: 0}}),
        LAYER("gate", "Sigmoid", ["fc"], ["fc"], []),
        LAYER("back", "InnerProduct", ["fc"], ["b"], [BLOB(gate)], {"inner_product": {1: 4, 2: 0}}),
        LAYER("gated", "Scale", ["n", "b"], ["g"], [], {"scale": {1: 0}}),
        LAYER("drop", "Dropout", ["g"], ["g"], []),
        LAYER("loss", "SoftmaxWithLoss", ["g", "label"], ["loss"], []),
    )
    kinds = {type(layer) for layer in found.architecture.layers}
    assert kinds >= {PReLU, ELU, LeakyReLU, LRN, Multiply, Softmax}
    assert found.architecture["conv"].dilation == 2
    _, values = outputs(found)
    np.testing.assert_allclose(values["sum_1"], values["elu"] + values["leaky"] + values["prelu"])


def test_what_the_file_says_of_its_pictures():
    found = structure_of(conv("conv", "data", drawn(4, 3, 1, 1)))
    assert found.architecture.preprocessing.channel_order == "bgr"
    assert "less ImageNet's mean, is assumed" in found.evidence and found.certainty == "likely"
    content = random_graphs.good_caffe_layers()
    found = read_structure(caffemodel.read(memoryview(content)), "net")
    assert found.architecture.input_shape == (9, 9, 3) and found.certainty == "certain"
    assert found.architecture.preprocessing.mean == (104.0,) * 3
    assert found.architecture.preprocessing.std == (2.0,) * 3


REFUSED = {
    "unknown": (
        LAYER("up", "Deconvolution", ["conv"], ["up"]),
        "layer 'up' of type 'Deconvolution': there is no layer for this type",
    ),
    "nowhere": (
        LAYER("x", "ReLU", ["y"], ["x"]),
        "'x' .* reads 'y', which no layer before it writes",
    ),
    "no numbers": (LAYER("x", "PReLU", ["conv"], ["x"]), "it has 0 blobs of numbers"),
    "a maximum of maps": (
        LAYER("x", "Eltwise", ["conv", "conv"], ["x"], [], {"eltwise": {1: 2}}),
        "neither a plain sum nor a product",
    ),
    "another axis": (
        LAYER("x", "Concat", ["conv", "conv"], ["x"], [], {"concat": {2: 2}}),
        "another axis",
    ),
    "at random": (
        LAYER("x", "Pooling", ["conv"], ["x"], [], {"pooling": {1: 2, 2: 2}}),
        "pooling at random",
    ),
    "a huge window": (
        LAYER("x", "Pooling", ["conv"], ["x"], [], {"pooling": {2: 2**40}}),
        "a window of",
    ),
    "other channels": (
        LAYER("x", "PReLU", ["conv"], ["x"], [BLOB(drawn(5))]),
        r"its slope has shape \(5,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    layer, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message):
        structure_of(conv("conv", "data", drawn(4, 3, 1, 1)), layer)


def test_a_file_of_parameters_alone_says_that_it_has_no_layers(weight_file):
    """Those of the prototxt are not in it."""
    content = protobuf_writer.caffemodel({"a": ("Convolution", [drawn(4, 3, 1, 1), drawn(4)])})
    with pytest.raises(WeightsError, match="it is in a prototxt, which is not read"):
        load(weight_file(content))


def test_a_whole_caffemodel_of_another_network(weight_file):
    """CaffeNet with another activation."""
    net = get_architecture("caffenet")
    parameters = he_parameters(net)
    changes = {"relu1": {"relu": {1: 0.25}}}
    content = caffe_network.caffemodel(net, parameters, "Other", options=changes, data={3: 227})
    weights = load(weight_file(content))
    assert weights.architecture.name == "weights" and "as the file says" in weights.evidence
    assert weights.architecture["relu1"].slope == 0.25
    assert weights.architecture.decaf_layers == net.decaf_layers
    assert weights.architecture.input_shape == net.input_shape
    images = random_images(net, 1)
    layers = ("conv1", "fc8")
    expected = reference.forward(net, parameters, images, layers, np.float32)
    found = reference.forward(weights.architecture, weights.parameters, images, layers, np.float32)
    assert np.abs(found["conv1"] - expected["conv1"]).max() < 1e-3 * np.abs(expected["conv1"]).max()
    assert not np.allclose(found["fc8"], expected["fc8"])


@pytest.mark.parametrize(
    "changes",
    [{"pool1": {"pool": "avg"}}, {"conv2": {"inputs": [4]}}, {"pool1": {"start": -1}}],
    ids=["averages", "a layer left out", "a window that starts outside"],
)
def test_decaf_pickles_of_other_networks(changes, weight_file):
    net = get_architecture("decaf")
    names = ("conv1", "conv2")
    parameters = {
        key: array for key, array in he_parameters(net).items() if key.split(".")[0] in names
    }
    content = decaf_writer.dumps(decaf_writer.network(parameters, changes))
    weights = load(weight_file(content))
    assert "as the file says" in weights.evidence
    assert weights.architecture.preprocessing == net.preprocessing
    layers = weights.architecture.layer_names
    assert "pool2" in layers and weights.architecture["conv2"].filters == 256
