"""A map of words: each vector a dot with its name, words of one kind in one colour.

    centred = vectors - vectors.mean(axis=0)
    U, scale, _ = np.linalg.svd(centred, full_matrices=False)
    draw_embedding_map(U[:, :2] * scale[:2], words, kinds, joined=["day"])

Distances on such a map are not those of the vectors, only their shadows on a plane; write on the axes how much of the
variance they hold.

Here: drawing.  Not here: the projection, which is the two lines above (tutorial 12 explains them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import COLORS, GRID, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 5.6  # inches
FEW_WORDS, SMALL_HEIGHT, SMALL_WIDTH = 14, 3.9, 4.9  # so many words have room in a smaller picture
DOT = 4  # pixels from the middle of a dot to its edge
OFFSETS = tuple(
    (across * step, along * step)
    for step in (1.0, 1.8, 2.8, 4.0)
    for across, along in ((5, 0), (0, 5), (0, -5), (-5, 0), (5, 5), (5, -5), (-5, 5), (-5, -5))
)
"""Where a name may stand beside its dot, in points; the first place that is free is taken."""


def draw_embedding_map(
    points: ArrayLike,
    names: Sequence[str],
    groups: Sequence[str],
    *,
    joined: Sequence[str] = (),
    axes_names: tuple[str, str] = ("", ""),
    title: str = "",
) -> Figure:
    """Draw words as named dots on a plane.

    Parameters
    ----------
    points : array_like of shape (N, 2)
    names : sequence of N str
    groups : sequence of N str
        The kind of each word: its colour and mark, and an entry of the legend.
    joined : sequence of str
        Groups whose dots are joined by a line in the order in which they are given, the last with the first: days,
        months.
    axes_names : (str, str)
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the lengths differ, there are too many groups for the colours, or a group to be joined is not there.

    Examples
    --------
    >>> figure = draw_embedding_map([[0, 0], [1, 1], [2, 0]], ["tea", "milk", "red"], ["drink", "drink", "colour"])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['drink', 'colour']
    """
    places = np.asarray(points, np.float64)
    kinds = list(dict.fromkeys(groups))
    _check(places, names, groups, kinds, joined)
    figure = new_figure(SMALL_HEIGHT, SMALL_WIDTH) if len(names) <= FEW_WORDS else new_figure(HEIGHT)
    axes = figure.add_subplot()
    for i, kind in enumerate(kinds):
        members = places[[group == kind for group in groups]]
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        if kind in joined:
            ring = np.vstack([members, members[:1]])
            axes.plot(*ring.T, color=style["color"], linewidth=0.8, alpha=0.5, zorder=1)
        axes.plot(*members.T, linestyle="none", markersize=5, label=kind, zorder=2, **style)
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1], title=title)
    axes.margins(0.1, 0.07)
    axes.tick_params(labelbottom=False, labelleft=False, length=0)  # what counts is who is near whom
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(kinds) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    _write_names(figure, axes, places, names, [COLORS[kinds.index(group) % len(COLORS)] for group in groups])
    return figure


def _check(
    places: np.ndarray, names: Sequence[str], groups: Sequence[str], kinds: list[str], joined: Sequence[str]
) -> None:
    if places.shape != (len(names), 2) or len(groups) != len(names) or not len(names):
        raise ValueError(f"points of shape {places.shape} for {len(names)} names and {len(groups)} groups")
    if len(kinds) > len(COLORS):
        raise ValueError(f"{len(kinds)} groups are more than the {len(COLORS)} colours")
    absent = [kind for kind in joined if kind not in kinds]
    if absent:
        raise ValueError(f"there is no group {absent[0]!r} to join; there are {', '.join(kinds)}")


def _write_names(figure: Any, axes: Any, places: np.ndarray, names: Sequence[str], colors: Sequence[str]) -> None:
    """Write each name beside its dot, within the picture, where it covers no other name and no dot, if it can be."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # now the axes have their size
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    taken: list[Any] = [
        Bbox.from_extents(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in axes.transData.transform(places)
    ]
    for place, name, color in zip(places, names, colors, strict=True):
        best: tuple[int, Any] | None = None
        for offset in OFFSETS:
            text = _beside(axes, name, place, offset, color)
            box = text.get_window_extent(renderer)
            cut_off = box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1
            collisions = sum(bool(box.overlaps(other)) for other in taken) + cut_off
            if best is None or collisions < best[0]:
                if best is not None:
                    best[1].remove()
                best = collisions, text
            else:
                text.remove()
            if best[0] == 0:
                break
        assert best is not None
        taken.append(best[1].get_window_extent(renderer))
        best[1].set_in_layout(False)


def _beside(axes: Any, name: str, place: np.ndarray, offset: tuple[float, float], color: str) -> Any:
    across = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
    along = "bottom" if offset[1] > 0 else "top" if offset[1] < 0 else "center"
    style = {"ha": across, "va": along, "fontsize": 8, "color": color}
    return axes.annotate(name, place, offset, textcoords="offset points", **style)
