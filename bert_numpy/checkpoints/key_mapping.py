"""Tensor names of published checkpoints, fitted to the names that a model expects.

The model's attribute paths are the names of today's files (``encoder.layer.0.attention.self.query.weight``).
Files differ from them in four ways, all handled here and nowhere else:

- LayerNorm ``gamma`` and ``beta``, as every file of 2018 and 2019 says, for ``weight`` and ``bias``;
- ``bert.`` in front of the backbone, in files of models with a head;
- ``module.`` in front of everything, left by PyTorch's data-parallel wrapper;
- ``position_ids``, the numbers 0 to 511 stored as if they were weights.

Nothing is ever guessed: what has no place keeps its name, and the model reports it. Only names are looked at,
never values or model classes. What is not here: shapes, and missing or unexpected tensors, which are for the
model to judge. Read next: ``models/pretrained.py``.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from .errors import CheckpointError, quoted

Value = TypeVar("Value")

_WRAPPER = "module."
_BACKBONE = "bert."
_BACKBONE_PARTS = ("embeddings.", "encoder.", "pooler.")
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

# Parts of names that no BERT has, each beginning at a component of the name, and the family that has them.
# RoBERTa, CamemBERT and others without their prefix have exactly BERT's names: only config.json tells those.
_FAMILIES = {
    "roberta.": "RoBERTa",
    "distilbert.": "DistilBERT",
    "attention.q_lin.": "DistilBERT",
    "albert.": "ALBERT",
    "encoder.albert_layer_groups.": "ALBERT",
    "embedding_hidden_mapping_in.": "ALBERT",
    "electra.": "ELECTRA",
    "generator_": "ELECTRA",
    "discriminator_": "ELECTRA",
    "embeddings_project.": "ELECTRA",
    "mobilebert.": "MobileBERT",
    "bottleneck.": "MobileBERT",
    "deberta.": "DeBERTa",
    "attention.self.in_proj.": "DeBERTa",
    "attention.self.query_proj.": "DeBERTa",
    "mpnet.": "MPNet",
    "encoder.relative_attention_bias.": "MPNet",
    "attn.Wqkv.": "ModernBERT",
    "decoder.block.": "T5",
    "encoder.block.": "T5",
    "encoder.layers.": "BART or another encoder whose blocks are called layers",
    "decoder.layers.": "BART or another model with a decoder",
    "attn.c_attn.": "GPT-2",
    "self_attn.q_proj.": "a LLaMA-like decoder",
}


def canonical_name(name: str) -> str:
    """Return ``name`` without ``module.`` and with LayerNorm's ``gamma`` and ``beta`` as today's names.

    Examples
    --------
    >>> canonical_name("module.bert.embeddings.LayerNorm.gamma")
    'bert.embeddings.LayerNorm.weight'
    """
    name = name.removeprefix(_WRAPPER)
    for old, new in _RENAMED.items():
        if name == old or name.endswith("." + old):
            return name.removesuffix(old) + new
    return name


def foreign_family(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the family of models that the names belong to and the name that shows it; None for BERT.

    Examples
    --------
    >>> foreign_family(["roberta.embeddings.word_embeddings.weight"])
    ('RoBERTa', 'roberta.embeddings.word_embeddings.weight')
    >>> foreign_family(["bert.embeddings.word_embeddings.weight"]) is None
    True
    """
    for name in names:
        for part, family in _FAMILIES.items():
            if f".{part}" in f".{name}":
                return family, name
    return None


def to_expected(
    tensors: Mapping[str, Value], expected_names: Collection[str], *, source: str = "the checkpoint"
) -> tuple[dict[str, Value], list[str]]:
    """Rename the tensors of a file to the names that a model expects.

    ``bert.`` is added to the names of the backbone if the model expects them with it, and taken away if the
    model is the bare backbone. Names are mapped one by one, whatever the rest of the file looks like.

    Parameters
    ----------
    tensors : mapping of str to anything
        The values are passed through untouched.
    expected_names : collection of str
        The names of the model's parameters.
    source : str
        What to call the file in messages.

    Returns
    -------
    mapped : dict
        Every tensor but the ignored, in the order of ``tensors``. Names that the model does not expect
        are kept, for the model to report.
    ignored : list of str
        The names in the file that are dropped because they hold no weights.

    Raises
    ------
    CheckpointError
        If two tensors of the file claim the same name, or the names belong to another family of models.

    Examples
    --------
    >>> file = {"bert.embeddings.LayerNorm.gamma": 1.0, "bert.embeddings.position_ids": 0, "cls.x": 2.0}
    >>> to_expected(file, {"embeddings.LayerNorm.weight"})
    ({'embeddings.LayerNorm.weight': 1.0, 'cls.x': 2.0}, ['bert.embeddings.position_ids'])
    """
    expected = frozenset(expected_names)
    foreign = foreign_family(name for name in tensors if name not in expected)
    if foreign:
        family, name = foreign
        raise CheckpointError(f"{source}: this looks like {family}, not BERT: it holds {quoted(name)}")

    wants_prefix = any(name.startswith(_BACKBONE) for name in expected)
    mapped: dict[str, Value] = {}
    origin: dict[str, str] = {}
    ignored = []
    for name, value in tensors.items():
        target = canonical_name(name)
        if target not in expected:
            if target.split(".")[-1] == "position_ids":
                ignored.append(name)
                continue
            target = _fit_prefix(target, wants_prefix)
        if target in mapped:
            both = f"{quoted(origin[target])} and {quoted(name)}"
            raise CheckpointError(f"{source}: the tensors {both} both stand for {quoted(target)}")
        mapped[target] = value
        origin[target] = name
    return mapped, ignored


def _fit_prefix(name: str, wants_prefix: bool) -> str:
    """Add ``bert.`` to a name of the backbone, or take it away; names of heads stay as they are."""
    if not wants_prefix:
        return name.removeprefix(_BACKBONE)
    return _BACKBONE + name if name.startswith(_BACKBONE_PARTS) else name
