"""The curve of a gradient check: how far a finite difference is from the gradient, for each width of the step.

    steps = np.logspace(-12, 0, 25)
    draw_gradient_check(steps, {"central": errors_of_central, "forward": errors_of_forward})

A wide step is wrong by the curvature of the function, a narrow one by rounding: a V, whose lowest point is the step to
use.  A wrong gradient has no V: its error stays where it is.

Here: drawing.  Not here: the differences (`verification/gradcheck.py`), the empty figure (`canvas.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import COLORS, GRID, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_gradient_check(steps: ArrayLike, errors: Mapping[str, ArrayLike], *, title: str = "") -> Figure:
    """Draw errors against steps, both in powers of ten.

    Parameters
    ----------
    steps : array_like of shape (n,)
        The widths h, above 0.
    errors : mapping of str to array_like of shape (n,)
        For each kind of difference its errors; 0 is drawn as a gap.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a step is not above 0, or the errors do not fit the steps.

    Examples
    --------
    >>> figure = draw_gradient_check([1e-3, 1e-1], {"central": [1e-6, 1e-2]})
    >>> figure.axes[0].get_xlabel()
    'step h'
    """
    h = np.asarray(steps, np.float64)
    if h.ndim != 1 or h.size == 0 or not (h > 0).all():
        raise ValueError("steps must be one or more numbers above 0")
    figure = new_figure(4.6)
    axes = figure.add_subplot()
    for i, (name, values) in enumerate(errors.items()):
        error = np.asarray(values, np.float64)
        if error.shape != h.shape:
            raise ValueError(f"{name} has errors of shape {error.shape}, the steps have {h.shape}")
        style: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "color": COLORS[i % len(COLORS)]}
        axes.plot(h, np.where(error > 0, error, np.nan), label=name, markersize=4, linewidth=1.4, **style)
    axes.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error", title=title)
    drawn = [value for values in errors.values() for value in np.ravel(values) if value > 0]
    if drawn:
        axes.set_ylim(min(drawn) / 3, max(drawn) * 3)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure
