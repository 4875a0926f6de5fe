"""Folders and lists as people have them, with what ``extract`` has to say and to exit with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from oracles.extractions import write_photographs


class Extraction(NamedTuple):
    """What to extract: `prepare` fills a folder with photographs in it, and gives arguments."""

    name: str
    prepare: Callable[[Path], list[str]]
    status: int
    words: str  # in what is said


def with_list(content: bytes | str, *options: str) -> Callable[[Path], list[str]]:
    def prepare(photos: Path) -> list[str]:
        file = photos.parent / "list"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return ["--files-from", str(file), *options]

    return prepare


def with_files(*names: str, content: bytes = b"") -> Callable[[Path], list[str]]:
    def prepare(photos: Path) -> list[str]:
        for name in names:
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / name).write_bytes(content)
        return []

    return prepare


def with_links(photos: Path) -> list[str]:
    (photos.parent / "elsewhere").mkdir()
    os.rename(photos / "02.png", photos.parent / "elsewhere" / "02.png")
    (photos / "link").symlink_to(photos.parent / "elsewhere")
    (photos / "loop").symlink_to(photos)
    return []


def without_all(photos: Path) -> list[str]:
    names = sorted(path.name for path in photos.iterdir())
    for name in names:
        (photos / name).unlink()
    return with_list("\n".join(names))(photos)


def allowed_to_miss(photos: Path) -> list[str]:
    return [*without_all(photos), "--allow-missing"]


def without_one(photos: Path) -> list[str]:
    return with_list("00.png\ngone.png\n02.png\n")(photos)


def all_damaged(photos: Path) -> list[str]:
    return with_files("00.png", "01.png", "02.png", content=b"no photograph")(photos)


EXTRACTIONS = [
    Extraction("three photographs", lambda photos: [], 0, "3 images"),
    # lists
    Extraction("list with a byte-order mark", with_list("\ufeff00.png\n01.png\n"), 0, "2 images"),
    Extraction("list of Windows", with_list(b"00.png\r\n01.png\r\n"), 0, "2 images"),
    Extraction("UTF-16 with a mark", with_list("00.png\r\n".encode("utf-16")), 0, "1 images"),
    Extraction("UTF-16, low byte first", with_list("00.png\n".encode("utf-16-le")), 0, "1 images"),
    Extraction("UTF-16, high byte first", with_list("00.png\n".encode("utf-16-be")), 0, "1 images"),
    Extraction("find -print0", with_list(b"./00.png\0./01.png\0", "--null"), 0, "2 images"),
    Extraction("find -print0 without --null", with_list(b"00.png\0" + b"01.png\0"), 1, "--null"),
    Extraction("--null without zero bytes", with_list("00.png\n", "--null"), 1, "leave --null out"),
    Extraction("path and label", with_list("00.png 0\n01.png 1\n"), 1, "a path and a label"),
    Extraction("CSV", with_list("path,label\n00.png,cat\n"), 1, "keep column 1"),
    Extraction("CSV with quotes", with_list('"00.png";"cat"\n'), 1, "keep column 1"),
    Extraction("CSV of files elsewhere", with_list("cat/1.jpg,cat\n"), 1, "look like a CSV table"),
    Extraction("paths of Windows", with_list(".\\00.png\n"), 1, "write / for"),
    Extraction("folders", with_list(".\n"), 1, "these are folders"),
    Extraction("addresses", with_list("https://example.org/1.jpg\n"), 1, "is an address"),
    Extraction("empty list", with_list("\n"), 1, "it is empty"),
    Extraction(
        "no list but data", with_list(b"\x89PNG\r\n\x1a\n\0\0"), 1, "line 3 holds a zero byte"
    ),
    # folders
    Extraction("links and loops", with_links, 0, "3 images"),
    Extraction("network drive", with_files("@eaDir/00.png/S.jpg", "#recycle/1.jpg"), 0, "3 images"),
    Extraction(
        "left out by suffix",
        with_files("IMG_1.HEIC", "photo", "b.jpg_large"),
        0,
        "3 entries (.heic: 1, .jpg_large: 1, no suffix: 1), the first 'IMG_1.HEIC'. Save HEIC",
    ),
    # photographs
    Extraction("one damaged", with_files("01.png", content=b"text"), 3, "1 images could not be"),
    Extraction("one missing", without_one, 3, "1 of them could not even be opened"),
    Extraction("all damaged", all_damaged, 1, "not one image could be read"),
    Extraction("all missing", without_all, 1, "is their disk there"),
    Extraction("all missing, allowed", allowed_to_miss, 1, "not one image could be read"),
]


def prepared(case: Extraction, folder: Path) -> list[str]:
    """Arguments of the command ``extract`` for a case, whose files are made in a folder."""
    write_photographs(folder / "photos", 3)
    arguments = case.prepare(folder / "photos")
    return [str(folder / "photos"), "--out", str(folder / "out"), *arguments]
