"""GIST: its filters, its invariances, and the program of its authors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image
from sklearn.datasets import load_sample_image

from sklearn_decaf._descriptors.gist import block_average, gabor_bank, prefilter
from sklearn_decaf.descriptors import GISTTransformer


def grating(size, cycles, angle, phase=0.0):
    """A sine grating in [0, 1]: `cycles` a pixel, its intensity changing along `angle`."""
    y, x = np.mgrid[:size, :size]
    along = x * np.cos(angle) + y * np.sin(angle)
    return 0.5 + 0.4 * np.sin(2 * np.pi * cycles * along + phase)


@pytest.mark.parametrize("scale", [0, 1, 2, 3])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6])
def test_a_grating_excites_its_own_filter_most(scale, orientation):
    size = 128
    angle = orientation * np.pi / 8
    image = grating(size, 0.3 / 1.85**scale, angle)
    spectrum = np.fft.fft2(image)
    bank = gabor_bank(size, 4, 8)
    energy = np.abs(np.fft.ifft2(spectrum * bank)).mean(axis=(-2, -1))  # (4, 8)
    assert np.unravel_index(energy.argmax(), energy.shape) == (scale, orientation)
    # a sine of amplitude 0.4 has half of it on the filter's side of the spectrum; what leaks at
    # the border, where the grating is cut off, takes a part
    assert 0.15 < energy.max() < 0.21


def test_filters_have_the_stated_bandwidths():
    """exp(-3.5 (f / f0 - 1)^2) along the direction, exp(-(pi / 32) 64 angle^2) across."""
    size = 200
    bank = gabor_bank(size, 4, 8)
    f0 = 0.3
    assert_allclose(bank[0, 0, 0, 60], 1)  # 60 cycles in 200 pixels along x
    assert_allclose(bank[0, 0, 0, 30], np.exp(-3.5 * 0.25), rtol=1e-5)
    angle = np.arctan2(10, 60)
    f = np.hypot(10, 60) / size
    expected = np.exp(-3.5 * (f / f0 - 1) ** 2) * np.exp(-2 * np.pi * angle**2)
    assert_allclose(bank[0, 0, 10, 60], expected, rtol=1e-5)
    assert (bank[..., 0, 0] == 0).all()
    assert bank[0, 0, 0, -60] < 1e-6  # one side of the spectrum only


def test_gist_does_not_see_the_phase():
    rows = GISTTransformer(image_size=128).transform(
        [np.repeat(grating(128, 0.3, 0, phase)[..., None], 3, axis=2) for phase in (0, 1, 2)]
    )
    assert_allclose(rows[1:], rows[:1].repeat(2, axis=0), atol=0.05 * rows.max())


@pytest.mark.parametrize("block", [(0, 0), (1, 2), (3, 3)])
def test_gist_knows_where_and_in_which_direction(block):
    image = np.full((256, 256), 0.5)
    i, j = block
    rows, columns = slice(64 * i, 64 * i + 64), slice(64 * j, 64 * j + 64)
    image[rows, columns] = grating(64, 0.3, 2 * np.pi / 8)
    features = GISTTransformer().transform(image[None, ..., None]).reshape(4, 8, 4, 4)
    assert np.unravel_index(features.argmax(), features.shape) == (0, 2, i, j)


def test_gist_is_hardly_moved_by_light(photos):
    bright = photos[0][0].astype(float) / 255
    shade = np.linspace(0.5, 0.9, bright.shape[1])[:, None]  # (w, 1)
    rows = GISTTransformer().transform([bright, 0.5 * bright, shade * bright, bright[:, ::-1]])
    distance = np.linalg.norm(rows - rows[0], axis=1) / np.linalg.norm(rows[0])
    assert distance[1] < 0.1 and distance[2] < 0.15
    assert distance[3] > 0.3  # but by another scene


def test_gist_of_a_mirrored_image_is_mirrored():
    """Left and right blocks change places, and orientation o becomes -o."""
    image = np.random.default_rng(0).random((1, 64, 64, 1))
    gist = GISTTransformer(image_size=64)
    one, mirrored = (gist.transform(x).reshape(4, 8, 4, 4) for x in (image, image[:, :, ::-1]))
    assert_allclose(mirrored[:, -np.arange(8) % 8, :, ::-1], one, rtol=0.02, atol=1e-3)


def test_prefilter_removes_slow_light_and_keeps_texture():
    x = np.tile(np.arange(128), (128, 1))
    slow = 100 + 50 * np.cos(2 * np.pi * x / 128)
    fine = 100 + 50 * np.cos(2 * np.pi * x / 4)
    of_slow, of_fine = (prefilter(x[None].astype(np.float32)) for x in (slow, fine))
    assert np.abs(of_slow[0, 32:96, 32:96]).mean() < 0.25 * np.abs(of_fine).mean()
    assert_allclose(prefilter(np.full((1, 64, 64), 90, np.float32)), 0, atol=1e-5)


@given(side=st.integers(1, 60), n_blocks=st.integers(1, 12))
def test_block_average(side, n_blocks):
    if n_blocks > side:
        return
    weights = block_average(side, n_blocks)
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert ((weights > 0).sum(axis=0) == 1).all()
    sizes = (weights > 0).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def gist_of_the_authors(grey):
    """The authors' published program, step by step, for a grey image of 256 x 256 in 0..255.

    Written with plain sums of pixels and full complex transforms in float64. Its filters lie at
    the angle -pi * o / 8 where ours lie at pi * o / 8, and let 3 % of a constant pass.
    """
    n = 256
    logs = np.pad(np.log(grey + 1), 5, mode="symmetric")
    size = n + 10
    fx, fy = np.meshgrid(np.arange(-size // 2, size // 2), np.arange(-size // 2, size // 2))
    low = np.fft.ifftshift(np.exp(-(fx**2 + fy**2) / (4 / np.sqrt(np.log(2))) ** 2))
    detail = logs - np.fft.ifft2(np.fft.fft2(logs) * low).real
    contrast = np.sqrt(np.abs(np.fft.ifft2(np.fft.fft2(detail**2) * low)))
    filtered = (detail / (0.2 + contrast))[5:-5, 5:-5]

    padded = np.pad(filtered, 32, mode="symmetric")
    size = n + 64
    fx, fy = np.meshgrid(np.arange(-size // 2, size // 2), np.arange(-size // 2, size // 2))
    radius, angle = np.hypot(fx, fy) / size, np.arctan2(fy, fx)
    spectrum = np.fft.fft2(padded)
    rows = []
    for scale in range(4):
        for orientation in range(8):
            turned = angle + np.pi * orientation / 8
            turned[turned > np.pi] -= 2 * np.pi
            gabor = np.exp(
                -10 * 0.35 * (radius / (0.3 / 1.85**scale) - 1) ** 2
                - 2 * (16 * 8**2 / 32**2) * np.pi * turned**2
            )
            response = np.abs(np.fft.ifft2(spectrum * np.fft.ifftshift(gabor)))[32:-32, 32:-32]
            for i in range(4):
                for j in range(4):
                    block = response[64 * i : 64 * i + 64, 64 * j : 64 * j + 64]
                    rows.append(block.mean())
    return np.array(rows).reshape(4, 8, 4, 4)


def test_gist_against_the_authors_program():
    photo = Image.fromarray(load_sample_image("china.jpg")).convert("L").resize((256, 256))
    expected = gist_of_the_authors(np.asarray(photo, dtype=np.float64))
    got = GISTTransformer().transform([photo]).reshape(4, 8, 4, 4)
    # what is left is the constant, which ours leave out
    assert_allclose(got, expected[:, -np.arange(8) % 8], rtol=0.02, atol=0.005)


def test_gist_widths(photos):
    images = photos[0][:1]
    assert GISTTransformer().transform(images).shape == (1, 512)
    rgb = GISTTransformer(channels="rgb", image_size=64).transform(images)
    assert rgb.shape == (1, 1536)
    grey = np.repeat(images[0].mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    rows = GISTTransformer(channels="rgb", image_size=64).transform([grey]).reshape(3, 512)
    assert_allclose(rows[1:], rows[:1].repeat(2, axis=0), rtol=1e-5)
    expected = GISTTransformer(image_size=64).transform([grey])
    assert_allclose(rows[:1], expected, atol=2e-3 * expected.max())
