"""The pickle reader: what it reads, and that hostile pickles get an error and nothing else."""

import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from oracles.pickle_writer import Call, Name, Persistent, Python2, Raw, array, dtype, dumps

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import numpy_pickle

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
BIAS = np.array([0.5, -1.0, 2.0, 4.0], dtype=np.float32)


def read(content):
    return numpy_pickle.read(memoryview(content)).tensors


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "<i8"])
def test_reads_what_numpy_pickles(protocol, order, dtype):
    kernel = np.asarray(KERNEL, dtype, order=order)
    large = np.tile(kernel, (40, 1, 1))
    tensors = read(pickle.dumps({"a": [kernel, BIAS], "b": {"c": {"d": large}}}, protocol))
    assert list(tensors) == ["a.kernel", "a.bias", "b.c.d"]
    for name, expected in [("a.kernel", kernel), ("a.bias", BIAS), ("b.c.d", large)]:
        np.testing.assert_array_equal(tensors[name], expected)
        assert not tensors[name].flags.writeable


def test_numbers_as_keys_and_places_in_lists_are_part_of_a_name():
    tensors = read(pickle.dumps({1: BIAS, 0.5: {-2: BIAS}, None: 3, "x": [BIAS, BIAS, [KERNEL]]}))
    assert list(tensors) == ["1", "0.5.-2", "x.0", "x.1", "x.2.0"]


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_of_numpys_module_names(core):
    np.testing.assert_array_equal(read(dumps({"x": array(BIAS, core)}))["x"], BIAS)


def test_python_2_strings():
    state = (1, (4,), dtype("f4"), False, Python2(BIAS.tobytes()))
    function = Name("numpy.core.multiarray", "_reconstruct")
    stored = Call(function, (Name("numpy", "ndarray"), (0,), Python2(b"b")), state)
    content = dumps(Raw(b"}(U\x01x" + dumps(stored)[2:-1] + b"u"))
    np.testing.assert_array_equal(read(content)["x"], BIAS)


