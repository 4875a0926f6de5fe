"""Photographs with faults in their metadata, of which Pillow warns when it reads them."""

from __future__ import annotations

import io
import struct

import numpy as np
import tifffile
from oracles.bad_images import encode, photo, png, png_chunk
from PIL import Image

ORIENTATION = 0x0112
PIXELS = photo(24, 40)  # as stored; upright, they are turned by a quarter
UPRIGHT = np.rot90(PIXELS, -1)

_LOSSLESS = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}


def directory(*entries, n_entries=None) -> bytes:
    """EXIF data of (tag, type, count, value) with values of 4 bytes, or numbers of 32 bits."""
    packed = b"".join(
        struct.pack("<HHL4s", *entry[:3], _four_bytes(entry[3])) for entry in sorted(entries)
    )
    count = len(entries) if n_entries is None else n_entries
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + packed + bytes(4)


def _four_bytes(value) -> bytes:
    return value if isinstance(value, bytes) else struct.pack("<L", value)


SIX = (ORIENTATION, 3, 1, 6)
TURNED = {
    "the orientation is there twice": directory((ORIENTATION, 3, 2, b"\6\0\6\0")),
    "a tag beyond the data": directory(SIX, (0x010F, 2, 400, 10_000)),
    "a tag beyond the address space": directory(SIX, (0x010F, 2, 2**31, 2**31)),
    "a directory that was cut off": directory(SIX, n_entries=9)[:-4],
    "no address of the next directory": directory(SIX)[:-4],
    "a tag of two values for one": directory(SIX, (0x0128, 3, 2, b"\2\0\2\0")),
    "many faults": directory(SIX, (0x010F, 2, 99, 7_777), (0x9C9B, 1, 99, 9_999), n_entries=7)[:-4],
}  # fmt: skip


def with_exif(format: str, exif: bytes) -> bytes:
    options = _LOSSLESS.get(format, {})
    if format == "PNG":  # Pillow's writer would read it
        file = encode(PIXELS, "PNG")
        return file[:33] + png_chunk(b"eXIf", exif[6:]) + file[33:]
    if format == "AVIF":  # which has an orientation of its own, and EXIF data without one
        written = Image.Exif()
        written[0x010F] = "x" * len(exif)
        stored = written.tobytes()[6:]
        written[ORIENTATION] = 6
        file = encode(PIXELS, "AVIF", quality=100, exif=written)
        assert file.count(stored) == 1
        return file.replace(stored, exif[6:].ljust(len(stored), b"\0"))
    return encode(PIXELS, format, exif=exif, **options)


def with_hexadecimal_exif(exif: bytes) -> bytes:
    """A PNG file as ImageMagick writes them."""
    file = encode(PIXELS, "PNG")
    text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    return file[:33] + png_chunk(b"tEXt", b"Raw profile type exif\0" + text) + file[33:]


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """A JPEG file with another segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data + jpeg[2:]


def animated_png(*chunks: bytes) -> bytes:
    """A PNG file with chunks of animation control."""
    file = encode(PIXELS, "PNG")
    return file[:33] + b"".join(png_chunk(b"acTL", chunk) for chunk in chunks) + file[33:]


def turned_files() -> dict[str, bytes]:
    """Files of `PIXELS` that are to be turned."""
    formats = ["JPEG", "PNG", "WEBP", *(["AVIF"] if "AVIF" in Image.SAVE else [])]
    files = {
        f"{format}: {fault}": with_exif(format, exif)
        for format in formats
        for fault, exif in TURNED.items()
    }
    for fault, exif in TURNED.items():
        files[f"PNG with hexadecimal EXIF data: {fault}"] = with_hexadecimal_exif(exif)
    buffer = io.BytesIO()
    tags = [(ORIENTATION, 3, 2, (6, 6), True), (65000, 2, 0, "word", True)]
    tifffile.imwrite(buffer, PIXELS, photometric="rgb", extratags=tags)
    files["TIFF: the orientation is there twice"] = buffer.getvalue()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    tiff = encode(PIXELS, "TIFF", tiffinfo={305: "a name of some length", ORIENTATION: 6})
    place = tiff.index(struct.pack("<HHL", 305, 2, 22)) + 8
    files["TIFF: a tag beyond the file"] = tiff[:place] + b"\xff\xff\0\0" + tiff[place + 4 :]
    files["LZW TIFF: the orientation is there twice"] = _twice(
        encode(PIXELS, "TIFF", exif=exif, compression="tiff_lzw")
    )
    return files


def _twice(tiff: bytes) -> bytes:
    place = tiff.index(struct.pack("<HHL", ORIENTATION, 3, 1))
    return tiff[:place] + struct.pack("<HHLHH", ORIENTATION, 3, 2, 6, 6) + tiff[place + 12 :]


def straight_files() -> dict[str, bytes]:
    """Files of `PIXELS` that are not to be turned."""
    jpeg = encode(PIXELS, "JPEG", **_LOSSLESS["JPEG"])
    mpf = b"MPF\0II*\0\x08\0\0\0\1\0\0\xb0\7\0\4\0\0\0" + b"0100"
    return {
        "JPEG: a directory of pictures without their number": with_segment(jpeg, 0xE2, mpf),
        "JPEG: a directory of pictures that was cut off": with_segment(jpeg, 0xE2, mpf[:14]),
        "JPEG: a directory of pictures with a fault": with_segment(
            jpeg, 0xE2, b"MPF\0II*\0\x08\0\0\0\1\0\1\xb0\2\0\x63\0\0\0\xff\xff\0\0"
        ),
        "PNG: an animation without frames": animated_png(bytes(8)),
        "PNG: two animations": animated_png(struct.pack(">LL", 1, 0), struct.pack(">LL", 1, 0)),
        "WebP: EXIF data without an orientation": with_exif(
            "WEBP", directory((0x010F, 2, 400, 10_000))
        ),
        "palette PNG with alpha": encode(
            Image.fromarray(PIXELS).quantize(200), "PNG", transparency=b"\xff\xff\xff"
        ),
        "deep PNG": png(40, 24, 16, 2, _deep_rows()),
    }


def _deep_rows() -> bytes:
    return b"".join(
        b"\0" + row.astype(">u2").tobytes() for row in PIXELS.reshape(24, -1) * np.uint16(257)
    )
