"""Inputs that are no images, and unusual images, as users really pass them.

`bad_inputs` are refused, `odd_inputs` are read. Both are made by NumPy, by Pillow's writers or byte
by byte, and say what is to be expected of them.
"""

from __future__ import annotations

import importlib
import io
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from PIL import Image

COLOUR = (200, 120, 40)  # of the flat test pictures


@dataclass(frozen=True)
class BadInput:
    """Something that must be refused with a message that matches a pattern.

    Where `row` is a number, the rest of `X` is good and only that row is at fault; None means
    that `X` as a whole is no sequence of images.
    """

    name: str
    X: object
    match: str
    row: int | None = None
    image_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OddInput:
    """An image that is read, and the colour that its centre has."""

    name: str
    image: object
    colour: tuple[int, int, int]


def photo(height=96, width=128, seed=0) -> np.ndarray:
    """Something like a photograph: smooth in the large, noisy in the small; (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + seed) + np.cos(y / b) for a, b in ((9, 14), (17, 8), (12, 11))]
    noise = rng.normal(0, 6, (height, width, 3))
    return np.clip(128 + 50 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def encode(image, format, **options) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(
    width, height, bit_depth, colour_type, rows=b"", extra=b"", *, before=b"", wbits=15
) -> bytes:
    """A PNG file with any header; `rows` are the filtered scan lines, `extra` more chunks.

    Others may stand `before` the header; ``wbits=-15`` deflates without zlib's own header.
    """
    deflate = zlib.compressobj(wbits=wbits)
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + before
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", deflate.compress(rows) + deflate.flush())
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pgm(levels) -> bytes:
    """A PGM file of 16-bit levels."""
    height, width = levels.shape
    return b"P5 %d %d 65535\n" % (width, height) + levels.astype(">u2").tobytes()


def jpeg_of_size(width, height) -> bytes:
    """A JPEG file whose header lies about its size."""
    data = bytearray(encode(photo(), "JPEG"))
    start = data.index(b"\xff\xc0") + 5  # the baseline frame header: length, precision, h, w
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


class Tensor:
    """What an array of another library looks like from outside."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


def bad_inputs(folder) -> list[BadInput]:
    """Make files in `folder`, and inputs of all kinds; every one is at fault."""
    folder = Path(folder)
    return [
        *_bad_files(folder),
        *_bad_paths(folder),
        *_bad_items(folder),
        *_bad_arrays(),
        *_bad_containers(folder),
        *_bad_frames(folder),
        *_bad_rows(),
    ]


def _in_row_1(name, item, match) -> BadInput:
    return BadInput(name, [photo(), item, photo(seed=2)], match, row=1)


