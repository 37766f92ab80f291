"""The one place that makes figures: an empty one to draw on, its PNG, its file.

    figure = new_figure(4.5)
    figure.add_subplot().plot([1, 2, 3])
    figure                               # the last line of a notebook's cell: the picture is shown
    save_figure(figure, "picture.png")

Figures are 800 pixels wide, in colours that colour-blind readers tell apart (Okabe and Ito's).  They are drawn by
matplotlib's Agg, without pyplot: no window, no global state, and the same bytes again for the same drawing, with the
same version of matplotlib.  matplotlib is imported when the first figure is made.

Here: the empty figure.  Not here: what is drawn on it.  Read next: `training.py`.
"""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.files import replacing, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, DPI = 8.0, 100  # inches and pixels per inch: 800 pixels
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A6D00")
MARKERS = "osD^vPX*"
TEXT, FRAME, GRID = "#1b1f24", "#57606a", "#d0d7de"


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure that needs no pyplot, and that Jupyter shows where it ends a cell.

    Parameters
    ----------
    height, width : float
        In inches of 100 pixels.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> new_figure(4.5)
    <Picture size 800x450 with 0 Axes>
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    size = [(round(inches * DPI) + 1e-6) / DPI for inches in (width, height)]  # old versions cut 4.6 to 459 pixels
    figure = _picture_class()(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@functools.cache
def _picture_class() -> Any:
    """The class of all figures here, made when matplotlib is first needed."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            return png_bytes(self)

    return Picture


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, without the date or the version of anything.

    >>> png_bytes(new_figure(1.0))[:4]
    b'\\x89PNG'
    """
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return file.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, completely or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path ending in .png

    Raises
    ------
    ValueError
        If the path ends otherwise; a CheckpointError, which is one, if the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(new_figure(1.0), os.path.join(folder, "one.png"))
    ...     os.listdir(folder)
    ['one.png']
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{shown(path)}: pictures are written as PNG; let the name end in .png")
    with replacing(path) as file:
        file.write(png_bytes(figure))
