"""One sequence as the model reads it: specials, texts and padding in a row.

Here: `Segment` and `Encoding`, which answers for every position where it came from.  Not here: how a text becomes
ids (`analysis.py`), where a sequence is cut (`truncation.py`, read that next), a whole batch (`batch.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from .analysis import Span, TokenizedText

T = TypeVar("T")


class Segment(NamedTuple):
    """A stretch of an encoding that has one origin.

    Attributes
    ----------
    ids : list of int
    type_id : int
        The token type of every position in it.
    text : TokenizedText, optional
        The text that the ids are from; None for [CLS], [SEP] and padding.
    start : int
        The position of `ids[0]` in `text.ids`.
    sequence : int
        0 for the first text and 1 for the second; meaningless without a text.
    is_padding : bool
        Whether the model should overlook it.
    """

    ids: list[int]
    type_id: int = 0
    text: TokenizedText | None = None
    start: int = 0
    sequence: int = 0
    is_padding: bool = False


class Encoding:
    """A sequence of ids, and for each of them its token, its type and its origin.

    Its properties are lists of equal length: `ids`, `type_ids`, `tokens`, `offsets` ((0, 0) where there is no text),
    `word_ids` and `sequence_ids` (None where there is no text), `special_tokens_mask` (1 where there is no text) and
    `attention_mask` (0 at padding).  A literal "[MASK]" within a text is text here.

    Parameters
    ----------
    segments : list of Segment
    token_of : callable
        Gives the token of an id.

    Attributes
    ----------
    overflowing : list of Encoding
        The further windows over the same text, if the call asked for them.
    """

    def __init__(self, segments: list[Segment], token_of: Callable[[int], str]) -> None:
        self._segments = segments
        self._token_of = token_of
        self.overflowing: list[Encoding] = []

    def __len__(self) -> int:
        return sum(len(segment.ids) for segment in self._segments)

    def __repr__(self) -> str:
        return f"Encoding(num_tokens={len(self)})"

    @property
    def ids(self) -> list[int]:
        ids: list[int] = []
        for segment in self._segments:
            ids += segment.ids
        return ids

    @property
    def type_ids(self) -> list[int]:
        return self._spread([segment.type_id for segment in self._segments])

    @property
    def tokens(self) -> list[str]:
        return [self._token_of(i) for i in self.ids]

    @property
    def attention_mask(self) -> list[int]:
        return self._spread([int(not segment.is_padding) for segment in self._segments])

    @property
    def special_tokens_mask(self) -> list[int]:
        return self._spread([int(segment.text is None) for segment in self._segments])

    @property
    def sequence_ids(self) -> list[int | None]:
        return self._spread([None if segment.text is None else segment.sequence for segment in self._segments])

    @property
    def n_sequences(self) -> int:
        return max([s.sequence + 1 for s in self._segments if s.text is not None], default=1)

    @property
    def offsets(self) -> list[Span]:
        offsets: list[Span] = []
        for segment in self._segments:
            n = len(segment.ids)
            if segment.text is None:
                offsets += [(0, 0)] * n
            else:
                offsets += segment.text.offsets[segment.start : segment.start + n]
        return offsets

    @property
    def word_ids(self) -> list[int | None]:
        word_ids: list[int | None] = []
        for segment in self._segments:
            n = len(segment.ids)
            if segment.text is None:
                word_ids += [None] * n
            else:
                word_ids += segment.text.word_ids[segment.start : segment.start + n]
        return word_ids

    def padded(self, length: int, pad_id: int, side: str = "right") -> Encoding:
        """Return this encoding, filled up to `length` with `pad_id` on the given side; never shortened."""
        missing = length - len(self)
        if missing <= 0:
            return self
        padding = [Segment([pad_id] * missing, is_padding=True)]
        segments = self._segments + padding if side == "right" else padding + self._segments
        return Encoding(segments, self._token_of)

    def token_to_sequence(self, token_index: int) -> int | None:
        """Return which text (0 or 1) a position is from; None for specials and padding."""
        return self.sequence_ids[self._position(token_index)]

    def token_to_word(self, token_index: int) -> int | None:
        """Return the number of the word that a position belongs to, within its text."""
        return self.word_ids[self._position(token_index)]

    def token_to_chars(self, token_index: int) -> Span | None:
        """Return the range of characters that a position stands for, within its text."""
        position = self._position(token_index)
        return None if self.sequence_ids[position] is None else self.offsets[position]

    def char_to_token(self, char_index: int, sequence_index: int = 0) -> int | None:
        """Return the first position that covers a character of a text; None for white space and dropped characters."""
        offsets = self.offsets
        covering = (p for p in self._positions(sequence_index) if offsets[p][0] <= char_index < offsets[p][1])
        return next(covering, None)

    def char_to_word(self, char_index: int, sequence_index: int = 0) -> int | None:
        """Return the number of the word that covers a character of a text."""
        position = self.char_to_token(char_index, sequence_index)
        return None if position is None else self.word_ids[position]

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> Span | None:
        """Return the range of positions that a word of a text occupies; None if none of it is here."""
        word_ids = self.word_ids
        positions = [p for p in self._positions(sequence_index) if word_ids[p] == word_index]
        return (positions[0], positions[-1] + 1) if positions else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> Span | None:
        """Return the range of characters of a word of a text, as far as the word is here."""
        tokens = self.word_to_tokens(word_index, sequence_index)
        if tokens is None:
            return None
        offsets = self.offsets
        return offsets[tokens[0]][0], offsets[tokens[1] - 1][1]

    def _spread(self, values: Iterable[T]) -> list[T]:
        """Repeat one value for each segment over the ids of the segment."""
        column: list[T] = []
        for segment, value in zip(self._segments, values, strict=True):
            column += [value] * len(segment.ids)
        return column

    def _positions(self, sequence_index: int) -> Iterator[int]:
        return (p for p, sequence in enumerate(self.sequence_ids) if sequence == sequence_index)

    def _position(self, token_index: int) -> int:
        n = len(self)
        if not -n <= token_index < n:
            raise IndexError(f"token index {token_index} is outside an encoding of {n} tokens")
        return token_index % n


def link_windows(encodings: Sequence[Encoding], sample_of: Sequence[int]) -> None:
    """Hand each sample's first window the others, given the number of the sample that each window is from."""
    first: dict[int, Encoding] = {}
    for encoding, sample in zip(encodings, sample_of, strict=True):
        if sample in first:
            first[sample].overflowing.append(encoding)
        else:
            first[sample] = encoding
