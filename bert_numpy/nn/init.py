"""Fresh values for parameters, as the original draws them (BERT paper, appendix A.2; its code: `initializer_range`).

Here: the distribution.  Which parameter gets it is said by each layer's `reset_parameters` in `layers.py`.
"""

from __future__ import annotations

import numpy as np


def truncated_normal(rng: np.random.Generator, out: np.ndarray, std: float) -> None:
    """Fill `out` with draws from a normal distribution of mean 0, drawn again where they fall beyond 2 `std`.

    About 4.6 % fall beyond, so the values kept have a standard deviation of 0.88 `std`.

    Parameters
    ----------
    rng : np.random.Generator
    out : float32 or float64 ndarray, written to
    std : float
        The standard deviation before truncation; BERT's `initializer_range` is 0.02.

    Examples
    --------
    >>> out = np.empty(1000)
    >>> truncated_normal(np.random.default_rng(0), out, 0.02)
    >>> bool(np.abs(out).max() < 0.04)
    True
    """
    values = rng.standard_normal(out.shape, dtype=out.dtype.type)
    beyond = np.abs(values) > 2
    while beyond.any():
        values[beyond] = rng.standard_normal(np.count_nonzero(beyond), dtype=out.dtype.type)
        beyond = np.abs(values) > 2
    np.multiply(values, std, out=out)
