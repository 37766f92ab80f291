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

    def shapes(self: Kind) -> Kind:
        """The shapes of the outputs in their places; a list of shapes for a tuple of arrays."""
        return type(self)(
            **{n: [np.shape(part) for part in v] if isinstance(v, tuple) else np.shape(v) for n, v in self.items()}
        )

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


def as_gradients(doutputs: Any, shapes: Kind, dtype: np.dtype) -> Kind:
    """The gradients of the outputs, checked, as an instance of the class of the outputs.

    Parameters
    ----------
    doutputs : ModelOutput, mapping from output names to gradients, or one number or array
        A single value is the gradient of the first output: the loss, if forward had labels.
    shapes : ModelOutput
        What `outputs.shapes()` says of the outputs of forward.
    dtype : of the model

    Raises
    ------
    TypeError, ValueError
        For a name that does not exist, an output that forward did not return, or another shape.
    """
    kind = type(shapes)
    if isinstance(doutputs, Mapping):
        doutputs = kind(**doutputs)
    elif not isinstance(doutputs, ModelOutput):
        doutputs = kind(**{shapes.keys()[0]: doutputs})
    if not isinstance(doutputs, kind):
        raise ValueError(f"the gradients are a {type(doutputs).__name__}, the outputs were a {kind.__name__}")
    checked = {name: _checked(name, value, getattr(shapes, name), dtype) for name, value in doutputs.items()}
    return kind(**checked)


_TO_RETURN = {"loss": "labels", "hidden_states": "output_hidden_states=True", "attentions": "output_attentions=True"}


def _checked(name: str, gradient: Any, shape: Any, dtype: np.dtype) -> Any:
    """One gradient in the dtype of the model, or one for each array of a tuple, each of which may be None."""
    if shape is None:
        raise ValueError(
            f"a gradient of {name} was given, but forward returned none; run it with {_TO_RETURN.get(name, name)}"
        )
    if isinstance(shape, list):
        if len(gradient) != len(shape):
            raise ValueError(f"{len(gradient)} gradients for {name}, which has {len(shape)}; None stands for none")
        parts = enumerate(zip(gradient, shape, strict=True))
        return tuple(None if part is None else _checked(f"{name}[{i}]", part, s, dtype) for i, (part, s) in parts)
    gradient = np.asarray(gradient, dtype)
    if gradient.shape != shape:
        raise ValueError(f"the gradient of {name} has shape {gradient.shape}, the output has {shape}")
    return gradient
