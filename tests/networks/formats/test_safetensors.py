"""Safetensors files."""

import json
import struct

import numpy as np
import pytest
from oracles import weight_files

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import safetensors

TENSORS = {
    "kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "bias": np.array([1.5, -2.0], np.float64),
    "half": np.array([[1.0, 2.0]], np.float16),
    "count": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}
ONE = {"x": np.arange(6, dtype=np.float32)}
ENTRY = {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}


def read(content):
    found = safetensors.read(memoryview(content))
    return found.tensors, found.metadata


def check_equal(tensors, expected):
    assert set(tensors) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(tensors[name], values)
        assert tensors[name].dtype == values.dtype
        assert not tensors[name].flags.writeable


def test_reads_names_shapes_types_and_metadata():
    content = weight_files.safetensors(TENSORS, {"architecture": "alexnet"})
    tensors, metadata = read(content)
    check_equal(tensors, TENSORS)
    assert metadata == {"architecture": "alexnet"}
    assert safetensors.looks_like(memoryview(content))


def test_reads_what_the_reference_implementation_writes():
    library = pytest.importorskip("safetensors.numpy", reason="the safetensors library is absent")
    tensors = {name: values for name, values in TENSORS.items() if values.size}
    content = library.save(tensors, {"architecture": "caffenet"})
    read_back, metadata = read(content)
    check_equal(read_back, tensors)
    assert metadata == {"architecture": "caffenet"}


def test_bfloat16():
    bits = (ONE["x"].view(np.uint32) >> 16).astype(np.uint16)
    header = {"x": {"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}}
    tensors, _ = read(weight_files.safetensors_raw(json.dumps(header), bits.tobytes()))
    check_equal(tensors, ONE)


def with_entry(**changes):
    return weight_files.safetensors(ONE, x=ENTRY | changes)


def two(first, second, size=48):
    header = {
        "x": ENTRY | {"data_offsets": first},
        "y": ENTRY | {"data_offsets": second},
    }
    return weight_files.safetensors_raw(json.dumps(header), bytes(size))


def raw(header, size=24):
    return weight_files.safetensors_raw(header, bytes(size))


GOOD = weight_files.safetensors(ONE)
BAD = {
    "overlapping tensors": (two([0, 24], [12, 36], 36), "overlaps"),
    "the same bytes twice": (two([0, 24], [0, 24], 24), "overlaps"),
    "a hole between tensors": (two([0, 24], [28, 52], 52), "leaves a hole"),
    "a hole at the start": (two([4, 28], [28, 52], 52), "leaves a hole"),
    "bytes at the end": (two([0, 24], [24, 48], 50), "end at byte 48 of a buffer of 50"),
    "offsets past the end": (two([0, 24], [24, 48], 40), "end at byte 48 of a buffer of 40"),
    "negative offsets": (with_entry(data_offsets=[-24, 0]), "shape with entries"),
    "offsets reversed": (with_entry(data_offsets=[24, 0]), "takes 24 bytes"),
    "one offset": (with_entry(data_offsets=[24]), "takes 24 bytes"),
    "huge offsets": (with_entry(data_offsets=[0, 2**60]), "header holds the number"),
    "offsets of bools": (with_entry(data_offsets=[False, True]), "entries"),
    "offsets that are text": (with_entry(data_offsets="ab"), "at most 8 numbers"),
    "a shape that does not fit": (with_entry(shape=[7]), "takes 28 bytes, but its offsets"),
    "a negative shape": (with_entry(shape=[-2, -3]), "shape with entries"),
    "a huge shape": (with_entry(shape=[2**39, 2**39]), "takes"),
    "many axes": (with_entry(shape=[1] * 9), "at most 8"),
    "a shape that is text": (with_entry(shape="6"), "not a list"),
    "fractions": (with_entry(shape=[6.0]), "header holds the number"),
    "infinity": (raw('{"x": Infinity}'), "header holds the number"),
    "a long number": (raw('{"x": %s}' % ("9" * 10_000)), "header holds the number"),
    "an unknown type": (with_entry(dtype="F8_E4M3"), "F8_E4M3"),
    "a type that is a list": (with_entry(dtype=["F32"]), "of type list"),
    "a key too many": (with_entry(more=1), "lacks"),
    "no offsets": (raw('{"x": {"dtype": "F32", "shape": [6]}}'), "lacks"),
    "an entry that is a number": (raw('{"x": 5}'), "lacks"),
    "a key twice": (raw('{"x": %s, "x": %s}' % ((json.dumps(ENTRY),) * 2)), "same key twice"),
    "a key twice inside": (raw('{"x": {"dtype": "F32", "dtype": "F32"}}'), "same key twice"),
    "a list": (raw("[1]"), "not a JSON object"),
    "no JSON": (raw("{'x'}"), "not JSON"),
    "deep JSON": (raw('{"x":' * 100_000), "not JSON"),
    "deep lists": (raw("[" * 100_000), "not JSON"),
    "metadata of numbers": (raw('{"__metadata__": {"a": 1}}', 0), "metadata"),
    "metadata that is text": (raw('{"__metadata__": "a"}', 0), "metadata"),
    "a huge header": (struct.pack("<Q", 2**40) + GOOD[8:], "header of 1099511627776 bytes"),
    "a header past the end": (struct.pack("<Q", len(GOOD)) + GOOD[8:], "a header of"),
    "a header over the limit": (raw("{}".ljust(2**22 + 8)), "a header of"),
    "no UTF-8": (GOOD.replace(b'"x"', b'"\xff"'), "not JSON"),
    "nothing": (b"", "too short"),
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
