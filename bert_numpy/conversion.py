"""Any readable form of a BERT to a folder that this package, transformers and older readers open.

Here: `convert`, which finds out what a checkpoint holds and writes it anew with its configuration, its tokenizer and
a short model card.  Not here: the file formats (`checkpoints/`), downloads (`hub`).
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import models
from .checkpoints import CheckpointError, load_checkpoint, tensorflow, tensorflow_source
from .configuration import BertConfig
from .hub import find_model
from .models import BertPreTrainedModel
from .nn.module import summarize
from .tokenization import BertTokenizer

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


class Converted(NamedTuple):
    """What `convert` has written."""

    folder: Path
    class_name: str  # the model that the checkpoint holds
    parameters: int
    has_tokenizer: bool
    left_out: list[str]  # tensors of the checkpoint that this model does not have


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], dtype: str = "f32") -> Converted:
    """Write a checkpoint as config.json, model.safetensors, tokenizer files and README.md.

    Parameters
    ----------
    source : path or str
        A folder, a weight file with its configuration beside it, the prefix of a TensorFlow checkpoint, a zip
        archive of one as Google published them, or the name of a model.
    target : path
        A folder that does not exist yet, or is empty.  It is complete in the end, or as it was.
    dtype : "f32", "f16" or "bf16"
        What the weights are stored in.

    Raises
    ------
    FileNotFoundError
        If the source or its configuration is missing.
    ValueError, CheckpointError
        If the source cannot be read, is no BERT, a weight does not fit the dtype, or the target cannot be used.

    Warns
    -----
    UserWarning
        If weights are not finite.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is unknown; choose from {', '.join(DTYPES)}")
    source, target = _found(source), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not an empty folder; choose another")
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies inside {source}, which is to be converted; choose another")
    tensors = load_checkpoint(source)
    model, left_out = model_of(tensors, read_configuration(source), str(source))
    tokenizer = read_tokenizer(source)
    if tokenizer is not None and len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{source}: the vocabulary has {len(tokenizer)} words but the model's vocab_size is "
            f"{model.config.vocab_size}; the two do not belong together"
        )
    spoilt = [name for name, array in model.state_dict().items() if not np.isfinite(array).all()]
    if spoilt:
        warnings.warn(f"{source}: {spoilt[0]} and {len(spoilt) - 1} more hold NaN or infinity", stacklevel=2)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        model.save_pretrained(part, dtype=DTYPES[dtype])
        if tokenizer is not None:
            tokenizer.save_pretrained(part)
        (part / "README.md").write_text(_model_card(model, source, dtype), encoding="utf-8", newline="\n")
        if target.exists():
            target.rmdir()
        part.rename(target)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Converted(target, type(model).__name__, model.num_parameters(), tokenizer is not None, left_out)


def _found(source: str | os.PathLike[str]) -> Path:
    """The path of a checkpoint, which a prefix of TensorFlow's is too, or the folder of a model by name."""
    path = Path(source)
    is_here = path.exists() or path.with_name(f"{path.name}.index").exists()
    # what looks like a path is one, and its reader says what is wrong with it
    return path if is_here or path.suffix or not isinstance(source, str) else find_model(source)


def model_of(tensors: dict[str, np.ndarray], config: BertConfig, source: str) -> tuple[BertPreTrainedModel, list[str]]:
    """The model that uses most of a checkpoint, with its weights and nothing invented, and the tensors left out.

    Several classes may do (a classifier of texts, of tokens): then the one that the configuration names, else the
    first of the list.

    Raises
    ------
    CheckpointError
        If no class can use the tensors, or the class that the configuration names has only part of its head.
    """
    classifier = next((a for name, a in tensors.items() if name.endswith("classifier.weight")), None)
    if classifier is not None and classifier.ndim == 2 and len(classifier) not in (1, config.num_labels):
        config = config.changed(num_labels=len(classifier))
    named = config.extra.get("architectures") or []
    pooler = any("pooler." in name for name in tensors)
    candidates: list[tuple[Any, ...]] = []
    for class_name in ("BertModel", *(name for name in models.__all__ if name.startswith("BertFor"))):
        if class_name == "BertModel":
            model: BertPreTrainedModel = models.BertModel(config, pooler, init_weights=False)
        else:
            model = getattr(models, class_name)(config, init_weights=False)
        fit = model.fit_weights(tensors, source)
        if class_name in named and fit.problems:
            raise CheckpointError(f"{source}: not a whole {class_name}: {summarize(fit.problems, limit=3)}")
        refused = len(fit.problems) + len(fit.new)
        candidates.append((refused, len(fit.unused), class_name not in named, len(candidates), model, fit))
    *_, model, fit = min(candidates, key=lambda candidate: candidate[:4])
    if fit.problems:
        raise CheckpointError(f"{source}: {summarize(fit.problems, limit=3)}")
    model.load_weights(tensors, source)
    return model.eval(), fit.unused


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
