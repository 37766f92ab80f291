"""Examples in columns, with the few methods that programs about BERT call on them.

Here: `Dataset` and `DatasetDict`, which behave as those of the `datasets` library do, in memory and without its
formats.  Not here: files (`tables.py`, read that next), batches (`collators.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .labels import LabelMap

Seed = int | np.random.Generator | None


class Dataset:
    """A table of examples; nothing but `set_format` changes it, every other method returns a new one.

    Parameters
    ----------
    columns : mapping of str to sequence
        All of one length; arrays become lists.
    labels : LabelMap, optional
        The names of the classes that the column of labels numbers; it goes along into whatever is made from this.

    Raises
    ------
    ValueError
        If the columns differ in length.

    Examples
    --------
    >>> dataset = Dataset.from_dict({"text": ["a b", "c", "d"], "label": [0, 1, 1]})
    >>> len(dataset), dataset.column_names, dataset[1]
    (3, ['text', 'label'], {'text': 'c', 'label': 1})
    >>> dataset[:2]["label"], dataset["text"]
    ([0, 1], ['a b', 'c', 'd'])
    >>> dataset.map(lambda example: {"n_words": len(example["text"].split())})["n_words"]
    [2, 1, 1]
    """

    def __init__(self, columns: Mapping[str, Any], labels: LabelMap | None = None) -> None:
        self._columns = {name: _listed(values) for name, values in columns.items()}
        self.labels = labels
        self._shown: list[str] | None = None
        self._as_arrays = False
        lengths = {name: len(values) for name, values in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a dataset must have one length, not {lengths}")
        self.num_rows = next(iter(lengths.values()), 0)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], labels: LabelMap | None = None) -> Dataset:
        """Make a dataset from columns."""
        return cls(mapping, labels)

    @classmethod
    def from_list(cls, rows: Sequence[Mapping[str, Any]], labels: LabelMap | None = None) -> Dataset:
        """Make a dataset from rows, which must all have the columns of the first.

        Examples
        --------
        >>> Dataset.from_list([{"text": "a"}, {"text": "b"}])["text"]
        ['a', 'b']
        """
        return cls(_transposed(rows, "row"), labels)

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Dataset({self.num_rows} rows of {', '.join(self._columns)})"

    @property
    def column_names(self) -> list[str]:
        return list(self._columns)

    def __getitem__(self, key: Any) -> Any:
        """An int gives a row, a str a column, a slice or a sequence of ints some rows as columns."""
        if isinstance(key, str):
            return self._formatted(self._column(key))
        names = self.column_names if self._shown is None else self._shown
        if isinstance(key, slice):
            return {name: self._formatted(self._columns[name][key]) for name in names}
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"row {key} is outside a dataset of {len(self)} rows")
            return {name: self._formatted(self._columns[name][key]) for name in names}
        picked = self.select(key)
        return {name: self._formatted(picked._columns[name]) for name in names}

    def unique(self, column: str) -> list[Any]:
        """Return the different values of a column in the order in which they first occur."""
        return list(dict.fromkeys(self._column(column)))

    # ---------------------------------------------------------------- rows

    def select(self, indices: Iterable[int]) -> Dataset:
        """Return the rows with these numbers, in this order.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        wanted = [int(i) for i in indices]
        outside = next((i for i in wanted if not -len(self) <= i < len(self)), None)
        if outside is not None:
            raise IndexError(f"row {outside} is outside a dataset of {len(self)} rows")
        return self._with({name: [values[i] for i in wanted] for name, values in self._columns.items()})

    def filter(self, function: Callable[[dict[str, Any]], Any]) -> Dataset:
        """Return the rows for which the function says true.

        Examples
        --------
        >>> Dataset({"text": ["a", ""]}).filter(lambda example: example["text"] != "")["text"]
        ['a']
        """
        return self.select(i for i, row in enumerate(self) if function(row))

    def shuffle(self, seed: Seed = None) -> Dataset:
        """Return the rows in a random order, the same one for the same seed.

        Examples
        --------
        >>> sorted(Dataset({"label": [3, 1, 2]}).shuffle(seed=42)["label"])
        [1, 2, 3]
        """
        return self.select(np.random.default_rng(seed).permutation(len(self)))

    def train_test_split(self, test_size: float | int = 0.25, seed: Seed = None, shuffle: bool = True) -> DatasetDict:
        """Return two datasets under "train" and "test" that share no row.

        Parameters
        ----------
        test_size : float or int
            A share between 0 and 1, rounded up to whole rows; or a number of rows.
        seed : int or Generator, optional
        shuffle : bool
            If not, the test rows are the last ones.

        Raises
        ------
        ValueError
            If either part would be empty.

        Examples
        --------
        >>> {name: len(part) for name, part in Dataset({"text": ["a"] * 10}).train_test_split(0.2, seed=0).items()}
        {'train': 8, 'test': 2}
        """
        n = len(self)
        n_test = math.ceil(test_size * n) if isinstance(test_size, float) and math.isfinite(test_size) else test_size
        if not isinstance(n_test, int) or not 0 < n_test < n:
            raise ValueError(
                f"test_size={test_size} leaves one part of {n} rows empty; give a share between 0 and 1, or a "
                "number of rows"
            )
        order = np.random.default_rng(seed).permutation(n) if shuffle else np.roll(np.arange(n), n_test)
        return DatasetDict(train=self.select(order[n_test:]), test=self.select(order[:n_test]))

    # ---------------------------------------------------------------- columns

    def map(
        self,
        function: Callable[..., Mapping[str, Any]],
        batched: bool = False,
        batch_size: int = 1000,
        remove_columns: str | Sequence[str] = (),
    ) -> Dataset:
        """Return a dataset with the columns that a function makes from the rows, beside the old ones.

        Parameters
        ----------
        function : callable
            From a row to a mapping; with `batched`, from columns of up to `batch_size` rows to columns.
        batched : bool
        batch_size : int
        remove_columns : str or sequence of str
            Old columns to leave out.  A batched function may return more or fewer rows than it got, if all are.

        Raises
        ------
        TypeError
            If the function does not return a mapping.
        ValueError
            If what it returns does not fit together.

        Examples
        --------
        >>> Dataset({"x": [1, 2]}).map(lambda batch: {"y": [10 * x for x in batch["x"]]}, batched=True)[1]
        {'x': 2, 'y': 20}
        """
        plain = self._with(self._columns)
        if batched:
            if batch_size < 1:
                raise ValueError(f"batch_size must be at least 1, not {batch_size}")
            starts = range(0, len(self), batch_size)
            batches = [_mapping(function(plain[start : start + batch_size])) for start in starts]
            parts = _transposed([{name: _listed(column) for name, column in b.items()} for b in batches], "batch")
            made = {name: [row for part in column for row in part] for name, column in parts.items()}
        else:
            made = _transposed([_mapping(function(row)) for row in plain], "row")
        kept = self.remove_columns(remove_columns)._columns
        changed = {name: column for name, column in made.items() if len(column) != len(self)}
        stale = [name for name in kept if name not in made]
        if changed and stale:
            raise ValueError(
                f"the function made {len(next(iter(changed.values())))} rows out of {len(self)}, so the columns "
                f"{', '.join(stale)} no longer fit; give remove_columns=dataset.column_names"
            )
        return self._with({**kept, **made})

    def remove_columns(self, column_names: str | Sequence[str]) -> Dataset:
        """Return the dataset without some columns."""
        gone = [column_names] if isinstance(column_names, str) else list(column_names)
        for name in gone:
            self._column(name)
        return self._with({name: values for name, values in self._columns.items() if name not in gone})

    def select_columns(self, column_names: str | Sequence[str]) -> Dataset:
        """Return the dataset with these columns alone."""
        names = [column_names] if isinstance(column_names, str) else column_names
        return self._with({name: self._column(name) for name in names})

    def rename_column(self, original_column_name: str, new_column_name: str) -> Dataset:
        """Return the dataset with another name for a column."""
        self._column(original_column_name)
        if new_column_name in self._columns:
            raise ValueError(f"there is a column {new_column_name!r} already; remove it first")
        names = {original_column_name: new_column_name}
        return self._with({names.get(name, name): values for name, values in self._columns.items()})

    def add_column(self, name: str, column: Sequence[Any]) -> Dataset:
        """Return the dataset with one more column."""
        if name in self._columns:
            raise ValueError(f"there is a column {name!r} already; remove it first")
        return self._with({**self._columns, name: column})

    def class_encode_column(self, column: str, labels: LabelMap | None = None) -> Dataset:
        """Return the dataset with the names in a column replaced by numbers; `labels` of the result has the names.

        Parameters
        ----------
        column : str
        labels : LabelMap, optional
            Those that may occur; if not given, those that do, sorted.

        Raises
        ------
        ValueError
            If a row has none of these labels.

        Examples
        --------
        >>> dataset = Dataset({"label": ["spam", "ham"]}).class_encode_column("label")
        >>> dataset["label"], dataset.labels
        ([1, 0], LabelMap(['ham', 'spam']))
        """
        names = self._column(column)
        known = LabelMap.from_values(names) if labels is None else labels
        return Dataset({**self._columns, column: [known.id_of(name) for name in names]}, known)

    def set_format(self, type: str | None = None, columns: Sequence[str] | None = None) -> None:
        """Choose what indexing returns: arrays ("numpy") or Python values (None), and of which columns.

        Examples
        --------
        >>> dataset = Dataset({"text": ["a"], "input_ids": [[2, 5, 3]]})
        >>> dataset.set_format("numpy", columns=["input_ids"])
        >>> dataset[0]
        {'input_ids': array([2, 5, 3])}
        """
        if type not in (None, "numpy", "np"):
            raise ValueError(f"format {type!r} is not available; use 'numpy' (NumPy arrays), or None")
        for name in columns or ():
            self._column(name)
        self._as_arrays = type is not None
        self._shown = None if columns is None else list(columns)

    def with_format(self, type: str | None = None, columns: Sequence[str] | None = None) -> Dataset:
        """Return the same rows in another format; see `set_format`."""
        other = self._with(self._columns)
        other.set_format(type, columns)
        return other

    def _column(self, name: str) -> list[Any]:
        if name not in self._columns:
            raise KeyError(f"there is no column {name!r}; the columns are {', '.join(map(repr, self._columns))}")
        return self._columns[name]

    def _formatted(self, value: Any) -> Any:
        if not self._as_arrays or isinstance(value, str):
            return value
        try:
            return np.asarray(value)
        except ValueError:  # rows of different lengths
            return [np.asarray(row) for row in value]

    def _with(self, columns: Mapping[str, Any]) -> Dataset:
        return Dataset(columns, self.labels)


