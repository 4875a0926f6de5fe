"""What counts as an image, how it is read, and what is said of everything else."""

from __future__ import annotations

import collections
import io
import os
import pickle
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracles.bad_images import (
    bad_inputs,
    encode,
    jpeg_of_size,
    odd_inputs,
    pgm,
    photo,
    png,
    png_chunk,
)
from PIL import Image, ImageFile

from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.images import (
    _resizing,
    check_images,
    find_unreadable,
    iter_batches,
    read_image,
    resize_and_crop,
)

# Pillow says in a warning what it finds wrong with the metadata of a file that it reads.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF|Truncated File|.*MPO:UserWarning")

_FOLDER = tempfile.TemporaryDirectory(prefix="sklearn_decaf-images-")
(Path(_FOLDER.name) / "bad").mkdir()
(Path(_FOLDER.name) / "odd").mkdir()
BAD = bad_inputs(Path(_FOLDER.name) / "bad")
ODD = odd_inputs(Path(_FOLDER.name) / "odd")


def by_name(cases):
    return [pytest.param(case, id=case.name) for case in cases]


def read_all(X, image_shape=None, **options):
    """All pixels of all batches, and all failures."""
    on_error = options.get("on_error", "raise")
    inputs = check_images(X, image_shape=image_shape, on_error=on_error)
    pixels, failures, rows = [], [], 0
    for start, batch, failed in iter_batches(inputs, **options):
        assert start == rows
        assert batch.dtype == np.uint8
        rows += len(batch)
        pixels.append(batch)
        failures += failed
    assert rows == len(inputs)
    return np.concatenate(pixels), failures


def reading_threads():
    return [thread for thread in threading.enumerate() if "sklearn_decaf" in thread.name]


# Bad inputs ----------------------------------------------------------------------------------


def test_there_are_many_bad_inputs():
    assert len({case.name for case in BAD}) == len(BAD) > 100


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("case", by_name(BAD))
def test_a_bad_input_raises_and_is_named(case, n_jobs):
    with pytest.raises(ValueError) as info:
        read_all(case.X, case.image_shape, n_jobs=n_jobs)
    message = str(info.value)
    assert re.search(case.match, message, re.DOTALL), message
    assert len(message) < 800
    assert message.endswith(".")
    if case.row is not None:
        assert isinstance(info.value, ImageError)
        assert re.match(rf"row {case.row}\b", message), message
        item = case.X[case.row] if isinstance(case.X, list) else None
        if isinstance(item, str | os.PathLike) and len(os.fspath(item)) < 200:
            assert repr(os.fspath(item)) in message


@pytest.mark.parametrize("case", by_name(BAD))
def test_a_bad_row_is_reported_and_the_others_are_kept(case):
    if case.row is None:
        with pytest.raises(ValueError, match=f"(?s){case.match}"):
            read_all(case.X, case.image_shape, on_error="nan")
        return
    pixels, failures = read_all(case.X, case.image_shape, crop=64, on_error="nan")
    failed = dict(failures)
    if isinstance(case.X, list | np.ndarray):
        assert list(failed) == [case.row]
    assert all(pixels[row].any() for row in range(len(pixels)) if row not in failed)
    assert re.search(case.match, failed[case.row], re.DOTALL)
    assert not pixels[case.row].any()


def test_the_first_bad_row_raises_whichever_thread_is_faster():
    slow = np.full((1000, 1000, 3), 2.0)  # takes longer to find fault with than a missing file
    for _ in range(3):
        with pytest.raises(ImageError, match=r"^row 1, array"):
            read_all([photo(), slow, "missing.jpg"], n_jobs=2)


