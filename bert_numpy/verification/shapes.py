"""Which positions of a tensor count, and which shapes mean the same tensor.

Here: axes.  Not here: numbers (`comparison.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .evaluation import GRADIENT
from .reference import Reference

POOLED = ("pooler", "cls.seq_relationship")


def positions_kind(name: str, reference: Reference) -> str:
    """What the leading axes of a tap are: "tokens" (B, S, …), "scores", "probs" (B, A, S, S), "rows" (B, …) or "whole".

    Of scores only those between real tokens count, of probabilities the rows of real tokens: a real token that looks
    at padding is a mistake.  Their gradients count as those of scores do: towards padding they are made of its values.
    """
    tap = name.removeprefix(GRADIENT)
    if tap in reference.parameters or tap.startswith("loss"):
        return "whole"
    if tap.startswith(POOLED) or (tap.startswith("classifier") and reference.pools):
        return "rows"
    if tap.endswith(".scores"):
        return "scores"
    if tap.endswith((".probs", "self.dropout")):
        return "scores" if name.startswith(GRADIENT) else "probs"
    return "tokens"


def kept_positions(kind: str, shape: tuple[int, ...], real: np.ndarray) -> np.ndarray | None:
    """Which entries count, as an array that broadcasts to `shape`; None for all.

    Parameters
    ----------
    kind : str
        From `positions_kind`.
    shape : tuple of int
    real : bool ndarray of shape (B, S)

    Examples
    --------
    >>> kept_positions("tokens", (1, 3, 2), np.array([[True, True, False]])).shape
    (1, 3, 1)
    """
    if kind == "whole" or real.all():
        return None
    if kind == "rows":  # a row of padding alone means nothing
        return real.any(axis=1).reshape(len(real), *(1,) * (len(shape) - 1))
    if kind == "tokens":
        if shape[: real.ndim] != real.shape:  # a table look-up that is the same for the whole batch
            return None
        return real.reshape(*real.shape, *(1,) * (len(shape) - 2))
    rows = real[:, None, :, None]
    return rows & real[:, None, None, :] if kind == "scores" else rows


def fit_shape(
    array: np.ndarray, shape: tuple[int, ...], heads: int, like: np.ndarray | None = None
) -> tuple[np.ndarray | None, str]:
    """The array in the shape of the reference, if it is the same tensor in another layout; else None and why.

    Understood: an axis of length 1 more or less, batch and sequence folded into one axis, heads apart as (B, S, A, D)
    or (B, A, S, D), and one row of positions for the whole batch.

    Parameters
    ----------
    array : ndarray
    shape : tuple of int
    heads : int
    like : ndarray of that shape, optional
        What is expected: decides which axis is that of the heads, where there are as many tokens.

    Examples
    --------
    >>> fit_shape(np.zeros((6, 8)), (2, 3, 8), 4)[0].shape, fit_shape(np.zeros((2, 4, 3, 2)), (2, 3, 8), 4)[0].shape
    ((2, 3, 8), (2, 3, 8))
    >>> fit_shape(np.zeros((8, 3)), (3, 8), 4)
    (None, 'has shape (8, 3), expected (3, 8): it is transposed')
    """
    found = np.shape(array)
    if found == shape:
        return array, ""
    if len(shape) == 3 and shape[0] == 1 and len(found) == 3 and found[1:] == shape[1:]:
        same = np.array_equal(array, np.broadcast_to(array[:1], found), equal_nan=True)
        return (array[:1], "") if same else (None, _unlike(found, shape))
    if len(shape) == 3 and len(found) == 4:
        B, S, H = shape
        layouts = []
        if found == (B, S, heads, H // heads):
            layouts.append(array.reshape(shape))
        if found == (B, heads, S, H // heads):
            layouts.append(array.transpose(0, 2, 1, 3).reshape(shape))
        if len(layouts) == 2 and like is not None:
            layouts.sort(key=lambda layout: float(np.nansum(np.abs(layout - like))))
        if layouts:
            return layouts[0], ""
    squeezed, wanted = (tuple(size for size in sizes if size != 1) for sizes in (found, shape))
    folded = len(shape) == 3 and found == (shape[0] * shape[1], shape[2])
    if squeezed == wanted or folded:
        return array.reshape(shape), ""
    return None, _unlike(found, shape)


def _unlike(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    text = f"has shape {found}, expected {shape}"
    if sorted(found) == sorted(shape):
        return text + (": it is transposed" if len(shape) == 2 else ": its axes are in another order")
    return text + (
        ": the sizes differ" if math.prod(found) != math.prod(shape) else ": as many numbers, folded otherwise"
    )


def place_of(index: tuple[int, ...], name: str, reference: Reference, inputs: Mapping[str, np.ndarray]) -> str:
    """An index in words: with the token where there is one."""
    index = tuple(int(i) for i in index)
    if not index:
        return ""
    kind = positions_kind(name, reference)
    text = str(list(index))
    if kind == "tokens" and len(index) >= 2:
        text += f", token {_token(reference, inputs, index[0], index[1])}"
    elif kind in ("scores", "probs") and len(index) == 4:
        query, key = (_token(reference, inputs, index[0], i) for i in index[2:])
        text += f", from {query} to {key}"
    return text


def _token(reference: Reference, inputs: Mapping[str, Any], row: int, position: int) -> str:
    ids = inputs["input_ids"]
    if row >= len(ids) or position >= ids.shape[1]:
        return "?"
    return reference.token(int(ids[row, position]))
