"""What a step can do: forward and backward of each operation, with its known ways to go wrong as settings.

    y, cache            = OPERATIONS[name].forward(inputs, parameters, settings)
    dinputs, dparameters = OPERATIONS[name].backward(dy, cache)

`inputs`, `parameters` and their gradients are tuples.  With no settings but the sizes, an operation is the pair of
`nn/functional.py` that it calls.  A setting changes one thing in it: ε outside the root, a mask after the softmax, a
gradient that was assigned where it should have been added.  So a mistake of a port is a step with another setting,
and can be computed exactly as the port computes it.

Here: arithmetic.  Not here: which steps BERT has (`steps.py`), which settings are mistakes (`divergences.py`), losses
(`loss_operations.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..nn import functional as F
from ..nn.layers import ACTIVATIONS
from .loss_operations import LOSSES, Arrays, Settings


class Operation(NamedTuple):
    """A pair of pure functions."""

    forward: Callable[[Arrays, Arrays, Settings], tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[Arrays, Arrays]]


# ---- tables, sums, tokens ---------------------------------------------------


def _embedding_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Rows of a table.  `ids`: a function of the ids that are looked up."""
    (ids,), (weight,) = inputs, parameters
    if "ids" in settings:
        ids = settings["ids"](ids, weight)
    y, cache = F.embedding_forward(ids, weight, settings.get("padding_idx"))
    return y, (cache, settings)


def _embedding_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    """Gradient of the table.  `assigned`: of several equal ids only the last one counts; `dropped`: there is none."""
    (ids, weight, padding_idx), settings = cache
    if settings.get("dropped"):
        return (None,), (np.zeros_like(weight),)
    if not settings.get("assigned"):
        return (None,), (F.embedding_backward(dy, (ids, weight, padding_idx)),)
    dweight = np.zeros_like(weight)
    dweight[np.broadcast_to(ids, dy.shape[:-1])] = dy
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return (None,), (dweight,)


def _add_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """The sum of all inputs, which may broadcast over the batch.  `first_times`: a factor of the first of them."""
    first = inputs[0]
    if "first_times" in settings:
        first = first * first.dtype.type(settings["first_times"])
    return sum(inputs[1:], first), ([np.shape(x) for x in inputs], settings)


def _add_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    """`dropped`: the index of an input that receives no gradient."""
    shapes, settings = cache
    gradients = [_unbroadcast(dy, shape) for shape in shapes]
    if "first_times" in settings:
        gradients[0] = gradients[0] * gradients[0].dtype.type(settings["first_times"])
    if "dropped" in settings:
        gradients = [None if i == settings["dropped"] else gradient for i, gradient in enumerate(gradients)]
    return tuple(gradients), ()


def _unbroadcast(dy: Any, shape: tuple[int, ...]) -> Any:
    return dy if np.shape(dy) == shape else dy.sum(axis=0, keepdims=True)


def _identity_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """The first input as it is: dropout of a model that is not training."""
    return inputs[0], len(inputs)


def _identity_backward(dy: Any, cache: Any) -> tuple[Arrays, Arrays]:
    return (dy, *(None,) * (cache - 1)), ()


def _token_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """The hidden state of the first token.

    `index`: of another one, or "last" or "mean" of the real ones, or "very last" or "mean of all", padding or not.
    """
    x, attention_mask = inputs
    index = settings.get("index", 0)
    weights = np.zeros(x.shape[:2], x.dtype)  # (B, S)
    if index == "mean":
        weights += attention_mask / attention_mask.sum(axis=1, keepdims=True)
    elif index == "mean of all":
        weights += 1 / weights.shape[1]
    elif index == "very last":
        weights[:, -1] = 1
    elif index == "last":
        weights[np.arange(len(x)), attention_mask.shape[1] - 1 - attention_mask[:, ::-1].argmax(axis=1)] = 1
    else:
        weights[:, min(index, x.shape[1] - 1)] = 1
    return np.einsum("bs,bsh->bh", weights, x), weights  # (B, H)


def _token_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    return (cache[:, :, None] * dy[:, None, :], None), ()


def _column_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """One of the last axis: the logits of starts, or of ends."""
    (x,) = inputs
    return x[..., settings["column"]], (x, settings["column"])


