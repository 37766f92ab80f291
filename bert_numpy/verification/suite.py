"""Inputs on which ports go wrong, and goldens: what the reference computes on them, for a port's own tests.

    bert-numpy export-goldens path/to/model goldens.safetensors

A golden file is safetensors, which every language reads:

    CASE/inputs/input_ids, attention_mask, token_type_ids, and labels where the model has a loss
    CASE/float64/TAP, CASE/float32/TAP       every tap, in both precisions: their difference is the noise floor
                                             (but those that repeat rows of a table, or another tap)

and, in its metadata under "manifest", JSON with the versions, the checksum of the weights, the configuration, the texts
of every case and the steps by which each tap is computed.

Here: the cases and the file.  Not here: how a port is judged (`comparison.py`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..checkpoints import safetensors
from ..tokenization import BertTokenizer
from .evaluation import GRADIENT, Run
from .reference import Reference
from .steps import Step

MASKED_SHARE = 0.3
LONGEST = 64
"""The most positions of the case of greatest length in a golden file, if the model has more."""


class Texts(NamedTuple):
    """A case of texts, single ones or pairs, short so that goldens stay small."""

    name: str
    texts: tuple[tuple[str, str | None], ...]


TEXTS = (
    Texts("single", (("to be", None),)),
    Texts("pair", (("a", "b"),)),
    Texts("padded", (("é 语 👍", None), ("b", None))),
    Texts("unknown", (("ѣ ѫ", None),)),
    Texts("accents", (("é", None),)),
    Texts("chinese", (("语言", None),)),
    Texts("emoji", (("👍🏽", None),)),
    Texts("mask", (("not [MASK]", None),)),
)
"""The cases that are made of texts, for a model with a tokenizer."""


def suite(reference: Reference, longest: int = LONGEST, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """The inputs of every case.

    Parameters
    ----------
    reference : Reference
        Its tokenizer makes ids of the texts; without one there are random ids only.
    longest : int
        The most positions that a case may have.
    seed : int
        Of random ids and labels.

    Returns
    -------
    dict of str to dict of str to integer array

    Examples
    --------
    >>> from .reference import load_reference
    >>> cases = suite(load_reference("tiny-random"))
    >>> list(cases)[:8]
    ['single', 'pair', 'padded', 'unknown', 'accents', 'chinese', 'emoji', 'mask']
    >>> list(cases)[8:]
    ['one', 'two', 'longest', 'all padding']
    """
    rng = np.random.default_rng(seed)
    config = reference.model.config
    longest = min(longest, config.max_position_embeddings)
    cases: dict[str, dict[str, np.ndarray]] = {}
    if reference.tokenizer is not None:
        for case in TEXTS:
            cases[case.name] = _encoded(reference.tokenizer, case, longest)
    for name, shape in (("one", (1, 1)), ("two", (1, 2)), ("longest", (1, longest)), ("all padding", (2, 3))):
        input_ids = rng.integers(1, config.vocab_size, shape)
        attention_mask = np.ones(shape, np.int64)
        token_type_ids = np.tile(np.arange(shape[1]) * config.type_vocab_size // shape[1], (shape[0], 1))
        if name == "all padding":
            input_ids[1], attention_mask[1], token_type_ids[1] = config.pad_token_id or 0, 0, 0
        cases[name] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
    for inputs in cases.values():
        inputs.update(_labels(reference, inputs, rng))
    return cases


def export_goldens(
    reference: Reference,
    path: str | Path,
    version: str,
    *,
    longest: int = LONGEST,
    gradients: bool = False,
    cases: Iterable[str] | None = None,
) -> int:
    """Write what the reference computes on the suite; returns how many tensors.

    Parameters
    ----------
    reference : Reference
    path : path
        Ends in .safetensors; is complete or not there at all.
    version : str
        Of this package.
    longest : int
        The most positions of a case.
    gradients : bool
        Whether to add those of every tap and parameter; they make the file many times larger.
    cases : names, optional
        Of the cases to write; all if not given.

    Raises
    ------
    ValueError
        If a case is not known.
    """
    inputs = suite(reference, longest)
    chosen = list(inputs) if cases is None else list(cases)
    for name in chosen:
        if name not in inputs:
            raise ValueError(f"no case {name!r}; there are {', '.join(inputs)}")
    tensors: dict[str, np.ndarray] = {}
    for name in chosen:
        tensors |= {f"{name}/inputs/{key}": array for key, array in inputs[name].items()}
        for dtype, parameters in (("float64", reference.float64), ("float32", reference.parameters)):
            run = Run(reference.steps, parameters, inputs[name], dtype=dtype)
            for tap, array in _everything(run, reference, gradients):
                tensors[f"{name}/{dtype}/{tap}"] = array
    manifest = {
        "format": "bert-numpy goldens 1",
        "model": Path(reference.name).resolve().name,
        "class": type(reference.model).__name__,
        "config": reference.model.config.to_dict(),
        "weights_sha256": checksum(reference.parameters),
        "versions": {"bert_numpy": version, "numpy": np.__version__, "python": sys.version.split()[0]},
        "texts": {case.name: case.texts for case in TEXTS if case.name in chosen},
        "steps": [_described(step) for step in reference.steps],
    }
    safetensors.save_file(
        tensors, path, metadata={"format": "pt", "manifest": json.dumps(manifest, ensure_ascii=False)}
    )
    return len(tensors)


def is_copy(step: Step) -> bool:
    """Whether a tap repeats what is there: rows of a table, a token, the input of dropout in evaluation mode."""
    return step.operation in ("identity", "embedding", "token")


def checksum(parameters: dict[str, np.ndarray]) -> str:
    """SHA-256 of the parameters: names, shapes and float32 numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.ascontiguousarray(parameters[name], "<f4")
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _encoded(tokenizer: BertTokenizer, case: Texts, longest: int) -> dict[str, np.ndarray]:
    rows = [tokenizer(text, pair, truncation=True, max_length=longest) for text, pair in case.texts]
    S = max(len(row["input_ids"]) for row in rows)
    padding = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0, "token_type_ids": 0}
    return {
        name: np.array([[*row[name], *[value] * (S - len(row[name]))] for row in rows])
        for name, value in padding.items()
    }


