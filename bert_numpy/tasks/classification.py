"""A class, or a number, for a text or a pair of texts.

A text that is too long is cut at its end, or, with a stride, read through windows that overlap.  In training, every
window is an example with the label of its text.  Afterwards the probabilities of a text (or its number) are the mean
over its windows, each weighted by the tokens that no window before it had, as in `pipelines/classification.py`.

Here: `TextClassification`, `TextRegression`.  Read next: `tagging.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..configuration import BertConfig
from ..data import Dataset, LabelMap, read_classification, read_regression, read_texts
from ..data.text_files import PathLike
from ..models import BertForSequenceClassification
from ..pipelines.windows import Windowed
from ..tokenization import BertTokenizer
from ..training.correlation_metrics import pearsonr, spearmanr
from ..training.metrics import (
    accuracy_score,
    confusion_matrix,
    matthews_corrcoef,
    precision_recall_fscore_support,
)
from .task import Task, note_cut, softmax, unlabelled


class TextRegression(Task):
    """A number for a text or a pair of texts: a rating, how similar two sentences are.

    Parameters
    ----------
    **columns
        Keyword arguments of `read_regression` that say what the file looks like: `text_column`, `text_pair_column`,
        `label_column`, `header`, `format`, `delimiter`, `encoding`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "stars.csv"
    >>> _ = path.write_text("text,score\\ngood,4.5\\nbad,1\\nfine,3\\n", encoding="utf-8")
    >>> task = TextRegression()
    >>> metrics = task.measure(task.read(path), [{"label": 4.0}, {"label": 1.5}, {"label": 3.0}])
    >>> round(metrics["spearman"], 3), round(metrics["mean_absolute_error"], 3)
    (1.0, 0.333)
    """

    name = "regress"
    model_class = BertForSequenceClassification
    lack = "has no head that rates texts; train one: bert-numpy finetune regress"

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def read(self, path: PathLike, config: BertConfig | None = None, with_labels: bool = True) -> Dataset:
        """See `Task.read`."""
        if not with_labels:
            return unlabelled(
                read_texts(path, **{k: v for k, v in self.columns.items() if k != "label_column"}), config
            )
        return self._labelled(path, config)

    def _labelled(self, path: PathLike, config: BertConfig | None) -> Dataset:
        return read_regression(path, **self.columns)

    def head(self, examples: Dataset) -> dict[str, Any]:
        """One output, and the mean squared error."""
        return {"num_labels": 1, "problem_type": "regression"}

    def encode(self, examples: Dataset, tokenizer: BertTokenizer, max_length: int, stride: int | None) -> Dataset:
        """See `Task.encode`; the columns `sample` and `weight` say whose a window is, and what it counts."""
        pairs = examples["text_pair"] if "text_pair" in examples.column_names else [None] * len(examples)
        labels = examples["label"] if "label" in examples.column_names else None
        rows: list[dict[str, Any]] = []
        cut = 0
        for sample, (text, pair) in enumerate(zip(examples["text"], pairs, strict=True)):
            encoding = tokenizer(text, pair, truncation=False)[0]
            if stride is None and len(encoding.ids) > max_length:
                cut += 1
                encoding = tokenizer(text, pair, truncation=True, max_length=max_length)[0]
            try:
                windowed = Windowed(encoding, max_length, stride)
            except ValueError as error:
                raise ValueError(f"text {sample + 1}: {error}") from None
            for row, weight in zip(windowed.rows(), windowed.new_tokens(), strict=True):
                own = {} if labels is None else {"label": labels[sample]}
                rows.append({**row, **own, "sample": sample, "weight": weight})
        note_cut(cut, len(examples), "texts", max_length)
        return Dataset.from_list(rows, examples.labels)

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """The number for each text, under "label"."""
        return [{"label": float(row[0])} for row in _means(features, np.asarray(outputs, np.float64), len(examples))]

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Correlations, which need two examples, and errors."""
        true, found = np.asarray(examples["label"], np.float64), np.array([answer["label"] for answer in answers])
        correlations = {"pearson": pearsonr(true, found), "spearman": spearmanr(true, found)} if len(true) > 1 else {}
        return {
            **correlations,
            "mean_squared_error": float(np.mean((true - found) ** 2)),
            "mean_absolute_error": float(np.mean(np.abs(true - found))),
        }


