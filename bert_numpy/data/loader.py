"""Which examples form which batch, and how examples become one batch of arrays.

    order    the examples of one epoch, from (seed, epoch) alone
    batches  consecutive stretches of that order; with lengths, examples of about one length share a batch
    arrays   a collator stacks the examples of a batch

Nothing here has a state: the batches of epoch 7 are the same whether or not epochs 0 to 6 were run, so a training run
that was killed goes on with the very next batch.

Here: order, batches and the collator for rows of equal length.  Not here: padding, masking (the other collators of
this folder), reading files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

BATCHES_IN_A_BUCKET = 50  # wide enough for batches of even length, narrow enough for chance to mix the examples


def epoch_batches(
    num_examples: int,
    batch_size: int,
    *,
    seed: int = 42,
    epoch: int = 0,
    shuffle: bool = True,
    lengths: Sequence[int] | None = None,
    drop_last: bool = False,
) -> list[np.ndarray]:
    """The indices of the examples of every batch of an epoch.

    Parameters
    ----------
    num_examples, batch_size : int
    seed, epoch : int
        Together they determine the order: `np.random.default_rng((seed, epoch))` draws it.
    shuffle : bool
        False takes the examples as they come.
    lengths : sequence of `num_examples` ints, optional
        Lengths in tokens.  The shuffled examples are cut into buckets of 50 batches, each bucket is sorted by length
        and cut into batches, and the batches are shuffled: little is padded, and long texts do not come together.
    drop_last : bool
        Leave out the last batch if it is not full.

    Returns
    -------
    list of ndarray of shape (batch_size,)
        Every example once.  The last batch may be shorter.

    Raises
    ------
    ValueError
        If a number is out of range, or the lengths are not one for each example.

    Examples
    --------
    >>> [batch.tolist() for batch in epoch_batches(5, 2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    >>> lengths = [9, 3, 8, 3, 9, 8]
    >>> sorted(sorted(lengths[i] for i in batch) for batch in epoch_batches(6, 2, seed=0, lengths=lengths))
    [[3, 3], [8, 8], [9, 9]]
    """
    if num_examples < 0 or batch_size < 1:
        raise ValueError(f"{num_examples} examples in batches of {batch_size}: a batch needs at least one example")
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(num_examples) if shuffle else np.arange(num_examples)
    if lengths is not None:
        order = _sorted_in_buckets(order, np.asarray(lengths), BATCHES_IN_A_BUCKET * batch_size)
    batches = [order[start : start + batch_size] for start in range(0, num_examples, batch_size)]
    incomplete = [batches.pop()] if batches and len(batches[-1]) < batch_size else []
    if lengths is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches if drop_last else batches + incomplete


def _sorted_in_buckets(order: np.ndarray, lengths: np.ndarray, bucket_size: int) -> np.ndarray:
    """`order` with each stretch of `bucket_size` sorted by length; chance still decides among equals."""
    if lengths.shape != order.shape:
        raise ValueError(f"{lengths.size} lengths for {order.size} examples; give one for each")
    buckets = [order[start : start + bucket_size] for start in range(0, len(order), bucket_size)]
    ordered = [bucket[np.argsort(lengths[bucket], kind="stable")] for bucket in buckets]
    return np.concatenate(ordered) if ordered else order


def example_lengths(dataset: Any, column: str = "length") -> list[int]:
    """The length of every example in tokens: what its column `column` says, else the number of its `input_ids`.

    A data set that knows all lengths without making the examples says them in an attribute `lengths`.

    Raises
    ------
    ValueError
        If an example has neither.

    Examples
    --------
    >>> example_lengths([{"input_ids": [2, 5, 3]}, {"input_ids": [2, 3], "length": 2}])
    [3, 2]
    """
    if hasattr(dataset, "lengths"):
        return np.asarray(dataset.lengths, np.int64).tolist()
    lengths = []
    for i in range(len(dataset)):
        example = dataset[i]
        if column in example:
            lengths.append(int(np.asarray(example[column]).item()))
        elif "input_ids" in example:
            lengths.append(len(example["input_ids"]))
        else:
            raise ValueError(f"example {i} has neither {column!r} nor 'input_ids', which batches by length need")
    return lengths


def check_dataset(dataset: Any, name: str = "train_dataset") -> None:
    """Refuse what is not a sequence of examples, each a mapping from column to value.

    Raises
    ------
    TypeError, ValueError
        One line that says what it is and what to pass instead.

    Examples
    --------
    >>> check_dataset({"input_ids": [[2, 3]], "labels": [1]})
    Traceback (most recent call last):
    TypeError: train_dataset is a dict of columns; pass a sequence of examples, one mapping each:
    [{"input_ids": ids, "labels": label}, ...] or a class with __len__ and __getitem__
    """
    wanted = (
        'pass a sequence of examples, one mapping each: [{"input_ids": ids, "labels": label}, ...] '
        "or a class with __len__ and __getitem__"
    )
    kind = type(dataset).__name__
    if isinstance(dataset, Mapping):
        raise TypeError(f"{name} is a {kind} of columns; {wanted}")
    if isinstance(dataset, str) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(f"{name} is a {kind}; {wanted}")
    if len(dataset) == 0:
        raise ValueError(f"{name} is empty; it needs at least one example")


def fetch(dataset: Any, indices: Sequence[int] | np.ndarray, name: str = "train_dataset") -> list[Any]:
    """The examples of a batch.

    A data set that makes several examples at once faster than one by one has a method `__getitems__`, which is given
    the list of their indices; the convention is torch's.

    Raises
    ------
    TypeError
        If one of them is not a mapping.
    ValueError
        If `__getitems__` returns more or fewer than were asked for.

    Examples
    --------
    >>> fetch([{"labels": 7}, {"labels": 8}], [1])
    [{'labels': 8}]
    """
    wanted = [int(i) for i in indices]
    many = getattr(dataset, "__getitems__", None)
    examples = [dataset[i] for i in wanted] if many is None else list(many(wanted))
    if len(examples) != len(wanted):
        raise ValueError(f"__getitems__ of {name} returned {len(examples)} examples where {len(wanted)} were wanted")
    for i, example in zip(wanted, examples, strict=True):
        if not isinstance(example, Mapping):
            raise TypeError(
                f"example {i} of {name} is a {type(example).__name__}; it must be a mapping from column to value"
            )
    return examples


def sequential_batches(num_examples: int, batch_size: int) -> Iterator[np.ndarray]:
    """The indices of consecutive batches, for evaluation.

    Examples
    --------
    >>> [batch.tolist() for batch in sequential_batches(3, 2)]
    [[0, 1], [2]]
    """
    yield from epoch_batches(num_examples, batch_size, shuffle=False)


def default_data_collator(features: Sequence[Mapping[str, Any]], return_tensors: str = "np") -> dict[str, np.ndarray]:
    """Stack the values of every column; nothing is padded.

    Columns "label" and "label_ids" become "labels", text and None are left out.

    Parameters
    ----------
    features : sequence of mappings
        Examples with the same columns; numbers, lists or arrays of one shape in each column.
    return_tensors : "np"

    Returns
    -------
    dict of str to ndarray of shape (B, ...)

    Raises
    ------
    ValueError
        If the examples differ in their columns, or the values of a column in their shapes.

    Examples
    --------
    >>> batch = default_data_collator([{"input_ids": [2, 5, 3], "label": 1}, {"input_ids": [2, 6, 3], "label": 0}])
    >>> batch["input_ids"].shape, batch["labels"].tolist()
    ((2, 3), [1, 0])
    """
    if return_tensors != "np":
        raise ValueError(f"return_tensors is {return_tensors!r}; there are only NumPy arrays here: 'np'")
    if not features:
        raise ValueError("a batch needs at least one example")
    columns = list(features[0])
    for row, feature in enumerate(features):
        if set(feature) != set(columns):
            differing = ", ".join(sorted(map(str, set(feature) ^ set(columns))))
            raise ValueError(f"row {row} of the batch differs from row 0 in its columns: {differing}")
    batch = {}
    for column in columns:
        values = [feature[column] for feature in features]
        if values[0] is not None and not isinstance(values[0], str):
            batch["labels" if column in ("label", "label_ids") else column] = _stack(column, values)
    return batch


def _stack(column: str, values: list[Any]) -> np.ndarray:
    """One array of the rows; the first row of another shape is named."""
    arrays = []
    for row, value in enumerate(values):
        try:
            arrays.append(np.asarray(value))
        except ValueError:
            arrays.append(np.empty(0, object))
        if arrays[row].dtype.kind not in "biuf":
            raise ValueError(f"{column} of row {row} holds no numbers, or lists of unequal lengths")
        if arrays[row].shape != arrays[0].shape:
            raise ValueError(
                f"{column} of row {row} has shape {arrays[row].shape}, that of row 0 {arrays[0].shape}; tokenize with "
                "padding=True, or let DataCollatorWithPadding(tokenizer) pad each batch"
            )
    return np.stack(arrays)