class DatasetDict(dict[str, Dataset]):
    """Datasets by name, as of one task: "train", "validation", "test".  Its methods do the same to each of them.

    Examples
    --------
    >>> parts = Dataset({"text": ["a", "b", "c", "d"]}).train_test_split(test_size=1, seed=0)
    >>> parts.map(lambda example: {"length": len(example["text"])})["test"].column_names
    ['text', 'length']
    """

    @property
    def column_names(self) -> dict[str, list[str]]:
        return {name: part.column_names for name, part in self.items()}

    def map(
        self,
        function: Callable[..., Mapping[str, Any]],
        batched: bool = False,
        batch_size: int = 1000,
        remove_columns: str | Sequence[str] = (),
    ) -> DatasetDict:
        """See `Dataset.map`."""
        return self._each(lambda part: part.map(function, batched, batch_size, remove_columns))

    def filter(self, function: Callable[[dict[str, Any]], Any]) -> DatasetDict:
        """See `Dataset.filter`."""
        return self._each(lambda part: part.filter(function))

    def shuffle(self, seed: Seed = None) -> DatasetDict:
        """See `Dataset.shuffle`."""
        return self._each(lambda part: part.shuffle(seed))

    def remove_columns(self, column_names: str | Sequence[str]) -> DatasetDict:
        """See `Dataset.remove_columns`."""
        return self._each(lambda part: part.remove_columns(column_names))

    def rename_column(self, original_column_name: str, new_column_name: str) -> DatasetDict:
        """See `Dataset.rename_column`."""
        return self._each(lambda part: part.rename_column(original_column_name, new_column_name))

    def class_encode_column(self, column: str) -> DatasetDict:
        """See `Dataset.class_encode_column`; the datasets share one map, with the labels of all of them."""
        known = LabelMap.from_values(name for part in self.values() for name in part.unique(column))
        return self._each(lambda part: part.class_encode_column(column, known))

    def set_format(self, type: str | None = None, columns: Sequence[str] | None = None) -> None:
        """See `Dataset.set_format`."""
        for part in self.values():
            part.set_format(type, columns)

    def _each(self, change: Callable[[Dataset], Dataset]) -> DatasetDict:
        return DatasetDict({name: change(part) for name, part in self.items()})


def _listed(values: Any) -> list[Any]:
    """A column as a list; an array becomes Python numbers, so that a dataset holds one kind of value."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"a column must be a sequence with one value for each row, not {type(values).__name__}")
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _mapping(made: Any) -> Mapping[str, Any]:
    if not isinstance(made, Mapping):
        raise TypeError(f"the function of map must return a mapping of columns, not {type(made).__name__}")
    return made


def _transposed(rows: Sequence[Mapping[str, Any]], unit: str) -> dict[str, list[Any]]:
    """Rows to columns; every row must have the columns of the first."""
    names = list(rows[0]) if rows else []
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise ValueError(f"{unit} {number} has the columns {sorted(row)}, {unit} 0 has {sorted(names)}")
    return {name: [row[name] for row in rows] for name in names}
