"""GIST, LLC and HOG: their equations, their invariances, and their life as estimators."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf._descriptors.gist import block_average, gabor_bank, prefilter
from sklearn_decaf._descriptors.llc import llc_codes, pool_pyramid
from sklearn_decaf._descriptors.sift import dense_sift, orientation_maps
from sklearn_decaf._utils import parallel
from sklearn_decaf.descriptors import GISTTransformer, HOGTransformer, LLCTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning

SMALL_GIST = {"image_size": 32, "n_orientations": 4}
SMALL_LLC = {"n_codewords": 8, "max_size": 64, "random_state": 0}
SMALL_HOG = {"image_size": 32}


def has_skimage() -> bool:
    try:
        import skimage  # noqa: F401
    except ImportError:
        return False
    return True


needs_skimage = pytest.mark.skipif(not has_skimage(), reason="needs scikit-image")

SMALL = [
    pytest.param(GISTTransformer(**SMALL_GIST), id="GIST"),
    pytest.param(LLCTransformer(**SMALL_LLC), id="LLC"),
    pytest.param(HOGTransformer(**SMALL_HOG), id="HOG", marks=needs_skimage),
]
every_descriptor = pytest.mark.parametrize("transformer", SMALL)


@pytest.fixture(scope="module")
def photos():
    """Eight crops of two photographs: list of arrays (h, w, 3), and their labels."""
    china, flower = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    images = []
    for i in range(4):
        for photo in (china, flower):
            images.append(np.ascontiguousarray(photo[30 * i : 30 * i + 120, 60 * i : 60 * i + 140]))
    return images, np.array(["china", "flower"] * 4)


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory):
    """The same as PNG files."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for i, image in enumerate(photos[0]):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def grating(size, cycles, angle, phase=0.0):
    """A sine grating in [0, 1]: `cycles` a pixel, its intensity changing along `angle`."""
    y, x = np.mgrid[:size, :size]
    along = x * np.cos(angle) + y * np.sin(angle)
    return 0.5 + 0.4 * np.sin(2 * np.pi * cycles * along + phase)


# SIFT -----------------------------------------------------------------------------------------


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


# LLC ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("shape", [(3, 200, 3), (500, 20, 3), (1, 1, 3), (33, 31, 3)])
def test_llc_takes_slender_and_tiny_images(photos, shape):
    llc = LLCTransformer(**SMALL_LLC).fit(photos[0])
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert_allclose(np.linalg.norm(llc.transform([image])), 1, rtol=1e-5)


# GIST -----------------------------------------------------------------------------------------


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


# HOG ------------------------------------------------------------------------------------------


@needs_skimage
@pytest.mark.parametrize("parameters", [{}, {"orientations": 8, "block_norm": "L1"}])
def test_hog_is_scikit_images(photos, parameters):
    from skimage.feature import hog

    image = photos[0][0]
    resized = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.BILINEAR))
    expected = hog(
        resized,
        orientations=parameters.get("orientations", 9),
        pixels_per_cell=(8, 8),
        cells_per_block=(2, 2),
        block_norm=parameters.get("block_norm", "L2-Hys"),
        channel_axis=-1,
    )
    assert_allclose(HOGTransformer(**parameters).transform([image])[0], expected, rtol=1e-6)


@needs_skimage
def test_hog_of_edges_in_one_direction():
    upright = np.tile((np.arange(128) % 16 < 8) * 1.0, (128, 1))
    features = HOGTransformer().transform(upright[None, ..., None]).reshape(15, 15, 2, 2, 9)
    assert_array_equal(features.mean(axis=(0, 1, 2, 3)).argsort()[-1], 0)


