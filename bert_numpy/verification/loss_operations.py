"""The losses among the operations of `operations.py`, with their known ways to go wrong as settings.

Here: arithmetic.  Not here: which settings are mistakes (`head_divergences.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn import functional as F

Arrays = tuple[Any, ...]
Settings = Mapping[str, Any]


def _cross_entropy_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Mean over the labels that are not -100.  `ignore_index`: another label that does not count either.

    `unlabelled`: "own" counts positions without a label too, with their own id as label (the third input); "zero"
    with label 0; "divided" leaves them out of the sum and counts them in the divisor; "masked mean" takes the mean
    over all, "zero" for those without, times the fraction of the labelled; "summed" has no divisor.
    `softmax_before`: the softmax of the logits is taken for the logits.  `gradient_summed`: backward has no divisor.
    `rounding`: of the probabilities, before 1 is subtracted from that of the label; of one that is near 1, this leaves
    little.  `recomputed`: one rounding, by which each probability is too large.
    """
    logits, labels = inputs[:2]
    how = settings.get("unlabelled", "left out")
    labels = labels.reshape(logits.shape[:-1])
    labels = np.where(labels == settings.get("ignore_index", -100), -100, labels)
    live = labels != -100
    factor = 1.0
    if how == "own":
        labels = np.where(live, labels, inputs[2])
    elif how in ("zero", "masked mean"):
        labels = np.where(live, labels, 0)
    if how in ("divided", "masked mean"):
        factor = float(live.mean())
    if how == "summed":
        factor = float(live.sum())
    softmax_cache = None
    if settings.get("softmax_before"):
        logits, softmax_cache = F.softmax_forward(logits)
    loss, cache = F.cross_entropy_forward(logits, labels)
    if "rounding" in settings:
        log_probs, *rest = cache
        with np.errstate(divide="ignore"):  # a probability that is rounded to 0
            cache = np.log(settings["rounding"](np.exp(log_probs))), *rest
    cache = _too_large(cache, settings)
    of_gradient = factor * float(live.sum()) if settings.get("gradient_summed") else factor
    return loss * loss.dtype.type(factor), (cache, of_gradient, len(inputs), softmax_cache)


def _too_large(cache: Any, settings: Settings) -> Any:
    """The cache of cross-entropy with every probability p (1 + ε), ε = `recomputed`: log p + ε.

    Where p is near 1, the gradient p - 1 is of the size of p's rounding, and each program has its own.
    """
    log_probs, *rest = cache
    return (log_probs + settings.get("recomputed", 0.0), *rest)


def _cross_entropy_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    cache, factor, count, softmax_cache = cache
    dlogits = F.cross_entropy_backward(float(dy) * factor, cache)
    if softmax_cache is not None:
        dlogits = F.softmax_backward(dlogits, softmax_cache)
    return (dlogits, *(None,) * (count - 1)), ()


def _mse_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Mean squared difference from the labels: regression."""
    logits, labels = inputs
    return F.mse_loss_forward(logits, labels.reshape(logits.shape).astype(logits.dtype))


def _mse_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    return (F.mse_loss_backward(float(dy), cache), None), ()


def _binary_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Mean binary cross-entropy: several labels at once."""
    logits, labels = inputs
    return F.binary_cross_entropy_with_logits_forward(logits, labels.reshape(logits.shape).astype(logits.dtype))


def _binary_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    return (F.binary_cross_entropy_with_logits_backward(float(dy), cache), None), ()


def _span_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Half the cross-entropy of the logits over the positions: the loss of starts and that of ends are averaged."""
    logits, positions = inputs
    S = logits.shape[1]
    loss, cache = F.cross_entropy_forward(logits, np.clip(positions.reshape(-1), 0, S), ignore_index=S)
    return loss / loss.dtype.type(2), _too_large(cache, settings)


def _span_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    return (F.cross_entropy_backward(float(dy) / 2, cache), None), ()


WITH_SOFTMAX = ("cross_entropy", "span")
"""Those with labels that are classes; some labels do not count."""

LOSSES = {
    "cross_entropy": (_cross_entropy_forward, _cross_entropy_backward),
    "mse": (_mse_forward, _mse_backward),
    "binary_cross_entropy": (_binary_forward, _binary_backward),
    "span": (_span_forward, _span_backward),
}
"""(forward, backward) by the name that a step gives."""
