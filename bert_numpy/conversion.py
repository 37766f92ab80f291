"""Any readable form of a BERT to a folder that this package, transformers and older readers open.

Here: `convert`, which finds out what a checkpoint holds and writes it anew with its configuration, its tokenizer and
a short model card.  Not here: the file formats (`checkpoints/`), downloads (`hub`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import models
from .checkpoints import CheckpointError, load_checkpoint, tensorflow, tensorflow_source
from .configuration import BertConfig
from .models import BertPreTrainedModel
from .tokenization import BertTokenizer

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


class Converted(NamedTuple):
    """What `convert` has written."""

    folder: Path
    class_name: str  # the model that the checkpoint holds
    parameters: int
    has_tokenizer: bool


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], dtype: str = "f32") -> Converted:
    """Write a checkpoint as config.json, model.safetensors, tokenizer files and README.md.

    Parameters
    ----------
    source : path
        A folder, a weight file with its configuration beside it, the prefix of a TensorFlow checkpoint, or a zip
        archive of one as Google published them.
    target : path
        A folder that does not exist yet, or is empty.
    dtype : "f32", "f16" or "bf16"
        What the weights are stored in.

    Raises
    ------
    FileNotFoundError
        If the source or its configuration is missing.
    ValueError, CheckpointError
        If the source cannot be read, is no BERT, or the target is not empty.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is unknown; choose from {', '.join(DTYPES)}")
    source, target = Path(source), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not an empty folder; choose another")
    tensors = load_checkpoint(source)
    model = model_of(tensors, read_configuration(source), str(source))
    tokenizer = read_tokenizer(source)
    if tokenizer is not None and len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{source}: the vocabulary has {len(tokenizer)} words but the model's vocab_size is "
            f"{model.config.vocab_size}; the two do not belong together"
        )
    model.save_pretrained(target, dtype=DTYPES[dtype])
    if tokenizer is not None:
        tokenizer.save_pretrained(target)
    written = Converted(target, type(model).__name__, model.num_parameters(), tokenizer is not None)
    (target / "README.md").write_text(_model_card(model, source, dtype), encoding="utf-8", newline="\n")
    return written


def model_of(tensors: dict[str, np.ndarray], config: BertConfig, source: str) -> BertPreTrainedModel:
    """The model that uses every tensor of a checkpoint, with its weights.

    Several classes may do (a classifier of texts, of tokens): then the one that the configuration names, else the
    first of the list.

    Raises
    ------
    CheckpointError
        If no class can use the tensors.
    """
    classifier = next((a for name, a in tensors.items() if name.endswith("classifier.weight")), None)
    if classifier is not None and classifier.ndim == 2 and len(classifier) not in (1, config.num_labels):
        config = config.changed(num_labels=len(classifier))
    named = config.extra.get("architectures") or []
    candidates: list[tuple[Any, ...]] = []
    for class_name in ("BertModel", *(name for name in models.__all__ if name.startswith("BertFor"))):
        model = getattr(models, class_name)(config, init_weights=False)
        fit = model.fit_weights(tensors, source)
        refused = len(fit.problems) + len(fit.new)
        candidates.append((refused, len(fit.unused), class_name not in named, len(candidates), model, fit))
    *_, model, fit = min(candidates, key=lambda candidate: candidate[:4])
    if fit.problems:
        raise CheckpointError(f"{source}: {fit.problems[0]}" + (" and more" if len(fit.problems) > 1 else ""))
    model.load_weights(tensors, source)
    return model.eval()


def read_configuration(source: Path) -> BertConfig:
    """The configuration in, beside or inside (an archive) a checkpoint."""
    if source.is_dir():
        return BertConfig.from_pretrained(source)
    if _is_archive(source):
        return BertConfig.from_json(
            tensorflow.read_companion(source, "bert_config.json"), f"{source}: bert_config.json"
        )
    return BertConfig.from_pretrained(source.parent)


def read_tokenizer(source: Path) -> BertTokenizer | None:
    """The tokenizer in, beside or inside a checkpoint, or None.

    Google's archives say nothing about case but in their names: "cased", but not "uncased", keeps it.
    """
    if _is_archive(source):
        text = tensorflow.read_companion(source, "vocab.txt").decode("utf-8")
        tokens = text.removesuffix("\n").replace("\r", "").split("\n")
        name = source.name.lower()
        return BertTokenizer(tokens, do_lower_case="uncased" in name or "cased" not in name)
    folder = source if source.is_dir() else source.parent
    has_one = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    return BertTokenizer.from_pretrained(folder) if has_one else None


def _is_archive(source: Path) -> bool:
    return source.is_file() and tensorflow_source.is_archive(source)


def _model_card(model: BertPreTrainedModel, source: Path, dtype: str) -> str:
    config = model.config
    sizes: list[tuple[str, Any]] = [
        ("class", type(model).__name__),
        ("parameters", f"{model.num_parameters():,}"),
        (
            "layers, hidden size, heads",
            f"{config.num_hidden_layers}, {config.hidden_size}, {config.num_attention_heads}",
        ),
        ("vocabulary, longest sequence", f"{config.vocab_size:,}, {config.max_position_embeddings}"),
        ("activation", config.hidden_act),
        ("stored in", DTYPES[dtype]),
        ("converted from", source.name),
    ]
    rows = "\n".join(f"| {name} | {value} |" for name, value in sizes)
    return f"# {source.stem or source.name}\n\nA BERT, converted by bert_numpy.\n\n| | |\n|---|---|\n{rows}\n"
