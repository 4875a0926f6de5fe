"""Pictures that are transparent everywhere, as many programs write them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from oracles.bad_images import COLOUR, OddInput, encode, png, png_chunk
from PIL import Image


def hidden_inputs(folder) -> list[OddInput]:
    """Make images that are transparent everywhere, with the colour that they hide at their centre.

    The colours right and left of the centre differ, so that the picture is more than its mean.
    """
    folder = Path(folder)
    size = (20, 10)
    colours = Image.new("RGB", size, COLOUR)
    colours.paste((0, 0, 255), (0, 0, 5, 10))
    clear = Image.new("L", size, 0)
    rgba, grey = colours.copy(), colours.convert("L")
    rgba.putalpha(clear)
    level = grey.getpixel((10, 5))
    grey_alpha = Image.merge("LA", (grey, clear))
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    pixels = np.asarray(rgba)
    uint16 = pixels * np.uint16(257)
    one_key = png(
        1,
        1,
        16,
        0,
        b"\0" + struct.pack(">H", 60_000),
        png_chunk(b"tRNS", struct.pack(">H", 60_000)),
    )
    flat = Image.new("P", size, 7)
    flat.putpalette([*range(21), *COLOUR])
    files = [
        ("BMP with a V4 header and alpha of 0", "v4.bmp", bmp_v4(pixels), COLOUR),
        ("RGBA PNG", "rgba.png", encode(rgba, "PNG"), COLOUR),
        ("grey + alpha PNG", "la.png", encode(grey_alpha, "PNG"), (level,) * 3),
        ("palette PNG, each colour transparent", "p.png",
         encode(palette, "PNG", transparency=b"\0\0"), COLOUR),
        ("PNG of its transparent colour", "key.png",
         encode(Image.new("RGB", size, COLOUR), "PNG", transparency=COLOUR), COLOUR),
        ("16-bit PNG of its transparent grey", "key16.png", one_key, (233, 233, 233)),
        ("RGBA TIFF", "rgba.tif", encode(rgba, "TIFF"), COLOUR),
        ("LZW TIFF", "lzw.tif", encode(rgba, "TIFF", compression="tiff_lzw"), COLOUR),
        ("WebP", "a.webp", encode(rgba, "WEBP", lossless=True, exact=True), COLOUR),
        ("GIF of its transparent colour", "flat.gif", encode(flat, "GIF", transparency=7), COLOUR),
    ]  # fmt: skip
    for _, filename, content, _ in files:
        (folder / filename).write_bytes(content)
    return [
        *(OddInput(name, str(folder / filename), colour) for name, filename, _, colour in files),
        OddInput("bytes of a BMP", bmp_v4(pixels), COLOUR),
        OddInput("array of uint8", pixels, COLOUR),
        OddInput("array of uint16", uint16, COLOUR),
        OddInput("array of floats", pixels / 255, COLOUR),
        OddInput("PIL image, RGBA", rgba, COLOUR),
        OddInput("PIL image, LA", grey_alpha, (level,) * 3),
        OddInput("PIL image that was opened", Image.open(folder / "rgba.png"), COLOUR),
    ]


def bmp_v4(pixels) -> bytes:
    """A 32-bit BMP file with alpha, as many programs write it, from RGBA pixels (h, w, 4)."""
    height, width = pixels.shape[:2]
    data = pixels[::-1, :, [2, 1, 0, 3]].tobytes()  # rows from below, as BGRA
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(data), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks) + b"BGRs" + bytes(48)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + data
