"""The shapes of the arrays that flow through one layer, recorded while the layer runs, and drawn.

    steps = record_shapes(layer, hidden_states, mask)
    draw_layer_shapes(steps)

Nothing is known beforehand but which array follows which: every number in the picture comes from an array
that was seen.  Letters of the axes as in `nn/functional.py`.

Here: recording, drawing.  Not here: what the layer computes (`models/encoder.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..nn import functional as F
from ..nn.module import Module, Parameter
from .canvas import COLORS, DPI, FRAME, TEXT, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shape = tuple[int, ...]


class Step(NamedTuple):
    """One operation that ran.

    Attributes
    ----------
    name : str
        The path of its module in the layer; "attention" for the attention of all heads.
    inputs : tuple of shapes
    parameters : dict of str to shape
    output : shape
        Of the first output.  The second one of attention, its weights, is a step "weights" of its own.
    """

    name: str
    inputs: tuple[Shape, ...]
    parameters: dict[str, Shape]
    output: Shape


# ---- recording --------------------------------------------------------------


def record_shapes(module: Module, *inputs: Any) -> list[Step]:
    """Run `module.forward(*inputs)` and note every operation in it, in the order in which they run.

    Noted are the modules without children, which each call one operation, and attention.  While this runs, attention
    is watched in all models of the process; afterwards everything is as it was.

    Parameters
    ----------
    module : Module
        Such as a `BertLayer`.
    *inputs
        Of its forward.

    Returns
    -------
    list of Step

    Examples
    --------
    >>> from bert_numpy.nn import Linear
    >>> record_shapes(Linear(3, 2), np.ones((5, 4, 3), np.float32))
    [Step(name='', inputs=((5, 4, 3),), parameters={'weight': (2, 3), 'bias': (2,)}, output=(5, 4, 2))]
    """
    steps: list[Step] = []
    leaves = [(path, leaf) for path, leaf in module.named_modules() if not any(leaf.children())]
    attention = F.scaled_dot_product_attention_forward

    def watched_attention(*args: Any, **kwargs: Any) -> Any:
        (context, weights), cache = attention(*args, **kwargs)
        steps.append(Step("weights", _shapes(args[:2]), {}, weights.shape))
        steps.append(Step("attention", _shapes(args), {}, context.shape))
        return (context, weights), cache

    try:
        F.scaled_dot_product_attention_forward = watched_attention
        for path, leaf in leaves:
            vars(leaf)["forward"] = _watched(path, leaf, steps)
        module.forward(*inputs)
    finally:
        F.scaled_dot_product_attention_forward = attention
        for _, leaf in leaves:
            vars(leaf).pop("forward", None)
    return steps


def _watched(path: str, leaf: Module, steps: list[Step]) -> Any:
    forward = leaf.forward
    parameters = {name: value.shape for name, value in vars(leaf).items() if isinstance(value, Parameter)}

    def watched(*args: Any) -> Any:
        output, cache = forward(*args)
        steps.append(Step(path, _shapes(args), parameters, output.shape))
        return output, cache

    return watched


def _shapes(args: Sequence[Any]) -> tuple[Shape, ...]:
    return tuple(arg.shape for arg in args if isinstance(arg, np.ndarray))


# ---- drawing ----------------------------------------------------------------

ROW, GAP, TOP = 64, 46, 52  # pixels: the tallest array, between two rows, above the first
BETWEEN, WITHIN = 26, 4  # pixels: between two arrays of one row, between the heads of one array
LEFT, RIGHT = 70, 520  # between them the arrays; to the left the residuals, to the right the words
STREAM, HEADS, WEIGHTS, WIDE = COLORS[0], COLORS[2], COLORS[4], COLORS[3]


class _Row(NamedTuple):
    """One row of the picture: the steps whose outputs stand side by side, and the words beside them."""

    names: tuple[str, ...]
    letters: str
    color: str
    label: str
    how: str
    matrices: tuple[tuple[str, str], ...] = ()  # (letter, name of the step): the weights that made the row


def _rows() -> list[_Row]:
    """A BertLayer from top to bottom; "input" stands for what went in."""
    qkv = ("attention.self.query", "attention.self.key", "attention.self.value")
    of_output = (("W", "attention.output.dense"),)
    return [
        _Row(("input",), "B S H", STREAM, "hidden states x", ""),
        _Row(qkv, "B A S D", HEADS, "queries, keys, values, in A heads", "linear, three times", (("W", qkv[0]),)),
        _Row(("weights",), "B A S S", WEIGHTS, "attention weights", "softmax(Q Kᵀ / √D + mask)"),
        _Row(("attention",), "B A S D", HEADS, "context, in A heads", "weights times V"),
        _Row(("attention.output.dense",), "B S H", STREAM, "attention output", "heads side by side, linear", of_output),
        _Row(("attention.output.LayerNorm",), "B S H", STREAM, "a", "dropout, + x, LayerNorm"),
        _Row(("intermediate.intermediate_act_fn",), "B S I", WIDE, "the wide vector", "linear, activation",
             (("W₁", "intermediate.dense"),)),
        _Row(("output.dense",), "B S H", STREAM, "feed-forward output", "linear", (("W₂", "output.dense"),)),
        _Row(("output.LayerNorm",), "B S H", STREAM, "y, the next hidden states", "dropout, + a, LayerNorm"),
    ]  # fmt: skip


def draw_layer_shapes(steps: Sequence[Step], *, title: str = "") -> Figure:
    """Draw the arrays of one `BertLayer`, from its input to its output.

    Each rectangle is one array of one sequence: its height is S, its width the last axis, both to the same scale
    unless the sequence is long.  Arrays with heads are drawn as A rectangles side by side.

    Parameters
    ----------
    steps : sequence of Step
        What `record_shapes` saw of one layer.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the steps are not those of a `BertLayer`.
    """
    shapes, weights = _by_name(steps)
    rows = _rows()
    height = TOP + len(rows) * ROW + (len(rows) - 1) * GAP + 24
    figure = new_figure(height / DPI)
    figure.set_layout_engine("none")  # the places are pixels
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH * DPI), ylim=(height, 0))
    axes.set_axis_off()
    if title:
        axes.text(20, 24, title, fontsize=13, color=TEXT, va="center")
    unit = _unit(shapes)
    for i, row in enumerate(rows):
        y = TOP + i * (ROW + GAP)
        _draw_arrays(axes, [shapes[name] for name in row.names], row.color, y, unit)
        _write_row(axes, row, shapes, weights, y)
        if i:
            _arrow(axes, [((LEFT + RIGHT) / 2, y - GAP + 5), ((LEFT + RIGHT) / 2, y - 6)])
    for first, last in ((0, 5), (5, 8)):
        _draw_residual(axes, TOP + first * (ROW + GAP), TOP + last * (ROW + GAP), unit[0] * shapes["input"][-1])
    return figure


def _by_name(steps: Sequence[Step]) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """The shapes of the outputs, queries, keys and values as attention saw them, and the shapes of the weights."""
    outputs = {step.name: step.output for step in steps}
    matrices = {step.name: step.parameters["weight"] for step in steps if "weight" in step.parameters}
    attention = next((step for step in steps if step.name == "attention"), None)
    if attention is not None and "attention.self.query" in outputs:
        outputs["input"] = next(step for step in steps if step.name == "attention.self.query").inputs[0]
        for name, shape in zip(("query", "key", "value"), attention.inputs, strict=False):
            outputs[f"attention.self.{name}"] = shape
    missing = [name for row in _rows() for name in row.names if name not in outputs]
    if missing:
        raise ValueError(
            f"the steps are not those of a BertLayer: there is no {missing[0]}; use record_shapes(layer, …)"
        )
    return outputs, matrices


def _unit(shapes: Mapping[str, Shape]) -> tuple[float, float]:
    """Pixels for one column and for one row of an array, such that every row of the picture has room."""
    S, H = shapes["input"][-2:]
    A, widest = shapes["weights"][1], shapes["intermediate.intermediate_act_fn"][-1]
    room = RIGHT - LEFT
    across = min((room - 2 * BETWEEN - 3 * (A - 1) * WITHIN) / (3 * H), room / widest, 12)
    return across, min(across, ROW / S)


def _draw_arrays(axes: Any, shapes: Sequence[Shape], color: str, y: float, unit: tuple[float, float]) -> None:
    """Arrays side by side, those with heads in A parts."""
    rows, columns = shapes[0][-2:]
    parts = shapes[0][1] if len(shapes[0]) == 4 else 1
    if len(shapes[0]) == 4 and rows == columns:  # attention weights: square, and small enough for all heads
        side = min(unit[1], (RIGHT - LEFT - (parts - 1) * WITHIN) / (parts * rows))
        unit = (side, side)
    width = parts * columns * unit[0] + (parts - 1) * WITHIN
    left = (LEFT + RIGHT - len(shapes) * width - (len(shapes) - 1) * BETWEEN) / 2
    for i in range(len(shapes)):
        for part in range(parts):
            x = left + i * (width + BETWEEN) + part * (columns * unit[0] + WITHIN)
            _draw_array(axes, x, y, (rows, columns), unit, color)


def _draw_array(axes: Any, x: float, y: float, shape: tuple[int, int], unit: tuple[float, float], color: str) -> None:
    """One rectangle, centred in its row of the picture, with its cells where they can be seen."""
    from matplotlib.patches import Rectangle

    rows, columns = shape
    width, height = columns * unit[0], rows * unit[1]
    top = y + (ROW - height) / 2
    axes.add_patch(Rectangle((x, top), width, height, facecolor=color, alpha=0.35, linewidth=0))
    if min(unit) >= 4:
        style = {"color": "white", "linewidth": 0.6}
        axes.vlines([x + i * unit[0] for i in range(1, columns)], top, top + height, **style)
        axes.hlines([top + i * unit[1] for i in range(1, rows)], x, x + width, **style)
    axes.add_patch(Rectangle((x, top), width, height, fill=False, edgecolor=color, linewidth=1.2))


def _write_row(axes: Any, row: _Row, shapes: Mapping[str, Shape], weights: Mapping[str, Shape], y: float) -> None:
    """To the right: the name and the shape of the array, and above it what was done to get there."""
    middle = y + ROW / 2
    shape = shapes[row.names[0]]
    letters = ", ".join(row.letters.split())
    axes.text(RIGHT + 14, middle - 10, row.label, fontsize=11, color=TEXT, va="center")
    axes.text(RIGHT + 14, middle + 10, f"({letters}) = {shape}", fontsize=10, color=TEXT, va="center")
    if row.how:
        matrices = "".join(f",  {letter} {weights[name]}" for letter, name in row.matrices)
        place = ((LEFT + RIGHT) / 2 + 12, y - GAP / 2)
        axes.text(*place, row.how + matrices, fontsize=10, color=FRAME, va="center", style="italic")


def _draw_residual(axes: Any, start: float, end: float, width: float) -> None:
    """The road around: from the side of one array into the sum above another."""
    side, edge = 30.0, (LEFT + RIGHT - width) / 2
    y, into = start + ROW / 2, end - GAP / 2
    _arrow(axes, [(edge - 6, y), (side, y), (side, into), ((LEFT + RIGHT) / 2 - 6, into)], STREAM)
    style = {"fontsize": 10, "color": STREAM, "rotation": 90, "ha": "center", "va": "center"}
    axes.text(side - 12, (y + into) / 2, "residual", **style)


def _arrow(axes: Any, points: Sequence[tuple[float, float]], color: str = FRAME) -> None:
    """A line with corners, and a head at its end."""
    axes.plot(*zip(*points, strict=True), color=color, linewidth=1.4, solid_joinstyle="round")
    axes.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    )
