"""Functions of rows, computed in blocks that fit the cache, on all processor cores.

A chain of NumPy operations on a large array reads and writes main memory once per operation.  Cut into blocks of
rows, the chain stays in the cache, and other cores can take blocks of their own: NumPy releases the interpreter lock
while it computes.  `by_rows(f, x)` gives exactly the bits of `f(x)`, so a formula is written once, for whole arrays.

The products of matrices run on the threads of NumPy's own BLAS.  Those of OpenBLAS stay awake for some 20 ms after
each product (2²⁶ cycles) and keep the other cores from the blocks; `bert_numpy/__init__.py` asks for 0.1 ms, which
OpenBLAS is told again if NumPy was imported before this package.

Here: blocks and threads.  Not here: any mathematics.  Read next: `functional.py`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from . import blas

blas.shorten_waits()

BLOCK_SIZE = 1 << 17  # elements of the widest array in a block: 512 kB of float32
GRAIN = 1 << 15  # elements that are worth a thread of their own


@lru_cache(maxsize=1)
def num_threads() -> int:
    """How many threads compute: those that BLAS was given by the environment, or the cores of this process."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdecimal():
            return max(int(os.environ[name]), 1)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def by_rows(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """`function(*arrays)`, computed block by block.

    Parameters
    ----------
    function : callable
        Takes as many arrays as there are and returns one array or a tuple of arrays.  A row of each result depends
        on the same row of each array alone.
    arrays : ndarrays with the same number of rows, N, as their first axis

    Returns
    -------
    ndarray or tuple of ndarrays, with N rows each

    Examples
    --------
    >>> by_rows(lambda x: x * 2, np.arange(3.0))
    array([0., 2., 4.])
    """
    first_block, *blocks = _blocks(arrays)
    first = function(*(array[first_block] for array in arrays))  # tells the shapes of the results
    if not blocks:
        return first
    several = isinstance(first, tuple)
    wholes = [np.empty((len(arrays[0]), *one.shape[1:]), one.dtype) for one in (first if several else (first,))]

    def store(block: slice, results: Any) -> None:
        for whole, result in zip(wholes, results if several else (results,), strict=True):
            whole[block] = result

    store(first_block, first)
    for_each(lambda block: store(block, function(*(array[block] for array in arrays))), blocks)
    return tuple(wholes) if several else wholes[0]


def in_parts(function: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """`[function(part) for part in parts]`, each part on a thread of its own, its products of matrices included.

    For parts that have much to compute and nothing to do with each other: no thread waits for another one before the
    end, as it would after every product that BLAS divides among threads.

    Examples
    --------
    >>> in_parts(sum, [[1, 2], [3, 4]])
    [3, 7]
    """
    results: list[Any] = [None] * len(parts)

    def compute(i: int) -> None:
        _here.is_a_part = True
        try:
            results[i] = function(parts[i])
        finally:
            _here.is_a_part = False

    with blas.one_thread():
        for_each(compute, range(len(parts)))
    return results


def for_each(task: Callable[[Any], None], items: Sequence[Any]) -> None:
    """`task(item)` for every item, on all threads; ends when all have ended, with an error if there was one."""
    waiting = deque(items)  # any number of threads may take from a deque
    helpers = [_pool().submit(_drain, task, waiting) for _ in range(min(_threads(), len(items)) - 1)]
    try:
        _drain(task, waiting)
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun finds nothing left to do
                helper.result()


def threads_for_parts() -> int:
    """How many threads `in_parts` would use: 1 in a part itself, or where BLAS would not leave them the cores."""
    return _threads() if blas.can_be_switched() else 1


_here = threading.local()  # `is_a_part`: this thread computes one, and asks no other thread for help


def _threads() -> int:
    return 1 if getattr(_here, "is_a_part", False) else num_threads()


def _blocks(arrays: tuple[np.ndarray, ...]) -> list[slice]:
    """Slices of rows, of at most BLOCK_SIZE elements, and one for each thread when there is work enough."""
    rows = len(arrays[0])
    size = max(array.size for array in arrays)
    count = max(-(-size // BLOCK_SIZE), min(_threads(), size // GRAIN), 1)
    step = max(-(-rows // count), 1)
    return [slice(start, start + step) for start in range(0, max(rows, 1), step)]


def _drain(task: Callable[[Any], None], waiting: deque[Any]) -> None:
    while waiting:
        try:
            item = waiting.popleft()
        except IndexError:  # another thread was faster
            return
        task(item)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(num_threads() - 1, 1), thread_name_prefix="bert_numpy")
