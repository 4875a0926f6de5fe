"""Locks and cached values that survive a fork in another thread.

A fork copies every lock in the state it is in, and of all threads only the one that forks. A lock
that another thread held at that moment would stay locked in the child for ever. So all locks of
this package are made here.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Result = TypeVar("Result")


class Lock:
    """A lock that is free in a forked child, unless it is held by the thread that forked.

    Parameters
    ----------
    reentrant : bool, default=False
        Whether the thread that holds it may take it again.

    Examples
    --------
    >>> from sklearn_decaf._utils.locks import Lock
    >>> lock = Lock()
    >>> with lock:
    ...     lock.locked()
    True
    >>> lock.locked()
    False
    """

    __slots__ = ("__weakref__", "_depth", "_lock", "_make", "_owner")

    def __init__(self, *, reentrant: bool = False):
        self._make = threading.RLock if reentrant else threading.Lock
        self._lock = self._make()
        self._owner: int | None = None  # the thread that holds it
        self._depth = 0  # how often it does
        _locks.add(self)

    def acquire(self, timeout: float = -1.0) -> bool:
        """Take the lock, and return whether that was possible within so many seconds."""
        if not self._lock.acquire(timeout=timeout):
            return False
        self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether a thread holds it."""
        return self._owner is not None

    def _after_fork(self) -> None:
        if self._owner != threading.get_ident():
            self._lock, self._owner, self._depth = self._make(), None, 0


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def after_fork(function: Callable[[], Any]) -> Callable[[], Any]:
    """Decorator of a function that is to be called in every forked child."""
    at_fork(after_in_child=function)
    return function


def at_fork(**functions: Callable[[], Any]) -> None:
    """Have functions called at every fork, as `os.register_at_fork` does."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(**functions)


@after_fork
def _free_locks() -> None:
    for lock in _locks:
        lock._after_fork()


class cached_attribute(Generic[Result]):
    """A property that is computed once per object.

    Unlike `functools.cached_property` before Python 3.12 it needs no lock: two threads at the same
    time compute the same value twice.
    """

    def __init__(self, compute: Callable[[Any], Result]):
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_attribute[Result]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Result: ...

    def __get__(self, instance, owner):
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
