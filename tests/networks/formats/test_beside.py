"""What stands beside the weights in a pickle is passed over, and nothing of it is made."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import os
import pathlib
import pickle
import tracemalloc
import types
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import pickle_writer, weight_files
from oracles.pickle_writer import Raw, opcodes

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import numpy_pickle, torch_legacy, torch_zip
from sklearn_decaf.networks.formats._zip import Archive

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


class Colour(enum.Enum):
    RED = 1


class Config(dict):
    """A dict of a class of its own, with attributes."""


class Slots:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Runs:
    def __reduce__(self):
        return os.mkdir, ("owned",)


class Keywords:
    def __reduce_ex__(self, protocol):
        return functools.partial(Keywords), ()


def config():
    made = Config(a=1)
    made.extra = [1, 2]
    return made


OBJECTS = {
    "none": None,
    "namespace": argparse.Namespace(lr=0.1, x=[1, {2: 3}]),
    "simple namespace": types.SimpleNamespace(a=1),
    "numpy numbers": [np.float64(0.5), np.float32(1), np.int64(3), np.bool_(True)],
    "numpy text": np.str_("text"),
    "numpy bytes": np.bytes_(b"bytes"),
    "numpy date": np.datetime64("2020-01-01"),
    "numpy void": np.zeros(1, "f4,i4")[0],
    "dtypes": [np.dtype("f4"), np.dtype("f4,i4"), np.dtype("U5"), np.float32],
    "text array": np.array(["a", "bc"]),
    "dates array": np.array(["2020-01-01"], "M8[D]"),
    "objects array": np.array([{1: 2}, None], object),
    "records array": np.zeros(2, "f4,i4"),
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "matrix": np.matrix([[1, 2]]),
    "generator": np.random.default_rng(0),
    "random state": np.random.RandomState(0),
    "path": pathlib.PurePosixPath("/a/b"),
    "date": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
    "duration": datetime.timedelta(1),
    "ordered": collections.OrderedDict([(1, 2), ("a", {})]),
    "defaultdict": collections.defaultdict(list, {1: [2]}),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2]),
    "enum": Colour.RED,
    "enum as a key": {Colour.RED: 1},
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset("ab"),
    "tuple keys": {(1, 2): 3, None: 4, b"bytes": 5, 1.5: 6, False: 7},
    "complex": 1 + 2j,
    "large": [2**70, -(2**200), 2**5000],
    "bytes": [b"", b"abc", b"a" * 300, bytearray(b"abc")],
    "surrogates": "\udcff",
    "decimal": [decimal.Decimal("1.5"), fractions.Fraction(1, 3)],
    "uuid": uuid.UUID(int=5),
    "range": [range(3), slice(1, 2), ...],
    "function": [len, os.path.join, functools.partial(max, 1)],
    "class": [dict, Config],
    "config": config(),
    "slots": Slots(),
    "keywords": Keywords(),
    "code": Runs(),
    "exception": ValueError("x"),
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("case", OBJECTS)
def test_beside_arrays(case, protocol):
    content = {"first": KERNEL, case: OBJECTS[case], "inside": {case: OBJECTS[case], "x": KERNEL}}
    tensors = numpy_pickle.read(memoryview(pickle.dumps(content, protocol))).tensors
    own = [name for name in tensors if name in ("first", "inside.x")]
    assert own == ["first", "inside.x"]
    for name in own:
        np.testing.assert_array_equal(tensors[name], KERNEL)


@pytest.mark.parametrize("write", ["zip", "legacy"])
@pytest.mark.parametrize("case", OBJECTS)
def test_beside_tensors(case, write):
    state, storages = weight_files.torch_state({"conv.weight": KERNEL, "conv.bias": KERNEL[0]})
    beside = opcodes("beside") + pickle.dumps(OBJECTS[case], 2)[2:-1]
    whole = Raw(b"}(" + beside + opcodes("net") + opcodes(state) + beside[:-1] * 0 + b"u")
    if write == "zip":
        archive = weight_files.torch_zip(state=whole, storages=storages)
        contents = torch_zip.read(Archive(memoryview(archive)))
    else:
        file = weight_files.torch_legacy(state=whole, storages=storages)
        contents = torch_legacy.read(memoryview(file))
    assert list(contents.groups) == ["net"]
    np.testing.assert_array_equal(contents.groups["net"]["conv.weight"], KERNEL)
    np.testing.assert_array_equal(contents.groups["net"]["conv.bias"], KERNEL[0])


arrays = st.just(KERNEL)
objects = st.sampled_from([o for name, o in OBJECTS.items() if "array" not in name])
trees = st.recursive(
    arrays | objects | st.integers() | st.text(max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text("ab", max_size=2), inner, max_size=4),
        st.dictionaries(st.integers(0, 3), inner, max_size=3),
        st.builds(lambda one: types.SimpleNamespace(attribute=one), inner),
    ),
    max_leaves=12,
)


def paths(value, path=()):
    """Where the arrays are, by a walk of one's own."""
    if isinstance(value, np.ndarray):
        if value is KERNEL:
            yield ".".join(path)
    elif type(value) in (dict, types.SimpleNamespace):
        for key, inner in (value if isinstance(value, dict) else vars(value)).items():
            yield from paths(inner, (*path, str(key)))
    elif type(value) in (list, tuple):
        names = map(str, range(len(value)))
        if len(value) == 2 and all(one is KERNEL for one in value):
            names = ("kernel", "bias")
        for name, inner in zip(names, value):
            yield from paths(inner, (*path, name))


@settings(deadline=None)
@given(trees, st.sampled_from([2, 3, 4, 5]))
def test_arrays_anywhere(value, protocol):
    content = memoryview(pickle.dumps({"root": value}, protocol))
    expected = list(paths({"root": value}))
    if not expected or len(set(expected)) < len(expected):
        try:
            found = numpy_pickle.read(content).tensors
        except WeightsError:
            return
    else:
        found = numpy_pickle.read(content).tensors
    assert [name for name, array in found.items() if array.shape == (2, 3)] == expected
    for name in expected:
        np.testing.assert_array_equal(found[name], KERNEL)


def test_objects_that_hold_one_another():
    root: dict = {"deep": [], "x": KERNEL}
    root["self"], root["list"] = root, [root]
    many: list = [root]
    for _ in range(30):
        many = [many, many, many]
    root["deep"].append(many)
    tensors = numpy_pickle.read(memoryview(pickle.dumps({"a": many, "b": root, "y": KERNEL})))
    names = list(tensors.tensors)
    assert {"b.x", "y"} <= set(names) and len(names) < 10


def test_memory_is_proportional_to_the_objects():
    """A million references to one array, and to one dict, two bytes each."""
    array, mapping = pickle_writer.opcodes(KERNEL), b"}X\x01\x00\x00\x00aNs"
    many = b"(" + b"h\x00h\x01" * 400_000 + b"e"
    content = pickle_writer.dumps(
        Raw(b"}X\x01\x00\x00\x00x" + array + b"q\x00sX\x01\x00\x00\x00l](" + mapping + b"q\x01e"
            + many + b"s")
    )  # fmt: skip
    tracemalloc.start()
    try:
        tensors = numpy_pickle.read(memoryview(content)).tensors
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert "x" in tensors


def test_a_million_losses():
    content = {"losses": [0.5] * 900_000, "x": KERNEL}
    assert list(numpy_pickle.read(memoryview(pickle.dumps(content, 4))).tensors) == ["x"]
