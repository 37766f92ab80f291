"""From examples of different lengths to one padded batch of arrays.

Here: the collators that have a tokenizer, with the names and the results of the reference library.  Not here: the one
that only stacks (`loader.py`), the one that masks (`pretraining.py`).

A collator is called with a list of examples, each a mapping of columns, and returns what a model takes:
`model(**collator([dataset[0], dataset[1]]))`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tokenization import BatchEncoding, BertTokenizer

Features = Sequence[Mapping[str, Any]]


@dataclass
class DataCollatorWithPadding:
    """Pad the inputs of the model to one length; "label" or "label_ids" come back as "labels".

    Parameters
    ----------
    tokenizer : BertTokenizer
        Says what to pad with, and on which side.
    padding : bool or {"longest", "max_length", "do_not_pad"}
    max_length : int, optional
        What "max_length" means.
    pad_to_multiple_of : int, optional
    return_tensors : {"np"}

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"])
    >>> collator = DataCollatorWithPadding(tokenizer)
    >>> batch = collator([{"input_ids": [2, 5, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])
    >>> batch["input_ids"], batch["labels"]
    (array([[2, 5, 3],
           [2, 3, 0]]), array([1, 0]))
    """

    tokenizer: BertTokenizer
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "np"

    def __call__(self, features: Features) -> BatchEncoding:
        """Return the batch.

        Raises
        ------
        ValueError
            If there is no example, examples differ in their columns, or a column holds no numbers or rows of
            different lengths.
        """
        batch = _padded(self, features)
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


@dataclass
class DataCollatorForTokenClassification:
    """Pad the inputs of the model and the labels of the tokens, the latter with -100, which no loss counts.

    Parameters
    ----------
    tokenizer, padding, max_length, pad_to_multiple_of, return_tensors
        As in `DataCollatorWithPadding`.
    label_pad_token_id : int

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"])
    >>> collator = DataCollatorForTokenClassification(tokenizer)
    >>> examples = [{"input_ids": [2, 5, 3], "labels": [-100, 1, -100]}, {"input_ids": [2, 3], "labels": [-100] * 2}]
    >>> collator(examples)["labels"]
    array([[-100,    1, -100],
           [-100, -100, -100]])
    """

    tokenizer: BertTokenizer
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = -100
    return_tensors: str = "np"

    def __call__(self, features: Features) -> BatchEncoding:
        """Return the batch; raises as `DataCollatorWithPadding`, and if labels and tokens differ in number."""
        name = "label" if features and "label" in features[0] else "labels"
        batch = _padded(self, [{key: value for key, value in row.items() if key != name} for row in features])
        if name not in features[0]:
            return batch
        length = batch["input_ids"].shape[1]
        labels = np.full((len(features), length), self.label_pad_token_id, np.int64)
        for row, feature in enumerate(features):
            n = len(feature["input_ids"])
            if name not in feature or len(feature[name]) != n:
                found = len(feature[name]) if name in feature else "no"
                raise ValueError(
                    f"example {row} of the batch has {n} tokens but {found} {name}; give one for each token"
                )
            place = slice(0, n) if self.tokenizer.padding_side == "right" else slice(length - n, length)
            labels[row, place] = feature[name]
        batch[name] = labels
        return batch


@dataclass
class DataCollatorForMultipleChoice:
    """Pad all choices of all examples to one length: arrays of shape (batch, choices, sequence).

    Parameters
    ----------
    tokenizer, padding, max_length, pad_to_multiple_of, return_tensors
        As in `DataCollatorWithPadding`.

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"])
    >>> collator = DataCollatorForMultipleChoice(tokenizer)
    >>> batch = collator([{"input_ids": [[2, 5, 3], [2, 3]], "label": 1}])
    >>> batch["input_ids"].shape, batch["labels"]
    ((1, 2, 3), array([1]))
    """

    tokenizer: BertTokenizer
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "np"

    def __call__(self, features: Features) -> BatchEncoding:
        """Return the batch; raises as `DataCollatorWithPadding`, and if the examples differ in their choices."""
        name = "label" if features and "label" in features[0] else "labels"
        counts = [len(row["input_ids"]) for row in features]
        if len(set(counts)) > 1:
            raise ValueError(f"the examples of a batch have {sorted(set(counts))} choices; they must have equally many")
        choices = [
            {key: value[i] for key, value in row.items() if key != name} for row in features for i in range(counts[0])
        ]
        flat = _padded(self, choices)
        batch = BatchEncoding({key: column.reshape(len(features), counts[0], -1) for key, column in flat.items()})
        if name in features[0]:
            batch["labels"] = np.array([row[name] for row in features], np.int64)
        return batch


def _padded(collator: Any, features: Features) -> BatchEncoding:
    """What the tokenizer makes of the examples with the settings of a collator."""
    if not features:
        raise ValueError("a batch needs at least one example")
    for row, feature in enumerate(features):
        if set(feature) != set(features[0]):
            raise ValueError(
                f"example {row} of the batch has the columns {sorted(feature)}, the first {sorted(features[0])}"
            )
    return collator.tokenizer.pad(
        features,
        padding=collator.padding,
        max_length=collator.max_length,
        pad_to_multiple_of=collator.pad_to_multiple_of,
        return_tensors=collator.return_tensors,
    )
