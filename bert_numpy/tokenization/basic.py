"""From raw text to words: cleaning, Han characters, lower-casing, accents, punctuation.

Here: `BasicTokenizer`, which knows Unicode and no vocabulary.  Not here: word pieces and ids (`wordpiece.py`, read
that next), special tokens such as [MASK] (`analysis.py`).

The idea that makes it fast and exact at once: a text falls into *chunks* between white space, ASCII punctuation and
Han characters, and nothing inside one chunk can change what another chunk becomes.  What a chunk becomes can
therefore be remembered, and positions in the text are positions in the chunk plus where the chunk starts.

Categories (punctuation, marks, controls) come from the `regex` module, decompositions and lower case from Python:
characters younger than either of them are left as they are.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MODES = ("hf", "google")

# The white space that survives cleaning.  U+000B, U+000C and U+0085 are controls and go, unless clean_text is off.
_SPACE = "\\t\\n\\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACE_AMONG_CONTROLS = "\\x0b\\x0c\\x85"
# BERT counts every ASCII character that is neither letter nor digit as punctuation, "$", "+" and "^" too.
_ASCII_PUNCTUATION = r"!-/:-@\[-`{-~"
# Unified ideographs up to extension E, and the two compatibility blocks.  Kana and Hangul are words with spaces.
_HAN = "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f"

Word = tuple[str, Sequence[int]]
"""A normalized word, and for each of its characters the index of the raw character that it came from."""


@functools.cache
def _categories() -> tuple[dict[str, Any], Any, Any]:
    """Compile, at the first text: what is dropped (by mode), a nonspacing mark, a run of letters or a punctuation."""
    import regex  # type: ignore[import-untyped]

    dropped = {
        "hf": regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\ufffd--[\t\n\r]]", regex.V1),
        "google": regex.compile(r"[\p{Cc}\p{Cf}\ufffd--[\t\n\r]]", regex.V1),
    }
    mark = regex.compile(r"\p{Mn}")
    words = regex.compile(rf"[^\p{{P}}{_ASCII_PUNCTUATION}]+|[\p{{P}}{_ASCII_PUNCTUATION}]")
    return dropped, mark, words


class _Memo(dict[str, str]):
    """A dictionary that fills itself with `function(key)`; as large as the set of characters met."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, key: str) -> str:
        value = self[key] = self.function(key)
        return value


