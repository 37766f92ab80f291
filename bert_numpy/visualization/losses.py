"""Losses of runs beside what they are to be judged by: the least loss that is possible, or a check of the same run.

    draw_losses({"ours": losses}, {"the least possible": 0.4})      # loss against the entropy floor
    draw_checked_losses({"right": a, "wrong": b}, {"right": 1e-9, "wrong": 0.3}, bound=1e-6)

The second is why a falling loss proves little: all curves fall, and only the check tells them apart.

Here: drawing.  Not here: the curves of one run with all that its log holds (`training.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import COLORS, FRAME, GRID, TEXT, new_figure
from .training import _smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = ("-", "--", "-.", ":")
FEW_CURVES = 3  # up to so many, the numbers themselves are drawn behind their smoothed curves
LEAST = 1e-16  # errors below it, such as 0, are drawn as this


def draw_losses(
    curves: Mapping[str, ArrayLike],
    levels: Mapping[str, float],
    *,
    smoothing: int = 1,
    logarithmic: bool = False,
    title: str = "",
) -> Figure:
    """Draw the loss of each step of some runs, and levels to compare it with as horizontal lines.

    Parameters
    ----------
    curves : mapping of str to array_like of shape (steps,)
        The losses of steps 1, 2, 3 …
    levels : mapping of str to float
        Written at their lines, from the highest to the lowest.
    smoothing : int
        Points over which to average; the numbers themselves are drawn pale behind, unless there are many curves.
    logarithmic : bool
        Steps on a logarithmic axis, for runs of very different lengths.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no curve, or one is empty.

    Examples
    --------
    >>> figure = draw_losses({"ours": [3.0, 2.0, 1.0]}, {"the least possible": 0.5})
    >>> [float(line.get_ydata()[-1]) for line in figure.axes[0].lines]
    [1.0, 0.5]
    """
    figure = new_figure(4.6)
    axes = figure.add_subplot()
    _draw_curves(axes, curves, smoothing)
    middle = (min(map(np.min, curves.values())) + max(map(np.max, curves.values()))) / 2
    for name, level in sorted(levels.items(), key=lambda pair: -pair[1]):
        axes.axhline(level, color=FRAME, linewidth=1, linestyle="--")
        place, side = (0.995, "right") if level > middle else (0.01, "left")  # where falling curves are not
        style: dict[str, Any] = {"fontsize": 9, "color": TEXT, "ha": side, "va": "bottom"}
        axes.text(place, level, f"{name}: {level:.2f}", transform=axes.get_yaxis_transform(), **style)
    axes.set(xlabel="step", ylabel="loss, nats", title=title)
    axes.set_ylim(bottom=0)
    if logarithmic:
        axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=9, loc="center left" if logarithmic else "center right")
    return figure


def draw_checked_losses(
    curves: Mapping[str, ArrayLike],
    errors: Mapping[str, float],
    *,
    bound: float,
    smoothing: int = 1,
    check: str = "error",
    title: str = "",
) -> Figure:
    """Draw the losses of some runs, and beside them what a check found in each.

    Parameters
    ----------
    curves : mapping of str to array_like of shape (steps,)
    errors : mapping of str to float
        For each name of `curves`; drawn from 1e-16 on, on a logarithmic axis.
    bound : float
        Above it a run has failed the check.
    smoothing : int
    check : str
        What the errors are.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no curve, one is empty, or the names differ.

    Examples
    --------
    >>> figure = draw_checked_losses({"right": [2, 1], "wrong": [2, 1]}, {"right": 1e-9, "wrong": 0.1}, bound=1e-6)
    >>> [label.get_text() for label in figure.axes[1].get_yticklabels()]
    ['right', 'wrong']
    """
    if list(curves) != list(errors):
        raise ValueError(f"there are curves of {', '.join(curves)} and errors of {', '.join(errors)}")
    figure = new_figure(max(4.4, 1.6 + 0.3 * len(curves)))
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1]})
    colors = _draw_curves(left, curves, smoothing)
    left.set(xlabel="step", ylabel="loss, nats")
    left.set_title("the losses", pad=18)
    powers = np.log10([max(error, LEAST) for error in errors.values()])
    low, high = math.floor(min(*powers, math.log10(bound))) - 1, math.ceil(max(*powers, math.log10(bound))) + 1
    places = np.arange(len(powers))
    bars = right.barh(places, powers - low, left=low, color=colors, height=0.62)
    for bar, power in zip(bars, powers, strict=True):
        bar.set(hatch="" if power > math.log10(bound) else "//", edgecolor="white")
    right.axvline(math.log10(bound), color=TEXT, linewidth=1.2, linestyle="--")
    style: dict[str, Any] = {"fontsize": 9, "color": TEXT, "ha": "left", "va": "bottom"}
    right.text(math.log10(bound), 1.0, f" bound {bound:g}", transform=right.get_xaxis_transform(), **style)
    right.set_yticks(places, list(errors), fontsize=9)
    right.invert_yaxis()
    right.set(xlabel=check, xlim=(low, high))
    right.set_title("what the check says", pad=18)
    ticks = range(low, high + 1, max(1, (high - low) // 5))
    right.set_xticks(ticks, [f"$10^{{{power}}}$" for power in ticks])
    right.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title)
    return figure


def _draw_curves(axes: Any, curves: Mapping[str, ArrayLike], smoothing: int) -> Sequence[str]:
    """Draw each curve, and return the colours."""
    if not curves:
        raise ValueError("there is no curve to draw")
    colors = []
    for i, (name, losses) in enumerate(curves.items()):
        values = np.asarray(losses, np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(f"the losses of {name!r} have shape {values.shape}; give one number for each step")
        steps = np.arange(1, len(values) + 1)
        color, style = COLORS[i % len(COLORS)], STYLES[i // len(COLORS) % len(STYLES)]
        colors.append(color)
        if smoothing > 1:
            if len(curves) <= FEW_CURVES:
                axes.plot(steps, values, color=color, linewidth=0.7, alpha=0.25)
            values = _smooth(values, smoothing)
        axes.plot(steps, values, color=color, linewidth=1.7, linestyle=style, label=name)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return colors
