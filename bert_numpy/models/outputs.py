"""What the models return: named outputs that are also reached by key, by index and as a tuple.

The names and their order are those of the reference library.  An output that was not asked for is None and does not
count: `outputs[0]` of a call without labels is the logits, with labels it is the loss.

The same classes carry gradients back: `model.backward(MaskedLMOutput(logits=dlogits), cache)`.  `as_gradients` turns
the shorter forms into them.  Read next: `bert.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

Arrays = tuple[np.ndarray, ...]
Kind = TypeVar("Kind", bound="ModelOutput")


class ModelOutput:
    """Base of the outputs: attribute, key, index, slice and `to_tuple()` reach the ones that are present.

    A subclass names its outputs, in order, by annotated class attributes.

    Examples
    --------
    >>> outputs = MaskedLMOutput(logits=np.zeros((1, 2, 3)))
    >>> outputs.logits is outputs["logits"] is outputs[0] is outputs.to_tuple()[0]
    True
    >>> list(outputs), len(outputs), outputs.loss
    (['logits'], 1, None)
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.names()
        if len(values) > len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} outputs, not {len(values)}")
        for name, value in [*zip(names, values, strict=False), *named.items()]:
            if name not in names:
                raise TypeError(f"no output {name!r} in {type(self).__name__}; there are {', '.join(names)}")
            setattr(self, name, value)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all outputs, in order."""
        return tuple(cls.__annotations__)

    def keys(self) -> tuple[str, ...]:
        """Names of the outputs that are present."""
        return tuple(name for name in self.names() if getattr(self, name) is not None)

    def to_tuple(self) -> tuple[Any, ...]:
        """The outputs that are present, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def values(self) -> tuple[Any, ...]:
        """The same as `to_tuple`."""
        return self.to_tuple()

    def items(self) -> Iterator[tuple[str, Any]]:
        """(name, output) of those present."""
        return zip(self.keys(), self.to_tuple(), strict=True)

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(f"no output {key!r} here; present: {', '.join(self.keys())}")
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self.items())
        return f"{type(self).__name__}({', '.join(shown)})"


class BaseModelOutputWithPooling(ModelOutput):
    """Of `BertModel`: (B, S, H), (B, H), L+1 arrays (B, S, H), L arrays (B, A, S, S)."""

    last_hidden_state: Any = None
    pooler_output: Any = None
    hidden_states: Any = None
    attentions: Any = None


class BertForPreTrainingOutput(ModelOutput):
    """Scalar, (B, S, V), (B, 2), and as in `BertModel`."""

    loss: Any = None
    prediction_logits: Any = None
    seq_relationship_logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class MaskedLMOutput(ModelOutput):
    """Scalar, (B, S, V), and as in `BertModel`."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class NextSentencePredictorOutput(ModelOutput):
    """Scalar, (B, 2), and as in `BertModel`."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class SequenceClassifierOutput(ModelOutput):
    """Scalar, (B, num_labels), and as in `BertModel`."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class TokenClassifierOutput(ModelOutput):
    """Scalar, (B, S, num_labels), and as in `BertModel`."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class MultipleChoiceModelOutput(ModelOutput):
    """Scalar, (B, choices), and as in `BertModel` with B·choices in place of B."""

    loss: Any = None
    logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


class QuestionAnsweringModelOutput(ModelOutput):
    """Scalar, (B, S), (B, S), and as in `BertModel`."""

    loss: Any = None
    start_logits: Any = None
    end_logits: Any = None
    hidden_states: Any = None
    attentions: Any = None


def as_gradients(kind: type[Kind], doutputs: Any, has_loss: bool) -> Kind:
    """The gradients of the outputs, as an instance of their class.

    Parameters
    ----------
    kind : subclass of ModelOutput
    doutputs : a `kind`, a mapping from output names to gradients, or one number or array
        A single value is the gradient of the first output: of the loss where there is one.
    has_loss : bool
        Whether forward computed a loss.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, or a gradient of a loss that was not computed.
    """
    names = kind.names()
    if isinstance(doutputs, Mapping):
        doutputs = kind(**doutputs)
    elif not isinstance(doutputs, ModelOutput):
        is_number = np.ndim(doutputs) == 0
        doutputs = kind(**{"loss" if is_number and "loss" in names else names[names[0] == "loss"]: doutputs})
    if not isinstance(doutputs, kind):
        raise ValueError(f"the gradients are a {type(doutputs).__name__}, the outputs were a {kind.__name__}")
    if getattr(doutputs, "loss", None) is not None and not has_loss:
        raise ValueError("a gradient of the loss was given, but forward had no labels and computed no loss")
    return doutputs