def _labels(reference: Reference, inputs: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Labels for the losses that the model has."""
    (B, S), real = inputs["input_ids"].shape, inputs["attention_mask"] != 0
    labels: dict[str, np.ndarray] = {}
    for name, kind in reference.labels.items():
        if kind.classes is None:
            labels[name] = rng.integers(0, 2, (B, reference.model.config.num_labels)).astype(np.float32)
            continue
        largest = S if name.endswith("positions") else kind.classes
        labels[name] = rng.integers(0, largest, (B, S) if kind.each == "token" else B)
        if kind.each == "token":
            live = (rng.random((B, S)) < MASKED_SHARE) & real
            live[0, 0] = True
            labels[name][~live] = -100
        elif name == "next_sentence_label":
            labels[name][~real.any(axis=1)] = -100
    return labels


def _everything(run: Run, reference: Reference, gradients: bool) -> Iterator[tuple[str, np.ndarray]]:
    for step in reference.steps:
        if run.has(step.tap) and not is_copy(step):
            yield step.tap, np.asarray(run.value(step.tap))
    names = [*(step.tap for step in reference.steps), *reference.parameters] if gradients and run.has("loss") else []
    for name in names:
        gradient = run.value(GRADIENT + name)
        if gradient is not None:
            yield GRADIENT + name, np.asarray(gradient)


def _described(step: Step) -> dict[str, Any]:
    """A step as the manifest has it."""
    return {
        "tap": step.tap,
        "operation": step.operation,
        "inputs": list(step.inputs),
        "parameters": list(step.parameters),
        "settings": dict(step.settings),
    }
