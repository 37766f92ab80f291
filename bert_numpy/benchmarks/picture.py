"""The bar chart of the ratios, for a README.

Here: drawing.  Not here: the numbers (`measures.py`).
"""

from __future__ import annotations

from typing import Any, BinaryIO

from .measures import Result
from .report import machine, threads_of
from .running import Report

TEXT, FRAME, GRID = "#1b1f24", "#57606a", "#d0d7de"
LESS, MORE = "#4c8ed9", "#e39a53"
LONGEST_BAR = 2.0  # a bar that would be longer ends here, with an arrow


def draw(report: Report, file: BinaryIO) -> None:
    """Write a PNG of 1600 pixels: a bar for each case, a line at 1, and a mark where the bare products are.

    Raises
    ------
    ValueError
        If no case has a ratio.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = [result for result in report.results if result.ratio is not None]
    if not results:
        raise ValueError("there is no ratio to draw; run with --against transformers")
    figure = Figure(figsize=(8, 1.9 + 0.33 * len(results)), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = _places(results)
    for y, result in zip(places, results, strict=True):
        _bar(axes, y, result)
    _frame(axes, places, results)
    _titles(figure, axes, report)
    figure.savefig(file, format="png", metadata={"Software": None})


def _places(results: list[Result]) -> list[float]:
    """The height of each bar, from the top down, with a gap between the groups."""
    places, y, last = [], 0.0, None
    for result in results:
        if last is not None and result.case.unit != last:
            y -= 0.45
        places.append(y)
        y, last = y - 1, result.case.unit
    return places


def _bar(axes: Any, y: float, result: Result) -> None:
    ratio = result.ratio or 0.0
    length = min(ratio, LONGEST_BAR)
    axes.barh(y, length, height=0.68, color=LESS if ratio <= 1 else MORE)
    beyond = " →" if ratio > LONGEST_BAR else ""
    label = f"{ratio:.2f}{beyond}"
    axes.text(length + 0.015, y, label, va="center", size=9, color=TEXT, weight="bold",
              bbox={"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.85})  # fmt: skip
    if result.floor is not None and result.reference is not None:
        floor = result.floor.median / result.reference.median
        if floor <= LONGEST_BAR:
            axes.plot([floor, floor], [y - 0.34, y + 0.34], color=TEXT, lw=1.6, solid_capstyle="butt")


def _frame(axes: Any, places: list[float], results: list[Result]) -> None:
    longest = max(min(result.ratio or 0.0, LONGEST_BAR) for result in results)
    axes.set_xlim(0, max(1.15, longest + 0.2))
    axes.set_ylim(places[-1] - 0.6, 0.65)
    axes.axvline(1, color=TEXT, lw=1, ls=(0, (4, 3)), zorder=2.5)
    axes.text(1, 0.72, "transformers + torch", ha="center", va="bottom", size=9, color=TEXT)
    axes.set_yticks(places, [result.case.title for result in results], size=9.5, color=TEXT)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5, colors=FRAME)
    axes.grid(axis="x", color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _titles(figure: Any, axes: Any, report: Report) -> None:
    """Title, legend and caption; the margins are in inches, whatever the number of bars."""
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.29, right=0.98, top=1 - 0.92 / height, bottom=0.72 / height)
    figure.text(0.015, 1 - 0.30 / height, "Time and memory of bert_numpy in units of the reference's",
                size=12.5, weight="bold", color=TEXT)  # fmt: skip
    settings, about = report.settings, report.about
    marks = "shorter is better"
    if any(result.floor for result in report.results):
        marks += "; black mark: the bare matrix products of the same shapes"
    figure.text(0.015, 1 - 0.56 / height, marks, size=9.5, color=FRAME)
    caption = f"{settings['size']} size, float32, {threads_of(report)}, {machine()}"
    figure.text(0.015, 0.28 / height, caption, size=8, color=FRAME)
    versions = " · ".join(f"{name} {about[name]}" for name in ("numpy", "torch", "transformers") if name in about)
    figure.text(0.015, 0.11 / height, versions, size=8, color=FRAME)
