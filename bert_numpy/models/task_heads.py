"""The heads that BERT is fine-tuned to, sections 4 and 5.3 of its paper.

    BertForSequenceClassification    classifier on the pooled output           4.1
    BertForTokenClassification       classifier on every hidden state          5.3
    BertForMultipleChoice            classifier on the pooled output           4.4
    BertForQuestionAnswering         qa_outputs on every hidden state          4.2

Each is called like `BertModel`, plus labels, and returns `loss` (None without labels) and logits first.
`model.backward(1.0, cache)` is the gradient of the loss; a gradient for any other output may be given instead, or too.

Here: these heads, forward and backward.  Not here: MLM and NSP (`pretraining_heads.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import functional as F
from ..nn.functional import Cache
from ..nn.layers import Dropout, Linear
from .bert import BertModel
from .head_ops import add, cross_entropy, dcross_entropy, span_cross_entropy, through
from .inputs import as_array
from .outputs import (
    BaseModelOutputWithPooling,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from .pretrained import BertPreTrainedModel


class _Classifier(BertPreTrainedModel):
    """What the classifiers share: dropout, then a linear layer, on the pooled output or on every hidden state."""

    def _build_classifier(self, add_pooling_layer: bool, num_outputs: int, dtype: np.dtype) -> None:
        config = self.config
        p = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.bert = BertModel(config, add_pooling_layer, dtype=dtype, rng=self.rng, init_weights=False)
        self.dropout = Dropout(p, self.rng)
        self.classifier = Linear(config.hidden_size, num_outputs, dtype)

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
    >>> from bert_numpy import BertConfig
    >>> model = BertForSequenceClassification(BertConfig.preset("tiny", vocab_size=50, num_labels=3), rng=0).eval()
    >>> outputs = model(np.array([[2, 7, 3]]), labels=np.array([2]))
    >>> outputs.logits.shape
    (1, 3)
    """

    def _build(self, dtype: np.dtype) -> None:
        self._build_classifier(True, self.config.num_labels, dtype)

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
        cache = self._close(outputs, cache_policy, bert_cache, classifier_cache, loss_backward, loss_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def _loss(self, logits: np.ndarray, labels: Any) -> tuple[Any, Callable[..., Any] | None, Cache]:
        """(loss, its backward, cache) of the problem type that the configuration or the labels say."""
        if labels is None:
            return None, None, None
        labels = as_array("labels", labels)
        problem_type = self.config.problem_type or self._problem_type(labels)
        if problem_type == "single_label_classification":
            loss, cache = cross_entropy("labels", logits, labels)
            return loss, F.cross_entropy_backward, cache
        if labels.shape != logits.shape and (labels.shape, logits.shape[1:]) != (logits.shape[:1], (1,)):
            raise ValueError(
                f"labels are {labels.dtype} of shape {labels.shape}; {problem_type} needs numbers of shape "
                f"{logits.shape}, one label of several needs integers of shape {logits.shape[:1]}"
            )
        targets = labels.reshape(logits.shape).astype(logits.dtype)
        if problem_type == "regression":
            loss, cache = F.mse_loss_forward(logits, targets)
            return loss, F.mse_loss_backward, cache
        if not ((targets >= 0) & (targets <= 1)).all():
            raise ValueError("labels of several at once must lie between 0 (absent) and 1 (present)")
        loss, cache = F.binary_cross_entropy_with_logits_forward(logits, targets)
        return loss, F.binary_cross_entropy_with_logits_backward, cache

    def _problem_type(self, labels: np.ndarray) -> str:
        """What the labels mean where the configuration does not say."""
        if self.config.num_labels == 1:
            return "regression"
        return "single_label_classification" if labels.dtype.kind in "iu" else "multi_label_classification"

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, classifier_cache, loss_backward, loss_cache) = self._open(doutputs, cache)
        dlogits = d.logits
        if d.loss is not None and loss_backward is not None:
            dlogits = add(dlogits, loss_backward(d.loss, loss_cache))
        dpooled = through(self._classify_backward, dlogits, classifier_cache)
        return self.bert.backward(BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions), bert_cache)


