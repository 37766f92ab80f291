"""The encoder: figure 1 of the Transformer paper, left half.

    BertEncoder                        L times
      layer[i]         BertLayer
        attention      BertAttention
          self         BertSelfAttention   Q, K, V and their A heads
          output       BertOutput          projection, + residual, normalized
        intermediate   BertIntermediate    H -> I and GELU
        output         BertOutput          I -> H, + residual, normalized

Every class has the name and the attributes of the reference library, so that a path here is a key of the published
files.  Axes (B, S, H, A, D, I, L) as in `nn/functional.py`.

Here: one layer, the stack of layers, and what is kept for backward.  Read next: `bert.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..configuration import BertConfig
from ..nn import functional as F
from ..nn.functional import Cache
from ..nn.layers import Activation, Dropout, LayerNorm, Linear
from ..nn.module import Module
from .packing import Packing

Mask = np.ndarray | Packing | None  # who may attend to whom: see `BertSelfAttention.forward`

CACHE_POLICIES = ("keep", "drop", "recompute")


class BertSelfAttention(Module):
    """Queries, keys and values of all heads, and attention among the tokens of each sequence."""

    def __init__(self, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        H = config.hidden_size
        self.num_attention_heads = config.num_attention_heads
        self.query = Linear(H, H, dtype)
        self.key = Linear(H, H, dtype)
        self.value = Linear(H, H, dtype)
        self.dropout = Dropout(config.attention_probs_dropout_prob, rng)

    def _split_heads(self, x: np.ndarray) -> np.ndarray:
        B, S, _ = x.shape
        return x.reshape(B, S, self.num_attention_heads, -1).transpose(0, 2, 1, 3)  # (B, A, S, D)

    def _merge_heads(self, x: np.ndarray) -> np.ndarray:
        B, A, S, D = x.shape
        return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)  # (B, S, H)

    def forward(self, hidden_states: np.ndarray, attention_mask: Mask) -> tuple[tuple[np.ndarray, Any], Cache]:
        """Return ((context (B, S, H), attention weights (B, A, S, S)), cache).

        Parameters
        ----------
        hidden_states : ndarray of shape (B, S, H), or (1, N, H) if packed
        attention_mask : ndarray that broadcasts to (B, A, S, S), None, or a Packing
            Added to the scores.  A Packing says which of N packed tokens attend to each other; the attention weights
            are then a list, one array for each of its groups.
        """
        query, query_cache = self.query.forward(hidden_states)
        key, key_cache = self.key.forward(hidden_states)
        value, value_cache = self.value.forward(hidden_states)
        if isinstance(attention_mask, Packing):
            split = attention_mask.split
            parts = [self._attend(*qkv, None) for qkv in zip(split(query), split(key), split(value), strict=True)]
            context = attention_mask.join([context for context, _, _ in parts])
            probs: Any = [probs for _, probs, _ in parts]
            attention_cache: Any = [cache for _, _, cache in parts]
        else:
            context, probs, attention_cache = self._attend(query, key, value, attention_mask)
        return (context, probs), (query_cache, key_cache, value_cache, attention_cache, attention_mask)

    def backward(self, dcontext: np.ndarray, dprobs: Any, cache: Cache) -> np.ndarray:
        """Gradient of the hidden states, which went into queries, keys and values."""
        query_cache, key_cache, value_cache, attention_cache, attention_mask = cache
        if isinstance(attention_mask, Packing):
            dprobs = [None] * len(attention_cache) if dprobs is None else dprobs
            of_parts = zip(attention_mask.split(dcontext), dprobs, attention_cache, strict=True)
            dparts = [self._attend_backward(*part) for part in of_parts]
            dquery, dkey, dvalue = (attention_mask.join(list(part)) for part in zip(*dparts, strict=True))
        else:
            dquery, dkey, dvalue = self._attend_backward(dcontext, dprobs, attention_cache)
        return (
            self.query.backward(dquery, query_cache)
            + self.key.backward(dkey, key_cache)
            + self.value.backward(dvalue, value_cache)
        )

    def _attend(
        self, query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, Cache]:
        (context, probs), cache = F.scaled_dot_product_attention_forward(
            self._split_heads(query),
            self._split_heads(key),
            self._split_heads(value),
            mask,
            self.dropout.active_p,
            self.dropout.rng,
        )
        return self._merge_heads(context), probs, cache

    def _attend_backward(self, dcontext: np.ndarray, dprobs: np.ndarray | None, cache: Cache) -> tuple[np.ndarray, ...]:
        gradients = F.scaled_dot_product_attention_backward(self._split_heads(dcontext), dprobs, cache)
        return tuple(self._merge_heads(gradient) for gradient in gradients)


class BertOutput(Module):
    """LayerNorm(dropout(dense(x)) + residual): how each half of a layer ends.

    The reference library has it twice, as BertSelfOutput (H -> H) and BertOutput (I -> H).  The norm comes after the
    residual is added ("post-LN"), in contrast to most later Transformers.
    """

    def __init__(self, in_features: int, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        self.dense = Linear(in_features, config.hidden_size, dtype)
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps, dtype)
        self.dropout = Dropout(config.hidden_dropout_prob, rng)

    def forward(self, x: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, dense_cache = self.dense.forward(x)
        h, dropout_cache = self.dropout.forward(h)
        y, norm_cache = self.LayerNorm.forward(h + residual)
        return y, (dense_cache, dropout_cache, norm_cache)

    def backward(self, dy: np.ndarray, cache: Cache) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of x and of the residual."""
        dense_cache, dropout_cache, norm_cache = cache
        # y = LayerNorm(h + residual): a sum passes its gradient to both terms
        dresidual = self.LayerNorm.backward(dy, norm_cache)
        dh = self.dropout.backward(dresidual, dropout_cache)
        return self.dense.backward(dh, dense_cache), dresidual


