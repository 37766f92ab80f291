"""Gradients by finite differences: the check of every backward that needs no reference.

A central difference (f(x+h) - f(x-h)) / 2h is wrong by about h² from the curve and by about 1e-16/h from rounding.
In float64 with h near 1e-6 the two balance, and a correct gradient agrees to about 1e-9; a wrong one rarely to 1e-2.

Here: one array at a time, and whole models along random directions.  Read next: `arrays.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..nn.module import Module


def numeric_gradient(f: Callable[[], float], x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Gradient of `f()` with respect to the float64 array `x` that it reads, entry by entry.

    Parameters
    ----------
    f : callable without arguments, returning a number
    x : float64 ndarray
        Changed in place during the call and restored after it.
    h : float
        Step.

    Returns
    -------
    ndarray of the shape of `x`

    Examples
    --------
    >>> x = np.array([1.0, 3.0])
    >>> numeric_gradient(lambda: float((x**2).sum()), x).round(6)
    array([2., 6.])
    """
    if x.dtype != np.float64:
        raise ValueError(f"finite differences need float64, not {x.dtype}; use model.astype(np.float64)")
    gradient = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        original = x[i]
        x[i] = original + h
        above = f()
        x[i] = original - h
        below = f()
        x[i] = original
        gradient[i] = (above - below) / (2 * h)
    return gradient


def relative_error(actual: np.ndarray, expected: np.ndarray, floor: float = 1e-8) -> float:
    """Largest difference, in units of the largest expected magnitude (or of `floor`, where that is smaller).

    >>> relative_error(np.array([1.0, 2.1]), np.array([1.0, 2.0])) < 0.051
    True
    """
    return float(np.max(np.abs(actual - expected), initial=0) / max(np.max(np.abs(expected), initial=0), floor))


def directional_errors(
    model: Module, loss: Callable[[], float], rng: np.random.Generator, h: float = 1e-5
) -> dict[str, float]:
    """Check the gradients that lie on a model's parameters, each along one random direction.

    Along a direction v the slope of the loss is Σ v · gradient; two evaluations measure it, however many numbers the
    parameter holds.

    Parameters
    ----------
    model : float64 Module
        With the gradients of `loss()` accumulated.
    loss : callable without arguments
        Evaluates the loss again, without dropout.
    rng : np.random.Generator
        For the directions.
    h : float
        Step along a direction of length about 1.

    Returns
    -------
    dict
        Path of each parameter -> |measured - analytic|, in units of the slope itself or of a thousandth of the
        steepest one, whichever is more: the slope of an attention key bias is 0, and its measurement only rounding.
    """
    slopes = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            raise ValueError(f"{name} has no gradient; run backward before checking")
        original = parameter.data
        direction = rng.standard_normal(original.shape) / np.sqrt(original.size)
        parameter.data = original + h * direction
        above = loss()
        parameter.data = original - h * direction
        below = loss()
        parameter.data = original
        slopes[name] = (above - below) / (2 * h), float((direction * parameter.grad).sum())
    floor = 1e-3 * max(abs(analytic) for _, analytic in slopes.values())
    return {
        name: float(abs(measured - analytic) / max(abs(measured), abs(analytic), floor))
        for name, (measured, analytic) in slopes.items()
    }
