"""Threads that work ahead: results in order, never too many at a time, and gone afterwards."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf._features.recipe import Recipe
from sklearn_decaf._utils.work_ahead import work_ahead
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.images import check_images
from sklearn_decaf.networks import load_weights


def own_threads():
    return [thread for thread in threading.enumerate() if "sklearn_decaf" in thread.name]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_order_and_bounds(n_threads):
    lock, running, most, begun = threading.Lock(), 0, 0, 0
    rng = random.Random(0)

    def work(i, check):
        nonlocal running, most, begun
        with lock:
            running, begun = running + 1, begun + 1
            most = max(most, running)
        time.sleep(rng.uniform(0, 0.003))
        check()
        with lock:
            running -= 1
        return i

    for taken, result in enumerate(work_ahead(work, 40, n_threads, 7)):
        assert result == taken
        assert begun <= taken + 7
        if taken == 20:  # whoever takes the results is slow: the others stop at the bound
            time.sleep(0.2)
            assert begun == 27
    assert taken == 39
    assert most <= n_threads
    assert own_threads() == []


def test_no_items():
    assert list(work_ahead(lambda i, check: i, 0, 2, 4)) == []


def test_the_first_error_in_order():
    late = threading.Event()

    def work(i, check):
        if i == 3:
            late.wait(10)
            raise ValueError("the first of the two")
        if i == 4:
            late.set()
            raise TypeError("the one that is faster")
        return i

    taken = []
    with pytest.raises(ValueError, match="first of the two"):
        for i in work_ahead(work, 10, 2, 6):
            taken.append(i)
    assert taken == [0, 1, 2]
    assert own_threads() == []


@pytest.mark.parametrize("how", ["close", "Ctrl-C"])
def test_stopped_early(how):
    """Items under work end at their next look, others do not begin."""
    begun, ended = [], []

    def work(i, check):
        begun.append(i)
        if i == 0:
            return i
        try:
            for _ in range(10_000):
                time.sleep(0.001)
                check()
        except CancelledError:
            ended.append(i)
            raise

    results = work_ahead(work, 10, 2, 6)
    assert next(results) == 0
    while len(begun) < 3:
        time.sleep(0.001)
    if how == "close":
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    assert own_threads() == []
    assert sorted(begun) == [0, 1, 2]
    assert sorted(ended) == [1, 2]


# Rows of features ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe():
    return Recipe(load_weights("squeezenet1_1"), ("pool1",), "avg")


def rows_of(recipe, images, **how):
    how = {"batch_size": 4, "n_threads": 2, "on_error": "raise", **how}
    rows, failures, expected = [], [], 0
    for start, values, failed in recipe.iter_rows(check_images(images), **how):
        assert start == expected
        expected += len(values)
        rows.append(values)
        failures += failed
    return np.concatenate(rows), failures


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_the_same_rows_however_the_work_is_divided(recipe, n):
    images = load_sample_photos().images[:n]
    expected, _ = rows_of(recipe, images, n_threads=1, batch_size=n)
    for n_threads in (1, 2, 3, 5):
        for batch_size in (1, 2, 5, 64):
            rows, _ = rows_of(recipe, images, n_threads=n_threads, batch_size=batch_size)
            assert_array_equal(rows, expected, strict=True)
    assert own_threads() == []


def test_batches_are_as_large_as_allowed_and_of_equal_size(recipe):
    sizes = []
    images = list(load_sample_photos().images[:3]) * 9  # 27
    how = {"batch_size": 8, "n_threads": 2, "on_error": "raise"}
    for _, rows, _ in recipe.iter_rows(check_images(images), **how):
        sizes.append(len(rows))
    assert sum(sizes) == 27
    assert sorted(sizes) == [6, 7, 7, 7]  # two a thread


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_first_bad_row_raises_and_all_are_listed(recipe, n_threads):
    images = list(load_sample_photos().images[:12])
    images[4], images[9] = "missing.jpg", b"no image"
    with pytest.raises(ImageError, match=r"row 4, .*missing"):
        rows_of(recipe, images, n_threads=n_threads, batch_size=2)
    rows, failures = rows_of(recipe, images, n_threads=n_threads, batch_size=2, on_error="nan")
    assert [row for row, _ in failures] == [4, 9]
    assert np.isnan(rows[[4, 9]]).all()
    assert np.isfinite(np.delete(rows, [4, 9], axis=0)).all()
    assert own_threads() == []


def test_few_batches_are_in_memory(recipe):
    """Of pictures that are made on demand no more are made ahead than the bound says."""

    class Pictures(Sequence):
        made = 0

        def __len__(self):
            return 200

        def __getitem__(self, i):
            Pictures.made += 1
            return np.full((8, 8, 3), i % 256, np.uint8)

    how = {"batch_size": 2, "n_threads": 2, "on_error": "raise"}
    taken = 0
    for _, rows, _ in recipe.iter_rows(check_images(Pictures()), **how):
        taken += len(rows)
        if taken in (2, 60):
            time.sleep(0.3)
        assert Pictures.made <= taken + 2 * 6  # six batches of two
    assert taken == 200


def test_a_transformer_leaves_no_threads(tmp_path):
    transformer = DeCAFTransformer("pool1", weights="squeezenet1_1", n_jobs=2, batch_size=2)
    transformer.transform(load_sample_photos().images[:8])
    assert own_threads() == []
    with pytest.raises(ImageError):
        transformer.transform([*load_sample_photos().images[:8], tmp_path / "none.png"])
    assert own_threads() == []
