"""Locks: one holder at a time, and nobody waits for a process that has ended."""

import multiprocessing
import os
import threading
import time

import pytest

from sklearn_decaf._utils import file_lock as locks
from sklearn_decaf._utils.file_lock import file_lock, try_lock, try_lock_byte, unlock_byte

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="this system has no such locks")
fork = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def in_child(function, *arguments):
    """What a function returns in another process."""
    receive, send = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: send.send(function(*arguments)))
    child.start()
    answer = receive.recv()
    child.join()
    return answer


def locked_elsewhere(path, place=None):
    with open(path, "rb+") as stream:
        if place is None:
            return try_lock(stream.fileno())
        return try_lock_byte(stream.fileno(), place)


def test_one_process_at_a_time_has_the_lock_of_a_file(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as stream:
        assert try_lock(stream.fileno()) is True
        assert in_child(locked_elsewhere, path) is False
    assert in_child(locked_elsewhere, path) is True


def test_bytes_are_locked_one_by_one(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as stream:
        assert try_lock_byte(stream.fileno(), 2**60) is True
        assert in_child(locked_elsewhere, path, 2**60) is False
        assert in_child(locked_elsewhere, path, 2**60 + 1) is True
        unlock_byte(stream.fileno(), 2**60)
        assert in_child(locked_elsewhere, path, 2**60) is True


def test_where_there_are_no_locks_nobody_can_tell(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(37, "No locks available")

    for name in ("flock", "lockf"):
        monkeypatch.setattr(locks.fcntl, name, refuse)
    with open(tmp_path / "file", "wb") as stream:
        assert try_lock(stream.fileno()) is None
        assert try_lock_byte(stream.fileno(), 0) is None
        unlock_byte(stream.fileno(), 0)
    with file_lock(tmp_path / "f") as locked:
        assert locked is False

    monkeypatch.setattr(locks, "fcntl", None)  # as on Windows
    with open(tmp_path / "file", "wb") as stream:
        assert try_lock(stream.fileno()) is None
        assert try_lock_byte(stream.fileno(), 0) is None
        unlock_byte(stream.fileno(), 0)
    with file_lock(tmp_path / "f") as locked:
        assert locked is False
    assert os.listdir(tmp_path) == ["file"]


def test_who_waits_says_so(tmp_path, capsys):
    order = []

    def second():
        with file_lock(tmp_path / "f", verbose=True, say_after=0.0):
            order.append("second")

    with file_lock(tmp_path / "f") as locked:
        assert locked
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "another process" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python's, of forks beside threads
def test_a_forked_child_keeps_no_lock_of_another_thread(tmp_path):
    taken, leave = threading.Event(), threading.Event()

    def hold():
        with locks.LockFile(tmp_path / "f") as file:
            assert file.try_lock()
            taken.set()
            assert leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(60)
    (reading, writing), (heard, said) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(said, b"!")
        os.read(reading, 1)  # until the parent is done
        os._exit(0)
    os.close(reading)
    assert os.read(heard, 1) == b"!"
    with locks.LockFile(tmp_path / "f") as file:
        assert file.try_lock() is False
        leave.set()
        thread.join()
        assert file.try_lock() is True  # although the child lives
    for descriptor in (writing, heard, said):
        os.close(descriptor)
    assert os.waitpid(child, 0)[1] == 0
    assert locks._opened == {}
