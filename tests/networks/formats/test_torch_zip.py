"""State dicts in torch's format since version 1.6."""

import numpy as np
import pytest
from oracles import weight_files
from oracles.pickle_writer import Call, Name
from oracles.weight_files import torch_tensor

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import read_tensors, torch_zip
from sklearn_decaf.networks.formats._zip import Archive

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([1.5, -2.0], np.float64),
    "half": np.array([[1.0, 2.0]], np.float16),
    "count": np.array(7, np.int64),
}
VALUES = np.arange(6, dtype=np.float32)


def read(content):
    return torch_zip.read(Archive(memoryview(content))).tensors


def one(state, size=24, **options):
    storages = options.pop("storages", {"0": VALUES.tobytes()[:size]})
    return weight_files.torch_zip(state=state, storages=storages, **options)


def view(offset=0, shape=(6,), strides=None, key="0", kind="FloatStorage"):
    return torch_tensor(("storage", Name("torch", kind), key, "cpu", 6), offset, shape, strides)


@pytest.mark.parametrize("folder", ["archive/", "alexnet-owt-7be5be79/"])
def test_reads_a_state_dict(folder, weight_file):
    content = weight_files.torch_zip(TENSORS, folder=folder)
    tensors = read(content)
    assert list(tensors) == list(TENSORS)
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], expected)
        assert tensors[name].dtype == expected.dtype
        assert not tensors[name].flags.writeable
    assert read_tensors(weight_file(content)).format == "torch"


def test_views_of_a_storage():
    tensors = read(one({"x": view(0, (3, 2), (1, 3))}))
    np.testing.assert_array_equal(tensors["x"], VALUES.reshape(2, 3).T)
    shared = read(one({"x": view(0, (2,)), "y": view(2, (2, 2))}))
    np.testing.assert_array_equal(shared["y"], VALUES[2:].reshape(2, 2))


def test_numbers_that_are_not_compressed_are_not_copied():
    content = np.frombuffer(weight_files.torch_zip(TENSORS), np.uint8)
    tensors = torch_zip.read(Archive(memoryview(content))).tensors
    assert np.shares_memory(tensors["conv.weight"], content)


BAD = {
    "a storage missing": (one({"x": view(key="1")}), "storage '1' is missing"),
    "a short storage": (one({"x": view()}, size=20), "has 20 bytes where .* declares 24"),
    "a storage of another type": (one({"x": view(kind="DoubleStorage")}), "24 bytes .* 48"),
    "a key that climbs": (one({"x": view(key="../../x")}), "missing"),
    "a view past the end": (one({"x": view(1)}), "goes past the 6 numbers"),
    "tensors that share": (one({"x": view(), "y": view(1, (5,))}), "share their storages"),
    "a tensor twice past the end": (one({"x": view(), "y": view(1)}), "goes past"),
    "code": (one({"x": Call(Name("os", "system"), ("true",))}), "'os.system'"),
    "a whole model": (one(Call(Name("torchvision.models", "AlexNet"), ())), "AlexNet"),
    "a program": (one({"x": view()}, **{"code/__torch__.py": b""}), "TorchScript"),
    "big-endian": (one({"x": view()}, byteorder=b"big"), "little-endian"),
    "no state dict": (one([]), "no state dict of tensors: it is list"),
    "no pickle": (weight_files.torch_zip({}, folder="a/b/"), "no data.pkl"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_every_truncation_is_noticed():
    content = one({"x": view()})
    for n in range(len(content)):
        with pytest.raises(WeightsError):
            read(content[:n])


def test_every_changed_byte_of_the_numbers_is_noticed():
    content = one({"x": view()})
    at = content.index(VALUES.tobytes())
    for i in range(24):
        changed = bytearray(content)
        changed[at + i] ^= 1
        with pytest.raises(WeightsError, match="checksum"):
            read(bytes(changed))
