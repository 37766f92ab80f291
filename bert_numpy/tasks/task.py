"""What a task is: four steps from a file to numbers, the same for every head.

    examples = task.read(path)                                     rows of the file
    features = task.encode(examples, tokenizer, max_length, stride)    what the model is given, perhaps several a row
    answers  = task.decide(examples, features, outputs)            one for each example
    metrics  = task.measure(examples, answers)

Training, evaluation and prediction share these steps, so that a number printed at the end of a training is the one
that `evaluate` prints later.

Here: `Task`, the base of `classification.py`, `tagging.py`, `question_answering.py` and `multiple_choice.py`.  Read
next: one of these, then `recipes.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..configuration import BertConfig
from ..data import DataCollatorWithPadding, Dataset, LabelMap
from ..data.text_files import PathLike
from ..models.pretrained import BertPreTrainedModel
from ..nn import functional as F
from ..tokenization import BertTokenizer

LOGGER = logging.getLogger(__name__)


class Task:
    """One kind of task.

    Attributes
    ----------
    name : str
        What the command line calls it.
    model_class : class
        The model with the head of this task.
    lack : str
        What to say of a model without that head.
    max_length : int
        The longest sequence in tokens where nobody says and the model can read as much.
    by_length : bool
        Whether a batch of training takes examples of about one length.
    """

    name: str
    model_class: type[BertPreTrainedModel]
    lack: str
    max_length = 128
    by_length = True

    # ---- what a task is made of ----

    def read(self, path: PathLike, config: BertConfig | None = None, with_labels: bool = True) -> Dataset:
        """Read the examples of a file.

        Parameters
        ----------
        path : path
        config : BertConfig, optional
            That of a trained model, whose labels are the only ones that may occur.
        with_labels : bool
            False reads what is to be predicted.

        Raises
        ------
        FileNotFoundError, ValueError
            Naming the file and the line.
        """
        raise NotImplementedError

    def head(self, examples: Dataset) -> dict[str, Any]:
        """The fields of the configuration that the training examples decide: the labels, the kind of problem."""
        return {}

    def notes(self, examples: Dataset) -> dict[str, Any]:
        """What else a trained model must remember of its training examples; goes into `task_specific_params`."""
        return {}

    def recall(self, notes: dict[str, Any]) -> None:
        """Take over the notes of a trained model."""

    def collator(self, tokenizer: BertTokenizer) -> Any:
        """What makes a batch of features."""
        return DataCollatorWithPadding(tokenizer)

    def stride(self, max_length: int) -> int | None:
        """How many tokens neighbouring windows share where nobody says; None cuts what is too long."""
        return None

    def encode(self, examples: Dataset, tokenizer: BertTokenizer, max_length: int, stride: int | None) -> Dataset:
        """Make features of examples, in their order.

        Parameters
        ----------
        examples : Dataset
        tokenizer : BertTokenizer
        max_length : int
        stride : int, optional
            Read what is longer through windows that share so many tokens.
        """
        raise NotImplementedError

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """Turn the outputs of the model into one answer for each example."""
        raise NotImplementedError

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Compare the answers with the labels of the examples."""
        raise NotImplementedError

    def confusion(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[str]] | None:
        """The confusion matrix and the names of its rows, where classes can be confused."""
        return None


def unlabelled(examples: Dataset, config: BertConfig | None) -> Dataset:
    """Examples to be predicted, which take the names of the labels from the model.

    Examples
    --------
    >>> unlabelled(Dataset({"text": ["hi"]}), BertConfig(id2label={0: "ham", 1: "spam"})).labels
    LabelMap(['ham', 'spam'])
    """
    return examples if config is None else Dataset(examples[:], LabelMap.of(config.label2id))


def note_cut(count: int, total: int, what: str, max_length: int) -> None:
    """Say that something will not be read to its end: silently, it would look like a bad model."""
    if count:
        LOGGER.warning("%d of %d %s are longer than %d tokens and are cut", count, total, what, max_length)


def softmax(logits: Any) -> np.ndarray:
    """Probabilities over the last axis, in float64.

    Examples
    --------
    >>> softmax([[1.0, 1.0]])
    array([[0.5, 0.5]])
    """
    return F.softmax_forward(np.asarray(logits, np.float64))[0]
