"""The state of a file tells whether it has changed."""

import os
import shutil

import pytest

from sklearn_decaf._utils.file_state import current_file_state, file_state, is_same_file


def rewrite(path):
    path.write_bytes(b"other")


def rewrite_and_set_the_time_back(path):
    before = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_with_a_copy_of_its_times(path):
    other = path.with_name("other")
    other.write_bytes(b"other")
    shutil.copystat(path, other)
    os.replace(other, path)


def append(path):
    with open(path, "ab") as stream:
        stream.write(b".")


@pytest.mark.parametrize(
    "change", [rewrite, rewrite_and_set_the_time_back, replace_with_a_copy_of_its_times, append]
)
def test_every_change_is_seen(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(b"first")
    os.utime(path, ns=(10**18, 10**18))
    before = current_file_state(path)
    path.read_bytes()
    assert current_file_state(path) == before == file_state(os.stat(path))
    change(path)
    after = current_file_state(path)
    assert after != before
    assert is_same_file(before, after) == (change is not replace_with_a_copy_of_its_times)


def test_a_file_that_is_gone_has_no_state(tmp_path):
    assert current_file_state(tmp_path / "none") is None