def test_bombs_raise_without_a_warning_or_a_trace():
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, height in ((10_000, 9_000), (60_000, 60_000)):
            with pytest.raises(ImageError, match="decompression bomb"):
                read_image(png(width, height, 8, 2))
    with pytest.raises(ImageError, match="decompression bomb"):
        read_image(jpeg_of_size(10_000, 9_000))
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_limit_that_the_user_lowered_holds(monkeypatch):
    file = encode(photo(), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 128 - 1)
    with pytest.raises(ImageError, match="more than the 12,287"):
        read_image(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(file).size == (128, 96)


def test_truncated_files_are_grey_for_who_wants_them(monkeypatch):
    file = encode(photo(), "JPEG")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert read_image(file[: len(file) // 2]).getpixel((127, 95)) == (128, 128, 128)


def test_files_are_closed(tmp_path):
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc to count open files")
    good, cut = tmp_path / "good.jpg", tmp_path / "cut.jpg"
    good.write_bytes(encode(photo(), "JPEG"))
    cut.write_bytes(good.read_bytes()[:500])
    before = len(list(descriptors.iterdir()))
    read_all([good, cut] * 20, on_error="nan", n_jobs=2)
    assert len(list(descriptors.iterdir())) == before


# Containers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        (folder / f"{number}.png").write_bytes(encode(photo(seed=number), "PNG"))
    return [os.fspath(folder / f"{number}.png") for number in range(5)]


def _containers():
    def column(values):
        return np.array(values, dtype=object)[:, None]

    def labelled(values):
        pandas = pytest.importorskip("pandas")
        return pandas.Series(values, index=list("vwxyz"))

    def pandas_frame(values):
        return pytest.importorskip("pandas").DataFrame({"path": values}, index=[9, 8, 7, 6, 5])

    def lazily(values):
        return OnDemand(values, read_image)

    return {
        "list": list,
        "tuple": tuple,
        "deque": collections.deque,
        "list of Path": lambda values: [Path(value) for value in values],
        "list of bytes": lambda values: [Path(value).read_bytes() for value in values],
        "list of bytearray": lambda values: [
            bytearray(Path(value).read_bytes()) for value in values
        ],
        "list of memoryview": lambda values: [
            memoryview(Path(value).read_bytes()) for value in values
        ],
        "list of PIL": lambda values: [read_image(value) for value in values],
        "lazy PIL": lambda values: [Image.open(value) for value in values],
        "list of arrays": lambda values: [np.asarray(read_image(value)) for value in values],
        "mixed": lambda values: [
            values[0],
            Path(values[1]),
            Path(values[2]).read_bytes(),
            read_image(values[3]),
            np.asarray(read_image(values[4])) / 255,
        ],
        "object array": lambda values: np.array(values, dtype=object),
        "object column": column,
        "string array": np.array,
        "string column": lambda values: np.array(values)[:, None],
        "variable-length strings": lambda values: np.array(values, np.dtypes.StringDType()),
        "uint8 stack": lambda values: np.stack([np.asarray(read_image(value)) for value in values]),
        "float stack": lambda values: np.stack([np.asarray(read_image(v)) for v in values]) / 255,
        "sequence": lazily,
        "pandas Series": labelled,
        "pandas Index": lambda values: pytest.importorskip("pandas").Index(values),
        "pandas string Series": lambda values: pytest.importorskip("pandas").Series(
            values, dtype="string"
        ),
        "pandas categorical": lambda values: pytest.importorskip("pandas").Series(
            values, dtype="category"
        ),
        "pandas frame": pandas_frame,
        "polars Series": lambda values: pytest.importorskip("polars").Series(values),
        "polars frame": lambda values: pytest.importorskip("polars").DataFrame({"path": values}),
    }


class OnDemand(Sequence):
    """A user's own sequence, which makes its items when they are asked for, and counts."""

    def __init__(self, values, make):
        self.values, self.make = values, make
        self.made = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, row):
        self.made += 1
        return self.make(self.values[row])


@pytest.mark.parametrize("name", _containers())
def test_containers(name, paths):
    X = _containers()[name](paths)
    expected = np.stack(
        [resize_and_crop(Image.fromarray(photo(seed=number))) for number in range(5)]
    )
    pixels, failures = read_all(X, batch_size=2)
    assert_array_equal(pixels, expected)
    assert failures == []
    inputs = check_images(X)
    assert len(inputs) == 5
    with pytest.raises(IndexError):
        inputs[5]
    assert check_images(inputs) is inputs


def test_checking_reads_nothing(tmp_path):
    made = OnDemand(["missing"] * 9, read_image)
    assert len(check_images(made)) == 9
    assert made.made == 0
    check_images(["missing.jpg"] * 3)
    big = np.memmap(tmp_path / "big.bin", np.uint8, "w+", shape=(4, 50, 60, 3))
    assert np.shares_memory(check_images(big)[2], big)
    rows = big.reshape(4, -1)
    assert np.shares_memory(check_images(rows, image_shape=(50, 60, 3))[2], big)


def test_rows_are_named_by_their_labels():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(["missing.jpg"] * 3)
    assert check_images(series).name_row(2) == "row 2"
    assert check_images(series[::-1]).name_row(0) == "row 0 (index 2)"
    assert check_images(series.set_axis(["a", "b", "c"])).name_row(1) == "row 1 (index 'b')"


def test_rows_of_pixels():
    stack = np.stack([photo(12, 10, seed) for seed in range(3)])
    expected, _ = read_all(stack)
    for X in (stack, stack / 255, (stack / 255).astype(np.float32)):
        flat = X.reshape(3, -1)
        assert_array_equal(read_all(flat, (12, 10, 3))[0], expected)
        assert_array_equal(read_all(flat.tolist(), (12, 10, 3))[0], expected) if (
            X.dtype.kind == "f"
        ) else None
    grey = stack[..., 0].reshape(3, -1)
    assert_array_equal(read_all(grey, (12, 10))[0], read_all(stack[..., :1])[0])
    frame = pytest.importorskip("pandas").DataFrame(grey / 255)
    assert_array_equal(read_all(frame, [12, 10])[0], read_all(stack[..., :1])[0])


def test_rows_out_of_range_are_clipped_on_request():
    rng = np.random.default_rng(0)
    for X in (rng.normal(size=(4, 6)), rng.integers(-3, 4, (4, 6))):
        loose = check_images(X, image_shape=(2, 3), check_range=False)
        expected, _ = read_all(np.clip(X, 0, 1).astype(float), (2, 3))
        assert_array_equal(next(iter_batches(loose))[1], expected)


def test_missing_values_are_left_for_the_reading_on_request():
    X = ["missing.jpg", None, float("nan"), 3]
    with pytest.raises(ImageError, match=r"^row 1"):
        check_images(X)
    assert len(check_images(X, on_error="nan")) == 4


# One image -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", by_name(ODD))
def test_odd_images_have_the_right_colour(case):
    image = read_image(case.image)
    assert image.mode == "RGB"
    centre = image.getpixel((image.width // 2, image.height // 2))
    assert_allclose(centre, case.colour, atol=2)
    for options in ({}, {"resize": "crop"}, {"resize": "crop", "ten_crop": True}):
        pixels, _ = read_all([case.image], **options)
        assert_allclose(pixels.reshape(-1, 227, 227, 3)[:, 113, 113], [case.colour] * (
            10 if "ten_crop" in options else 1
        ), atol=2)  # fmt: skip


ORIENTATIONS = {  # the picture as stored -> upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF"])
def test_exif_orientation(format, orientation):
    if format not in Image.SAVE:
        pytest.skip("this build of Pillow has no AVIF")
    stored = photo(24, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    options["AVIF"] = {"quality": 100, "subsampling": "4:4:4"}
    file = encode(stored, format, exif=exif, **options.get(format, {}))
    upright = ORIENTATIONS[orientation](stored)
    atol = 8 if format in ("JPEG", "AVIF") else 0
    assert_allclose(np.asarray(read_image(file)).astype(int), upright, atol=atol)
    assert_allclose(np.asarray(read_image(Image.open(io.BytesIO(file)))).astype(int), upright,
                    atol=atol)  # fmt: skip
    # The orientation is part of TIFF itself.
    as_stored = upright if format == "TIFF" else stored
    untouched = np.asarray(read_image(file, exif_transpose=False)).astype(int)
    assert_allclose(untouched, as_stored, atol=atol)


def test_damaged_exif_data_loses_no_picture():
    profile = png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n4\nno hexadecimal number")
    file = encode(photo(), "PNG")
    file = file[:33] + profile + file[33:]  # after the header
    with pytest.raises(ValueError), Image.open(io.BytesIO(file)) as image:
        image.getexif()
    assert_array_equal(read_image(file), photo())


@pytest.mark.parametrize("kind", ["array", "PNG", "TIFF", "PGM", "PIL"])
def test_16_bits_are_scaled_and_rounded(kind):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(levels / 65535 * 255)
    image = levels if kind == "array" else Image.fromarray(levels)
    if kind == "PGM":
        image = pgm(levels)
    elif kind in ("PNG", "TIFF"):
        image = encode(image, kind)
    assert_array_equal(np.asarray(read_image(image))[..., 0], expected)


def test_16_bit_white_is_zero_tiff():
    tifffile = pytest.importorskip("tifffile")
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, photometric="miniswhite")
    assert_array_equal(np.asarray(read_image(buffer.getvalue()))[..., 0], 255 - levels // 257)


@given(st.floats(-0.01, 1.01))
def test_floats_are_rounded_and_checked(value):
    rounded = np.rint(value * 255)
    if 0 <= rounded <= 255:
        assert read_image(np.full((2, 2), value)).getpixel((1, 1)) == (rounded,) * 3
    else:
        with pytest.raises(ImageError, match="values from"):
            read_image(np.full((2, 2), value))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
def test_float_dtypes(dtype):
    levels = photo(8, 8)
    assert_array_equal(read_image((levels / 255).astype(dtype)), levels)


def test_transparency_is_laid_over_white():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (32, 32, 4), dtype=np.uint8)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    for image in (rgba, Image.fromarray(rgba), encode(rgba, "PNG")):
        assert_allclose(np.asarray(read_image(image)), expected, atol=1)


def test_lab_is_converted_to_srgb():
    rgb = np.random.default_rng(0).integers(90, 226, (16, 16, 3), dtype=np.uint8)
    linear = ((rgb / 255 + 0.055) / 1.055) ** 2.4
    # CIE XYZ of the sRGB primaries, adapted to the white D50 of colour profiles
    primaries = [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
    white = [0.96422, 1, 0.82521]
    x, y, z = np.moveaxis(np.cbrt(linear @ np.transpose(primaries) / white), 2, 0)
    lab = np.stack([(116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)], axis=-1)
    stored = (np.rint(lab) % 256).astype(np.uint8)  # a and b are signed bytes
    pixels = np.asarray(read_image(Image.frombytes("LAB", (16, 16), stored.tobytes())))
    assert_allclose(pixels.astype(int), rgb, atol=6)
    assert np.abs(pixels.astype(int) - rgb).mean() < 1


def test_cmyk_is_not_inverted():
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[:8, :, 0] = 255  # cyan above,
    cmyk[8:, :, 3] = 155  # grey below
    pixels = np.asarray(read_image(encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95)))
    assert_allclose(pixels[2, 2].astype(int), (0, 255, 255), atol=3)
    assert_allclose(pixels[13, 2].astype(int), (100, 100, 100), atol=3)


def test_avif():
    if "AVIF" not in Image.SAVE:
        pytest.skip("this build of Pillow has no AVIF")
    file = encode(photo(), "AVIF", quality=95)
    assert np.abs(np.asarray(read_image(file)).astype(int) - photo()).mean() < 6


def test_the_users_image_is_left_alone():
    palette = Image.fromarray(photo()).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = 0
    before = (palette.mode, palette.getpalette(), palette.im.getpalettemode(), palette.tobytes())
    read_image(palette)
    after = (palette.mode, palette.getpalette(), palette.im.getpalettemode(), palette.tobytes())
    assert before == after
    rgb = Image.fromarray(photo())
    read_image(rgb).paste(0, (0, 0, 128, 96))
    assert_array_equal(rgb, photo())
    pixels = photo() / 255
    copy = pixels.copy()
    read_image(pixels)
    assert_array_equal(pixels, copy)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM"])
def test_results_are_plain_images(format):
    for source in (file := encode(photo(), format), Image.open(io.BytesIO(file)), photo()):
        image = read_image(source)
        assert type(image) is Image.Image
        assert_array_equal(pickle.loads(pickle.dumps(image)), image)


def test_one_lazy_image_in_many_rows_and_threads(paths):
    lazy = Image.open(paths[0])
    pixels, _ = read_all([lazy] * 12, n_jobs=3, batch_size=4)
    assert (pixels == resize_and_crop(Image.fromarray(photo(seed=0)))).all()


def test_one_image_is_loaded_by_one_thread_at_a_time():
    class Slow(Image.Image):
        loading, most = 0, 0

        def load(self):
            Slow.loading += 1
            Slow.most = max(Slow.most, Slow.loading)
            time.sleep(0.002)
            Slow.loading -= 1
            return super().load()

    image = Image.fromarray(photo()[..., 0])  # grey, so that what is resized is another image
    image.__class__ = Slow
    read_all([image] * 20, n_jobs=4)
    assert Slow.most == 1


MUTABLE = {
    "JPEG": encode(photo(24, 32), "JPEG"),
    "progressive JPEG": encode(photo(24, 32), "JPEG", progressive=True),
    "PNG": encode(photo(24, 32), "PNG"),
    "animated PNG": encode(
        photo(24, 32), "PNG", save_all=True, append_images=[Image.fromarray(photo(24, 32, 1))]
    ),
    "GIF": encode(photo(24, 32), "GIF"),
    "WebP": encode(photo(24, 32), "WEBP"),
    "TIFF": encode(photo(24, 32), "TIFF"),
    "deflated TIFF": encode(photo(24, 32), "TIFF", compression="tiff_adobe_deflate"),
    "LZW TIFF": encode(photo(24, 32), "TIFF", compression="tiff_lzw"),
    "BMP": encode(photo(24, 32), "BMP"),
    "PPM": encode(photo(24, 32), "PPM"),
    "MPO": encode(
        photo(24, 32), "MPO", save_all=True, append_images=[Image.fromarray(photo(24, 32, 1))]
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_files_are_read_or_refused(data):
    file = bytearray(MUTABLE[data.draw(st.sampled_from(sorted(MUTABLE)), label="format")])
    # Most of what decides lies in the header.
    positions = st.integers(0, len(file) - 1) | st.integers(0, min(200, len(file) - 1))
    for _ in range(data.draw(st.integers(0, 8), label="changes")):
        file[data.draw(positions)] = data.draw(st.integers(0, 255) | st.sampled_from([0, 255]))
    end = data.draw(st.none() | positions, label="cut")
    start = data.draw(st.none() | positions, label="removed from")
    if start is not None:
        del file[start : start + data.draw(st.integers(1, 20))]
    options = {"crop": 16, "size": 16, "on_error": "nan", "max_pixels": 10**6}
    pixels, failures = read_all([bytes(file[:end])], **options)
    assert pixels.shape == (1, 16, 16, 3)
    assert all(message.startswith("row 0, ") for _, message in failures)


@pytest.mark.parametrize("format", sorted(MUTABLE))
def test_every_truncation_is_read_or_refused(format):
    file = MUTABLE[format]
    ends = sorted({*range(40), *range(40, len(file), 37), *range(len(file) - 8, len(file))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, failures = read_all([file[:end] for end in ends], crop=8, size=8, on_error="nan")
    failed = {row for row, _ in failures}
    assert 0 in failed
    assert all(pixels[row].any() for row in range(len(ends)) if row not in failed)


# Resizing and cropping -----------------------------------------------------------------------


def triangle_weights(length: int, resized: int) -> np.ndarray:
    """Bilinear interpolation whose support grows with the reduction: (resized, length)."""
    scale = max(length / resized, 1)
    centres = (np.arange(resized) + 0.5) * length / resized
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / scale
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def resized_by_matrices(pixels, height, width) -> np.ndarray:
    rows = triangle_weights(pixels.shape[0], height)
    columns = triangle_weights(pixels.shape[1], width)
    return np.einsum("yh,xw,hwc->yxc", rows, columns, pixels, optimize=True)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(1, 40),
    st.integers(0, 20),
    st.sampled_from(["warp", "crop", None]),
    st.booleans(),
)
def test_resizing_and_cropping_against_matrices(height, width, crop, margin, resize, ten_crop):
    pixels, size = photo(height, width), crop + margin
    options = {"size": size, "crop": crop, "resize": resize, "ten_crop": ten_crop}
    if resize == "warp":
        shape = (size, size)
    elif resize == "crop":
        shape = [round(side * size / min(height, width)) for side in (height, width)]
    else:
        shape = (height, width)
        if min(shape) < crop:
            with pytest.raises(ImageError, match=f"{width} x {height} pixels, smaller"):
                resize_and_crop(Image.fromarray(pixels), **options)
            return
    whole = resized_by_matrices(pixels, *shape)
    bottom, right = shape[0] - crop, shape[1] - crop
    corners = [(bottom // 2, right // 2)]
    if ten_crop:
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), *corners]
    squares = [whole[y : y + crop, x : x + crop] for y, x in corners]
    expected = [*squares, *(square[:, ::-1] for square in squares)] if ten_crop else squares[0]
    result = resize_and_crop(Image.fromarray(pixels), **options)
    # Pillow rounds to 8 bits after each of the two directions.
    assert_allclose(result.astype(float), expected, atol=1.2)


@pytest.mark.parametrize(("crop", "offset"), [(227, 14), (224, 16)])
def test_warp_is_pillows_own(crop, offset):
    image = Image.fromarray(photo(300, 451))
    expected = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))
    cut = slice(offset, offset + crop)
    assert_array_equal(resize_and_crop(image, crop=crop), expected[cut, cut])


def test_crop_is_pillows_own():
    image = Image.fromarray(photo(300, 451))  # 256 x 385
    expected = np.asarray(image.resize((385, 256), Image.Resampling.BILINEAR))
    assert_array_equal(resize_and_crop(image, crop=224, resize="crop"), expected[16:240, 80:304])


@pytest.mark.parametrize("upside_down", [False, True])
def test_oblong_parts(upside_down):
    """Height and width of each part, in the places of the square ones."""
    image = Image.fromarray(photo(300, 451))
    whole = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))
    options = {"crop": (120, 200), "ten_crop": True, "upside_down": upside_down}
    top, left = (136, 0), (0, 56)  # 256 - 120 rows below, and 256 - 200 columns beside
    rows = top if upside_down else top[::-1]
    corners = [(y, x) for y in rows for x in left] + [(68, 28)]
    expected = [whole[y : y + 120, x : x + 200] for y, x in corners]
    expected += [part[::-1] if upside_down else part[:, ::-1] for part in expected]
    assert_array_equal(resize_and_crop(image, **options), expected)
    ((_, batch, _),) = iter_batches([image], crop=[120, 200])
    assert_array_equal(batch[0], expected[4])


def test_long_pictures_are_never_made_as_a_whole(monkeypatch):
    image = Image.fromarray(photo(60, 700))
    options = {"size": 64, "crop": 56, "resize": "crop", "ten_crop": True}
    whole = resize_and_crop(image, **options).astype(int)
    sizes = []
    resize = Image.Image.resize

    def spy(self, size, *args, **kwargs):
        sizes.append(size)
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", spy)
    monkeypatch.setattr(_resizing, "_LONGEST", 1)
    assert_allclose(resize_and_crop(image, **options), whole, atol=1)
    assert sizes == [(56, 56)] * 5
    for size in ((1, 40_000), (40_000, 1), (5_000, 3)):
        assert resize_and_crop(Image.new("RGB", size, (9, 8, 7)), resize="crop")[0, 0, 2] == 7
    assert max(max(size) for size in sizes) == 227


def test_large_jpegs_are_reduced_while_they_are_decoded(tmp_path, monkeypatch):
    china = sklearn.datasets.load_sample_image("china.jpg")
    large = Image.fromarray(china).resize((1920, 1280), Image.Resampling.BICUBIC)
    file = encode(large, "JPEG", quality=95)
    (tmp_path / "large.jpg").write_bytes(file)
    reduced, _ = read_all([file, tmp_path / "large.jpg"], draft=True)
    assert_array_equal(reduced[0], reduced[1])
    exact = resize_and_crop(read_image(file)).astype(int)
    assert_array_equal(read_all([file])[0][0], exact)  # not unless asked for
    difference = np.abs(reduced[0] - exact)
    assert 0 < difference.mean() < 0.5
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, *args: sizes.append(self.size) or resize(self, *args)
    )
    read_all([file], draft=True)
    read_all([file], size=100, crop=90, draft=True)
    read_all([file], size=400, draft=True)  # half would be 640 pixels, less than 2 * 400
    read_all([encode(large.resize((1920, 1281)), "JPEG")], draft=True)  # not a multiple of 2
    assert sizes[:3] == [(960, 640), (480, 320), (1920, 1280)]
    assert sizes[-1] == (1920, 1281)
    assert_array_equal(
        read_all([file], resize=None, draft=True)[0][0],
        resize_and_crop(read_image(file), resize=None),
    )


# Batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 100])
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
@pytest.mark.parametrize("ten_crop", [False, True])
def test_batches_do_not_change_results(batch_size, n_jobs, ten_crop):
    X = [photo(20 + seed, 50 - seed, seed) for seed in range(15)]
    X[3] = X[11] = None
    options = {"size": 32, "crop": 28, "resize": "crop", "ten_crop": ten_crop, "on_error": "nan"}
    pixels, failures = read_all(X, batch_size=batch_size, n_jobs=n_jobs, **options)
    assert pixels.shape == ((15, 10, 28, 28, 3) if ten_crop else (15, 28, 28, 3))
    assert [row for row, _ in failures] == [3, 11]
    for row, image in enumerate(X):
        alone = read_all([image], **options)[0][0]
        assert_array_equal(pixels[row], alone)
    assert reading_threads() == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_two_batches_at_most_are_read(n_jobs):
    made = OnDemand([photo(8, 8)] * 40, np.asarray)
    taken = 0
    for _, batch, _ in iter_batches(made, size=8, crop=8, batch_size=4, n_jobs=n_jobs):
        taken += len(batch)
        ahead = 0 if n_jobs == 1 else 4
        assert made.made <= taken + ahead
    assert taken == made.made == 40


def test_threads_end_when_the_caller_stops_early():
    X = [photo(400, 400)] * 64
    for _, _, _ in iter_batches(X, batch_size=4, n_jobs=2):
        assert reading_threads()
        break
    assert reading_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ImageError])
def test_threads_end_when_something_is_raised(error):
    def explode(_):
        raise error("bang")

    X = OnDemand([photo()] * 64, explode)
    with pytest.raises(error, match="bang"):
        list(iter_batches(X, n_jobs=2))
    assert reading_threads() == []

    with pytest.raises(error):
        for _ in iter_batches([photo()] * 64, batch_size=2, n_jobs=2):
            raise error
    assert reading_threads() == []


def test_batches_belong_to_the_caller():
    X = [photo(seed=seed) for seed in range(6)]
    kept = [batch for _, batch, _ in iter_batches(X, batch_size=2, n_jobs=2)]
    expected, _ = read_all(X)
    assert_array_equal(np.concatenate(kept), expected)
    assert kept[0].flags.writeable


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"resize": "squash"}, "resize='squash'.*'warp', 'crop' or None"),
        ({"size": 200}, "crop=227 does not fit into size=200"),
        ({"size": 0}, "size=0.*at least 1"),
        ({"crop": 1.5}, "crop=1.5.*integer"),
        ({"crop": (20, 300)}, r"crop=\(20, 300\) does not fit into size=256"),
        ({"crop": (20, 30, 3)}, r"crop=\(20, 30, 3\).*a pair"),
        ({"crop": (20, 0)}, "crop=0.*at least 1"),
        ({"batch_size": True}, "batch_size=True"),
        ({"n_jobs": None}, "n_jobs=None"),
        ({"on_error": "ignore"}, "on_error='ignore'.*'raise' or 'nan'"),
    ],
)
def test_wrong_arguments_raise_at_once(options, match):
    with pytest.raises(ValueError, match=match):
        iter_batches([photo()], **options)


def test_unreadable_images_are_listed_in_order(tmp_path):
    good, cut, text = tmp_path / "good.jpg", tmp_path / "cut.jpg", tmp_path / "text.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(good)
    cut.write_bytes(good.read_bytes()[:-200])  # its header and most of its pixels are there
    text.write_text("hello")
    images = [good, cut, noise, None, str(text), good, "missing.jpg"]
    for n_jobs in (1, 3, None):
        failed = find_unreadable(images, n_jobs=n_jobs)
        assert [row for row, _ in failed] == [1, 3, 4, 6]
        assert "cut.jpg" in failed[0][1] and "truncated" in failed[0][1]
        assert "text.jpg" in failed[2][1]
    assert find_unreadable([good, noise]) == []


def test_the_first_unreadable_image_says_how_to_find_the_others(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.jpg.*find_unreadable.*on_error='nan'"):
        list(iter_batches(["missing.jpg"]))
