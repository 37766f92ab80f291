"""The layers that BERT is assembled from: each owns parameters and calls one pair of `functional.py`.

Layers call `F.op_forward` through the module name, never a name imported from it: assigning
`F.layer_norm_forward = mine` puts your function into every layer of every model.

Here: Linear, LayerNorm, Embedding, Dropout, Activation.  Not here: anything that knows BERT (`models/bert.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from . import functional as F
from .functional import Cache
from .init import truncated_normal
from .module import Module, Parameter

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_new", "gelu_pytorch_tanh": "gelu_new", "relu": "relu", "tanh": "tanh"}
"""The published names of activations -> the name of the pair in `functional.py`."""


class Linear(Module):
    """y = x Wᵀ + b over the last axis.  Born with zeros; `reset_parameters` draws.

    Examples
    --------
    >>> layer = Linear(3, 2)
    >>> layer.reset_parameters(np.random.default_rng(0), std=0.02)
    >>> y, cache = layer.forward(np.ones((5, 4, 3), np.float32))
    >>> dx = layer.backward(np.ones_like(y), cache)
    >>> y.shape, dx.shape, layer.weight.grad.shape
    ((5, 4, 2), (5, 4, 3), (2, 3))
    """

    def __init__(self, in_features: int, out_features: int, dtype: DTypeLike = np.float32) -> None:
        self.weight = Parameter(np.zeros((out_features, in_features), dtype))
        self.bias = Parameter(np.zeros(out_features, dtype))

    def reset_parameters(self, rng: np.random.Generator, std: float) -> None:
        """Draw the weight from a truncated normal distribution; set the bias to 0."""
        truncated_normal(rng, self.weight.data, std)
        self.bias.data[...] = 0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        return F.linear_forward(x, self.weight.data, self.bias.data)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        dx, dweight, dbias = F.linear_backward(dy, cache)
        self.weight.accumulate(dweight, copy=False)
        self.bias.accumulate(dbias, copy=False)
        return dx


class LayerNorm(Module):
    """Layer normalization over the last axis, with gain `weight` and shift `bias`."""

    def __init__(self, normalized_shape: int, eps: float = 1e-12, dtype: DTypeLike = np.float32) -> None:
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, dtype))
        self.bias = Parameter(np.zeros(normalized_shape, dtype))

    def reset_parameters(self, rng: np.random.Generator, std: float) -> None:
        """Gain 1, shift 0; nothing is drawn."""
        self.weight.data[...] = 1
        self.bias.data[...] = 0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        return F.layer_norm_forward(x, self.weight.data, self.bias.data, self.eps)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        dx, dweight, dbias = F.layer_norm_backward(dy, cache)
        self.weight.accumulate(dweight, copy=False)
        self.bias.accumulate(dbias, copy=False)
        return dx


class Embedding(Module):
    """A table whose rows are looked up by id; row `padding_idx` starts at 0 and receives no gradient."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.padding_idx = padding_idx
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim), dtype))

    def reset_parameters(self, rng: np.random.Generator, std: float) -> None:
        """Draw the table from a truncated normal distribution; set the padding row to 0."""
        truncated_normal(rng, self.weight.data, std)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, ids: np.ndarray) -> tuple[np.ndarray, Cache]:
        return F.embedding_forward(ids, self.weight.data, self.padding_idx)

    def backward(self, dy: np.ndarray, cache: Cache) -> None:
        """Ids have no gradient, so nothing is returned."""
        self.weight.accumulate(F.embedding_backward(dy, cache), copy=False)


class Dropout(Module):
    """Drops elements in training mode, with draws from the model's one generator; the identity in eval mode."""

    def __init__(self, p: float, rng: np.random.Generator) -> None:
        self.p = p
        self.rng = rng

    @property
    def active_p(self) -> float:
        """The probability of dropping now: 0 in eval mode."""
        return self.p if self.training else 0.0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        return F.dropout_forward(x, self.active_p, self.rng)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        return F.dropout_backward(dy, cache)


class Activation(Module):
    """The activation that a configuration names; see `ACTIVATIONS`."""

    def __init__(self, name: str) -> None:
        self.operation = ACTIVATIONS[name]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        return getattr(F, f"{self.operation}_forward")(x)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        return getattr(F, f"{self.operation}_backward")(dy, cache)