class BertForTokenClassification(_Classifier):
    """A label for every token: named entities, parts of speech; no pooler."""

    def _build(self, dtype: np.dtype) -> None:
        self._build_classifier(False, self.config.num_labels, dtype)

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
        """Like `BertModel.forward`; labels of shape (B, S), -100 where a token does not count."""
        bert, bert_cache = self.bert.forward(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds,
            output_attentions, output_hidden_states, cache_policy=cache_policy,
        )  # fmt: skip
        logits, classifier_cache = self._classify(bert.last_hidden_state)  # (B, S, num_labels)
        loss, loss_cache = cross_entropy("labels", logits, labels)
        outputs = TokenClassifierOutput(loss, logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, classifier_cache, loss_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, classifier_cache, loss_cache) = self._open(doutputs, cache)
        dlogits = add(d.logits, dcross_entropy(d.loss, loss_cache))
        dhidden = through(self._classify_backward, dlogits, classifier_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


class BertForMultipleChoice(_Classifier):
    """Which of several texts?  Inputs of shape (B, choices, S); each text is scored alone, softmax is over choices."""

    def _build(self, dtype: np.dtype) -> None:
        self._build_classifier(True, 1, dtype)

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
        """Like `BertModel.forward`, with an axis for the choices after that of the batch; labels of shape (B,)."""
        given = input_ids if input_ids is not None else inputs_embeds
        shape = as_array("input_ids", given).shape if given is not None else ()
        if len(shape) != (3 if input_ids is not None else 4):
            raise ValueError(f"the input has shape {shape}, expected (batch, choices, sequence)")
        num_choices = shape[1]
        folded = {
            name: _fold_choices(name, values, shape[:2])
            for name, values in {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                "position_ids": position_ids,
                "inputs_embeds": inputs_embeds,
            }.items()
        }
        bert, bert_cache = self.bert.forward(
            **folded,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_policy=cache_policy,
        )
        scores, classifier_cache = self._classify(bert.pooler_output)  # (B·choices, 1)
        logits = scores.reshape(-1, num_choices)  # (B, choices)
        loss, loss_cache = cross_entropy("labels", logits, labels)
        outputs = MultipleChoiceModelOutput(loss, logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, classifier_cache, loss_cache, shape[:3])
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; returns the gradient of the word vectors, (B, choices, S, H)."""
        d, (bert_cache, classifier_cache, loss_cache, input_shape) = self._open(doutputs, cache)
        dlogits = add(d.logits, dcross_entropy(d.loss, loss_cache))
        dscores = None if dlogits is None else dlogits.reshape(-1, 1)
        dpooled = through(self._classify_backward, dscores, classifier_cache)
        dbert = BaseModelOutputWithPooling(None, dpooled, d.hidden_states, d.attentions)
        return self.bert.backward(dbert, bert_cache).reshape(*input_shape, -1)


class BertForQuestionAnswering(BertPreTrainedModel):
    """Where in the text does the answer start and end?  Two logits for every token; no pooler."""

    def _build(self, dtype: np.dtype) -> None:
        self.config = self.config.changed(num_labels=2)  # start and end, whatever else it was made for
        self.bert = BertModel(self.config, False, dtype=dtype, rng=self.rng, init_weights=False)
        self.qa_outputs = Linear(self.config.hidden_size, 2, dtype)

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
        return_dict: bool | None = True,
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
            start_loss, start_cache = span_cross_entropy("start_positions", start_logits, start_positions)
            end_loss, end_cache = span_cross_entropy("end_positions", end_logits, end_positions)
            loss = (start_loss + end_loss) * logits.dtype.type(0.5)
        outputs = QuestionAnsweringModelOutput(loss, start_logits, end_logits, bert.hidden_states, bert.attentions)
        cache = self._close(outputs, cache_policy, bert_cache, qa_cache, start_cache, end_cache)
        return (outputs.to_tuple() if return_dict is False else outputs), cache

    def backward(self, doutputs: Any, cache: Cache) -> np.ndarray:
        """See `BertModel.backward`; a number is the gradient of the loss."""
        d, (bert_cache, qa_cache, start_cache, end_cache) = self._open(doutputs, cache)
        # loss = (start_loss + end_loss) / 2
        dhalf = None if d.loss is None else 0.5 * float(d.loss)
        dstart = add(d.start_logits, dcross_entropy(dhalf, start_cache))
        dend = add(d.end_logits, dcross_entropy(dhalf, end_cache))
        dlogits = None
        if dstart is not None or dend is not None:
            one = dstart if dstart is not None else dend
            dlogits = np.stack([np.zeros_like(one) if part is None else part for part in (dstart, dend)], axis=-1)
        dhidden = through(self.qa_outputs.backward, dlogits, qa_cache)
        return self.bert.backward(BaseModelOutputWithPooling(dhidden, None, d.hidden_states, d.attentions), bert_cache)


def _fold_choices(name: str, values: Any, leading: tuple[int, ...]) -> Any:
    """(B, choices, ...) -> (B·choices, ...); None stays None."""
    if values is None:
        return None
    array = as_array(name, values)
    if array.ndim < 3 or array.shape[:2] != leading:
        raise ValueError(f"{name} has shape {array.shape}, expected (batch, choices, sequence), {leading} and more")
    return array.reshape(-1, *array.shape[2:])
