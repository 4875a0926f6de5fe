"""Graphs in the words of several exporters, against ONNX's evaluator; and what is refused."""

import numpy as np
import pytest
from oracles.onnx_models import model as small_model
from oracles.onnx_models import node as small_node
from oracles.onnx_models import tensor
from oracles.programs import oracle

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import Preprocessing, reference
from sklearn_decaf.networks.formats import onnx as onnx_format
from sklearn_decaf.networks.graphs import read_structure
from sklearn_decaf.networks.layers import (
    ELU,
    GELU,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    PReLU,
    ReLU,
    Scale,
    Sigmoid,
    SiLU,
    Tanh,
)

onnx_reference = oracle("onnx.reference", "onnx is not installed")
helper = oracle("onnx.helper", "onnx is not installed")
numpy_helper = oracle("onnx.numpy_helper", "onnx is not installed")
RNG = np.random.default_rng(3)
SIDE = 11


class Graph:
    """A graph that is written node by node; each method returns the name of an output."""

    def __init__(self, order="nchw", batch="n", side=SIDE):
        sizes = {"n": batch, "c": 3, "h": side, "w": side}
        self.shape = [sizes[letter] for letter in order]
        self.nodes, self.tensors = [], []

    def constant(self, values, dtype=np.float32):
        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def drawn(self, *shape):
        return self.constant(RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1))

    def integers(self, *values):
        return self.constant(values, np.int64)

    def add(self, kind, *inputs, n=1, **attributes):
        outputs = [f"{kind}{len(self.nodes)}_{i}" for i in range(n)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs[0] if n == 1 else outputs

    def conv(self, x, filters, channels, k=1, bias=True, **options):
        inputs = [x, self.drawn(filters, channels, k, k)] + ([self.drawn(filters)] if bias else [])
        return self.add("Conv", *inputs, **options)

    def model(self, *outputs, opset=17):
        values = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
        inputs = [helper.make_tensor_value_info("x", 1, self.shape)]
        graph = helper.make_graph(self.nodes, "graph", inputs, values, self.tensors)
        version = helper.make_opsetid("", opset)
        return helper.make_model(graph, opset_imports=[version], ir_version=8)


def structure_of(model, **options):
    contents = onnx_format.read(memoryview(model.SerializeToString()))
    return read_structure(contents, "network", **options)


def agrees(g, y, *, opset=17, tolerance=1e-5):
    """The network of a graph, whose output was compared."""
    model = g.model(y, opset=opset)
    found = structure_of(model)
    net = found.architecture
    images = RNG.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    p = net.preprocessing
    x = (images - np.array(p.mean)) / np.array(p.std)
    if found.certainty == "certain":  # the graph does that itself
        x = images / (255 if "0 to 1" in found.evidence else 1)
    order = [None, *g.shape].index(3)
    x = (x.transpose(0, 3, 1, 2) if order == 2 else x).astype(np.float32)
    (expected,) = onnx_reference.ReferenceEvaluator(model).run(None, {"x": x})
    last = net.layers[-1].name
    got = reference.forward(net, found.parameters, images, [last], np.float64)[last]
    if expected.ndim == 4 and expected.shape != got.shape:
        expected = expected.transpose(0, 2, 3, 1)
    expected = expected.reshape(got.shape)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    return net


def kinds(net):
    return [type(layer) for layer in net.layers]


# -- exporters --


def test_keras_by_tf2onnx():
    """Channels last outside, transposed around runs of layers; biases are added; SAME padding."""
    g = Graph("nhwc")
    x = g.add("Sub", g.add("Div", "x", g.constant(127.5)), g.constant([1.0]))
    x = g.add("Transpose", x, perm=[0, 3, 1, 2])
    x = g.conv(x, 8, 3, 3, False, strides=[2, 2], auto_pad="SAME_UPPER")
    x = g.add("Transpose", x, perm=[0, 2, 3, 1])
    x = g.add("Add", x, g.drawn(8))
    x = g.add("Mul", x, g.drawn(1, 1, 1, 8))
    x = g.add("Clip", x, g.constant(0.0), g.constant(6.0))
    pads = g.integers(0, 0, 0, 0, 0, 1, 1, 0)
    x = g.add("Transpose", g.add("Pad", x, pads), perm=[0, 3, 1, 2])
    x = g.conv(x, 8, 1, 3, group=8, strides=[2, 2])
    gate = g.add("ReduceMean", x, axes=[2, 3], keepdims=1)
    gate = g.add("Relu", g.conv(gate, 2, 8))
    x = g.add("Mul", x, g.add("Sigmoid", g.conv(gate, 8, 2)))
    x = g.add("Transpose", x, perm=[0, 2, 3, 1])
    x = g.add("Reshape", x, g.integers(-1, 8 * 3 * 3))
    x = g.add("Add", g.add("MatMul", x, g.drawn(72, 5)), g.drawn(5))
    net = agrees(g, g.add("Softmax", x, axis=-1))
    assert net.preprocessing.mean == (127.5,) * 3 == net.preprocessing.std
    assert [type(net[name]).__name__ for name in net.decaf_layers.values()][-1] == "Dense"
    assert net.pooling is None


def test_mxnet():
    """Batch normalisation first and on its own, Flatten, Dropout, Gemm."""
    g = Graph(batch=1)
    x = g.add("BatchNormalization", "x", *(g.constant(np.ones(3)) for _ in range(4)), epsilon=2e-5)
    x = g.conv(x, 6, 3, 3, pads=[1] * 4)
    mean, var = g.drawn(6), g.constant(RNG.uniform(1, 2, 6))
    x = g.add("BatchNormalization", x, g.drawn(6), g.drawn(6), mean, var, epsilon=1e-3)
    x = g.add("LeakyRelu", x, alpha=0.25)
    x = g.add("PRelu", x, g.drawn(6, 1, 1))
    x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = g.add("Flatten", g.add("Dropout", g.add("GlobalAveragePool", x)))
    net = agrees(g, g.add("Gemm", x, g.drawn(4, 6), g.drawn(4), transB=1, alpha=2.0, beta=0.5))
    assert kinds(net)[:5] == [BatchNorm, Conv, BatchNorm, LeakyReLU, PReLU]


def test_shapes_that_torch_computes():
    """``x.view(x.size(0), -1)``, by Shape, Gather, Unsqueeze and Concat."""
    g = Graph()
    x = g.add("Relu", g.conv("x", 4, 3, 3, strides=[3, 3]))
    n = g.add("Gather", g.add("Shape", x), g.constant(0, np.int64), axis=0)
    n = g.add("Unsqueeze", n, g.integers(0))
    minus = g.add("Constant", value=numpy_helper.from_array(np.array([-1], np.int64)))
    x = g.add("Reshape", x, g.add("Concat", n, minus, axis=0))
    agrees(g, g.add("Gemm", x, g.drawn(36, 3)))


def test_shuffled_by_a_shape_that_is_computed():
    g = Graph()
    x = g.conv("x", 6, 3)
    sides = [g.add("Gather", g.add("Shape", x), g.integers(i), axis=0) for i in (0, 2, 3)]
    to = g.add("Concat", sides[0], g.integers(2, 3), *sides[1:], axis=0)
    x = g.add("Transpose", g.add("Reshape", x, to), perm=[0, 2, 1, 3, 4])
    back = g.add("Concat", sides[0], g.integers(-1), *sides[1:], axis=0)
    x = g.add("Reshape", x, back)
    halves = g.add("Split", x, n=2, axis=1)
    net = agrees(g, g.add("Concat", *halves[::-1], axis=1))
    assert kinds(net).count(ChannelShuffle) == 1


def test_shuffled_at_the_end():
    """Nothing reads the shuffled channels; they are the output all the same."""
    g = Graph()
    x = g.add("Reshape", g.conv("x", 6, 3), g.integers(0, 2, 3, 11, 11))
    x = g.add("Transpose", x, perm=[0, 2, 1, 3, 4])
    net = agrees(g, g.add("Reshape", x, g.integers(0, 6, 11, 11)))
    assert kinds(net) == [Conv, ChannelShuffle]


def test_parameters_through_nodes():
    g = Graph()
    kernel = g.add("Identity", g.drawn(3, 3, 3, 5))
    kernel = g.add("Transpose", g.add("Mul", kernel, g.constant(0.5)), perm=[3, 2, 0, 1])
    x = g.add("Conv", "x", kernel, g.add("Constant", value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]))
    agrees(g, g.add("Cast", x, to=1))


