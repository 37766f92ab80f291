"""What a pre-training run can be told, and the recipes: the numbers that are taken where nothing is told.

Here: `RECIPES` and `PretrainingSettings`.  Read next: `pretraining.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..configuration import PRESETS, BertConfig

WORLD = "world"

RECIPES: dict[str, dict[str, Any]] = {
    "text": {
        "vocab_size": 8000,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
        "dropout": 0.1,
        "initializer_range": 0.02,
        "max_length": 128,
        "held_out": 0.05,
        "dupe_factor": 1,
        "short_seq_prob": 0.1,
        "mlm_probability": 0.15,
        "mask_replace_prob": 0.8,
        "random_replace_prob": 0.1,
        "steps": 2000,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.01,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-6,
        "max_grad_norm": 1.0,
    },
    "world": {
        "documents": 60_000,
        "hidden_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "dropout": 0.0,
        "initializer_range": 0.06,
        "max_length": 96,
        "dupe_factor": 1,
        "short_seq_prob": 1.0,
        "mlm_probability": 0.35,
        "mask_replace_prob": 0.85,
        "random_replace_prob": 0.0,
        "steps": 12_000,
        "batch_size": 64,
        "learning_rate": 1.5e-3,
        "warmup_steps": 200,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.01,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "max_grad_norm": 1.0,
    },
}
"""For a text of one's own, and for the small world: the value of each setting that is not given."""


@dataclass(frozen=True)
class PretrainingSettings:
    """All that decides about a run.  What is None has no meaning there, or is taken from `model`.

    Make one with `PretrainingSettings.of(corpus, ...)`, which fills in the recipe.

    Attributes
    ----------
    texts : tuple of str
        Files with one sentence a line and a blank line between documents; none of them means the small world.
    documents : int, optional
        How many the small world tells.
    held_out : float, optional
        The fraction of the documents of the texts that is kept for evaluation.
    model : str, optional
        Go on from this folder, with its vocabulary.
    vocab : str, optional
        A vocab.txt to take; else one of `vocab_size` tokens is learnt from the texts.
    cased : bool
        Keep upper case and accents.
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, initializer_range, dropout
        The fresh model; `dropout` is both of its probabilities.
    max_length : int
        Of the sequences, in tokens.
    dupe_factor, short_seq_prob, mlm_probability, mask_replace_prob, random_replace_prob, whole_word_mask
        See `PretrainingDataset`.
    steps, epochs, minutes : optional
        How long to train; the first that is given counts.  `minutes` becomes a number of steps by measuring a few.
    batch_size, num_replicas, learning_rate, warmup_steps, lr_scheduler_type, weight_decay, adam_beta2, adam_epsilon,
    max_grad_norm
        See `TrainingArguments`.
    save_steps : float
        Steps between two checkpoints, or below 1 a fraction of all.
    seed : int
        Weights, documents of the world, pairs, masks, order and dropout follow from it.
    dtype : {"float32", "float16", "bfloat16"}
        What the finished weights are stored in.

    Raises
    ------
    ValueError
        If a value cannot be, in one line.

    Examples
    --------
    >>> settings = PretrainingSettings.of("world", steps=100, seed=1)
    >>> settings.steps, settings.seed, settings.batch_size == RECIPES["world"]["batch_size"]
    (100, 1, True)
    >>> PretrainingSettings.of("world", model="my-bert").hidden_size is None
    True
    """

    texts: tuple[str, ...] = ()
    documents: int | None = None
    held_out: float | None = None
    model: str | None = None
    vocab: str | None = None
    vocab_size: int | None = None
    cased: bool = False
    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    intermediate_size: int | None = None
    initializer_range: float | None = None
    dropout: float | None = None
    max_length: int = 128
    dupe_factor: int = 1
    short_seq_prob: float = 0.1
    mlm_probability: float = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    whole_word_mask: bool = False
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 32
    num_replicas: int = 2
    learning_rate: float = 1e-3
    warmup_steps: float = 0.1
    lr_scheduler_type: str = "linear"
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-6
    max_grad_norm: float = 1.0
    save_steps: float = 0.1
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "documents", "batch_size", "num_replicas", "vocab_size", "dupe_factor"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        for name in ("epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be a number above 0")
        if self.held_out is not None and not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; it must be a fraction from 0 and below 1")
        if self.steps is None and self.epochs is None and self.minutes is None:
            raise ValueError("give steps, epochs or minutes: how long to train")

    @classmethod
    def of(cls, corpus: str | tuple[str, ...], **given: Any) -> PretrainingSettings:
        """The recipe for "world" or for text files, with the settings that are given in its place.

        Parameters
        ----------
        corpus : "world", or paths
        **given
            Fields of this class; None stands for not given.  `size` may name a published size instead of four numbers.
        """
        given = {name: value for name, value in given.items() if value is not None}
        recipe = dict(RECIPES[WORLD if corpus == WORLD else "text"])
        if given.keys() & {"steps", "epochs", "minutes"}:
            del recipe["steps"]
        if "model" in given:
            for name in (*ARCHITECTURE, "vocab_size"):
                recipe.pop(name, None)
        if "vocab" in given:
            recipe.pop("vocab_size", None)
        if "size" in given:
            size = given.pop("size")
            if size not in PRESETS:
                raise ValueError(f"size is {size!r}; it can be {', '.join(PRESETS)}")
            recipe.update(PRESETS[size])
        elif given.get("hidden_size") and "intermediate_size" not in given:
            recipe["intermediate_size"] = 4 * given["hidden_size"]
        return cls(**{"texts": () if corpus == WORLD else tuple(corpus), **recipe, **given})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PretrainingSettings:
        """What `to_dict` returned, also by way of JSON."""
        known = {field.name for field in fields(cls)}
        return cls(**{**{name: values[name] for name in known & values.keys()}, "texts": tuple(values["texts"])})

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, as JSON can hold them."""
        return {**asdict(self), "texts": list(self.texts)}

    @property
    def is_world(self) -> bool:
        """Whether the corpus is the small world."""
        return not self.texts

    def config(self, vocab_size: int, pad_token_id: int) -> BertConfig:
        """The configuration of a fresh model.

        Examples
        --------
        >>> PretrainingSettings.of("world").config(502, 0).max_position_embeddings
        96
        """
        return BertConfig(
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            max_position_embeddings=self.max_length,
            hidden_dropout_prob=self.dropout or 0.0,
            attention_probs_dropout_prob=self.dropout or 0.0,
            **{name: getattr(self, name) for name in ARCHITECTURE if name != "dropout"},
        )


ARCHITECTURE = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "initializer_range",
    "dropout",
)
"""The settings of a fresh model."""
