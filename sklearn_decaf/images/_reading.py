"""Reading of one image of any kind as 8-bit RGB, or an ImageError that says why not."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from .._utils.locks import Lock
from .._utils.validation import check_integer
from ..exceptions import ImageAccessError, ImageError
from ._file_signatures import ENOUGH, name_foreign_file
from ._files import check_readable, open_file
from ._inputs import FileContent, describe, find_problem, plain_item
from ._opened_images import is_loaded, load_again, load_in_place
from ._pixels import TRANSPARENCY_IGNORED, array_to_rgb, to_rgb
from ._quiet_readers import READERS, check_size, find_orientation, limited_pixels
from ._unread_kinds import name_misread_kind, name_preview, name_unread_kind
from ._warnings import warn_of_ignored_transparency

if TYPE_CHECKING:
    from .._utils.types import ImageLike

#: What counts as an image unless the caller says otherwise; compared without case.
IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".avifs"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Loading a PIL image changes it, and one image may stand in several rows.
_PIL_LOCKS = tuple(Lock() for _ in range(64))


def read_image(
    image: ImageLike, *, exif_transpose: bool = True, max_pixels: int | None = None
) -> Image.Image:
    """Read one image as 8-bit RGB.

    Parameters
    ----------
    image : str, os.PathLike, bytes, bytearray, memoryview, dict, PIL image or ndarray
        A path or a ``file:`` address, the encoded bytes of an image file, a dict of them
        (``{"bytes": ..., "path": ...}``), an image, or its pixels of shape (height, width) or
        (height, width, channels): uint8 in [0, 255], uint16 in [0, 65535] or floats in [0, 1];
        1 (grey), 3 (RGB) or 4 (RGBA) channels.
    exif_transpose : bool, default=True
        Turn the picture the way its EXIF orientation says. TIFF files are always turned: there
        the orientation is part of the format itself, and Pillow applies it. An array is taken as
        it is. A PIL image is turned by the EXIF data that it carries, also if it was turned
        before by ``image.transpose`` or ``image.rotate``, which leave that data as it was: turn it
        with :func:`PIL.ImageOps.exif_transpose`, or pass its pixels, ``np.asarray(image)``.
    max_pixels : int, default=None
        Pixels, width times height, of the largest file that is read. None takes
        ``PIL.Image.MAX_IMAGE_PIXELS``, which is 89,478,485 unless the program has changed it; if
        that is None, there is no limit.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "RGB".

    Raises
    ------
    ImageError
        If `image` cannot be read. The message says what was found. No other exception class comes
        out for bad content.
    ImageAccessError
        Of the kind of an ImageError, if its file cannot be opened or read.

    Warns
    -----
    ImageWarning
        If the image is transparent everywhere, and was read as if it were opaque.

    Notes
    -----
    What is not plain 8-bit RGB is read as follows.

    - 16-bit grey pixels and floats are scaled to 8 bits and rounded, never clipped; of 16-bit
      colour files Pillow keeps the upper 8 bits. 16-bit pixels that are all below 256 are refused:
      they would come out black, and are 8-bit values in the wrong type. So are 32-bit integers
      outside [0, 65535], whose range is unknown.
    - Transparent and half-transparent pixels are laid over white, the usual page beneath a
      picture: the colours stored below full transparency are arbitrary, and dropping the alpha
      channel would show them. Where the whole picture is fully transparent, as in files of many
      programs that write zeros for alpha, the transparency says nothing: it is ignored, with a
      warning.
    - Grey, 1-bit, palette, CMYK, YCbCr and LAB images are converted by Pillow. Embedded colour
      profiles are ignored, as they were when the networks were trained.
    - Of an animation or a file of several pages, the first image is used (of a PIL image, the
      frame at which it stands).

    Files are read if they are JPEG (MPO included), PNG, WebP, TIFF, GIF, BMP, PPM or, where Pillow
    supports it, AVIF, by their content and whatever their name. Files of more pixels than
    `max_pixels` are refused before they are decoded, since they may be decompression bombs. PIL
    images and arrays may have any size.

    A PIL image that was opened and not loaded stays so, and gives the picture that was opened,
    whatever is at its path by now: its pixels are read from the file that it holds open.

    What comes out depends on the image alone, not on the filters of warnings: what Pillow warns of
    in the metadata of a file is ignored.

    A truncated file is an error, unless the calling program has set
    ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``: Pillow then fills what is missing with grey and does
    not tell, and grey it is here too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.images import read_image
    >>> read_image(np.full((2, 3), 0.5)).getpixel((0, 0))
    (128, 128, 128)
    """
    if max_pixels is not None:
        check_integer("max_pixels", max_pixels)
    image = plain_item(image)
    try:
        result = decode(image, exif_transpose=exif_transpose, max_pixels=max_pixels)
    except ImageError as error:
        kind = ImageAccessError if isinstance(error, ImageAccessError) else ImageError
        raise kind(f"{describe(image)}: {error}.") from error.__cause__
    if type(result) is not Image.Image or result is image:
        result = result.copy()  # of no reader's class, which a pickle would name
    if result.info.pop(TRANSPARENCY_IGNORED, False):
        warn_of_ignored_transparency([(0, describe(image))], 1)
    return result


def decode(image, *, exif_transpose=True, at_least=None, max_pixels=None) -> Image.Image:
    """Read an image, perhaps reduced, and perhaps the very object that was passed.

    `at_least` (pixels) allows the JPEG decoder to reduce a picture whose sides stay that long,
    which saves most of the time that a large photograph takes. The ImageErrors give the reason
    only; the caller knows by which name to call the image, and whether the `info` of the result
    says that transparency was ignored.
    """
    problem = find_problem(image)
    if problem:
        raise (ImageAccessError if isinstance(image, str) else ImageError)(problem)
    if isinstance(image, np.ndarray):
        return array_to_rgb(image)
    if isinstance(image, Image.Image):
        with _PIL_LOCKS[id(image) // 64 % len(_PIL_LOCKS)]:
            return _decode_pil(image, exif_transpose)
    with limited_pixels(pixel_limit(max_pixels)):
        if isinstance(image, FileContent):  # messages speak of the file
            return _decode_stream(io.BufferedReader(io.BytesIO(image)), exif_transpose, at_least)
        if isinstance(image, bytes | bytearray | memoryview):
            return _decode_stream(io.BytesIO(image), exif_transpose, at_least)
        with open_file(image) as stream:
            try:
                return _decode_stream(stream, exif_transpose, at_least)
            except ImageError as error:
                if isinstance(error.__cause__, Exception):  # a decoder's: it may hide why it failed
                    check_readable(stream)
                raise


def pixel_limit(max_pixels: int | None) -> int | None:
    """Pixels above which no file is decoded; None if there is no limit."""
    return Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels


def _decode_stream(stream, exif_transpose, at_least) -> Image.Image:
    image = _identify(stream)
    try:
        problem = name_preview(image) or name_misread_kind(image)
        if problem:
            raise ImageError(problem)
        if at_least is not None and image.format == "JPEG":
            _reduce_jpeg(image, at_least)
        check_size(image.size)
        image.load()
    except ImageError:
        raise
    except Exception as error:  # decoders raise errors of all kinds
        raise _failure(image.format, stream, error, is_open=True) from error
    return _upright_rgb(image, find_orientation(image) if exif_transpose else 1)


def _reduce_jpeg(image, at_least) -> None:
    """Have the decoder reduce a picture to an integer fraction of its size, where it has one."""
    if not _is_decoded_by_rows(image):
        check_size(image.size)
    for factor in (8, 4, 2):
        width, height = image.width // factor, image.height // factor
        # Rounding up an odd side would stretch the picture by a fraction of a pixel.
        whole = (width * factor, height * factor) == image.size
        if whole and min(width, height) >= at_least:
            image.draft(None, (width, height))
            return


def _is_decoded_by_rows(image) -> bool:
    """Tell whether a JPEG file has one scan, so that the decoder never holds the whole picture."""
    # the header of the scan has just been read: marker, length, number of components, ...
    n_components = len(image.layer)
    image.fp.seek(-(8 + 2 * n_components), io.SEEK_CUR)
    start = image.fp.read(5)
    is_whole_scan = start == bytes([0xFF, 0xDA, 0, 6 + 2 * n_components, n_components])
    return is_whole_scan and not image.info.get("progressive")


def _identify(stream) -> ImageFile.ImageFile:
    """Open an image lazily, as `Image.open` does, with two differences.

    There are no warnings; and `Image.open` forgets why the one format that fits the first bytes
    refused the rest.
    """
    try:
        start = stream.read(ENOUGH)
    except OSError as error:
        raise ImageAccessError(f"the file cannot be read: {error.strerror}") from error
    if not start:
        raise ImageError("empty, 0 bytes")
    for name, reader in READERS.items():
        accepts = Image.OPEN[name][1]
        accepted = accepts is None or accepts(start[:16].ljust(16, b"\0"))  # some index into it
        if isinstance(accepted, str):  # a format that this build of Pillow lacks
            raise ImageError(accepted)
        if accepted:
            stream.seek(0)
            try:
                return reader(stream, "")
            except ImageError:
                raise
            except Exception as error:
                raise _failure(name, stream, error, is_open=False) from error
    name = name_foreign_file(start, ", ".join(READERS), in_memory=isinstance(stream, io.BytesIO))
    raise ImageError(f"{name}; it starts with {start[:24]!r}")


def _failure(format, stream, error, *, is_open) -> ImageError:
    if isinstance(error, OSError) and error.errno is not None:  # the decoders' own have no number
        return ImageAccessError(f"the file cannot be read: {error.strerror}")
    kind = name_unread_kind(format, stream, error, is_open=is_open)
    return ImageError(kind) if kind else _damage(format, error)


def _damage(format, error) -> ImageError:
    kind = "truncated" if "truncated" in str(error).lower() else "truncated or damaged"
    return ImageError(f"a {kind} {format} file, fetch it again ({_name(error)})")


def _decode_pil(image, exif_transpose) -> Image.Image:
    """Decode a PIL image, which has no limit: whoever opened it wants it."""
    fresh = None
    try:
        if not is_loaded(image):
            fresh = load_again(image)
        if fresh is None:
            load_in_place(image)
    except ImageError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageAccessError(f"its file cannot be read: {error.strerror}") from error
        if "truncated" in str(error):
            raise _damage(image.format, error) from error
        raise ImageError(
            f"its pixels cannot be loaded ({_name(error)}): if its file was closed too early, call "
            "image.load() while it is open, or pass the path"
        ) from error
    if fresh is not None and (problem := name_misread_kind(fresh)):
        raise ImageError(problem)
    orientation = 1
    if exif_transpose:
        orientation = find_orientation(image if fresh is None else _exif_source(image, fresh))
    return _upright_rgb(image if fresh is None else fresh, orientation)


def _exif_source(image, fresh):
    """Choose the object whose EXIF data counts: an image, or what was loaded again from its file.

    That of `image` may have been edited; that of a TIFF file is used up when it is loaded.
    """
    is_edited = image._exif is not None and image._exif._loaded and image.format != "TIFF"
    return image if is_edited else fresh


def _upright_rgb(image, orientation) -> Image.Image:
    try:
        rgb = to_rgb(image)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"its mode {image.mode} cannot be converted to RGB ({_name(error)})"
        ) from error
    return rgb.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else rgb


def _name(error) -> str:
    return f"{type(error).__name__}: {str(error)[:120]}".removesuffix(": ")