def _column_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    x, column = cache
    dx = np.zeros_like(x)
    dx[..., column] = dy
    return (dx,), ()


# ---- linear, norm, activation -----------------------------------------------


def _linear_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """x Wᵀ + b.  `norm`: its input is normalized first, with the two parameters that follow (a pre-LN block)."""
    (x,), (weight, bias, *norm) = inputs, parameters
    norm_cache = None
    if norm:
        gain, shift = norm
        x, norm_cache = F.layer_norm_forward(x, gain, shift, settings["eps"])
    y, cache = F.linear_forward(x, weight, bias)
    return y, (cache, norm_cache, settings)


def _linear_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    """`batch`: the gradients of weight and bias are of the "first" or "last" sequence, or the "mean" over all.

    `dropped`: the weight receives none.
    """
    (x, weight), norm_cache, settings = cache
    batch = settings.get("batch", "sum")
    dx, dweight, dbias = F.linear_backward(dy, (x, weight))
    if batch == "mean":
        dweight, dbias = dweight / len(x), dbias / len(x)
    elif batch != "sum":
        i = 0 if batch == "first" else -1
        _, dweight, dbias = F.linear_backward(dy[i], (x[i], weight))
    if settings.get("dropped"):
        dweight = np.zeros_like(dweight)
    if norm_cache is None:
        return (dx,), (dweight, dbias)
    dx, dgain, dshift = F.layer_norm_backward(dx, norm_cache)
    return (dx,), (dweight, dbias, dgain, dshift)


def _layer_norm_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """γ x̂ + β.  `outside`: ε outside the root; `ddof` 1: the variance divides by H-1; `added`: plus x.

    `uncentred`: neither x nor the variance has the mean taken off (RMSNorm).
    With a second input the norm is of the first alone, and the second is added afterwards.
    """
    x, weight, bias = inputs[0], *parameters
    eps = settings["eps"]
    if not settings.keys() & {"outside", "ddof", "uncentred"}:
        y, cache = F.layer_norm_forward(x, weight, bias, eps)
    else:
        n = x.shape[-1] - settings.get("ddof", 0)
        centred = x if settings.get("uncentred") else x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).sum(axis=-1, keepdims=True) / n
        root = np.sqrt(variance) if settings.get("outside") else np.sqrt(variance + eps)
        rstd = 1 / (root + eps if settings.get("outside") else root)
        cache = centred * rstd, rstd, weight, centred / (n * root)
        y = weight * cache[0] + bias
    for more in (x,) if settings.get("added") else inputs[1:]:
        y = y + more
    return y, (cache, len(inputs), settings)


def _layer_norm_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    """`gain_outside`: γ multiplies the gradient of x after the two means were taken of dy without it.

    `constant`: "mean", "variance" or "both", taken for numbers that do not depend on x.
    """
    norm_cache, count, settings = cache
    x_hat, rstd, weight = norm_cache[:3]
    if settings.get("gain_outside"):
        dx, _, _ = F.layer_norm_backward(dy, (x_hat, rstd, np.ones_like(weight)))
        dx = dx * weight
        _, dweight, dbias = F.layer_norm_backward(dy, (x_hat, rstd, weight))
    else:
        dx, dweight, dbias = F.layer_norm_backward(dy, (x_hat, rstd, weight))
    if "constant" in settings:
        dx_hat = dy * weight
        if settings["constant"] != "variance":  # put the term back that the mean takes off
            dx = dx + dx_hat.mean(axis=-1, keepdims=True) * rstd
        if settings["constant"] != "mean":
            dx = dx + x_hat * (dx_hat * x_hat).mean(axis=-1, keepdims=True) * rstd
    if len(norm_cache) > 3:  # not the norm of the paper: its standard deviation has another slope
        # x_hat = centred / deviation, with slope = ∂deviation/∂centred
        slope = norm_cache[3]
        dx_hat = dy * weight
        dcentred = (dx_hat - (dx_hat * x_hat).sum(axis=-1, keepdims=True) * slope) * rstd
        dx = dcentred if settings.get("uncentred") else dcentred - dcentred.mean(axis=-1, keepdims=True)
    if settings.get("added"):
        dx = dx + dy
    return (dx, *(dy,) * (count - 1)), (dweight, dbias)


