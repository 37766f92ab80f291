"""How good predictions are, as numbers: a label for each example; and the perplexity of language models.

    def compute_metrics(prediction):
        logits, labels = prediction
        predicted = logits.argmax(-1)
        return {"accuracy": accuracy_score(labels, predicted), "f1": f1_score(labels, predicted, average="macro")}

    trainer = Trainer(..., compute_metrics=compute_metrics)

The functions have the names, the order of arguments (truth first) and the results of scikit-learn.  What has no value
by its formula is 0, as there (`zero_division=0`), without a warning:

    precision without a positive prediction, recall without a positive example, F1 without either
    the Matthews correlation where the truth or the predictions are all of one class

No examples at all, or not as many predictions as labels, is an error.

Here: classification.  Not here: numbers (`correlation_metrics.py`), entities (`tagging_metrics.py`), answers
(`answer_metrics.py`), pictures of all this (`visualization/training.py`).  Read next: `correlation_metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

AVERAGES = ("binary", "micro", "macro", "weighted")


class Scores(NamedTuple):
    """Precision, recall, F1 and number of examples: of every class, or of all together.

    Attributes
    ----------
    precision : float, or ndarray of shape (classes,)
        Of what was predicted to be of the class, the share that is.
    recall : float, or ndarray of shape (classes,)
        Of what is of the class, the share that was found.
    f1 : float, or ndarray of shape (classes,)
        2 / (1 / precision + 1 / recall).
    support : ndarray of int of shape (classes,), or None for an average
        How many examples are of the class.

    Examples
    --------
    >>> Scores(0.5, 1.0, 2 / 3, None).recall
    1.0
    """

    precision: Any
    recall: Any
    f1: Any
    support: Any


# ---- classification ----


def accuracy_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The share of the predictions that are right.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (N,)
        Labels: integers, bools or texts.

    Raises
    ------
    ValueError
        If there are none, not as many of one as of the other, or something else than labels, such as logits.

    Examples
    --------
    >>> accuracy_score([0, 1, 2, 2], [0, 1, 1, 2])
    0.75
    """
    true, predicted = _labels(y_true, y_pred)
    return float(np.mean(true == predicted))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, *, labels: ArrayLike | None = None) -> np.ndarray:
    """How many examples of each class were predicted to be of each class.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (N,)
    labels : array_like of shape (classes,), optional
        The classes, in the order of the rows; those that occur, sorted, if not given.  An example whose label or
        prediction is not among them is not counted.

    Returns
    -------
    ndarray of int64 of shape (classes, classes)
        Rows are the truth, columns the predictions.

    Raises
    ------
    ValueError
        As `accuracy_score`; also if a class is listed twice, or none of `y_true` is listed.

    Examples
    --------
    >>> confusion_matrix(["ham", "ham", "spam"], ["ham", "spam", "spam"])
    array([[1, 1],
           [0, 1]])
    """
    true, predicted = _labels(y_true, y_pred)
    classes = _classes(true, predicted, labels)
    if not np.isin(true, classes).any():
        raise ValueError(f"none of y_true is among the labels {listed(classes)}")
    known = np.isin(true, classes) & np.isin(predicted, classes)
    rows, columns = _positions(true[known], classes), _positions(predicted[known], classes)
    return np.bincount(rows * len(classes) + columns, minlength=len(classes) ** 2).reshape(len(classes), -1)


def precision_recall_fscore_support(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: int | str = 1,
    average: str | None = None,
) -> Scores:
    """Precision, recall, F1 and support.

    With the true positives tp, the false positives fp and the false negatives fn of a class:
    `precision = tp / (tp + fp)`, `recall = tp / (tp + fn)`, `f1 = 2 tp / (2 tp + fp + fn)`; x / 0 is 0.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (N,)
    labels : array_like of shape (classes,), optional
        The classes to score; those that occur, sorted, if not given.  Not used by "binary".
    pos_label : int or str
        The class that "binary" scores.
    average : {None, "binary", "micro", "macro", "weighted"}
        None: every class; "binary": one class of two; "micro": the counts of all classes added up (the accuracy, if
        all are scored); "macro": the mean over the classes; "weighted": the mean, each class as often as it has
        examples.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        As `accuracy_score`; for an unknown average; for "binary" where there are more than two classes or none of two
        is `pos_label`.

    Examples
    --------
    >>> precision_recall_fscore_support([0, 1, 1, 1], [0, 0, 1, 1], average="binary")
    Scores(precision=1.0, recall=0.6666666666666666, f1=0.8, support=None)
    >>> precision_recall_fscore_support([0, 1, 1, 1], [0, 0, 1, 1]).support
    array([1, 3])
    """
    check_average(average, (None, *AVERAGES))
    true, predicted = _labels(y_true, y_pred)
    is_binary = average == "binary"
    classes = _positive_class(true, predicted, pos_label) if is_binary else _classes(true, predicted, labels)
    right = np.array([np.count_nonzero((true == c) & (predicted == c)) for c in classes])
    expected = np.array([np.count_nonzero(true == c) for c in classes])
    found = np.array([np.count_nonzero(predicted == c) for c in classes])
    return scores_from_counts(right, found, expected, average)


