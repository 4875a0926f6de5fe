"""Random changes of images: what they may be, and that threads and batches do not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_decaf.training import ColourShift, Mirror, RandomCrop, RandomResizedCrop
from sklearn_decaf.training._augmentation import check_augmentation, principal_colours
from sklearn_decaf.training._images import ImageData

ALL = (RandomResizedCrop(), Mirror(), ColourShift(components=tuple(map(tuple, np.eye(3) * 20))))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 10, 14, 3), dtype=np.uint8)


def changed(images, *changes, size=(8, 8), seed=0, n_threads=1):
    data = ImageData(images, size, changes, n_threads)
    return data.take(np.arange(len(images)), 0, np.random.default_rng(seed))


def test_the_same_images_whatever_the_threads(images):
    expected = changed(images, *ALL)
    assert expected.shape == (12, 8, 8, 3) and expected.dtype == np.uint8
    np.testing.assert_array_equal(changed(images, *ALL, n_threads=3), expected)
    assert (changed(images, *ALL, seed=1) != expected).any(axis=(1, 2, 3)).all()


def test_images_that_are_looked_at_are_the_centre(images):
    data = ImageData(images, (8, 8), ALL)
    np.testing.assert_array_equal(data.take(np.array([3, 1])), images[[3, 1], 1:9, 3:11])


def test_mirror(images):
    found = changed(images, Mirror(), size=(10, 14))
    mirrored = [np.array_equal(one, image[:, ::-1]) for one, image in zip(found, images)]
    same = [np.array_equal(one, image) for one, image in zip(found, images)]
    assert all(a != b for a, b in zip(mirrored, same)) and 0 < sum(mirrored) < 12
    np.testing.assert_array_equal(changed(images, Mirror(p=1), size=(10, 14)), images[:, :, ::-1])


def test_crops_are_parts_and_reach_every_place():
    image = np.arange(10 * 14 * 3).reshape(1, 10, 14, 3).astype(np.float32)
    places = set()
    for seed in range(300):
        (found,) = changed(image, RandomCrop(), seed=seed)
        y, x = divmod(int(found[0, 0, 0]) // 3, 14)
        np.testing.assert_array_equal(found, image[0, y : y + 8, x : x + 8])
        places.add((y, x))
    assert places == {(y, x) for y in range(3) for x in range(7)}


def test_crops_of_images_without_a_margin_are_shifts(images):
    small = images[:, :8, :8]
    found = changed(small, RandomCrop())  # by one pixel, an eighth
    for one, image in zip(found, small):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
        parts = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
        assert any(np.array_equal(one, part) for part in parts)
    np.testing.assert_array_equal(changed(small, RandomCrop(padding=0)), small)


def test_a_row_of_pixels_is_shifted_along_itself():
    row = np.arange(48, dtype=np.float32).reshape(1, 1, 16, 3)
    found = changed(row, RandomCrop(padding=2), size=(1, 16))
    assert found.shape == (1, 1, 16, 3)


@given(
    numbers=st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
)
def test_resized_crops_of_any_image(numbers, height, width):
    image = np.full((height, width, 3), 77, np.uint8)
    for dtype in (np.uint8, np.float32):
        found = RandomResizedCrop().apply(image.astype(dtype), np.array(numbers), (5, 7))
        assert found.shape == (5, 7, 3) and (found == 77).all() and found.dtype == dtype


def test_the_largest_crop_is_the_whole_image(images):
    whole = RandomResizedCrop(scale=(1, 1), ratio=(1.4, 1.4))
    np.testing.assert_array_equal(changed(images, whole, size=(10, 14)), images)


def test_colours_move_along_their_components():
    grey = np.full((1000, 1, 1, 3), 100.0, np.float32)
    components = ((20.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 0.0))
    found = changed(grey, ColourShift(0.5, components), size=(1, 1)).reshape(1000, 3)
    np.testing.assert_allclose(found.std(axis=0), [10, 5, 0], rtol=0.1)
    np.testing.assert_allclose(found.mean(axis=0), 100, atol=2)
    assert found[:, 2].tolist() == [100] * 1000
    dark = changed(np.zeros((50, 1, 1, 3), np.uint8), ColourShift(1, components), size=(1, 1))
    assert dark.dtype == np.uint8 and dark[..., 0].max() < 100  # and nothing wraps around


def test_principal_colours():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0].T
    pixels = 128 + rng.normal(size=(20000, 3)) * [3, 10, 30] @ axes
    found = np.array(principal_colours(pixels))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [3, 10, 30], rtol=0.03)
    np.testing.assert_allclose(
        found.T @ found, np.cov(pixels, rowvar=False, bias=True), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ("flip", "'flip' is none of 'mirror'"),
        (("mirror", 3), "3 is none of"),
        (("mirror", Mirror()), "one of each kind"),
        (("crop", "resized_crop"), "one that cuts"),
    ],
)
def test_what_makes_no_sense_is_named(augmentation, message):
    with pytest.raises(ValueError, match=message):
        check_augmentation(augmentation)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mirror(p=2),
        lambda: RandomCrop(padding=-1),
        lambda: RandomResizedCrop(scale=(0.5, 2)),
        lambda: RandomResizedCrop(ratio=(2, 1)),
        lambda: ColourShift(-1),
    ],
)
def test_options_are_checked(make):
    with pytest.raises(ValueError, match=r"p ==|padding=|scale=|ratio=|deviation =="):
        make()


def test_names():
    assert check_augmentation(None) == ()
    assert check_augmentation("mirror") == (Mirror(),)
    assert check_augmentation(("mirror", "resized_crop")) == (RandomResizedCrop(), Mirror())
