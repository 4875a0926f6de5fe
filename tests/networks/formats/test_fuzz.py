"""Damaged files of every format: an error of the package's own, or a result, and nothing else.

A small valid file is cut, spliced and overwritten at random. ``--hypothesis-seed`` repeats a run;
the environment variable ``SKLEARN_DECAF_FUZZ_EXAMPLES`` sets how many files each test tries.
"""

import contextlib
import io
import os
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import decaf_writer, weight_files
from oracles import protobuf_writer as caffe_files

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import (
    caffemodel,
    decaf_pickle,
    npz,
    numpy_pickle,
    read_tensors,
    safetensors,
    torch_legacy,
    torch_zip,
)
from sklearn_decaf.networks.formats._zip import Archive

EXAMPLES = int(os.environ.get("SKLEARN_DECAF_FUZZ_EXAMPLES", "100"))
TENSORS = {
    "conv1.kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv1.bias": np.array([1.5, -2.0, 0.0, 4.0], np.float32),
}


DECAF_ARRAYS = np.ones((2, 3, 3, 4), np.float32), TENSORS["conv1.bias"]
CAFFE = {"conv1": ("Convolution", list(TENSORS.values()))}


DECAF = decaf_writer.conv("conv1", *DECAF_ARRAYS)


def saved_npz(save):
    stream = io.BytesIO()
    save(stream, **TENSORS, architecture="alexnet")
    return stream.getvalue()


def read_npz(data):
    return npz.read(Archive(data))


def read_torch(data):
    return torch_zip.read(Archive(data))


SEEDS = {
    "decaf": (decaf_pickle.read, decaf_writer.dumps([{"name": "fc", "type": "data"}, DECAF])),
    "caffemodel": (caffemodel.read, caffe_files.caffemodel(CAFFE)),
    "caffemodel v1": (caffemodel.read, caffe_files.caffemodel(CAFFE, v1=True)),
    "torch": (read_torch, weight_files.torch_zip(TENSORS)),
    "pickle 2": (numpy_pickle.read, pickle.dumps({"conv1": list(TENSORS.values())}, 2)),
    "pickle 3": (numpy_pickle.read, weight_files.numpy_pickle({"conv1": list(TENSORS.values())})),
    "pickle 4": (numpy_pickle.read, pickle.dumps(TENSORS, 4)),
    "pickle 5": (numpy_pickle.read, pickle.dumps(TENSORS, 5)),
    "torch legacy": (torch_legacy.read, weight_files.torch_legacy(TENSORS)),
    "npz": (read_npz, saved_npz(np.savez)),
    "npz compressed": (read_npz, saved_npz(np.savez_compressed)),
    "safetensors": (
        safetensors.read,
        weight_files.safetensors(TENSORS, {"architecture": "alexnet"}),
    ),
}


@st.composite
def damaged(draw, content):
    """Up to four changes: bytes overwritten, inserted, removed, or copied from elsewhere."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12))
        source = draw(st.integers(0, len(content)))
        new = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f"]),
                st.just(content[source : source + length]),
            )
        )
        content = content[:at] + new + content[at + draw(st.sampled_from([0, len(new), length])) :]
    return content


@pytest.mark.parametrize("case", SEEDS)
def test_seeds_are_valid(case):
    read, content = SEEDS[case]
    result = read(memoryview(content))
    tensors = result[0] if isinstance(result, tuple) else result
    assert [values.shape for values in tensors.values()] == [
        (2, 3, 3, 4) if case == "decaf" else (2, 3, 4),
        (4,),
    ]


@pytest.mark.parametrize("case", SEEDS)
def test_fuzz_reader(case):
    read, content = SEEDS[case]

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(damaged(content))
    def check(changed):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(memoryview(changed))
        except WeightsError as error:
            assert len(str(error)) < 2000

    check()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(sorted(SEEDS)).flatmap(lambda case: damaged(SEEDS[case][1])))
def test_fuzz_recognition(weight_file, content):
    path = weight_file(content)
    try:
        read_tensors(path)
    except WeightsError as error:
        assert str(path) in str(error)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.lists(st.sampled_from([*map(bytes, zip(range(256)))]), max_size=60).map(b"".join))
def test_fuzz_opcodes(tail):
    with contextlib.suppress(WeightsError):
        numpy_pickle.read(memoryview(b"\x80\x03" + tail + b"."))
