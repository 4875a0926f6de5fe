"""Files that are intact, and not read, are named for what they are; damaged ones are damaged."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.bad_images import encode, photo
from oracles.unread_kinds import JPEG_ARITHMETIC, WRITTEN, tiff, unread_kinds
from PIL import Image, features

from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.images import find_unreadable, read_image
from sklearn_decaf.images._file_signatures import ENOUGH, name_foreign_file

pytestmark = pytest.mark.filterwarnings("error")
KINDS = unread_kinds()
DAMAGED = "truncated|damaged [A-Z]+ file|fetch it again"


def reason(image) -> str:
    with pytest.raises(ImageError) as raised:
        read_image(image)
    return str(raised.value)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", ["bytes", "path"])
def test_intact_files_are_named(name, source, tmp_path):
    content, pattern = KINDS[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    message = reason(content if source == "bytes" else path)
    said = message.split(": ", 1)[1]
    assert re.search(pattern, said), message
    assert name == "zeros" or not re.search(DAMAGED, said)
    assert len(message) < 700
    [(row, listed)] = find_unreadable([content])
    assert row == 0 and re.search(pattern.lstrip("^"), listed)


@pytest.mark.parametrize("name", ["float32 RGB TIFF", "TIFF of 8 bands", "uint32 RGB TIFF"])
def test_a_tiff_that_was_cut_off_is_damaged_whatever_its_kind(name):
    assert re.search(DAMAGED, reason(KINDS[name][0][:-100]))


def test_cut_files_of_kinds_that_are_read_are_truncated():
    pixels = photo()
    for file in (
        encode(pixels, "JPEG"),
        encode(pixels, "JPEG", progressive=True),
        encode(pixels, "PNG"),
        encode(pixels, "BMP"),
        tiff(pixels, photometric="rgb"),
        tiff(pixels.astype(np.uint16) * 257, photometric="rgb", compression="zlib"),
    ):
        for share in (0.6, 0.95):
            assert re.search(DAMAGED, reason(file[: int(share * len(file))]))


def test_damaged_pixel_data_is_no_kind_of_its_own():
    file = bytearray(tiff(photo(), photometric="rgb", compression="zlib"))
    middle = len(file) // 2
    file[middle : middle + 400] = b"\xff" * 400
    assert re.search(DAMAGED, reason(bytes(file)))


@pytest.mark.skipif(
    not features.check_feature("libjpeg_turbo"), reason="this build of Pillow has no libjpeg-turbo"
)
def test_arithmetic_coding_is_read_or_named():
    try:
        assert read_image(JPEG_ARITHMETIC).getpixel((4, 4)) == (120, 120, 120)
    except ImageError as error:
        assert "arithmetic coding" in str(error)


def test_planes_that_pillow_reads_right_are_read():
    pixels = photo()
    planes = np.moveaxis(pixels, 2, 0)
    separate = {"photometric": "rgb", "planarconfig": "separate"}
    for file in (
        tiff(planes, **separate),
        tiff(planes * np.uint16(257), **separate, compression="zlib"),
        tiff(pixels * np.uint16(257), photometric="rgb"),
    ):
        np.testing.assert_array_equal(read_image(file), pixels)


def test_an_opened_picture_that_pillow_misreads_is_refused():
    image = Image.open(io.BytesIO(KINDS["16-bit planes in TIFF"][0]))
    assert "in planes, which Pillow misreads" in reason(image)


def test_a_tiff_with_a_small_first_page_is_no_raw_photograph():
    pixels = photo()
    assert read_image(tiff(pixels, photometric="rgb", subfiletype=1)).size == (128, 96)


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=ENOUGH) | st.text(min_size=1).map(str.encode), st.booleans())
def test_anything_has_a_name(start, in_memory):
    name = name_foreign_file(start, "JPEG, PNG", in_memory=in_memory)
    assert name and len(name) < 200


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_naming_a_kind_never_fails(data):
    contents = [content for content, _ in KINDS.values()] + list(WRITTEN.values())
    file = bytearray(data.draw(st.sampled_from(contents)))
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, min(len(file), 400) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.none() | st.integers(0, len(file)))
    try:
        read_image(bytes(file[:end]), max_pixels=10**6)
    except ImageError as error:
        assert str(error)
