"""In what precision was a dump computed, and how far from the truth may it therefore be?

The truth is the reference in float64.  The noise floor of a tap is what rounding alone does to it: the reference in
float32 against the reference in float64, on the same input.  For float16 and bfloat16 every parameter and every result
of the float32 run is rounded to that form; for float64, where nothing finer is at hand, the noise of float32 is scaled
by the ratio of the two roundings, and float64 runs on numbers one rounding apart are looked at too.

Here: roundings, and recognizing them.  Not here: the comparison (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..checkpoints.bfloat16 import narrow, widen

EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number, finest first."""

MANY_NUMBERS = 64
"""So many different numbers do not all fit a coarser precision by chance."""


def round_to_float16(x: np.ndarray) -> np.ndarray:
    """The nearest numbers of float16, in the dtype of `x`; beyond 65,504 they are infinite.

    >>> round_to_float16(np.array([1.0, 1.0004, 1.0008]))
    array([1.        , 1.        , 1.00097656])
    """
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(np.float16).astype(np.asarray(x).dtype)


def round_to_bfloat16(x: np.ndarray) -> np.ndarray:
    """The nearest numbers that have 8 significant bits, in the dtype of `x`; ties go to the even one.

    >>> round_to_bfloat16(np.array([1.0, 1.003, 1.006]))
    array([1.       , 1.       , 1.0078125])
    """
    return widen(narrow(x)).astype(np.asarray(x).dtype)


def _round_to_float32(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # the mask of a float64 port may be the lowest number there is
        return x.astype(np.float32)


ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float16": round_to_float16,
    "bfloat16": round_to_bfloat16,
}
"""By the name of a precision that is coarser than float32."""


def precision_of(arrays: Iterable[np.ndarray]) -> str:
    """The finest precision that the numbers of these arrays need: what they were computed in, whatever holds them.

    Parameters
    ----------
    arrays : floating-point ndarrays

    Returns
    -------
    str
        "float64", "float32", "float16" or "bfloat16".

    Examples
    --------
    >>> precision_of([np.array([0.1])]), precision_of([np.array([0.1], np.float16).astype(np.float32)])
    ('float64', 'float16')
    """
    arrays = list(arrays)
    for name in ("bfloat16", "float16"):
        if arrays and all(_survives(array, ROUNDINGS[name]) for array in arrays):
            return name
    fits = all(array.dtype != np.float64 or _survives(array, _round_to_float32) for array in arrays)
    return "float32" if fits else "float64"


def precision_of_taps(tensors: Iterable[tuple[str, np.ndarray]]) -> tuple[str, list[str]]:
    """What the tensors of a dump were computed in, and the taps that were stored in something coarser.

    Table look-ups do not tell, nor numbers that anything can hold.  The finest precision is that of the port, if at
    least half of its tensors need it: the few that it does not are stored badly.  If fewer do, the port computes in
    the coarser one, and has these few in a finer one, as mixed precision does.

    Parameters
    ----------
    tensors : pairs of (tap, ndarray)

    Examples
    --------
    >>> precision_of_taps([("embeddings.add", np.array([0.1])), ("pooler", np.array([0.5, 0.1], np.float32))])
    ('float32', [])
    """
    stored = [(tap, array) for tap, array in tensors if array.dtype.kind == "f"]
    telling = [(tap, array) for tap, array in stored if array.size > 1 and not tap.startswith("embeddings.")]
    telling = [(tap, array) for tap, array in telling if _varies(array)] or stored
    if not telling:
        return "float32", []
    by_tap = [(tap, precision_of([array])) for tap, array in telling]
    order = list(EPSILONS)  # finest first
    counts = [sum(precision == name for _, precision in by_tap) for name in order]
    finest = next(i for i, count in enumerate(counts) if count)
    if counts[finest] * 2 >= len(by_tap):
        in_half = {tap for tap, precision in by_tap if precision in ROUNDINGS}
        coarser = [tap for tap, array in telling if tap in in_half and len(np.unique(array)) >= MANY_NUMBERS]
        return order[finest], [] if order[finest] in ROUNDINGS else coarser
    return order[max(range(len(order)), key=lambda i: counts[i])], []


def _varies(array: np.ndarray) -> bool:
    finite = array[np.isfinite(array)]
    return bool(finite.size and finite.min() < finite.max())


def _survives(array: np.ndarray, rounding: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether rounding changes none of the first numbers, then none at all."""
    for part in (array.ravel()[:1000], array):
        finite = part[np.isfinite(part)]
        if not np.array_equal(rounding(finite), finite):
            return False
    return True
