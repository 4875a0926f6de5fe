"""Pictures in files of one name, which follow each other there while Pillow holds them open."""

from __future__ import annotations

import io
import os

import numpy as np
from oracles.bad_images import encode, photo
from PIL import Image

PICTURES = [photo(48, 64, seed) for seed in range(3)]
FORMATS = {
    "JPEG": {"quality": 95},
    "progressive JPEG": {"quality": 95, "progressive": True},
    "PNG": {},
    "palette PNG": {},
    "grey PNG": {},
    "interlaced GIF": {"interlace": 1},
    "GIF": {"interlace": 0},
    "WEBP": {"lossless": True},
    "AVIF": {},
    "TIFF": {},
    "grey TIFF": {},
    "LZW TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "grey BMP": {},
    "PPM": {},
    "grey PPM": {},
    "TGA": {},
    "grey TGA": {},
}
if "AVIF" not in Image.SAVE:  # Pillow before 11.3
    del FORMATS["AVIF"]


def file_of(name: str, pixels) -> bytes:
    image = Image.fromarray(pixels)
    if "grey" in name:
        image = image.convert("L")
    elif "palette" in name:
        image = image.quantize(64)
    return encode(image, name.split()[-1], **FORMATS[name])


def expected_of(file: bytes) -> np.ndarray:
    """What Pillow makes of a file in memory."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def replace(path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    os.replace(new, path)


def open_one_after_the_other(name: str, path) -> tuple[list[Image.Image], list[np.ndarray]]:
    """Open pictures of one format, size and mode by one name, and say what their pixels are."""
    files = [file_of(name, pixels) for pixels in PICTURES]
    images = []
    for file in files:
        replace(path, file)
        images.append(Image.open(path))
    return images, [expected_of(file) for file in files]
