"""From text to ids and positions: special tokens, chunks, words and pieces in one pass.

Here: `Analyzer`, which joins `basic.py` and `wordpiece.py` and remembers what it has seen, and `TokenizedText`, its
result.  Not here: [CLS] and [SEP] around a text, truncation, padding (`encoding.py`, read that next).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .basic import BasicTokenizer
from .wordpiece import WordPiece

Span = tuple[int, int]


class Analysis(NamedTuple):
    """What one chunk becomes.

    `ids` are the ids of its pieces; `spans` holds (start, end, word) for each piece, counted from the start of the
    chunk; `n_words` is the number of words.  All tuples: the garbage collector need not walk through tuples of ints,
    and there are many of these.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int, int], ...]
    n_words: int


class TokenizedText:
    """The ids of one text; where they came from is worked out when somebody asks.

    Most callers want ids alone, and positions cost several times as much as ids.

    Attributes
    ----------
    ids : list of int
    offsets : list of (start, end)
        For each id the range of characters of the text (of its word, for a text given as words).
    word_ids : list of int
        For each id the number of its word.
    """

    __slots__ = ("_analyzer", "_places", "_split_special_tokens", "_text", "ids")

    def __init__(self, analyzer: Analyzer, text: str | Sequence[str], split_special_tokens: bool) -> None:
        self._analyzer, self._text, self._split_special_tokens = analyzer, text, split_special_tokens
        self._places: tuple[list[Span], list[int]] | None = None
        words = [text] if isinstance(text, str) else text
        self.ids = [i for word in words for i in analyzer.ids(word, split_special_tokens)]

    @property
    def offsets(self) -> list[Span]:
        return self._locate()[0]

    @property
    def word_ids(self) -> list[int]:
        return self._locate()[1]

    def _locate(self) -> tuple[list[Span], list[int]]:
        if self._places is None:
            split = self._split_special_tokens
            if isinstance(self._text, str):
                self._places = self._analyzer.places(self._text, split)
            else:
                offsets: list[Span] = []
                word_ids: list[int] = []
                for number, word in enumerate(self._text):
                    found, _ = self._analyzer.places(word, split)
                    offsets += found
                    word_ids += [number] * len(found)
                self._places = offsets, word_ids
        return self._places


class _Chunks(dict[str, Analysis]):
    """A dictionary that fills itself with the analysis of a chunk, and stays bounded.

    Frequent words come back at once after the rare clearing, which is why nothing cleverer is needed.  Long chunks
    are not kept: they hardly ever repeat, and a few of them could hold a lot of memory.
    """

    LIMIT = 100_000
    LONGEST = 64

    def __init__(self, basic: BasicTokenizer, wordpiece: WordPiece) -> None:
        super().__init__()
        self.basic, self.wordpiece = basic, wordpiece

    def __missing__(self, chunk: str) -> Analysis:
        ids: list[int] = []
        spans: list[tuple[int, int, int]] = []
        words = self.basic.words(chunk)
        for number, (word, sources) in enumerate(words):
            for piece_id, start, end in self.wordpiece.split(word):
                ids.append(piece_id)
                spans.append((sources[start], sources[end - 1] + 1, number))
        analysis = Analysis(tuple(ids), tuple(spans), len(words))
        if len(chunk) <= self.LONGEST:
            if len(self) >= self.LIMIT:
                self.clear()
            self[chunk] = analysis
        return analysis


class Analyzer:
    """Turn text into ids, and say which characters each id came from.

    Parameters
    ----------
    basic : BasicTokenizer
    wordpiece : WordPiece
    special_tokens : mapping of str to int
        Tokens that are kept whole where they occur literally in a text, before anything else is looked at.

    Examples
    --------
    >>> vocab = {"[UNK]": 0, "[MASK]": 1, "play": 2, "##ing": 3}
    >>> analyzer = Analyzer(BasicTokenizer(), WordPiece(vocab), {"[MASK]": 1})
    >>> analyzer.ids("Playing [MASK]")
    [2, 3, 1]
    >>> analyzer.places("Playing [MASK]")
    ([(0, 4), (4, 7), (8, 14)], [0, 0, 1])
    """

    def __init__(self, basic: BasicTokenizer, wordpiece: WordPiece, special_tokens: Mapping[str, int]) -> None:
        self.basic, self.wordpiece = basic, wordpiece
        self.special_tokens = dict(special_tokens)
        self._chunks = _Chunks(basic, wordpiece)
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __getstate__(self) -> dict[str, object]:
        return {"basic": self.basic, "wordpiece": self.wordpiece, "special_tokens": self.special_tokens}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def ids(self, text: str, split_special_tokens: bool = False) -> list[int]:
        """Return the ids of a text."""
        find_chunks, analyze = self.basic.chunk_pattern.findall, self._chunks.__getitem__
        ids: list[int] = []
        for start, end, special in self._parts(text, split_special_tokens):
            if special is not None:
                ids.append(self.special_tokens[special])
            else:
                ids += [i for found in map(analyze, find_chunks(text, start, end)) for i in found.ids]
        return ids

    def places(self, text: str, split_special_tokens: bool = False) -> tuple[list[Span], list[int]]:
        """Return, for each id of a text, its range of characters and the number of its word."""
        find_chunks, chunks = self.basic.chunk_pattern.finditer, self._chunks
        offsets: list[Span] = []
        word_ids: list[int] = []
        n_words = 0
        for start, end, special in self._parts(text, split_special_tokens):
            if special is not None:
                offsets.append((start, end))
                word_ids.append(n_words)
                n_words += 1
                continue
            for match in find_chunks(text, start, end):
                found, base = chunks[match[0]], match.start()
                for piece_start, piece_end, word in found.spans:
                    offsets.append((base + piece_start, base + piece_end))
                    word_ids.append(n_words + word)
                n_words += found.n_words
        return offsets, word_ids

    def _parts(self, text: str, split_special_tokens: bool) -> Iterator[tuple[int, int, str | None]]:
        """Cut a text at its literal special tokens: (start, end, token), or None for the text between them."""
        done = 0
        if self._special_pattern is not None and not split_special_tokens:
            for match in self._special_pattern.finditer(text):
                if done < match.start():
                    yield done, match.start(), None
                yield match.start(), match.end(), match[0]
                done = match.end()
        if done < len(text):
            yield done, len(text), None
