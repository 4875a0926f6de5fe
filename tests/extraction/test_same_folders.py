"""Whoever lists a folder finds the same photographs in it, however odd the folder is."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.extractions import COMMAND
from PIL import Image

from sklearn_decaf.__main__ import main
from sklearn_decaf.datasets import load_image_folder
from sklearn_decaf.images import find_unreadable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="such files are POSIX's")

FOLDERS = ["a", "b", "C.jpg", ".git", "@eaDir", "#recycle", "lost+found", "Thumbs.db", "é"]
FILES = [
    *("1.jpg", "2.JPG", "3.Jpeg", "4.mpo", "5.PNG", "photo", "6.HEIC", "7.jpg_large", ".8.jpg"),
    *("desktop.ini", "line\nbreak.png", "ü.gif", os.fsdecode(b"\xff\xfe.jpg"), " .bmp", "x" * 200),
]
folders = st.lists(st.sampled_from(FOLDERS), max_size=3).map("/".join)
files = st.tuples(folders, st.sampled_from(FILES)).map("/".join)
actions = st.one_of(
    st.tuples(st.just("photograph"), files),
    st.tuples(st.just("photograph"), files),
    st.tuples(st.just("damaged"), files),
    st.tuples(st.just("folder"), folders),
    st.tuples(st.just("pipe"), files),
    st.tuples(st.just("link"), st.one_of(folders, files), st.one_of(folders, files, st.just(".."))),
    st.tuples(st.just("deep"), files, st.integers(1, 40)),
)


def make(root: Path, kind: str, name: str, *more) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):  # to write into a pipe would wait for ever
        raise FileExistsError(path)
    if kind == "photograph":
        pixels = np.full((8, 8, 3), len(name) % 256, np.uint8)
        Image.fromarray(pixels).save(path, "png")
    elif kind == "damaged":
        path.write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(root / more[0].lstrip("/"))
    elif kind == "deep":
        make(root, "photograph", "/".join(["deep"] * more[0] + [path.name]))


@pytest.mark.slow
@settings(max_examples=25)
@given(tree=st.lists(actions, max_size=12), denied=st.sets(folders, max_size=2))
def test_everybody_finds_the_same_photographs(tree, denied):
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent, "root")
        for name in ("a", "b"):  # so that there are classes
            make(root, "photograph", f"{name}/0.png")
        for action in tree:
            with contextlib.suppress(OSError):  # there is something else in that place
                make(root, *action)
        refused = {os.path.realpath(root / name) for name in denied} - {os.path.realpath(root)}
        real = os.scandir

        def scandir(path="."):
            if isinstance(path, str) and os.path.realpath(path) in refused:
                raise OSError(errno.EACCES, "Permission denied", path)
            return real(path)

        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(os, "scandir", scandir)
            X, y = load(root)
            status, names, failed, said = by_command_line(root, Path(parent, "out"))
        inside = [name for name in names if "/" in name]
        assert inside == [os.path.relpath(path, root) for path in X]
        assert all(os.path.isfile(root / name) for name in names)
        unreadable = {os.path.relpath(X[row], root) for row, _ in unreadable_of(X)}
        assert {name for name in failed if "/" in name} == unreadable
        folder_of = [name.split("/")[0] for name in inside]
        assert [list(dict.fromkeys(folder_of)).index(name) for name in folder_of] == list(y)
        if len(failed) == len(names):
            assert status == 1
        else:
            assert status == (3 if failed or "cannot be listed" in said else 0)


def unreadable_of(X):
    return find_unreadable(X) if len(X) else []


def load(root):
    """Paths and labels; of the folders that hold images only, where some do not."""
    try:
        return load_image_folder(root, return_X_y=True)
    except ValueError:
        pass
    classes = []
    for name in sorted(os.listdir(root), key=os.fsencode):
        try:
            load_image_folder(root, classes=[name])
            classes.append(name)
        except (ValueError, PermissionError):  # empty, never a class, not to be listed
            pass
    return load_image_folder(root, classes=classes, return_X_y=True) if classes else ([], [])


def by_command_line(root, out):
    """Exit status, names of the images, those that cannot be read, and the words about it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(["extract", str(root), "--out", str(out), *COMMAND])
    if not out.exists():
        return status, [], set(), said.getvalue()
    names = json.loads((out / "part-000000.paths.json").read_text())
    with open(out / "_failed.csv", newline="", encoding="utf-8") as stream:
        failed = {names[int(line["row"])] for line in csv.DictReader(stream)}
    return status, names, failed, said.getvalue()
