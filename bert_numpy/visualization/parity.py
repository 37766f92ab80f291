"""The error of a port by layer, beside the noise that rounding makes, with the first tap that is wrong.

Here: drawing.  Not here: the comparison (`verification/comparison.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..verification.report import DIFFERS, DRIFTS, INHERITS, NOT_FINITE, OK, SHAPE, CaseReport, Report, TapResult
from .canvas import COLORS, FRAME, GRID, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {  # verdict -> what the legend says, colour, marker, size
    OK: ("equal", COLORS[0], "o", 14),
    INHERITS: ("right on its own input", COLORS[4], "^", 14),
    DIFFERS: ("wrong", COLORS[1], "X", 50),
    DRIFTS: ("drifts", COLORS[1], "D", 30),
    NOT_FINITE: ("NaN or infinite", COLORS[6], "*", 60),
    SHAPE: ("of another shape", COLORS[6], "P", 40),
}
UNMEASURED = (NOT_FINITE, SHAPE)
"""Verdicts on tensors that have no error; they stand at the upper edge."""


def plot_errors(report: Report, case: str | None = None) -> Figure:
    """Draw the error of every tap, forward and backward, on a log scale.

    The band reaches from the noise floor to the threshold: what two correct programs differ by lies in it or below.  A
    tap that is right on its own input inherits an error; the arrow points to where it began.  Errors of exactly 0 lie
    on the lower edge.

    Parameters
    ----------
    report : Report
        From `verification.compare`.
    case : str, optional
        Which case of the dump; the first that differs, or the first, if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such case, or no tap in it.
    """
    chosen = _case(report, case)
    passes = {"forward": [], "backward": []}  # type: dict[str, list[TapResult]]
    for tap in chosen.taps:
        passes["backward" if tap.is_gradient else "forward"].append(tap)
    shown = {name: taps for name, taps in passes.items() if taps}
    if not shown:
        raise ValueError("there is no tap to draw: see the problems of the report")
    figure = new_figure(3.5 * len(shown) + 0.6)
    panels = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axes, (name, taps) in zip(panels, shown.items(), strict=True):
        _draw(axes, taps, report.threshold)
        axes.set_title(name, loc="left", fontsize=10, color=FRAME)
        if chosen.first in taps:
            _point_to(axes, taps.index(chosen.first), taps, chosen)
    panels[-1].set_xlabel("layer")
    figure.suptitle(_title(report, chosen), fontsize=12)
    legend: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            legend.setdefault(label, handle)
    panels[-1].legend(
        legend.values(),
        legend.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncol=len(legend),
        fontsize=9,
        frameon=False,
    )
    return figure


def _case(report: Report, name: str | None) -> CaseReport:
    if name is not None:
        found = [case for case in report.cases if case.name == name]
        if not found:
            raise ValueError(f"no case {name!r}; there are {', '.join(case.name for case in report.cases)}")
        return found[0]
    return next((case for case in report.cases if not case.ok), report.cases[0])


def _title(report: Report, case: CaseReport) -> str:
    words = "equal to rounding"
    if not case.ok:
        words = f"first wrong: {case.first.name}" if case.first else "not verified"
    return f"{words}  ({report.precision}" + (f", case {case.name})" if case.name else ")")


def _draw(axes: Any, taps: list[TapResult], threshold: float) -> None:
    """One pass: band, errors, and the boundaries of the parts."""
    floors = [tap.noise if tap.noise > 0 else math.nan for tap in taps]
    ceilings = [threshold * floor for floor in floors]
    errors = [tap.times_noise * tap.noise for tap in taps]
    low, high = _limits([*floors, *ceilings, *errors])
    axes.fill_between(
        range(len(taps)),
        floors,
        ceilings,
        where=[True] * len(taps),  # matplotlib 3.6 beside NumPy 1.24 asks for it
        color=COLORS[5],
        alpha=0.35,
        lw=0,
        label=f"noise floor, up to {threshold:g} x",
    )
    for verdict, (label, color, marker, size) in LOOKS.items():
        places = [i for i, tap in enumerate(taps) if tap.verdict == verdict]
        heights = [high if verdict in UNMEASURED else min(max(errors[i], low), high) for i in places]
        if places:
            axes.scatter(
                places, heights, color=color, marker=marker, s=size, lw=0, zorder=3, label=label, clip_on=False
            )
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_ylabel("RMS of error / RMS")
    axes.grid(axis="y", color=GRID, lw=0.6)
    _name_parts(axes, taps)


def _limits(values: list[float]) -> tuple[float, float]:
    """A range of the axis with room for a name above; of finite numbers above 0, if there are any."""
    drawn = [value for value in values if math.isfinite(value) and value > 0] or [1e-7, 1e-6]
    return min(drawn) / 5, max(drawn) * 50


def _point_to(axes: Any, i: int, taps: list[TapResult], case: CaseReport) -> None:
    """An arrow to the first divergence, with its name and that of the mistake."""
    tap = taps[i]
    low, high = axes.get_ylim()
    unmeasured = tap.verdict in UNMEASURED
    height = high if unmeasured else min(max(tap.times_noise * tap.noise, low), high)
    mistake = next((finding.name for finding in case.findings if tap.name in finding.taps), "")
    on_the_left = i < len(taps) / 2
    axes.annotate(
        f"{tap.name}\n{mistake}" if mistake else tap.name,
        (i, height),
        xytext=(12 if on_the_left else -12, -34 if unmeasured else 14),
        textcoords="offset points",
        ha="left" if on_the_left else "right",
        fontsize=9,
        color=COLORS[1],
        arrowprops={"arrowstyle": "->", "color": COLORS[1]},
        zorder=4,
    )


def _name_parts(axes: Any, taps: list[TapResult]) -> None:
    """A line between the parts of BERT, and their names below."""
    parts = [_part(tap.name) for tap in taps]
    starts = [i for i, part in enumerate(parts) if i == 0 or part != parts[i - 1]]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color=GRID, lw=0.8, zorder=0)
    ends = [*starts[1:], len(parts)]
    axes.set_xticks([(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)])
    axes.set_xticklabels([parts[start] for start in starts], fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(taps) - 0.5)


def _part(name: str) -> str:
    """The part of BERT, in a word that fits below an axis: the number of a layer, or what is before and after."""
    path = name.removeprefix("d ").split(".")
    return path[2] if path[0] == "encoder" else "emb" if path[0] == "embeddings" else "head"