@pytest.mark.parametrize("what", ["0 to 255", "0 to 1"])
def test_pictures_that_the_graph_scales(what):
    g = Graph()
    mean, std = np.array([0.4, 0.45, 0.5]), np.array([0.2, 0.22, 0.25])
    factor = 255 if what == "0 to 255" else 1
    x = g.add("Sub", "x", g.constant((mean * factor).reshape(3, 1, 1)))
    x = g.add("Div", x, g.constant((std * factor).reshape(1, 3, 1, 1)))
    net = agrees(g, g.conv(x, 4, 3), tolerance=1e-4)
    np.testing.assert_allclose(net.preprocessing.mean, mean * 255, atol=1e-3)
    np.testing.assert_allclose(net.preprocessing.std, std * 255, atol=1e-3)
    assert kinds(net) == [Conv]


def test_channels_in_another_order():
    g = Graph()
    bgr = g.add("Gather", "x", g.integers(2, 1, 0), axis=1)
    agrees(g, g.conv(bgr, 4, 3))
    g = Graph()
    one = g.add("Slice", "x", g.integers(-1), g.integers(-9), g.integers(1), g.integers(-1))
    agrees(g, g.conv(one, 4, 3))


# -- windows --


@pytest.mark.parametrize(
    "options",
    [
        {"k": 3, "auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"k": 3, "auto_pad": "VALID"},
        {"k": 3, "dilations": [2, 1], "pads": [2, 1, 0, 3]},
        {"k": 2, "pads": [0, 1, 2, 3], "strides": [1, 3]},
    ],
)
def test_convolutions(options):
    g = Graph()
    agrees(g, g.conv("x", 4, 3, **options))


@pytest.mark.parametrize("after_relu", [True, False])
def test_zeros_before_a_maximum(after_relu):
    """They are its border where nothing is negative, and a layer of their own otherwise."""
    g = Graph()
    x = g.conv("x", 4, 3)
    x = g.add("Relu", x) if after_relu else x
    x = g.add("Pad", x, g.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net = agrees(g, g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2]))
    assert (kinds(net).count(Conv), kinds(net)[-1]) == (1 if after_relu else 2, MaxPool)


