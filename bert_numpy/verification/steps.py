"""BERT once more, written out as a list of steps, each of which computes one named tensor: a tap.

    embeddings.word_embeddings          embedding  (input_ids)                     embeddings.word_embeddings.weight
    …
    encoder.layer.0.attention.self.query  linear   (embeddings)                    …query.weight, …query.bias
    encoder.layer.0.attention.self.scores scores   (…query, …key)
    encoder.layer.0.attention.self.probs  probs    (…scores, attention_mask)
    …

The modules of `models/` are BERT as one builds it; this list is BERT as one takes it apart.  Each step names what it
reads, so that it can be computed from a port's own tensors, alone; and a mistake is a step that was changed.  A tap has
the path of the module whose output it is, without `bert.` in front; for what has no module, a word is added
(`scores`, `probs`, `context`, `add`, `act`).

Here: the steps of every model class but multiple choice.  Not here: arithmetic (`operations.py`), the order in which
anything is computed (`evaluation.py`), other names of the taps (`names.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..configuration import BertConfig
from ..models import BertPreTrainedModel

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Step(NamedTuple):
    """One tap and how it is computed.

    Attributes
    ----------
    tap : str
        The name of the result.
    operation : str
        A key of `OPERATIONS`.
    inputs : tuple of str
        Taps, or inputs of the model such as "input_ids".
    parameters : tuple of str
        Names as in a checkpoint, without `bert.` in front.
    settings : mapping
        See `operations.py`.
    altered : mapping of str to function
        Parameters that are not taken as they are: the function of the array gives what is.
    """

    tap: str
    operation: str
    inputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    settings: Mapping[str, Any] = NOTHING
    altered: Mapping[str, Any] = NOTHING

    def set(self, **settings: Any) -> Step:
        """This step with other settings."""
        return self._replace(settings={**self.settings, **settings})

    def alter(self, change: Any, *suffixes: str) -> Step | None:
        """This step with `change` applied to the parameters that end so; None if there are none."""
        found = [name for name in self.parameters if name.endswith(suffixes)]
        return self._replace(altered={**self.altered, **dict.fromkeys(found, change)}) if found else None

    @property
    def unit(self) -> str:
        """The part of BERT that it belongs to: "embeddings", "encoder.layer.3", "pooler", "cls", …

        >>> Step("encoder.layer.3.attention.self.query", "linear", ()).unit
        'encoder.layer.3'
        """
        parts = self.tap.split(".")
        return ".".join(parts[: 3 if parts[0] == "encoder" else 1])


def steps_of(model: BertPreTrainedModel) -> list[Step]:
    """All steps of a model, in an order in which they can be computed; the last are its losses.

    Parameters
    ----------
    model : BertPreTrainedModel
        Of any class but BertForMultipleChoice, whose sequences are those of its classifier, folded.

    Raises
    ------
    TypeError
        For another class.

    Examples
    --------
    >>> from ..models import BertForMaskedLM
    >>> steps = steps_of(BertForMaskedLM(BertConfig.preset("tiny", vocab_size=9), init_weights=False))
    >>> len(steps), steps[0].tap, steps[-1].tap
    (45, 'embeddings.word_embeddings', 'loss')
    """
    heads = {
        "BertModel": lambda: (),
        "BertForPreTraining": lambda: _pretraining(model, True, True),
        "BertForMaskedLM": lambda: _pretraining(model, True, False),
        "BertForNextSentencePrediction": lambda: _pretraining(model, False, True),
        "BertForSequenceClassification": lambda: _classifier("pooler", _sequence_loss(model.config)),
        "BertForTokenClassification": lambda: _classifier(last_tap(model.config), "cross_entropy"),
        "BertForQuestionAnswering": lambda: _question_answering(last_tap(model.config)),
    }
    kind = type(model).__name__
    if kind not in heads:
        raise TypeError(f"{kind} cannot be taken apart; there are {', '.join(heads)}")
    names = {name.removeprefix("bert.") for name, _ in model.named_places()}
    steps = [*_embeddings(model.config)]
    for i in range(model.config.num_hidden_layers):
        steps += _layer(model.config, i)
    if "pooler.dense.weight" in names:
        steps += _pooler(model.config)
    return [*steps, *heads[kind]()]


def parameters_of(model: BertPreTrainedModel) -> dict[str, np.ndarray]:
    """The parameters by the names that steps use, a tied one once."""
    return {name.removeprefix("bert."): parameter.data for name, parameter in model.named_parameters()}


def last_tap(config: BertConfig) -> str:
    """The last hidden state."""
    return f"encoder.layer.{config.num_hidden_layers - 1}.output"


# ---- the parts --------------------------------------------------------------


def _linear(tap: str, source: str, path: str | None = None) -> Step:
    path = tap if path is None else path
    return Step(tap, "linear", (source,), (f"{path}.weight", f"{path}.bias"))


def _norm(tap: str, source: str, path: str, config: BertConfig) -> Step:
    parameters = (f"{path}.weight", f"{path}.bias")
    return Step(tap, "layer_norm", (source,), parameters, {"eps": config.layer_norm_eps})


def _embeddings(config: BertConfig) -> Iterator[Step]:
    tables = {
        "embeddings.word_embeddings": "input_ids",
        "embeddings.position_embeddings": "position_ids",
        "embeddings.token_type_embeddings": "token_type_ids",
    }
    for tap, ids in tables.items():
        padding_idx = config.pad_token_id if ids == "input_ids" else None
        yield Step(tap, "embedding", (ids,), (f"{tap}.weight",), {"padding_idx": padding_idx})
    yield Step("embeddings.add", "add", tuple(tables))
    yield _norm("embeddings.LayerNorm", "embeddings.add", "embeddings.LayerNorm", config)
    yield Step("embeddings", "identity", ("embeddings.LayerNorm",))


def _layer(config: BertConfig, i: int) -> Iterator[Step]:
    path = f"encoder.layer.{i}"
    attention, source = f"{path}.attention.self", f"encoder.layer.{i - 1}.output" if i else "embeddings"
    heads = {"heads": config.num_attention_heads}
    for name in ("query", "key", "value"):
        yield _linear(f"{attention}.{name}", source)
    yield Step(f"{attention}.scores", "scores", (f"{attention}.query", f"{attention}.key"), (), heads)
    yield Step(f"{attention}.probs", "probs", (f"{attention}.scores", "attention_mask"))
    yield Step(f"{attention}.dropout", "identity", (f"{attention}.probs",))
    yield Step(f"{attention}.context", "context", (f"{attention}.dropout", f"{attention}.value"), (), heads)
    yield from _output(f"{path}.attention.output", f"{attention}.context", source, config)
    yield _linear(f"{path}.intermediate.dense", f"{path}.attention.output")
    yield Step(
        f"{path}.intermediate.act", "activation", (f"{path}.intermediate.dense",), (), {"act": config.hidden_act}
    )
    yield from _output(f"{path}.output", f"{path}.intermediate.act", f"{path}.attention.output", config)


def _output(path: str, source: str, residual: str, config: BertConfig) -> Iterator[Step]:
    """LayerNorm(dropout(dense(x)) + residual), how each half of a layer ends."""
    yield _linear(f"{path}.dense", source)
    yield Step(f"{path}.dropout", "identity", (f"{path}.dense",))
    yield Step(f"{path}.add", "add", (f"{path}.dropout", residual))
    yield _norm(path, f"{path}.add", f"{path}.LayerNorm", config)


def _pooler(config: BertConfig) -> Iterator[Step]:
    yield Step("pooler.token", "token", (last_tap(config), "attention_mask"))
    yield _linear("pooler.dense", "pooler.token")
    yield Step("pooler", "activation", ("pooler.dense",), (), {"act": "tanh"})


def _pretraining(model: BertPreTrainedModel, words: bool, next_sentence: bool) -> Iterator[Step]:
    config, losses = model.config, []
    if words:
        transform = "cls.predictions.transform"
        yield _linear(f"{transform}.dense", last_tap(config))
        yield Step(f"{transform}.act", "activation", (f"{transform}.dense",), (), {"act": config.hidden_act})
        yield _norm(transform, f"{transform}.act", f"{transform}.LayerNorm", config)
        tied = config.tie_word_embeddings
        weight = "embeddings.word_embeddings.weight" if tied else "cls.predictions.decoder.weight"
        bias = "cls.predictions.bias" if tied else "cls.predictions.decoder.bias"
        yield Step("cls.predictions", "linear", (transform,), (weight, bias))
        losses.append(Step("loss.mlm", "cross_entropy", ("cls.predictions", "labels", "input_ids")))
    if next_sentence:
        yield _linear("cls.seq_relationship", "pooler")
        label = "next_sentence_label" if words else "labels"
        losses.append(Step("loss.nsp", "cross_entropy", ("cls.seq_relationship", label)))
    yield from _sum_of(losses)


def _sequence_loss(config: BertConfig) -> str:
    """The loss of a text; where the configuration does not say which, that of one label of several."""
    if config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1):
        return "mse"
    return "binary_cross_entropy" if config.problem_type == "multi_label_classification" else "cross_entropy"


def _classifier(source: str, loss: str) -> Iterator[Step]:
    yield Step("classifier.dropout", "identity", (source,))
    yield _linear("classifier", "classifier.dropout", "classifier")
    yield Step("loss", loss, ("classifier", "labels"))


def _question_answering(source: str) -> Iterator[Step]:
    yield _linear("qa_outputs", source)
    losses = []
    for column, name in enumerate(("start", "end")):
        yield Step(f"qa_outputs.{name}", "column", ("qa_outputs",), (), {"column": column})
        losses.append(Step(f"loss.{name}", "span", (f"qa_outputs.{name}", f"{name}_positions")))
    yield from _sum_of(losses)


def _sum_of(losses: list[Step]) -> Iterator[Step]:
    """The losses, and their sum; a single one is itself the loss."""
    if len(losses) == 1:
        yield losses[0]._replace(tap="loss")
        return
    yield from losses
    yield Step("loss", "add", tuple(step.tap for step in losses))
