"""The sizes and rates of one BERT: `BertConfig`, with the published field names and defaults.

Here: reading and writing config.json, presets, and the refusal of what this package cannot honour.  A file must say
every size itself: a size that fell back to a default would build another model without a word.
Not here: anything that allocates.  Read next: `tokenization/`.
"""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .hub import find_model

PRESETS: dict[str, dict[str, int]] = {
    name: {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
    }
    for name, layers, hidden in [
        ("tiny", 2, 128),
        ("mini", 4, 256),
        ("small", 4, 512),
        ("medium", 8, 512),
        ("base", 12, 768),
        ("large", 24, 1024),
    ]
}
"""The published sizes: Turc et al. 2019 (arXiv 1908.08962) up to medium, Devlin et al. 2018 for base and large."""

ACTIVATION_NAMES = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh")

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_LARGEST_SIZE = 2**24  # far above any published BERT; a slip of the pen should not try to allocate terabytes
_PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")


class BertConfig:
    """Configuration of a BERT model, spelled as in the published config.json files.

    Parameters
    ----------
    vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        V, H, L, A and I; H must be a multiple of A.
    hidden_act : str
        "gelu" (erf), "gelu_new" or "gelu_pytorch_tanh" (tanh forms), "relu" or "tanh".
    hidden_dropout_prob, attention_probs_dropout_prob : float
        Probabilities of dropping, in [0, 1).
    max_position_embeddings, type_vocab_size : int
        Longest sequence and number of segments.
    initializer_range : float
        Standard deviation of fresh weights before truncation.
    layer_norm_eps : float
        ε of every layer normalization.
    pad_token_id : int or None
        The id whose word embedding receives no gradient.
    classifier_dropout : float, optional
        Dropout before a classifier; None means `hidden_dropout_prob`.
    problem_type : str, optional
        Of sequence classification: "regression", "single_label_classification" or "multi_label_classification";
        None lets the labels decide.
    num_labels : int, optional
        How many labels a classifier has (2 unless `id2label` says otherwise).
    id2label, label2id : mapping, optional
        Names of the labels; each follows from the other.
    tie_word_embeddings : bool
        Whether the decoder of the MLM head is the word embedding table.
    output_hidden_states, output_attentions : bool
        Whether the models return them when a call does not say.
    **extra
        Anything else a file says; kept, readable as attributes and written back.

    Raises
    ------
    ValueError
        If a value is out of its range or of another type, or asks for what is not BERT: a decoder, cross attention,
        relative positions, pruned heads, another model type.

    Examples
    --------
    >>> config = BertConfig(hidden_size=32, num_attention_heads=4, num_labels=3)
    >>> config.head_size, config.id2label
    (8, {0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2'})
    """

    model_type = "bert"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        classifier_dropout: float | None = None,
        problem_type: str | None = None,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, Any] | None = None,
        tie_word_embeddings: bool = True,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **extra: Any,
    ) -> None:
        _refuse_other_models(extra)
        self.vocab_size = _size("vocab_size", vocab_size)
        self.hidden_size = _size("hidden_size", hidden_size)
        self.num_hidden_layers = _size("num_hidden_layers", num_hidden_layers)
        self.num_attention_heads = _size("num_attention_heads", num_attention_heads)
        self.intermediate_size = _size("intermediate_size", intermediate_size)
        self.max_position_embeddings = _size("max_position_embeddings", max_position_embeddings)
        self.type_vocab_size = _size("type_vocab_size", type_vocab_size)
        self.hidden_act = _choice("hidden_act", hidden_act, ACTIVATION_NAMES)
        self.hidden_dropout_prob = _number("hidden_dropout_prob", hidden_dropout_prob, 0, 1)
        self.attention_probs_dropout_prob = _number("attention_probs_dropout_prob", attention_probs_dropout_prob, 0, 1)
        self.initializer_range = _number("initializer_range", initializer_range, 0, math.inf)
        self.layer_norm_eps = _number("layer_norm_eps", layer_norm_eps, 5e-324, math.inf)
        self.pad_token_id = None if pad_token_id is None else _id("pad_token_id", pad_token_id, self.vocab_size)
        self.classifier_dropout = (
            None if classifier_dropout is None else _number("classifier_dropout", classifier_dropout, 0, 1)
        )
        self.problem_type = _choice("problem_type", problem_type, _PROBLEM_TYPES)
        self.id2label = _labels(num_labels, id2label, label2id)
        self.tie_word_embeddings = _flag("tie_word_embeddings", tie_word_embeddings)
        self.output_hidden_states = _flag("output_hidden_states", output_hidden_states)
        self.output_attentions = _flag("output_attentions", output_attentions)
        self.extra = dict(extra)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}"
            )

    # ---- what follows from the fields ----

    @property
    def head_size(self) -> int:
        """D = H / A."""
        return self.hidden_size // self.num_attention_heads

    @property
    def num_labels(self) -> int:
        """How many labels a classifier has."""
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """The inverse of `id2label`."""
        return {label: i for i, label in self.id2label.items()}

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"BertConfig has no field {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BertConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a configuration can be changed

    def __repr__(self) -> str:
        return f"BertConfig {self.to_json_string()}"

    # ---- other forms ----

    @classmethod
    def preset(cls, name: str, **changes: Any) -> BertConfig:
        """A published size: "tiny", "mini", "small", "medium", "base" or "large".

        >>> BertConfig.preset("tiny", vocab_size=100).hidden_size
        128
        """
        return cls(**{**PRESETS[_choice("preset", name, tuple(PRESETS))], **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BertConfig:
        """A configuration from published fields; what is not named gets its default."""
        return cls(**values)

    @classmethod
    def from_json_file(cls, path: str | Path) -> BertConfig:
        """Read a config.json, or the bert_config.json of Google's archives.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no JSON object, repeats a key, lacks a size, or holds a value that is refused.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(f"no configuration file {path}") from None
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: bytes, source: str = "the configuration") -> BertConfig:
        """Read the bytes of a config.json; `source` is what messages call it.  Raises as `from_json_file`."""
        try:
            values = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:  # of decoding, of the syntax, or of `_without_repeats`
            raise ValueError(f"{source} is not a valid JSON configuration: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{source} holds a JSON {type(values).__name__}; a configuration is an object")
        try:
            _refuse_other_models(values)  # first: another model's file lacks our sizes for a better reason
            missing = [name for name in _SIZES if name not in values]
            if missing:
                raise ValueError(f"missing {', '.join(missing)}")
            return cls.from_dict(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: {error}") from None

    @classmethod
    def from_pretrained(cls, folder: str | Path, **changes: Any) -> BertConfig:
        """Read the configuration of a model, by folder or by name: config.json, else bert_config.json.

        Fields given by keyword, such as `num_labels=3`, take the place of the file's.
        """
        folder = find_model(folder, files=("config",))
        for name in ("config.json", "bert_config.json"):
            if (folder / name).exists():
                return cls.from_json_file(folder / name).changed(**changes)
        raise FileNotFoundError(f"no config.json in {folder}; a model folder holds one beside its weights")

    def changed(self, **changes: Any) -> BertConfig:
        """A copy with some fields changed.

        Raises
        ------
        TypeError
            For a field that `BertConfig` does not name, as for any misspelt keyword.

        Examples
        --------
        >>> BertConfig(num_labels=5).changed(num_labels=2).id2label
        {0: 'LABEL_0', 1: 'LABEL_1'}
        """
        unknown = [name for name in changes if name not in BertConfig.__init__.__annotations__]
        if unknown:
            raise TypeError(f"BertConfig has no field {unknown[0]!r}")
        values = self.to_dict()
        if changes.keys() & {"num_labels", "id2label", "label2id"}:
            del values["id2label"], values["label2id"]
        return BertConfig.from_dict({**values, **changes})

    def to_dict(self) -> dict[str, Any]:
        """All fields, and the extra ones, as config.json spells them."""
        fields = {name: value for name, value in vars(self).items() if name != "extra"}
        fields |= {"id2label": dict(self.id2label), "label2id": self.label2id}
        return {"model_type": self.model_type, **self.extra, **fields}

    def to_json_string(self) -> str:
        """The content of a config.json; JSON turns the keys of `id2label` into strings."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json into `folder`, which is made if need be; the file is complete or not there at all."""
        path = Path(folder) / "config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.to_json_string(), encoding="utf-8", newline="\n")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


# ---- checks, each naming the field, what it holds and what is wanted --------


def _size(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    if not 1 <= operator.index(value) <= _LARGEST_SIZE:
        raise ValueError(f"{name} must lie between 1 and {_LARGEST_SIZE}, not {value}")
    return operator.index(value)


def _id(name: str, value: Any, vocab_size: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < vocab_size:
        raise ValueError(f"{name} must be an id from 0 to {vocab_size - 1} or null, not {value!r}")
    return operator.index(value)


def _number(name: str, value: Any, low: float, below: float) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or not low <= value < min(below, 1e300):
        wanted = f"at least {low} and below {below}" if low in (0, 1) else "positive and finite"
        raise ValueError(f"{name} must be a number, {wanted}, not {value!r}")
    return float(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is not supported; choose from {', '.join(map(str, choices))}")
    return value


def _labels(
    num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None
) -> dict[int, str]:
    """One map id -> label out of the three published fields, which may each be missing but must agree."""
    for name, value in (("id2label", id2label), ("label2id", label2id)):
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"{name} must be a mapping, not {value!r}")
    inverted = None if label2id is None else [(i, label) for label, i in label2id.items()]
    named = inverted if id2label is None else list(id2label.items())
    if named is None:
        return {i: f"LABEL_{i}" for i in range(_size("num_labels", 2 if num_labels is None else num_labels))}
    labels = {_label_id(i): label for i, label in named}
    if sorted(labels) != list(range(len(named))) or not labels:
        raise ValueError(f"id2label must number the labels 0, 1, 2 …, each once, not {[i for i, _ in named]}")
    if not all(isinstance(label, str) for label in labels.values()):
        raise ValueError(f"the labels must be text, not {list(labels.values())}")
    distinct = len(set(labels.values())) == len(labels)  # else no label2id can name them all
    if inverted is not None and distinct and {_label_id(i): label for i, label in inverted} != labels:
        raise ValueError("id2label and label2id contradict each other; leave one of them out")
    if num_labels is not None and num_labels != len(labels):
        raise ValueError(f"num_labels is {num_labels} but id2label names {len(labels)} labels")
    return dict(sorted(labels.items()))


def _label_id(value: Any) -> int:
    """The number of a label, which JSON turns into text when it is a key."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"id2label must number the labels 0, 1, 2 …, not {value!r}") from None


def _refuse_other_models(values: Mapping[str, Any]) -> None:
    """Say by name what cannot be honoured, before a wrong model is built out of what is left."""
    model_type = values.get("model_type", "bert")
    if model_type != "bert":
        raise ValueError(f"model_type is {model_type!r}; this package holds BERT only (model_type 'bert')")
    for name in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if values.get(name):
            raise ValueError(f"{name} is {values[name]!r}; BERT here is an encoder only")
    if (kind := values.get("position_embedding_type", "absolute")) != "absolute":
        raise ValueError(f"position_embedding_type {kind!r} is not supported; BERT's positions are 'absolute'")
    if values.get("pruned_heads"):
        raise ValueError(f"pruned_heads {values['pruned_heads']!r} is not supported; load the unpruned model")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"repeated key {next(name for name in names if names.count(name) > 1)!r}")
    return values
