"""What an image becomes does not depend on the filters of warnings, nor changes them."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracles.bad_images import encode, photo
from oracles.faulty_metadata import (
    ORIENTATION,
    PIXELS,
    SIX,
    UPRIGHT,
    directory,
    straight_files,
    turned_files,
    with_exif,
)
from oracles.processes import run_with_pickle
from PIL import Image

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.images import find_unreadable, iter_batches, read_image
from sklearn_decaf.images._quiet_readers import find_orientation

FILTERS = ["error", "ignore", "always", "default"]
FILES = {**turned_files(), **straight_files()}


def opened(file: bytes, load=False) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the caller's own, who opens it
        image = Image.open(io.BytesIO(file))
        if load:
            image.load()
    return image


def test_pillow_warns_of_most_of_these_files():
    quiet = []
    for name, file in FILES.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = Image.open(io.BytesIO(file))
            image.getexif().get(ORIENTATION)
            image.load()
        if not caught:
            quiet.append(name)
    assert len(quiet) < 10, quiet


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["file", "opened", "loaded"])
def test_an_image_is_the_same_under_all_filters(name, kind):
    file = FILES[name]
    expected = UPRIGHT if name in turned_files() else PIXELS
    results = []
    for action in FILTERS:
        source = file if kind == "file" else opened(file, load=kind == "loaded")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            results.append(np.asarray(read_image(source)))
        assert not caught
    for result in results:
        assert_array_equal(result, results[0])
    assert results[0].shape == expected.shape
    if "palette" in name:
        return
    lossy = name.startswith(("JPEG", "AVIF"))
    assert_allclose(results[0].astype(int), expected, atol=90 if lossy else 0)
    assert np.abs(results[0].astype(int) - expected).mean() < 5


def test_features_and_the_cache_are_the_same_under_all_filters(tmp_path):
    files = list(FILES.values())
    boxes = np.tile([2, 2, 20, 20], (len(files), 1))
    transformer = DeCAFTransformer("stem")
    results, cached, gists, crops = [], [], [], []
    for action in FILTERS:
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            results.append(transformer.transform(files))
            cache = tmp_path / action
            cached.append(DeCAFTransformer("stem", cache=cache).transform(files))
            cached.append(DeCAFTransformer("stem", cache=tmp_path / "error").transform(files))
            gists.append(GISTTransformer(image_size=32).transform(files))
            crops.append(transformer.transform(BoundingBoxCropper().transform(files, boxes)))
            assert find_unreadable(files) == []
    for rows in (results, cached, gists, crops):
        for other in rows[1:]:
            assert_array_equal(other, rows[0])
    assert_array_equal(cached[0], results[0])


def test_filters_are_not_touched(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the filters of warnings were changed")

    before = warnings.filters
    for name in ("simplefilter", "filterwarnings", "resetwarnings", "_filters_mutated"):
        monkeypatch.setattr(warnings, name, refuse, raising=False)
    for file in FILES.values():
        read_image(file)
    assert warnings.filters is before


def test_other_threads_are_warned_all_the_same():
    file = FILES["PNG: an animation without frames"]
    stop = threading.Event()

    def read():
        while not stop.is_set():
            read_image(file)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(50):
            with pytest.warns(UserWarning, match="Invalid APNG"):
                Image.open(io.BytesIO(file))
    finally:
        stop.set()
        thread.join()


def test_python_with_all_warnings_as_errors(tmp_path):
    program = (
        "import pickle, sys\n"
        "from sklearn_decaf.images import read_image\n"
        "sys.stdout.buffer.write(read_image(pickle.load(sys.stdin.buffer)).tobytes())\n"
    )
    file = FILES["JPEG: many faults"]
    found = run_with_pickle(program, file, tmp_path, PYTHONWARNINGS="error")
    assert found == read_image(file).tobytes()


def test_floats_are_checked_whatever_numpys_errors_are():
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        images = [np.full((2, 2), 1e38, np.float32), np.full((2, 2), 1e-45, np.float32)]
        [(_, _, [(row, message)])] = iter_batches(images, on_error="nan")
    assert row == 0 and "floats must lie in [0, 1]" in message


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("kind", [1, 3, 4, 8, 9])
def test_orientations_of_all_types(value, kind):
    exif = directory((ORIENTATION, kind, 1, value))
    image = Image.new("RGB", (2, 3))
    image.info["exif"] = exif
    assert find_orientation(image) == (value if 1 <= value <= 8 and kind != 1 else 1)


def test_the_orientation_in_xmp_data():
    for xmp in (b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"):
        jpeg = encode(PIXELS, "JPEG", xmp=xmp) if "xmp" in Image.Image.save.__doc__ else None
        image = Image.fromarray(PIXELS)
        image.info["xmp"] = xmp
        assert find_orientation(image) == 6
        if jpeg:
            assert read_image(jpeg).size == (24, 40)
    image.info["exif"] = directory((ORIENTATION, 3, 1, 3))  # goes first
    assert find_orientation(image) == 3


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_orientations_against_pillow(data):
    entries = st.tuples(
        st.sampled_from([ORIENTATION, 0x010F, 0x0128, 0x011A, 0x8769]),
        st.integers(0, 13),
        st.sampled_from([0, 1, 2, 3, 100]),
        st.sampled_from([0, 1, 3, 6, 8, 9, 30, 10**6]),
    )
    chosen = data.draw(st.lists(entries, max_size=4))
    exif = bytearray(directory(SIX, *chosen, n_entries=data.draw(st.integers(0, 6))))
    for _ in range(data.draw(st.integers(0, 3))):
        exif[data.draw(st.integers(0, len(exif) - 1))] = data.draw(st.integers(0, 255))
    image, same = Image.new("RGB", (2, 3)), Image.new("RGB", (2, 3))
    image.info["exif"] = same.info["exif"] = bytes(exif[: data.draw(st.integers(8, len(exif)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = same.getexif().get(ORIENTATION, 1)
        except Exception:
            expected = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_orientation(image) == (expected if expected in range(2, 9) else 1)
        # and with the data that was parsed already
        assert find_orientation(same) == (expected if expected in range(2, 9) else 1)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_files_are_the_same_under_all_filters(data):
    files = [with_exif(format, directory(SIX)) for format in ("JPEG", "PNG", "WEBP")]
    files += [encode(photo(24, 40), "TIFF"), *FILES.values()]
    file = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(
            st.integers(0, min(len(file), 300) - 1) | st.integers(0, len(file) - 1)
        )
        file[position] = data.draw(st.integers(0, 255))
    outcomes = []
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            warnings.filterwarnings("ignore", "1 of 1 images are transparent")
            try:
                outcomes.append(read_image(bytes(file), max_pixels=10**6).tobytes())
            except ValueError as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
