"""Files of images on the disk: paths and ``file:`` addresses, opened for reading."""

from __future__ import annotations

import os
import re
import stat
from typing import IO
from urllib.parse import unquote_to_bytes

from ..exceptions import ImageAccessError

_HERE = ("", "localhost")
# Programs of the Hadoop family write one slash after these.
_REMOTE = re.compile(
    r"[a-z][a-z0-9+.-]+://|(https?|ftp|hdfs|viewfs|s3[an]?|gs|dbfs|abfss?|wasbs?):/", re.IGNORECASE
)


def is_url(text: str) -> bool:
    """Tell whether a text is the address of something that is no file of this machine."""
    return text.startswith("data:") or (_REMOTE.match(text) is not None and not is_address(text))


def is_address(text: str) -> bool:
    """Tell whether a text is a ``file:`` address with an absolute path."""
    return text[:6].lower() == "file:/"


def address_to_path(address: str, *, windows: bool = os.name == "nt") -> str:
    """Path of a ``file:`` address, with its percent-encoding decoded.

    Raises
    ------
    ImageAccessError
        If the file is on another machine.
    """
    host, path = "", address[5:]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        path = slash + path
    path = os.fsdecode(unquote_to_bytes(path))
    if host.lower() not in _HERE:
        if not windows:
            raise ImageAccessError(f"a file of another machine, {host!r}: pass a path to it here")
        return rf"\\{host}" + path.replace("/", "\\")
    if windows:
        path = path.replace("/", "\\")
        drive = re.match(r"\\([A-Za-z])[:|]", path)  # /C:/photos, or |, as it once was written
        if drive:
            path = f"{drive[1]}:{path[3:]}"
    return path


def open_file(path: str | os.PathLike) -> IO[bytes]:
    """Open a file for reading; an ImageAccessError says why that cannot be done."""
    path = _local_path(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageAccessError(f"no such file{_hint(os.fsdecode(path))}") from error
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


def _hint(path: str) -> str:
    if path.startswith("~"):
        return ": ~ is not expanded, pass os.path.expanduser(path)"
    if os.path.isabs(path):
        return ""
    try:
        return f" (the working directory is {os.getcwd()!r})"
    except OSError:
        return " (the working directory is gone)"


def _local_path(path):
    text = os.fspath(path)
    if not isinstance(text, str) or not is_address(text):
        return path
    decoded = address_to_path(text)
    # Spark writes names as they are, without encoding them.
    literal = text[5:]
    return literal if os.path.exists(literal) and not os.path.exists(decoded) else decoded


def check_readable(stream: IO[bytes]) -> None:
    """Read a file to its end: a disk that fails must not be taken for a damaged photograph."""
    try:
        stream.seek(0)
        while stream.read(2**20):
            pass
    except OSError as error:
        raise ImageAccessError(f"the file cannot be read: {error.strerror}") from error
