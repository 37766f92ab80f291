"""BERT itself, from ids to hidden states: figure 1 of the Transformer paper, left half, and the BERT paper's section 3.

    BertModel
      embeddings       BertEmbeddings     word + position + segment, normalized
      encoder          BertEncoder        L times
        layer[i]       BertLayer
          attention    BertAttention
            self       BertSelfAttention  Q, K, V and their A heads
            output     BertOutput         projection, + residual, normalized
          intermediate BertIntermediate   H -> I and GELU
          output       BertOutput         I -> H, + residual, normalized
      pooler           BertPooler         tanh(W h_[CLS] + b)

Every class has the name and the attributes of the reference library, so that a path here is a key of the published
files.  Axes (B, S, H, A, D, I, V, L) as in `nn/functional.py`.

Here: the architecture and what is kept for backward.  Not here: the heads (`heads.py`), files (`pretrained.py`),
the checks of the inputs (`inputs.py`).  Read next: `heads.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..configuration import BertConfig
from ..nn import functional as F
from ..nn.functional import Cache
from ..nn.layers import Activation, Dropout, Embedding, LayerNorm, Linear
from ..nn.module import Module
from .inputs import check_inputs
from .outputs import BaseModelOutputWithPooling, as_gradients
from .pretrained import BertPreTrainedModel

CACHE_POLICIES = ("keep", "drop", "recompute")


class BertEmbeddings(Module):
    """LayerNorm(word + position + segment), then dropout.  The positions are learnt, not sinusoids."""

    def __init__(self, config: BertConfig, dtype: DTypeLike, rng: np.random.Generator) -> None:
        H = config.hidden_size
        self.word_embeddings = Embedding(config.vocab_size, H, config.pad_token_id, dtype)
        self.position_embeddings = Embedding(config.max_position_embeddings, H, None, dtype)
        self.token_type_embeddings = Embedding(config.type_vocab_size, H, None, dtype)
        self.LayerNorm = LayerNorm(H, config.layer_norm_eps, dtype)
        self.dropout = Dropout(config.hidden_dropout_prob, rng)

    def forward(
        self,
        input_ids: np.ndarray | None,
        token_type_ids: np.ndarray,
        position_ids: np.ndarray,
        inputs_embeds: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Cache]:
        """Embed ids of shape (B, S); `inputs_embeds` (B, S, H) takes the place of the looked-up words."""
        word_cache = None
        if inputs_embeds is None:
            inputs_embeds, word_cache = self.word_embeddings.forward(input_ids)  # (B, S, H)
        positions, position_cache = self.position_embeddings.forward(position_ids)  # (B or 1, S, H)
        types, type_cache = self.token_type_embeddings.forward(token_type_ids)  # (B, S, H)
        y, norm_cache = self.LayerNorm.forward(inputs_embeds + positions + types)
        y, dropout_cache = self.dropout.forward(y)
        return y, (word_cache, position_cache, len(positions), type_cache, norm_cache, dropout_cache)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        """Gradient of the word vectors, (B, S, H), whether they were looked up or passed in."""
        word_cache, position_cache, position_rows, type_cache, norm_cache, dropout_cache = cache
        dy = self.dropout.backward(dy, dropout_cache)
        # y = LayerNorm(words + positions + types): a sum passes its gradient to each term
        dsum = self.LayerNorm.backward(dy, norm_cache)
        shared = position_rows < len(dsum)  # one row of positions was broadcast over the batch
        self.position_embeddings.backward(dsum.sum(axis=0, keepdims=True) if shared else dsum, position_cache)
        self.token_type_embeddings.backward(dsum, type_cache)
        if word_cache is not None:
            self.word_embeddings.backward(dsum, word_cache)
        return dsum


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
        B, S, H = x.shape
        return x.reshape(B, S, self.num_attention_heads, -1).transpose(0, 2, 1, 3)  # (B, A, S, D)

    def _merge_heads(self, x: np.ndarray) -> np.ndarray:
        B, A, S, D = x.shape
        return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)  # (B, S, H)

    def forward(
        self, hidden_states: np.ndarray, attention_mask: np.ndarray | None
    ) -> tuple[tuple[np.ndarray, np.ndarray], Cache]:
        """Return ((context (B, S, H), attention weights (B, A, S, S)), cache)."""
        query, query_cache = self.query.forward(hidden_states)
        key, key_cache = self.key.forward(hidden_states)
        value, value_cache = self.value.forward(hidden_states)
        (context, probs), attention_cache = F.scaled_dot_product_attention_forward(
            self._split_heads(query),
            self._split_heads(key),
            self._split_heads(value),
            attention_mask,
            self.dropout.active_p,
            self.dropout.rng,
        )
        return (self._merge_heads(context), probs), (query_cache, key_cache, value_cache, attention_cache)

    def backward(self, dcontext: np.ndarray, dprobs: np.ndarray | None, cache: Cache) -> np.ndarray:
        """Gradient of the hidden states, which went into queries, keys and values."""
        query_cache, key_cache, value_cache, attention_cache = cache
        dquery, dkey, dvalue = F.scaled_dot_product_attention_backward(
            self._split_heads(dcontext), dprobs, attention_cache
        )
        dhidden_states = self.query.backward(self._merge_heads(dquery), query_cache)
        dhidden_states += self.key.backward(self._merge_heads(dkey), key_cache)
        dhidden_states += self.value.backward(self._merge_heads(dvalue), value_cache)
        return dhidden_states


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

    def forward(
        self, hidden_states: np.ndarray, attention_mask: np.ndarray | None
    ) -> tuple[tuple[np.ndarray, np.ndarray], Cache]:
        (context, probs), self_cache = self.self.forward(hidden_states, attention_mask)
        y, output_cache = self.output.forward(context, hidden_states)
        return (y, probs), (self_cache, output_cache)

    def backward(self, dy: np.ndarray, dprobs: np.ndarray | None, cache: Cache) -> np.ndarray:
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

    def forward(
        self, hidden_states: np.ndarray, attention_mask: np.ndarray | None
    ) -> tuple[tuple[np.ndarray, np.ndarray], Cache]:
        """Return ((hidden states (B, S, H), attention weights (B, A, S, S)), cache)."""
        (attended, probs), attention_cache = self.attention.forward(hidden_states, attention_mask)
        h, intermediate_cache = self.intermediate.forward(attended)  # (B, S, I)
        y, output_cache = self.output.forward(h, attended)
        return (y, probs), (attention_cache, intermediate_cache, output_cache)

    def backward(self, dy: np.ndarray, dprobs: np.ndarray | None, cache: Cache) -> np.ndarray:
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
        attention_mask: np.ndarray | None,
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
                    kept.append((hidden_states, self.rng.bit_generator.state))
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
        self, i: int, attention_mask: np.ndarray | None, hidden_states: np.ndarray, rng_state: Any
    ) -> Cache:
        """The cache of layer i once more, with the same elements dropped as the first time."""
        rng_state_now = self.rng.bit_generator.state
        self.rng.bit_generator.state = rng_state
        _, cache = self.layer[i].forward(hidden_states, attention_mask)
        self.rng.bit_generator.state = rng_state_now
        return cache


def _one_per_output(name: str, gradients: Any, count: int) -> Any:
    """The gradients given for a tuple of outputs; None stands for none at all."""
    if gradients is None:
        return [None] * count
    if len(gradients) != count:
        raise ValueError(f"{len(gradients)} gradients for {name}, which has {count}; use None for those without")
    return gradients


class BertPooler(Module):
    """tanh(W h + b) of the hidden state of the first token, [CLS]."""

    def __init__(self, config: BertConfig, dtype: DTypeLike) -> None:
        self.dense = Linear(config.hidden_size, config.hidden_size, dtype)
        self.activation = Activation("tanh")

    def forward(self, hidden_states: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, dense_cache = self.dense.forward(hidden_states[:, 0])
        y, act_cache = self.activation.forward(h)  # (B, H)
        return y, (dense_cache, act_cache, hidden_states.shape)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        """Gradient of all hidden states, (B, S, H): zero but for the first token."""
        dense_cache, act_cache, shape = cache
        dhidden_states = np.zeros(shape, dy.dtype)
        dhidden_states[:, 0] = self.dense.backward(self.activation.backward(dy, act_cache), dense_cache)
        return dhidden_states


class BertModel(BertPreTrainedModel):
    """The encoder without a head: ids in, hidden states out.

    Parameters
    ----------
    config : BertConfig
    add_pooling_layer : bool
        Whether to compute `pooler_output`.
    dtype : float32 or float64
    rng : np.random.Generator, seed or None
        For fresh weights and for dropout; None draws a seed from the operating system.
    init_weights : bool
        False leaves the weights at 0, to be loaded.

    Examples
    --------
    >>> config = BertConfig.preset("tiny", vocab_size=50)
    >>> model = BertModel(config, rng=0).eval()
    >>> outputs = model(np.array([[2, 7, 3]]))
    >>> outputs.last_hidden_state.shape, outputs.pooler_output.shape
    ((1, 3, 128), (1, 128))
    """

    def __init__(
        self,
        config: BertConfig,
        add_pooling_layer: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, dtype, rng)
        self.embeddings = BertEmbeddings(config, dtype, self.rng)
        self.encoder = BertEncoder(config, dtype, self.rng)
        self.pooler = BertPooler(config, dtype) if add_pooling_layer else None
        if init_weights:
            self.init_weights()

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Run BERT over a batch.

        Parameters
        ----------
        input_ids : integer array of shape (B, S)
        attention_mask : array of shape (B, S), or (B, S, S) for a mask of its own for every query
            1 for tokens, 0 for padding; all ones if not given.
        token_type_ids : integer array of shape (B, S)
            Segments: 0 for the first sentence, 1 for the second; all 0 if not given.
        position_ids : integer array of shape (B, S) or (S,)
            0, 1, 2 … if not given.
        inputs_embeds : array of shape (B, S, H)
            Word vectors in place of `input_ids`.
        output_attentions, output_hidden_states : bool
            Whether to return them; None means as the configuration says.
        return_dict : bool
            False returns a plain tuple instead of named outputs.
        cache_policy : "keep", "recompute" or "drop"
            What is kept for backward; see `BertEncoder`.  Calling `model(...)` drops.

        Returns
        -------
        outputs : BaseModelOutputWithPooling
        cache : for `backward`

        Raises
        ------
        ValueError, TypeError
            For inputs that do not fit; see `inputs.py`.
        """
        inputs = check_inputs(
            self.config, self.dtype, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        )
        hidden_states, embeddings_cache = self.embeddings.forward(
            inputs.input_ids, inputs.token_type_ids, inputs.position_ids, inputs.inputs_embeds
        )
        (hidden_states, all_hidden_states, attentions), encoder_cache = self.encoder.forward(
            hidden_states,
            inputs.additive_mask,
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            self.config.output_attentions if output_attentions is None else output_attentions,
            cache_policy,
        )
        pooler_output, pooler_cache = None, None
        if self.pooler is not None:
            pooler_output, pooler_cache = self.pooler.forward(hidden_states)
        outputs = BaseModelOutputWithPooling(hidden_states, pooler_output, all_hidden_states, attentions)
        cache = embeddings_cache, encoder_cache, pooler_cache, hidden_states.shape
        return (outputs if return_dict else outputs.to_tuple()), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """Add the gradients of all parameters and return that of the word vectors, (B, S, H).

        Parameters
        ----------
        doutputs : BaseModelOutputWithPooling, mapping, or ndarray of shape (B, S, H)
            Gradients by the names of the outputs, None for those without; an array alone is the gradient of
            `last_hidden_state`.
        cache : from `forward`

        Raises
        ------
        RuntimeError
            If the cache has been used already, or nothing was kept in it.
        """
        embeddings_cache, encoder_cache, pooler_cache, shape = cache
        doutputs = as_gradients(BaseModelOutputWithPooling, doutputs, has_loss=False)
        dhidden_states = np.zeros(shape, self.dtype)
        if doutputs.last_hidden_state is not None:
            dhidden_states += doutputs.last_hidden_state
        if doutputs.pooler_output is not None:
            if self.pooler is None:
                raise ValueError("a gradient of pooler_output was given, but this model has no pooler")
            dhidden_states += self.pooler.backward(doutputs.pooler_output, pooler_cache)
        dhidden_states = self.encoder.backward(
            dhidden_states, doutputs.hidden_states, doutputs.attentions, encoder_cache
        )
        return self.embeddings.backward(dhidden_states, embeddings_cache)
