"""Attention maps: who looks at whom, one small picture for each head, one row of them for each layer.

    outputs = model(**batch, output_attentions=True)
    draw_attention([weights[0] for weights in outputs.attentions], tokens)

In each map a row is a token that looks (a query), a column a token that is looked at (a key); a row sums to 1.  All
maps share one scale, so that dark means the same everywhere.

Here: drawing.  Not here: what the weights mean, which is less than it seems (tutorial 14 tests it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import DPI, FRAME, TEXT, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEFT, RIGHT, TOP, BOTTOM, GAP = 80, 14, 62, 76, 16  # pixels around and between the maps
LARGEST = 340  # pixels of the side of a map
MOST_NAMES, SMALLEST = 26, 6.0  # tokens that are named, and the smallest letters, in points
MOST_HEADS = 16
SMALL: dict[str, Any] = {"fontsize": 9, "color": FRAME, "va": "center"}


def draw_attention(
    attentions: Any,
    tokens: Sequence[str],
    *,
    layers: Sequence[str] | None = None,
    heads: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw the attention weights of one sequence as a grid: a row for each layer, a column for each head.

    Parameters
    ----------
    attentions : array of shape (L, A, S, S), or sequence of L arrays of shape (A, S, S)
        The weights of one sequence: `[weights[0] for weights in outputs.attentions]`.
    tokens : sequence of S str
    layers, heads : sequences of str, optional
        What the rows and columns are called; "layer 1" …, "head 1" … if not given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a weight is not between 0 and 1.

    Examples
    --------
    >>> figure = draw_attention(np.full((1, 2, 3, 3), 1 / 3), ["[CLS]", "go", "[SEP]"])
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['head 1', 'head 2']
    """
    weights = _weights(attentions, len(tokens))
    L, A = weights.shape[:2]
    layers = _names("layer", layers, L)
    heads = _names("head", heads, A)
    side = min((WIDTH * DPI - LEFT - RIGHT - (A - 1) * GAP) / A, LARGEST)
    width, height = LEFT + A * side + (A - 1) * GAP + RIGHT, TOP + L * side + (L - 1) * GAP + BOTTOM
    figure = new_figure(height / DPI, width / DPI)
    figure.set_layout_engine("none")  # the places are pixels
    for row, column in np.ndindex(L, A):
        left, bottom = LEFT + column * (side + GAP), height - TOP - row * (side + GAP) - side
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        _draw_map(axes, weights[row, column])
        if row == 0:
            axes.set_title(heads[column], fontsize=10, color=TEXT, pad=4)
        if column == 0:
            _name_tokens(axes, "y", tokens, side)
            axes.set_ylabel(layers[row], fontsize=10, color=TEXT)
        if row == L - 1:
            _name_tokens(axes, "x", tokens, side)
    if title:
        figure.text(14 / width, 1 - 20 / height, title, fontsize=12, color=TEXT, va="center")
    figure.text(14 / width, 14 / height, "row: the token that looks; column: the token it looks at", **SMALL)
    return figure


def _draw_map(axes: Any, weights: np.ndarray) -> None:
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.6)


def _weights(attentions: Any, S: int) -> np.ndarray:
    weights = np.asarray([np.asarray(layer) for layer in attentions], np.float64)
    if weights.ndim != 4 or weights.shape[2:] != (S, S) or not weights.size:
        raise ValueError(
            f"attention weights of shape {weights.shape} for {S} tokens; expected (L, A, {S}, {S}), one sequence alone"
        )
    if weights.shape[1] > MOST_HEADS:
        raise ValueError(f"{weights.shape[1]} heads are too many for one picture; choose up to {MOST_HEADS} of them")
    if not ((weights >= 0) & (weights <= 1 + 1e-5)).all():
        raise ValueError("an attention weight is not between 0 and 1; give the weights after softmax, without dropout")
    return weights


def _names(what: str, given: Sequence[str] | None, count: int) -> Sequence[str]:
    if given is None:
        return [f"{what} {i + 1}" for i in range(count)]
    if len(given) != count:
        raise ValueError(f"{len(given)} names for {count} {what}s")
    return given


def _name_tokens(axes: Any, axis: str, tokens: Sequence[str], side: float) -> None:
    """Write the tokens along one side of a map, as large as there is room; every second if there are many."""
    room = 72 / DPI * side / len(tokens)  # points for one token
    step = 1 if room >= SMALLEST and len(tokens) <= MOST_NAMES else int(np.ceil(SMALLEST / room))
    style = {"fontsize": min(9.0, max(SMALLEST, 0.95 * room * step)), "color": TEXT}
    places = range(0, len(tokens), step)
    labels = [tokens[i] for i in places]
    if axis == "x":
        axes.set_xticks(list(places), labels, rotation=90, **style)
    else:
        axes.set_yticks(list(places), labels, **style)
    axes.tick_params(length=0, pad=2)
