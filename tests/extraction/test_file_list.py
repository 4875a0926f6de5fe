"""Names of very many files in little memory."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_decaf._extraction.file_list import FileList


def test_very_many_names_take_little_memory():
    files = FileList(f"folder/{i:08}.jpg" for i in range(10_000))
    assert len(files) == 10_000
    assert files[9_999] == files.name(9_999) == "folder/00009999.jpg"
    assert len(files._characters) + 8 * len(files._ends) < 30 * 10_000
    assert FileList(["ab", "c"]).sha256() != FileList(["a", "bc"]).sha256()
    with pytest.raises(IndexError):
        files.name(10_000)


@given(st.lists(st.binary().filter(lambda name: b"\0" not in name).map(os.fsdecode)))
def test_any_names_come_back(names):
    files = FileList(names, "root")
    assert [files.name(row) for row in range(len(files))] == names
    if not any(name.lower().startswith("file:/") for name in names):
        assert list(files) == [os.path.join("root", name) for name in names]
    for copy in (pickle.loads(pickle.dumps(files)), FileList.from_bytes(files.to_bytes())):
        assert copy.sha256() == files.sha256()
        assert [copy.name(row) for row in range(len(copy))] == names


def test_addresses_are_never_relative():
    address = "file:///photos/a%20b.jpg"
    files = FileList([address, "a.jpg"], "root")
    assert list(files) == [address, os.path.join("root", "a.jpg")]
    assert files.name(0) == address


def test_slices():
    files = FileList(["a", Path("b"), "c", "d"], "root")
    for part in (slice(1, 3), slice(None, None, 2), slice(-1, None), slice(9, 9)):
        assert isinstance(files[part], FileList)
        assert list(files[part]) == list(files)[part]


def test_damaged_names():
    content = bytearray(FileList(["a.jpg", "b.jpg"]).to_bytes())
    content[len(content) // 2] ^= 255
    with pytest.raises(ValueError, match="damaged"):
        FileList.from_bytes(bytes(content))


def test_what_is_no_path():
    with pytest.raises(TypeError, match="row 1 is a int"):
        FileList(["a", 1])
