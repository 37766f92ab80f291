"""Compare two sets of named arrays, tap by tap, and say which agree.

The measure is  max|d| / RMS:  the largest difference, in units of the root mean square of the reference (of its entries
that are not exactly 0).  Two correct implementations differ by rounding only: in float64 by about 5e-14 and in float32
by about 1e-5 at base size.  Hence the two tolerances.  Measures that sound stricter are useless as gates: relative
errors per element reach 140 % between two correct float32 runs (near-zero elements), and a squared error of 5e-8 lets
the wrong GELU pass.

Here: the comparison and its report.  Read next: `goldens.py`, which runs the comparison with stored numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

TOLERANCES = {"float64": 1e-11, "float32": 5e-5}
"""Largest max|d|/RMS of a correct implementation, by the dtype that it computes in."""


@dataclass
class ArrayTap:
    """How one named array compares with the reference.

    Attributes
    ----------
    name : str
    shape : tuple of int
    max_difference : float
        max|d|; NaN if the arrays could not be compared.
    ratio : float
        max|d| / scale, with the scale below.
    scale : float
        RMS of the reference, or of the array that `compare` was told to take instead.
    verdict : str
        "ok", "differs", "missing", "shape" or "not finite".
    """

    name: str
    shape: tuple[int, ...]
    max_difference: float
    ratio: float
    scale: float
    verdict: str

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"


@dataclass
class ArrayReport:
    """The taps of one comparison, in the order of the reference."""

    title: str
    tolerance: float
    taps: list[ArrayTap] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether anything was compared and every tap agrees."""
        return bool(self.taps) and all(tap.ok for tap in self.taps)

    @property
    def worst(self) -> ArrayTap:
        """A tap that does not agree, if there is one; else the one with the largest ratio."""
        return max(self.taps, key=lambda tap: (not tap.ok, tap.ratio))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "ok": self.ok,
            "tolerance": self.tolerance,
            "taps": [{**asdict(tap), "shape": list(tap.shape)} for tap in self.taps],
        }


def rms(x: np.ndarray) -> float:
    """Root mean square of the entries that are not exactly 0, in float64.

    Exact zeros say nothing about the size of the rest: the gradient of a word table has a row for each of 30,522 words,
    of which a batch touches a hundred.

    >>> rms(np.array([3.0, -3.0, 0.0, 0.0]))
    3.0
    """
    entries = np.asarray(x)[np.asarray(x) != 0]
    return float(np.sqrt(np.mean(np.square(entries, dtype=np.float64)))) if entries.size else 0.0


def compare_arrays(
    reference: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    dtype: DTypeLike,
    title: str = "",
    absolute: Iterable[str] = (),
) -> ArrayReport:
    """Compare arrays by name.

    Parameters
    ----------
    reference : mapping of name to array
        Every name in it is compared.
    actual : mapping of name to array
    dtype : float32 or float64
        What `actual` was computed in; sets the tolerance.
    title : str
    absolute : names
        Arrays whose true value is 0, so that their own RMS is rounding noise: they are measured against the RMS of
        all other arrays together.

    Returns
    -------
    ArrayReport

    Examples
    --------
    >>> report = compare_arrays({"a": np.ones(2), "b": np.ones(2)}, {"a": np.ones(2), "b": np.zeros(2)}, np.float64)
    >>> [(tap.name, tap.ratio, tap.verdict) for tap in report.taps]
    [('a', 0.0, 'ok'), ('b', 1.0, 'differs')]
    """
    tolerance = TOLERANCES[np.dtype(dtype).name]
    absolute = set(absolute)
    others = [array.ravel() for name, array in reference.items() if name not in absolute]
    common_scale = rms(np.concatenate(others)) if others else 0.0
    taps = []
    for name, expected in reference.items():
        scale = common_scale if name in absolute else rms(expected)
        taps.append(_compare_one(name, expected, actual.get(name), scale, tolerance))
    return ArrayReport(title, tolerance, taps)


def _compare_one(
    name: str, expected: np.ndarray, actual: np.ndarray | None, scale: float, tolerance: float
) -> ArrayTap:
    """One row of the report; whatever cannot be compared gets the reason as its verdict and an infinite ratio."""
    shape = expected.shape if actual is None else np.shape(actual)
    if actual is None:
        return ArrayTap(name, shape, np.nan, np.inf, scale, "missing")
    if shape != expected.shape:
        return ArrayTap(name, shape, np.nan, np.inf, scale, f"shape, expected {expected.shape}")
    if not np.isfinite(actual).all():
        return ArrayTap(name, shape, np.nan, np.inf, scale, "not finite")
    difference = float(np.max(np.abs(np.subtract(actual, expected, dtype=np.float64)), initial=0))
    if difference == 0:
        return ArrayTap(name, shape, 0.0, 0.0, scale, "ok")
    ratio = difference / scale if scale else np.inf
    return ArrayTap(name, shape, difference, ratio, scale, "ok" if ratio <= tolerance else "differs")