class BasicTokenizer:
    """Split text into words as BERT does, before any vocabulary is asked.

    Every character is looked up once: control and format characters, U+0000 and U+FFFD vanish (the letters around
    them join); with lower-casing, accents go too, because a character is decomposed (NFD) and loses its nonspacing
    marks.  Words end at white space, around each Han character and around each punctuation character.

    Parameters
    ----------
    do_lower_case : bool
        Lower-case every character by itself.
    strip_accents : bool, optional
        Decompose and drop nonspacing marks; None does as `do_lower_case` says.
    tokenize_chinese_chars : bool
        Make each Han character a word of its own.
    clean_text : bool
        Drop control characters.
    mode : {"hf", "google"}
        Two published rules differ.  "google", the original program: private-use characters stay, and the whole word
        is lower-cased at once, so that a final capital sigma becomes ς.  "hf", the `tokenizers` library: private-use
        characters vanish, and Σ is always σ.

    Notes
    -----
    A lone surrogate (half a character, as a JSON text may smuggle in) counts as U+FFFD in both modes: it vanishes.
    There is no NFC step, as there is none in either reference.

    Examples
    --------
    >>> BasicTokenizer().tokenize("Naïve café: 中文!")
    ['naive', 'cafe', ':', '中', '文', '!']
    >>> BasicTokenizer(do_lower_case=False).tokenize("Don't.")
    ['Don', "'", 't', '.']
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        clean_text: bool = True,
        mode: str = "hf",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is unknown; choose one of {', '.join(MODES)}")
        self.do_lower_case = do_lower_case
        self.strip_accents = do_lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.clean_text = clean_text
        self.mode = mode
        self._characters = _Memo(self._normalize_character)

    def __getstate__(self) -> dict[str, Any]:
        """Settings only: the memories are cheap to fill again."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_characters", "chunk_pattern")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._characters = _Memo(self._normalize_character)

    @functools.cached_property
    def chunk_pattern(self) -> re.Pattern[str]:
        """Pattern whose matches are the chunks of a text, left to right; what lies between them is white space."""
        space = _SPACE if self.clean_text else _SPACE + _SPACE_AMONG_CONTROLS
        # Whether Σ is final is decided across "." and "'": Google's chunk has to keep its punctuation.
        alone = _ASCII_PUNCTUATION if self.mode == "hf" else ""
        if self.tokenize_chinese_chars:
            alone += _HAN
        return re.compile(f"[^{space}{alone}]+|[{alone}]" if alone else f"[^{space}]+")

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return [word for chunk in self.chunk_pattern.findall(text) for word, _ in self.words(chunk)]

    def words(self, chunk: str) -> list[Word]:
        """Return the words of one chunk, each with the places of its characters in the chunk.

        Examples
        --------
        >>> BasicTokenizer().words("co\\u00adope\\u0301ra")          # a soft hyphen, a combining accent
        [('coopera', [0, 1, 3, 4, 5, 7, 8])]
        """
        if chunk.isascii() and chunk.isalnum():
            return [(chunk.lower() if self.do_lower_case else chunk, range(len(chunk)))]
        normalized, sources = self.normalize(chunk)
        *_, word_pattern = _categories()
        return [(m[0], sources[m.start() : m.end()]) for m in word_pattern.finditer(normalized)]

    def normalize(self, chunk: str) -> Word:
        """Clean, decompose, strip and lower-case one chunk; see `BasicTokenizer` for the rules."""
        if self.mode == "google" and self.do_lower_case and "Σ" in chunk:
            chunk = self._settle_final_sigmas(chunk)
        forms = [self._characters[char] for char in chunk]
        normalized = "".join(forms)
        if self.strip_accents and any(map(unicodedata.combining, normalized)):
            return self._normalize_in_canonical_order(chunk)
        if len(normalized) == len(chunk) and "" not in forms:
            return normalized, range(len(chunk))
        return normalized, [index for index, form in enumerate(forms) for _ in form]

    def _is_dropped(self, char: str) -> bool:
        if "\ud800" <= char <= "\udfff":
            return True
        dropped, *_ = _categories()
        return self.clean_text and dropped[self.mode].match(char) is not None

    def _normalize_character(self, char: str) -> str:
        if self._is_dropped(char):
            return ""
        if self.mode == "google":
            return "".join(self._strip(self._lower(char)))
        return self._lower("".join(self._strip(char)))

    def _lower(self, text: str) -> str:
        # Called with one character, or its decomposition: str.lower() of a whole word would turn a final Σ into ς.
        return text.lower() if self.do_lower_case else text

    def _strip(self, text: str) -> Iterator[str]:
        if not self.strip_accents:
            return iter(text)
        _, mark, _ = _categories()
        return (char for char in unicodedata.normalize("NFD", text) if not mark.match(char))

    def _settle_final_sigmas(self, chunk: str) -> str:
        kept = [index for index, char in enumerate(chunk) if not self._is_dropped(char)]
        # İ is the only character whose lower case is longer than itself; any cased letter does in its place.
        lowered = "".join(chunk[index] for index in kept).replace("İ", "I").lower()
        settled = list(chunk)
        for index, char in zip(kept, lowered, strict=True):
            if chunk[index] == "Σ":
                settled[index] = char
        return "".join(settled)

    def _normalize_in_canonical_order(self, chunk: str) -> Word:
        """Normalize a chunk in which marks outlive the stripping, so that NFD's reordering of marks shows.

        A few dozen spacing marks (musical stems, some viramas) have a combining class.  NFD sorts each run of marks
        by that class.  Places follow the `tokenizers` library: after sorting, the k-th character that is not an
        addition of a decomposition is said to come from the k-th raw character; an addition, from the one before.
        """
        kept = [index for index, char in enumerate(chunk) if not self._is_dropped(char)]
        decomposed: list[tuple[str, bool]] = []
        for index in kept:
            raw = self._lower(chunk[index]) if self.mode == "google" else chunk[index]
            decomposed += [(char, k > 0) for k, char in enumerate(unicodedata.normalize("NFD", raw))]

        ordered: list[tuple[str, bool]] = []
        run: list[tuple[str, bool]] = []
        for item in decomposed:
            if unicodedata.combining(item[0]) == 0:
                ordered += sorted(run, key=lambda entry: unicodedata.combining(entry[0]))
                ordered.append(item)
                run = []
            else:
                run.append(item)
        ordered += sorted(run, key=lambda entry: unicodedata.combining(entry[0]))

        _, mark, _ = _categories()
        normalized: list[str] = []
        sources: list[int] = []
        consumed = 0
        for char, is_addition in ordered:
            consumed += not is_addition
            if not mark.match(char):
                form = self._lower(char)
                normalized.append(form)
                sources += [kept[max(consumed - 1, 0)]] * len(form)
        return "".join(normalized), sources