class Runs:
    """Runs a command when Python's own unpickler sees it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calling(module, name, *arguments, state=None):
    return dumps({"x": Call(Name(module, name), arguments, state)})


def deep(n, opcode=b"\x85"):
    return dumps({"x": Raw(b"N" + opcode * n)})


X = dumps({"x": BIAS})
HOSTILE = {
    "os.system": (pickle.dumps({"x": Runs(os.system, "touch owned")}), "posix.system"),
    "eval": (pickle.dumps({"x": Runs(eval, "1+1")}), "eval"),
    "protocol 4 name": (pickle.dumps({"x": Runs(eval, "1")}, 4), "eval"),
    "getattr": (calling("builtins", "getattr", Name("os", "system"), "x"), "builtins.getattr"),
    "a huge numpy.ndarray": (calling("numpy", "ndarray", (2**31,)), "cannot be called"),
    "numpy.load": (calling("numpy", "load", "/etc/passwd"), "numpy.load"),
    "dotted name": (calling("numpy", "dtype.__reduce__"), "dtype.__reduce__"),
    "name that is no text": (dumps(Raw(b"K\x01K\x02\x93")), "name that is not text"),
    "name without an end": (dumps(Raw(b"c" + b"a" * 300)), "name without an end"),
    "long name": (calling("a" * 200, "b"), "an object of 'aaaa"),
    "a name for each of many calls": (
        dumps(
            Raw(b"X\xff\xff\x0f\x00" + b"a" * 0xFFFFF + b"q\x000" + b"h\x00h\x00\x930" * 9 + b"N")
        ),
        "it is None",
    ),
    "object array": (dumps({"x": array(BIAS, dtype=dtype("O8", "|"))}), "'O8', not of numbers"),
    "object array data": (dumps({"x": array(BIAS, data=[1, 2])}), "not bytes"),
    "objects of another count": (
        dumps({"x": array(BIAS, dtype=dtype("O8", "|"), data=[1, 2])}),
        "2 objects in an array of shape \\(4,\\)",
    ),
    "text array": (dumps({"x": array(BIAS, dtype=dtype("U4"))}), "not of numbers"),
    "dates": (dumps({"x": array(BIAS, dtype=dtype("M8"))}), "not of numbers"),
    "structured dtype": (
        dumps(
            {
                "x": array(
                    BIAS,
                    dtype=Call(
                        Name("numpy", "dtype"),
                        ("f4", False, True),
                        (3, "|", None, ("a",), {"a": 1}, 4, 1, 0),
                    ),
                )
            }
        ),
        "not one plain number",
    ),
    "dtype that is a number": (dumps({"x": array(BIAS, dtype=4)}), "a dtype expected"),
    "huge shape": (dumps({"x": array(BIAS, shape=(2**39, 2**39))}), "16 are there"),
    "huger shape": (dumps({"x": array(BIAS, shape=(2**100,))}), "shape"),
    "negative shape": (dumps({"x": array(BIAS, shape=(-1, -4))}), "shape"),
    "shape of bools": (dumps({"x": array(BIAS[:1], shape=(True,))}), "shape"),
    "too many axes": (dumps({"x": array(BIAS, shape=(1,) * 70 + (4,))}), "shape"),
    "shape as text": (dumps({"x": array(BIAS, shape="4")}), "shape"),
    "short data": (dumps({"x": array(BIAS, data=b"abc")}), "takes 16 bytes, but 3"),
    "long data": (dumps({"x": array(BIAS, data=b"a" * 17)}), "takes 16 bytes, but 17"),
    "data as text": (dumps({"x": array(BIAS, data="a" * 16)}), "not bytes"),
    "an array never filled": (
        calling("numpy.core.multiarray", "_reconstruct", Name("numpy", "ndarray"), (0,), b"b"),
        "never filled",
    ),
    "an array that begins huge": (
        calling("numpy.core.multiarray", "_reconstruct", Name("numpy", "ndarray"), (2**31,), b"b"),
        "does not begin empty",
    ),
    "another class of array": (
        calling("numpy.core.multiarray", "_reconstruct", Name("numpy", "dtype"), (0,), b"b"),
        "does not begin empty",
    ),
    "state for a dict": (dumps(Raw(b"}}b")), "something with a state expected, dict found"),
    "state for a name": (dumps(Raw(b"cnumpy\nndarray\n}b")), "something with a state"),
    "instance by NEWOBJ": (dumps(Raw(b"cnumpy\nndarray\n)\x81")), "cannot be called"),
    "instance by INST": (dumps(Raw(b"(ios\nsystem\n")), "not one that weight files use"),
    "extension registry": (dumps(Raw(b"\x82\x01")), "not one that weight files use"),
    "out-of-band buffer": (dumps(Raw(b"\x97")), "not one that weight files use"),
    "persistent id": (dumps({"x": Persistent("y")}), "outside the pickle"),
    "text persistent id": (dumps(Raw(b"Pabc\n")), "not one that weight files use"),
    "calling a dict": (dumps(Raw(b"})R")), "dict cannot be called"),
    "arguments that are no tuple": (dumps(Raw(b"cnumpy\ndtype\n]R")), "cannot be called"),
    "arguments missing": (calling("numpy", "dtype"), "wrong number of arguments"),
    "scalar without value": (calling("numpy.core.multiarray", "scalar", dtype("f4")), "number"),
    "encode to rot13": (calling("_codecs", "encode", "abc", "rot13"), "_codecs.encode"),
    "encode nothing": (calling("_codecs", "encode"), "_codecs.encode"),
    "encode wide text": (calling("_codecs", "encode", "\u1234", "latin1"), "_codecs.encode"),
    "deep tuples": (deep(180_000), "no arrays"),
    "opcode bomb": (dumps(Raw(b"N0" * 1_000_001 + b"N")), "more than 2000000 opcodes"),
    "deep marks": (dumps(Raw(b"(" * 1000)), "nests more than 64 deep"),
    "huge memo index": (dumps(Raw(b"Nr\xff\xff\xff\x7f")), "it is None"),
    "memo never written": (dumps(Raw(b"j\xff\xff\xff\x7f")), "never written"),
    "memo of nothing": (b"\x80\x03q\x00.", "not there"),
    "a dict that holds itself": (dumps(Raw(b"}q\x00X\x01\x00\x00\x00ah\x00s")), "no arrays"),
    "a list that holds itself": (
        dumps({"x": Raw(b"]q\x00(h\x00h\x00e")}),
        "no arrays",
    ),
    "a tuple as a key": (dumps({("a",): BIAS}), "no arrays"),
    "key twice": (dumps(Raw(b"}(" + b"X\x01\x00\x00\x00aN" * 2 + b"u")), "twice"),
    "number and text as one key": (dumps(Raw(b"}(K\x01NX\x01\x00\x00\x001Nu")), "twice"),
    "key without value": (dumps(Raw(b"}(Nu")), "without a value"),
    "setting items of a list": (dumps(Raw(b"]NNs")), "a dict expected"),
    "appending to a dict": (dumps(Raw(b"}Na")), "a list expected"),
    "stack underflow": (b"\x80\x030.", "not there"),
    "popping below a mark": (dumps(Raw(b"N(0")), "not there"),
    "closing no mark": (dumps(Raw(b"Nt")), "never opened"),
    "values left over": (dumps(Raw(b"NN")), "left over"),
    "open mark at the end": (dumps(Raw(b"(N")), "left over"),
    "huge bytes": (dumps(Raw(b"\x8e" + struct.pack("<Q", 2**63))), "truncated"),
    "huge text": (dumps(Raw(b"\x8d" + struct.pack("<Q", 2**62))), "truncated"),
    "huge frame": (dumps(Raw(b"\x95" + struct.pack("<Q", 2**62))), "past the end"),
    "negative string": (dumps(Raw(b"T\xff\xff\xff\xff")), "-1 bytes"),
    "long integer": (dumps(Raw(b"\x8a\xff" + b"a" * 255)), "a long integer"),
    "longer integer": (dumps(Raw(b"\x8b\xff\xff\xff\x7f")), "truncated"),
    "negative integer size": (dumps(Raw(b"\x8b\xff\xff\xff\xff")), "-1 bytes"),
    "text that is not UTF-8": (dumps(Raw(b"X\x01\x00\x00\x00\xff")), "not UTF-8"),
    "protocol 0": (b"(dp0\n.", "opcode"),
    "protocol 1 of the header": (b"\x80\x01N.", "protocol 1"),
    "protocol 9": (b"\x80\x09N.", "protocol 9"),
    "something after the end": (X + b"abc", "3 bytes follow"),
    "a list": (dumps([1]), "it is list"),
    "an array by itself": (dumps(array(BIAS)), "not a dict"),
    "nothing": (dumps({}), "dict"),
    "text": (dumps({"x": "abc"}), "it is dict"),
    "empty": (b"", "truncated"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles_get_an_error(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[case]
    with pytest.raises(WeightsError, match=message):
        read(content)
    assert not list(tmp_path.iterdir())


def test_memory_is_proportional_to_the_file():
    # one long text, turned into bytes a thousand times through the memo
    text = b"X" + struct.pack("<I", 10_000_000) + b"a" * 10_000_000
    encode = b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R"
    bomb = dumps(Raw(text + b"q\x00c_codecs\nencode\nq\x01" + encode * 1000))
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="over and over"):
            read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_truncation_is_noticed(protocol):
    content = pickle.dumps({"a": [KERNEL, BIAS]}, protocol)
    for n in range(len(content)):
        with pytest.raises(WeightsError):
            read(content[:n])