def _activation_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """The activation `act`.  `gradient`: the one whose derivative is taken instead."""
    (x,) = inputs
    y, cache = _activation(settings["act"]).forward(x)
    if "gradient" in settings:
        _, cache = _activation(settings["gradient"]).forward(x)
    return y, (cache, settings.get("gradient", settings["act"]))


def _activation_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    cache, act = cache
    return (_activation(act).backward(dy, cache),), ()


class _Pair(NamedTuple):
    forward: Callable[..., Any]
    backward: Callable[..., Any]


GATES = {"quick_gelu": 1.702, "silu": 1.0}
"""Activations x σ(k x) that are not BERT's, and their k."""


def _gated_forward(k: float, x: np.ndarray) -> tuple[np.ndarray, Any]:
    """y = x σ(k x)."""
    gate = 0.5 * (1 + np.tanh(0.5 * k * x))  # σ(k x), and nothing overflows
    return x * gate, (x, gate, k)


def _gated_backward(dy: np.ndarray, cache: Any) -> np.ndarray:
    x, gate, k = cache
    # y = x σ(k x)  =>  ∂y/∂x = σ + k x σ (1 - σ)
    return dy * (gate + k * x * gate * (1 - gate))


def _activation(name: str) -> _Pair:
    if name == "identity":
        return _Pair(lambda x: (x, None), lambda dy, cache: dy)
    if name in GATES:
        return _Pair(partial(_gated_forward, GATES[name]), _gated_backward)
    operation = ACTIVATIONS[name]
    return _Pair(getattr(F, f"{operation}_forward"), getattr(F, f"{operation}_backward"))


# ---- attention --------------------------------------------------------------


