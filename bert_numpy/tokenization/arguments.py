"""What a call asks for: texts in every shape that is allowed, lengths and strategies in every spelling.

Here: `read_samples` and `resolve_lengths`, which leave one shape and one spelling, and the messages for whoever asks
for something else.  Not here: doing it (`bert.py`, read that last).  Read next: `files.py`.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

from .truncation import STRATEGIES

SIDES = ("right", "left")
PADDINGS = ("longest", "max_length", "do_not_pad")

Text = str | tuple[str, ...]
"""A text, or the words of one."""


def checked(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise a ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")
    return str(value)


def resolve_lengths(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    model_max_length: int | None,
    pad_to_multiple_of: int | None = None,
) -> tuple[str, str, int | None]:
    """Return the padding, the truncation strategy and the length that the arguments of a call mean together.

    Parameters
    ----------
    padding : bool or str
        True is "longest", False "do_not_pad".
    truncation : bool or str, optional
        True is "longest_first"; None is that too if there is a `max_length` and no padding, else "do_not_truncate".
    max_length : int, optional
    model_max_length : int, optional
        Stands in for `max_length`.  Without either there is nothing to cut or pad to, and nothing is done.

    Raises
    ------
    ValueError
        If a word is unknown, a length negative, or `max_length` no multiple of `pad_to_multiple_of`.

    Examples
    --------
    >>> resolve_lengths(False, None, 128, None)
    ('do_not_pad', 'longest_first', 128)
    >>> resolve_lengths(True, True, None, None)
    ('longest', 'do_not_truncate', None)
    """
    if truncation is None:
        truncation = max_length is not None and padding is False
    if isinstance(truncation, bool):
        truncation = "longest_first" if truncation else "do_not_truncate"
    if isinstance(padding, bool):
        padding = "longest" if padding else "do_not_pad"
    strategy, padding = checked("truncation", truncation, STRATEGIES), checked("padding", padding, PADDINGS)
    if max_length is not None:
        if isinstance(max_length, bool) or operator.index(max_length) < 0:
            raise ValueError(f"max_length must be an integer that is not negative, not {max_length!r}")
        if padding == "longest" and strategy == "do_not_truncate":
            warnings.warn(
                "max_length is ignored with padding=True and no truncation; use padding='max_length'", stacklevel=4
            )
    if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
        raise ValueError(f"pad_to_multiple_of must be positive, not {pad_to_multiple_of}")
    length = model_max_length if max_length is None else max_length
    if length is None:
        return "do_not_pad" if padding == "max_length" else padding, "do_not_truncate", None
    both = padding != "do_not_pad" and strategy != "do_not_truncate"
    if both and pad_to_multiple_of is not None and length % pad_to_multiple_of:
        raise ValueError(f"max_length {length} is no multiple of pad_to_multiple_of {pad_to_multiple_of}; choose one")
    return padding, strategy, length


def padded_length(lengths: Sequence[int], padding: str, max_length: int | None, multiple: int | None) -> int:
    """Return the length that a batch of sequences is padded to.

    Examples
    --------
    >>> padded_length([5, 9], "longest", None, multiple=8)
    16
    """
    length = max(lengths, default=0) if padding == "longest" or max_length is None else max_length
    return length if multiple is None else -(-length // multiple) * multiple


def read_samples(
    text: Any, text_pair: Any = None, is_split_into_words: bool = False
) -> tuple[list[tuple[Text, Text | None]], bool]:
    """Return a list of (text, second text or None), and whether a batch was given.

    Raises
    ------
    TypeError
        If something is not a str, naming what is wanted.
    ValueError
        If there are not as many second texts as texts.

    Examples
    --------
    >>> read_samples("a", "b")
    ([('a', 'b')], False)
    >>> read_samples([("a", "b"), ("c", "d")])
    ([('a', 'b'), ('c', 'd')], True)
    >>> read_samples(["a", "b"], is_split_into_words=True)
    ([(('a', 'b'), None)], False)
    """
    if is_split_into_words:
        is_batch = _is_list(text) and len(text) > 0 and not isinstance(text[0], str)
    else:
        is_batch = _is_list(text)
    if not is_batch:
        return [_read_sample(text, text_pair, is_split_into_words)], False
    if text_pair is None:
        pairs = [item if _is_pair(item, is_split_into_words) else (item, None) for item in text]
    elif not _is_list(text_pair):
        raise TypeError(f"text_pair must be a list as long as text; found {type(text_pair).__name__}")
    elif len(text) != len(text_pair):
        raise ValueError(f"text has {len(text)} entries and text_pair {len(text_pair)}; give one for each")
    else:
        pairs = list(zip(text, text_pair, strict=True))
    return [_read_sample(first, second, is_split_into_words) for first, second in pairs], True


def _read_sample(first: Any, second: Any, is_split_into_words: bool) -> tuple[Text, Text | None]:
    return (
        _read_text(first, "text", is_split_into_words),
        None if second is None else _read_text(second, "text_pair", is_split_into_words),
    )


def _read_text(value: Any, name: str, is_split_into_words: bool) -> Text:
    if not is_split_into_words:
        if isinstance(value, str):
            return value
        raise TypeError(f"{name} must be a str, a list of str, or a list of pairs of str; found {_describe(value)}")
    if _is_list(value) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise TypeError(f"{name} must be a list of words, or a list of lists of words; found {_describe(value)}")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_pair(item: Any, is_split_into_words: bool) -> bool:
    """Tell whether an entry of a batch is two texts; two words are one text."""
    return _is_list(item) and len(item) == 2 and not (is_split_into_words and isinstance(item[0], str))


def _describe(value: Any) -> str:
    if _is_list(value):
        kinds = sorted({type(entry).__name__ for entry in value})
        return f"a {type(value).__name__} with {', '.join(kinds) or 'nothing'} in it"
    return type(value).__name__
