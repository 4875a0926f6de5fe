"""Resizing of one image, and the squares that a network sees of it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image

from ..exceptions import ImageError

_BILINEAR = Image.Resampling.BILINEAR
# Above this length (in multiples of `size`) a resized picture is never made as a whole.
_LONGEST = 16


def resize_and_crop(
    image: Image.Image,
    *,
    size: int = 256,
    crop: int | tuple[int, int] = 227,
    resize: Literal["warp", "crop"] | None = "warp",
    ten_crop: bool = False,
    upside_down: bool = False,
) -> np.ndarray:
    """Resize an image and cut the network's input out of it.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode "RGB".
    size : int, default=256
        Length in pixels to which `resize` brings the sides.
    crop : int or (int, int), default=227
        Side in pixels of the square that is cut out, or height and width; at most `size`.
    resize : {"warp", "crop"} or None, default="warp"
        "warp" makes the image `size` x `size` whatever its aspect ratio, as in [1]_ (section
        3.1). "crop" makes its shorter side `size` and keeps the aspect ratio. None leaves the
        image as it is. Resizing is bilinear, with a support that grows with the reduction.
    ten_crop : bool, default=False
        Cut out ten squares instead of the central one: top left, top right, bottom left, bottom
        right, centre, and the left-right mirror images of these five in the same order.
    upside_down : bool, default=False
        Cut the same squares out of the image turned upside down, as DeCAF's own program did, and
        turn each back: rows are counted from below, and mirror images are top-bottom.

    Returns
    -------
    pixels : ndarray of shape (crop, crop, 3) or (10, crop, crop, 3), uint8
        RGB. The central part starts at ``((height - crop) // 2, (width - crop) // 2)`` of the
        resized image.

    Raises
    ------
    ImageError
        If ``resize=None`` and the image is smaller than `crop`.

    References
    ----------
    .. [1] J. Donahue et al., "DeCAF: A deep convolutional activation feature for generic visual
       recognition", ICML 2014.

    Examples
    --------
    >>> from PIL import Image
    >>> from sklearn_decaf.images import resize_and_crop
    >>> resize_and_crop(Image.new("RGB", (500, 375)), crop=224).shape
    (224, 224, 3)
    """
    width, height = _resized(image.size, size, resize)
    h, w = crop if isinstance(crop, tuple | list) else (crop, crop)
    if width < w or height < h:  # only with resize=None
        raise ImageError(
            f"{width} x {height} pixels, smaller than the {w} x {h} that the network needs: "
            "resize='warp' or resize='crop' enlarges it"
        )
    right, bottom = width - w, height - h
    corners = [(right // 2, bottom // 2)]  # (left, top)
    if ten_crop:
        corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), *corners]
    if upside_down:
        corners = [(x, bottom - y) for x, y in corners]

    if (width, height) == image.size:
        squares = [cut_out(image, (x, y, x + w, y + h)) for x, y in corners]
    elif max(width, height) <= _LONGEST * size:
        resized = image.resize((width, height), _BILINEAR)
        squares = [resized.crop((x, y, x + w, y + h)) for x, y in corners]
    else:
        # A picture of 1 x 10000 would become 256 x 2560000: make only the squares. They equal
        # those of the whole up to the rounding to 8 bits.
        across, down = image.width / width, image.height / height
        squares = [
            image.resize(
                (w, h),
                _BILINEAR,
                box=(x * across, y * down, (x + w) * across, (y + h) * down),
            )
            for x, y in corners
        ]
    pixels = np.stack([np.asarray(square) for square in squares])  # (1 or 5, h, w, 3)
    if ten_crop:
        mirrored = pixels[:, ::-1] if upside_down else pixels[:, :, ::-1]
        return np.concatenate([pixels, mirrored])
    return pixels[0]


def cut_out(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Cut a part out of an image, in whole pixels, as ``image.crop`` does.

    Of a part that is larger than ``Image.MAX_IMAGE_PIXELS``, that would warn or raise.
    """
    left, upper, right, lower = box
    size = (right - left, lower - upper)
    if size[0] * size[1] <= (Image.MAX_IMAGE_PIXELS or math.inf):
        return image.crop(box)
    return image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.NEAREST)


def _resized(image_size, size, resize) -> tuple[int, int]:
    """Width and height after resizing."""
    width, height = image_size
    if resize == "warp":
        return size, size
    if resize == "crop":
        shorter = min(width, height)
        return round(width * size / shorter), round(height * size / shorter)
    return width, height
