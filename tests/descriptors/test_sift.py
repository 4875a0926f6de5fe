"""Dense SIFT: its equations and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sklearn_decaf._descriptors.sift import dense_sift, orientation_maps


@pytest.mark.parametrize("bin_", range(8))
def test_sift_of_a_slope_has_one_direction(bin_):
    """The gradient of a plane is the same everywhere: one bin, all cells alike but for distance."""
    angle = bin_ * np.pi / 4
    y, x = np.mgrid[:48, :48]
    grey = 0.5 + 0.01 * ((x - 24) * np.cos(angle) + (y - 24) * np.sin(angle))
    descriptors, centres = dense_sift(grey, patch_sizes=(16,), step=8)
    inside = np.all((centres > 12) & (centres < 35), axis=1)
    histograms = descriptors[inside].reshape(-1, 16, 8)
    assert inside.sum() >= 4
    assert_allclose(histograms[..., np.arange(8) != bin_], 0, atol=2e-3)
    cells = histograms[..., bin_].reshape(-1, 4, 4)
    assert_allclose(cells, cells[:, ::-1, ::-1], atol=1e-3)  # the Gaussian is symmetric
    assert (cells[:, 1:3, 1:3] >= cells[:, :1, :1] - 1e-3).all()  # and largest at the centre


def test_direction_between_two_bins_is_shared_linearly():
    share = 0.25
    angle = (2 + share) * np.pi / 4
    y, x = np.mgrid[:32, :32]
    maps = orientation_maps((0.01 * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32))
    centre = maps[:, 16, 16]
    assert_allclose(centre[2], 0.01 * (1 - share), rtol=1e-3)
    assert_allclose(centre[3], 0.01 * share, rtol=1e-3)
    assert_allclose(np.delete(centre, [2, 3]), 0, atol=1e-6)


def test_sift_against_a_sum_over_pixels():
    """Lowe 2004, 6.1, written as loops over the patch's pixels and cells."""
    rng = np.random.default_rng(0)
    grey = rng.random((20, 23)).astype(np.float32)
    size, cell = 16, 4.0
    descriptors, centres = dense_sift(grey, patch_sizes=(size,), step=3)
    maps = orientation_maps(grey).astype(np.float64)
    for descriptor, (cy, cx) in zip(descriptors, centres):
        expected = np.zeros((4, 4, 8))
        for y in range(20):
            for x in range(23):
                weight = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * (size / 2) ** 2))
                for i in range(4):
                    for j in range(4):
                        dy = abs(y - (cy + cell * (i - 1.5))) / cell
                        dx = abs(x - (cx + cell * (j - 1.5))) / cell
                        if dy < 1 and dx < 1:
                            expected[i, j] += weight * (1 - dy) * (1 - dx) * maps[:, y, x]
        expected = expected.ravel() / np.linalg.norm(expected)
        expected = np.minimum(expected, 0.2)
        assert_allclose(descriptor, expected / np.linalg.norm(expected), atol=1e-5)


def test_sift_grid_is_centred():
    _, centres = dense_sift(np.zeros((40, 64)), patch_sizes=(16, 31), step=8)
    for size, rows, columns in ((16, 4, 7), (31, 2, 5)):
        own = centres[:28] if size == 16 else centres[28:]
        assert len(own) == rows * columns
        margins = own.min(axis=0), np.array([39, 63]) - own.max(axis=0)
        assert (np.abs(margins[0] - margins[1]) <= 1).all()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    gain=st.floats(0.3, 1.0),
    offset=st.floats(0.0, 0.3),
    shape=st.tuples(st.integers(31, 50), st.integers(31, 50)),
)
def test_sift_ignores_affine_changes_of_light(seed, gain, offset, shape):
    grey = np.random.default_rng(seed).random(shape)
    first, _ = dense_sift(grey)
    second, _ = dense_sift(gain * grey + offset)
    assert_allclose(first, second, atol=1e-4)
    assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    assert first.min() >= 0


def test_patches_without_contrast_stay_short():
    flat, _ = dense_sift(np.full((40, 40), 0.7))
    assert_allclose(flat, 0, atol=1e-4)
    noise = np.random.default_rng(0).normal(0.5, 1e-3, (40, 40))
    assert np.linalg.norm(dense_sift(noise)[0], axis=1).max() < 0.5


def test_turning_the_image_turns_the_descriptor():
    grey = np.random.default_rng(0).random((32, 32))
    one = dense_sift(grey, patch_sizes=(16,), step=16)[0].reshape(2, 2, 4, 4, 8)
    half_turn = dense_sift(grey[::-1, ::-1], patch_sizes=(16,), step=16)[0]
    half_turn = half_turn.reshape(2, 2, 4, 4, 8)[::-1, ::-1, ::-1, ::-1]
    assert_allclose(np.roll(half_turn, 4, axis=-1), one, atol=1e-5)
