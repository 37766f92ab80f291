"""What a call of the tokenizer returns: columns for the model, and the encodings behind them.

Here: `BatchEncoding`, the padding of columns, and the step from lists to arrays.  Not here: how the columns are made
(`bert.py`).  Read next: `vocabulary.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from .analysis import Span
from .encoding import Encoding

PADDING_VALUES = {"attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}
"""What fills a column behind the end of a sequence; `input_ids` take the padding token."""


class BatchEncoding(MutableMapping[str, Any]):
    """The columns that a model takes, as a mapping; the encodings of the batch behind it.

    `encoding["input_ids"]`, `encoding.input_ids` and `model(**encoding)` all work.  `encoding[0]` is the `Encoding`
    of the first sequence.  The questions about a sequence take its index first, and mean the first sequence if only
    one number is given: `encoding.char_to_token(3)` is `encoding.char_to_token(0, 3)`.

    Parameters
    ----------
    data : mapping of str to list or ndarray
    encodings : sequence of Encoding, optional
        One for each row; without them only the columns can be asked.

    Examples
    --------
    >>> batch = BatchEncoding({"input_ids": [[2, 5, 3]]})
    >>> batch.input_ids is batch["input_ids"], list(batch)
    (True, ['input_ids'])
    >>> batch.convert_to_tensors("np")["input_ids"].shape
    (1, 3)
    """

    def __init__(self, data: Mapping[str, Any] | None = None, encodings: Sequence[Encoding] | None = None) -> None:
        self.data = dict(data or {})
        self.encodings = None if encodings is None else list(encodings)

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return self.data[key]
        return self._all()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: str) -> None:
        del self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getattr__(self, name: str) -> Any:
        # Reached only when there is no such attribute; `data` itself is missing while copying and unpickling.
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"{type(self).__name__} has neither an attribute nor a column {name!r}")

    def __repr__(self) -> str:
        return repr(self.data)

    @property
    def is_fast(self) -> bool:
        """Whether offsets and words can be asked for."""
        return self.encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """1 for single texts, 2 for pairs."""
        return max((e.n_sequences for e in self.encodings), default=None) if self.encodings else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of one sequence."""
        return self._all()[batch_index].tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the number of the word that each position of one sequence is from."""
        return self._all()[batch_index].word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the text (0 or 1) that each position of one sequence is from."""
        return self._all()[batch_index].sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """See `Encoding.token_to_sequence`."""
        encoding, index = self._at(batch_or_token_index, token_index)
        return encoding.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """See `Encoding.token_to_word`."""
        encoding, index = self._at(batch_or_token_index, token_index)
        return encoding.token_to_word(index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> Span | None:
        """See `Encoding.token_to_chars`."""
        encoding, index = self._at(batch_or_token_index, token_index)
        return encoding.token_to_chars(index)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """See `Encoding.char_to_token`."""
        encoding, index = self._at(batch_or_char_index, char_index)
        return encoding.char_to_token(index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """See `Encoding.char_to_word`."""
        encoding, index = self._at(batch_or_char_index, char_index)
        return encoding.char_to_word(index, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """See `Encoding.word_to_tokens`."""
        encoding, index = self._at(batch_or_word_index, word_index)
        return encoding.word_to_tokens(index, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """See `Encoding.word_to_chars`."""
        encoding, index = self._at(batch_or_word_index, word_index)
        return encoding.word_to_chars(index, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = "np", prepend_batch_axis: bool = False) -> BatchEncoding:
        """Turn every column into an int64 array, in place, and return this object.

        Parameters
        ----------
        tensor_type : {"np"}, optional
            None leaves the lists as they are.
        prepend_batch_axis : bool
            Whether the columns are one sequence and get a batch axis of 1.

        Raises
        ------
        ValueError
            For another tensor type, and for rows of different lengths.
        """
        check_tensor_type(tensor_type)
        if tensor_type is not None:
            for name, column in self.data.items():
                self.data[name] = to_array(name, [column] if prepend_batch_axis else column)
        return self

    def _all(self) -> list[Encoding]:
        if self.encodings is None:
            raise ValueError("these columns were put together without encodings; only columns can be asked, by name")
        return self.encodings

    def _at(self, batch_or_index: int, index: int | None) -> tuple[Encoding, int]:
        batch_index, index = (0, batch_or_index) if index is None else (batch_or_index, index)
        return self._all()[batch_index], index


def check_tensor_type(tensor_type: str | None) -> None:
    """Refuse every tensor type but NumPy's.

    Raises
    ------
    ValueError
        If it is neither "np" nor None.
    """
    if tensor_type not in (None, "np"):
        raise ValueError(f"return_tensors={tensor_type!r} is not available; use return_tensors='np' (NumPy arrays)")


def to_array(name: str, rows: Any) -> np.ndarray:
    """Return a column of a batch as an int64 array of shape (B, S), (B, S, 2) for offsets, or (B,).

    Raises
    ------
    ValueError
        If the rows differ in length or do not hold integers.

    Examples
    --------
    >>> to_array("input_ids", [[1, 2], [3, 4]]).dtype
    dtype('int64')
    """
    rows = list(rows)
    if not rows:
        return np.zeros((0, 0), dtype=np.int64)
    lengths = {len(row) for row in rows if isinstance(row, list | tuple | np.ndarray)}
    if len(lengths) > 1:
        raise ValueError(
            f"the rows of {name!r} have between {min(lengths)} and {max(lengths)} entries and do not form an array; "
            "call the tokenizer with padding=True, truncation=True"
        )
    array = np.asarray(rows)
    if array.size and array.dtype.kind not in "iub":
        if array.dtype.kind == "f":
            return array  # float labels pass through as they are
        raise ValueError(f"the column {name!r} holds {array.dtype} values, not integers; leave it out of the arrays")
    if name == "offset_mapping" and not array.size:
        return array.reshape(len(rows), 0, 2).astype(np.int64)
    return array.astype(np.int64)


def pad_columns(
    columns: Mapping[str, list[list[Any]]], length: int, pad_id: int, side: str
) -> dict[str, list[list[Any]]]:
    """Return the columns of a batch with every row of the model's inputs filled up to `length`.

    Columns that are not the model's inputs (labels, say) are returned as they are.

    Examples
    --------
    >>> pad_columns({"input_ids": [[7], [8, 9]]}, length=2, pad_id=0, side="right")
    {'input_ids': [[7, 0], [8, 9]]}
    """
    padded = {}
    for name, rows in columns.items():
        value = pad_id if name == "input_ids" else PADDING_VALUES.get(name)
        if value is None:
            padded[name] = list(rows)
        elif side == "right":
            padded[name] = [list(row) + [value] * (length - len(row)) for row in rows]
        else:
            padded[name] = [[value] * (length - len(row)) + list(row) for row in rows]
    return padded
