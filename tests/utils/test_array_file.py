"""Files of arrays: they come back as they were, or not at all."""

import multiprocessing
import os
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_decaf._utils import array_file
from sklearn_decaf._utils.array_file import (
    ALIGNMENT,
    ArrayFileError,
    checksum,
    read_array_file,
    write_array_file,
)

RNG = np.random.default_rng(0)
ARRAYS = [
    RNG.standard_normal((3, 5, 7), dtype=np.float32),
    RNG.standard_normal(11),
    np.zeros((0, 4), np.float32),
    RNG.standard_normal((70, 4099), dtype=np.float32),  # more than a block of the checksum
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "arrays.packed"
    write_array_file(path, {"a": [1, "b"]}, ARRAYS)
    return path


def test_what_was_written_comes_back(path):
    content, arrays = read_array_file(path)
    assert content == {"a": [1, "b"]}
    for array, expected in zip(arrays, ARRAYS, strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)
        assert array.ctypes.data % ALIGNMENT == 0 or array.size == 0
        assert not array.flags.writeable and not array.flags.owndata
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    path.unlink()  # the map outlives the name
    np.testing.assert_array_equal(arrays[3], ARRAYS[3])


def test_no_changed_byte_goes_unnoticed(path):
    """But those between two arrays, which nobody reads."""
    intact = path.read_bytes()
    rng = random.Random(0)
    positions = [*range(200), *(rng.randrange(len(intact)) for _ in range(250))]
    unnoticed = 0
    for position in positions:
        damaged = bytearray(intact)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            _, arrays = read_array_file(path)
        except ArrayFileError:
            continue
        unnoticed += 1
        for array, expected in zip(arrays, ARRAYS, strict=True):
            np.testing.assert_array_equal(array, expected, strict=True)
    assert unnoticed < 5


def test_files_that_are_cut_off_or_something_else(path):
    intact = path.read_bytes()
    zeros = intact[: len(intact) // 2] + bytes(len(intact) - len(intact) // 2)  # never written out
    for content in (
        b"",
        b"x",
        intact[:40],
        intact[:100],
        intact[:-1],
        intact + b"\0",
        zeros,
        bytes(len(intact)),
        b"\x89PNG" + bytes(500),
    ):
        path.write_bytes(content)
        with pytest.raises(ArrayFileError):
            read_array_file(path)
    path.unlink()
    with pytest.raises(ArrayFileError, match="No such file"):
        read_array_file(path)
    path.mkdir()
    with pytest.raises(ArrayFileError):
        read_array_file(path)


@given(st.data())
def test_checksum_finds_one_or_two_changes_and_pages_in_wrong_places(data):
    size = data.draw(st.sampled_from([1, 7, 4096, 4099, 2**20, 2**20 + 5, 3 * 2**20]))
    raw = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    before = checksum(raw)
    changed = raw.copy()
    for _ in range(data.draw(st.integers(1, 2))):
        changed[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert (checksum(changed) == before) == np.array_equal(changed, raw)
    if size >= 2**20:
        pages = raw[: 2**20].reshape(-1, 4096).copy()
        a, b = data.draw(st.lists(st.integers(0, 255), min_size=2, max_size=2, unique=True))
        pages[[a, b]] = pages[[b, a]]
        assert checksum(np.concatenate([pages.ravel(), raw[2**20 :]])) != before
    assert checksum(raw[:-1]) != before


def test_opposite_changes_at_the_same_bit():
    """Plain sums of everything would not see them."""
    numbers = np.zeros(2**17, np.uint64)
    before = checksum(numbers)
    for place in (1, 512, 513, 2**16):
        numbers[:] = 0
        numbers[0], numbers[place] = 2**40, 2**64 - 2**40
        assert numbers.sum() == 0
        assert checksum(numbers) != before


def test_nothing_is_left_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "arrays.packed"
    write_array_file(path, 1, ARRAYS)

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(array_file.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_array_file(path, 2, ARRAYS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert read_array_file(path)[0] == 1


def _write_for_ever(path, report):
    i = 0
    while True:
        write_array_file(path, i, [np.full((50_000,), i, np.float32)])
        os.write(report, b".")
        i += 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_the_file_before_or_after(tmp_path):
    path = tmp_path / "arrays.packed"
    rng = random.Random(0)
    context = multiprocessing.get_context("fork")
    seen = set()
    for _ in range(30):
        receive, report = os.pipe()
        process = context.Process(target=_write_for_ever, args=(path, report))
        process.start()
        os.read(receive, 1)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.join()
        os.close(receive)
        os.close(report)
        content, (array,) = read_array_file(path)
        assert (array == content).all()
        seen.add(content)
    assert len(seen) > 1
