"""ONNX models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.onnx_models import external, model, node, tensor
from oracles.protobuf_writer import field, varint

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.formats import onnx as onnx_format
from sklearn_decaf.networks.formats import read_tensors
from sklearn_decaf.networks.formats._onnx_tensors import unpack_varints
from sklearn_decaf.networks.layers import Concat, MaxPool, ReLU, Softmax
from sklearn_decaf.networks.reference import forward

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((6, 2, 3, 3), dtype=np.float32)
DENSE = RNG.standard_normal((5, 24), dtype=np.float32)
BIAS = RNG.standard_normal(6, dtype=np.float32)


def read(content):
    found = onnx_format.read(memoryview(content))
    if found.problem:
        raise WeightsError(found.problem)
    return found.tensors, found.metadata


CONV_NODE = node("Conv", "x", "w", "b", group=1)
TENSORS = [tensor("w", CONV), tensor("b", BIAS)]
GOOD = model([CONV_NODE], TENSORS)


def test_parameters_come_in_the_order_of_the_nodes(weight_file):
    content = model(
        [
            CONV_NODE,
            node("Relu", "y"),
            node("MaxPool", "y", kernel_shape=[3, 3]),
            node("LRN", "y", size=5),
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


def varint_tensor(name, values, number):
    """Half-precision numbers as onnx.helper writes them: their bits, a number each."""
    axes = b"".join(field(1, int(n)) for n in values.shape)
    packed = b"".join(varint(int(bits)) for bits in values.view(np.uint16).ravel())
    return axes + field(2, number) + field(8, name) + field(5, packed)


def test_half_precision_as_whole_numbers():
    half = CONV.astype(np.float16)
    tensors, _ = read(model([CONV_NODE], [varint_tensor("w", half, 10), TENSORS[1]]))
    np.testing.assert_array_equal(tensors["node0.weight"], half)
    bits = (CONV.view(np.uint32) >> 16).astype(np.uint16)
    tensors, _ = read(model([CONV_NODE], [varint_tensor("w", bits, 16), TENSORS[1]]))
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(tensors["node0.weight"], expected)
    raw = tensor("w", bits, 16)
    np.testing.assert_array_equal(
        read(model([CONV_NODE], [raw, TENSORS[1]]))[0]["node0.weight"], expected
    )


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_packed_integers(numbers):
    raw = memoryview(b"".join(map(varint, numbers)))
    assert unpack_varints(raw, np.dtype("<u8")).tolist() == numbers
    assert unpack_varints(raw, np.dtype("<u2")).tolist() == [n % 2**16 for n in numbers]


def test_a_long_row_of_packed_integers():
    numbers = np.arange(700_000) % 20_000  # in several pieces of a megabyte
    raw = memoryview(b"".join(map(varint, numbers.tolist())))
    assert len(raw) > 2**20
    np.testing.assert_array_equal(unpack_varints(raw, np.dtype("<u2")), numbers)


def test_layers_without_a_bias():
    tensors, _ = read(
        model(
            [node("Conv", "x", "w"), node("MatMul", "y", "e"), node("Gemm", "y", "d", transB=1)],
            [TENSORS[0], tensor("d", DENSE), tensor("e", np.ascontiguousarray(DENSE.T))],
        )
    )
    assert list(tensors)[::2] == ["node0.weight", "node1.weight", "node2.weight"]
    for i, n in enumerate((6, 5, 5)):
        np.testing.assert_array_equal(tensors[f"node{i}.bias"], np.zeros(n, np.float32))
    for i in (1, 2):
        np.testing.assert_array_equal(tensors[f"node{i}.weight"], DENSE)


def test_a_bias_that_is_added_afterwards():
    column = np.ascontiguousarray(BIAS[None, :, None, None])
    tensors, metadata = read(
        model(
            [
                node("Conv", "x", "w", out="p"),
                node("Add", "c", "p", out="q"),
                node("MatMul", "q", "e", out="r"),
                node("Add", "r", "f", out="s"),
            ],
            [
                TENSORS[0],
                tensor("c", column),
                tensor("e", np.ascontiguousarray(DENSE.T)),
                tensor("f", BIAS[:5]),
            ],
        )
    )
    assert metadata["layers"] == "node0 node1"
    np.testing.assert_array_equal(tensors["node0.bias"], BIAS)
    np.testing.assert_array_equal(tensors["node1.bias"], BIAS[:5])


def test_constants_that_nodes_hand_on():
    constant = node("Constant", out="k", value=tensor("", BIAS))
    tensors, _ = read(
        model(
            [
                constant,
                node("Identity", "w", out="v"),
                node("Identity", "v", out="u"),
                node("Cast", "k", out="c", to=1),
                node("Conv", "x", "u", "c"),
                node("Transpose", "e", out="t", perm=[1, 0]),
                node("Gemm", "y", "t", transB=1),
            ],
            [TENSORS[0], tensor("e", np.ascontiguousarray(DENSE.T))],
        )
    )
    np.testing.assert_array_equal(tensors["node0.weight"], CONV)
    np.testing.assert_array_equal(tensors["node0.bias"], BIAS)
    np.testing.assert_array_equal(tensors["node1.weight"], DENSE)


def test_batch_normalisation_is_folded_in():
    scale, shift, mean, var = RNG.uniform(0.5, 1.5, (4, 6)).astype(np.float32)
    vectors = {"scale": scale, "shift": shift, "mean": mean, "var": var}
    norm = node("BatchNormalization", "y", *vectors, out="z", epsilon=0.01)
    content = model(
        [CONV_NODE, norm], [*TENSORS, *(tensor(name, v) for name, v in vectors.items())]
    )
    tensors, metadata = read(content)
    assert metadata["layers"] == "node0"
    factor = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + np.float32(0.01))
    np.testing.assert_allclose(
        tensors["node0.weight"], CONV * factor[:, None, None, None], rtol=1e-6
    )
    np.testing.assert_allclose(tensors["node0.bias"], (BIAS - mean) * factor + shift, rtol=1e-6)


def test_folding_takes_no_more_memory_than_the_model_is_worth():
    many = [
        one
        for i in range(100)
        for one in (
            node("Conv", "x", "w", "b", out=f"y{i}"),
            node("BatchNormalization", f"y{i}", *"bbbb", out=f"z{i}"),
        )
    ]
    positive = [tensor("w", np.tile(CONV, (1, 50, 1, 1))), tensor("b", np.abs(BIAS))]
    with pytest.raises(WeightsError, match="more kernels than the model has"):
        read(model(many, positive))


# -- numbers in other files --


def from_folder(folder, **entries):
    content = model([CONV_NODE], [external("w", CONV, **entries), TENSORS[1]])
    (folder / "model.onnx").write_bytes(content)
    file = read_tensors(folder / "model.onnx")
    if file.contents.problem:
        raise WeightsError(file.contents.problem)
    return file


RAW = bytes(12) + CONV.tobytes() + bytes(7)
WHERE = {"offset": 12, "length": CONV.nbytes}


@pytest.mark.parametrize("location", ["model.onnx.data", "sub/numbers", "./model.onnx.data"])
def test_numbers_in_a_file_of_the_folder(location, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / location).write_bytes(RAW)
    file = from_folder(tmp_path, location=location, **WHERE)
    np.testing.assert_array_equal(file.tensors["node0.weight"], CONV)
    assert not file.tensors["node0.weight"].flags.writeable
    (other,) = file.contents.others
    assert other.path == (tmp_path / location).resolve()
    # the checksum is that of both files
    (tmp_path / location).write_bytes(RAW[:-1] + b"x")
    assert from_folder(tmp_path, location=location, **WHERE).sha256 != file.sha256


def test_numbers_from_the_start_to_the_end_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(CONV.tobytes())
    file = from_folder(tmp_path, location="x")
    np.testing.assert_array_equal(file.tensors["node0.weight"], CONV)


@pytest.mark.parametrize("kind", ["absolute", "up", "up and down", "link", "folder link", "home"])
def test_no_file_outside_of_the_folder_is_opened(kind, tmp_path):
    inside = tmp_path / "models"
    inside.mkdir()
    outside = tmp_path / "numbers"
    outside.write_bytes(RAW)
    location = {
        "absolute": str(outside),
        "up": "../numbers",
        "up and down": "../models/../numbers",
        "link": "link",
        "folder link": "folder/numbers",
        "home": "~/numbers",
    }[kind]
    (inside / "link").symlink_to(outside)
    (inside / "folder").symlink_to(tmp_path)
    message = "leads out of the folder" if "link" in kind else "only files in the folder|No such"
    with pytest.raises(WeightsError, match=message):
        from_folder(inside, location=location, **WHERE)
    (inside / "own").write_bytes(RAW)
    (inside / "link to own").symlink_to(inside / "own")
    from_folder(inside, location="link to own", **WHERE)


BAD_PLACES = {
    "no such file": ({"location": "none"}, "'none', which has to lie beside the model: No such"),
    "no location": ({}, "only files in the folder"),
    "a folder": ({"location": "sub"}, "not a regular file"),
    "an empty file": ({"location": "empty"}, "the file is empty"),
    "a drive": ({"location": "C:numbers"}, "only files in the folder"),
    "backslashes": ({"location": "..\\numbers"}, "only files in the folder"),
    "a null byte": ({"location": "num\0bers"}, "only files in the folder"),
    "a long name": ({"location": "a" * 2000}, "only files in the folder"),
    "past the end": ({"location": "numbers", "offset": 100}, "which has .*truncated, or belongs"),
    "far past the end": ({"location": "numbers", "offset": 10**15 - 1}, "truncated, or belongs"),
    "a huge offset": (
        {"location": "numbers", "offset": 10**30},
        "its offset in another file is '1000",
    ),
    "a negative offset": (
        {"location": "numbers", "offset": -4},
        "its offset in another file is '-4'",
    ),
    "a long tensor": ({"location": "numbers", "length": 10**9}, "1000000000 bytes of 'numbers'"),
    "a short tensor": (
        {"location": "numbers", "length": 4},
        "4 bytes of 'numbers', where it takes",
    ),
    "a length in letters": (
        {"location": "numbers", "length": "many"},
        "its length in another file is 'many'",
    ),
}


@pytest.mark.parametrize("case", BAD_PLACES)
def test_places_where_no_numbers_are(case, tmp_path):
    entries, message = BAD_PLACES[case]
    (tmp_path / "numbers").write_bytes(RAW)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    with pytest.raises(WeightsError, match=message):
        from_folder(tmp_path, **entries)


def with_weight(message):
    return model([CONV_NODE], [message, TENSORS[1]])


BAD = {
    "no graph": (field(1, 8), "a graph of 0 nodes"),
    "many nodes": (model([b""] * 10_001, []), "a graph of more than 10000 nodes"),
    "no weight": (model([CONV_NODE], TENSORS[1:]), "a Conv node whose 'w' should be a constant"),
    "no input but one": (model([node("Conv", "x")], TENSORS), "a Conv node without a weight"),
    "whole numbers": (with_weight(tensor("w", CONV, 6)), "'w' is of type int32, not floating"),
    "eight bits": (with_weight(tensor("w", CONV, 17)), "'w' is of type float8, not floating"),
    "one name twice": (model([CONV_NODE], TENSORS * 2), "two tensors are called 'w'"),
    "numbers elsewhere": (
        with_weight(tensor("w", CONV) + field(13, field(1, "location") + field(2, "/etc/passwd"))),
        "'w': its numbers are in another file",
    ),
    "a location elsewhere": (with_weight(tensor("w", CONV) + field(14, 1)), "in another file"),
    "a segment": (with_weight(tensor("w", CONV) + field(3, b"")), "only a segment of it"),
    "another field": (with_weight(tensor("w", CONV, raw_field=10)), "not where its type has them"),
    "numbers one by one": (
        with_weight(field(1, 1) + field(2, 1) + field(8, "w") + field(4, 1.0)),
        "not in one piece",
    ),
    "a sparse tensor": (
        field(1, 8)
        + field(7, field(1, CONV_NODE) + field(15, field(1, TENSORS[0])) + field(5, TENSORS[1])),
        "'w': it is kept sparse",
    ),
    "a weight that is computed": (
        model([node("Mul", "w", "w", out="v"), node("Conv", "x", "v", "b")], TENSORS),
        "'v' should be a constant, and is computed by a node of kind Mul",
    ),
    "functions": (GOOD + field(25, field(1, "f")), "inline_local_functions"),
    "quantised": (model([node("QLinearConv", "x", "w", "b")], TENSORS), "a quantised model .*QLin"),
    "quantised by pairs": (
        model([node("DequantizeLinear", "w", "b", out="v"), node("Conv", "x", "v")], TENSORS),
        "a quantised model .*DequantizeLinear",
    ),
    "optimised for one program": (
        model([node("FusedConv", "x", "w", "b", domain="com.microsoft")], TENSORS),
        "'FusedConv' of 'com.microsoft': the model was optimised for one program",
    ),
    "reordered for one machine": (
        model([node("Conv", "x", "w", "b", domain="com.microsoft.nchwc")], TENSORS),
        "'Conv' of 'com.microsoft.nchwc'",
    ),
    "a Conv of sounds": (
        model([node("Conv", "x", "d", "b")], [tensor("d", DENSE), TENSORS[1]]),
        "a Conv node whose weight has 2 axes",
    ),
    "axes that are none": (
        model([node("Transpose", "w", out="v", perm=[0, 1]), node("Conv", "x", "v")], TENSORS),
        "axes that are none",
    ),
    "strides that are no integers": (
        model([node("Conv", "x", "w", "b", strides=1.5)], TENSORS),
        "strides are no integers",
    ),
    "three pads": (model([node("Conv", "x", "w", "b", pads=[1, 1, 1])], TENSORS), "3 pads"),
    "in training mode": (
        model([CONV_NODE, node("BatchNormalization", *"ybbbb", out="z", training_mode=1)], TENSORS),
        "training mode",
    ),
    "normalisations of other filters": (
        model(
            [CONV_NODE, node("BatchNormalization", *"ycccc", out="z")],
            [*TENSORS, tensor("c", BIAS[:5])],
        ),
        "does not fit 6 filters",
    ),
    "an epsilon that is text": (
        model([CONV_NODE, node("BatchNormalization", *"ybbbb", out="z", epsilon="x")], TENSORS),
        "epsilon is no number",
    ),
    "negative variance": (
        model(
            [CONV_NODE, node("BatchNormalization", *"ybbbv", out="z")],
            [*TENSORS, tensor("v", -np.abs(BIAS))],
        ),
        "negative variance",
    ),
    "short numbers": (with_weight(field(1, 7) + tensor("w", CONV)), "'w': an array of shape"),
    "a huge shape": (with_weight(field(1, 2**39) + tensor("w", CONV)), "takes"),
    "a negative axis": (with_weight(field(1, -1) + tensor("w", CONV)), "shape"),
    "numbers twice": (with_weight(tensor("w", CONV) + field(9, b"")), "not in one piece"),
    "a scaled Gemm": (
        model([node("Gemm", "x", "w", "b", alpha=0.5)], [tensor("w", DENSE), TENSORS[1]]),
        "scales its operands",
    ),
    "a transposed Gemm": (
        model([node("Gemm", "x", "w", "b", transA=1)], [tensor("w", DENSE), TENSORS[1]]),
        "no dense layer",
    ),
    "a Gemm of maps": (model([node("Gemm", "x", "w", "b")], TENSORS), "weight has 4 axes"),
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
    nodes, tensors, kernel_of = [], [], dict(zip(layers, zip(EXPORTERS[exporter], kernels)))
    for layer in net.layers:
        inputs, name = net.inputs(layer.name), layer.name
        if name in kernel_of:
            (weight, bias), kernel = kernel_of[name]
            kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
            tensors += [tensor(weight, kernel), tensor(bias, np.ones(len(kernel), np.float32))]
            sizes = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
            nodes.append(node("Conv", *inputs, weight, bias, out=name, **sizes))
        elif isinstance(layer, MaxPool):
            nodes.append(
                node("MaxPool", *inputs, out=name, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
            )
        else:
            kind = {ReLU: "Relu", Concat: "Concat", Softmax: "Softmax"}.get(type(layer))
            options = {"axis": 1} if kind == "Concat" else {}
            nodes.append(node(kind or "GlobalAveragePool", *inputs, out=name, **options))
    path = weight_file(model(nodes, tensors))
    if exporter == "others":
        assert load_weights(path).architecture.name == path.stem  # and not the known one
        return
    weights = load_weights(path)
    assert weights.certainty == "certain", weights.evidence
    assert weights.architecture.layers == net.layers, weights.evidence
    np.testing.assert_array_equal(
        weights.parameters["fire5.expand3x3.kernel"], kernels[12].astype(np.float32)
    )
    photo = RNG.integers(0, 256, (1, 227, 227, 3), dtype=np.uint8)
    net = weights.architecture  # whose preprocessing is the exporter's
    found = forward(net, weights.parameters, photo, ["conv1"], np.float64)["conv1"][0, 5, 7]
    patch = photo[0, 10:13, 14:17] / 255
    seen = (patch - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = np.einsum("hwc,hwcf->f", seen, kernels[0]) + 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
