"""Kinds of JPEG, TIFF, PNG and BMP files that Pillow does not read, told from damaged files.

Pillow fails in the same way whether a file is damaged or of a kind for which it has no decoder. A
file that is intact need not be fetched again, so its header is looked at once more.
"""

from __future__ import annotations

import contextlib
import struct
from typing import IO

from PIL import Image, TiffImagePlugin

from ._file_signatures import RAW_PHOTOGRAPH
from ._quiet_readers import TiffDirectory

_CONVERT = "convert it to PNG or to an ordinary JPEG, or decode it and pass its pixels as an array"
_READ_TIFF = (
    "read it with tifffile.imread(path), say, and pass an array of shape (height, width, 3) of "
    "uint8, uint16 or floats in [0, 1]"
)

# Codings of JPEG by the marker of their frame.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_CODINGS = {
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic"),
}

# Tags of TIFF
_SUBFILE_TYPE, _SUB_DIRECTORIES = 254, 330
_BITS, _SAMPLES, _SAMPLE_FORMAT, _PHOTOMETRIC, _PLANES = 258, 277, 339, 262, 284
_COMPRESSION = 259
_EXTENTS = ((273, 279), (324, 325))  # where strips and tiles begin, and their lengths

_TIFF_COMPRESSIONS = {
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    34887: "LERC",
    34892: "lossy JPEG",
    34933: "PNG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
_OPTIONAL_COMPRESSIONS = (34925, 50000, 50001)  # builds of Pillow differ in them
_TIFF_NUMBERS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex", 6: "complex"}
_SENSOR_DATA = (32803, 34892)  # photometric interpretations


def name_unread_kind(
    format: str, stream: IO[bytes], error: Exception, *, is_open: bool
) -> str | None:
    """Name the kind of a file that Pillow could not read, and what to do; None if it is damaged.

    Parameters
    ----------
    format : str
        The format whose reader failed.
    stream : file-like
        The file, at any position.
    error : Exception
        What the reader raised.
    is_open : bool
        Whether the reader had accepted the header, and failed later.
    """
    if "truncated" in str(error).lower():
        return None
    with contextlib.suppress(Exception):  # the header is damaged too
        if format == "JPEG":
            return _jpeg_kind(stream)
        if format == "TIFF":
            return _tiff_kind(stream, error, is_open)
        if format == "PNG":
            return _png_kind(stream)
        if format == "BMP" and str(error).startswith("Unsupported BMP"):
            return f"a kind of BMP image that Pillow does not read ({error}): {_CONVERT}"
    return None


def name_preview(image: Image.Image) -> str | None:
    """Name an opened TIFF file whose first picture is a small preview of what it holds."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.fp is None:
        return None
    is_preview = image.tag_v2.get(_SUBFILE_TYPE) == 1 and _SUB_DIRECTORIES in image.tag_v2
    return RAW_PHOTOGRAPH if is_preview or _begins_canon_raw(image.fp) else None


def name_misread_kind(image: Image.Image) -> str | None:
    """Name the kind of an opened file whose pixels Pillow mixes up."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or len(image.getbands()) == 1:
        return None
    tags = image.tag_v2
    is_uncompressed = tags.get(_COMPRESSION, 1) == 1
    if is_uncompressed and tags.get(_PLANES) == 2 and _as_tuple(tags.get(_BITS, 1))[0] > 8:
        # each byte is taken for a value
        return (
            f"a TIFF image of {_tiff_samples(tags)} in planes, which Pillow misreads: {_READ_TIFF}"
        )
    return None


def _jpeg_kind(stream: IO[bytes]) -> str | None:
    stream.seek(2)
    while (byte := stream.read(1)) != b"":
        if byte != b"\xff":
            continue
        while byte == b"\xff":  # there may be several
            byte = stream.read(1)
        marker = byte[0]
        if marker == 0xF7:
            return f"a JPEG-LS image, which Pillow does not read: {_CONVERT}"
        if marker in (0xD9, 0xDA):  # end of the image, start of its data
            return None
        if marker == 0 or 0xD0 <= marker <= 0xD8:
            continue
        (length,) = struct.unpack(">H", stream.read(2))
        segment = stream.read(length - 2)
        if marker in _JPEG_FRAMES:
            bits, n_layers = segment[0], segment[5]
            if bits != 8:
                return f"a JPEG image of {bits}-bit values, which Pillow does not read: {_CONVERT}"
            if n_layers not in (1, 3, 4):
                return f"a JPEG image of {n_layers} colours, which Pillow does not read: {_CONVERT}"
            if marker in _JPEG_CODINGS:
                return (
                    f"a JPEG image with {_JPEG_CODINGS[marker]} coding, which this build of Pillow "
                    f"does not read, unless it is damaged: {_CONVERT}"
                )
    return None


def _tiff_kind(stream: IO[bytes], error: Exception, is_open: bool) -> str | None:
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(8)
    if head[2] == 43:  # the 64-bit variant
        head += stream.read(8)
    tags = TiffDirectory(head)
    stream.seek(tags.next)
    tags.load(stream)
    if not len(tags) or _is_cut_off(tags, size):
        return None
    if tags.get(_PHOTOMETRIC) in _SENSOR_DATA or _begins_canon_raw(stream):
        return RAW_PHOTOGRAPH
    compression = tags.get(_COMPRESSION, 1)
    name = _TIFF_COMPRESSIONS.get(compression, f"method {compression}")
    if compression in _OPTIONAL_COMPRESSIONS:
        return (
            f"a TIFF image compressed with {name}, which this build of Pillow does not read, "
            f"unless it is damaged: {_READ_TIFF}"
        )
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        return f"a TIFF image compressed with {name}, which Pillow does not read: {_READ_TIFF}"
    if is_open and "raw mode" not in str(error):
        return None
    return f"a TIFF image of {_tiff_samples(tags)}, which Pillow does not read: {_READ_TIFF}"


def _begins_canon_raw(stream: IO[bytes]) -> bool:
    stream.seek(8)
    return stream.read(2) == b"CR"


def _is_cut_off(tags, size: int) -> bool:
    for starts, lengths in _EXTENTS:
        if starts in tags:
            pairs = zip(_as_tuple(tags[starts]), _as_tuple(tags.get(lengths, 0)))
            if any(start + length > size for start, length in pairs):
                return True
    return False


def _tiff_samples(tags) -> str:
    bits = _as_tuple(tags.get(_BITS, 1))[0]
    numbers = _TIFF_NUMBERS.get(_as_tuple(tags.get(_SAMPLE_FORMAT, 1))[0], "values")
    return f"{tags.get(_SAMPLES, 1)} x {bits}-bit {numbers} a pixel"


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _png_kind(stream: IO[bytes]) -> str | None:
    stream.seek(12)
    if stream.read(4) == b"CgBI":
        return f"a PNG image as Xcode packs it for iPhones, which Pillow does not read: {_CONVERT}"
    return None
