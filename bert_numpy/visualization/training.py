"""Pictures of training: a confusion matrix, and the curves of a run.

    save_figure(plot_confusion_matrix(confusion_matrix(labels, predicted), ["ham", "spam"]), "confusion.png")
    save_figure(plot_curves("output"), "curves.png")  # the folder with train_log.jsonl

Here: drawing.  Not here: the numbers (`training/metrics.py`, `training/run_log.py`), the empty figure (`canvas.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..checkpoints.files import shown
from ..training.run_log import LOG_NAME, read_log
from .canvas import COLORS, GRID, MARKERS, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 24  # characters of a class that are shown
MOST_NUMBERS = 26  # classes up to which the cells hold their counts
FEW_POINTS = 30  # points up to which each gets a dot
SPEEDS = ("runtime", "samples_per_second", "steps_per_second")


def plot_confusion_matrix(matrix: ArrayLike, labels: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """Draw which classes are taken for which.

    Every cell holds its count; the darker it is, the larger its share of the row, that is of the true class.  With
    many classes the numbers give way to the colours, and only some of the names are written.

    Parameters
    ----------
    matrix : array_like of int of shape (classes, classes)
        Rows are the truth, columns the predictions, as `confusion_matrix` returns it.
    labels : sequence of str, optional
        The names of the classes; their numbers, if not given.  Long ones are cut in the middle.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the matrix is not square, is empty, holds a negative or broken number, or does not fit the labels.

    Examples
    --------
    >>> figure = plot_confusion_matrix([[50, 2], [5, 43]], ["ham", "spam"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50', '2', '5', '43']
    """
    counts = _counts(matrix)
    names = [str(i) for i in range(len(counts))] if labels is None else [_short(str(name)) for name in labels]
    if len(names) != len(counts):
        raise ValueError(f"there are {len(names)} labels for a matrix of {len(counts)} classes")
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = new_figure(0.93 * WIDTH)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _name_classes(axes, names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(counts) <= MOST_NUMBERS:
        _write_counts(axes, counts, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


def plot_curves(
    log: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
    *,
    smoothing: int | None = None,
    metrics: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw a run: the loss, the learning rate, the norm of the gradient, and the metrics of the evaluations.

    What the log does not hold is not drawn.  The pale lines of loss and norm are the numbers themselves; the bold ones
    are means over the points around, with weights that fall to 1/e within `smoothing / 2` points on either side.  The
    norm has a logarithmic axis where a few steps stand far above the others.

    Parameters
    ----------
    log : path or sequence of mappings
        `trainer.state.log_history`, or a folder with `train_log.jsonl`, or that file.
    smoothing : int, optional
        In points of the log; 1 for none.  If not given, a 40th of the points, but none where they are few.
    metrics : sequence of str, optional
        Which of the evaluation metrics to draw, such as "eval_f1"; the first eight numbers in the log, if not given.
        Those that leave the range from -1 to 1 have a panel of their own.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FileNotFoundError
        If there is no log.
    ValueError
        If the log holds nothing to draw or not the metrics asked for, or a line of it is broken.

    Examples
    --------
    >>> log = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.5}, {"step": 2, "eval_loss": 0.6, "eval_f1": 0.8}]
    >>> [axes.get_ylabel() for axes in plot_curves(log).axes]
    ['loss', 'evaluation']
    """
    records = _read(log) if isinstance(log, (str, os.PathLike)) else list(log)
    scores, others = _metric_panels(records, metrics)
    panels = [
        ("loss", {name: _series(records, name) for name in ("loss", "eval_loss")}),
        ("learning rate", {"learning_rate": _series(records, "learning_rate")}),
        ("gradient norm", {"grad_norm": _series(records, "grad_norm")}),
        ("evaluation", scores),
        ("evaluation", others),
    ]
    panels = [(name, {key: curve for key, curve in curves.items() if len(curve[0])}) for name, curves in panels]
    panels = [(name, curves) for name, curves in panels if curves]
    if not panels:
        raise ValueError("the log holds nothing to draw: no loss, learning rate, gradient norm or evaluation at a step")
    figure, places = _grid(len(panels))
    last_step = max(curve[0][-1] for _, curves in panels for curve in curves.values())
    for place, (name, curves) in zip(places, panels, strict=True):
        _draw_panel(place, name, curves, smoothing, last_step)
    if title:
        figure.suptitle(title)
    return figure


# ---- the confusion matrix ----


def _counts(matrix: ArrayLike) -> np.ndarray:
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"a confusion matrix is square, (classes, classes), not of shape {counts.shape}")
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError("a confusion matrix holds counts: integers of at least 0")
    return counts


def _short(name: str) -> str:
    """A name of at most `LONGEST_NAME` characters on one line: where names differ, they do so at an end."""
    name = " ".join(name.split())
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1 - half]}…{name[-half:]}"


