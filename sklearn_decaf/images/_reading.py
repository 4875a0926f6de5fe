"""One image, whatever a user calls an image, to 8-bit RGB; or an ImageError that says why not."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    BmpImagePlugin,  # noqa: F401  the plugins register themselves in Image.OPEN
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401  it reads MPO too
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from .._utils.locks import Lock
from ..exceptions import ImageAccessError, ImageError
from ._inputs import FileContent, describe, find_problem

if TYPE_CHECKING:
    from .._utils.types import ImageLike

with contextlib.suppress(ImportError):  # Pillow before 11.3 has none
    from PIL import AvifImagePlugin  # noqa: F401

# Formats of photographs only: Pillow knows formats that start other programs (EPS), and rare ones
# whose readers few people have ever attacked.
_FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF")
    if name in Image.OPEN
)
_FORMAT_NAMES = ", ".join(_FORMATS)
#: What counts as an image unless the caller says otherwise; compared without case.
IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".avifs"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
# Pillow's own threshold for its decompression bomb warning: a third of a gigabyte, decoded.
_MAX_PIXELS = 89_478_485

_ORIENTATION_TAG = 0x0112
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


def read_image(image: ImageLike, *, exif_transpose: bool = True) -> Image.Image:
    """Read one image as 8-bit RGB.

    Parameters
    ----------
    image : str, os.PathLike, bytes, bytearray, memoryview, PIL image or ndarray
        A path, the encoded bytes of an image file, an image, or its pixels of shape
        (height, width) or (height, width, channels): uint8 in [0, 255], uint16 in [0, 65535] or
        floats in [0, 1]; 1 (grey), 3 (RGB) or 4 (RGBA) channels.
    exif_transpose : bool, default=True
        Turn the picture the way its EXIF orientation says. TIFF and AVIF files are always
        turned: there the orientation is part of the format itself, and Pillow applies it.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "RGB".

    Raises
    ------
    ImageError
        If `image` cannot be read. The message says what was found. No other exception class comes
        out for bad content.

    Notes
    -----
    What is not plain 8-bit RGB is read as follows.

    - 16-bit grey pixels and floats are scaled to 8 bits and rounded, never clipped; of 16-bit
      colour files Pillow keeps the upper 8 bits. 16-bit grey pixels
      that are all below 256 are refused: they would come out black, and are 8-bit values in
      the wrong type. So are 32-bit integers outside [0, 65535], whose range is unknown.
    - Transparent and half-transparent pixels are laid over white, the usual page beneath a
      picture: the colours stored below full transparency are arbitrary, and dropping the alpha
      channel would show them.
    - Grey, 1-bit, palette, CMYK, YCbCr and LAB images are converted by Pillow. Embedded colour
      profiles are ignored, as they were when the networks were trained.
    - Of an animation or a file of several pages, the first image is used (of a PIL image, the
      frame at which it stands).

    Files are read if they are JPEG (MPO included), PNG, WebP, TIFF, GIF, BMP, PPM or, where Pillow
    supports it, AVIF, by their content and whatever their name. Files of more than 89,478,485
    pixels (or ``PIL.Image.MAX_IMAGE_PIXELS``, if that is lower) are refused before they are
    decoded. PIL images and arrays may have any size, since they are in memory already.

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
    try:
        result = decode(image, exif_transpose=exif_transpose)
    except ImageError as error:
        kind = ImageAccessError if isinstance(error, ImageAccessError) else ImageError
        raise kind(f"{describe(image)}: {error}.") from error.__cause__
    return result.copy() if result is image else result


