"""Files written by a rename: the old content or the new one, never anything between."""

import os
import stat

import pytest

from sklearn_decaf._utils import atomic_file
from sklearn_decaf._utils.atomic_file import atomic_write, move_into_place


def test_the_old_content_is_there_until_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    with atomic_write(path) as stream:
        stream.write(b"ne")
        stream.flush()
        assert path.read_bytes() == b"old"
        stream.write(b"w")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_everything_as_it_was(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as stream:
        stream.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_failed_rename_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no")

    monkeypatch.setattr(atomic_file.os, "replace", refuse)
    with pytest.raises(OSError, match="no"), atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    assert os.listdir(tmp_path) == []


def test_two_writers_do_not_mix(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_write(path) as one, atomic_write(path) as two:
        one.write(b"one")
        two.write(b"two")
    assert path.read_bytes() == b"one"  # the outer block ended last
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_given_name_for_the_unfinished_file(tmp_path):
    work, path = tmp_path / "work", tmp_path / "file.txt"
    work.mkdir()
    (work / "unfinished").write_bytes(b"of a process that was killed, and longer than the new one")
    with atomic_write(path, unfinished=work / "unfinished") as stream:
        stream.write(b"new")
        assert os.listdir(work) == ["unfinished"]
    assert path.read_bytes() == b"new"
    assert os.listdir(work) == []


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []

    def fsync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")

    replace = os.replace
    monkeypatch.setattr(atomic_file.os, "fsync", fsync)
    monkeypatch.setattr(
        atomic_file.os, "replace", lambda *paths: (done.append("name"), replace(*paths))
    )
    (tmp_path / "part").write_bytes(b"content")
    move_into_place(tmp_path / "part", tmp_path / "whole")
    assert done[:2] == ["content", "name"]
    assert done[2:] in (["folder"], [])  # Windows opens no folders
    assert (tmp_path / "whole").read_bytes() == b"content"