def _name_classes(axes: Any, names: list[str]) -> None:
    """Write the names at both sides, as many as fit; below they slant or stand where they are too long to lie."""
    n = len(names)
    step = math.ceil(n / 50)
    shown_at = range(0, n, step)
    size = 11 if n <= 12 else 9 if n <= 26 else 7
    fits = max(map(len, names)) * size * 0.7 * n < 72 * 5.5  # about 5.5 inches, and 0.7 of the size for a letter
    slant = {} if fits else {"rotation": 40 if n <= 12 else 90, "ha": "right", "va": "top" if n <= 12 else "center"}
    axes.set_xticks(shown_at, [names[i] for i in shown_at], fontsize=size, rotation_mode="anchor", **slant)
    axes.set_yticks(shown_at, [names[i] for i in shown_at], fontsize=size)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)  # a name may hold dollar signs
    axes.set_xticks(np.arange(1, n) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, n) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5 if n <= 12 else 0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _write_counts(axes: Any, counts: np.ndarray, shares: np.ndarray) -> None:
    """The number of every cell, white on dark; zeros are pale, so that mistakes stand out."""
    n = len(counts)
    digits = len(str(counts.max()))
    size = min(16.0, 72 * 4.7 / n / (0.68 * max(digits, 2)))  # so that the longest number fits into a cell
    for row in range(n):
        for column in range(n):
            color = "white" if shares[row, column] > 0.66 else "#1b1f24" if counts[row, column] else "#9aa4ae"
            style = {"ha": "center", "va": "center", "fontsize": size, "color": color}
            text = axes.text(column, row, str(counts[row, column]), **style)
            text.set_in_layout(False)  # it lies within the matrix; asking each takes long


# ---- the curves ----

Curve = tuple[np.ndarray, np.ndarray]  # steps and values, both of shape (points,)