def decode(image, *, exif_transpose=True, at_least=None) -> Image.Image:
    """Read an image, perhaps reduced, and perhaps the very object that was passed.

    `at_least` (pixels) allows the JPEG decoder to reduce a picture whose sides stay that long,
    which saves most of the time that a large photograph takes. The ImageErrors give the reason
    only; the caller knows by which name to call the image.
    """
    problem = find_problem(image)
    if problem:
        raise (ImageAccessError if isinstance(image, str) else ImageError)(problem)
    if isinstance(image, np.ndarray):
        return _array_to_rgb(image)
    if isinstance(image, Image.Image):
        with _PIL_LOCKS[id(image) // 64 % len(_PIL_LOCKS)]:
            return _decode_pil(image, exif_transpose)
    if isinstance(image, FileContent):  # messages speak of the file
        return _decode_stream(io.BufferedReader(io.BytesIO(image)), exif_transpose, at_least)
    if isinstance(image, bytes | bytearray | memoryview):
        return _decode_stream(io.BytesIO(image), exif_transpose, at_least)
    with _open_file(image) as stream:
        try:
            return _decode_stream(stream, exif_transpose, at_least)
        except ImageError as error:
            if isinstance(error.__cause__, Exception):  # a decoder's, which may hide why it failed
                _check_readable(stream)
            raise


def _check_readable(stream) -> None:
    """Read a file to its end: a disk that fails must not be taken for a damaged photograph."""
    try:
        stream.seek(0)
        while stream.read(2**20):
            pass
    except OSError as error:
        raise ImageAccessError(f"the file cannot be read: {error.strerror}") from error


def max_pixels() -> int:
    """Pixels above which no file is decoded."""
    return min(_MAX_PIXELS, Image.MAX_IMAGE_PIXELS or _MAX_PIXELS)


def _open_file(path):
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        name = os.fsdecode(path)
        where = "" if os.path.isabs(name) else f" (the working directory is {os.getcwd()!r})"
        if name.startswith("~"):
            where = ": ~ is not expanded, pass os.path.expanduser(path)"
        raise ImageAccessError(f"no such file{where}") from error
    except OSError as error:
        raise ImageAccessError(f"the file cannot be opened: {error.strerror}") from error
    except ValueError as error:  # a zero byte
        raise ImageAccessError(f"not a path: {error}") from error
    if stat.S_ISDIR(mode):
        raise ImageAccessError(
            "a directory: sklearn_decaf.datasets.load_image_folder lists a folder per class, "
            "sorted(pathlib.Path(folder).glob('*.jpg')) a plain one"
        )
    raise ImageAccessError("not a regular file")  # opening a pipe, say, would wait forever


def _decode_stream(stream, exif_transpose, at_least) -> Image.Image:
    image = _identify(stream)
    limit = max_pixels()
    if image.width * image.height > limit:
        raise ImageError(
            f"{image.width} x {image.height} pixels, more than the {limit:,} that are read from a "
            "file, which may be a decompression bomb: if the picture is genuine, reduce it, or "
            "open it yourself and pass the PIL image or array"
        )
    try:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            _reduce_jpeg(image, at_least)
        image.load()
    except Exception as error:  # the decoders raise whatever comes to hand
        raise _damage(image.format, error) from error
    return _upright_rgb(image, exif_transpose)


def _reduce_jpeg(image, at_least) -> None:
    """Have the decoder reduce a picture to an integer fraction of its size, where it has one."""
    for factor in (8, 4, 2):
        width, height = image.width // factor, image.height // factor
        # Rounding up an odd side would stretch the picture by a fraction of a pixel.
        whole = (width * factor, height * factor) == image.size
        if whole and min(width, height) >= at_least:
            image.draft(None, (width, height))
            return


def _identify(stream) -> ImageFile.ImageFile:
    """Open an image lazily, as `Image.open` does, with two differences.

    `Image.open` warns of pictures above its limit, and silencing a warning changes the state of
    all threads; and it forgets why the one format that fits the first bytes refused the rest.
    """
    try:
        start = stream.read(64)
    except OSError as error:
        raise ImageAccessError(f"the file cannot be read: {error.strerror}") from error
    if not start:
        raise ImageError("empty, 0 bytes")
    for name in _FORMATS:
        factory, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(start[:16].ljust(16, b"\0"))  # some index into it
        if isinstance(accepted, str):  # a format that this build of Pillow lacks
            raise ImageError(accepted)
        if accepted:
            stream.seek(0)
            try:
                return factory(stream, "")
            except Exception as error:
                raise _damage(name, error) from error
    kind = _guess_content(start, in_memory=isinstance(stream, io.BytesIO))
    raise ImageError(f"{kind}; it starts with {start[:24]!r}")


def _damage(name, error) -> ImageError:
    if isinstance(error, OSError) and error.errno is not None:  # the decoders' own have no number
        return ImageAccessError(f"the file cannot be read: {error.strerror}")
    kind = "truncated" if "truncated" in str(error).lower() else "truncated or damaged"
    return ImageError(f"a {kind} {name} file, fetch it again ({_name(error)})")


def _guess_content(start: bytes, in_memory: bool) -> str:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        kind = "an HTML page, such as servers send when a download fails"
    elif text.startswith(b"version https://git-lfs"):
        kind = "a Git LFS pointer to one, which `git lfs pull` replaces by the file"
    elif text.startswith(b"\x93numpy"):
        kind = "a NumPy file: pass the array, np.load(path)"
    elif start[4:8] == b"ftyp":
        kind = "HEIC, HEIF or a video: pass a PIL image (with pillow-heif, Pillow opens HEIC)"
    elif not start.isascii() or b"\0" in start:
        kind = f"data in a format other than {_FORMAT_NAMES}"
    elif in_memory:
        kind = "text: bytes must be the contents of an image file, and a path a str"
    else:
        kind = f"text, where files may be {_FORMAT_NAMES}"
    return f"not an image but {kind}"


def _decode_pil(image, exif_transpose) -> Image.Image:
    fresh = _reopen(image)
    if fresh is not None:
        return _upright_rgb(fresh, exif_transpose)
    try:
        image.load()
    except Exception as error:
        if "truncated" in str(error) or getattr(error, "errno", None) is not None:
            raise _damage(image.format, error) from error
        raise ImageError(
            f"its pixels cannot be loaded ({_name(error)}): if its file was closed too early, call "
            "image.load() while it is open, or pass the path"
        ) from error
    return _upright_rgb(image, exif_transpose)


def _reopen(image) -> Image.Image | None:
    """Read the file of a picture that is only opened so far, where that is surely the same.

    To load the caller's own object would leave the pixels in it: a list of ten thousand opened
    photographs would not fit into memory.
    """
    if not isinstance(image, ImageFile.ImageFile) or not image.tile or not image.filename:
        return None
    if image.fp is None or image.fp.closed:
        return None  # closed by its owner, which is reported
    with contextlib.suppress(Exception):  # then the caller's own object is loaded
        if image.tell() != 0:
            return None
        with _open_file(image.filename) as stream:
            fresh = _identify(stream)
            if (fresh.format, fresh.mode, fresh.size) != (image.format, image.mode, image.size):
                return None
            fresh.load()
            return fresh
    return None


def _upright_rgb(image, exif_transpose) -> Image.Image:
    orientation = 1
    if exif_transpose:
        with contextlib.suppress(Exception):  # damaged EXIF data is no reason to lose a picture
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    try:
        image = _to_rgb(image)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"its mode {image.mode} cannot be converted to RGB ({_name(error)})"
        ) from error
    if orientation in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[orientation])
    return image


