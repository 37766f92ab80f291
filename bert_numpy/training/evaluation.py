"""Running a model over a data set without training it: the outputs of all batches, the labels, the mean loss.

    loss          the mean over all examples of the loss of their batch, as in transformers
    predictions   the outputs other than the loss, one array each; where batches were padded to different lengths the
                  shorter ones are filled up with -100, which metrics leave out as they do in labels

Here: one pass over a data set.  Not here: metrics (`compute_metrics` of the trainer).  Read next: `training_run.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .state import as_float

PADDING = -100


class Evaluation(NamedTuple):
    """Outcome of a pass; `loss` is None where there were no labels, the others where they were not kept."""

    predictions: Any
    label_ids: Any
    loss: float | None


def run_evaluation(
    step: Callable[[Mapping[str, Any]], tuple[float | None, tuple[np.ndarray, ...], tuple[Any, ...]]],
    batches: Sequence[Mapping[str, Any]] | Any,
    sizes: Sequence[int],
    keep_outputs: bool,
    on_batch: Callable[[int], None],
) -> Evaluation:
    """Run a model over batches.

    Parameters
    ----------
    step : function of a batch
        Returns (loss or None, outputs, labels).
    batches : iterable of batches
    sizes : sequence of int
        Examples in each.
    keep_outputs : bool
        False keeps the loss only, which takes no memory.
    on_batch : function of the number of batches done

    Returns
    -------
    Evaluation
    """
    total, count = 0.0, 0
    outputs: list[tuple[np.ndarray, ...]] = []
    labels: list[tuple[np.ndarray, ...]] = []
    for number, (batch, size) in enumerate(zip(batches, sizes, strict=True), start=1):
        loss, batch_outputs, batch_labels = step(batch)
        if loss is not None:
            total, count = total + loss * size, count + size
        if keep_outputs:
            outputs.append(batch_outputs)
            labels.append(batch_labels)
        on_batch(number)
    return Evaluation(_joined(outputs), _joined(labels), total / count if count else None)


def _joined(parts: list[tuple[np.ndarray, ...]]) -> Any:
    """One array for each output, or the only one; None if there is none."""
    return only_or_all(tuple(concatenate_padded(column) for column in zip(*parts, strict=True)))


def only_or_all(values: tuple[Any, ...]) -> Any:
    """The one value of a tuple of one, a longer tuple as it is, None for an empty one.

    Examples
    --------
    >>> only_or_all((1,)), only_or_all((1, 2)), only_or_all(())
    (1, (1, 2), None)
    """
    return values[0] if len(values) == 1 else values or None


def concatenate_padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of all arrays, the second axis filled up with -100 to the longest.

    Examples
    --------
    >>> concatenate_padded([np.array([[1, 2]]), np.array([[3, 4, 5]])])
    array([[   1,    2, -100],
           [   3,    4,    5]])
    """
    arrays = [np.atleast_1d(array) for array in arrays]
    if arrays[0].ndim < 2 or len({array.shape[1] for array in arrays}) == 1:
        return np.concatenate(arrays)
    width = max(array.shape[1] for array in arrays)
    filled = np.full((sum(map(len, arrays)), width, *arrays[0].shape[2:]), PADDING, np.result_type(*arrays))
    row = 0
    for array in arrays:
        filled[row : row + len(array), : array.shape[1]] = array
        row += len(array)
    return filled


# ---- what the trainer asks of a model ----


def forward_arguments(model: Any) -> list[str]:
    """The names of the arguments that the `forward` of a model takes."""
    return list(inspect.signature(model.forward).parameters)


def label_columns(arguments: Sequence[str]) -> list[str]:
    """Which of the arguments of `forward` are labels, by their names.

    Examples
    --------
    >>> label_columns(["input_ids", "labels", "next_sentence_label"])
    ['labels', 'next_sentence_label']
    >>> label_columns(["input_ids", "start_positions", "end_positions"])
    ['start_positions', 'end_positions']
    """
    return [name for name in arguments if "label" in name or name in ("start_positions", "end_positions")]


def loss_of(outputs: Any) -> float | None:
    """The loss among the outputs of a model, as a Python float; None if there is none."""
    loss = getattr(outputs, "loss", None)
    return None if loss is None else as_float(loss)


def arrays_of(outputs: Any) -> tuple[np.ndarray, ...]:
    """The outputs to evaluate: the arrays other than the loss; tuples, such as hidden states, are left out."""
    return tuple(value for name, value in outputs.items() if name != "loss" and isinstance(value, np.ndarray))


def count_tokens(batch: Mapping[str, Any]) -> int:
    """How many tokens a batch holds, without padding where the batch says what is padding.

    Examples
    --------
    >>> count_tokens({"input_ids": np.ones((2, 3)), "attention_mask": np.array([[1, 1, 1], [1, 1, 0]])})
    5
    """
    if "attention_mask" in batch:
        return int(np.count_nonzero(batch["attention_mask"]))
    return int(np.size(batch["input_ids"])) if "input_ids" in batch else 0


def plain_metrics(metrics: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Metrics under `prefix_`, NumPy scalars and arrays as plain numbers and lists.

    Examples
    --------
    >>> plain_metrics({"f1": np.float64(0.5), "eval_recall": 1}, "eval")
    {'eval_f1': 0.5, 'eval_recall': 1}
    """
    plain = {}
    for name, value in metrics.items():
        value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        plain[name if name.startswith(f"{prefix}_") else f"{prefix}_{name}"] = value
    return plain
