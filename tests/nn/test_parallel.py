"""Blocks and threads change nothing: neither a bit of the result nor the state that they leave."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from bert_numpy.nn import blas, parallel
from bert_numpy.nn import functional as F


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """Small blocks on that many threads, whatever this machine has."""
    monkeypatch.setattr(parallel, "num_threads", lambda: request.param)
    monkeypatch.setattr(parallel, "BLOCK_SIZE", 64)
    monkeypatch.setattr(parallel, "GRAIN", 8)
    parallel._pool.cache_clear()
    yield request.param
    parallel._pool.cache_clear()


@pytest.mark.parametrize("shape", [(1, 7), (10, 7), (64, 5), (129, 1), (3, 200), (0, 4), (33,)])
def test_blocks_give_the_bits_of_the_whole(threads, shape, rng):
    x, y = rng.normal(size=(2, *shape))
    quotient = parallel.by_rows(lambda x, y: np.exp(x) / (1 + y * y), x, y)
    np.testing.assert_array_equal(quotient, np.exp(x) / (1 + y * y))
    doubled, flags = parallel.by_rows(lambda x: (2 * x, x > 0), x)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(flags, x > 0)
    assert flags.dtype == bool


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "softmax"])
def test_operations_in_blocks_give_the_bits_of_the_plain_form(threads, name, rng, monkeypatch):
    x, dy = rng.normal(size=(2, 6, 11, 9)).astype(np.float32)
    forward, backward = getattr(F, f"{name}_forward"), getattr(F, f"{name}_backward")
    y, cache = forward(x)
    dx = backward(dy, cache)
    monkeypatch.setattr(F, "by_rows", lambda function, *arrays: function(*arrays))
    plain_y, plain_cache = forward(x)
    np.testing.assert_array_equal(y, plain_y)
    np.testing.assert_array_equal(dx, backward(dy, plain_cache))


def test_an_error_in_a_block_is_raised(threads, rng):
    def fail(x):
        if x[-1] == 99:
            raise ZeroDivisionError("here")
        return x

    with pytest.raises(ZeroDivisionError, match="here"):
        parallel.by_rows(fail, np.arange(100))


def test_parts_come_back_in_order_and_ask_for_no_further_threads(threads, rng):
    def part(i):
        assert parallel.threads_for_parts() == 1
        return i, parallel.by_rows(np.sqrt, np.arange(300.0)).sum(), threading.get_ident()

    results = parallel.in_parts(part, list(range(7)))
    assert [i for i, _, _ in results] == list(range(7))
    assert {total for _, total, _ in results} == {np.sqrt(np.arange(300.0)).sum()}
    assert len({thread for _, _, thread in results}) <= threads
    assert getattr(parallel._here, "is_a_part", False) is False


@pytest.mark.skipif(not blas.can_be_switched(), reason="NumPy's BLAS is not OpenBLAS here")
def test_blas_has_its_threads_back_afterwards_even_after_an_error():
    usual = blas._switch().get_num_threads()
    with blas.one_thread(), blas.one_thread():
        assert blas._switch().get_num_threads() == 1
    assert blas._switch().get_num_threads() == usual
    with pytest.raises(KeyError), blas.one_thread():
        raise KeyError
    assert blas._switch().get_num_threads() == usual


@pytest.mark.skipif(
    os.name != "posix" or not any(hasattr(library, "openblas_thread_timeout") for library in blas._libraries()),
    reason="NumPy's BLAS has no such time here",
)
def test_idle_threads_of_blas_sleep_soon_although_numpy_came_first():
    """In a process of its own: a product before and after, and a number of threads that somebody set."""
    program = """
import ctypes, os, sys
import numpy as np
x = np.arange(400.0 * 300).reshape(400, 300)
before = x @ x.T
library = ctypes.CDLL(sys.argv[1])
assert library.openblas_thread_timeout() != 18
import bert_numpy
assert library.openblas_thread_timeout() != 18  # nothing is computed yet
from bert_numpy.nn import blas
assert library.openblas_thread_timeout() == 18
with blas.one_thread():
    assert not blas.shorten_waits()  # it was told
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = "17"
    assert blas.shorten_waits()
    assert blas._switch().get_num_threads() == 1
    assert np.array_equal(x @ x.T, before)
assert np.array_equal(x @ x.T, before)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    library = next(lib for lib in blas._libraries() if hasattr(lib, "openblas_thread_timeout"))._name
    subprocess.run([sys.executable, "-c", program, library], env=environment, check=True)


def test_without_openblas_everything_is_computed_on_one_thread(monkeypatch):
    monkeypatch.setattr(blas, "_switch", lambda: None)
    assert parallel.threads_for_parts() == 1
    with blas.one_thread():
        assert parallel.in_parts(sum, [[1, 2], [3]]) == [3, 3]


@pytest.mark.parametrize(
    ("variable", "value", "expected"), [("OMP_NUM_THREADS", "3", 3), ("OMP_NUM_THREADS", "", None)]
)
def test_the_number_of_threads_is_that_of_blas(monkeypatch, variable, value, expected):
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    count = parallel.num_threads.__wrapped__()
    assert count == expected if expected else count >= 1
