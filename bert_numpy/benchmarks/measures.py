"""Medians, spreads and ratios, and what is equal: the arithmetic of the table.

Here: pure functions and small records.  Not here: where the seconds come from (`running.py`).
Read next: `serving.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .cases import MEMORY, RATE, Case

TOLERANCE = 5e-5
"""Largest RMS of the difference, in units of the RMS, between two correct float32 implementations.

Outputs of theirs differ by about 1e-6, gradients by 4e-6; tanh in place of erf in GELU makes 2e-4.
"""


def of_turn(seconds: Sequence[float]) -> float:
    """The median of one turn, without its first run if there are three or more: that one finds cold caches.

    Examples
    --------
    >>> of_turn([9.0, 2.0, 4.0])
    3.0
    >>> of_turn([9.0, 2.0])
    5.5
    """
    return float(np.median(seconds[1:] if len(seconds) > 2 else seconds))


class Sample(NamedTuple):
    """What one side needed: one number for each round, in seconds or in bytes.

    Examples
    --------
    >>> sample = Sample("numpy", (1.0, 4.0, 2.0, 3.0, 10.0))
    >>> sample.median, sample.spread
    (3.0, 0.6666666666666666)
    """

    variant: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def spread(self) -> float:
        """The distance between the quartiles (here 2 and 4) as a share of the median."""
        low, high = np.percentile(self.values, (25, 75))
        return float(high - low) / self.median


def fastest(samples: Mapping[str, Sequence[float]]) -> Sample:
    """Of several ways to do the same, the one with the lowest median.

    Examples
    --------
    >>> fastest({"eager": [3.0, 3.1, 2.9], "sdpa": [2.0, 9.0, 2.1]})
    Sample(variant='sdpa', values=(2.0, 9.0, 2.1))
    """
    candidates = [Sample(variant, tuple(values)) for variant, values in samples.items()]
    return min(candidates, key=lambda sample: sample.median)


class Difference(NamedTuple):
    """By how much the outputs of the two sides differ, at the array where it is most."""

    name: str
    largest: float  # max|d|
    relative: float  # RMS of d / RMS of the reference; 0 or infinite for whole numbers

    @property
    def ok(self) -> bool:
        return self.relative <= TOLERANCE


def compare_outputs(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> Difference:
    """The largest difference of all arrays; whole numbers, such as ids, must be equal.

    Raises
    ------
    ValueError
        If the two sides did not compute the same arrays.

    Examples
    --------
    >>> compare_outputs({"y": np.array([0.0, 4.0])}, {"y": np.array([0.0, 5.0])})
    Difference(name='y', largest=1.0, relative=0.2)
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"the two sides computed different things: {sorted(ours)} and {sorted(theirs)}")
    differences = [_difference(name, ours[name], theirs[name]) for name in ours]
    return max(differences, key=lambda difference: difference.relative)


def _difference(name: str, ours: np.ndarray, theirs: np.ndarray) -> Difference:
    if ours.shape != theirs.shape:
        return Difference(name, np.inf, np.inf)
    if theirs.dtype.kind in "iu":
        return Difference(name, *([0.0, 0.0] if np.array_equal(ours, theirs) else [np.inf, np.inf]))
    d = ours.astype(np.float64) - theirs
    relative = float(np.linalg.norm(d) / np.linalg.norm(theirs.astype(np.float64)))
    return Difference(name, float(np.abs(d).max()), relative if np.isfinite(relative) else np.inf)


class Result(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    case : Case
    ours, reference, floor : Sample
        None where that side was not run.
    difference : Difference, optional
        Between the outputs of the two sides.
    size : int
        For tokenization: the bytes of the text.
    note : str
        Why nothing was measured.
    """

    case: Case
    ours: Sample | None = None
    reference: Sample | None = None
    floor: Sample | None = None
    difference: Difference | None = None
    size: int = 0
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the two sides computed the same, as far as both ran."""
        return self.difference is None or self.difference.ok

    @property
    def ratio(self) -> float | None:
        """Ours to the reference's, of time or memory: below 1 this package needs less.

        It is the median of the ratios of the rounds, in each of which both sides had the machine in the same state; so
        it need not be the quotient of the two medians.
        """
        return _quantile(self.ours, self.reference, 50)

    @property
    def floor_ratio(self) -> float | None:
        """Ours to the bare matrix products, likewise."""
        return _quantile(self.ours, self.floor, 50)

    @property
    def ratio_range(self) -> tuple[float, float] | None:
        """The quartiles of the ratios of the rounds."""
        low, high = (_quantile(self.ours, self.reference, percent) for percent in (25, 75))
        return None if low is None or high is None else (low, high)

    def shown(self, sample: Sample) -> float:
        """The median in the unit of the case."""
        if self.case.unit == RATE:
            return self.size / 1e6 / sample.median
        return sample.median / 1e6 if self.case.unit == MEMORY else 1e3 * sample.median

    def to_dict(self) -> dict[str, Any]:
        """For JSON: seconds or bytes as measured, and what follows from them."""
        sides = {"ours": self.ours, "reference": self.reference, "floor": self.floor}
        measured = {
            side: {
                "variant": sample.variant,
                "median": sample.median,
                "spread": sample.spread,
                "shown": self.shown(sample),
                "values": list(sample.values),
            }
            for side, sample in sides.items()
            if sample is not None
        }
        return {
            "name": self.case.name,
            "title": self.case.title,
            "unit": self.case.unit,
            **measured,
            "ratio": self.ratio,
            "ratio_range": self.ratio_range,
            "floor_ratio": self.floor_ratio,
            "difference": None if self.difference is None else self.difference._asdict(),
            "note": self.note,
        }


def _quantile(ours: Sample | None, other: Sample | None, percent: float) -> float | None:
    """Of the ratios of the rounds."""
    if ours is None or other is None:
        return None
    return float(np.percentile(np.divide(ours.values, other.values), percent))
