"""The heads that BERT is trained with, section 3.1 of its paper.

    BertForPreTraining               cls.predictions, cls.seq_relationship
    BertForMaskedLM                  cls.predictions                           task 1
    BertForNextSentencePrediction    cls.seq_relationship                      task 2

Each is called like `BertModel`, plus labels, and returns `loss` (None without labels) and logits first.
`model.backward(1.0, cache)` is the gradient of the loss; a gradient for any other output may be given instead, or too.

Here: these heads, forward and backward.  Read next: `task_heads.py`, the heads it is fine-tuned to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..configuration import BertConfig
from ..nn.functional import Cache
from ..nn.layers import Activation, Embedding, LayerNorm, Linear
from ..nn.module import Module, Parameter
from .bert import BertModel
from .head_ops import add, cross_entropy, dcross_entropy, through
from .outputs import (
    BaseModelOutputWithPooling,
    BertForPreTrainingOutput,
    MaskedLMOutput,
    NextSentencePredictorOutput,
)
from .pretrained import BertPreTrainedModel


class BertPredictionHeadTransform(Module):
    """LayerNorm(activation(dense(h))), H -> H, before the decoder of the MLM head."""

    def __init__(self, config: BertConfig, dtype: DTypeLike) -> None:
        self.dense = Linear(config.hidden_size, config.hidden_size, dtype)
        self.transform_act_fn = Activation(config.hidden_act)
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps, dtype)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, dense_cache = self.dense.forward(x)
        h, act_cache = self.transform_act_fn.forward(h)
        y, norm_cache = self.LayerNorm.forward(h)
        return y, (dense_cache, act_cache, norm_cache)

    def backward(self, dy: np.ndarray, cache: Cache) -> np.ndarray:
        dense_cache, act_cache, norm_cache = cache
        dh = self.LayerNorm.backward(dy, norm_cache)
        dh = self.transform_act_fn.backward(dh, act_cache)
        return self.dense.backward(dh, dense_cache)


class BertLMPredictionHead(Module):
    """Logits over the vocabulary, (..., H) -> (..., V).

    The decoder's matrix is the word embedding table, and its bias is `bias`: one `Parameter` in two places each.
    With `tie_word_embeddings` false the decoder has its own, and `bias` stands in the files without taking part.
    """

    def __init__(self, config: BertConfig, dtype: DTypeLike, word_embeddings: Embedding) -> None:
        self.transform = BertPredictionHeadTransform(config, dtype)
        self.bias = Parameter(np.zeros(config.vocab_size, dtype))
        self.decoder = Linear(config.hidden_size, config.vocab_size, dtype)
        if config.tie_word_embeddings:
            self.decoder.weight = word_embeddings.weight
            self.decoder.bias = self.bias

    def reset_parameters(self, rng: np.random.Generator, std: float) -> None:
        """Set the bias to 0."""
        self.bias.data[...] = 0

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, transform_cache = self.transform.forward(x)
        logits, decoder_cache = self.decoder.forward(h)
        return logits, (transform_cache, decoder_cache)

    def backward(self, dlogits: np.ndarray, cache: Cache) -> np.ndarray:
        transform_cache, decoder_cache = cache
        return self.transform.backward(self.decoder.backward(dlogits, decoder_cache), transform_cache)


class BertPreTrainingHeads(Module):
    """The name space `cls` of the files; a model has `predictions`, `seq_relationship` or both."""

    def __init__(
        self, config: BertConfig, dtype: DTypeLike, word_embeddings: Embedding | None, next_sentence: bool
    ) -> None:
        if word_embeddings is not None:
            self.predictions = BertLMPredictionHead(config, dtype, word_embeddings)
        if next_sentence:
            self.seq_relationship = Linear(config.hidden_size, 2, dtype)


class BertForPreTraining(BertPreTrainedModel):
    """Masked words and next sentence at once; the loss is the sum of the two means.

    Examples
    --------
    >>> model = BertForPreTraining(BertConfig.preset("tiny", vocab_size=50), rng=0)
    >>> labels = np.array([[-100, 7, -100]])
    >>> outputs, cache = model.forward(np.array([[2, 4, 3]]), labels=labels, next_sentence_label=np.array([1]))
    >>> outputs.prediction_logits.shape, outputs.seq_relationship_logits.shape
    ((1, 3, 50), (1, 2))
    >>> dwords = model.backward(1.0, cache)
    >>> model.cls.predictions.bias.grad.shape
    (50,)
    """

    def _build(self, dtype: np.dtype) -> None:
        self.bert = BertModel(self.config, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(self.config, dtype, self.bert.embeddings.word_embeddings, True)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`, with labels.

        Parameters
        ----------
        labels : integer array of shape (B, S)
            The original id at masked positions, -100 elsewhere.
        next_sentence_label : integer array of shape (B,)
            0 if the second sentence follows the first, 1 if it is a random one.
            With one of the two labels the loss is that of one task (the reference library has no loss then).
        """
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, mlm_cache = self.cls.predictions.forward(bert.last_hidden_state)  # (B, S, V)
        nsp_logits, nsp_cache = self.cls.seq_relationship.forward(bert.pooler_output)  # (B, 2)
        mlm_loss, mlm_loss_cache = cross_entropy("labels", logits, labels)
        nsp_loss, nsp_loss_cache = cross_entropy("next_sentence_label", nsp_logits, next_sentence_label)
        loss = add(mlm_loss, nsp_loss)
        outputs = BertForPreTrainingOutput(loss, logits, nsp_logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, mlm_cache, nsp_cache, mlm_loss_cache, nsp_loss_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, mlm_cache, nsp_cache, mlm_loss_cache, nsp_loss_cache) = self._open(doutputs, cache)
        # loss = mlm_loss + nsp_loss
        dlogits = add(d.prediction_logits, dcross_entropy(d.loss, mlm_loss_cache))
        dnsp_logits = add(d.seq_relationship_logits, dcross_entropy(d.loss, nsp_loss_cache))
        dbert = BaseModelOutputWithPooling(
            through(self.cls.predictions.backward, dlogits, mlm_cache),
            through(self.cls.seq_relationship.backward, dnsp_logits, nsp_cache),
            d.hidden_states,
            d.attentions,
        )
        return self.bert.backward(dbert, bert_cache)


