"""Layouts of published collections: folders that are looked for, and list files that are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from ..images._folders import Kind, is_never_a_photograph, list_folder


def is_junk(path: PurePosixPath) -> bool:
    """Tell whether a file is one of those that operating systems leave in archives and folders."""
    return any(map(is_never_a_photograph, path.parts))


def keep_below(*folders: str) -> Callable[[PurePosixPath], PurePosixPath | None]:
    """Make a `place` for archives that keeps files below the folders, wherever those lie."""

    def place(path: PurePosixPath) -> PurePosixPath | None:
        for depth, part in enumerate(path.parts):
            if part in folders and depth < len(path.parts) - 1:
                return None if is_junk(path) else PurePosixPath(*path.parts[depth:])
        return None

    return place


def first_with(marker: str, folder: Path, *names: str) -> Path | None:
    """Return the first that holds `marker`: a folder, or one of these in it; None if none does."""
    for candidate in (folder, *(folder / name for name in names)):
        if (candidate / marker).exists():
            return candidate
    return None


def class_images(folder: Path, suffixes: Sequence[str] = (".jpg",)) -> dict[str, list[str]]:
    """List the paths of the images in each class folder, classes and images sorted."""
    return {
        name: image_paths(folder / name, suffixes)
        for name, kind in list_folder(os.fspath(folder), suffixes)
        if kind is Kind.FOLDER
    }


def image_paths(folder: Path, suffixes: Sequence[str] = (".jpg",)) -> list[str]:
    """List the paths of the images in one folder, sorted."""
    return [
        os.path.join(folder, name)
        for name, kind in list_folder(os.fspath(folder), suffixes)
        if kind is Kind.IMAGE
    ]


def read_lines(path: Path, columns: int | None = None) -> list[list[str]]:
    """Read the fields of each line of a list file; blank lines are left out.

    Raises
    ------
    FileNotFoundError
        If the file cannot be read.
    ValueError
        If a line has another number of fields than `columns`.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileNotFoundError(f"{path} cannot be read: {error.strerror}.") from error
    rows = [line.split() for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if columns is not None and len(row) != columns:
            raise ValueError(f"{path}, line {number}: {len(row)} fields, expected {columns}.")
    return rows


def require_all(paths: Iterable[str | os.PathLike], what: str) -> None:
    """Raise a ValueError that names the first file that is not there."""
    paths = list(paths)
    absent = [path for path in paths if not os.path.isfile(path)]
    if absent:
        raise ValueError(
            f"{len(absent)} of {len(paths)} {what} are missing, the first {str(absent[0])!r}"
        )