def test_averages():
    g = Graph()
    x = g.add("AveragePool", g.conv("x", 4, 3), kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    x = g.add(
        "AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1], count_include_pad=1
    )
    x = g.add("AveragePool", x, kernel_shape=[6, 6])
    net = agrees(g, g.add("Squeeze", x, g.integers(2, 3)))
    assert kinds(net) == [Conv, AveragePool, AveragePool, GlobalAveragePool]
    assert [layer.count_padding for layer in net.layers[1:3]] == [False, True]


# -- functions in several nodes --


def activation(kind):
    """How an activation is written, and the layer that it is."""

    def write(words):
        def build(g, x):
            return words(g, x, lambda value: g.constant(np.float32(value)))

        return kind, build

    return write


WAYS = {
    "clip": activation(ReLU)(lambda g, x, c: g.add("Clip", x, c(0), c(6))),
    "minimum": activation(ReLU)(lambda g, x, c: g.add("Min", g.add("Relu", x), c(6))),
    "swish": activation(SiLU)(lambda g, x, c: g.add("Mul", g.add("Sigmoid", x), x)),
    "sigmoid by exp": activation(Sigmoid)(
        lambda g, x, c: g.add("Div", c(1), g.add("Add", c(1), g.add("Exp", g.add("Neg", x))))
    ),
    "hard swish": activation(HardSwish)(
        lambda g, x, c: g.add(
            "Div", g.add("Mul", x, g.add("Clip", g.add("Add", x, c(3)), c(0), c(6))), c(6)
        )
    ),
    "hard sigmoid times x": activation(HardSwish)(
        lambda g, x, c: g.add("Mul", x, g.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    ),
    "hard sigmoid": activation(HardSigmoid)(lambda g, x, c: g.add("HardSigmoid", x)),
    "gelu": activation(GELU)(
        lambda g, x, c: g.add(
            "Mul",
            g.add("Mul", x, g.add("Add", g.add("Erf", g.add("Div", x, c(2**0.5))), c(1))),
            c(0.5),
        )
    ),
    "leaky by a maximum": activation(LeakyReLU)(
        lambda g, x, c: g.add("Max", x, g.add("Mul", x, c(0.2)))
    ),
    "elu": activation(ELU)(lambda g, x, c: g.add("Elu", x, alpha=0.5)),
    "tanh": activation(Tanh)(lambda g, x, c: g.add("Tanh", x)),
    "a scale": activation(Scale)(lambda g, x, c: g.add("Add", g.add("Mul", x, c(2)), c(1))),
}


@pytest.mark.parametrize("way", WAYS)
def test_activations(way):
    kind, build = WAYS[way]
    g = Graph()
    net = agrees(g, build(g, g.conv("x", 4, 3)), tolerance=2e-5)
    assert kinds(net) == [Conv, kind]


COMPOSED = {
    "bounds": lambda g, x: g.add("Clip", x, g.constant(-0.5), g.constant(0.7)),
    "selu": lambda g, x: g.add("Selu", x),
    "a gate with another slope": lambda g, x: g.add(
        "Mul", x, g.add("Sigmoid", g.add("Mul", x, g.constant(1.702)))
    ),
    "a square": lambda g, x: g.add("Mul", x, x),
    "after a rectifier": lambda g, x: g.add("Mul", g.add("Sigmoid", (y := g.add("Relu", x))), y),
    "less another map": lambda g, x: g.add("Sub", x, g.conv(x, 4, 4)),
}


@pytest.mark.parametrize("way", COMPOSED)
def test_functions_that_are_several_layers(way):
    g = Graph()
    agrees(g, COMPOSED[way](g, g.conv("x", 4, 3)), tolerance=2e-5)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_layer_normalisation_in_nine_nodes(keepdims):
    g = Graph()
    x = g.add("Transpose", g.conv("x", 4, 3), perm=[0, 2, 3, 1])

    def mean(y):
        found = g.add("ReduceMean", y, axes=[-1], keepdims=keepdims)
        return found if keepdims else g.add("Unsqueeze", found, g.integers(-1))

    centred = g.add("Sub", x, mean(x))
    variance = mean(g.add("Pow", centred, g.constant(2.0)))
    deviation = g.add("Sqrt", g.add("Add", variance, g.constant(1e-6)))
    y = g.add("Mul", g.add("Div", centred, deviation), g.drawn(4))
    y = g.add("Transpose", g.add("Add", y, g.drawn(4)), perm=[0, 3, 1, 2])
    net = agrees(g, g.conv(y, 3, 4))
    assert kinds(net) == [Conv, LayerNorm, Conv] and net.layers[1].epsilon == pytest.approx(1e-6)


def test_a_layer_that_others_read_stays_as_it_is():
    """A constant that is added to it becomes no part of it."""
    g = Graph()
    x = g.conv("x", 4, 3)
    flat = g.add("Reshape", x, g.integers(0, 4, -1))
    y = g.add("Reshape", g.add("Add", flat, g.drawn(4, 1)), g.integers(-1, 4, SIDE, SIDE))
    agrees(g, g.add("Add", g.add("Relu", y), g.conv(x, 4, 4)))


# -- what is refused --


def node_of(kind, *inputs, **attributes):
    def build(g):
        x = g.conv("x", 4, 3)
        return g.add(kind, *(x if one == "x" else one(g) for one in inputs), **attributes)

    return build


def numbers(*shape):
    return lambda g: g.drawn(*shape)


REFUSED = {
    "unknown": (node_of("Softplus", "x"), r"node 'Softplus1_0' of kind 'Softplus': there is no"),
    "a loop": (node_of("Loop", "x"), "kind 'Loop': there is no layer"),
    "transposed": (node_of("ConvTranspose", "x", numbers(4, 2, 3, 3)), "kind 'ConvTranspose'"),
    "larger": (node_of("DepthToSpace", "x", blocksize=2), "kind 'DepthToSpace'"),
    "two maps": (node_of("MatMul", "x", "x"), "a product of two maps"),
    "attention": (node_of("Softmax", "x", axis=2), "a softmax over axis 2"),
    "pixels": (
        node_of("Slice", "x", *(lambda g, v=v: g.integers(v) for v in (0, 5, 2))),
        "only ch",
    ),
    "rows alone": (node_of("ReduceMean", "x", axes=[2]), "it reduces axes"),
    "a map of constants": (node_of("Add", "x", numbers(SIDE, SIDE)), "not the same for all pixels"),
    "reflected": (
        node_of("Pad", "x", lambda g: g.integers(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"),
        "'reflect'; zeros are known",
    ),
    "cut off": (node_of("Pad", "x", lambda g: g.integers(0, 0, -1, 0, 0, 0, 0, 0)), "it pads by"),
    "mixed axes": (
        node_of("Reshape", "x", lambda g: g.integers(-1, SIDE, 4 * SIDE, 1)),
        "mixes axes|reshapes",
    ),
    "negative sizes": (node_of("Reshape", "x", lambda g: g.integers(-1, -7, 3)), "reshapes"),
    "huge sizes": (node_of("Expand", "x", lambda g: g.integers(1, 4, 2**40, 2**40)), "Expand"),
    "a huge window": (
        node_of("MaxPool", "x", kernel_shape=[2**40] * 2),
        "a window of|smaller than its kernel",
    ),
    "a wide border": (
        node_of("Pad", "x", lambda g: g.integers(0, 0, 2**40, 0, 0, 0, 0, 0)),
        "up to 1024 zeros",
    ),
    "no stride": (node_of("MaxPool", "x", kernel_shape=[2, 2], strides=[0, 1]), "in steps of 0"),
    "three axes": (node_of("Conv", "x", numbers(4, 4, 3, 3, 3)), "its kernel has 5 axes"),
    "other channels": (node_of("Conv", "x", numbers(4, 5, 3, 3)), "for an input of 4 channels"),
    "channels of another number": (node_of("Mul", "x", numbers(5, 1, 1)), "a constant of shape"),
    "whole features": (node_of("Cast", "x", to=7), "rounds features"),
    "in training": (
        node_of("BatchNormalization", "x", *[numbers(4)] * 4, training_mode=1),
        "in training mode",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, message = REFUSED[case]
    g = Graph()
    with pytest.raises(WeightsError, match=message):
        structure_of(g.model(g.conv(build(g), 2, 4)))


def test_inputs_that_are_refused():
    g = Graph()
    y = g.conv("x", 4, 3)
    with pytest.raises(
        WeightsError, match=r"crops to 12 x 12 pixels, but the graph is for 11 x 11"
    ):
        structure_of(g.model(y), preprocessing=Preprocessing(crop=12))
    g.shape[1:] = [1, 20, 20]
    with pytest.raises(WeightsError, match="three channels are expected"):
        structure_of(g.model(y))
    g.shape = [1, 3, 20]
    with pytest.raises(WeightsError, match="has 3 axes"):
        structure_of(g.model(y))
    g.shape = [1, 3, 2**31, 2**31]
    with pytest.raises(WeightsError, match="1 to 4096"):
        structure_of(g.model(y))
    model = g.model(g.add("Add", y, "other"))
    model.graph.input.append(helper.make_tensor_value_info("other", 1, [1]))
    with pytest.raises(WeightsError, match=r"has 2 inputs \('x', 'other'\)"):
        structure_of(model)


def test_what_follows_class_scores_is_left_out():
    g = Graph()
    scores = g.add("Flatten", g.add("GlobalAveragePool", g.conv("x", 5, 3)))
    found = structure_of(g.model(scores, g.add("ArgMax", scores, axis=1)))
    assert "ArgMax at the end is left out" in found.evidence


def test_cycles_are_refused_quickly():
    kernel = tensor("w", np.ones((3, 3, 1, 1), np.float32))
    nodes = [small_node("Conv", "x", "w", out="a"), small_node("Add", "a", "c", out="b")]
    nodes += [small_node("Relu", "b", out="c")]
    contents = onnx_format.read(memoryview(small_model(nodes, [kernel])))
    with pytest.raises(WeightsError, match="the graph has a cycle"):
        read_structure(contents, "network")
    nodes.append(small_node("Relu", "b", out="d"))
    contents = onnx_format.read(memoryview(small_model(nodes, [kernel])))
    with pytest.raises(WeightsError, match="'c', which no node before it writes: the"):
        read_structure(contents, "network")


def test_graphs_that_are_too_long_are_refused_before_they_are_read():
    nodes = [small_node("Relu", "y")] * 100_000
    with pytest.raises(WeightsError, match="a graph of more than 10000 nodes"):
        onnx_format.read(memoryview(small_model(nodes, [])))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Relu", "Identity", "Add"])
def test_long_graphs(kind):
    """In seconds: if expressions grew with the graph, it would be days."""
    nodes = [small_node("Conv", "x", "w", out="y0")]
    for i in range(9_990):
        inputs = [f"y{i}"] * (2 if kind == "Add" else 1)
        nodes.append(small_node(kind, *inputs, out=f"y{i + 1}"))
    kernel = tensor("w", np.ones((3, 3, 1, 1), np.float32))
    contents = onnx_format.read(memoryview(small_model(nodes, [kernel])))
    assert read_structure(contents, "network").architecture.layers


@pytest.mark.parametrize("kind", ["Sum", "Max", "Add", "Concat", "CastLike", "Relu"])
def test_a_list_of_arrays_is_no_operand(kind):
    g = Graph()
    parts = g.add("SplitToSequence", g.conv("x", 4, 3), axis=1)
    options = {"axis": 1} if kind == "Concat" else {}
    inputs = [parts, parts] if kind in ("Add", "CastLike") else [parts]
    with pytest.raises(WeightsError, match="list of arrays"):
        structure_of(g.model(g.add(kind, *inputs, **options)))


@pytest.mark.parametrize(
    ("kind", "shapes"), [("Add", [(4, 1, 1)]), ("BatchNormalization", [(4,)] * 4)]
)
def test_a_bias_that_is_one_number(kind, shapes):
    """Such a file is damaged."""
    g = Graph()
    x = g.add("Conv", "x", g.drawn(4, 3, 1, 1), g.constant(0.5))
    y = g.add(kind, x, *(g.constant(np.ones(shape)) for shape in shapes))
    with pytest.raises(WeightsError):
        structure_of(g.model(y))