class BertAttention(Module):
    """The first half of a layer: self-attention, then projection, residual and norm."""

    def __init__(self, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        self.self = BertSelfAttention(config, dtype, rng)
        self.output = BertOutput(config.hidden_size, config, dtype, rng)

    def forward(self, hidden_states: np.ndarray, attention_mask: Mask) -> tuple[tuple[np.ndarray, Any], Cache]:
        (context, probs), self_cache = self.self.forward(hidden_states, attention_mask)
        y, output_cache = self.output.forward(context, hidden_states)
        return (y, probs), (self_cache, output_cache)

    def backward(self, dy: np.ndarray, dprobs: Any, cache: Cache) -> np.ndarray:
        self_cache, output_cache = cache
        dcontext, dresidual = self.output.backward(dy, output_cache)
        return self.self.backward(dcontext, dprobs, self_cache) + dresidual


class BertIntermediate(Module):
    """The wide part of the feed-forward network: activation(dense(x)), H -> I."""

    def __init__(self, config: BertConfig, dtype: DTypeLike) -> None:
        self.dense = Linear(config.hidden_size, config.intermediate_size, dtype)
        self.intermediate_act_fn = Activation(config.hidden_act)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, dense_cache = self.dense.forward(x)
        y, act_cache = self.intermediate_act_fn.forward(h)
        return y, (dense_cache, act_cache)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        dense_cache, act_cache = cache
        return self.dense.backward(self.intermediate_act_fn.backward(dy, act_cache), dense_cache)


class BertLayer(Module):
    """One of the L layers: attention, then the feed-forward network, each with its residual and norm."""

    def __init__(self, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        self.attention = BertAttention(config, dtype, rng)
        self.intermediate = BertIntermediate(config, dtype)
        self.output = BertOutput(config.intermediate_size, config, dtype, rng)

    def forward(self, hidden_states: np.ndarray, attention_mask: Mask) -> tuple[tuple[np.ndarray, Any], Cache]:
        """Return ((hidden states (B, S, H), attention weights (B, A, S, S)), cache)."""
        (attended, probs), attention_cache = self.attention.forward(hidden_states, attention_mask)
        h, intermediate_cache = self.intermediate.forward(attended)  # (B, S, I)
        y, output_cache = self.output.forward(h, attended)
        return (y, probs), (attention_cache, intermediate_cache, output_cache)

    def backward(self, dy: np.ndarray, dprobs: Any, cache: Cache) -> np.ndarray:
        attention_cache, intermediate_cache, output_cache = cache
        dh, dattended = self.output.backward(dy, output_cache)
        dattended = dattended + self.intermediate.backward(dh, intermediate_cache)
        return self.attention.backward(dattended, dprobs, attention_cache)


class BertEncoder(Module):
    """The L layers, and the one place that decides what is kept for backward.

    ============  ==========================  ==========================================
    cache_policy  memory for L layers         cost
    ============  ==========================  ==========================================
    "keep"        all intermediate arrays     none
    "recompute"   the input of each layer     a second forward of each layer in backward
    "drop"        nothing                     no backward is possible
    ============  ==========================  ==========================================
    """

    def __init__(self, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        self.rng = rng
        self.layer = [BertLayer(config, dtype, rng) for _ in range(config.num_hidden_layers)]

    def forward(
        self,
        hidden_states: np.ndarray,
        attention_mask: Mask,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        cache_policy: str = "keep",
    ) -> tuple[tuple[np.ndarray, Any, Any], Cache]:
        """Return ((last hidden state, L+1 hidden states or None, L attention weights or None), cache)."""
        if cache_policy not in CACHE_POLICIES:
            raise ValueError(f"cache_policy {cache_policy!r} is unknown; choose from {', '.join(CACHE_POLICIES)}")
        kept: list[Any] = []
        all_hidden_states, attentions = [hidden_states], []
        for layer in self.layer:
            if cache_policy == "keep":
                (hidden_states, probs), cache = layer.forward(hidden_states, attention_mask)
                kept.append(cache)
            else:
                if cache_policy == "recompute":
                    kept.append((hidden_states, self.rng.bit_generator.state, layer.training))
                hidden_states, probs = layer.forward(hidden_states, attention_mask)[0]
            if output_hidden_states:
                all_hidden_states.append(hidden_states)
            if output_attentions:
                attentions.append(probs)
        outputs = (
            hidden_states,
            tuple(all_hidden_states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
        )
        return outputs, (kept, attention_mask, cache_policy)

    def backward(
        self, dhidden_states: np.ndarray, dall_hidden_states: Any, dattentions: Any, cache: Cache
    ) -> np.ndarray:
        """Gradient of the first hidden states, (B, S, H).

        Parameters
        ----------
        dhidden_states : ndarray of shape (B, S, H)
            Gradient of the last hidden state.
        dall_hidden_states, dattentions : sequence of L+1, of L arrays, or None
            Gradients of the other outputs; each array may be None too.
        cache : from `forward`
            Emptied layer by layer, so that memory falls as backward goes.

        Raises
        ------
        RuntimeError
            If the cache has been used already, or nothing was kept in it.
        """
        kept, attention_mask, cache_policy = cache
        L = len(self.layer)
        if cache_policy == "drop":
            raise RuntimeError("nothing was kept for backward; run forward with cache_policy='keep' or 'recompute'")
        if len(kept) < L:
            raise RuntimeError("this cache has been used by a backward before; run forward again")
        dall_hidden_states = _one_per_output("hidden_states", dall_hidden_states, L + 1)
        dattentions = _one_per_output("attentions", dattentions, L)
        if dall_hidden_states[L] is not None:
            dhidden_states = dhidden_states + dall_hidden_states[L]
        for i in reversed(range(L)):
            layer_cache = kept.pop()
            if cache_policy == "recompute":
                layer_cache = self._forward_again(i, attention_mask, *layer_cache)
            dhidden_states = self.layer[i].backward(dhidden_states, dattentions[i], layer_cache)
            if dall_hidden_states[i] is not None:
                dhidden_states = dhidden_states + dall_hidden_states[i]
        return dhidden_states

    def _forward_again(
        self, i: int, attention_mask: Mask, hidden_states: np.ndarray, rng_state: Any, training: bool
    ) -> Cache:
        """The cache of layer i once more, in the mode of the first time and with the same elements dropped."""
        rng_state_now, training_now = self.rng.bit_generator.state, self.layer[i].training
        self.rng.bit_generator.state = rng_state
        _, cache = self.layer[i].train(training).forward(hidden_states, attention_mask)
        self.layer[i].train(training_now)
        self.rng.bit_generator.state = rng_state_now
        return cache


def _one_per_output(name: str, gradients: Any, count: int) -> Any:
    """The gradients given for a tuple of outputs; None stands for none at all."""
    if gradients is None:
        return [None] * count
    if len(gradients) != count:
        raise ValueError(f"{len(gradients)} gradients for {name}, which has {count}; use None for those without")
    return gradients
