"""BERT itself, from ids to hidden states: sections 3 and A.2 of its paper.

    BertModel
      embeddings   BertEmbeddings   word + position + segment, normalized
      encoder      BertEncoder      L layers (`encoder.py`)
      pooler       BertPooler       tanh(W h_[CLS] + b)

Here: what stands before and after the encoder, and the model.  Not here: the checks of the inputs (`inputs.py`), files
(`pretrained.py`).  Read next: `pretraining_heads.py`, `task_heads.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..configuration import BertConfig
from ..nn.functional import Cache
from ..nn.layers import Activation, Dropout, Embedding, LayerNorm, Linear
from ..nn.module import Module
from ..nn.parallel import in_parts, threads_for_parts
from .encoder import BertEncoder
from .inputs import check_inputs
from .outputs import BaseModelOutputWithPooling
from .packing import Packing
from .pretrained import BertPreTrainedModel

TOKENS_PER_PART = 128  # below, one product on two threads is faster than two products


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
        if input_ids is not None:
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
    dtype, rng, init_weights
        See `BertPreTrainedModel`.

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
        self.add_pooling_layer = add_pooling_layer
        super().__init__(config, dtype=dtype, rng=rng, init_weights=init_weights)

    def _build(self, dtype: np.dtype) -> None:
        self.embeddings = BertEmbeddings(self.config, dtype, self.rng)
        self.encoder = BertEncoder(self.config, dtype, self.rng)
        self.pooler = BertPooler(self.config, dtype) if self.add_pooling_layer else None

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = True,
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
        options = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            self.config.output_attentions if output_attentions is None else output_attentions,
            cache_policy,
        )
        real = self._real_tokens(attention_mask)
        parts = self._parts(hidden_states.shape, real, cache_policy)
        encoder_cache, packing = None, None
        if len(parts) > 1:
            encoded = self._encode_parts(parts, hidden_states, inputs.additive_mask, real, options)
        else:
            encoded, encoder_cache, packing = self._encode(hidden_states, inputs.additive_mask, real, options)
        hidden_states, all_hidden_states, attentions = encoded
        pooler_output, pooler_cache = None, None
        if self.pooler is not None:
            pooler_output, pooler_cache = self.pooler.forward(hidden_states)
        outputs = BaseModelOutputWithPooling(hidden_states, pooler_output, all_hidden_states, attentions)
        cache = self._close(outputs, cache_policy, embeddings_cache, encoder_cache, pooler_cache, packing)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def _real_tokens(self, attention_mask: Any) -> np.ndarray | None:
        """Which positions are no padding, (B, S); None if all are to be computed."""
        if not self.skips_padding or np.ndim(attention_mask) != 2:
            return None
        real = np.asarray(attention_mask) != 0
        return None if real.all() or not real.any() else real

    def _encode(
        self, hidden_states: np.ndarray, mask: np.ndarray | None, real: np.ndarray | None, options: tuple[Any, ...]
    ) -> tuple[tuple[np.ndarray, Any, Any], Cache, Packing | None]:
        """The encoder, without the padding if `real` tells where it is."""
        if real is None:
            return *self.encoder.forward(hidden_states, mask, *options), None
        packing = Packing(real)
        encoded, cache = self.encoder.forward(packing.pack(hidden_states), packing, *options)
        last, all_hidden_states, attentions = encoded
        all_hidden_states = all_hidden_states and tuple(map(packing.unpack, all_hidden_states))
        attentions = attentions and tuple(map(packing.unpack_attentions, attentions))
        return (packing.unpack(last), all_hidden_states, attentions), cache, packing

    def _parts(self, shape: tuple[int, ...], real: np.ndarray | None, cache_policy: str) -> list[np.ndarray]:
        """Sequences to be encoded together: all, or one part for each thread when nothing is kept or dropped.

        Dropout draws from one generator, in one order, and gradients are added in one order; so training is not
        divided.
        """
        lengths = np.full(shape[0], shape[1]) if real is None else real.sum(axis=1)
        count = min(threads_for_parts(), int((lengths > 0).sum()), int(lengths.sum()) // TOKENS_PER_PART)
        if count < 2 or cache_policy != "drop" or self.training:
            return [np.arange(shape[0])]
        by_length = np.argsort(-lengths, kind="stable")
        return [np.sort(by_length[i::count]) for i in range(count)]

    def _encode_parts(
        self,
        parts: list[np.ndarray],
        hidden_states: np.ndarray,
        mask: np.ndarray | None,
        real: np.ndarray | None,
        options: tuple[Any, ...],
    ) -> tuple[np.ndarray, Any, Any]:
        """`_encode` for each part on a thread of its own, and the outputs back in the order of the batch."""

        def encode(rows: np.ndarray) -> tuple[np.ndarray, Any, Any]:
            mask_of_part, real_of_part = (x if x is None else x[rows] for x in (mask, real))
            return self._encode(hidden_states[rows], mask_of_part, real_of_part, options)[0]

        back = np.argsort(np.concatenate(parts))
        last, all_hidden_states, attentions = zip(*in_parts(encode, parts), strict=True)

        def together(arrays: Any) -> np.ndarray:
            return np.concatenate(arrays)[back]

        return (
            together(last),
            all_hidden_states[0] and tuple(map(together, zip(*all_hidden_states, strict=True))),
            attentions[0] and tuple(map(together, zip(*attentions, strict=True))),
        )

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
        doutputs, (embeddings_cache, encoder_cache, pooler_cache, packing) = self._open(doutputs, cache)
        dhidden_states = np.zeros(cache.shapes.last_hidden_state, self.dtype)
        if doutputs.last_hidden_state is not None:
            dhidden_states += doutputs.last_hidden_state
        if doutputs.pooler_output is not None and self.pooler is not None:
            dhidden_states += self.pooler.backward(doutputs.pooler_output, pooler_cache)
        dall_hidden_states, dattentions = doutputs.hidden_states, doutputs.attentions
        if packing is not None:
            dhidden_states = packing.pack(dhidden_states)
            dall_hidden_states = dall_hidden_states and [
                d if d is None else packing.pack(d) for d in dall_hidden_states
            ]
            dattentions = dattentions and [d if d is None else packing.pack_attentions(d) for d in dattentions]
        dhidden_states = self.encoder.backward(dhidden_states, dall_hidden_states, dattentions, encoder_cache)
        if packing is not None:
            dhidden_states = packing.unpack(dhidden_states)
        return self.embeddings.backward(dhidden_states, embeddings_cache)