def precision_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: int | str = 1,
    average: str | None = "binary",
) -> Any:
    """The precision alone; see `precision_recall_fscore_support`.

    Examples
    --------
    >>> precision_score([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """
    scores = precision_recall_fscore_support(y_true, y_pred, labels=labels, pos_label=pos_label, average=average)
    return scores.precision


def recall_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: int | str = 1,
    average: str | None = "binary",
) -> Any:
    """The recall alone; see `precision_recall_fscore_support`.

    Examples
    --------
    >>> recall_score([0, 1, 1, 1, 1], [1, 0, 1, 1, 1])
    0.75
    """
    return precision_recall_fscore_support(y_true, y_pred, labels=labels, pos_label=pos_label, average=average).recall


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: int | str = 1,
    average: str | None = "binary",
) -> Any:
    """The F1 alone; see `precision_recall_fscore_support`.

    Examples
    --------
    >>> f1_score(["ham", "spam", "spam"], ["spam", "spam", "spam"], pos_label="spam")
    0.8
    >>> f1_score([0, 1, 2, 2], [0, 1, 2, 1], average="macro")
    0.7777777777777777
    """
    return precision_recall_fscore_support(y_true, y_pred, labels=labels, pos_label=pos_label, average=average).f1


def matthews_corrcoef(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The correlation of truth and predictions, as of CoLA in GLUE: 1 for all right, 0 for guessing.

    With N examples, c of them right, and t_k true and p_k predicted examples of class k:
    `(N c - Σ t_k p_k) / √((N² - Σ t_k²) (N² - Σ p_k²))`; 0 where that is 0 / 0.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (N,)

    Examples
    --------
    >>> matthews_corrcoef([1, 1, 1, 0], [1, 0, 1, 0])
    0.5773502691896258
    """
    counts = confusion_matrix(y_true, y_pred)
    true, predicted = (
        counts.sum(1).tolist(),
        counts.sum(0).tolist(),
    )  # Python's integers, since N⁴ is too large for 64 bits
    total, right = sum(true), int(np.trace(counts))
    covariance = total * right - sum(t * p for t, p in zip(true, predicted, strict=True))
    spread = (total**2 - sum(t * t for t in true)) * (total**2 - sum(p * p for p in predicted))
    return covariance / math.sqrt(spread) if spread else 0.0


# ---- language models ----


def perplexity(summed_losses: ArrayLike, counts: ArrayLike) -> float:
    """Among how many equally likely words a model chooses, on average: `exp(Σ losses / Σ counts)`.

    Means of means would be wrong where batches have different numbers of words to predict; hence sums and counts.

    Parameters
    ----------
    summed_losses : float, or array_like of shape (N,)
        The cross-entropy, in nats, summed over the predicted words: of everything, or of each batch.
    counts : int, or array_like of shape (N,)
        How many words those were.

    Returns
    -------
    float
        Infinite where it is too large for a float.

    Raises
    ------
    ValueError
        If no word was predicted, a count is negative or there are not as many sums as counts.

    Examples
    --------
    >>> round(perplexity([3 * math.log(10), 1 * math.log(2)], [3, 1]), 3)
    6.687
    """
    losses, numbers = np.atleast_1d(np.asarray(summed_losses, np.float64)), np.atleast_1d(np.asarray(counts))
    if losses.shape != numbers.shape:
        raise ValueError(f"summed_losses have shape {losses.shape}, but counts {numbers.shape}; give one count per sum")
    if numbers.size == 0 or numbers.min() < 0 or numbers.sum() == 0:
        raise ValueError(f"counts must be at least 0 and not all 0, not {listed(numbers)}: no word was predicted")
    try:
        return math.exp(math.fsum(losses.tolist()) / int(numbers.sum()))
    except OverflowError:
        return math.inf


# ---- what the metrics share ----


def scores_from_counts(right: np.ndarray, found: np.ndarray, expected: np.ndarray, average: str | None) -> Scores:
    """Scores of classes, or of entities, from three counts of each.

    Parameters
    ----------
    right, found, expected : ndarray of int of shape (classes,)
        Predictions that are right, predictions, and what there was to find.
    average : {None, "binary", "micro", "macro", "weighted"}
        "binary" is for one class.

    Examples
    --------
    >>> scores_from_counts(np.array([1, 0]), np.array([1, 0]), np.array([2, 0]), None).f1
    array([0.66666667, 0.        ])
    """
    if average in ("micro", "binary"):
        right, found, expected = (counts.sum(keepdims=True) for counts in (right, found, expected))
    precision, recall, f1 = _ratio(right, found), _ratio(right, expected), _ratio(2 * right, found + expected)
    if average is None:
        return Scores(precision, recall, f1, expected)
    weights = expected if average == "weighted" else np.ones_like(expected)
    return Scores(_mean(precision, weights), _mean(recall, weights), _mean(f1, weights), None)


def check_average(average: Any, allowed: Sequence[str | None]) -> None:
    """Refuse an average that is none of those allowed.

    Examples
    --------
    >>> check_average("mean", (None, "micro"))
    Traceback (most recent call last):
        ...
    ValueError: average must be None or 'micro', not 'mean'
    """
    if average not in allowed:
        names = [repr(name) for name in allowed]
        raise ValueError(f"average must be {', '.join(names[:-1])} or {names[-1]}, not {average!r}")


def check_lengths(first: np.ndarray, second: np.ndarray, first_name: str, second_name: str) -> None:
    """Refuse two series that are empty or not of the same length.

    Examples
    --------
    >>> check_lengths(np.zeros(2), np.zeros(3), "x", "y")
    Traceback (most recent call last):
        ...
    ValueError: x has 2 examples, but y has 3
    """
    if len(first) != len(second):
        raise ValueError(f"{first_name} has {len(first)} examples, but {second_name} has {len(second)}")
    if len(first) == 0:
        raise ValueError(f"{first_name} and {second_name} are empty; there is nothing to measure")


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients, 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator != 0)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean, 0 without any weight."""
    total = weights.sum()
    return float(values @ weights / total) if total else 0.0


def _labels(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (N,) that can be compared."""
    true, predicted = _checked(y_true, "y_true"), _checked(y_pred, "y_pred")
    check_lengths(true, predicted, "y_true", "y_pred")
    if (true.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        raise ValueError("y_true and y_pred must both be texts or both be integers; one is the other's name or number")
    return true, predicted


def _checked(values: ArrayLike, name: str) -> np.ndarray:
    """One series of labels."""
    array = np.asarray(values)
    if array.ndim != 1:
        hint = f"; of logits, take {name}.argmax(-1)" if array.ndim == 2 else ""
        raise ValueError(f"{name} has shape {array.shape}, but must be one label for each example{hint}")
    items: Sequence[Any] = values if isinstance(values, (list, tuple)) else array.tolist()
    if array.dtype.kind == "O":
        array = np.asarray(items)
    is_whole = array.dtype.kind != "f" or bool((array == np.floor(array)).all())
    is_mixed = array.dtype.kind == "U" and not all(isinstance(item, str) for item in items)
    if array.size and (array.dtype.kind not in "biufU" or not is_whole or is_mixed):
        raise ValueError(f"{name} must hold integers or texts, not {listed(values)}")
    return array


def _classes(true: np.ndarray, predicted: np.ndarray, labels: ArrayLike | None) -> np.ndarray:
    """The classes to count, in order."""
    if labels is None:
        return np.union1d(true, predicted)
    classes = _checked(labels, "labels")
    if not len(classes) or len(np.unique(classes)) < len(classes):
        raise ValueError(f"labels must be distinct, at least one, not {listed(classes)}")
    if (classes.dtype.kind == "U") != (true.dtype.kind == "U"):
        raise ValueError(f"labels {listed(classes)} are not of the kind of y_true, {listed(true)}")
    return classes


def _positive_class(true: np.ndarray, predicted: np.ndarray, pos_label: int | str) -> np.ndarray:
    """The one class that "binary" scores."""
    present = np.union1d(true, predicted)
    if len(present) > 2:
        raise ValueError(
            f"average='binary' is for two classes, but there are {listed(present)}; take average='macro' or another"
        )
    if len(present) == 2 and pos_label not in present.tolist():
        raise ValueError(f"pos_label {pos_label!r} is none of the classes, {listed(present)}")
    return np.array([pos_label])


def _positions(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The place of each value among the classes, which hold them all."""
    order = np.argsort(classes)
    return order[np.searchsorted(classes, values, sorter=order)]


def listed(values: ArrayLike) -> str:
    """The first few values, for a message."""
    items = np.asarray(values).tolist()
    return ", ".join(repr(item) for item in items[:6]) + (", ..." if len(items) > 6 else "")
