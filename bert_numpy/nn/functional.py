"""The mathematics of BERT: every operation as a pair of pure functions that stand next to each other.

    y, cache         = op_forward(x, *parameters)
    dx, *dparameters = op_backward(dy, cache)

``dfoo`` is the gradient of the loss with respect to ``foo`` and has the shape of ``foo``.  No function writes into an
array that it was given, keeps any state, or changes the dtype (of arrays with at least one axis).  Each backward
quotes, as a comment, the forward line that it differentiates.

Axes:  B batch        S sequence      H hidden size          A heads     D = H/A head size
       I intermediate size            V vocabulary           L layers    (H, A, L are the paper's letters)
       (..., H) means: any leading axes.

Here: linear, embedding, layer norm, dropout, the activations, softmax, attention and the losses.
Not here: checks of the inputs (`models/inputs.py`), parameters (`module.py`).  Read next: `module.py`, `layers.py`.

Papers: BERT (Devlin et al. 2018, arXiv 1810.04805); attention (Vaswani et al. 2017, arXiv 1706.03762, section 3.2);
layer normalization (Ba et al. 2016, arXiv 1607.06450); GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import special
from .parallel import by_rows

Cache = Any  # what a forward hands to its backward; the two alone know what is in it


def _rows(x: np.ndarray) -> np.ndarray:
    """Fold every axis but the last into one: (..., H) -> (N, H).  One large product beats many small ones."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


# ---- linear -----------------------------------------------------------------


def linear_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, Cache]:
    """y = x Wᵀ + b, with W stored (out, in) as in the published checkpoints.

    Parameters
    ----------
    x : ndarray of shape (..., in)
    weight : ndarray of shape (out, in)
    bias : ndarray of shape (out,)

    Returns
    -------
    y : ndarray of shape (..., out)
    cache : for `linear_backward`

    Examples
    --------
    >>> y, cache = linear_forward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5]))
    >>> y
    array([[11.5]])
    """
    y = _rows(x) @ weight.T  # (N, out)
    y += bias
    return y.reshape(*x.shape[:-1], len(weight)), (x, weight)


def linear_backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of the input, the weight (summed over all leading axes) and the bias."""
    x, weight = cache
    # y = x @ weight.T + bias
    dx = (_rows(dy) @ weight).reshape(x.shape)
    dweight = _rows(dy).T @ _rows(x)
    dbias = _rows(dy).sum(axis=0)
    return dx, dweight, dbias


# ---- embedding --------------------------------------------------------------


def embedding_forward(ids: np.ndarray, weight: np.ndarray, padding_idx: int | None = None) -> tuple[np.ndarray, Cache]:
    """y = W[ids]: a row of the table for every id.

    Parameters
    ----------
    ids : integer ndarray of shape (...)
        From 0 to V-1.  NumPy counts negative ids from the end, so the models check them first.
    weight : ndarray of shape (V, H)
    padding_idx : int, optional
        The row that takes part in forward but receives no gradient, as in the reference library.

    Returns
    -------
    y : ndarray of shape (..., H)
    cache : for `embedding_backward`
    """
    return weight[ids], (ids, weight, padding_idx)


def embedding_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """Gradient of the table: each row gathers the gradients of all places where its id stood.

    `dweight[ids] += dy` would keep only the last of several equal ids.  Sorting brings equal ids together, so that
    one `reduceat` adds each run; it is many times faster than `np.add.at` and always adds in the same order.
    """
    ids, weight, padding_idx = cache
    dweight = np.zeros_like(weight)
    order = np.argsort(ids, axis=None, kind="stable")
    found, starts = np.unique(ids.ravel()[order], return_index=True)
    # y = weight[ids]
    dweight[found] = np.add.reduceat(_rows(dy)[order], starts, axis=0)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


# ---- layer norm -------------------------------------------------------------


def layer_norm_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-12
) -> tuple[np.ndarray, Cache]:
    """y = γ x̂ + β  with  x̂ = (x - μ) / √(σ² + ε)  over the last axis; σ² divides by H, not H-1.

    Parameters
    ----------
    x : ndarray of shape (..., H)
    weight, bias : ndarray of shape (H,)
        γ and β.
    eps : float
        ε, inside the root; BERT uses 1e-12.

    Returns
    -------
    y : ndarray of shape (..., H)
    cache : for `layer_norm_backward`

    Examples
    --------
    >>> y, cache = layer_norm_forward(np.array([[1.0, 3.0]]), np.array([1.0, 10.0]), np.array([0.0, 5.0]))
    >>> y
    array([[-1., 15.]])
    """
    x_hat = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(x_hat).mean(axis=-1, keepdims=True)  # (..., 1); E[x²] - E[x]² can be negative in float32
    rstd = 1 / np.sqrt(variance + eps)
    x_hat *= rstd
    y = weight * x_hat
    y += bias
    return y, (x_hat, rstd, weight)


def layer_norm_backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of the input, the gain γ and the bias β."""
    x_hat, rstd, weight = cache
    # y = weight * x_hat + bias
    dweight = _rows(dy * x_hat).sum(axis=0)
    dbias = _rows(dy).sum(axis=0)
    dx_hat = dy * weight
    # x_hat = (x - mean(x)) * rstd(x): the two means are the paths through μ and through σ
    through_mean = dx_hat.mean(axis=-1, keepdims=True)
    through_std = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
    dx = rstd * (dx_hat - through_mean - x_hat * through_std)
    return dx, dweight, dbias