class BertForMaskedLM(BertPreTrainedModel):
    """Masked language modelling; no pooler."""

    def _build(self, dtype: np.dtype) -> None:
        self.bert = BertModel(self.config, False, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(self.config, dtype, self.bert.embeddings.word_embeddings, False)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`; labels of shape (B, S): the original id at masked positions, else -100."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, mlm_cache = self.cls.predictions.forward(bert.last_hidden_state)  # (B, S, V)
        loss, loss_cache = cross_entropy("labels", logits, labels)
        outputs = MaskedLMOutput(loss, logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, mlm_cache, loss_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, mlm_cache, loss_cache) = self._open(doutputs, cache)
        dlogits = add(d.logits, dcross_entropy(d.loss, loss_cache))
        dhidden = through(self.cls.predictions.backward, dlogits, mlm_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


class BertForNextSentencePrediction(BertPreTrainedModel):
    """Does sentence B follow sentence A?  Logit 0: it does; logit 1: it is a random one."""

    def _build(self, dtype: np.dtype) -> None:
        self.bert = BertModel(self.config, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(self.config, dtype, None, True)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`; labels of shape (B,): 0 is next, 1 is random."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, nsp_cache = self.cls.seq_relationship.forward(bert.pooler_output)  # (B, 2)
        loss, loss_cache = cross_entropy("labels", logits, labels)
        outputs = NextSentencePredictorOutput(loss, logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, nsp_cache, loss_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, nsp_cache, loss_cache) = self._open(doutputs, cache)
        dlogits = add(d.logits, dcross_entropy(d.loss, loss_cache))
        dpooled = through(self.cls.seq_relationship.backward, dlogits, nsp_cache)
        return self.bert.backward(BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions), bert_cache)
