"""Damaged files of every format: an error of the package's own, or a result, and nothing else.

A small valid file is cut, spliced and overwritten at random. ``--hypothesis-seed`` repeats a run.
``python tests/fuzz_weight_readers.py`` looks longer and harder.
"""

import contextlib
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.weight_seeds import SEEDS

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import numpy_pickle, read_tensors

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


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
    tensors = result if isinstance(result, dict) else result.tensors
    assert tensors and all(isinstance(values, np.ndarray) for values in tensors.values())


@pytest.mark.slow
@pytest.mark.parametrize("case", SEEDS)
def test_fuzz_reader(case):
    read, content = SEEDS[case]

    @SETTINGS
    @given(damaged(content))
    def check(changed):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(memoryview(changed))
        except WeightsError as error:
            assert len(str(error)) < 2000

    check()


@SETTINGS
@given(st.sampled_from(sorted(SEEDS)).flatmap(lambda case: damaged(SEEDS[case][1])))
def test_fuzz_recognition(weight_file, content):
    path = weight_file(content)
    try:
        read_tensors(path)
    except WeightsError as error:
        assert str(path) in str(error)


@SETTINGS
@given(st.lists(st.sampled_from([*map(bytes, zip(range(256)))]), max_size=60).map(b"".join))
def test_fuzz_opcodes(tail):
    with contextlib.suppress(WeightsError):
        numpy_pickle.read(memoryview(b"\x80\x03" + tail + b"."))
