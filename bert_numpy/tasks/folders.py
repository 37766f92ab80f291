"""The folder of a trained model: what may be there before, what is written at the end, and which task it is for.

Read next: `recipes.py`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoints import CheckpointError
from ..configuration import BertConfig
from ..data.text_files import PathLike
from ..training import get_last_checkpoint
from ..training.checkpointing import delete_checkpoint, list_checkpoints
from .classification import TextClassification, TextRegression
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .tagging import Tagging
from .task import Task

LOGGER = logging.getLogger(__name__)

TASKS: dict[str, type[Any]] = {
    task.name: task for task in (TextClassification, TextRegression, Tagging, QuestionAnswering, MultipleChoice)
}
"""The tasks by the names that the command line has for them."""

METRICS = "metrics.json"


def task_name(config: BertConfig, folder: PathLike = "the model") -> str:
    """What a model was trained for, as its configuration says.

    Raises
    ------
    ValueError
        If it names no head of a task.

    Examples
    --------
    >>> task_name(BertConfig(architectures=["BertForSequenceClassification"], num_labels=1))
    'regress'
    """
    made_as = getattr(config, "architectures", None) or []
    if "BertForSequenceClassification" in made_as:
        is_number = config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1)
        return "regress" if is_number else "classify"
    for name in ("tag", "qa", "choice"):
        if TASKS[name].model_class.__name__ in made_as:
            return name
    found = ", ".join(made_as) or "nothing"
    raise ValueError(
        f"{folder} was not trained for a task: the architectures in its config.json are {found}; "
        "train it: bert-numpy finetune"
    )


def task_of(config: BertConfig, folder: PathLike = "the model") -> Task:
    """The task that a model was trained for, for files in the usual form.

    Examples
    --------
    >>> type(task_of(BertConfig(architectures=["BertForTokenClassification"]))).__name__
    'Tagging'
    """
    return TASKS[task_name(config, folder)]()


def check_output(folder: PathLike, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with something in it that a training would mix with, or destroy.

    Raises
    ------
    ValueError
        Saying what to do.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{folder} is a file; the output must be a folder")
    if resume and overwrite:
        raise ValueError("a run is either resumed or overwritten, not both")
    checkpoints = list_checkpoints(path)
    if overwrite:
        return
    if resume:
        if not checkpoints and (path / METRICS).exists():
            raise ValueError(f"the run in {folder} is complete; there is nothing to resume")
        if get_last_checkpoint(path) is None:
            LOGGER.warning("%s holds no checkpoint yet; training starts from the beginning", folder)
        return
    if checkpoints:
        raise ValueError(
            f"{folder} holds {checkpoints[-1].name} of an unfinished run; resume it, overwrite it, or choose another "
            "folder"
        )
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"{folder} is not empty; overwrite it, or choose another folder")


def finite(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as JSON has them: None for NaN, which is the correlation with a constant.

    Examples
    --------
    >>> finite({"pearson": float("nan"), "positive": "spam"})
    {'pearson': None, 'positive': 'spam'}
    """
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in metrics.items()
    }


def save_outcome(trainer: Any, outcome: Any, folder: PathLike, about: dict[str, Any]) -> None:
    """Write the trained model, its metrics and its pictures; then delete the checkpoints, which are no longer needed.

    Everything is written to a hidden folder first.  If that fails, the checkpoints are still there.

    Raises
    ------
    CheckpointError
        If the disk is full, or the folder cannot be written.
    """
    path = Path(folder)
    hidden = path / f".finished.{os.urandom(8).hex()}.tmp"
    try:
        trainer.save_model(hidden)
        metrics = {**about, "steps": trainer.state.global_step, "metrics": finite(outcome.metrics)}
        (hidden / METRICS).write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _draw(outcome, path, hidden)
        for file in sorted(hidden.iterdir(), key=lambda file: file.name == METRICS):  # it says that the run is complete
            os.replace(file, path / file.name)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    for checkpoint in list_checkpoints(path):
        delete_checkpoint(checkpoint)


def _draw(outcome: Any, log: Path, folder: Path) -> None:
    """The curves of the run, and the confusion matrix of the evaluation."""
    from ..visualization import plot_confusion_matrix, plot_curves, save_figure

    save_figure(plot_curves(log), folder / "curves.png")
    confusion = None if outcome.examples is None else outcome.task.confusion(outcome.examples, outcome.answers)
    if confusion is not None:
        save_figure(plot_confusion_matrix(*confusion), folder / "confusion.png")
