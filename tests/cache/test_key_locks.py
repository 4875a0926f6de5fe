"""Per-key locks: they hold among threads and processes, and end with whoever has them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time

import pytest

from sklearn_decaf._cache.key_locks import KeyLocks

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def key(i):
    return hashlib.sha256(f"key {i}".encode()).digest()


def test_locks_hold_among_threads_of_a_process(tmp_path):
    path = str(tmp_path / "lock")
    with KeyLocks(path) as mine, KeyLocks(path) as other:
        assert mine.acquire(key(0))
        assert mine.acquire(key(0))
        assert not other.acquire(key(0))
        assert other.acquire(key(1))
        other.release([key(0)])  # not its own
        assert not other.acquire(key(0))
        mine.release([key(0)])
        assert other.acquire(key(0))
    with KeyLocks(path) as later:
        assert later.acquire(key(0))


@fork
def test_locks_hold_among_processes_and_end_with_them(tmp_path):
    path = str(tmp_path / "lock")
    context = multiprocessing.get_context("fork")
    receive, report = os.pipe()

    def hold():
        with KeyLocks(path) as locks:
            os.write(report, b"1" if locks.acquire(key(0)) else b"0")
            time.sleep(60)

    process = context.Process(target=hold)
    process.start()
    assert os.read(receive, 1) == b"1"
    with KeyLocks(path) as locks:
        assert not locks.acquire(key(0))
        assert locks.acquire(key(1))
        process.kill()
        process.join()
        assert locks.acquire(key(0))
    os.close(receive)
    os.close(report)


def test_locks_without_a_file(tmp_path):
    path = str(tmp_path / "missing" / "lock")
    with KeyLocks(path) as mine, KeyLocks(path) as other:
        assert mine.acquire(key(0))
        assert not other.acquire(key(0))