def _to_rgb(image) -> Image.Image:
    if image.mode == "F":
        return Image.fromarray(_floats_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):  # I (32 bits, for 16-bit PGM too), I;16, I;16B ...
        levels = np.asarray(image)
        grey = _levels_to_8_bits(levels)
        if getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF's "white is zero"
            grey = 255 - grey
        grey[levels == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        # A copy, since Pillow writes the transparency of a palette into the image it converts.
        rgba = (image.copy() if image.mode == "P" else image).convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _array_to_rgb(pixels) -> Image.Image:
    if pixels.dtype.kind == "f":
        pixels = _floats_to_8_bits(pixels)
    elif pixels.dtype.itemsize == 2:
        pixels = _levels_to_8_bits(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(pixels)))


def _levels_to_8_bits(levels) -> np.ndarray:
    lowest, highest = int(levels.min()), int(levels.max())
    if lowest < 0 or highest > 65535:
        raise ImageError(
            f"32-bit integer pixels in {lowest}..{highest}, whose range is unknown: scale them "
            "to uint8 or uint16"
        )
    if 0 < highest < 256:
        raise ImageError(
            f"16-bit pixels in {lowest}..{highest}, black on a scale to 65535: if they are 8-bit "
            "values, convert them with .astype(np.uint8)"
        )
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257


def _floats_to_8_bits(values) -> np.ndarray:
    values = np.asarray(values, dtype=np.promote_types(values.dtype, np.float32))
    unusable = int(values.size - np.count_nonzero(np.isfinite(values)))
    if unusable:
        raise ImageError(f"{unusable} of {values.size} values are NaN or infinite: fill them first")
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


def _name(error) -> str:
    return f"{type(error).__name__}: {str(error)[:120]}".removesuffix(": ")
