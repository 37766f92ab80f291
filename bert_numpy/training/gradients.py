"""Gradients as a whole: their norm, clipping, and which of them are not finite.

Here: what is done between `model.backward` and `optimizer.step`.  Read next: `optimizers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..nn.module import Parameter
from .updates import blocks


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter], max_norm: float, *, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients by one factor, in place, such that their joint 2-norm is at most `max_norm`.

    The factor is torch's, max_norm / (norm + 1e-6), where that is below 1; Google's BERT has it without the 1e-6.  A
    norm that is NaN or infinite clips nothing: torch would spread the NaN to every gradient, here the tensor that has
    it can still be named.

    Parameters
    ----------
    parameters : iterable of `Parameter`, or one
        Those without a gradient are skipped.
    max_norm : float
        `math.inf` only measures.
    error_if_nonfinite : bool

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ValueError
        If `max_norm` is negative or NaN; if the norm is not finite and `error_if_nonfinite` is set.

    Examples
    --------
    >>> parameter = Parameter(np.zeros(2))
    >>> parameter.accumulate(np.array([3.0, 4.0]))
    >>> clip_grad_norm_([parameter], max_norm=1.0)
    5.0
    >>> parameter.grad.round(6)
    array([0.6, 0.8])
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm is {max_norm}; it must be at least 0")
    given = [parameters] if isinstance(parameters, Parameter) else parameters
    grads = [parameter.grad for parameter in dict.fromkeys(given) if parameter.grad is not None]
    norm = math.sqrt(sum(_sum_of_squares(block) for grad in grads for (block,) in blocks(grad)))
    if not math.isfinite(norm):
        if error_if_nonfinite:
            raise ValueError(f"the norm of the gradients is {norm}; nonfinite_gradients names the tensors")
        return norm
    factor = max_norm / (norm + 1e-6)
    if factor < 1:
        for grad in grads:
            np.multiply(grad, factor, out=grad)
    return norm


def nonfinite_gradients(named_parameters: Iterable[tuple[str, Parameter]]) -> list[str]:
    """The names of the parameters whose gradient holds a NaN or an infinity.

    A finite norm from `clip_grad_norm_` has said already that there are none.

    Examples
    --------
    >>> parameter = Parameter(np.zeros(2))
    >>> parameter.accumulate(np.array([1.0, np.nan]))
    >>> nonfinite_gradients([("classifier.bias", parameter)])
    ['classifier.bias']
    """
    return [
        name
        for name, parameter in named_parameters
        if parameter.grad is not None and not all(np.isfinite(block).all() for (block,) in blocks(parameter.grad))
    ]


def _sum_of_squares(block: np.ndarray) -> float:
    """Of a block; once more in float64 if the squares are beyond the range of the dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.vdot(block, block))
        return total if math.isfinite(total) else float(np.square(block, dtype=np.float64).sum())
