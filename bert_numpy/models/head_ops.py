"""What the heads share: losses of checked labels, and sums in which None means "not given" or "no gradient".

Read next: `pretraining_heads.py`, `task_heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import functional as F
from ..nn.functional import Cache
from .inputs import as_array, as_ids

IGNORE_INDEX = -100  # the label of a position that does not count


def add(a: Any, b: Any) -> Any:
    """a + b, of which either or both may be None."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def through(backward: Callable[..., Any], doutput: Any, cache: Cache) -> Any:
    """`backward(doutput, cache)`, or None where no gradient comes from above."""
    return None if doutput is None else backward(doutput, cache)


def cross_entropy(name: str, logits: np.ndarray, labels: Any) -> tuple[Any, Cache]:
    """(loss, cache) after a check of the labels, or (None, None) without labels."""
    if labels is None:
        return None, None
    C = logits.shape[-1]
    labels = as_ids(name, labels, C, "number of classes", ignore=IGNORE_INDEX)
    if labels.shape not in (logits.shape[:-1], (*logits.shape[:-1], 1)):
        raise ValueError(f"{name} has shape {labels.shape}, expected {logits.shape[:-1]}")
    return F.cross_entropy_forward(logits, labels.reshape(logits.shape[:-1]), IGNORE_INDEX)


def dcross_entropy(dloss: Any, loss_cache: Cache) -> np.ndarray | None:
    """Gradient of the logits, or None without a loss or a gradient of it."""
    return None if dloss is None or loss_cache is None else F.cross_entropy_backward(dloss, loss_cache)


def span_cross_entropy(name: str, logits: np.ndarray, positions: Any) -> tuple[Any, Cache]:
    """Cross-entropy over the S positions; one before the text counts as 0, one behind it does not count."""
    positions = as_array(name, positions)
    B, S = logits.shape
    if positions.dtype.kind not in "iu" or positions.shape not in ((B,), (B, 1)):
        raise ValueError(f"{name} must be integers of shape {(B,)}, not {positions.dtype} of shape {positions.shape}")
    return F.cross_entropy_forward(logits, np.clip(positions.reshape(B), 0, S), ignore_index=S)
