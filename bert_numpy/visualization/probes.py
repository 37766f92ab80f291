"""What can be read off the hidden states, layer by layer: the accuracies of probes as curves.

    draw_probes({"the label": [0.5, 0.6, 0.9], "random labels": [0.5, 0.5, 0.5]}, chance=0.5)

Here: drawing.  Not here: training a probe, which is one least-squares problem (tutorial 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import COLORS, FRAME, GRID, MARKERS, TEXT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_probes(accuracies: Mapping[str, ArrayLike], *, chance: float | None = None, title: str = "") -> Figure:
    """Draw the accuracy of some probes on each of the L+1 hidden states.

    Parameters
    ----------
    accuracies : mapping of str to array_like of shape (L+1,)
        First that on the embeddings, then that on the output of each layer.
    chance : float, optional
        The accuracy of guessing: a dashed line.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no probe, they have different numbers of layers, or an accuracy is not between 0 and 1.

    Examples
    --------
    >>> figure = draw_probes({"the label": [0.5, 0.6, 0.9]}, chance=0.5)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['embeddings', 'layer 1', 'layer 2']
    """
    curves = {name: np.asarray(values, np.float64) for name, values in accuracies.items()}
    _check(curves)
    places = np.arange(len(next(iter(curves.values()))))
    figure = new_figure(3.2, 6.4)
    axes: Any = figure.add_subplot()
    for i, (name, values) in enumerate(curves.items()):
        axes.plot(places, values, color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)], label=name)
    if chance is not None:
        axes.axhline(chance, color=FRAME, linewidth=1, linestyle="--")
        style: dict[str, Any] = {"fontsize": 9, "color": TEXT, "ha": "left", "va": "center"}
        axes.text(1.01, chance, "chance", transform=axes.get_yaxis_transform(), **style)
    axes.set_xticks(places, ["embeddings", *(f"layer {i}" for i in places[1:])])
    axes.set(ylabel="accuracy of the probe", ylim=(0, 1.03), title=title)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def _check(curves: Mapping[str, np.ndarray]) -> None:
    if not curves:
        raise ValueError("there is no probe to draw")
    shapes = {name: values.shape for name, values in curves.items()}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1 or not next(iter(curves.values())).size:
        raise ValueError(f"the accuracies have the shapes {shapes}; give each probe one number for each layer")
    wrong = [name for name, values in curves.items() if not ((values >= 0) & (values <= 1)).all()]
    if wrong:
        raise ValueError(f"an accuracy of {wrong[0]!r} is not between 0 and 1")
