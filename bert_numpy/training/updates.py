"""The rules of update: pure functions on one block of each array, written in place.

    for block in blocks(data, grad, exp_avg, exp_avg_sq):
        adamw_update(*block, scratch, ...)

An update is a dozen elementwise operations.  On whole arrays each would wait for the memory; on blocks that stay in the
cache the memory is read and written once.  Blocks do not depend on each other, and NumPy releases its
lock while it computes one, so that threads may share them.

Here: arrays and numbers only.  Not here: parameters and what is kept between steps (`optimizers.py`, read it next).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

BLOCK = 131072
"""Elements handled at a time: few enough for the cache, enough for two threads not to wait for each other's lock."""


def adamw_update(
    data: np.ndarray,
    grad: np.ndarray,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    scratch: np.ndarray,
    *,
    beta1: float,
    beta2: float,
    step_size: float,
    eps: float,
    decay: float,
) -> None:
    """Update one block of each array in place, but for `grad`, which is only read.

        m ← β1 m + (1-β1) g         v ← β2 v + (1-β2) g²         θ ← decay θ - step_size m / (√v + eps)

    Parameters
    ----------
    data, grad, exp_avg, exp_avg_sq : ndarrays of one shape
        θ, g, m and v.
    scratch : ndarray of the same shape
        Holds intermediate results; its content is lost.

    Examples
    --------
    >>> data, exp_avg, exp_avg_sq = np.ones(2), np.zeros(2), np.zeros(2)
    >>> numbers = {"beta1": 0.5, "beta2": 0.75, "step_size": 0.25, "eps": 0.0, "decay": 0.5}
    >>> adamw_update(data, np.array([4.0, -8.0]), exp_avg, exp_avg_sq, np.empty(2), **numbers)
    >>> exp_avg, exp_avg_sq, data
    (array([ 2., -4.]), array([ 4., 16.]), array([0.25, 0.75]))
    """
    # m = β1 m + (1-β1) g
    np.multiply(grad, 1 - beta1, out=scratch)
    exp_avg *= beta1
    exp_avg += scratch
    # v = β2 v + (1-β2) g²
    np.multiply(grad, grad, out=scratch)
    scratch *= 1 - beta2
    exp_avg_sq *= beta2
    exp_avg_sq += scratch
    # θ = decay θ - step_size m / (√v + eps)
    np.sqrt(exp_avg_sq, out=scratch)
    scratch += eps
    np.divide(exp_avg, scratch, out=scratch)
    scratch *= step_size
    data *= decay
    data -= scratch


def sgd_update(data: np.ndarray, grad: np.ndarray, scratch: np.ndarray, *, lr: float, weight_decay: float) -> None:
    """θ ← θ - lr (g + λ θ), in place, on one block.

    Examples
    --------
    >>> data = np.array([1.0, 2.0])
    >>> sgd_update(data, np.array([1.0, 0.0]), np.empty(2), lr=0.5, weight_decay=0.25)
    >>> data
    array([0.375, 1.75 ])
    """
    np.multiply(data, weight_decay, out=scratch)
    scratch += grad
    scratch *= lr
    data -= scratch


def momentum_update(
    data: np.ndarray,
    grad: np.ndarray,
    momentum_buffer: np.ndarray,
    scratch: np.ndarray,
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
) -> None:
    """b ← μ b + (1-τ) (g + λ θ) and θ ← θ - lr b, in place, on one block; see `SGD` for the letters.

    With `nesterov`, for which the dampening τ must be 0, θ ← θ - lr (g + λ θ + μ b).

    Examples
    --------
    >>> data, momentum_buffer = np.ones(1), np.array([4.0])
    >>> numbers = {"lr": 0.5, "weight_decay": 0.0, "momentum": 0.5, "dampening": 0.0, "nesterov": False}
    >>> momentum_update(data, np.array([1.0]), momentum_buffer, np.empty(1), **numbers)
    >>> momentum_buffer, data
    (array([3.]), array([-0.5]))
    """
    np.multiply(data, weight_decay, out=scratch)
    scratch += grad
    scratch *= 1 - dampening
    momentum_buffer *= momentum
    momentum_buffer += scratch
    if nesterov:  # scratch is g + λ θ
        scratch *= lr
        data -= scratch
        np.multiply(momentum_buffer, lr * momentum, out=scratch)
    else:
        np.multiply(momentum_buffer, lr, out=scratch)
    data -= scratch


def blocks(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Views of arrays of one shape, at most `BLOCK` elements each; flat ones where all arrays are contiguous.

    Examples
    --------
    >>> [(len(a), len(b)) for a, b in blocks(np.zeros((300, 600)), np.ones((300, 600)))]
    [(131072, 131072), (48928, 48928)]
    """
    if all(array.flags.c_contiguous for array in arrays):
        arrays = tuple(array.reshape(-1) for array in arrays)
    row_size = math.prod(arrays[0].shape[1:])
    if row_size > BLOCK:
        for rows in zip(*arrays, strict=True):
            yield from blocks(*rows)
        return
    count = BLOCK // row_size
    for start in range(0, len(arrays[0]), count):
        yield [array[start : start + count] for array in arrays]
