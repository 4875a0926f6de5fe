"""One block at a time, wherever it is computed."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import CHEAP, N_FEATURES, changed, write_photographs
from sklearn.base import clone

from sklearn_decaf import ActivationDropout, DeCAFTransformer, extract
from sklearn_decaf._extraction.blocks import compute_block, computed_blocks, for_files
from sklearn_decaf._extraction.file_list import FileList
from sklearn_decaf.exceptions import WeightsError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = write_photographs(folder, 7)
    (folder / "damaged.png").write_bytes(b"no photograph")
    return FileList([*paths[:3], "missing.png", str(folder / "damaged.png"), *paths[3:]])


@pytest.fixture(scope="module")
def expected(files):
    features = np.full((9, N_FEATURES), np.nan, np.float32)
    good = [0, 1, 2, 5, 6, 7, 8]
    features[good] = CHEAP.transform([files[row] for row in good])
    return features


BLOCKS = [range(2), range(2, 6), range(6, 9)]


def check(blocks, expected):
    reasons = {}
    for rows, (features, found) in zip(BLOCKS, blocks):
        assert features.dtype == np.float32
        assert_array_equal(features, expected[rows.start : rows.stop])
        reasons |= found
    assert sorted(reasons) == [3, 4]
    assert (reasons[3].is_access, reasons[4].is_access) == (True, False)
    assert reasons[3].startswith("no such file")
    assert reasons[4].startswith("not an image")


def test_one_block_after_another(files, expected):
    check((compute_block(CHEAP, files, rows) for rows in BLOCKS), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_one_go(files, expected, batch_size, n_jobs, tmp_path):
    done = []
    for cache in (None, tmp_path):
        transformer = for_files(changed(batch_size=batch_size, n_jobs=n_jobs, cache=cache))
        found = list(computed_blocks(transformer, files, BLOCKS, done.append))
        assert [rows for rows, _, _ in found] == BLOCKS
        check([block for _, *block in found], expected)
    assert sum(done) == 18


@pytest.mark.parametrize(
    "kind",
    [
        "threads",
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("loky", marks=pytest.mark.slow),
    ],
)
def test_any_executor(files, expected, kind):
    """Sent there with the paths of its block only."""
    tasks = [(CHEAP, files[rows.start : rows.stop], range(len(rows))) for rows in BLOCKS]
    if kind == "loky":
        found = joblib.Parallel(2)(joblib.delayed(compute_block)(*task) for task in tasks)
    else:
        executor = (
            ThreadPoolExecutor(2)
            if kind == "threads"
            else ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
        )
        with executor:
            futures = [executor.submit(compute_block, *task) for task in tasks]
            found = [future.result() for future in futures]
    found = [
        (features, {row + rows.start: reason for row, reason in reasons.items()})
        for rows, (features, reasons) in zip(BLOCKS, found)
    ]
    check(found, expected)


def test_what_is_sent_is_small_and_comes_back(files):
    task = pickle.dumps((compute_block, CHEAP, files[:2], range(2)))
    assert len(task) < 3000
    compute, *arguments = pickle.loads(task)
    assert_array_equal(compute(*arguments)[0], compute_block(CHEAP, list(files), [0, 1])[0])
    result = pickle.loads(pickle.dumps(compute_block(CHEAP, files, [3])))
    assert result[1][3].is_access


def test_rows_in_any_order_and_none(files, expected):
    features, reasons = compute_block(CHEAP, files, [8, 4, 0, 0])
    assert_array_equal(features, expected[[8, 4, 0, 0]])
    assert list(reasons) == [4]
    features, reasons = compute_block(CHEAP, files, range(0))
    assert (features.shape, features.dtype, reasons) == ((0, N_FEATURES), np.float32, {})
    found = list(computed_blocks(for_files(CHEAP), files, [range(0), [1], []], lambda n: None))
    assert [features.shape for _, features, _ in found] == [(0, 64), (1, 64), (0, 64)]


def test_parameters_for_something_else(files, expected):
    dropping = changed(on_error="raise", dropout="auto")
    check((compute_block(dropping, files, rows) for rows in BLOCKS), expected)
    for transformer, error in (
        (ActivationDropout(), TypeError),
        (DeCAFTransformer(dropout=True), ValueError),
        (DeCAFTransformer(image_shape=(8, 8)), ValueError),
        (DeCAFTransformer(batch_size=0), ValueError),
    ):
        with pytest.raises(error):
            compute_block(transformer, files, [0])


def test_other_weights_than_it_was_fitted_with_are_refused(files, tmp_path):
    """A fitted transformer knows the checksum of its weights, in each process."""
    fitted = clone(CHEAP).fit(["x.png"])
    fitted.weights_sha256_ = "0" * 64
    for compute in (
        lambda: compute_block(fitted, files, [0]),
        lambda: extract(files, tmp_path / "out", transformer=fitted, verbose=False),
    ):
        with pytest.raises(WeightsError, match="changed since this transformer was fitted"):
            compute()
