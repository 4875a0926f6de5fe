"""Which pictures are too large to be read, and who says so."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from oracles.bad_images import encode, photo, png
from PIL import Image

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer, extract
from sklearn_decaf.__main__ import main
from sklearn_decaf.descriptors import GISTTransformer, HOGTransformer, LLCTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning
from sklearn_decaf.images import find_unreadable, iter_batches, read_image
from sklearn_decaf.inspection import occlusion_map
from sklearn_decaf.inspection._find import find_reading_options

PIXELS = photo()  # 128 x 96
LIMIT = PIXELS.shape[0] * PIXELS.shape[1]
FILE = encode(PIXELS, "PNG")
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"]
if "AVIF" in Image.SAVE:
    FORMATS.append("AVIF")

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("format", FORMATS)
def test_the_limit_of_the_program_counts(format, monkeypatch):
    file = encode(PIXELS, format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT - 1)
    with pytest.raises(ImageError, match=r"128 x 96 pixels, more than the 12,287.*max_pixels="):
        read_image(file)
    for limit in (LIMIT, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_image(file).size == (128, 96)


def test_a_raised_limit_lets_large_photographs_through(monkeypatch):
    rows = bytes(1 + 12_000 // 8) * 9_000
    file = png(12_000, 9_000, 1, 0, rows)  # 108 million pixels, of one bit
    with pytest.raises(ImageError, match=r"12000 x 9000 pixels, more than the 89,478,485"):
        read_image(file)
    assert read_image(file, max_pixels=108_000_000).size == (12_000, 9_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200_000_000)
    assert read_image(file).size == (12_000, 9_000)


@pytest.mark.parametrize("format", FORMATS)
def test_max_pixels_goes_before_the_limit_of_the_program(format, monkeypatch):
    file = encode(PIXELS, format)
    for limit in (1, 100, LIMIT // 2 - 1, LIMIT - 1, 10**9, None):  # Pillow warns, or raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_image(file, max_pixels=LIMIT).size == (128, 96)
        with pytest.raises(ImageError, match="more than the 12,287 that are read from a file"):
            read_image(file, max_pixels=LIMIT - 1)


def test_pictures_that_were_opened_have_no_limit(monkeypatch):
    images = [Image.open(io.BytesIO(encode(PIXELS, format))) for format in FORMATS]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for image in [*images, Image.fromarray(PIXELS), PIXELS]:
        assert read_image(image, max_pixels=1).size == (128, 96)


def test_parts_that_are_larger_than_the_limit_of_the_program(monkeypatch):
    box = [[10, 10, 110, 90]]
    [expected] = BoundingBoxCropper(1, None).transform([PIXELS], box)
    batch = next(iter_batches([PIXELS], resize=None, crop=90))[1]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    [crop] = BoundingBoxCropper(1, None).transform([PIXELS], box)
    assert_array_equal(crop, expected)
    assert_array_equal(next(iter_batches([PIXELS], resize=None, crop=90))[1], batch)


def test_all_that_read_take_the_parameter(tmp_path):
    low, high = {"max_pixels": LIMIT - 1}, {"max_pixels": LIMIT}
    path = tmp_path / "a.png"
    path.write_bytes(FILE)
    for source in (FILE, path, str(path), path.as_uri(), {"bytes": FILE, "path": None}):
        read_image(source, **high)
        with pytest.raises(ImageError, match="12,287"):
            read_image(source, **low)
        assert len(find_unreadable([source], **low)) == 1
        assert len(find_unreadable([source], **high)) == 0
    for make in (
        lambda **options: DeCAFTransformer("stem", **options),
        lambda **options: DeCAFTransformer("stem", cache=tmp_path / "cache", **options),
        lambda **options: GISTTransformer(image_size=32, **options),
        lambda **options: HOGTransformer(image_size=32, **options),
    ):
        assert np.isfinite(make(**high).fit_transform([FILE])).all()
        for options in (low, low):  # the second time nothing is found either
            with pytest.raises(ImageError, match="12,287"):
                make(**options).transform([FILE])
    with pytest.raises(ImageError, match="12,287"):
        LLCTransformer(n_codewords=8, **low).fit([FILE])
    for options, size in ((high, (40, 40)), (low, None)):
        crops = BoundingBoxCropper(1, None, **options).transform([FILE], [[0, 0, 40, 40]])
        if size:
            assert crops[0].size == size
        else:
            with pytest.raises(ImageError, match="12,287"):
                crops[0]


@pytest.mark.parametrize("value", [0, -1, 1.5, "10"])
def test_wrong_values(value):
    with pytest.raises(ValueError, match="max_pixels"):
        DeCAFTransformer(max_pixels=value).fit([PIXELS])
    with pytest.raises(ValueError, match="max_pixels"):
        iter_batches([PIXELS], max_pixels=value)
    with pytest.raises(ValueError, match="max_pixels"):
        GISTTransformer(max_pixels=value).fit([PIXELS])
    with pytest.raises(ValueError, match="max_pixels"):
        read_image(PIXELS, max_pixels=value)


def test_extraction_and_the_command_line(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(FILE)
    transformer = DeCAFTransformer("stem", max_pixels=LIMIT - 1)
    result = extract([folder / "a.png"], tmp_path / "x", transformer=transformer, verbose=False)
    assert result.n_failed == 1
    command = ["extract", str(folder), "--layer", "stem", "--quiet"]
    main([*command, "--out", str(tmp_path / "low"), "--max-pixels", str(LIMIT - 1)])
    assert "12,287" in (tmp_path / "low" / "_failed.csv").read_text()
    main([*command, "--out", str(tmp_path / "high"), "--max-pixels", str(LIMIT)])
    assert np.isfinite(np.load(tmp_path / "high" / "part-000000.npy")).all()


def test_displays_read_as_their_estimator_does():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(PIXELS, "PNG", exif=exif)

    class Brightness(GISTTransformer):
        classes_ = np.array([0, 1])

        def predict(self, X):
            return np.zeros(len(X), int)

        def decision_function(self, X):
            return np.array([float(np.mean(x)) for x in X])

    for exif_transpose, shape in ((True, (128, 96)), (False, (96, 128))):
        classifier = Brightness(exif_transpose=exif_transpose).fit([PIXELS])
        assert find_reading_options(classifier)["exif_transpose"] is exif_transpose
        assert occlusion_map(classifier, file).importances.shape == shape
    with pytest.raises(ImageError, match="12,287"):
        occlusion_map(Brightness(max_pixels=LIMIT - 1).fit([PIXELS]), file)
    assert find_reading_options(object()) == {}


# What the decoder would make -------------------------------------------------------------------


@pytest.fixture(scope="module")
def large():
    return Image.fromarray(photo(640, 960))


def reads(file, max_pixels) -> bool:
    options = {"size": 64, "crop": 56, "draft": True, "on_error": "nan"}
    return not find_failed(file, max_pixels, **options)


def find_failed(file, max_pixels, **options):
    return next(failed for _, _, failed in iter_batches([file], max_pixels=max_pixels, **options))


def test_with_draft_the_pixels_that_the_decoder_makes_count(large):
    file = encode(large, "JPEG")
    assert reads(file, 240 * 160)  # a quarter of each side
    assert not reads(file, 240 * 160 - 1)
    assert find_failed(file, 240 * 160, size=64, crop=56, on_error="nan")  # without draft
    features = DeCAFTransformer("stem", draft=True, max_pixels=480 * 320)  # not below 2 * 256
    with pytest.raises(ImageError, match="960 x 640 pixels"):
        features.transform([encode(large.resize((960, 640)), "JPEG")])


def test_decoders_that_hold_the_whole_picture_count_it_whole(large):
    progressive = encode(large, "JPEG", progressive=True)
    assert not reads(progressive, 960 * 640 - 1)
    assert reads(progressive, 960 * 640)
    # one scan for each component: the first says that it has one component of three
    file = encode(large, "JPEG")
    start = file.index(b"\xff\xda")
    scans = file[:start] + struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 0, 63, 0)
    scans += file[start + 14 :]
    assert not reads(scans, 960 * 640 - 1)


def test_bombs_are_refused_before_there_is_room_for_them():
    gif = encode(PIXELS, "GIF")
    control = b"!\xf9\4\x08\0\0\0\0"  # the frame is to be replaced by the background
    place = gif.index(b",", 13 + 3 * 256) if b"!\xf9" not in gif else gif.index(b"!\xf9")
    frame = b"," + struct.pack("<HHHH", 0, 0, 65535, 65535)
    bomb = gif[:place] + control + frame + gif[place + 9 :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError, match="65535 x 65535 pixels, more than"):
            read_image(bomb)
        with pytest.raises(ImageError, match="65535 x 65535 pixels, more than"):
            DeCAFTransformer(max_pixels=10**6).transform([bomb])


def test_large_tiff_files_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "large.tif"
    for compression in (None, "zlib"):
        tifffile.imwrite(path, PIXELS, photometric="rgb", compression=compression)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert_array_equal(read_image(path, max_pixels=10**6), PIXELS)
        monkeypatch.undo()


def test_a_cache_keeps_limits_apart(tmp_path):
    def transform(max_pixels, on_error="nan"):
        transformer = DeCAFTransformer(
            "stem", cache=tmp_path, max_pixels=max_pixels, on_error=on_error
        )
        return transformer.transform([FILE])

    assert np.isfinite(transform(LIMIT)).all()
    with pytest.warns(ImageWarning, match="12,287"):
        assert np.isnan(transform(LIMIT - 1)).all()
    assert_array_equal(transform(LIMIT), transform(None))
