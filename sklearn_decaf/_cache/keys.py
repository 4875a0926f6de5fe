"""Cache keys: the content of the image, and all that decides the bits of its activations.

A key that leaves something out returns wrong features, one that holds too much only computes
some again. So in doubt, things are part of the key: the version of each library that touches the
pixels, the code and the compiled kernels of this package as they are on the disk, the CPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import PIL
import scipy
import scipy.linalg  # so that its BLAS, too, is loaded when the libraries are listed
from numpy._core._multiarray_umath import __cpu_features__ as _cpu_features
from PIL import Image, ImageFile, features
from threadpoolctl import ThreadpoolController

from .. import _kernels
from .._features.recipe import Recipe
from .._utils.code_digest import ENGINE_SOURCES, code_digest, sources
from ..exceptions import ImageError
from ..images import _reading
from ..images._files import open_file
from ..images._inputs import FileContent, find_problem
from ..images._pixels import TRANSPARENCY_IGNORED

_CODECS = ("jpg", "libjpeg_turbo", "zlib", "zlib_ng", "libtiff", "webp", "avif")
# A file larger than this is not read into memory to be known by its content, nor cached.
_MAX_FILE = 2**28


def identify(image, *, exif_transpose: bool):
    """Compute the digest of an image's content; return it, and an image that surely has it.

    A path says nothing of what is behind it, nor do its size and time: a file can change and
    keep both. So the file is read, once: what is returned holds the bytes that the digest is of,
    whatever happens to the file, or the array, in the meantime.

    Parameters
    ----------
    image : path, bytes, PIL image or ndarray
    exif_transpose : bool
        Whether a PIL image is turned upright. Files keep their orientation in their content.

    Returns
    -------
    digest : bytes or None
        None for what cannot be read: whoever decodes it finds out why.
    image
        To be decoded in place of `image`.
    """
    if find_problem(image):
        return None, image
    if isinstance(image, np.ndarray):
        image = np.array(image, order="C")
        header = f"array {image.dtype.str} {image.shape}"
        return _digest(header, image.reshape(-1).view(np.uint8)), image
    if isinstance(image, Image.Image):
        try:  # a picture in memory has too many parts (palette, frame, EXIF): know it by its pixels
            rgb = _reading.decode(image, exif_transpose=exif_transpose)
        except ImageError:
            return None, image
        if TRANSPARENCY_IGNORED in rgb.info:  # not kept, so that each call warns of it
            return None, image
        pixels = rgb.tobytes()
        return _digest(f"pixels {rgb.size}", pixels), Image.frombytes("RGB", rgb.size, pixels)
    if isinstance(image, bytes | bytearray | memoryview):
        content = image if isinstance(image, FileContent) else bytes(image)
        return _digest("file", content), content
    try:
        with open_file(image) as stream:
            if os.fstat(stream.fileno()).st_size > _MAX_FILE:
                return None, image
            content = FileContent(stream.read(_MAX_FILE + 1))
    except (ImageError, OSError):
        return None, image
    content.path = image
    return _digest("file", content), content


def _digest(header: str, content) -> bytes:
    digest = hashlib.sha256(header.encode() + b"\n")
    digest.update(content)
    return digest.digest()


def recipe_digest(recipe: Recipe, *, code: str | None = None, machine: dict | None = None) -> bytes:
    """Digest of all that decides the bits of a feature, image and layer aside.

    Parameters
    ----------
    recipe : Recipe
    code : str, default=None
        Digest of the code. None takes that of this process.
    machine : dict, default=None
        Libraries and CPU. None takes those of this process.
    """
    described = {
        "code": _CODE if code is None else code,
        "machine": _machine() if machine is None else machine,
        "weights": recipe.weights.digest,  # and of the architecture
        "resize": recipe.resize,
        "ten_crop": recipe.ten_crop,
        "exif_transpose": recipe.exif_transpose,
        "exact": recipe.exact,
        "draft": recipe.draft,
        # what would be refused under other limits must not be found
        "max_pixels": _reading.pixel_limit(recipe.max_pixels),
        "truncated": bool(ImageFile.LOAD_TRUNCATED_IMAGES),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).digest()


def entry_key(image: bytes, recipe: bytes, output: str) -> bytes:
    """Key of the values of one output (a layer, or a pooling of it) for one image."""
    return hashlib.sha256(image + recipe + output.encode()).digest()


def _own_code() -> dict[str, Path]:
    """The code that features pass through: sources, and the compiled kernels in use."""
    files = sources(*ENGINE_SOURCES, *_OWN_SOURCES)
    prefix = f"{_kernels.__name__}.{_kernels.KERNEL_SET}."
    if _kernels.KERNEL_SET is not None:
        files["runner"] = Path(import_module(f"{_kernels.__name__}.runner").__file__)
    for name, module in sys.modules.items():
        if name.startswith(prefix) and getattr(module, "__file__", None):
            files[name] = Path(module.__file__)
    return files


# Whole folders: a module that is forgotten would return features of older code.
_OWN_SOURCES = ("_cache/**/*.py", "_features/**/*.py", "_utils/**/*.py", "images/**/*.py")
# At import: code that is edited later is not the code that this process runs.
_CODE = code_digest(_own_code())


@cache
def _machine() -> dict:
    """Libraries and the CPU, on which the last bit of a feature may depend."""
    blas = ThreadpoolController().select(user_api="blas").info()
    # those that NumPy and SciPy brought along, if so: other packages load BLAS libraries too
    own = [library for library in blas if {"numpy", "scipy"} & set(_words(library["filepath"]))]
    return {
        "kernels": _kernels.KERNEL_SET,
        "pillow": [PIL.__version__, *map(_codec_version, _CODECS)],
        "numpy": [np.__version__, scipy.__version__],
        "blas": sorted(
            [str(library.get(part)) for part in ("internal_api", "version", "architecture")]
            for library in own or blas
        ),
        "cpu": [platform.machine(), *sorted(name for name, has in _cpu_features.items() if has)],
        "libc": platform.libc_ver(),
    }


def _codec_version(codec: str) -> str | None:
    # Pillow warns of a name that its version does not know
    known = {**features.modules, **features.codecs, **features.features}
    return str(features.version(codec)) if codec in known else None


def _words(path: str) -> list[str]:
    return path.replace(os.sep, ".").split(".")
