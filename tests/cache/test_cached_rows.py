"""Rows that are looked up or computed: each image once, by whoever is first, without long waits."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_decaf import ActivationCache, DeCAFTransformer
from sklearn_decaf._cache.cached_rows import CachedComputation, cached_rows
from sklearn_decaf._cache.key_locks import KeyLocks
from sklearn_decaf._cache.keys import identify
from sklearn_decaf._cache.lookup import FeatureLookup
from sklearn_decaf.images import check_images

CHEAP = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling="avg")
RUN = {"batch_size": 2, "n_threads": 1, "on_error": "nan"}


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (6, 60, 70, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def expected(images):
    return CHEAP.transform(images)


def digests(images):
    return [identify(image, exif_transpose=True)[0] for image in images]


def test_found_and_computed_rows(images, expected, tmp_path):
    counted = []
    cache = ActivationCache(tmp_path)
    for part in (images[:2], images, [images[3], images[3], images[5]]):
        counted.clear()
        features, failures = cached_rows(
            check_images(part), CHEAP._recipe(), cache, count=counted.append, **RUN
        )
        assert failures == []
        assert sum(counted) == len(part)
        rows = [next(i for i, other in enumerate(images) if other is image) for image in part]
        assert_array_equal(features, expected[rows], strict=True)


def test_look_up_and_computation_apart(images, expected, tmp_path):
    """A look-up fills in what is there, and leaves the rest."""
    cache, recipe = ActivationCache(tmp_path), CHEAP._recipe()
    lookup = FeatureLookup(cache, recipe)
    names = digests(images)
    assert lookup.find(names) == {}
    lookup.keep(dict(zip(names[:3], expected)))
    found = lookup.find([*names, names[0]])
    assert list(found) == names[:3]
    assert_array_equal(np.stack(list(found.values())), expected[:3], strict=True)

    work = CachedComputation(check_images(images), recipe, lookup, RUN, lambda n: None)
    work.look_up_all()
    assert work.missing == {names[row]: [row] for row in (3, 4, 5)}
    assert_array_equal(work.features[:3], expected[:3])
    lookup.keep({names[4]: expected[4]})
    assert work.look_up(list(work.missing)) == 1
    assert list(work.missing.values()) == [[3], [5]]
    work.compute_missing(cache.locks_path(), patience=60)
    assert work.missing == {}
    assert_array_equal(work.features, expected)


def test_rows_of_more_outputs_are_narrowed(images, tmp_path):
    """All numbered layers are computed; the columns are those that were asked for."""
    both = DeCAFTransformer((7, 5), weights="squeezenet1_1", dropout=False)
    lookup = FeatureLookup(ActivationCache(tmp_path), both._recipe())
    assert set(lookup.widened.layers) > {7, 5}
    wide = np.arange(2 * lookup.widened.n_features, dtype=np.float32).reshape(2, -1)
    narrow = lookup.narrow(wide)
    assert narrow.shape == (2, both._recipe().n_features)
    columns, of_wide = both._recipe().output_columns(), lookup.widened.output_columns()
    for output, place in columns.items():
        assert_array_equal(narrow[:, place], wide[:, of_wide[output]])


def test_pieces_of_another_size_are_not_taken(images, expected, tmp_path):
    cache = ActivationCache(tmp_path)
    lookup = FeatureLookup(cache, CHEAP._recipe())
    [name] = digests(images[:1])
    cache.put(dict.fromkeys([lookup._key(name, output) for output in lookup._columns], b"short"))
    assert lookup.find([name]) == {}


def test_nobody_waits_for_ever(images, expected, tmp_path):
    """Somebody who locks images and never computes them holds up nobody for long."""
    cache, recipe = ActivationCache(tmp_path), CHEAP._recipe()
    cached_rows(check_images(images[:1]), recipe, cache, count=lambda n: None, **RUN)
    lookup = FeatureLookup(cache, recipe)
    with KeyLocks(cache.locks_path()) as theirs:
        assert all(theirs.acquire(lookup.lock_key(name)) for name in digests(images))
        features, _ = cached_rows(
            check_images(images), recipe, cache, count=lambda n: None, patience=0.2, **RUN
        )
    assert_array_equal(features, expected)


def test_what_another_thread_computes_is_waited_for(images, expected, tmp_path):
    cache, recipe = ActivationCache(tmp_path), CHEAP._recipe()
    lookup = FeatureLookup(cache, recipe)
    names = digests(images)
    cached_rows(check_images(images[:1]), recipe, cache, count=lambda n: None, **RUN)
    result = []
    with KeyLocks(cache.locks_path()) as mine:
        assert all(mine.acquire(lookup.lock_key(name)) for name in names)
        other = threading.Thread(
            target=lambda: result.append(
                cached_rows(check_images(images), recipe, cache, count=lambda n: None, **RUN)
            )
        )
        other.start()
        marked = {name: row + 1 for name, row in zip(names, expected)}  # told from its own work
        lookup.keep(marked)
        other.join(60)
    assert_array_equal(result[0][0][1:], expected[1:] + 1)
