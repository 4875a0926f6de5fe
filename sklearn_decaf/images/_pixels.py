"""Pixels of any mode or dtype as 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..exceptions import ImageError

# Key in the `info` of a result whose picture was wholly transparent, and was read as opaque. It
# goes along when the result is cropped or resized, up to whoever warns of it.
TRANSPARENCY_IGNORED = "sklearn_decaf_transparency_ignored"


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; one that is RGB already is returned itself.

    Transparent pixels are laid over white. Where all pixels are wholly transparent, the
    transparency says nothing about the picture (many programs write zeros there): it is ignored,
    and the `info` of the result has the key `TRANSPARENCY_IGNORED`.
    """
    if image.mode == "F":
        return Image.fromarray(_floats_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):  # I (32 bits, for 16-bit PGM too), I;16, I;16B ...
        return _grey_levels_to_rgb(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")

    # A copy, since Pillow writes the transparency of a palette into the image it converts.
    rgba = (image.copy() if image.mode == "P" else image).convert("RGBA")
    if rgba.getchannel("A").getbbox() is None:  # all zero
        rgb = rgba.convert("RGB")
        rgb.info[TRANSPARENCY_IGNORED] = True
        return rgb
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def array_to_rgb(pixels: np.ndarray) -> Image.Image:
    """Convert pixels (h, w) or (h, w, channels) as `to_rgb` converts images."""
    if pixels.dtype.kind == "f":
        pixels = _floats_to_8_bits(pixels)
    elif pixels.dtype.itemsize == 2:
        pixels = _levels_to_8_bits(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return to_rgb(Image.fromarray(np.ascontiguousarray(pixels)))


def _grey_levels_to_rgb(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    grey = _levels_to_8_bits(levels)
    if getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF's "white is zero"
        grey = 255 - grey
    key = image.info.get("transparency")
    transparent = levels == (key if isinstance(key, int) else -1)
    if transparent.all():
        rgb = Image.fromarray(grey).convert("RGB")
        rgb.info[TRANSPARENCY_IGNORED] = True
        return rgb
    grey[transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _levels_to_8_bits(levels: np.ndarray) -> np.ndarray:
    # an opaque alpha channel says nothing about the scale of the colours
    colours = levels[..., :3] if levels.ndim == 3 else levels
    lowest, highest = int(levels.min()), int(levels.max())
    if lowest < 0 or highest > 65535:
        raise ImageError(
            f"32-bit integer pixels in {lowest}..{highest}, whose range is unknown: scale them "
            "to uint8 or uint16"
        )
    highest = int(colours.max())
    if 0 < highest < 256:
        raise ImageError(
            f"16-bit pixels in {int(colours.min())}..{highest}, black on a scale to 65535: if they "
            "are 8-bit values, convert them with .astype(np.uint8)"
        )
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257


def _floats_to_8_bits(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.promote_types(values.dtype, np.float32))
    unusable = int(values.size - np.count_nonzero(np.isfinite(values)))
    if unusable:
        raise ImageError(f"{unusable} of {values.size} values are NaN or infinite: fill them first")
    with np.errstate(all="ignore"):  # whatever the caller's errors are: overflows are found below
        scaled = np.rint(values * 255)
    if scaled.min() < 0 or scaled.max() > 255:  # so rounding errors around 0 and 1 pass
        low, high = values.min(), values.max()
        if low < 0:
            fix = "pass the pixels as they were before normalisation"
        else:
            largest = "255 for 8-bit" if high <= 255 else "65535 for 16-bit"
            fix = f"divide by the largest possible value, {largest} pixels"
        raise ImageError(f"values from {low:.4g} to {high:.4g}, floats must lie in [0, 1]: {fix}")
    return scaled.astype(np.uint8)
