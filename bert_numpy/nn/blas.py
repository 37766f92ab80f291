"""The threads that a product of matrices runs on, where NumPy's BLAS is OpenBLAS: how many, and how long they wait.

NumPy has no function for it, but the library that its wheels bring has some, and `ctypes` can call them.

Here: two switches.  Not here: threads of our own (`parallel.py`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np


class _Switch(NamedTuple):
    get_num_threads: Callable[[], int]
    set_num_threads: Callable[[int], None]


def _libraries() -> Iterator[ctypes.CDLL]:
    """The OpenBLAS that NumPy uses; none with any other BLAS."""
    package = Path(np.__file__).parent
    places = [package.with_name("numpy.libs"), package / ".dylibs", package / ".libs"]  # Linux and Windows, macOS, old
    files = [file for place in places if place.is_dir() for file in sorted(place.iterdir()) if "openblas" in file.name]
    for file in files:
        try:
            yield ctypes.CDLL(str(file))
        except OSError:
            continue


@lru_cache(maxsize=1)
def _switch() -> _Switch | None:
    """The two functions that read and set the number of threads."""
    for library in _libraries():
        for name in ("scipy_openblas_{}64_", "openblas_{}64_", "scipy_openblas_{}", "openblas_{}"):
            if hasattr(library, name.format("set_num_threads")):
                return _Switch(*(getattr(library, name.format(f"{verb}_num_threads")) for verb in ("get", "set")))
    return None


def shorten_waits() -> bool:
    """Have OpenBLAS read OPENBLAS_THREAD_TIMEOUT again, if NumPy was imported before the variable was set.

    Its threads are ended, as they are before a fork; the next product starts them anew.

    Returns
    -------
    bool
        Whether that was needed, and could be done.
    """
    wanted = os.environ.get("OPENBLAS_THREAD_TIMEOUT", "")
    if not wanted.isdecimal() or os.name != "posix":
        return False
    for library in _libraries():
        needed = ("openblas_thread_timeout", "openblas_read_env", "blas_thread_shutdown_")
        if all(hasattr(library, name) for name in needed) and library.openblas_thread_timeout() != int(wanted):
            library.openblas_read_env()
            library.blas_thread_shutdown_()
            return True
    return False


def can_be_switched() -> bool:
    """Whether `one_thread` has any effect here."""
    return _switch() is not None


_lock = threading.Lock()
_users = 0
_usual = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, each product runs on the thread that asks for it; afterwards all is as before."""
    global _users, _usual
    switch = _switch()
    if switch is None:
        yield
        return
    with _lock:
        if _users == 0:
            _usual = switch.get_num_threads()
            switch.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                switch.set_num_threads(_usual)
