"""ONNX models."""

import numpy as np
import pytest
from oracles.protobuf_writer import field, varint

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.formats import onnx as onnx_format
from sklearn_decaf.networks.formats import read_tensors
from sklearn_decaf.networks.reference import forward

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((6, 2, 3, 3), dtype=np.float32)
DENSE = RNG.standard_normal((5, 24), dtype=np.float32)
BIAS = RNG.standard_normal(6, dtype=np.float32)


def read(content):
    return onnx_format.read(memoryview(content))


def tensor(name, values, number=1, raw_field=9):
    axes = b"".join(field(1, int(n)) for n in values.shape)
    return axes + field(2, number) + field(8, name) + field(raw_field, values.tobytes())


def node(kind, *inputs, **attributes):
    parts = [field(1, name) for name in inputs] + [field(4, kind)]
    for name, value in attributes.items():
        number = 2 if isinstance(value, float) else 3
        parts.append(field(5, field(1, name) + field(number, value)))
    return b"".join(parts)


def model(nodes, tensors):
    graph = b"".join([*(field(1, one) for one in nodes), *(field(5, one) for one in tensors)])
    return field(1, 8) + field(7, graph)


CONV_NODE = node("Conv", "x", "w", "b", group=1)
TENSORS = [tensor("w", CONV), tensor("b", BIAS)]
GOOD = model([CONV_NODE], TENSORS)


def test_parameters_come_in_the_order_of_the_nodes(weight_file):
    content = model(
        [
            CONV_NODE,
            node("Relu", "y"),
            node("MaxPool", "y"),
            node("LRN", "y"),
            node("Gemm", "y", "d", "c", transB=1),
            node("Gemm", "y", "e", "c"),
        ],
        [
            tensor("c", BIAS[:5]),
            tensor("d", DENSE),
            tensor("e", np.ascontiguousarray(DENSE.T)),
            tensor("shape", np.array([1, 2]), 7),
            *TENSORS,
        ],
    )
    tensors, metadata = read(content)
    assert metadata["layers"] == "node0 pool1 norm1 node1 node2"
    expected = [CONV, BIAS, DENSE, BIAS[:5], DENSE, BIAS[:5]]
    assert list(tensors) == [f"node{i}.{kind}" for i in range(3) for kind in ("weight", "bias")]
    for found, values in zip(tensors.values(), expected):
        np.testing.assert_array_equal(found, values)
        assert not found.flags.writeable
    assert read_tensors(weight_file(content)).format == "onnx"


@pytest.mark.parametrize("dtype, number", [("<f4", 1), ("<f2", 10), ("<f8", 11)])
def test_floating_types(dtype, number):
    tensors, _ = read(model([CONV_NODE], [tensor("w", CONV.astype(dtype), number), TENSORS[1]]))
    np.testing.assert_array_equal(tensors["node0.weight"], CONV.astype(dtype))


def test_packed_floats():
    tensors, _ = read(model([CONV_NODE], [tensor("w", CONV, raw_field=4), TENSORS[1]]))
    np.testing.assert_array_equal(tensors["node0.weight"], CONV)


def with_weight(message):
    return model([CONV_NODE], [message, TENSORS[1]])


BAD = {
    "no graph": (field(1, 8), "a graph of 0 nodes"),
    "many nodes": (model([b""] * 10_001, []), "a graph of 10001 nodes"),
    "no weight": (model([CONV_NODE], TENSORS[1:]), "weight and bias are not both"),
    "no bias": (model([node("Conv", "x", "w")], TENSORS), "weight and bias are not both"),
    "whole numbers": (with_weight(tensor("w", CONV, 6)), "weight and bias are not both"),
    "one name twice": (model([CONV_NODE], TENSORS * 2), "two tensors are called 'w'"),
    "numbers elsewhere": (
        with_weight(tensor("w", CONV) + field(13, field(1, "location") + field(2, "/etc/passwd"))),
        "'w' is kept outside the file",
    ),
    "a location elsewhere": (with_weight(tensor("w", CONV) + field(14, 1)), "outside the file"),
    "short numbers": (with_weight(field(1, 7) + tensor("w", CONV)), "'w': an array of shape"),
    "a huge shape": (with_weight(field(1, 2**39) + tensor("w", CONV)), "takes"),
    "a negative axis": (with_weight(field(1, -1) + tensor("w", CONV)), "shape"),
    "numbers twice": (with_weight(tensor("w", CONV) + field(9, b"")), "not in one piece"),
    "a scaled Gemm": (
        model([node("Gemm", "x", "w", "b", alpha=0.5)], [tensor("w", DENSE), TENSORS[1]]),
        "scales its operands",
    ),
    "a Gemm of maps": (model([node("Gemm", "x", "w", "b")], TENSORS), "no dense layer"),
    "batch normalisation": (model([node("BatchNormalization", "x")], []), "inference mode"),
    "a cut-off field": (GOOD[:-1], "truncated"),
    "a name that is not UTF-8": (model([field(4, b"\xff")], []), "not text"),
    "a field bomb": (field(1, 8) + field(7, field(9, 0) * 200_001), "more than 200000 fields"),
    "a field past the end": (field(1, 8) + varint(7 << 3 | 2) + varint(2**60), "truncated"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_truncation_is_noticed():
    for n in range(len(GOOD)):
        with pytest.raises(WeightsError):
            read(GOOD[:n])


SQUEEZENET_CONVOLUTIONS = [
    "features.0",
    *(
        f"features.{place}.{part}"
        for place in (3, 4, 6, 7, 9, 10, 11, 12)
        for part in ("squeeze", "expand1x1", "expand3x3")
    ),
    "classifier.1",
]
EXPORTERS = {
    "torch": [(f"{name}.weight", f"{name}.bias") for name in SQUEEZENET_CONVOLUTIONS],
    "mxnet": [(f"squeezenet0_conv{i}_weight", f"squeezenet0_conv{i}_bias") for i in range(26)],
    "others": [(f"w{i}", f"b{i}") for i in range(26)],
}


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_squeezenet_by_the_names_that_tell_what_it_wants_to_see(exporter, weight_file):
    """Exporters whose networks see RGB, scaled, against the same network in their own words."""
    net = get_architecture("squeezenet1_1")
    layers = [name.removesuffix(".kernel") for name in net.parameter_shapes() if "kernel" in name]
    kernels = [RNG.standard_normal(net.parameter_shapes()[f"{one}.kernel"]) for one in layers]
    nodes, tensors = [], []
    for (weight, bias), kernel in zip(EXPORTERS[exporter], kernels):
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        nodes.append(node("Conv", "x", weight, bias))
        tensors += [tensor(weight, kernel), tensor(bias, np.ones(len(kernel), np.float32))]
    path = weight_file(model(nodes, tensors))
    if exporter == "others":
        with pytest.raises(WeightsError, match="do not fit"):
            load_weights(path)
        return
    weights = load_weights(path)
    assert weights.architecture is net and weights.certainty == "certain"
    np.testing.assert_array_equal(
        weights.parameters["fire5.expand3x3.kernel"], kernels[12].astype(np.float32)
    )
    photo = RNG.integers(0, 256, (1, 227, 227, 3), dtype=np.uint8)
    found = forward(net, weights.parameters, photo, ["conv1"], np.float64)["conv1"][0, 5, 7]
    patch = photo[0, 10:13, 14:17] / 255
    seen = (patch - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = np.einsum("hwc,hwcf->f", seen, kernels[0]) + 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
