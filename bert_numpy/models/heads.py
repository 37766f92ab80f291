"""The heads: what BERT is trained with (MLM, NSP) and what it is fine-tuned to.

    BertForPreTraining               cls.predictions, cls.seq_relationship     section 3.1 of the BERT paper
    BertForMaskedLM                  cls.predictions                           3.1, task 1
    BertForNextSentencePrediction    cls.seq_relationship                      3.1, task 2
    BertForSequenceClassification    classifier on the pooled output           4.1
    BertForTokenClassification       classifier on every hidden state          5.3
    BertForQuestionAnswering         qa_outputs on every hidden state          4.2
    BertForMultipleChoice            classifier on the pooled output           4.4

Each is called like `BertModel`, plus labels, and returns `loss` (None without labels) and logits first.
`model.backward(1.0, cache)` is the gradient of the loss; a gradient for any other output may be given instead or too.

Here: heads, losses, their backward.  Not here: the encoder (`bert.py`).  Read next: `pretrained.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..configuration import BertConfig
from ..nn import functional as F
from ..nn.functional import Cache
from ..nn.layers import Activation, Dropout, Embedding, LayerNorm, Linear
from ..nn.module import Module, Parameter
from .bert import BertModel
from .inputs import as_array, as_ids
from .outputs import (
    BaseModelOutputWithPooling,
    BertForPreTrainingOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
    as_gradients,
)
from .pretrained import BertPreTrainedModel

IGNORE_INDEX = -100


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

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, dtype, rng)
        self.bert = BertModel(config, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(config, dtype, self.bert.embeddings.word_embeddings, True)
        if init_weights:
            self.init_weights()

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
        return_dict: bool = True,
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
        mlm_loss, mlm_loss_cache = _cross_entropy("labels", logits, labels)
        nsp_loss, nsp_loss_cache = _cross_entropy("next_sentence_label", nsp_logits, next_sentence_label)
        loss = _sum(mlm_loss, nsp_loss)
        outputs = BertForPreTrainingOutput(loss, logits, nsp_logits, bert.hidden_states, bert.attentions)
        cache = bert_cache, mlm_cache, nsp_cache, mlm_loss_cache, nsp_loss_cache
        return _returned(outputs, return_dict), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, mlm_cache, nsp_cache, mlm_loss_cache, nsp_loss_cache = cache
        has_loss = mlm_loss_cache is not None or nsp_loss_cache is not None
        d = as_gradients(BertForPreTrainingOutput, doutputs, has_loss)
        # loss = mlm_loss + nsp_loss
        dlogits = _sum(d.prediction_logits, _dcross_entropy(d.loss, mlm_loss_cache))
        dnsp_logits = _sum(d.seq_relationship_logits, _dcross_entropy(d.loss, nsp_loss_cache))
        dbert = BaseModelOutputWithPooling(
            _through(self.cls.predictions.backward, dlogits, mlm_cache),
            _through(self.cls.seq_relationship.backward, dnsp_logits, nsp_cache),
            d.hidden_states,
            d.attentions,
        )
        return self.bert.backward(dbert, bert_cache)


class BertForMaskedLM(BertPreTrainedModel):
    """Masked language modelling; no pooler."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, dtype, rng)
        self.bert = BertModel(config, False, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(config, dtype, self.bert.embeddings.word_embeddings, False)
        if init_weights:
            self.init_weights()

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
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`; labels of shape (B, S): the original id at masked positions, else -100."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, mlm_cache = self.cls.predictions.forward(bert.last_hidden_state)  # (B, S, V)
        loss, loss_cache = _cross_entropy("labels", logits, labels)
        outputs = MaskedLMOutput(loss, logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, mlm_cache, loss_cache)

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, mlm_cache, loss_cache = cache
        d = as_gradients(MaskedLMOutput, doutputs, loss_cache is not None)
        dlogits = _sum(d.logits, _dcross_entropy(d.loss, loss_cache))
        dhidden = _through(self.cls.predictions.backward, dlogits, mlm_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


class BertForNextSentencePrediction(BertPreTrainedModel):
    """Does sentence B follow sentence A?  Logit 0: it does; logit 1: it is a random one."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, dtype, rng)
        self.bert = BertModel(config, dtype=dtype, rng=self.rng, init_weights=False)
        self.cls = BertPreTrainingHeads(config, dtype, None, True)
        if init_weights:
            self.init_weights()

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
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`; labels of shape (B,): 0 is next, 1 is random."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, nsp_cache = self.cls.seq_relationship.forward(bert.pooler_output)  # (B, 2)
        loss, loss_cache = _cross_entropy("labels", logits, labels)
        outputs = NextSentencePredictorOutput(loss, logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, nsp_cache, loss_cache)

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, nsp_cache, loss_cache = cache
        d = as_gradients(NextSentencePredictorOutput, doutputs, loss_cache is not None)
        dlogits = _sum(d.logits, _dcross_entropy(d.loss, loss_cache))
        dpooled = _through(self.cls.seq_relationship.backward, dlogits, nsp_cache)
        return self.bert.backward(BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions), bert_cache)


