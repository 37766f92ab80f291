"""The inputs of a model, one column a token: what the tokenizer hands over, to be read at a glance.

    batch = tokenizer(["tea and cake", "milk"], padding=True)
    draw_inputs([batch.tokens(0), batch.tokens(1)], batch)

Here: drawing.  Not here: the tokens (`tokenization/bert.py`), the empty figure (`canvas.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import FRAME, TEXT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEGMENT_COLORS = ("#cfe5f5", "#fde0b8", "#d3f0e4", "#f3dcec")
PADDING_COLOR = "#ececec"
ROWS = ("input_ids", "token_type_ids", "attention_mask")
MOST_TOKENS = 16  # beside each other on 800 pixels


def draw_inputs(tokens: Sequence[Sequence[str]], inputs: Mapping[str, Any], *, title: str = "") -> Figure:
    """Draw each sequence of a batch as a row of boxes, with its numbers below.

    The colour of a box is its segment; padding, where the attention mask is 0, is grey.

    Parameters
    ----------
    tokens : sequence of sequence of str
        The tokens of each sequence.
    inputs : mapping of str to array of shape (B, S)
        `input_ids`, `token_type_ids` and `attention_mask`, as a tokenizer returns them for a padded batch.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the arrays do not fit the tokens, or there are too many tokens to be read beside each other.

    Examples
    --------
    >>> inputs = {"input_ids": [[2, 7, 3]], "token_type_ids": [[0, 0, 0]], "attention_mask": [[1, 1, 1]]}
    >>> [text.get_text() for text in draw_inputs([["[CLS]", "tea", "[SEP]"]], inputs).axes[0].texts[:4]]
    ['[CLS]', '2', '0', '1']
    """
    rows = [np.asarray(inputs[name]) for name in ROWS]
    B, S = len(tokens), len(tokens[0]) if tokens else 0
    for name, row in zip(ROWS, rows, strict=True):
        if row.shape != (B, S) or any(len(sequence) != S for sequence in tokens):
            raise ValueError(
                f"{name} has shape {row.shape}, which is not that of the tokens, ({B}, {S}); pad the batch"
            )
    if not 0 < S <= MOST_TOKENS:
        raise ValueError(f"{S} tokens stand beside each other in a picture of 1 to {MOST_TOKENS}")
    figure = new_figure(1.45 * B + (0.4 if title else 0.1))
    longest = max(len(token) for sequence in tokens for token in sequence)
    size = max(min(11.0, 480 / S / (0.78 * longest)), 6.0)  # 480 points for all boxes, 0.78 of the size for a letter
    for axes, names, *numbers in zip(figure.subplots(B, 1, squeeze=False)[:, 0], tokens, *rows, strict=True):
        _draw_sequence(axes, names, numbers, size)
    if title:
        figure.suptitle(title, color=TEXT, fontsize=12)
    return figure


def _draw_sequence(axes: Any, tokens: Sequence[str], numbers: Sequence[np.ndarray], size: float) -> None:
    """The boxes of one sequence, and three lines of numbers under them."""
    from matplotlib.patches import Rectangle

    S = len(tokens)
    _, types, mask = numbers
    for i, token in enumerate(tokens):
        color = SEGMENT_COLORS[types[i] % len(SEGMENT_COLORS)] if mask[i] else PADDING_COLOR
        axes.add_patch(Rectangle((i + 0.04, 0.1), 0.92, 0.9, facecolor=color, edgecolor=FRAME, linewidth=0.8))
        text = axes.text(i + 0.5, 0.55, token, ha="center", va="center", fontsize=size, color=TEXT)
        text.set_parse_math(False)
        for row, values in enumerate(numbers):
            axes.text(i + 0.5, -0.3 - 0.6 * row, str(values[i]), ha="center", va="center", fontsize=size, color=TEXT)
    for row, name in enumerate(ROWS):
        axes.text(-0.1, -0.3 - 0.6 * row, name, ha="right", va="center", fontsize=10, color=FRAME)
    axes.set(xlim=(-0.16 * S, S + 0.05), ylim=(-1.9, 1.1))
    axes.axis("off")
