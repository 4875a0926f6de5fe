"""Pictures that were opened with Pillow, and whose pixels have not been loaded.

To load the caller's own object would leave the pixels in it, and ten thousand opened photographs
would not fit into memory. So the file that the object holds open is parsed again. Its name alone
says nothing: there may be another file of that name by now, or another current directory.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO

from PIL import Image, ImageFile

from .._utils.locks import Lock
from ..exceptions import ImageError
from ._files import open_file
from ._quiet_readers import READERS

# Several images may share a stream, and each use of it moves its position.
_STREAM_LOCKS = tuple(Lock() for _ in range(64))


def is_loaded(image: Image.Image) -> bool:
    """Tell whether the pixels of an image are in memory, or its file is no longer open."""
    if not isinstance(image, ImageFile.ImageFile) or _is_closed(image.fp):
        return True
    pixels = image._im if hasattr(image, "_im") else image.im  # Pillow before 11
    # Readers that take in a file as a whole, as that of WebP, have no tiles.
    return not image.tile and pixels is not None


def load_again(image: ImageFile.ImageFile) -> ImageFile.ImageFile | None:
    """Load the picture that an image stands for into a new object.

    Returns
    -------
    fresh : ImageFile or None
        At the same frame, and reduced as `image` is by ``draft``. None where it is not certain
        that it would be the same.

    Raises
    ------
    ImageError
        If the file was written over since it was opened.
    Exception
        Of the decoder, if the file is damaged.
    """
    if _is_overwritten(image.fp):
        raise ImageError(
            "its file was written over after it was opened: call image.load() before that, or open "
            "the picture afterwards"
        )
    if hasattr(image, "_decoder"):
        return _load_twin(image)
    is_part = image.format == "MPO"  # one JPEG file after another
    with _own_stream(image, image.tile[0][2] if is_part else 0) as stream:
        try:
            fresh = _parse(image, stream, is_part)
        except Exception:  # of a reader that is not Pillow's own, perhaps
            return None
        if _decoding(fresh, is_part) != _decoding(image, is_part):
            return None
        fresh.load()
    return fresh


def load_in_place(image: Image.Image) -> None:
    """Load the pixels into the image itself, unless they are there."""
    if not isinstance(image, ImageFile.ImageFile) or is_loaded(image):
        image.load()
        return
    # By its name Pillow would map the pixels of whatever file is there now.
    name, image.filename = image.filename, ""
    try:
        with _lock_of(image.fp):
            image.load()
    finally:
        image.filename = name


def _load_twin(image) -> ImageFile.ImageFile:
    """Load a picture of a decoder that holds the file in memory, as those of WebP and AVIF do."""
    twin = object.__new__(type(image))
    # the info is written to, and a file of its own would be closed
    vars(twin).update(vars(image), info=dict(image.info), _exclusive_fp=False)
    twin.load()
    if hasattr(image._decoder, "reset"):  # back to the first frame, for whoever loads next
        image._decoder.reset()
    return twin


def _parse(image, stream, is_part: bool) -> ImageFile.ImageFile:
    reader = READERS.get("JPEG" if is_part else image.format, type(image))
    fresh = reader(stream, "")
    frame = image.tell()
    if frame and not is_part:
        for name in ("_frame_pos", "_tag_data_limits"):  # of TIFF: the pages found so far
            if hasattr(image, name):
                setattr(fresh, name, list(getattr(image, name)))
        fresh.seek(frame)
    if image.decoderconfig and fresh.format == "JPEG":  # reduced by image.draft()
        factor = image.decoderconfig[0]
        fresh.draft(image.mode, (fresh.width // factor, fresh.height // factor))
    return fresh


def _decoding(image, is_part: bool) -> tuple:
    """Everything that decides which pixels come out of a given file."""
    tiles = [
        (decoder, extents, None if is_part else offset, arguments)
        for decoder, extents, offset, arguments in image.tile
    ]
    return image.mode, image.size, tiles, image.decoderconfig


def _own_stream(image, start: int) -> IO[bytes]:
    """The file of an image from some byte on, with a position of its own."""
    if start == 0 and image.filename and _is_plain_file(image.fp):
        with contextlib.suppress(OSError, ImageError):
            stream = open_file(image.filename)
            known, found = os.fstat(image.fp.fileno()), os.fstat(stream.fileno())
            if known.st_ino and os.path.samestat(known, found):
                return stream
            stream.close()
    return io.BufferedReader(_SharedStream(image.fp, start))


class _SharedStream(io.RawIOBase):
    """A stream that somebody else uses too, from some byte on, whose position is put back."""

    def __init__(self, stream: IO[bytes], start: int):
        self._stream = stream
        self._start = self._position = start
        self._lock = _lock_of(stream)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._position = self._start + offset
        elif whence == os.SEEK_CUR:
            self._position += offset
        else:
            with self._lock:
                before = self._stream.tell()
                self._position = self._stream.seek(0, os.SEEK_END) + offset
                self._stream.seek(before)
        return self._position - self._start

    def readinto(self, buffer) -> int:
        with self._lock:
            before = self._stream.tell()
            try:
                self._stream.seek(self._position)
                data = self._stream.read(len(buffer))
            finally:
                self._stream.seek(before)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _lock_of(stream):
    return _STREAM_LOCKS[id(stream) // 64 % len(_STREAM_LOCKS)]


def _is_closed(stream) -> bool:
    return stream is None or getattr(stream, "closed", False)


def _is_plain_file(stream) -> bool:
    return isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO)


def _is_overwritten(stream) -> bool:
    """Tell whether a file no longer has the bytes that its stream has read ahead."""
    if not _is_plain_file(stream) or not hasattr(os, "pread"):  # Windows has none
        return False
    with _lock_of(stream):
        remembered, position = stream.peek(), stream.tell()
        return os.pread(stream.fileno(), len(remembered), position) != remembered
