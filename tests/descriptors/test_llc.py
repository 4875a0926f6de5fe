"""Locality-constrained linear coding: its equation, its pooling and its codebook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.exceptions import NotFittedError

from sklearn_decaf._descriptors.llc import llc_codes, pool_pyramid
from sklearn_decaf.descriptors import LLCTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning

SMALL_LLC = {"n_codewords": 8, "max_size": 64, "random_state": 0}


def random_problem(seed, n=12, m=20, d=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d))


@pytest.mark.parametrize("n_neighbors", [1, 2, 5, 20])
def test_codes_solve_the_constrained_least_squares_problem(n_neighbors):
    """Wang et al. 2010, eq. 3 on the nearest codewords, against its Lagrangian system."""
    descriptors, codebook = random_problem(0)
    regularization = 1e-2
    neighbors, codes = llc_codes(descriptors, codebook, n_neighbors, regularization)
    for x, chosen, code in zip(descriptors, neighbors, codes):
        distances = np.linalg.norm(codebook - x, axis=1)
        assert set(chosen) == set(np.argsort(distances)[:n_neighbors])
        bases = codebook[chosen]
        e = regularization * (distances[chosen] ** 2).sum()  # the trace of the covariance
        k = n_neighbors
        system = np.zeros((k + 1, k + 1))
        system[:k, :k] = 2 * (bases @ bases.T + e * np.eye(k))
        system[:k, k] = system[k, :k] = 1
        solution = np.linalg.solve(system, [*(2 * bases @ x), 1.0])
        assert_allclose(code, solution[:k], rtol=1e-6, atol=1e-9)


def test_codes_against_a_numerical_minimiser():
    descriptors, codebook = random_problem(1, n=4, m=8, d=5)
    regularization = 0.05
    neighbors, codes = llc_codes(descriptors, codebook, 4, regularization)
    for x, chosen, code in zip(descriptors, neighbors, codes):
        bases = codebook[chosen]
        e = regularization * ((bases - x) ** 2).sum()
        found = minimize(
            lambda c, bases=bases, x=x, e=e: ((x - c @ bases) ** 2).sum() + e * (c**2).sum(),
            np.full(4, 0.25),
            constraints={"type": "eq", "fun": lambda c: c.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert found.success
        assert_allclose(code, found.x, atol=1e-5)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), n_neighbors=st.integers(1, 10), shift=st.floats(-5, 5))
def test_codes_sum_to_one_and_do_not_move_with_the_origin(seed, n_neighbors, shift):
    descriptors, codebook = random_problem(seed)
    neighbors, codes = llc_codes(descriptors, codebook, n_neighbors)
    assert_allclose(codes.sum(axis=1), 1)
    moved, moved_codes = llc_codes(descriptors + shift, codebook + shift, n_neighbors)
    assert_array_equal(moved, neighbors)
    assert_allclose(moved_codes, codes, rtol=1e-4, atol=1e-6)


def test_a_codeword_is_coded_by_itself():
    _, codebook = random_problem(2)
    neighbors, codes = llc_codes(codebook, codebook, 3, 1e-8)
    assert_array_equal(neighbors[:, 0], np.arange(len(codebook)))
    assert_allclose(codes[:, 0], 1, atol=1e-5)
    # one neighbour is hard assignment, eq. 1; and equal codewords share
    assert_array_equal(llc_codes(codebook, codebook, 1)[1], np.ones((20, 1)))
    assert_allclose(llc_codes(np.ones((1, 4)), np.ones((2, 4)), 2)[1], [[0.5, 0.5]])


def test_codes_do_not_depend_on_the_chunks():
    descriptors, codebook = random_problem(3, n=2500)
    whole = llc_codes(descriptors, codebook)
    parts = [llc_codes(part, codebook) for part in np.array_split(descriptors, 7)]
    assert_array_equal(np.concatenate([p[0] for p in parts]), whole[0])
    assert_allclose(np.concatenate([p[1] for p in parts]), whole[1], rtol=1e-9)


def test_pooling_against_loops():
    rng = np.random.default_rng(0)
    n, k, m = 60, 3, 7
    neighbors = np.stack([rng.permutation(m)[:k] for _ in range(n)])
    codes, positions = rng.normal(size=(n, k)), rng.random((n, 2))
    got = pool_pyramid(neighbors, codes, positions, m, (1, 2, 3))
    dense = np.zeros((n, m))
    np.put_along_axis(dense, neighbors, codes, axis=1)
    expected = []
    for cells in (1, 2, 3):
        for i in range(cells):
            for j in range(cells):
                own = [
                    code
                    for code, (y, x) in zip(dense, positions)
                    if i <= y * cells < i + 1 and j <= x * cells < j + 1
                ]
                expected.append(np.max([np.zeros(m), *own], axis=0))
    assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.slow
def test_llc_rows_have_length_one_and_the_documented_width(photos):
    llc = LLCTransformer(32, pyramid=(1, 2), random_state=0)
    rows = llc.fit_transform(photos[0])
    assert rows.shape == (8, 32 * 5)
    assert llc.codebook_.shape == (32, 128) and llc.codebook_.dtype == np.float32
    assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert rows.min() >= 0
    # the coarsest cell is the largest of the finer ones
    cells = rows.reshape(8, 5, 32)
    assert_allclose(cells[:, 0], cells[:, 1:].max(axis=1), rtol=1e-6)


def test_llc_learns_from_a_bounded_sample(photos):
    images, _ = photos
    llc = LLCTransformer(**{**SMALL_LLC, "max_descriptors": 40})
    sample = llc._sample_descriptors(llc._check_X(images, reset=True), np.random.RandomState(0))
    assert sample.shape == (40, 128)
    few = LLCTransformer(**{**SMALL_LLC, "max_descriptors": 3})
    sample = few._sample_descriptors(few._check_X(images, reset=True), np.random.RandomState(0))
    assert sample.shape == (3, 128)


@pytest.mark.slow
def test_llc_codebook_follows_random_state_alone(photos):
    images, _ = photos
    first = LLCTransformer(**SMALL_LLC, n_jobs=1).fit(images).codebook_
    assert_array_equal(LLCTransformer(**SMALL_LLC, n_jobs=3).fit(images).codebook_, first)
    other = LLCTransformer(**{**SMALL_LLC, "random_state": 1}).fit(images).codebook_
    assert not np.array_equal(other, first)


def test_llc_says_what_it_lacks(photos):
    images, _ = photos
    with pytest.raises(ValueError, match=r"patches found in 1 images.*n_codewords=1024"):
        LLCTransformer(max_size=64).fit(images[:1])
    with pytest.raises(NotFittedError):
        LLCTransformer().transform(images)
    with pytest.raises(ImageError, match="no image could be read"), pytest.warns(ImageWarning):
        LLCTransformer(on_error="nan").fit(["missing.jpg"])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 200, 3), (500, 20, 3), (1, 1, 3), (33, 31, 3)])
def test_llc_takes_slender_and_tiny_images(photos, shape):
    llc = LLCTransformer(**SMALL_LLC).fit(photos[0])
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert_allclose(np.linalg.norm(llc.transform([image])), 1, rtol=1e-5)
