"""What a wrong tensor shows by itself, beside the right one: nothing has to be computed again to see it.

Here: looks at two arrays.  Not here: the search for a mistake that explains the difference (`diagnosis.py`).
"""

from __future__ import annotations

import numpy as np

from .attention_divergences import CAUSAL, MASK_ON_QUERIES

FEW_NUMBERS = 64
"""Of fewer numbers a correlation says nothing."""

LEAST_MASK = -1000.0
"""A mask that is less negative than this hides nothing for sure."""

UNRELATED = 0.3
"""Numbers whose correlation with the right ones is below this come from other weights, or from another input."""

NEAR, FEW_OFF = 1e-3, 0.05
"""Numbers that differ by less than this share of the largest are alike; fewer than this share of all are few."""


def wrong_mask(actual: np.ndarray, expected: np.ndarray, real: np.ndarray) -> str:
    """What the scores of a port show of its mask; "" if they are the right ones, with a right mask or without any.

    Parameters
    ----------
    actual, expected : ndarray of shape (B, A, S, S)
        With the port's mask added or not, and without any mask.
    real : bool ndarray of shape (B, S)

    Examples
    --------
    >>> expected, real = np.arange(8.0).reshape(2, 1, 2, 2), np.array([[True, False], [True, True]])
    >>> wrong_mask(expected + np.where(real, 0, -10)[:, None, None, :], expected, real)
    'mask of -10 only'
    """
    keys = np.broadcast_to(real[:, None, None, :], actual.shape)
    rows = np.broadcast_to(real[:, None, :, None], actual.shape)
    moved, scale = actual - expected, NEAR * np.abs(expected).max(initial=0)
    hidden, seen = moved[rows & ~keys], moved[rows & keys]  # numbers between a token and padding, between tokens
    still = np.abs(seen).max(initial=0) < scale
    if still and np.abs(hidden).max(initial=0) < scale:
        return MASK_ON_QUERIES if np.abs(moved[~rows & keys]).max(initial=0) > scale else ""
    if still and np.abs(actual[rows & ~keys]).max(initial=0) < scale:
        return "scores multiplied by the mask"
    if still and np.ptp(hidden) < scale and hidden.mean() > LEAST_MASK:
        return f"mask of {hidden.mean():.4g} only"
    if still and (hidden < LEAST_MASK).any() and (np.abs(hidden) < scale).any():
        return "mask of a part of the padding only"
    both = rows & keys
    later = both & (np.tri(*actual.shape[-2:]) == 0)
    if later.any() and (moved[later] < LEAST_MASK).all() and np.abs(moved[both & ~later]).max(initial=0) < scale:
        return CAUSAL
    if hidden.size and np.ptp(seen) < scale and np.abs(hidden).max(initial=0) < scale:
        return "mask inverted: it is added to the scores of the tokens, not to those of padding"
    return ""


def constant(actual: np.ndarray, expected: np.ndarray) -> str:
    """Say it, if a tensor that should not be is always the same number."""
    if actual.size < FEW_NUMBERS or not np.ptp(expected) or np.ptp(actual):
        return ""
    return f"all its numbers are {actual.flat[0] + 0.0:g}"


def strange(actual: np.ndarray, expected: np.ndarray) -> str:
    """What no weights would give: a few numbers wrong, a softmax too much, the right numbers in wrong places."""
    scale = np.abs(expected).max(initial=0)
    off = np.abs(actual - expected) > NEAR * scale
    if actual.size < FEW_NUMBERS or not off.any():
        return ""
    if off.mean() < FEW_OFF:
        return f"wrong numbers: {off.sum()} of {off.size}; the others are right"
    for name, probs in (("softmax", actual), ("log-softmax", np.exp(np.minimum(actual, 1)))):
        if (probs >= 0).all() and np.abs(probs.sum(axis=-1) - 1).max() < NEAR and (expected < 0).any():
            return f"its rows are probabilities: {name} was applied to it"
    if np.abs(np.sort(actual, axis=None) - np.sort(expected, axis=None)).max() < NEAR * scale:
        return "it has the right numbers, in another order"
    return ""


def unrelated(actual: np.ndarray, expected: np.ndarray) -> str:
    """Say it, if a tensor has nothing to do with the right one."""
    if actual.size < FEW_NUMBERS or not abs(correlation(actual, expected)) < UNRELATED:
        return ""
    return "it has nothing to do with the right numbers, as with other weights or another input"


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays, number by number; NaN if one is constant.

    >>> round(correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])), 6)
    -1.0
    """
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