def test_hog_without_scikit_image(photos, monkeypatch):
    original = builtins.__import__

    def without_skimage(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ImportError(f"No module named {name!r}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_skimage)
    for call in (HOGTransformer().fit, HOGTransformer().transform):
        with pytest.raises(ImportError, match=r"sklearn-decaf\[descriptors\]"):
            call(photos[0])


@needs_skimage
def test_hog_without_room_for_a_block(photos):
    with pytest.raises(ValueError, match=r"image_size=15.*at least 16"):
        HOGTransformer(image_size=15).fit(photos[0])


# Estimators -----------------------------------------------------------------------------------


def rows_of_any_width(base):
    """A subclass that takes a row of n numbers as a grey image of 1 x n pixels."""

    class RowsOfAnyWidth(base):
        _check_range = False

        def _row_shape(self, n_features):
            return (1, n_features)

    RowsOfAnyWidth.__name__ = f"RowsOfAnyWidth{base.__name__}"
    RowsOfAnyWidth.__qualname__ = RowsOfAnyWidth.__name__
    globals()[RowsOfAnyWidth.__name__] = RowsOfAnyWidth  # the checks pickle it
    return RowsOfAnyWidth


CHECKED = [
    rows_of_any_width(GISTTransformer)(image_shape=(1, 1), image_size=16, n_orientations=2),
    rows_of_any_width(LLCTransformer)(
        image_shape=(1, 1), n_codewords=2, n_neighbors=2, step=16, random_state=0
    ),
]
if has_skimage():
    CHECKED.append(rows_of_any_width(HOGTransformer)(image_shape=(1, 1), image_size=16))


@parametrize_with_checks(CHECKED)
def test_sklearn_checks(estimator, check):
    check(estimator)


@every_descriptor
def test_all_kinds_of_input_give_the_same_rows(transformer, photos, files):
    images, _ = photos
    transformer = clone(transformer).fit(images)
    expected = transformer.transform(images)
    assert expected.dtype == np.float32 and np.isfinite(expected).all()
    stacked = np.stack(images)
    kinds = {
        "array": stacked,
        "float array": stacked / 255,
        "PIL": [Image.fromarray(image) for image in images],
        "bytes": [Path(path).read_bytes() for path in files],
        "str": files,
        "Series": pd.Series(files, index=range(100, 108)),
        "mixed": [files[0], images[1], Image.fromarray(images[2]), *files[3:]],
    }
    for name, X in kinds.items():
        assert_array_equal(transformer.transform(X), expected, err_msg=name)
    frame = pd.DataFrame({"photo": files})
    assert_array_equal(clone(transformer).fit(frame).transform(frame), expected)


@every_descriptor
def test_rows_do_not_depend_on_threads_or_neighbours(transformer, photos):
    images, _ = photos
    transformer = clone(transformer).set_params(n_jobs=1).fit(images)
    expected = transformer.transform(images)
    assert_array_equal(transformer.set_params(n_jobs=3).transform(images), expected)
    assert_array_equal(transformer.transform(images[3:4]), expected[3:4])
    order = np.random.default_rng(0).permutation(len(images))
    assert_array_equal(transformer.transform([images[i] for i in order]), expected[order])


@every_descriptor
def test_rows_of_pixels(transformer, photos):
    stacked = np.stack(photos[0])
    flat = stacked.reshape(len(stacked), -1)
    expected = clone(transformer).fit(stacked).transform(stacked)
    rows = clone(transformer).set_params(image_shape=stacked.shape[1:])
    assert not get_tags(transformer).input_tags.two_d_array
    assert get_tags(rows).input_tags.two_d_array
    assert_array_equal(rows.fit(flat).transform(flat), expected)
    assert rows.n_features_in_ == flat.shape[1]
    with pytest.raises(ValueError, match="image_shape"):
        clone(transformer).fit(flat)


@every_descriptor
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_bad_image_raises_and_is_named(transformer, files, tmp_path, n_jobs):
    bad = tmp_path / "page.jpg"
    bad.write_text("<!DOCTYPE html><title>404</title>")
    X = [*files[:4], str(bad), *files[4:], "missing.jpg"]
    transformer = clone(transformer).set_params(n_jobs=n_jobs).fit(files)
    with pytest.raises(ImageError, match=r"row 4.*page\.jpg"):
        transformer.transform(X)


@every_descriptor
def test_a_bad_image_becomes_a_row_of_nan(transformer, files):
    X = [*files[:4], "missing.jpg", *files[4:], None]
    expected = clone(transformer).fit(files).transform(files)
    transformer = clone(transformer).set_params(on_error="nan").fit(files)
    with pytest.warns(ImageWarning, match="2 of 10 images") as record:
        rows = transformer.transform(X)
    assert len(record) == 1 and "row 4" in str(record[0].message)
    bad = np.isin(np.arange(10), [4, 9])
    assert np.isnan(rows[bad]).all()
    assert_array_equal(rows[~bad], expected)


@every_descriptor
def test_names_clone_and_pickle(transformer, photos):
    images, _ = photos
    transformer = clone(transformer).fit(images)
    rows = transformer.transform(images)
    names = transformer.get_feature_names_out()
    assert len(names) == len(set(names)) == rows.shape[1]
    prefix = type(transformer).__name__.removesuffix("Transformer").lower()
    assert names[0] == f"{prefix}_0000"
    assert_array_equal(pickle.loads(pickle.dumps(transformer)).transform(images), rows)
    assert clone(transformer).get_params() == transformer.get_params()
    frame = clone(transformer).set_output(transform="pandas").fit(images).transform(images)
    assert frame.columns.tolist() == names.tolist()


@every_descriptor
@pytest.mark.parametrize(
    "parameters", [{"n_jobs": 0}, {"on_error": "skip"}, {"image_shape": (0, 3)}, {"verbose": "x"}]
)
def test_bad_parameters_are_named(transformer, photos, parameters):
    (name,) = parameters
    X = np.stack(photos[0])
    if name == "image_shape":
        X = X.reshape(len(X), -1)
    with pytest.raises(ValueError, match=name):
        clone(transformer).set_params(**parameters).fit(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"patch_sizes": ()},
        {"patch_sizes": (16, 2.5)},
        {"patch_sizes": (3,)},
        {"pyramid": (1, 0)},
        {"max_size": 20},
        {"n_neighbors": 9},
        {"regularization": 0},
    ],
)
def test_bad_parameters_of_llc_are_named(photos, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        LLCTransformer(**{**SMALL_LLC, **parameters}).fit(photos[0])


@every_descriptor
def test_inside_scikit_learn(transformer, photos):
    images, y = photos
    classifier = make_pipeline(clone(transformer), LogisticRegression(C=100))
    search = GridSearchCV(classifier, {"logisticregression__C": [1.0, 100.0]}, cv=2)
    search.fit(images, y)
    assert search.score(images, y) > 0.8
    union = FeatureUnion([("a", clone(transformer)), ("b", GISTTransformer(**SMALL_GIST))])
    assert union.fit_transform(images).shape[0] == 8


@every_descriptor
def test_verbose_shows_progress(transformer, photos, capsys):
    transformer = clone(transformer).fit(photos[0])
    capsys.readouterr()
    transformer.set_params(verbose=True).transform(photos[0])
    assert "8/8 images" in capsys.readouterr().err


@every_descriptor
def test_blas_is_left_as_it_was(transformer, photos):
    before = parallel._blas_threads()
    clone(transformer).fit(photos[0]).transform(photos[0])
    assert parallel._blas_threads() == before


@pytest.mark.slow
def test_descriptors_tell_classes_of_photographs_apart(shared_data):
    """Far better than guessing, which gives 0.25."""
    from sklearn_decaf.datasets import load_image_folder

    folder = shared_data("caltech101_20x60") / "101_ObjectCategories"
    classes = ["airplanes", "bonsai", "car_side", "sunflower"]
    photographs = load_image_folder(folder, classes=classes)
    train = np.concatenate([np.flatnonzero(photographs.target == c)[:10] for c in range(4)])
    X, y = np.asarray(photographs.filenames), photographs.target
    for transformer in (
        GISTTransformer(image_size=128),
        LLCTransformer(64, max_descriptors=10_000, random_state=0),
    ):
        classifier = make_pipeline(transformer, LogisticRegression(C=100, max_iter=1000))
        classifier.fit(X[train], y[train])
        assert classifier.score(X[train + 10], y[train + 10]) > 0.75
