"""What is said when photographs are not those of before: numbers, examples, what to do."""

from __future__ import annotations

import shutil

import pytest
from oracles.extractions import CHEAP, contents, write_photographs

from sklearn_decaf import extract
from sklearn_decaf._extraction.changes import compare_names
from sklearn_decaf._extraction.file_list import FileList


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("a b c", "a b c d", "3 there, 4 now; 1 added: 'd'"),
        ("a b c", "x a y b c z w", "3 there, 7 now; 4 added: 'x', 'y', 'z', ..."),
        ("a b c", "a c", "3 there, 2 now; 1 removed: 'b'"),
        ("a b c", "a x c", "1 renamed or replaced: 'b' not there any more, 'x' new"),
        ("a b c", "a x y", "2 renamed or replaced: 'b', 'c' not there any more, 'x', 'y' new"),
        ("a b c", "x y z w", "3 there, 4 now; 4 added: 'x', 'y', 'z', ...; 3 removed: 'a', 'b'"),
        ("a/1 a/2 b/3", "c/1 c/2 b/3", "2 moved, 'a/1' to 'c/1'"),
        ("a/1 b/3", "/data/a/1 /data/b/3", "2 moved, 'a/1' to '/data/a/1'"),
        ("a/1 a/2", "c/1 a/2 a/4", "1 moved, 'a/1' to 'c/1'; 1 added: 'a/4'"),
        ("a b c", "c b a", "the same 3, in another order"),
        ("a b c", "a b c a", "the same ones, but some more often than once: 3 there, 4 now"),
        ("a b b", "a a b", "the same ones, but some more often than once"),
    ],
)
def test_words(before, now, words):
    assert words in compare_names(FileList(before.split()), FileList(now.split()))


@pytest.mark.parametrize("state", ["finished", "begun", "begun by an older version"])
@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_a_photograph_was_added(tmp_path, format, state):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    paths = write_photographs(tmp_path / "photos", 7)
    out = tmp_path / "out"
    how = {"transformer": CHEAP, "block_size": 3, "format": format, "verbose": False}
    if state == "finished":
        extract(paths[1:], out, **how)
    else:
        away = [shutil.move(path, f"{path}.away") for path in paths[4:]]
        with pytest.raises(OSError, match=r"1 of 2 blocks are finished"):
            extract(paths[1:], out, **how)
        for path in away:
            shutil.move(path, path.removesuffix(".away"))
    if state == "begun by an older version":
        (out / ".progress" / "names").unlink()
    before = contents(out)
    with pytest.raises(ValueError, match="holds the features of other photographs") as raised:
        extract(paths, out, **how)
    message = str(raised.value)
    assert "6 photographs there, 7 now" in message or f"1 added: {paths[0]!r}" in message
    assert ("1 added" in message) == (state != "begun by an older version")
    assert "cache" in message
    assert "choose another name" in message
    assert "sha256" not in message
    assert contents(out) == before
    assert extract(paths[1:], out, **how).n_computed == (0 if state == "finished" else 3)


def test_names_in_any_bytes():
    before = FileList(["a\udcff.jpg", "b.jpg"])
    assert "1 added" in compare_names(before, FileList(["a\udcff.jpg", "b.jpg", "c\udcfe.jpg"]))


def test_settings_come_first(tmp_path):
    """Where both differ, the other settings are what has to be mended first."""
    paths = write_photographs(tmp_path / "photos", 2)
    extract(paths, tmp_path / "out", transformer=CHEAP, block_size=2, verbose=False)
    with pytest.raises(ValueError, match=r"other settings \(block_size: 2 there, 3 now\)"):
        extract(paths[:1], tmp_path / "out", transformer=CHEAP, block_size=3, verbose=False)
