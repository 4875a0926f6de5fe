"""Transparency that hides a whole picture is ignored, with one warning a call."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_allclose, assert_array_equal
from oracles.bad_images import encode, photo
from oracles.hidden_images import bmp_v4, hidden_inputs
from PIL import Image

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer, extract
from sklearn_decaf.descriptors import GISTTransformer, LLCTransformer
from sklearn_decaf.exceptions import ImageWarning
from sklearn_decaf.images import find_unreadable, iter_batches, read_image

HIDDEN = [np.dstack([photo(seed=seed), np.zeros((96, 128, 1), np.uint8)]) for seed in range(2)]
OPAQUE = [photo(seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    return hidden_inputs(tmp_path_factory.mktemp("hidden"))


def warned_rows(call):
    """What a call returns, and the rows of which its only warning speaks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    if not caught:
        return result, []
    [warning] = caught
    assert warning.category is ImageWarning
    assert warning.filename == __file__
    title, *lines = str(warning.message).splitlines()
    assert re.match(rf"{len(lines)} of \d+ images are transparent everywhere", title)
    return result, [int(re.match(r"  row (\d+)", line)[1]) for line in lines]


def test_colours(hidden):
    for case in hidden:
        with pytest.warns(ImageWarning, match="transparent everywhere and were read as if they"):
            image = read_image(case.image)
        centre = image.getpixel((image.width // 2, image.height // 2))
        assert_allclose(centre, case.colour, atol=1, err_msg=case.name)


def test_one_warning_lists_them(hidden):
    images = [case.image for case in hidden]
    everything = [OPAQUE[0], *images, OPAQUE[1]]
    expected = list(range(1, 1 + len(images)))
    batches, rows = warned_rows(lambda: list(iter_batches(everything, batch_size=3, n_jobs=2)))
    assert rows == expected
    assert len(np.unique(np.concatenate([batch for _, batch, _ in batches]), axis=0)) > 5
    for n_jobs in (1, 3):
        transformer = DeCAFTransformer("stem", batch_size=2, n_jobs=n_jobs)
        _, rows = warned_rows(lambda: transformer.transform(everything))  # noqa: B023
        assert rows == expected
    _, rows = warned_rows(lambda: GISTTransformer(image_size=32).transform(everything))
    assert rows == expected
    failed, rows = warned_rows(lambda: find_unreadable(everything))
    assert failed == [] and rows == expected


def test_a_long_list_is_cut():
    with pytest.warns(ImageWarning, match=r"(?s)30 of 30 images.*row 19, .*\.\.\. and 10 more$"):
        list(iter_batches(HIDDEN * 15))


@pytest.mark.parametrize("kind", ["array", "BMP", "PNG", "PIL"])
def test_features_are_those_of_the_opaque_pictures(kind, tmp_path):
    make = {
        "array": lambda pixels: pixels,
        "BMP": bmp_v4,
        "PNG": lambda pixels: encode(pixels, "PNG"),
        "PIL": Image.fromarray,
    }[kind]
    X = [make(HIDDEN[0]), OPAQUE[0], make(HIDDEN[1]), make(HIDDEN[0])]
    expected = DeCAFTransformer("stem").transform([*OPAQUE[:1] * 2, OPAQUE[1], OPAQUE[0]])
    assert not np.array_equal(expected[0], expected[2])
    for transformer in (
        DeCAFTransformer("stem"),
        DeCAFTransformer("stem", cache=tmp_path / "cache"),
        DeCAFTransformer("stem", cache=tmp_path / "cache"),  # warns again
    ):
        features, rows = warned_rows(lambda: transformer.transform(X))  # noqa: B023
        assert rows == [0, 2, 3]
        assert_array_equal(features, expected)


def test_crops():
    boxes = np.tile([10, 10, 60, 60], (2, 1))
    crops = BoundingBoxCropper(size=None).transform(HIDDEN, boxes)
    expected = BoundingBoxCropper(size=None).transform(OPAQUE, boxes)
    assert [np.array_equal(*pair) for pair in zip(crops, expected)] == [True, True]
    _, rows = warned_rows(lambda: DeCAFTransformer("stem").transform(crops))
    assert rows == [0, 1]


def test_learning_descriptors():
    coder = LLCTransformer(n_codewords=16, step=16, random_state=0)
    _, rows = warned_rows(lambda: coder.fit(HIDDEN + OPAQUE))
    assert rows == [0, 1]


def test_extraction(tmp_path):
    paths = [tmp_path / f"{number}.bmp" for number in range(2)]
    for path, pixels in zip(paths, HIDDEN):
        path.write_bytes(bmp_v4(pixels))
    transformer = DeCAFTransformer("stem")
    call = lambda: extract(paths, tmp_path / "out", transformer=transformer, verbose=False)  # noqa: E731
    result, rows = warned_rows(call)
    assert rows == [0, 1]
    assert_array_equal(np.load(result.files[0]), DeCAFTransformer("stem").transform(OPAQUE))


def test_one_visible_pixel_is_enough():
    for pixels in HIDDEN:
        pixels = pixels.copy()
        pixels[5, 7, 3] = 1
        _, rows = warned_rows(lambda: DeCAFTransformer("stem").transform([pixels]))  # noqa: B023
        assert rows == []
        assert read_image(pixels).getpixel((0, 0)) == (255, 255, 255)


def test_the_scale_of_16_bits_is_that_of_the_colours():
    pixels = np.full((4, 4, 4), 65535, np.uint16)
    pixels[..., :3] = 200
    with pytest.raises(ValueError, match=r"16-bit pixels in 200\.\.200, black on a scale"):
        read_image(pixels)


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4)),
        elements=st.sampled_from([0, 0, 0, 1, 128, 255]),
    ),
    st.sampled_from(["array", "uint16", "float", "PIL", "PNG", "TIFF", "BMP", "LA"]),
)
def test_any_alpha(pixels, kind):
    alpha = pixels[..., 3:] / 255
    colours = pixels[..., :3]
    if kind == "LA":
        colours = np.repeat(pixels[..., :1], 3, axis=2)
    expected = colours * alpha + 255 * (1 - alpha) if alpha.any() else colours
    image = {
        "array": lambda: pixels,
        "uint16": lambda: pixels * np.uint16(257),
        "float": lambda: pixels / 255,
        "PIL": lambda: Image.fromarray(pixels),
        "PNG": lambda: encode(pixels, "PNG"),
        "TIFF": lambda: encode(pixels, "TIFF"),
        "BMP": lambda: bmp_v4(pixels),
        "LA": lambda: Image.fromarray(np.ascontiguousarray(pixels[..., [0, 3]])),
    }[kind]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = np.asarray(read_image(image))
    assert len(caught) == (not alpha.any())
    assert_allclose(result, expected, atol=1)
