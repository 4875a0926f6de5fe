"""A cache in a child that was forked while another thread of its parent used it."""

from __future__ import annotations

import os
import threading
import warnings

import pytest

from sklearn_decaf import ActivationCache
from sklearn_decaf.exceptions import CacheWarning

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python's, of forks beside threads
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def key(name):
    return name.encode().ljust(32)


@pytest.fixture
def cache(tmp_path):
    cache = ActivationCache(tmp_path)
    cache.put({key("first"): b"1" * 100})
    yield cache
    cache.close()


def result_of_child(work) -> bytes:
    """What `work` returns in a forked child; one that hangs is killed, and returns nothing."""
    import signal

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # less than what SQLite waits for another process
        try:
            os.write(writing, work())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        result = stream.read()
    os.waitpid(child, 0)
    return result


def put_and_get(cache) -> bytes:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache.put({key("child"): b"2" * 100})
        found = cache.get([key("first"), key("child")])
    assert all(issubclass(warning.category, CacheWarning) for warning in caught)
    return f"{len(found)} found, {len(caught)} warnings".encode()


class Writer:
    """A thread in the middle of a transaction."""

    def __init__(self, cache):
        store = cache._store()
        begun, self.may_commit = threading.Event(), threading.Event()

        def write():
            with store._lock:
                connection = store._open()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO entries (key, used) VALUES (?, 1)", (key("late"),))
                begun.set()
                assert self.may_commit.wait(60)
                connection.execute("COMMIT")

        self.thread = threading.Thread(target=write)
        self.thread.start()
        assert begun.wait(60)

    def commit(self):
        self.may_commit.set()
        self.thread.join()


def test_a_fork_waits_for_a_short_transaction(cache):
    writer = Writer(cache)
    threading.Timer(0.3, writer.may_commit.set).start()
    assert result_of_child(lambda: put_and_get(cache)) == b"2 found, 0 warnings"
    writer.commit()
    assert len(cache.get([key("first"), key("child")])) == 2


def test_a_child_does_without_what_a_long_transaction_left(cache):
    """It would wait a minute for a lock that only its parent could give back."""
    writer = Writer(cache)
    assert result_of_child(lambda: put_and_get(cache)) == b"0 found, 1 warnings"
    writer.commit()
    assert put_and_get(cache) == b"2 found, 0 warnings"  # the parent is not disturbed


def test_parent_and_child_go_on_side_by_side(cache):
    """Neither takes the other's locks for its own: each has opened the file afresh."""
    store = cache._store()

    def work():
        assert store._connection is None
        assert put_and_get(cache) == b"2 found, 0 warnings"
        assert not store._lock.locked()
        return b"done"

    assert result_of_child(work) == b"done"
    assert store._connection is None and not store._lock.locked()
    assert len(cache.get([key("first"), key("child")])) == 2
