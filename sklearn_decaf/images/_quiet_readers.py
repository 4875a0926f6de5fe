"""Pillow's readers without their warnings, and the EXIF orientation read without any.

Pillow says in warnings what it finds wrong with the metadata of a file. What becomes of a warning
is decided by filters that all threads of a process share: under the filter "error" it ends the
reading, and the picture or its orientation is lost. To change the filters while an image is read
would change them for all other threads. So the readers here are subclasses of Pillow's own, in
which each method that warns is replaced by a copy that finds something silent under the name
`warnings`. They read what Pillow reads where warnings are ignored.

In the same way they have a limit of their own on the number of pixels. Pillow's, which all threads
share, warns at ``Image.MAX_IMAGE_PIXELS`` and raises at twice that.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
from collections.abc import Iterator
from contextvars import ContextVar
from types import FunctionType, SimpleNamespace
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ..exceptions import ImageError

# Formats of photographs only: Pillow knows formats that start other programs (EPS), and rare ones
# whose readers few people have ever attacked. JPEG stands for MPO too, several JPEG files in one.
_PILLOWS_READERS: list[type[ImageFile.ImageFile]] = [
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    PpmImagePlugin.PpmImageFile,
]
with contextlib.suppress(ImportError):  # Pillow before 11.3 has none
    from PIL import AvifImagePlugin

    _PILLOWS_READERS.append(AvifImagePlugin.AvifImageFile)

_limit: ContextVar[int | None] = ContextVar("pixel_limit", default=None)

_ORIENTATION = 0x0112  # the EXIF tag
_ORIENTATIONS = range(2, 9)  # those that change a picture
_XMP_ORIENTATION = r'tiff:Orientation(="|>)([0-9])'

# Names for which a method is copied, and what the copy finds under them.
_LOUD = {"warnings", "_decompression_bomb_check", "Exif", "ImageFileDirectory_v2", "PngStream"}
_SILENT: dict[str, Any] = {"warnings": SimpleNamespace(warn=lambda *args, **kwargs: None)}


@contextlib.contextmanager
def limited_pixels(limit: int | None) -> Iterator[None]:
    """Have the readers refuse what has more pixels, in this thread; None sets no limit."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def check_size(size: tuple[int, int], **_) -> None:
    """Raise an ImageError if so many pixels are over the limit."""
    limit = _limit.get()
    if limit is not None and size[0] * size[1] > limit:
        raise ImageError(
            f"{size[0]} x {size[1]} pixels, more than the {limit:,} that are read from a file, "
            "which may be a decompression bomb: if the picture is genuine, pass max_pixels= "
            "(--max-pixels), set PIL.Image.MAX_IMAGE_PIXELS, or reduce the picture"
        )


def _silenced(base: type, **members) -> type:
    """Make a subclass that has quiet copies of the methods that use one of the loud names."""
    for name, method in vars(base).items():
        if isinstance(method, FunctionType) and not _LOUD.isdisjoint(method.__code__.co_names):
            names = {**method.__globals__, **_SILENT}
            quiet = FunctionType(
                method.__code__, names, name, method.__defaults__, method.__closure__
            )
            quiet.__kwdefaults__ = method.__kwdefaults__
            members.setdefault(name, quiet)
    return type(base.__name__, (base,), {"__module__": __name__, **members})


class _OrientationExif(Image.Exif):
    """EXIF data of which nothing but the orientation is read."""

    def load(self, data):
        self._data.clear()
        orientation = _parsed_exif(data).get(_ORIENTATION)
        if orientation is not None:
            self._data[_ORIENTATION] = orientation


def _getexif(self):
    """Return the orientation as EXIF data: the readers need no more of `Image.getexif`."""
    if self._exif is None or not self._exif._loaded:
        exif = _OrientationExif()
        orientation = find_orientation(self)
        if orientation != 1:
            exif[_ORIENTATION] = orientation
        exif._loaded = True
        self._exif = exif
    return self._exif


# In this order: the readers below find these under the names of Pillow's own.
TiffDirectory = _silenced(TiffImagePlugin.ImageFileDirectory_v2)
_SILENT["ImageFileDirectory_v2"] = TiffDirectory
_SILENT["PngStream"] = _silenced(PngImagePlugin.PngStream)
_SILENT["Image"] = SimpleNamespace(
    **{
        **vars(Image),
        "_decompression_bomb_check": check_size,
        "Exif": _OrientationExif,
    }
)

#: The silent readers by the name of their format.
READERS = {str(reader.format): _silenced(reader, getexif=_getexif) for reader in _PILLOWS_READERS}


def find_orientation(image: Image.Image) -> int:
    """EXIF orientation of an image, 1 to 8, where `Image.getexif` finds it.

    Damaged EXIF data is no reason to lose a picture: what cannot be read says nothing.
    """
    orientation = 1
    with contextlib.suppress(Exception):
        orientation = _stored_orientation(image)
    return orientation if orientation in _ORIENTATIONS else 1


def _stored_orientation(image):
    exif = image._exif
    if exif is not None and exif._loaded:  # it may have been edited since
        if _ORIENTATION in exif._data:
            return exif._data[_ORIENTATION]
        return 1 if exif._info is None else _as_silent(exif._info).get(_ORIENTATION)

    orientation = None
    if "exif" in image.info:
        orientation = _parsed_exif(image.info["exif"]).get(_ORIENTATION)
    elif "Raw profile type exif" in image.info:  # hexadecimal numbers after three lines
        digits = image.info["Raw profile type exif"].split("\n")[3:]
        orientation = _parsed_exif(bytes.fromhex("".join(digits))).get(_ORIENTATION)
    elif hasattr(image, "tag_v2"):
        orientation = _as_silent(image.tag_v2).get(_ORIENTATION)
    if orientation is None:
        xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or ""
        xmp = xmp.decode("latin-1") if isinstance(xmp, bytes) else xmp
        match = re.search(_XMP_ORIENTATION, xmp)
        orientation = int(match[2]) if match else None
    return orientation


def _parsed_exif(data: bytes):
    """The first directory of EXIF data, which is a TIFF file without pixels."""
    data = re.sub(b"^(Exif\0\0){1,2}", b"", data)
    if not data:
        return {}
    stream = io.BytesIO(data)
    directory = TiffDirectory(stream.read(8))
    stream.seek(directory.next)
    directory.load(stream)
    return directory


def _as_silent(directory):
    """A copy of a directory that somebody else has read, with the methods that do not warn."""
    silent = copy.copy(directory)
    silent.__class__ = TiffDirectory
    return silent
