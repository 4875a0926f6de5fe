"""State dicts in torch's format before version 1.6."""

import struct

import numpy as np
import pytest
from oracles import weight_files
from oracles.pickle_writer import Call, Name, Raw, dumps, opcodes
from oracles.weight_files import torch_tensor

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import torch_legacy

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([1.5, -2.0], np.float64),
    "half": np.array([[1.0, 2.0]], np.float16),
    "count": np.array(7, np.int64),
}
FLOAT = Name("torch", "FloatStorage")
VALUES = np.arange(6, dtype=np.float32)


def read(content):
    return torch_legacy.read(memoryview(content)).tensors


def one(tensor, **options):
    """A file of one storage, 'k', of six numbers, with `tensor` for its state dict."""
    options = {"storages": {"k": VALUES.tobytes()}} | options
    return weight_files.torch_legacy(state={"x": tensor}, **options)


def view(offset=0, shape=(6,), strides=None, count=6, key="k", storage=FLOAT):
    return torch_tensor(("storage", storage, key, "cpu", count, None), offset, shape, strides)


def test_reads_a_state_dict():
    tensors = read(weight_files.torch_legacy(TENSORS))
    assert list(tensors) == list(TENSORS)
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], expected)
        assert tensors[name].dtype == expected.dtype
        assert not tensors[name].flags.writeable


def test_views_of_a_storage():
    transposed = read(one(view(0, (3, 2), (1, 3))))["x"]
    np.testing.assert_array_equal(transposed, VALUES.reshape(2, 3).T)
    np.testing.assert_array_equal(read(one(view(2, (3,))))["x"], VALUES[2:5])
    np.testing.assert_array_equal(read(one(view(1, (3,), (2,))))["x"], VALUES[1::2])
    assert read(one(view(6, (0, 4))))["x"].shape == (0, 4)


def test_parameters_and_checkpoints():
    hooks = Call(Name("collections", "OrderedDict"), ())
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (view(), True, hooks))
    np.testing.assert_array_equal(read(one(parameter))["x"], VALUES)
    checkpoint = {"state_dict": {"y": view()}, "epoch": 90}
    content = weight_files.torch_legacy(state=checkpoint, storages={"k": VALUES.tobytes()})
    np.testing.assert_array_equal(read(content)["state_dict.y"], VALUES)


def test_state_of_an_ordered_dict_is_ignored():
    state = weight_files.ordered_dict({"x": view()})
    built = Raw(state.opcodes + opcodes({"_metadata": {"": {"version": 1}}}) + b"b")
    content = weight_files.torch_legacy(state=built, storages={"k": VALUES.tobytes()})
    np.testing.assert_array_equal(read(content)["x"], VALUES)


def test_bfloat16():
    bits = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    content = one(
        view(storage=Name("torch", "BFloat16Storage")), storages={"k": bits.tobytes()}, itemsize=2
    )
    np.testing.assert_array_equal(read(content)["x"], VALUES)


GOOD = one(view())
BAD = {
    "a view past the end": (one(view(1)), "goes past the 6 numbers"),
    "strides past the end": (one(view(0, (3,), (3,))), "goes past"),
    "a negative offset": (one(view(-1, (2,))), "shape with entries"),
    "a negative stride": (one(view(5, (6,), (-1,))), "shape with entries"),
    "a stride of zero": (one(view(0, (1000,), (0,))), "overlaps itself"),
    "overlapping rows": (one(view(0, (3, 3), (1, 1))), "overlaps itself"),
    "shape and strides differ": (one(view(0, (6,), (1, 1))), "with strides"),
    "a huge shape": (one(view(0, (2**39, 2**39))), "entries|past"),
    "storage missing": (one(view(), keys=[]), "refers to 1 storages"),
    "storage listed twice": (one(view(), keys=["k", "k"]), "refers to 1 storages"),
    "keys that are no list": (one(view(), keys="k"), "not a list of names"),
    "another key": (one(view(key="j")), "refers to 1 storages"),
    "another count": (one(view(count=7)), "storage 'k' (has|ends)"),
    "a smaller count": (one(view(shape=(5,), count=5)), "has 6 elements"),
    "a negative count": (one(view(count=-6)), "torch does not write"),
    "an unknown type": (one(view(storage=Name("torch", "QInt8Storage"))), "torch.QInt8Storage"),
    "a type of nobody": (
        one(view(storage=Name("mine", "Storage"))),
        "'mine.Storage', which is not",
    ),
    "a view of a storage": (
        one(torch_tensor(("storage", FLOAT, "k", "cpu", 6, ("v", 0, 6)), 0, (6,))),
        "view of another storage",
    ),
    "a bad reference": (one(torch_tensor(("module", FLOAT, "k", "cpu", 6), 0, (6,))), "reference"),
    "a short reference": (one(torch_tensor(("storage",), 0, (6,))), "reference"),
    "two types of one storage": (
        weight_files.torch_legacy(
            state={"x": view(), "y": view(storage=Name("torch", "IntStorage"))},
            storages={"k": VALUES.tobytes()},
        ),
        "in two ways",
    ),
    "many views of one storage": (
        weight_files.torch_legacy(
            state={"x": view(), "y": view(0, (5,))}, storages={"k": VALUES.tobytes()}
        ),
        "share their storages",
    ),
    "code": (one(Call(Name("os", "system"), ("true",))), "'os.system'"),
    "a module": (one(Call(Name("torch.nn.modules.linear", "Linear"), ())), "Linear"),
    "a number": (one(5), "no state dict of tensors: it is dict"),
    "an empty state dict": (weight_files.torch_legacy(state={}, storages={}), "no state dict"),
    "a list": (weight_files.torch_legacy(state=[], storages={}), "no state dict"),
    "an OrderedDict from numbers": (
        one(Call(Name("collections", "OrderedDict"), ([1, 2],))),
        "something else than pairs",
    ),
    "an OrderedDict from text": (
        one(Call(Name("collections", "OrderedDict"), ("ab",))),
        "Python does not write",
    ),
    "big-endian": (one(view(), system={"little_endian": False}), "little-endian"),
    "another version": (one(view(), version=1002), "version 1002"),
    "another magic number": (dumps(5), "magic number"),
    "more at the end": (GOOD + b"\0", "1 bytes follow"),
    "wrong count before the data": (
        GOOD[: -8 - 24] + struct.pack("<q", 7) + GOOD[-24:],
        "has 7 elements",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_every_truncation_is_noticed():
    for n in range(len(GOOD)):
        with pytest.raises(WeightsError):
            read(GOOD[:n])
