"""Pictures that were opened with Pillow give what was opened, and keep no pixels."""

from __future__ import annotations

import io
import os
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles.bad_images import encode, photo
from oracles.opened_pictures import (
    FORMATS,
    PICTURES,
    expected_of,
    file_of,
    open_one_after_the_other,
    replace,
)
from PIL import Image, ImageFile, ImageOps, ImageSequence

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.images import iter_batches, read_image
from sklearn_decaf.images._opened_images import is_loaded, load_again


def rgb(image) -> np.ndarray:
    return np.asarray(read_image(image))


@pytest.fixture(params=FORMATS)
def opened(request, tmp_path):
    """Pictures of one format, size and mode that were opened by one name, and what they are."""
    images, expected = open_one_after_the_other(request.param, tmp_path / "frame")
    yield images, expected
    for image in images:
        image.close()


# The picture that was opened ------------------------------------------------------------------


def test_a_file_that_was_replaced(opened):
    images, expected = opened
    for _ in range(2):  # reading it changes nothing
        for image, pixels in zip(images, expected):
            assert_array_equal(rgb(image), pixels)
    [(_, batch, failed)] = iter_batches(images, resize=None, crop=48)
    assert not failed
    assert_array_equal(batch, [pixels[:, 8:56] for pixels in expected])


def test_estimators_and_the_cache(opened, tmp_path):
    images, expected = opened
    rows = DeCAFTransformer(5, cache=tmp_path / "cache").transform(images)
    assert_array_equal(rows, DeCAFTransformer(5).transform(expected))
    assert_array_equal(
        GISTTransformer(image_size=32).transform(images),
        GISTTransformer(image_size=32).transform(expected),
    )
    boxes = [[8, 8, 40, 40]] * len(images)
    for crop, pixels in zip(BoundingBoxCropper(1, None).transform(images, boxes), expected):
        assert_array_equal(crop, pixels[8:40, 8:40])


def test_a_file_that_was_removed(opened, tmp_path):
    images, expected = opened
    (tmp_path / "frame").unlink()
    assert_array_equal([rgb(image) for image in images], expected)


@pytest.mark.parametrize("name", FORMATS)
def test_another_directory(name, tmp_path, monkeypatch):
    for folder, pixels in zip("ab", PICTURES):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "frame").write_bytes(file_of(name, pixels))
    images = []
    for folder in "ab":
        monkeypatch.chdir(tmp_path / folder)
        images.append(Image.open("frame"))
    monkeypatch.chdir(tmp_path)
    for image, pixels in zip(images, PICTURES):
        assert_array_equal(rgb(image), expected_of(file_of(name, pixels)))


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_all_kinds(name, tmp_path):
    file = file_of(name, PICTURES[0])
    expected = expected_of(file)
    path = tmp_path / "a"
    path.write_bytes(b"before" + file)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", file)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        streams = [io.BytesIO(file), archive.open("a"), io.BufferedRandom(io.BytesIO(file))]
        for stream in streams:
            assert_array_equal(rgb(Image.open(stream)), expected)
    with open(path, "rb") as stream:  # a file of another content by the name it says
        image = Image.open(io.BytesIO(file))
        image.filename = str(path)
        assert_array_equal(rgb(image), expected)
        assert stream.tell() == 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "grey PPM", "GIF"])
@pytest.mark.skipif(not hasattr(os, "pread"), reason="a check that needs os.pread")
def test_a_file_that_was_written_over_is_noticed(name, tmp_path):
    path = tmp_path / "frame"
    path.write_bytes(file_of(name, PICTURES[0]))
    image = Image.open(path)
    assert_array_equal(rgb(image), rgb(path))
    path.write_bytes(file_of(name, PICTURES[1]))
    with pytest.raises(ImageError, match=r"written over after it was opened: call image\.load"):
        read_image(image)


@pytest.mark.parametrize("name", ["WEBP", *(["AVIF"] if "AVIF" in FORMATS else [])])
def test_a_file_that_pillow_holds_may_be_written_over(name, tmp_path):
    path = tmp_path / "frame"
    path.write_bytes(file_of(name, PICTURES[0]))
    image, expected = Image.open(path), rgb(path)
    path.write_bytes(file_of(name, PICTURES[1]))
    assert_array_equal(rgb(image), expected)


# The caller's object ----------------------------------------------------------------------------


def test_no_pixels_stay_in_the_callers_object(opened):
    images, expected = opened
    for image, pixels in zip(images, expected):
        assert_array_equal(rgb(image), pixels)
        assert not is_loaded(image)
        assert image.fp is not None and not image.fp.closed
    for image, pixels in zip(images, expected):
        image.filename = ""  # or Pillow would map the pixels of the file of that name
        image.load()  # still possible, and the same
        assert is_loaded(image)
        assert_array_equal(rgb(image), pixels)


def test_files_are_closed(tmp_path):
    descriptors = "/proc/self/fd"
    if not os.path.exists(descriptors):
        pytest.skip("needs /proc to count open files")
    images = []
    for name in FORMATS:
        path = tmp_path / name
        path.write_bytes(file_of(name, PICTURES[0]))
        images.append(Image.open(path))
    before = len(os.listdir(descriptors))
    for image in images:
        rgb(image)
    assert len(os.listdir(descriptors)) == before


def test_the_position_of_a_shared_stream_stays():
    stream = io.BytesIO(file_of("PNG", PICTURES[0]))
    image = Image.open(stream)
    stream.seek(17)
    rgb(image)
    assert stream.tell() == 17