# ---- dropout ----------------------------------------------------------------


def dropout_forward(x: np.ndarray, p: float, rng: np.random.Generator | None) -> tuple[np.ndarray, Cache]:
    """Zero each element with probability p and scale the rest by 1/(1-p), so that the expectation stays.

    Parameters
    ----------
    x : ndarray of any shape
    p : float in [0, 1)
        The probability of dropping.  At 0 the result is `x` itself and `rng` is not touched.
    rng : np.random.Generator

    Returns
    -------
    y : ndarray of the shape of `x`
    cache : for `dropout_backward`
    """
    if p == 0:
        return x, None
    if rng is None:
        raise ValueError(f"dropout with probability {p} needs a generator; pass rng")
    kept = rng.random(x.shape, dtype=np.float32) >= p
    y = x * kept
    y *= 1 / (1 - p)
    return y, (kept, p)


def dropout_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """Gradient of the input: the same elements dropped, the same scale."""
    if cache is None:
        return dy
    kept, p = cache
    # y = x * kept / (1 - p)
    dx = dy * kept
    dx *= 1 / (1 - p)
    return dx


# ---- activations ------------------------------------------------------------


def gelu_forward(x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """y = x Φ(x), with Φ the distribution function of the standard normal: the "gelu" of the published weights.

    Examples
    --------
    >>> gelu_forward(np.array([-1.0, 0.0, 1.0]))[0]
    array([-0.15865525,  0.        ,  0.84134475])
    """
    y = by_rows(lambda x: x * special.normal_cdf(x), _rows(x))
    return y.reshape(x.shape), x


def gelu_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """dx = dy (Φ(x) + x φ(x)), with φ = Φ' the density of the standard normal."""
    x = cache

    def gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        # y = x * cdf(x)
        pdf = x * x
        pdf *= -0.5
        np.exp(pdf, out=pdf)
        pdf *= 1 / math.sqrt(2 * math.pi)
        pdf *= x
        pdf += special.normal_cdf(x)
        pdf *= dy
        return pdf

    return by_rows(gradient, _rows(dy), _rows(x)).reshape(x.shape)


_TANH_SCALE = math.sqrt(2 / math.pi)
_TANH_CUBIC = 0.044715


def gelu_new_forward(x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """y = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): Google's GELU after February 2019, "gelu_new".

    It differs from `gelu_forward` by up to 4.73e-4, at |x| = 2.70: small enough to go unnoticed, and a real bug
    when the weights were trained with the other one.

    Examples
    --------
    >>> gelu_new_forward(np.array([-1.0, 0.0, 1.0]))[0]
    array([-0.15880801,  0.        ,  0.84119199])
    """

    def gelu_new(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inner_tanh = np.tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))
        return 0.5 * x * (1 + inner_tanh), inner_tanh

    y, inner_tanh = by_rows(gelu_new, _rows(x))
    return y.reshape(x.shape), (x, inner_tanh.reshape(x.shape))


def gelu_new_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """Product rule on x and 1 + tanh, with tanh' = 1 - tanh²."""
    x, inner_tanh = cache
    # inner = √(2/π) (x + 0.044715 x³)
    dinner_dx = _TANH_SCALE * (1 + 3 * _TANH_CUBIC * (x * x))
    # y = x (1 + tanh(inner)) / 2
    return dy * (0.5 * (1 + inner_tanh) + 0.5 * x * (1 - inner_tanh * inner_tanh) * dinner_dx)


def relu_forward(x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """y = max(x, 0)."""
    return np.maximum(x, 0), x


def relu_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """dx = dy where x > 0; at the corner x = 0 it is 0, as in the reference library."""
    x = cache
    # y = max(x, 0)
    return dy * (x > 0)


def tanh_forward(x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """y = tanh(x), the activation of BERT's pooler."""
    y = np.tanh(x)
    return y, y


def tanh_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """dx = dy (1 - y²)."""
    y = cache
    # y = tanh(x)
    return dy * (1 - y * y)


# ---- softmax and attention --------------------------------------------------


def softmax_forward(x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ) over the last axis.

    Examples
    --------
    >>> softmax_forward(np.array([[1000.0, 1000.0]]))[0]
    array([[0.5, 0.5]])
    """
    y = by_rows(_softmax, _rows(x)).reshape(x.shape)
    return y, y


def _softmax(x: np.ndarray) -> np.ndarray:
    y = x - x.max(axis=-1, keepdims=True)  # the shift cancels; without it exp overflows
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def softmax_backward(dy: np.ndarray, cache: Cache) -> np.ndarray:
    """dx = y (dy - Σⱼ dyⱼ yⱼ)."""
    y = cache
    # ∂yᵢ/∂xⱼ = yᵢ (δᵢⱼ - yⱼ)
    dx = dy * y
    dx -= y * dx.sum(axis=-1, keepdims=True)
    return dx


def scaled_dot_product_attention_forward(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    dropout_p: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], Cache]:
    """Attention(Q, K, V) = dropout(softmax(Q Kᵀ / √D + mask)) V.

    Parameters
    ----------
    query, key, value : ndarray of shape (B, A, S, D)
    mask : ndarray that broadcasts to (B, A, S, S), optional
        Added to the scores: 0 where a query may look, a very negative number where it may not.
    dropout_p : float
        Probability of dropping an attention weight.
    rng : np.random.Generator

    Returns
    -------
    (context, probs) : ndarray of shape (B, A, S, D) and ndarray of shape (B, A, S, S)
        The weighted values, and the weights (after dropout, as the reference library returns them).
    cache : for `scaled_dot_product_attention_backward`
    """
    scale = 1 / math.sqrt(query.shape[-1])
    scores = (query * scale) @ key.swapaxes(-1, -2)  # (B, A, S, S)
    if mask is not None:
        scores += mask
    probs, softmax_cache = softmax_forward(scores)
    probs, dropout_cache = dropout_forward(probs, dropout_p, rng)
    B, A, S, D = query.shape
    context = np.empty((B, S, A, D), query.dtype).transpose(0, 2, 1, 3)  # heads side by side, as they will be used
    np.matmul(probs, value, out=context)  # (B, A, S, D)
    return (context, probs), (query, key, value, probs, softmax_cache, dropout_cache)


def scaled_dot_product_attention_backward(
    dcontext: np.ndarray, dprobs: np.ndarray | None, cache: Cache
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of query, key and value, for a gradient of the context and (or None) of the weights.

    The scores of a row may all be shifted by one number without changing softmax, and a key bias does just that:
    its gradient is exactly 0.
    """
    query, key, value, probs, softmax_cache, dropout_cache = cache
    scale = 1 / math.sqrt(query.shape[-1])
    # context = probs @ value
    dvalue = probs.swapaxes(-1, -2) @ dcontext
    dprobs_of_context = dcontext @ value.swapaxes(-1, -2)
    dprobs = dprobs_of_context if dprobs is None else dprobs_of_context + dprobs
    # probs = dropout(softmax(scores))
    dscores = softmax_backward(dropout_backward(dprobs, dropout_cache), softmax_cache)
    # scores = query * scale @ keyᵀ + mask
    dquery = (dscores @ key) * scale
    dkey = (dscores.swapaxes(-1, -2) @ query) * scale
    return dquery, dkey, dvalue


# ---- losses -----------------------------------------------------------------
# Each is a mean over its elements; targets are data and receive no gradient.


def cross_entropy_forward(
    logits: np.ndarray, labels: np.ndarray, ignore_index: int = -100
) -> tuple[np.floating, Cache]:
    """loss = -mean over the live labels of log softmax(logits)[label].

    Parameters
    ----------
    logits : ndarray of shape (..., C)
    labels : integer ndarray of shape (...)
        0 to C-1, or `ignore_index` where the position does not count.  When none counts the loss is 0 (the reference
        library divides 0 by 0 and returns NaN, which one batch without a masked word would spread to every weight).

    Returns
    -------
    loss : scalar of the dtype of `logits`
    cache : for `cross_entropy_backward`

    Examples
    --------
    >>> loss, cache = cross_entropy_forward(np.zeros((2, 8)), np.array([3, -100]))
    >>> print(round(float(loss), 6))     # ln 8
    2.079442
    """
    live = labels != ignore_index
    chosen = logits[live]  # (N, C): softmax is computed for the N live rows only
    log_probs = chosen - chosen.max(axis=-1, keepdims=True)
    log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))
    count = max(len(chosen), 1)
    of_labels = log_probs[np.arange(len(chosen)), labels[live]]
    zero, divisor = logits.dtype.type(0), logits.dtype.type(count)
    loss = (zero - of_labels.sum(dtype=logits.dtype)) / divisor  # 0 - 0 is 0 where -0 would be -0.0
    return loss, (log_probs, live, labels, count)


def cross_entropy_backward(dloss: float, cache: Cache) -> np.ndarray:
    """dlogits = dloss (softmax(logits) - onehot(label)) / count at live positions, 0 elsewhere."""
    log_probs, live, labels, count = cache
    # ∂(-log softmax(z)[label]) / ∂z = softmax(z) - onehot(label)
    dchosen = np.exp(log_probs)
    dchosen[np.arange(len(dchosen)), labels[live]] -= 1
    dchosen *= float(dloss) / count
    dlogits = np.zeros((*labels.shape, dchosen.shape[-1]), dchosen.dtype)
    dlogits[live] = dchosen
    return dlogits


def mse_loss_forward(x: np.ndarray, target: np.ndarray) -> tuple[np.floating, Cache]:
    """loss = mean (x - target)², for regression; `x` and `target` have the same shape.

    Examples
    --------
    >>> print(mse_loss_forward(np.array([1.0, 4.0]), np.array([1.0, 2.0]))[0])
    2.0
    """
    difference = x - target
    return np.square(difference).mean(), difference


def mse_loss_backward(dloss: float, cache: Cache) -> np.ndarray:
    """dx = dloss 2 (x - target) / count."""
    difference = cache
    # loss = mean(difference²)
    return difference * (2 * float(dloss) / difference.size)


def binary_cross_entropy_with_logits_forward(x: np.ndarray, target: np.ndarray) -> tuple[np.floating, Cache]:
    """loss = -mean of t log s(x) + (1-t) log(1 - s(x)), with s(x) = 1 / (1 + exp(-x)); for many labels at once.

    Written as max(x, 0) - x t + log(1 + exp(-|x|)), whose exponential cannot overflow.

    Examples
    --------
    >>> loss, cache = binary_cross_entropy_with_logits_forward(np.array([0.0, 1e4]), np.array([1.0, 1.0]))
    >>> print(round(float(loss), 6))     # half of ln 2
    0.346574
    """
    loss = (np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))).mean()
    return loss, (x, target)


def binary_cross_entropy_with_logits_backward(dloss: float, cache: Cache) -> np.ndarray:
    """dx = dloss (s(x) - target) / count."""
    x, target = cache
    # s(x) = ½ (1 + tanh(x/2)): the form whose exponential cannot overflow
    sigmoid = 0.5 * (1 + np.tanh(0.5 * x))
    return (sigmoid - target) * (float(dloss) / x.size)