def _bad_files(folder) -> list[BadInput]:
    picture = photo()
    jpeg = encode(picture, "JPEG", quality=90)
    progressive = encode(picture, "JPEG", quality=90, progressive=True)
    png_file, gif = encode(picture, "PNG"), encode(picture, "GIF")
    webp, tiff, bmp = encode(picture, "WEBP"), encode(picture, "TIFF"), encode(picture, "BMP")
    deflated = encode(picture, "TIFF", compression="tiff_adobe_deflate")
    flipped = bytearray(png_file)
    flipped[len(flipped) // 2] ^= 0xFF
    bilevel = bytes(1 + 10_000 // 8) * 9_000  # scan lines of 10,000 x 9,000 pixels
    text = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2_000_000)))
    gif_bomb = b"GIF89a" + struct.pack("<HH", 65535, 65535) + gif[10:]
    damaged = "a truncated( or damaged)?"
    files = [
        ("JPEG cut after 10 bytes", "a.jpg", jpeg[:10], f"{damaged} JPEG file"),
        ("JPEG cut in its header", "b.jpg", jpeg[:200], f"{damaged} JPEG file"),
        ("JPEG cut in the middle", "c.jpg", jpeg[: len(jpeg) // 2], f"{damaged} JPEG file"),
        ("JPEG without its last 100 bytes", "d.jpg", jpeg[:-100], f"{damaged} JPEG file"),
        (
            "progressive JPEG cut",
            "e.jpg",
            progressive[: len(progressive) // 2],
            f"{damaged} JPEG file",
        ),
        ("PNG cut in its header", "a.png", png_file[:20], f"{damaged} PNG file"),
        ("PNG cut in the middle", "b.png", png_file[: len(png_file) // 2], f"{damaged} PNG file"),
        ("PNG with a flipped byte", "c.png", bytes(flipped), f"{damaged} PNG file"),
        ("PNG of 0 x 10 pixels", "d.png", png(0, 10, 8, 2), f"{damaged} PNG file"),
        ("PNG without pixel data", "e.png", png(10, 10, 8, 2), f"{damaged} PNG file"),
        ("GIF cut", "a.gif", gif[: len(gif) // 2], f"{damaged} GIF file"),
        ("WebP cut", "a.webp", webp[: len(webp) // 2], f"{damaged} WEBP file"),
        ("TIFF cut", "a.tif", tiff[: len(tiff) // 2], f"{damaged} TIFF file"),
        ("compressed TIFF cut", "b.tif", deflated[: len(deflated) // 2], f"{damaged} TIFF file"),
        ("BMP cut", "a.bmp", bmp[: len(bmp) // 2], f"{damaged} BMP file"),
        ("PPM cut", "a.ppm", encode(picture, "PPM")[:999], f"{damaged} PPM file"),
        ("file of 0 bytes", "empty.jpg", b"", "empty, 0 bytes"),
        (
            "HTML named .jpg",
            "page.jpg",
            b"<!DOCTYPE html><html><title>404</title>",
            "HTML page.*starts with b'<!DOCTYPE html",
        ),
        ("text named .png", "text.png", b"no picture\n", "not an image but text.*JPEG"),
        ("PDF named .jpg", "paper.jpg", b"%PDF-1.7\n\x00\x01" + bytes(99), "a PDF.*b'%PDF"),
        ("EPS", "a.eps", encode(picture, "EPS"), "a PostScript document.*%!PS-Adobe"),
        ("SVG", "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing.*<svg"),
        ("HEIC", "a.heic", b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC image.*pillow-heif"),
        ("NumPy file named .png", "npy.png", b"\x93NUMPY\x01\0v\0{", r"np\.load"),
        (
            "Git LFS pointer",
            "lfs.jpg",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
            "git lfs pull",
        ),
        (
            "random bytes named .jpg",
            "noise.jpg",
            b"\xfe" + np.random.default_rng(0).bytes(500),
            r"format other than JPEG, PNG.*starts with b'\\xfe",
        ),
        (
            "PNG header of 60000 x 60000",
            "bomb.png",
            png(60_000, 60_000, 8, 2),
            "60000 x 60000 pixels, more than the 89,478,485.*bomb",
        ),
        (
            "PNG of 90 million pixels in 11 kB",
            "bilevel.png",
            png(10_000, 9_000, 1, 0, bilevel),
            "10000 x 9000 pixels",
        ),
        (
            "PNG with 2 MB of zipped text in 2 kB",
            "ztxt.png",
            png(2, 2, 8, 2, extra=text),
            "PNG file.*(?i:data too large)",
        ),
        (
            "JPEG header of 65000 x 65000",
            "bomb.jpg",
            jpeg_of_size(65_000, 65_000),
            "65000 x 65000 pixels",
        ),
        ("GIF header of 65535 x 65535", "bomb.gif", gif_bomb, "65535 x 65535 pixels"),
        (
            "32-bit integer TIFF",
            "int32.tif",
            encode(np.full((8, 8), 100_000, np.int32), "TIFF"),
            r"32-bit integer pixels in 100000\.\.100000",
        ),
        (
            "16-bit PNG of 8-bit values",
            "dark.png",
            encode(np.full((8, 8), 200, np.uint16), "PNG"),
            r"16-bit pixels in 200\.\.200.*uint8",
        ),
        (
            "float TIFF in 0..255",
            "float.tif",
            encode(np.full((8, 8), 200, np.float32), "TIFF"),
            r"values from 200 to 200.*\[0, 1\]",
        ),
        (
            "float TIFF with NaN",
            "nan.tif",
            encode(np.full((8, 8), np.nan, np.float32), "TIFF"),
            "64 of 64 values are NaN",
        ),
    ]
    cases = []
    for name, filename, content, match in files:
        path = folder / filename
        path.write_bytes(content)
        cases.append(_in_row_1(name, str(path), match))
    return cases


def _bad_paths(folder) -> list[BadInput]:
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to(folder / "nowhere.jpg")
    cases = [
        _in_row_1("missing path", str(folder / "missing.jpg"), "no such file"),
        _in_row_1("missing Path", folder / "missing.jpg", "no such file"),
        _in_row_1("missing relative path", "missing.jpg", "no such file.*working directory"),
        _in_row_1("path with ~", "~/missing.jpg", "expanduser"),
        _in_row_1("broken link", folder / "link.jpg", "no such file"),
        _in_row_1("file taken for a folder", folder / "a.jpg" / "b.jpg", "no such file"),
        _in_row_1("directory among paths", folder / "folder.jpg", "load_image_folder"),
        _in_row_1("empty string", "", "empty path"),
        _in_row_1("https URL", "https://example.org/a.jpg", "URL: download"),
        _in_row_1("missing file: address", "file:///a%20b.jpg", "no such file"),
        _in_row_1("file: address of another machine", "file://nas/a.jpg", "another machine, 'nas'"),
        _in_row_1("address of Hadoop", "hdfs:/photos/a.jpg", "URL: download"),
        _in_row_1("data URI", "data:image/png;base64,iVBORw0KGgo=" + "A" * 999, "URL"),
        _in_row_1("path with a zero byte", "a\0.jpg", "not a path"),
        _in_row_1("path of 5000 letters", "a" * 5000, "cannot be opened"),
    ]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
        cases.append(_in_row_1("named pipe", folder / "pipe.jpg", "not a regular file"))
    if hasattr(os, "geteuid") and os.geteuid() != 0:  # nothing is forbidden to root
        (folder / "secret.jpg").write_bytes(b"")
        (folder / "secret.jpg").chmod(0)
        cases.append(_in_row_1("file without read permission", folder / "secret.jpg", "ermission"))
    return cases


def _bad_items(folder) -> list[BadInput]:
    jpeg = encode(photo(), "JPEG")
    (folder / "good.jpg").write_bytes(jpeg)
    with Image.open(folder / "good.jpg") as closed:
        pass
    return [
        _in_row_1("bytes, 0 of them", b"", "empty, 0 bytes"),
        _in_row_1("bytes of a cut JPEG", jpeg[: len(jpeg) // 2], "a truncated JPEG file"),
        _in_row_1("bytearray of text", bytearray(b"hello"), "starts with b'hello'"),
        _in_row_1("path as bytes", os.fsencode(folder / "good.jpg"), "and a path a str"),
        _in_row_1("None", None, "row 1, None: a missing value"),
        _in_row_1("NaN", float("nan"), "nan: a missing value.*on_error='nan'"),
        _in_row_1("integer", 7, "row 1, 7: no image; an image is"),
        _in_row_1("list of numbers", photo(4, 4).tolist(), r"type list: .*np\.asarray"),
        _in_row_1("dict in a list", {"image": jpeg}, r"type dict: pass the entry.*\['bytes'\]"),
        _in_row_1("struct without content", {"bytes": None, "path": None}, "None: a missing value"),
        _in_row_1(
            "struct with a cut JPEG",
            {"bytes": jpeg[: len(jpeg) // 2], "path": "cat.jpg"},
            "row 1, 'cat.jpg': a truncated JPEG file",
        ),
        _in_row_1("open file", io.BytesIO(jpeg), r"type BytesIO: an open file.*\.read\(\)"),
        _in_row_1("tensor", Tensor(photo()), r"type Tensor: .*np\.asarray"),
        _in_row_1("function", encode, "type function: no image"),
        _in_row_1("PIL image of 0 x 0", Image.new("RGB", (0, 0)), "no pixels"),
        _in_row_1(
            "PIL image whose file was closed", closed, r"pixels cannot be loaded.*image\.load\(\)"
        ),
        _in_row_1(
            "PIL image of a cut file",
            Image.open(io.BytesIO(jpeg[: len(jpeg) // 2])),
            "a truncated JPEG file",
        ),
    ]


def _bad_arrays() -> list[BadInput]:
    unit = photo() / 255
    holes, infinite = unit.copy(), unit.copy()
    holes[3, 4] = np.nan
    infinite[0, 0, 0] = -np.inf
    standardised = (unit - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    stack = np.stack([unit, holes, unit])
    bright = np.stack([unit, unit * 255, unit])
    return [
        _in_row_1("array with NaN", holes, r"3 of \d+ values are NaN or infinite"),
        _in_row_1("array with infinity", infinite, r"1 of \d+ values are NaN or infinite"),
        _in_row_1("floats in 0..255", unit * 255, "values from.*255 for 8-bit"),
        _in_row_1("floats in 0..65535", unit * 65535, "values from.*65535 for 16-bit"),
        _in_row_1("standardised floats", standardised, "values from -.*before normalisation"),
        _in_row_1("bool array", unit > 0.5, r"bool pixels.*\(x \* 255\)"),
        _in_row_1(
            "int64 array",
            photo().astype(np.int64),
            r"range of int64 pixels is unknown.*x\.astype\(np\.uint8\)",
        ),
        _in_row_1("int8 array", photo().astype(np.int8), "int8 pixels"),
        _in_row_1("complex array", unit * 1j, "not complex128"),
        _in_row_1("object array of pixels", photo().astype(object), "not object"),
        _in_row_1("uint16 array of 8-bit values", photo().astype(np.uint16), "16-bit pixels in"),
        _in_row_1("CHW array", np.moveaxis(unit, 2, 0), r"channels come first.*x\.transpose"),
        _in_row_1("2 channels", unit[:, :, :2], "2 channels"),
        _in_row_1("5 channels", np.zeros((9, 9, 5), np.uint8), "5 channels"),
        _in_row_1("array of 0 x 10", np.zeros((0, 10, 3), np.uint8), "no pixels"),
        _in_row_1("0-D array", np.array(3), r"shape \(height, width\)"),
        _in_row_1(
            "encoded bytes as an array",
            np.frombuffer(encode(photo(), "PNG"), np.uint8),
            r"x\.tobytes\(\)",
        ),
        _in_row_1("4-D array in a list", unit[None], r"pass x\[0\]"),
        BadInput("stack with NaN in one image", stack, "values are NaN", row=1),
        BadInput("stack with one image in 0..255", bright, "255 for 8-bit", row=1),
    ]


def _bad_containers(folder) -> list[BadInput]:
    good = str(folder / "good.jpg")
    stack = np.stack([photo(), photo(seed=1)])
    masked = np.ma.masked_equal(stack, 0)
    return [
        BadInput("one path", good, r"X is one image \(path '.*good.jpg'\).*pass \[X\]"),
        BadInput("one Path", Path(good), r"pass \[X\]"),
        BadInput("one directory", str(folder), "load_image_folder"),
        BadInput("one pattern", str(folder / "*.jpg"), r"sorted\(glob\.glob\(X\)\)"),
        BadInput("one file's bytes", encode(photo(), "PNG"), r"encoded bytes.*pass \[X\]"),
        BadInput("one PIL image", Image.new("RGB", (8, 8)), r"PIL image.*pass \[X\]"),
        BadInput("one array", photo(), r"one image, pass X\[None\]"),
        BadInput("stack of grey arrays (NHW)", stack[..., 0], r"grey images, X\[\.\.\., None\]"),
        BadInput("NCHW array", np.moveaxis(stack, 3, 1), r"X\.transpose\(0, 2, 3, 1\)"),
        BadInput("stack of bool arrays", stack > 128, "bool pixels"),
        BadInput("stack of int64 arrays", stack.astype(np.int64), r"X\.astype\(np\.uint8\)"),
        BadInput("stack of images of 0 x 10", np.zeros((2, 0, 10, 3), np.uint8), "no pixels"),
        BadInput("5-D array", stack[None], "n_images, height, width, channels"),
        BadInput("matrix without image_shape", np.zeros((5, 192)), "need image_shape="),
        BadInput("1-D numbers", np.arange(5.0), "numbers are no images"),
        BadInput("masked array", masked, r"X\.filled"),
        BadInput("array of bytes strings", np.array([b"a", b"b"]), "trailing zero bytes"),
        BadInput("2-D array of strings", np.array([["a", "b"]]), "one dimension"),
        BadInput("stack of dtype object", stack.astype(object), "numeric dtype"),
        BadInput("sparse matrix", scipy.sparse.csr_array(np.eye(4)), r"X\.toarray\(\)"),
        BadInput("tensor of images", Tensor(stack), r"np\.asarray\(X\)"),
        BadInput("generator", (path for path in [good]), r"generator: .*list\(X\)"),
        BadInput("map", map(str, [good]), r"map: .*list\(X\)"),
        BadInput("set", {good}, r"set: it has no order"),
        BadInput("dict", {"a": good}, r"dict: .*list\(X\.values\(\)\)"),
        BadInput("dict of columns", {"path": np.array([good])}, r"dict: .*X\['path'\]"),
        BadInput("None instead of images", None, "X is None: pass a list"),
        BadInput("number instead of images", 3.5, "X is a float"),
        BadInput("range", range(3), "X is a range"),
    ]


def _bad_frames(folder) -> list[BadInput]:
    good = str(folder / "good.jpg")
    cases = []
    for library in ("pandas", "polars"):
        try:
            module = importlib.import_module(library)
        except ImportError:
            continue
        two = module.DataFrame({"path": [good], "label": [1]})
        hole = module.DataFrame({"path": [good, None]})
        cases += [
            BadInput(f"{library} frame of 2 columns", two, r"2 columns \('path', 'label'\)"),
            BadInput(f"{library} frame with a missing path", hole, "missing value", row=1),
            BadInput(
                f"{library} Series of numbers",
                hole["path"].is_null(),
                "row 0, False: no image",
                row=0,
            )
            if library == "polars"
            else BadInput("pandas Series of numbers", two["label"], "row 0, 1: no image", row=0),
        ]
        if library == "pandas":
            labelled = module.Series([good, "missing.jpg"], index=["first", "second"])
            cases.append(
                BadInput("labelled Series", labelled, r"\(index 'second'\).*no such file", row=1)
            )
    return cases


def _bad_rows() -> list[BadInput]:
    matrix = np.linspace(0, 1, 3 * 64).reshape(3, 64)
    holes, bright = matrix.copy(), matrix.copy()
    holes[1, 5] = np.nan
    bright[1] *= 16
    shape = (8, 8)

    def case(name, X, match, row=None):
        return BadInput(name, X, match, row, shape)

    return [
        case("rows of the wrong length", matrix[:, :60], r"60 features.*8 \* 8 = 64"),
        case("rows with NaN", holes, "1 of 64 values are NaN", row=1),
        case("rows in 0..16", bright, "values from .* floats must lie in", row=1),
        case("rows of int64", (matrix * 255).astype(np.int64), "int64 pixels"),
        case("rows of bool", matrix > 0.5, "bool pixels"),
        case("image_shape with images", [photo()], "leave image_shape=None"),
        case("image_shape with paths", ["a.jpg"], "leave image_shape=None"),
        BadInput("image_shape of one number", matrix, "image_shape=64", None, 64),
        BadInput("image_shape with 2 channels", matrix, "1, 3 or 4 channels", None, (8, 4, 2)),
    ]


def odd_inputs(folder) -> list[OddInput]:
    """Make unusual images that are read all the same."""
    folder = Path(folder)
    size = (20, 10)
    flat = Image.new("RGB", size, COLOUR)
    other = Image.new("RGB", size, (0, 0, 255))
    half = Image.new("RGBA", size, (0, 0, 0, 128))
    # transparent but for one pixel
    part, part_grey = Image.new("RGBA", size, (255, 0, 0, 0)), Image.new("LA", size, (0, 0))
    part.putpixel((0, 0), (0, 0, 0, 255))
    part_grey.putpixel((0, 0), (0, 255))
    spotted = flat.copy()
    spotted.putpixel((0, 0), (0, 0, 255))
    palette = spotted.convert("P", palette=Image.Palette.ADAPTIVE)
    mid16 = np.full((10, 20), 32_896, np.uint16)  # 128 * 257
    lab = Image.frombytes("LAB", (1, 1), bytes([255, 0, 0])).resize(size)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    memmap = np.memmap(folder / "pixels.bin", np.uint8, "w+", shape=(10, 20, 3))
    memmap[:] = COLOUR
    animated = {"save_all": True, "append_images": [other]}
    row = b"\0" + struct.pack(">20H", 60_000, *[999] * 19)
    key = png_chunk(b"tRNS", struct.pack(">H", 999))
    grey16_key = png(*size, 16, 0, 10 * row, key)
    files = [
        ("16-bit grey PNG", "16.png", encode(mid16, "PNG"), (128, 128, 128)),
        ("16-bit TIFF", "16.tif", encode(mid16, "TIFF"), (128, 128, 128)),
        ("16-bit PGM", "16.pgm", pgm(mid16), (128, 128, 128)),
        ("16-bit PNG with a transparent grey", "key.png", grey16_key, (255, 255, 255)),
        ("RGBA PNG, red below transparency", "a.png", encode(part, "PNG"), (255, 255, 255)),
        (
            "float TIFF",
            "f.tif",
            encode(np.full((10, 20), 0.5, np.float32), "TIFF"),
            (128, 128, 128),
        ),
        (
            "CMYK JPEG (Adobe, inverted)",
            "cmyk.jpg",
            encode(Image.new("CMYK", size, (255, 0, 0, 0)), "JPEG", quality=95),
            (0, 255, 255),
        ),
        ("CMYK TIFF", "cmyk.tif", encode(Image.new("CMYK", size, (0, 255, 255, 0)), "TIFF"),
         (255, 0, 0)),
        ("LAB TIFF", "lab.tif", encode(lab, "TIFF"), (255, 255, 255)),
        ("palette PNG", "p.png", encode(palette, "PNG"), COLOUR),
        (
            "palette PNG, transparent",
            "pt.png",
            encode(palette, "PNG", transparency=palette.getpixel((9, 5))),
            (255, 255, 255),
        ),
        ("RGBA PNG, half-transparent black", "h.png", encode(half, "PNG"), (127, 127, 127)),
        ("grey + alpha PNG, transparent", "la.png", encode(part_grey, "PNG"), (255, 255, 255)),
        (
            "RGB PNG with a transparent colour",
            "t.png",
            encode(spotted, "PNG", transparency=COLOUR),
            (255, 255, 255),
        ),
        ("grey JPEG", "l.jpg", encode(Image.new("L", size, 77), "JPEG"), (77, 77, 77)),
        ("1-bit PNG", "1.png", encode(Image.new("1", size, 1), "PNG"), (255, 255, 255)),
        ("animated GIF", "an.gif", encode(palette, "GIF", **animated), COLOUR),
        ("animated PNG", "an.png", encode(flat, "PNG", **animated), COLOUR),
        ("animated WebP", "an.webp", encode(flat, "WEBP", lossless=True, **animated), COLOUR),
        ("TIFF of two pages", "two.tif", encode(flat, "TIFF", **animated), COLOUR),
        ("MPO of two pictures", "two.mpo", encode(flat, "MPO", quality=95, **animated), COLOUR),
        ("progressive JPEG", "pr.jpg", encode(flat, "JPEG", quality=95, progressive=True), COLOUR),
        ("JPEG turned by EXIF", "turned.jpg", encode(flat, "JPEG", exif=rotated, quality=95),
         COLOUR),
        ("JPEG named .txt", "jpeg.txt", encode(flat, "JPEG", quality=95), COLOUR),
        ("JPEG with junk after its end", "j.jpg", encode(flat, "JPEG", quality=95) + b"junk" * 99,
         COLOUR),
    ]  # fmt: skip
    for _, filename, content, _ in files:
        (folder / filename).write_bytes(content)
    return [
        *(OddInput(name, folder / filename, colour) for name, filename, _, colour in files),
        OddInput("memoryview of a PNG", memoryview(encode(flat, "PNG")), COLOUR),
        OddInput("PIL image, YCbCr", flat.convert("YCbCr"), COLOUR),
        OddInput("PIL image, HSV", flat.convert("HSV"), COLOUR),
        OddInput("uint16 array", mid16, (128, 128, 128)),
        OddInput("big-endian uint16 array", mid16.astype(">u2"), (128, 128, 128)),
        OddInput("float64 array (h, w)", np.full((10, 20), 0.25), (64, 64, 64)),
        OddInput("float16 array (h, w, 1)", np.full((10, 20, 1), 1, np.float16), (255, 255, 255)),
        OddInput("floats a rounding error above 1", np.full((10, 20), 1 + 1e-6), (255, 255, 255)),
        OddInput("RGBA array, transparent", np.asarray(part), (255, 255, 255)),
        OddInput("array with negative strides", np.asarray(flat)[::-1, ::-1], COLOUR),
        OddInput("memory-mapped array", memmap, COLOUR),
        OddInput("picture of 10000 x 1", Image.new("RGB", (10_000, 1), COLOUR), COLOUR),
        OddInput("picture of 1 x 1", Image.new("RGB", (1, 1), COLOUR), COLOUR),
    ]