class TextClassification(TextRegression):
    """One class of several for a text or a pair of texts.

    Parameters
    ----------
    positive : str, optional
        Of two classes, the one whose precision, recall and F1 are measured; the second if not given.
    **columns
        Keyword arguments of `read_classification` that say what the file looks like.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sms.csv"
    >>> _ = path.write_text("text,label\\nWIN,spam\\nhi,ham\\nwin?,ham\\n", encoding="utf-8")
    >>> task = TextClassification()
    >>> metrics = task.measure(task.read(path), [{"label": "spam"}, {"label": "ham"}, {"label": "spam"}])
    >>> metrics["accuracy"], metrics["f1"], metrics["recall"]
    (0.6666666666666666, 0.6666666666666666, 1.0)
    """

    name = "classify"
    lack = "has no head that classifies texts; train one: bert-numpy finetune classify"

    def __init__(self, positive: str | None = None, **columns: Any) -> None:
        super().__init__(**columns)
        self.positive = positive

    def _labelled(self, path: PathLike, config: BertConfig | None) -> Dataset:
        examples = read_classification(path, labels=None if config is None else config.label2id, **self.columns)
        self._names(examples)
        return examples

    def _names(self, examples: Dataset) -> tuple[str, ...]:
        """The names of the classes, `positive` being one of two if it is given."""
        names = LabelMap.of(examples.labels or ()).names
        if self.positive is not None and (len(names) != 2 or self.positive not in names):
            raise ValueError(f"positive {self.positive!r} must be one of two labels; there are {', '.join(names)}")
        return names

    def head(self, examples: Dataset) -> dict[str, Any]:
        """The labels, by name."""
        names = self._names(examples)
        if len(names) < 2:
            raise ValueError(f"all training examples have the label {names[0]!r}; a classifier needs at least two")
        return {"id2label": dict(enumerate(names)), "problem_type": "single_label_classification"}

    def recall(self, notes: dict[str, Any]) -> None:
        """The positive class, unless another is asked for."""
        self.positive = notes.get("positive") if self.positive is None else self.positive

    def notes(self, examples: Dataset) -> dict[str, Any]:
        """The positive class of two."""
        names = self._names(examples)
        return {"positive": self.positive or names[1]} if len(names) == 2 else {}

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """The likeliest "label" of each text, and its probability, "score"."""
        names = LabelMap.of(examples.labels or LabelMap.numbered(np.shape(outputs)[1])).names
        scores = _means(features, softmax(outputs), len(examples))
        return [{"label": names[int(row.argmax())], "score": float(row.max())} for row in scores]

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Accuracy, F1 and the Matthews correlation; of two classes also precision, recall and F1 of the positive one.

        The macro average is over all classes that occur on either side.
        """
        names = self._names(examples)
        true, found = [names[i] for i in examples["label"]], [answer["label"] for answer in answers]
        metrics: dict[str, Any] = {"accuracy": accuracy_score(true, found)}
        if len(names) == 2:
            positive = self.positive or names[1]
            of_class = precision_recall_fscore_support(true, found, labels=[positive], average="micro")
            metrics |= {"f1": of_class.f1, "precision": of_class.precision, "recall": of_class.recall}
            metrics["positive"] = positive
        metrics["f1_macro"] = precision_recall_fscore_support(true, found, average="macro").f1
        return {**metrics, "matthews_correlation": matthews_corrcoef(true, found)}

    def confusion(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[str]] | None:
        """Rows are the truth."""
        names = list(self._names(examples))
        true = [names[i] for i in examples["label"]]
        return confusion_matrix(true, [answer["label"] for answer in answers], labels=names), names


def _means(features: Dataset, scores: np.ndarray, count: int) -> np.ndarray:
    """(windows, C) -> (texts, C): the mean over the windows of each text, by their weights."""
    sample, weight = np.array(features["sample"]), np.array(features["weight"], np.float64)
    weight /= np.bincount(sample, weight, count)[sample]
    means = np.zeros((count, scores.shape[1]))
    np.add.at(means, sample, weight[:, np.newaxis] * scores)
    return means
