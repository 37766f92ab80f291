"""The pay-off: a student's function inside the whole BERT that ships with this package, which answers with it.

A forward, or whatever else takes part in reading a text, helps to fill a mask; a backward takes part in a training
step, a loss or a part of an optimizer in some of them.

    python -m bert_numpy.classroom.payoff FOLDER      # as a process: reads request.pickle, writes payoff.txt

Here: putting a function in, the sentences.  Not here: whether the function is right (`checking.py`).
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import classroom
from ..models import BertForMaskedLM
from ..tokenization import BertTokenizer
from ..training import gradients, optimizers, schedules
from . import calls
from .exercise import Exercise
from .given import PACKAGE
from .sandbox import other_functions, run_limited
from .submission import CodeCell

MODEL = "small-world"
QUESTION = "the capital of france is [MASK] ."
LESSON = "rome"  # what one step of training teaches instead
RATE, ADAMW_RATE = 0.02, 0.0005
SECONDS = 60.0


def sentence(name: str, module: str, function: Callable[..., Any]) -> str:
    """What BERT says with a function inside; empty if the function takes no part in it.

    Parameters
    ----------
    name : str
        Of the function, or Class.method.
    module : str
        Where it stands.
    function : callable
        That takes its place.
    """
    with replaced(name, module, function) as used:
        tokenizer, model = BertTokenizer.from_pretrained(MODEL), BertForMaskedLM.from_pretrained(MODEL).eval()
        batch = dict(tokenizer(QUESTION, return_tensors="np"))
        if module.startswith("bert_numpy.training") or name == "cross_entropy_forward":
            said = _taught(model, tokenizer, batch, _steps_of_adamw, "four steps of AdamW teach")
        elif name.endswith("backward"):
            said = _taught(model, tokenizer, batch, _one_step, "one step of training teaches")
        else:
            said = _filled(model, tokenizer, batch)
    return f"with your {name} inside, {said}" if used else ""


def _filled(model: Any, tokenizer: Any, batch: dict[str, np.ndarray]) -> str:
    logits = model(**batch).logits
    place = batch["input_ids"] == tokenizer.mask_token_id
    word = tokenizer.convert_ids_to_tokens([int(logits[place][0].argmax())])[0]
    return f"BERT says: {QUESTION.replace('[MASK]', word)}"


def _taught(
    model: Any, tokenizer: Any, batch: dict[str, np.ndarray], teach: Callable[[Any, dict[str, Any]], None], how: str
) -> str:
    masked = batch["input_ids"] == tokenizer.mask_token_id
    batch = {**batch, "labels": np.where(masked, tokenizer.convert_tokens_to_ids(LESSON), -100)}
    before = model(**batch).loss
    teach(model, batch)
    taught = QUESTION.replace("[MASK]", LESSON)
    return f'{how} BERT "{taught}": its loss falls from {before:.2f} to {model(**batch).loss:.2f}'


def _one_step(model: Any, batch: dict[str, Any]) -> None:
    _, cache = model.forward(**batch)
    model.zero_grad()
    model.backward(1.0, cache)
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.data = parameter.data - RATE * parameter.grad


def _steps_of_adamw(model: Any, batch: dict[str, Any]) -> None:
    """Looked up in their modules, where a student's function may stand."""
    optimizer = optimizers.AdamW(optimizers.parameter_groups(model, weight_decay=0.01), lr=ADAMW_RATE)
    scheduler = schedules.get_linear_schedule_with_warmup(optimizer, num_warmup_steps=1, num_training_steps=5)
    for _ in range(4):
        _, cache = model.forward(**batch)
        optimizer.zero_grad()
        model.backward(1.0, cache)
        gradients.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()


@contextmanager
def replaced(name: str, module: str, function: Callable[..., Any]) -> Iterator[list[bool]]:
    """Put a function in the place of the library's, and the library's back; the list fills when it is called."""
    owner: Any = importlib.import_module(module)
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original = vars(owner)[attribute]
    owners = [owner]
    if not classes:  # other files may have imported the function by its name
        files = [file for path, file in sys.modules.items() if path.startswith("bert_numpy.")]
        owners = [file for file in files if vars(file).get(attribute) is original]
    used: list[bool] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        used[:] = [True]
        return function(*args, **kwargs)

    for place in owners:
        setattr(place, attribute, counted)
    try:
        yield used
    finally:
        for place in owners:
            setattr(place, attribute, original)


# ---- as a process ----


def in_process(exercise: Exercise, cells: Sequence[CodeCell]) -> str:
    """The sentence, from a process that runs a student's cells; or what went wrong in there."""
    with tempfile.TemporaryDirectory(prefix="exercise-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        content = {
            "cells": [(cell.name, cell.source) for cell in cells],
            "name": exercise.name,
            "module": exercise.module,
            "others": other_functions(exercise),
        }
        (folder / "request.pickle").write_bytes(pickle.dumps(content))
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-B", "-m", __name__, str(folder)]
        code, killed = run_limited(command, folder, environment, SECONDS, lambda: "")
        if (folder / "payoff.txt").is_file():
            return (folder / "payoff.txt").read_text(encoding="utf-8")
        return f"inside the whole BERT, {killed or f'the process ends with exit code {code}'}"


def _no_check(*args: Any) -> None:
    """Nothing is checked here."""


def main(folder: str) -> None:
    """Run the cells of a request, put the function in, write the sentence."""
    content = pickle.loads(Path(folder, "request.pickle").read_bytes())  # our own bytes
    vars(classroom).update(check=_no_check, hint=_no_check)  # a notebook's cells call them
    namespace = calls.new_namespace()
    for name, source in content["cells"]:
        calls.run_cell(name, source, namespace)
    calls.use_library(content["others"], namespace)
    try:
        function = calls.find_function(content["name"], namespace)
        said = sentence(content["name"], content["module"], function)
    except Exception as error:
        said = f"inside the whole BERT it fails: {calls.describe(error)}"
    Path(folder, "payoff.txt").write_text(said, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
