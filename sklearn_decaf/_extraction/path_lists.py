"""Lists of photographs in files, one path a line: their encodings, and what else people write."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import AnyStr, BinaryIO

from .._utils.data_home import expand_user
from ..images._reading import IMAGE_EXTENSIONS

_SAMPLE = 2**16  # bytes from which the encoding is told
_LONGEST = 2**16  # characters of a path: more than any system allows
_MARKS = (  # in this order: the mark of UTF-32 starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, None),
)


def read_paths(stream: BinaryIO, *, null: bool = False) -> Iterator[str]:
    """Read a list of paths, one a line; empty lines are left out.

    Names are taken as the system has them, byte for byte, so that they need not be UTF-8. A mark
    of the byte order is skipped. UTF-16 and UTF-32, in which Windows programs write, are decoded;
    UTF-16 without a mark is told by its zero bytes. Lines end in LF, CRLF or CR.

    Parameters
    ----------
    stream : binary file
    null : bool, default=False
        Paths end in a zero byte each, as ``find -print0`` writes them, and are not touched: they
        may hold line breaks.

    Yields
    ------
    path : str

    Raises
    ------
    ValueError
        If this is no list of paths. The message names the line.
    """
    sample = stream.read(_SAMPLE)
    rest = iter(lambda: stream.read(2**20), b"")
    if null:
        if b"\0" not in sample and sample.endswith(b"\n"):
            raise ValueError(
                "there is no zero byte in it, which --null says that each path ends in: leave "
                "--null out for a list with one path a line"
            )
        return _checked_null(map(os.fsdecode, _split(chain([sample], rest), b"\0")))
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _MARKS if sample.startswith(mark)), (b"", None)
    )
    if not mark:
        encoding = _utf_16_without_mark(sample)
    sample = sample[len(mark) :]
    start = sample.decode(encoding or "latin-1", "ignore")
    ending = "\r" if "\r" in start and "\n" not in start else "\n"
    content = chain([sample], rest)
    if encoding is None:
        lines: Iterable[str] = map(os.fsdecode, _split(content, ending.encode()))
    else:
        lines = _split(codecs.iterdecode(content, encoding), ending)
    return _checked_lines(lines, encoding)


def _split(pieces: Iterable[AnyStr], ending: AnyStr) -> Iterator[AnyStr]:
    rest = ending[:0]
    for piece in pieces:
        *whole, rest = (rest + piece).split(ending)
        yield from whole
        if len(rest) > _LONGEST:
            break  # it is reported as too long
    if rest:
        yield rest


def _checked_lines(lines: Iterable[str], encoding: str | None) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            if len(line) > _LONGEST:
                raise ValueError(f"line {number} is longer than any path: this is no list of paths")
            if "\0" in line:
                raise ValueError(
                    f"line {number} holds a zero byte: the output of `find -print0` needs --null, "
                    "other lists should be saved as UTF-8"
                )
            line = line.removesuffix("\r")
            if line.strip():
                yield line
    except UnicodeDecodeError as error:
        raise ValueError(
            f"after line {number}: it starts as {encoding}, and goes on as something else: save "
            "the list as UTF-8"
        ) from error


def _checked_null(paths: Iterable[str]) -> Iterator[str]:
    for number, path in enumerate(paths, start=1):
        if len(path) > _LONGEST:
            raise ValueError(
                f"path {number} is longer than any path: with --null, each must end in a zero byte"
            )
        if path:
            yield path


def _utf_16_without_mark(sample: bytes) -> str | None:
    """Tell UTF-16 by the zero bytes of its line breaks, or of a single line of plain letters."""
    if b"\0" not in sample:
        return None
    best, encoding = 0.0, None
    for order in ("utf-16-le", "utf-16-be"):
        text = sample[: len(sample) // 2 * 2].decode(order, "replace")
        plain = sum(character.isascii() and character != "\0" for character in text)
        share = plain / max(len(text), 1)
        is_text = "\0" not in text and ("\n" in text or share > 0.5)
        if is_text and share > best:
            best, encoding = share, order
    return encoding


# Names that do not exist --------------------------------------------------------------------------

_SUFFIX = "|".join(re.escape(extension) for extension in IMAGE_EXTENSIONS)
# a path, and more that is no path: a label, another column
_MORE = re.compile(
    rf"""["']?.*({_SUFFIX})["']?([\s,;|])[\s,;|]*\S.*(?<!{_SUFFIX.replace("|", ")(?<!")})""",
    re.IGNORECASE | re.DOTALL,
)


def explain_missing(names: Sequence[str], root: str = "") -> str:
    """Say what the names of files may be where not one of them exists.

    Parameters
    ----------
    names : sequence of str
        Some of them; the first twenty are looked at.
    root : str, default=""
        Folder that they start from.

    Returns
    -------
    hint : str
        Empty if one of the files exists, or nothing is known.
    """
    names = list(names[:20])
    if not names or any(map(_is_file, (os.path.join(root, name) for name in names))):
        return ""
    first = names[0]
    if all(os.path.isdir(os.path.join(root, name)) for name in names):
        return f"these are folders ({first!r}, ...): list the photographs in them, one a line"
    if root and any(map(_is_file, names)):
        return f"they are there without {root!r} before them: give '.' as the folder"
    for name in names:
        for words, other in _other_names(name):
            if _is_file(os.path.join(root, other)):
                return f"{name!r} is not there, but {other!r} is; {words}"
    mark = next((match[2] for name in names if (match := _MORE.fullmatch(name))), None)
    if mark is not None:
        return f"names like {first!r} look like {_LAYOUTS.get(mark, _LAYOUTS[' '])}"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", first):
        return f"{first!r} is an address: download the photographs, and pass their paths"
    return ""


_LAYOUTS = {
    " ": "a path and a label: keep the paths only, one a line (`cut -d' ' -f1 LIST`)",
    "\t": "a table: keep the column of the paths only (`cut -f1 LIST`)",
    ",": "a CSV table: keep the column of the paths only (`cut -d, -f1 LIST`)",
    ";": "a CSV table: keep the column of the paths only (`cut -d';' -f1 LIST`)",
    "|": "a table: keep the column of the paths only (`cut -d'|' -f1 LIST`)",
}


def _other_names(name: str) -> Iterator[tuple[str, str]]:
    """List what a name may stand for, with words for it."""
    yield "there are spaces around the names", name.strip()
    yield "leave out the quotes", name.strip().strip("\"'")
    if name.startswith("file:"):
        yield "pass paths, not addresses", urllib.parse.unquote(urllib.parse.urlsplit(name).path)
    yield "write / for \\", name.replace("\\", "/")
    with suppress(FileNotFoundError):  # who has no home directory means something else
        yield "~ is not expanded, write the folder", expand_user(name)
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, name)
        yield f"the names are in another form of Unicode, convert them to {form}", other
    for mark in ",;\t|":
        for column, field in enumerate(name.split(mark), start=1):
            if mark in name:
                yield (
                    f"the list is a table: keep column {column} only, one path a line",
                    field.strip().strip("\"'"),
                )
    words = name.split()
    for n in range(len(words) - 1, 0, -1):
        only_paths = "keep the paths only, one a line"
        yield f"these are a path and a label: {only_paths}", name.rsplit(maxsplit=n)[0]
        yield f"these are a number and a path: {only_paths}", name.split(maxsplit=n)[-1]


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a zero byte
        return False
