"""How good predicted numbers are: how they go with the true ones, as of STS-B in GLUE.

    pearsonr(labels, logits[:, 0]), spearmanr(labels, logits[:, 0])

The results are those of SciPy: NaN, here without a warning, where one side is constant.  It cannot be 0: a model that
says the same of everything is not the same as one whose numbers have nothing to do with the truth.

Here: a number for each example.  Not here: labels (`metrics.py`).  Read next: `tagging_metrics.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .metrics import check_lengths


def pearsonr(x: ArrayLike, y: ArrayLike) -> float:
    """How close two series are to a straight line: from -1 (falling) to 1 (rising).

    `Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²)`, NaN if one of them is constant.

    Parameters
    ----------
    x, y : array_like of shape (N,)
        Numbers, N of at least 2.

    Returns
    -------
    float
        The coefficient alone; SciPy's function of this name returns it together with a p-value.

    Examples
    --------
    >>> round(pearsonr([1, 2, 3, 4], [1, 2, 3, 5]), 4)
    0.9827
    """
    first, second = _numbers(x, y)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.clip(_unit(first) @ _unit(second), -1, 1))


def spearmanr(x: ArrayLike, y: ArrayLike) -> float:
    """How close two series are to the same order: the Pearson correlation of their ranks.

    Equal numbers share the mean of their ranks.  NaN if one of the series is constant.

    Parameters
    ----------
    x, y : array_like of shape (N,)
        Numbers, N of at least 2.

    Returns
    -------
    float
        The coefficient alone; SciPy's function of this name returns it together with a p-value.

    Examples
    --------
    >>> spearmanr([1, 2, 3, 4], [1, 10, 100, 1000])
    1.0
    """
    first, second = _numbers(x, y)
    return pearsonr(_ranks(first), _ranks(second))


def _numbers(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays of shape (N,)."""
    pair = []
    for name, values in (("x", x), ("y", y)):
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            hint = f"; take {name}[:, 0]" if array.ndim == 2 and array.shape[1] == 1 else ""
            raise ValueError(
                f"{name} must be one number for each example, not {array.dtype} of shape {array.shape}{hint}"
            )
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            where = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ValueError(f"{name}[{where}] is {array[where]}; a correlation needs finite numbers")
        pair.append(array)
    check_lengths(pair[0], pair[1], "x", "y")
    if len(pair[0]) < 2:
        raise ValueError("a correlation needs at least 2 examples, and there is 1")
    return pair[0], pair[1]


def _unit(x: np.ndarray) -> np.ndarray:
    """The deviations from the mean, scaled to length 1."""
    deviations = x - x.mean()
    deviations -= deviations.mean()  # the mean of large numbers that differ little is rounded; this is what was lost
    deviations /= np.abs(deviations).max()  # so that no square overflows or underflows
    return np.asarray(deviations / math.sqrt(deviations @ deviations))


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values have the mean of theirs."""
    _, group, sizes = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group.reshape(-1)]