def test_images_that_share_a_stream_in_threads():
    file = file_of("JPEG", photo(200, 300))
    stream = io.BytesIO(file)
    images = [Image.open(stream) for _ in range(24)]
    _, batch, _ = next(iter_batches(images, n_jobs=4))
    assert (batch == batch[0]).all()
    assert_array_equal(batch[:1], next(iter_batches([file]))[1])


def test_one_image_in_threads_of_the_caller():
    images = [Image.open(io.BytesIO(file_of(name, PICTURES[1]))) for name in FORMATS]
    expected = [expected_of(file_of(name, PICTURES[1])) for name in FORMATS]
    wrong = []

    def read():
        for image, pixels in zip(images, expected):
            if not np.array_equal(rgb(image), pixels):
                wrong.append(image.format)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# What the caller has done to it -----------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_changed_pixels(name):
    image = Image.open(io.BytesIO(file_of(name, PICTURES[0])))
    image.paste(0, (0, 0, 8, 8))
    expected = rgb(image.convert("RGB"))
    assert_array_equal(expected[:8, :8], expected[0, 0] * np.ones((8, 8, 1), np.uint8))
    assert_array_equal(rgb(image), expected)


@pytest.mark.parametrize("close", [ImageFile.ImageFile.close, ImageFile.ImageFile.verify])
def test_closed_images_say_so(close, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(file_of("PNG", PICTURES[0]))
    image = Image.open(path)
    close(image)
    with pytest.raises(ImageError, match=r"its pixels cannot be loaded.*call image\.load\(\)"):
        read_image(image)


@pytest.mark.parametrize("size", [(640, 426), (641, 427), (97, 64)])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", [None, "L"])
def test_draft(size, factor, mode):
    file = encode(photo(size[1], size[0]), "JPEG")
    image, same = Image.open(io.BytesIO(file)), Image.open(io.BytesIO(file))
    for opened in (image, same):
        opened.draft(mode, (size[0] // factor, size[1] // factor))
    same.load()
    assert_array_equal(rgb(image), np.asarray(same.convert("RGB")))
    assert not is_loaded(image)


def test_thumbnail():
    file = encode(photo(480, 640), "JPEG")
    image, same = Image.open(io.BytesIO(file)), Image.open(io.BytesIO(file))
    for opened in (image, same):
        opened.thumbnail((100, 100))
    assert_array_equal(rgb(image), np.asarray(same))


def animation(format: str) -> bytes:
    frames = [Image.fromarray(pixels) for pixels in PICTURES]
    if format == "GIF":  # parts of the picture change
        frames = [frame.quantize(64) for frame in frames]
        frames[1].paste(frames[0].crop((0, 0, 64, 30)), (0, 0))
    options = {"lossless": True} if format == "WEBP" else {}
    if format == "MPO":
        frames, options = frames[:2], {"quality": 95}  # the third was written wrong by Pillow 10
    return encode(frames[0], format, save_all=True, append_images=frames[1:], **options)


ANIMATED = ["GIF", "PNG", "WEBP", "TIFF", "MPO", *(["AVIF"] if "AVIF" in Image.SAVE else [])]


@pytest.mark.parametrize("format", ANIMATED)
@pytest.mark.parametrize("in_memory", [False, True])
def test_the_frame_at_which_an_image_stands(format, in_memory, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(animation(format))
    with Image.open(path) as image:
        expected = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    assert len(expected) == (2 if format == "MPO" else 3)
    image = Image.open(io.BytesIO(path.read_bytes()) if in_memory else path)
    replace(path, file_of("PNG", PICTURES[2]))
    for frame in (0, len(expected) - 1, 1, 0):
        image.seek(frame)
        assert_array_equal(rgb(image), expected[frame])
        assert image.tell() == frame
    again = Image.open(io.BytesIO(animation(format)))
    again.seek(1)
    assert load_again(again) is not None
    assert_array_equal(rgb(again), expected[1])


def test_the_orientation_that_the_caller_has_changed():
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("JPEG", "PNG", "WEBP"):
        file = encode(PICTURES[0], format, exif=exif)
        assert read_image(Image.open(io.BytesIO(file))).size == (48, 64)
        image = Image.open(io.BytesIO(file))
        image.getexif()[0x0112] = 1
        assert read_image(image).size == (64, 48)
        image = Image.open(io.BytesIO(file))
        del image.getexif()[0x0112]
        assert read_image(image).size == (64, 48)


def test_a_photograph_that_was_turned_by_hand():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(PICTURES[0], "PNG", exif=exif)
    upright = rgb(file)
    assert_array_equal(rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))), upright)
    by_hand = Image.open(io.BytesIO(file)).transpose(Image.Transpose.ROTATE_270)
    assert_array_equal(rgb(np.asarray(by_hand)), upright)  # arrays are taken as they are
    assert_array_equal(rgb(by_hand), np.rot90(upright, -1))  # it still has its EXIF data


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_as_good_opened_as_not(data):
    name = data.draw(st.sampled_from(sorted(FORMATS)))
    file = bytearray(file_of(name, photo(24, 32)))
    for _ in range(data.draw(st.integers(0, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = Image.open(io.BytesIO(file))
    except Exception:
        return
    if name.split()[-1] == "TGA" or image.width * image.height > 10**6:
        return
    outcomes = []
    for source in (bytes(file), image):
        try:
            outcomes.append(read_image(source).tobytes())
        except ImageError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]
