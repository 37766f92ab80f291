"""The bare matrix products of a forward (and backward) pass: no implementation that multiplies can be faster.

Here: products of the model's own weights with arrays of the right shapes, nothing between them: no bias, softmax,
GELU, LayerNorm or embedding, no pooler.  Sequences of different length are multiplied without padding.
Not here: the model (`models/`), which adds the rest.  Read next: `worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..models import BertPreTrainedModel


def bare_products(model: BertPreTrainedModel, lengths: Sequence[int], backward: bool = False) -> Callable[[], None]:
    """A function that computes, for every layer, what a pass over sequences of these lengths must multiply.

    Forward: x Wᵀ with the six weights of a layer (4 of H x H, I x H and H x I) for all tokens at once, Q Kᵀ and P V
    for every head.  Backward adds, for each y = x Wᵀ, dx = dy W and dW = dyᵀ x, and the four products of attention.

    Parameters
    ----------
    model : a BERT model in float32
    lengths : sequence of int
        The number of tokens of each sequence.
    backward : bool
        Whether the products of backward are computed too.

    Returns
    -------
    function without arguments
        Results go to arrays that are made here, once.
    """
    weights = [p.data for name, p in model.named_parameters() if "encoder.layer." in name and p.data.ndim == 2]
    dense = _dense(weights, sum(lengths), backward)
    attention = _attention(model.config.num_attention_heads, model.config.head_size, lengths, backward)

    def run() -> None:
        for left, right, result in dense:
            np.matmul(left, right, out=result)
        for _ in range(model.config.num_hidden_layers):
            for left, right, result in attention:
                np.matmul(left, right, out=result)

    return run


Products = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _dense(weights: Sequence[np.ndarray], tokens: int, backward: bool) -> Products:
    """The products with all weights; weights of one shape share their inputs and results, not themselves."""
    rng = np.random.default_rng(0)
    sizes = {size for weight in weights for size in weight.shape}
    x = {size: rng.standard_normal((tokens, size), np.float32) for size in sizes}
    y = {size: np.empty((tokens, size), np.float32) for size in sizes}
    dweight = {weight.shape: np.empty(weight.shape, np.float32) for weight in weights if backward}
    products: Products = []
    for weight in weights:
        out, into = weight.shape
        products.append((x[into], weight.T, y[out]))
        if backward:
            products.append((x[out], weight, y[into]))  # dx = dy W
            products.append((x[out].T, x[into], dweight[weight.shape]))  # dW = dyᵀ x
    return products


def _attention(A: int, D: int, lengths: Sequence[int], backward: bool) -> Products:
    """The products of one layer's attention, sequences of one length together."""
    rng = np.random.default_rng(0)
    products: Products = []
    for S in sorted(set(lengths)):
        B = list(lengths).count(S)
        q, k, v = (rng.standard_normal((B, A, S, D), np.float32) for _ in range(3))
        scores, context = np.empty((B, A, S, S), np.float32), np.empty((B, A, S, D), np.float32)
        kept = rng.random((B, A, S, S), np.float32)
        products += [(q, k.swapaxes(-1, -2), scores), (kept, v, context)]
        if backward:
            products += [(q, v.swapaxes(-1, -2), scores), (kept.swapaxes(-1, -2), q, context)]  # dP, dV
            products += [(kept, k, context), (kept.swapaxes(-1, -2), q, context)]  # dQ, dK
    return products
