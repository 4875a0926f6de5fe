"""Caffe's files, both generations of layers."""

import numpy as np
import pytest
from oracles.protobuf_writer import blob, caffemodel, field, layer_v1, layer_v2, varint

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import caffemodel as caffemodel_format
from sklearn_decaf.networks.formats import read_tensors

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((6, 2, 3, 3), dtype=np.float32)
DENSE = RNG.standard_normal((5, 24), dtype=np.float32)
BIAS = RNG.standard_normal(5, dtype=np.float32)
NET = {
    "conv1": ("Convolution", [CONV, BIAS]),
    "relu1": ("ReLU", []),
    "fc6": ("InnerProduct", [DENSE, BIAS]),
}
EXPECTED = {"conv1.weight": CONV, "conv1.bias": BIAS, "fc6.weight": DENSE, "fc6.bias": BIAS}


def read(content):
    found = caffemodel_format.read(memoryview(content))
    return found.tensors, found.metadata


@pytest.mark.parametrize("v1", [False, True])
def test_reads_both_generations(v1, weight_file):
    content = caffemodel(NET, v1=v1)
    tensors, metadata = read(content)
    assert metadata == {"network": "CaffeNet", "layers": "conv1 relu1 fc6"}
    assert list(tensors) == list(EXPECTED)
    for name, values in EXPECTED.items():
        np.testing.assert_array_equal(tensors[name], values)
        assert not tensors[name].flags.writeable
    assert read_tensors(weight_file(content)).format == "caffemodel"


def test_doubles_unpacked_shapes_and_unknown_fields():
    shape = field(7, field(1, 5) + field(1, 24))
    message = shape + field(6, b"diff") + field(8, DENSE.astype(np.float64).tobytes())
    content = field(77, b"?") + field(1, "x") + field(78, 3) + field(79, 1.5)
    tensors, _ = read(content + layer_v2("fc6", "InnerProduct", "data", [message]))
    np.testing.assert_array_equal(tensors["fc6.weight"], DENSE)


def test_blobs_after_the_second_keep_their_number():
    tensors, _ = read(layer_v2("bn", "BatchNorm", "data", [blob(BIAS)] * 3))
    assert list(tensors) == ["bn.weight", "bn.bias", "bn.2"]


def one(*fields):
    return layer_v2("x", "InnerProduct", "data", [b"".join(fields)])


DATA = field(5, BIAS.tobytes())
SHAPE = field(7, field(1, varint(5)))
BAD = {
    "no layers": (field(1, "CaffeNet"), "no layers"),
    "no numbers": (one(SHAPE), "'x.weight' has no numbers"),
    "numbers of another count": (one(field(7, field(1, varint(6))), DATA), "24 bytes, but 20"),
    "a number too short": (one(SHAPE, field(5, bytes(19))), "takes 20 bytes, but 19"),
    "no shape": (one(DATA), "takes 4 bytes, but 20"),
    "a negative axis": (one(field(7, field(1, varint(-5))), DATA), "shape"),
    "a huge shape": (one(field(7, field(1, varint(2**39) * 4)), DATA), "bytes, but 20"),
    "many axes": (one(field(7, field(1, varint(1) * 9)), DATA), "more than 8 numbers"),
    "numbers in pieces": (one(SHAPE, DATA, DATA), "not in one piece"),
    "numbers one by one": (one(SHAPE, field(5, 1.0) * 5), "not in one piece"),
    "one layer twice": (layer_v2("x", "y", "z", [blob(BIAS)]) * 2, "two blobs are called"),
    "both generations": (
        layer_v2("x", "y", "z", [blob(BIAS)]) + layer_v1("x", "y", "z", [blob(BIAS)]),
        "two blobs are called",
    ),
    "the first generation": (field(2, field(1, field(1, "conv1"))), "V0.*upgrade_net_proto_binary"),
    "a name that is not UTF-8": (field(100, field(1, b"\xff")), "not text"),
    "a field past the end": (varint(100 << 3 | 2) + varint(2**60) + b"abc", "truncated"),
    "a kind not in use": (varint(1 << 3 | 3), "kind 3"),
    "a number without end": (b"\xff" * 11, "more than ten bytes"),
    "a number cut off": (b"\xff", "inside a number"),
    "a field bomb": (field(9, 0) * 200_001, "more than 200000 fields"),
    "a field bomb inside": (field(100, field(9, 0) * 200_001), "more than 200000 fields"),
    "many layers": (layer_v2("", "", "") * 10_001, "more than 10000 layers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_truncation_is_noticed():
    content = layer_v2("x", "InnerProduct", "data", [blob(BIAS)])
    for n in range(len(content)):
        with pytest.raises(WeightsError):
            read(content[:n])