def _read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The log in a folder, or the log."""
    folder = Path(path) if os.path.isdir(path) else Path(path).parent
    if not os.path.exists(path):
        raise FileNotFoundError(f"{shown(path)}: no such file or folder")
    if folder != Path(path) and Path(path).name != LOG_NAME:
        raise ValueError(f"{shown(path)}: the log of a run is a file named {LOG_NAME}, or the folder that holds it")
    return read_log(folder)


def _series(records: Sequence[Mapping[str, Any]], name: str) -> Curve:
    """The steps and the finite values of one name; if a step has several, the last."""
    points = {}
    for record in records:
        value = record.get(name)
        if isinstance(value, (int, float, np.number)) and math.isfinite(value) and "step" in record:
            points[int(record["step"])] = float(value)
    steps = sorted(points)
    return np.array(steps, np.int64), np.array([points[step] for step in steps], np.float64)


def _metric_panels(
    records: Sequence[Mapping[str, Any]], wanted: Sequence[str] | None
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """The evaluation metrics between -1 and 1, and the others."""
    names = dict.fromkeys(name for record in records for name in record if name.startswith("eval_"))
    known = [name for name in names if name != "eval_loss" and name.removeprefix("eval_") not in SPEEDS]
    curves = {name: _series(records, name) for name in known}
    curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    if wanted is None:
        wanted = list(curves)[: len(COLORS)]
    absent = [name for name in wanted if name not in curves]
    if absent:
        raise ValueError(f"the log holds no metric {absent[0]!r}; it holds {', '.join(curves) or 'none'}")
    small = {name: curves[name] for name in wanted if np.abs(curves[name][1]).max() <= 1}
    return small, {name: curves[name] for name in wanted if name not in small}


def _grid(panels: int) -> tuple[Figure, list[Any]]:
    """The first panel over the whole width, the others two in a row, and the last wide if it is alone."""
    rows = 1 + math.ceil((panels - 1) / 2)
    figure = new_figure(3.2 + 2.3 * (rows - 1))
    cells = figure.add_gridspec(rows, 2, height_ratios=[1.4] + [1] * (rows - 1))
    places = [figure.add_subplot(cells[0, :])]
    for i in range(panels - 1):
        is_alone = i == panels - 2 and i % 2 == 0
        places.append(figure.add_subplot(cells[1 + i // 2, :] if is_alone else cells[1 + i // 2, i % 2]))
    return figure, places


def _draw_panel(axes: Any, name: str, curves: Mapping[str, Curve], smoothing: int | None, last_step: int) -> None:
    """One panel, its curves told apart by colour and mark."""
    from matplotlib.ticker import MaxNLocator

    for i, (key, (steps, values)) in enumerate(curves.items()):
        is_evaluation, is_few = key.startswith("eval_"), len(steps) <= FEW_POINTS
        color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)] if is_evaluation or is_few else None
        label = {"loss": "training", "eval_loss": "evaluation"}.get(key, key.removeprefix("eval_"))
        span = _span(smoothing, len(steps)) if key in ("loss", "grad_norm") else 1
        if span > 1:
            axes.plot(steps, values, color=color, alpha=0.3, linewidth=0.8)
            values, label = _smooth(values, span), f"{label}, mean over about {span} points"
        axes.plot(steps, values, label=label, color=color, marker=marker, markersize=5 if is_few else 2, linewidth=1.6)
    axes.set(xlabel="step", ylabel=name, xlim=(0, max(last_step * 1.02, 2)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    _scale(axes, name, curves)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if name in ("loss", "evaluation"):
        axes.legend(frameon=False, fontsize=9)


def _scale(axes: Any, name: str, curves: Mapping[str, Curve]) -> None:
    """The vertical axis: the learning rate from 0, in powers of ten; the norm logarithmic if it has peaks."""
    _, values = next(iter(curves.values()))
    if name == "learning rate":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
        axes.set_ylim(0, 1.1 * values.max() or 1)
    elif name == "gradient norm" and values.min() > 0 and values.max() > 10 * np.median(values):
        axes.set_yscale("log")


def _span(smoothing: int | None, points: int) -> int:
    """Over how many points to smooth."""
    if smoothing is None:
        return max(points // 40, 1) if points > FEW_POINTS else 1
    if smoothing < 1:
        raise ValueError(f"smoothing must be at least 1 point, not {smoothing}")
    return smoothing


def _smooth(values: np.ndarray, span: int) -> np.ndarray:
    """Means over the points around each, with the weights e^(-2 distance / span)."""
    keep = math.exp(-2 / span)
    sums, weights = _decaying_sums(values, keep), _decaying_sums(np.ones(len(values)), keep)
    back_sums, back_weights = _decaying_sums(values[::-1], keep)[::-1], weights[::-1]
    return (sums + back_sums - values) / (weights + back_weights - 1)


def _decaying_sums(values: np.ndarray, keep: float) -> np.ndarray:
    """s[t] = v[t] + keep s[t-1]."""
    return np.array(list(accumulate(values.tolist(), lambda total, value: keep * total + value)))
