"""Mean images: what some networks subtract, pixel by pixel, from the resized photograph.

Caffe's networks and DeCAF's were trained on 256 x 256 pictures minus the mean of all training
pictures, of which 227 x 227 were then cut out. So every crop has a mean of its own.
"""

from __future__ import annotations

import hashlib

import numpy as np

from ..exceptions import WeightsError
from .layers._windows import pair

CENTRE = 4  # position of the central one among ten crops


class MeanImage:
    """The mean of the training pictures, in the order of channels and the orientation they had.

    Parameters
    ----------
    pixels : ndarray of shape (size, size, 3)
        0 to 255, in the network's order of channels, upside down where it sees pictures so.

    Raises
    ------
    WeightsError
        If it is no such image.
    """

    def __init__(self, pixels: np.ndarray):
        if pixels.ndim != 3 or pixels.shape[0] != pixels.shape[1] or pixels.shape[2] != 3:
            raise WeightsError(
                f"a mean image of shape {pixels.shape}; (256, 256, 3) or another square is expected"
            )
        if pixels.dtype.kind != "f" or not np.isfinite(pixels).all():
            raise WeightsError("the mean image is not of finite floating point numbers")
        if not (pixels.min() >= 0 and pixels.max() <= 255):
            raise WeightsError(
                f"the mean image has values from {pixels.min():g} to {pixels.max():g}; 0 to 255 "
                "are expected"
            )
        # a copy, so that nothing can change it
        self.pixels = np.array(pixels, np.float32, order="C")
        self.pixels.flags.writeable = False
        self._key = self.pixels.shape, hashlib.sha256(self.pixels.data).digest()

    @property
    def sha256(self) -> str:
        """Checksum of the pixels, as float32, in hexadecimal."""
        return self._key[1].hex()

    def crop(
        self, sides: int | tuple[int, int], position: int = CENTRE, *, flipped: bool = False
    ) -> np.ndarray:
        """The part that belongs to one of ten crops: (side, side, 3), or (rows, columns, 3).

        Positions are top left, top right, bottom left, bottom right, centre, and then the mirror
        images of these five: left to right, or top to bottom if pictures are `flipped`.
        """
        h, w = pair(sides)
        below, right = len(self.pixels) - h, len(self.pixels) - w
        if min(below, right) < 0:
            raise WeightsError(
                f"the mean image has {len(self.pixels)} pixels a side, not {max(h, w)}"
            )
        offsets = (0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)
        y, x = offsets[position % 5]
        part = self.pixels[y : y + h, x : x + w]
        if position >= 5:
            part = part[::-1] if flipped else part[:, ::-1]
        return part

    def level_crops(self, crops: np.ndarray, *, flipped: bool = False) -> np.ndarray:
        """Let ten crops, each of which has a mean of its own, all have that of the central one.

        Parameters
        ----------
        crops : ndarray of shape (..., 10, h, w, 3), uint8
            RGB or BGR as the mean image, upright.
        flipped : bool
            Whether the network, and so the mean image, sees them upside down.

        Returns
        -------
        ndarray of the same shape, float32
            Minus the mean of the central crop they are the `crops` minus their own means.
        """
        h, w = crops.shape[-3:-1]
        means = np.stack([self.crop((h, w), i, flipped=flipped) for i in range(10)])
        shifts = means[CENTRE] - means  # (10, h, w, 3)
        return crops + (shifts[:, ::-1] if flipped else shifts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MeanImage) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        size, mean = len(self.pixels), self.pixels.mean(axis=(0, 1))
        return f"MeanImage({size} x {size}, mean {mean.round(2).tolist()})"