class _Classifier(BertPreTrainedModel):
    """What the classifiers share: dropout, then a linear layer, on the pooled output or on every hidden state."""

    def __init__(
        self,
        config: BertConfig,
        add_pooling_layer: bool,
        num_outputs: int,
        dtype: DTypeLike,
        rng: np.random.Generator | int | None,
        init_weights: bool,
    ) -> None:
        super().__init__(config, dtype, rng)
        p = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.bert = BertModel(config, add_pooling_layer, dtype=dtype, rng=self.rng, init_weights=False)
        self.dropout = Dropout(p, self.rng)
        self.classifier = Linear(config.hidden_size, num_outputs, dtype)
        if init_weights:
            self.init_weights()

    def _classify(self, x: np.ndarray) -> tuple[np.ndarray, Cache]:
        h, dropout_cache = self.dropout.forward(x)
        logits, classifier_cache = self.classifier.forward(h)
        return logits, (dropout_cache, classifier_cache)

    def _classify_backward(self, dlogits: np.ndarray, cache: Cache) -> np.ndarray:
        dropout_cache, classifier_cache = cache
        return self.dropout.backward(self.classifier.backward(dlogits, classifier_cache), dropout_cache)


class BertForSequenceClassification(_Classifier):
    """One label, several labels at once, or a number, for a text or a pair of texts.

    The loss is that of `config.problem_type`; where it is None, one output means regression, integer labels mean one
    label of several, other labels mean several at once.

    Examples
    --------
    >>> model = BertForSequenceClassification(BertConfig.preset("tiny", vocab_size=50, num_labels=3), rng=0).eval()
    >>> outputs = model(np.array([[2, 7, 3]]), labels=np.array([2]))
    >>> outputs.logits.shape
    (1, 3)
    """

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, True, config.num_labels, dtype, rng, init_weights)

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
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`, with labels.

        Parameters
        ----------
        labels : integer array of shape (B,), or float array of shape (B,) or (B, num_labels)
            Class ids; or the numbers of a regression; or 0.0 and 1.0 for several labels at once.
        """
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, classifier_cache = self._classify(bert.pooler_output)  # (B, num_labels)
        loss, loss_backward, loss_cache = self._loss(logits, labels)
        outputs = SequenceClassifierOutput(loss, logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, classifier_cache, loss_backward, loss_cache)

    def _loss(self, logits: np.ndarray, labels: Any) -> tuple[Any, Callable[..., Any] | None, Cache]:
        """(loss, its backward, cache) of the problem type that the configuration or the labels say."""
        if labels is None:
            return None, None, None
        labels = as_array("labels", labels)
        problem_type = self.config.problem_type
        if problem_type is None:
            one_of_several = "single" if labels.dtype.kind in "iu" else "multi"
            problem_type = "regression" if self.config.num_labels == 1 else f"{one_of_several}_label_classification"
        if problem_type == "single_label_classification":
            loss, cache = _cross_entropy("labels", logits, labels)
            return loss, F.cross_entropy_backward, cache
        if labels.size != logits.size:
            raise ValueError(f"labels has shape {labels.shape}; a {problem_type} here needs {logits.shape}")
        targets = labels.reshape(logits.shape).astype(logits.dtype)
        if problem_type == "regression":
            loss, cache = F.mse_loss_forward(logits, targets)
            return loss, F.mse_loss_backward, cache
        loss, cache = F.binary_cross_entropy_with_logits_forward(logits, targets)
        return loss, F.binary_cross_entropy_with_logits_backward, cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, classifier_cache, loss_backward, loss_cache = cache
        d = as_gradients(SequenceClassifierOutput, doutputs, loss_backward is not None)
        dlogits = d.logits
        if d.loss is not None and loss_backward is not None:
            dlogits = _sum(dlogits, loss_backward(d.loss, loss_cache))
        dpooled = _through(self._classify_backward, dlogits, classifier_cache)
        return self.bert.backward(BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions), bert_cache)


class BertForTokenClassification(_Classifier):
    """A label for every token: named entities, parts of speech; no pooler."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, False, config.num_labels, dtype, rng, init_weights)

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
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`; labels of shape (B, S), -100 where a token does not count."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, classifier_cache = self._classify(bert.last_hidden_state)  # (B, S, num_labels)
        loss, loss_cache = _cross_entropy("labels", logits, labels)
        outputs = TokenClassifierOutput(loss, logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, classifier_cache, loss_cache)

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, classifier_cache, loss_cache = cache
        d = as_gradients(TokenClassifierOutput, doutputs, loss_cache is not None)
        dlogits = _sum(d.logits, _dcross_entropy(d.loss, loss_cache))
        dhidden = _through(self._classify_backward, dlogits, classifier_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


class BertForMultipleChoice(_Classifier):
    """Which of several texts?  Inputs of shape (B, choices, S); each text is scored alone, softmax is over choices."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        super().__init__(config, True, 1, dtype, rng, init_weights)

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
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`, with an axis for the choices after that of the batch; labels of shape (B,)."""
        given = input_ids if input_ids is not None else inputs_embeds
        shape = as_array("input_ids", given).shape if given is not None else ()
        if len(shape) != (3 if input_ids is not None else 4):
            raise ValueError(f"the input has shape {shape}, expected (batch, choices, sequence)")
        num_choices = shape[1]
        bert, bert_cache = self.bert.forward(
            _fold_choices("input_ids", input_ids), _fold_choices("attention_mask", attention_mask),
            _fold_choices("token_type_ids", token_type_ids), _fold_choices("position_ids", position_ids),
            _fold_choices("inputs_embeds", inputs_embeds),
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        scores, classifier_cache = self._classify(bert.pooler_output)  # (B·choices, 1)
        logits = scores.reshape(-1, num_choices)  # (B, choices)
        loss, loss_cache = _cross_entropy("labels", logits, labels)
        outputs = MultipleChoiceModelOutput(loss, logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, classifier_cache, loss_cache, shape[:3])

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; returns the gradient of the word vectors, (B, choices, S, H)."""
        bert_cache, classifier_cache, loss_cache, shape = cache
        d = as_gradients(MultipleChoiceModelOutput, doutputs, loss_cache is not None)
        dlogits = _sum(d.logits, _dcross_entropy(d.loss, loss_cache))
        dscores = None if dlogits is None else dlogits.reshape(-1, 1)
        dpooled = _through(self._classify_backward, dscores, classifier_cache)
        dbert = BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions)
        return self.bert.backward(dbert, bert_cache).reshape(*shape, -1)


class BertForQuestionAnswering(BertPreTrainedModel):
    """Where in the text does the answer start and end?  Two logits for every token; no pooler."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        config = config.changed(num_labels=2)  # start and end, whatever classifier the configuration was made for
        super().__init__(config, dtype, rng)
        self.bert = BertModel(config, False, dtype=dtype, rng=self.rng, init_weights=False)
        self.qa_outputs = Linear(config.hidden_size, 2, dtype)
        if init_weights:
            self.init_weights()

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool = True,
        *,
        cache_policy: str = "keep",
    ) -> tuple[Any, Cache]:
        """Like `BertModel.forward`, with the answer's first and last token.

        Parameters
        ----------
        start_positions, end_positions : integer array of shape (B,)
            A position at or after S lies in another window of the text and does not count.
        """
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, qa_cache = self.qa_outputs.forward(bert.last_hidden_state)  # (B, S, 2)
        start_logits, end_logits = logits[..., 0], logits[..., 1]
        loss, start_cache, end_cache = None, None, None
        if start_positions is not None and end_positions is not None:
            start_loss, start_cache = _span_cross_entropy("start_positions", start_logits, start_positions)
            end_loss, end_cache = _span_cross_entropy("end_positions", end_logits, end_positions)
            loss = (start_loss + end_loss) * logits.dtype.type(0.5)
        outputs = QuestionAnsweringModelOutput(loss, start_logits, end_logits, bert.hidden_states, bert.attentions)
        return _returned(outputs, return_dict), (bert_cache, qa_cache, start_cache, end_cache)

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        bert_cache, qa_cache, start_cache, end_cache = cache
        d = as_gradients(QuestionAnsweringModelOutput, doutputs, start_cache is not None)
        # loss = (start_loss + end_loss) / 2
        dhalf = None if d.loss is None else 0.5 * float(d.loss)
        dstart = _sum(d.start_logits, _dcross_entropy(dhalf, start_cache))
        dend = _sum(d.end_logits, _dcross_entropy(dhalf, end_cache))
        dlogits = None
        if dstart is not None or dend is not None:
            one = dstart if dstart is not None else dend
            dlogits = np.stack([np.zeros_like(one) if part is None else part for part in (dstart, dend)], axis=-1)
        dhidden = _through(self.qa_outputs.backward, dlogits, qa_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


# ---- what the heads share: None stands for "not given" and for "no gradient" ----


def _returned(outputs: ModelOutput, return_dict: bool) -> Any:
    return outputs if return_dict else outputs.to_tuple()


def _sum(a: Any, b: Any) -> Any:
    """a + b, of which either or both may be None."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _through(backward: Callable[..., Any], doutput: Any, cache: Cache) -> Any:
    """`backward(doutput, cache)`, or None where no gradient comes from above."""
    return None if doutput is None else backward(doutput, cache)


def _cross_entropy(name: str, logits: np.ndarray, labels: Any) -> tuple[Any, Cache]:
    """(loss, cache) after a check of the labels, or (None, None) without labels."""
    if labels is None:
        return None, None
    C = logits.shape[-1]
    labels = as_ids(name, labels, C, "number of classes", ignore=IGNORE_INDEX)
    if labels.shape not in (logits.shape[:-1], (*logits.shape[:-1], 1)):
        raise ValueError(f"{name} has shape {labels.shape}, expected {logits.shape[:-1]}")
    return F.cross_entropy_forward(logits, labels.reshape(logits.shape[:-1]), IGNORE_INDEX)


def _dcross_entropy(dloss: Any, loss_cache: Cache) -> np.ndarray | None:
    """Gradient of the logits, or None without a loss or a gradient of it."""
    return None if dloss is None or loss_cache is None else F.cross_entropy_backward(dloss, loss_cache)


def _span_cross_entropy(name: str, logits: np.ndarray, positions: Any) -> tuple[Any, Cache]:
    """Cross-entropy over the S positions; one before the text counts as 0, one behind it does not count."""
    positions = as_array(name, positions)
    B, S = logits.shape
    if positions.dtype.kind not in "iu" or positions.shape not in ((B,), (B, 1)):
        raise ValueError(f"{name} must be integers of shape {(B,)}, not {positions.dtype} of shape {positions.shape}")
    return F.cross_entropy_forward(logits, np.clip(positions.reshape(B), 0, S), ignore_index=S)


def _fold_choices(name: str, values: Any) -> Any:
    """(B, choices, ...) -> (B·choices, ...); None stays None."""
    if values is None:
        return None
    array = as_array(name, values)
    return array.reshape(-1, *array.shape[2:])