def split_heads(x: np.ndarray, heads: int, split: str = "blocks") -> np.ndarray:
    """(B, S, H) -> (B, A, S, D): head a has the a-th block of D.

    Two ways that have the right shape and are wrong: "interleaved" gives head a every A-th number; "reshaped" folds
    the numbers anew without moving the axis, so that a head mixes tokens.
    """
    B, S, H = x.shape
    if split == "interleaved":
        return x.reshape(B, S, H // heads, heads).transpose(0, 3, 1, 2)
    if split == "reshaped":
        return x.reshape(B, heads, S, H // heads)
    return x.reshape(B, S, heads, H // heads).transpose(0, 2, 1, 3)


def merge_heads(x: np.ndarray, split: str = "blocks") -> np.ndarray:
    """(B, A, S, D) -> (B, S, H), the inverse of `split_heads`."""
    B, A, S, D = x.shape
    if split == "interleaved":
        return x.transpose(0, 2, 3, 1).reshape(B, S, A * D)
    if split == "reshaped":
        return x.reshape(B, S, A * D)
    return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)


def _scores_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """Q Kᵀ / √D of every head, without the mask.  `scale`: another factor; `split`: see `split_heads`.

    `gradient_scale`: the factor in backward.
    """
    heads, split = settings["heads"], settings.get("split", "blocks")
    query, key = (split_heads(x, heads, split) for x in inputs)
    scale = settings.get("scale", 1 / math.sqrt(query.shape[-1]))
    cache = query, key, settings.get("gradient_scale", scale), split
    return (query * scale) @ key.swapaxes(-1, -2), cache  # (B, A, S, S)


def _scores_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    query, key, scale, split = cache
    # scores = query * scale @ keyᵀ
    dquery = (dy @ key) * scale
    dkey = (dy.swapaxes(-1, -2) @ query) * scale
    return (merge_heads(dquery, split), merge_heads(dkey, split)), ()


def _probs_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """softmax(scores + mask).  `mask`: "none", "added after" or "multiplied after" softmax; `axis`: of softmax.

    `mask` "queries": it hides rows.  `longer`: by how many places the mask is moved; 1 lets a token more be seen.
    `causal`: the keys behind a query are hidden too.  `recomputed`: one rounding, by which each score may be off.
    """
    scores, attention_mask = inputs
    how = settings.get("mask", "before")
    hidden = (_moved(attention_mask, settings.get("longer", 0)) == 0)[:, None, None, :]  # (B, 1, 1, S)
    if how == "queries":
        hidden = hidden.swapaxes(-1, -2)
    lowest = np.finfo(scores.dtype).min
    if how in ("before", "queries"):
        with np.errstate(over="ignore"):  # scores of a port may have its own mask added
            scores = scores + hidden * lowest
    if settings.get("causal"):
        scores = np.where(np.tri(*scores.shape[-2:]) == 1, scores, lowest)
    recomputed = settings.get("recomputed")
    axis = settings.get("axis", -1)
    y, softmax_cache = F.softmax_forward(np.ascontiguousarray(scores.swapaxes(axis, -1)))
    y = y.swapaxes(axis, -1)
    if recomputed is not None:
        y = _recomputed(y, scores, recomputed)
        softmax_cache = y
    if how == "added after":
        y = y + np.where(hidden, settings["hidden_value"], 0).astype(y.dtype)
    elif how == "multiplied after":
        y = y * ~hidden
    return y, (softmax_cache, hidden, how, axis, settings.get("gradient"))


def _moved(attention_mask: np.ndarray, places: int) -> np.ndarray:
    """Each row moved to the right, behind more ones; or to the left, before more zeros."""
    if places == 0:
        return attention_mask
    moved = np.roll(attention_mask, places, axis=1)
    moved[:, slice(None, places) if places > 0 else slice(places, None)] = places > 0
    return moved


def _recomputed(probs: np.ndarray, scores: np.ndarray, epsilon: float) -> np.ndarray:
    """Probabilities as fused kernels have them in backward: exp(s - log Σ exp(s)), where the two s are rounded apart.

    The error of s is relative to s.  Where softmax is certain and s large, softmax itself does not feel it, since the
    sum moves along; here it does not, and a row no longer sums to 1.
    """
    error = epsilon * np.random.default_rng(0).uniform(-1, 1, probs.shape) * scores
    return (probs * np.exp(np.where(probs > 0, error, 0))).astype(probs.dtype)


def _probs_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    """`gradient`: "elementwise", as if softmax were exp, or "diagonal", as if it were a sigmoid."""
    softmax_cache, hidden, how, axis, gradient = cache
    if how == "multiplied after":
        dy = dy * ~hidden
    if gradient is not None:
        probs = softmax_cache
        return (dy * probs * (1 - probs) if gradient == "diagonal" else dy * probs, None), ()
    dscores = F.softmax_backward(np.ascontiguousarray(dy.swapaxes(axis, -1)), softmax_cache).swapaxes(axis, -1)
    return (dscores, None), ()


def _context_forward(inputs: Arrays, parameters: Arrays, settings: Settings) -> tuple[Any, Any]:
    """The weighted values, heads side by side.  `split`, `merge`: see `split_heads`."""
    probs, value = inputs
    split = settings.get("split", "blocks")
    merge = settings.get("merge", split)
    value = split_heads(value, settings["heads"], split)
    return merge_heads(probs @ value, merge), (probs, value, split, merge)  # (B, S, H)


def _context_backward(dy: np.ndarray, cache: Any) -> tuple[Arrays, Arrays]:
    probs, value, split, merge = cache
    dcontext = split_heads(dy, probs.shape[1], merge)
    # context = probs @ value
    dprobs = dcontext @ value.swapaxes(-1, -2)
    dvalue = probs.swapaxes(-1, -2) @ dcontext
    return (dprobs, merge_heads(dvalue, split)), ()


OPERATIONS = {
    "embedding": Operation(_embedding_forward, _embedding_backward),
    "add": Operation(_add_forward, _add_backward),
    "identity": Operation(_identity_forward, _identity_backward),
    "token": Operation(_token_forward, _token_backward),
    "column": Operation(_column_forward, _column_backward),
    "linear": Operation(_linear_forward, _linear_backward),
    "layer_norm": Operation(_layer_norm_forward, _layer_norm_backward),
    "activation": Operation(_activation_forward, _activation_backward),
    "scores": Operation(_scores_forward, _scores_backward),
    "probs": Operation(_probs_forward, _probs_backward),
    "context": Operation(_context_forward, _context_backward),
    **{name: Operation(*pair) for name, pair in LOSSES.items()},
}
"""By the name that a step gives."""
