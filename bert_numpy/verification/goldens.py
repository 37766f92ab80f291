"""Run this package on stored inputs and compare everything with what the reference library computed from them.

The stored numbers ship in `weights/tiny-random/`: a two-layer BERT whose sizes are all different and whose gains and
biases are random, with outputs, hidden states, attentions, loss and the gradient of every parameter for every head,
in float64.  `tests/golden/make_tiny_random.py` made them and says how the file is laid out.

Here: which arrays belong together.  Not here: what counts as equal (`arrays.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import models
from ..checkpoints import CheckpointError, load_checkpoint, safetensors
from ..configuration import BertConfig
from ..hub import find_model
from ..models import BertPreTrainedModel
from ..tokenization import BertTokenizer
from .arrays import ArrayReport, compare_arrays

DEFAULT_MODEL = "tiny-random"
REFERENCE_FILE = "reference.safetensors"


def verify(model: str | Path = DEFAULT_MODEL, dtype: DTypeLike = np.float64) -> Iterator[ArrayReport]:
    """Compare tokens, then outputs and gradients of every stored head, with the reference.

    Parameters
    ----------
    model : path or str
        A model folder with a `reference.safetensors`, or the name of one that ships.
    dtype : float64 or float32
        What to compute in.

    Yields
    ------
    ArrayReport
        First that of the tokens, then one for each head.

    Raises
    ------
    FileNotFoundError
        If the folder or its stored numbers are missing.
    """
    folder = find_model(model, download=False)
    path = _reference_file(folder)
    metadata = safetensors.read_header(path).metadata
    stored = safetensors.load_file(path)
    inputs = _group(stored, "inputs")
    yield compare_arrays(inputs, _tokenized(folder, json.loads(metadata["texts"]), inputs), dtype, "BertTokenizer")
    for case, (class_name, problem_type) in json.loads(metadata["cases"]).items():
        yield _verify_case(folder, case, class_name, problem_type, inputs, _group(stored, case), dtype)


def versions(model: str | Path = DEFAULT_MODEL) -> dict[str, str]:
    """What made the stored numbers: {"torch": "2.13.0", "transformers": …}."""
    metadata = safetensors.read_header(_reference_file(find_model(model, download=False))).metadata
    return {name: metadata[name] for name in ("torch", "transformers", "tokenizers", "numpy") if name in metadata}


def zero_gradients(model: BertPreTrainedModel) -> list[str]:
    """Names of the parameters whose gradient is exactly 0, so that only rounding noise is left of it.

    Softmax does not see a shift of all its inputs.  A key bias shifts all scores of a query and does nothing else; the
    bias of a span or choice head shifts the scores of all positions or choices, and so does, through the linear span
    head, the last bias of the encoder.

    >>> config = BertConfig.preset("tiny", vocab_size=9, num_hidden_layers=1)
    >>> zero_gradients(models.BertForMaskedLM(config))
    ['bert.encoder.layer.0.attention.self.key.bias']
    """
    last_layer = f"bert.encoder.layer.{model.config.num_hidden_layers - 1}"
    of_head = {
        models.BertForQuestionAnswering: ("qa_outputs.bias", f"{last_layer}.output.LayerNorm.bias"),
        models.BertForMultipleChoice: ("classifier.bias",),
    }.get(type(model), ())
    names = (name for name, _ in model.named_parameters())
    return [name for name in names if name.endswith("attention.self.key.bias") or name in of_head]


def flatten(outputs: Any) -> dict[str, np.ndarray]:
    """The outputs of a model as {name: array}; hidden states and attentions are numbered from 0.

    >>> from ..models.outputs import BaseModelOutputWithPooling
    >>> list(flatten(BaseModelOutputWithPooling(np.zeros(1), None, (np.zeros(1), np.zeros(1)))))
    ['last_hidden_state', 'hidden_states.0', 'hidden_states.1']
    """
    flat: dict[str, np.ndarray] = {}
    for name, value in outputs.items():
        if isinstance(value, tuple):
            flat |= {f"{name}.{i}": array for i, array in enumerate(value)}
        else:
            flat[name] = np.asarray(value)
    return flat


def unflatten(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The inverse of `flatten`, as a mapping that `backward` takes.

    >>> unflatten({"logits": 1, "hidden_states.10": 3, "hidden_states.2": 2})     # a file sorts its names
    {'logits': 1, 'hidden_states': (2, 3)}
    """
    nested: dict[str, Any] = {}
    for name, array in arrays.items():
        base, dot, number = name.partition(".")
        if dot:
            nested.setdefault(base, {})[int(number)] = array
        else:
            nested[base] = array
    return {
        base: tuple(value[i] for i in sorted(value)) if isinstance(value, dict) else value
        for base, value in nested.items()
    }


def _reference_file(folder: Path) -> Path:
    path = folder / REFERENCE_FILE
    if not path.exists():
        raise FileNotFoundError(f"no {REFERENCE_FILE} in {folder}; only a folder with stored numbers can be verified")
    if not {"texts", "cases"} <= safetensors.read_header(path).metadata.keys():
        raise CheckpointError(f"{path} does not say what it holds (texts, cases); make it as tests/golden/ does")
    return path


def _group(stored: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays under `prefix/`, without it."""
    return {name.removeprefix(f"{prefix}/"): array for name, array in stored.items() if name.startswith(f"{prefix}/")}


def _tokenized(folder: Path, texts: list[list[str | None]], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The stored texts, a single one or a pair each, as the ids, segments and mask of one padded batch."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    length = inputs["input_ids"].shape[1]
    rows = [tokenizer(first, second, padding="max_length", max_length=length) for first, second in texts]
    return {name: np.array([row[name] for row in rows]) for name in inputs}


def _verify_case(
    folder: Path,
    case: str,
    class_name: str,
    problem_type: str | None,
    shared_inputs: dict[str, np.ndarray],
    stored: dict[str, np.ndarray],
    dtype: DTypeLike,
) -> ArrayReport:
    """Forward and backward of one head, against the arrays stored under its name."""
    model = _model(folder, class_name, problem_type, _group(stored, "parameters"), dtype)
    expected = {**_group(stored, "outputs"), **{f"d {n}": a for n, a in _group(stored, "gradients").items()}}
    outputs, cache = model.forward(
        **{**shared_inputs, **_group(stored, "inputs")}, output_hidden_states=True, output_attentions=True
    )
    model.backward(unflatten(_group(stored, "doutputs")) or 1.0, cache)
    actual = flatten(outputs)
    for name, parameter in model.named_parameters():
        actual[f"d {name}"] = np.zeros_like(parameter.data) if parameter.grad is None else parameter.grad
    in_order = {name: expected[name] for name in actual if name in expected}  # a file sorts its names
    return compare_arrays(
        {**in_order, **expected}, actual, dtype, case, absolute=[f"d {name}" for name in zero_gradients(model)]
    )


def _model(
    folder: Path,
    class_name: str,
    problem_type: str | None,
    parameters: dict[str, np.ndarray],
    dtype: DTypeLike,
) -> BertPreTrainedModel:
    """The class with the checkpoint's weights, and the stored ones for a head that the checkpoint lacks."""
    config = BertConfig.from_pretrained(folder).changed(problem_type=problem_type)
    model = getattr(models, class_name)(config, dtype=dtype, init_weights=False)
    model.load_weights({**load_checkpoint(folder), **parameters}, str(folder))
    return model.eval()
