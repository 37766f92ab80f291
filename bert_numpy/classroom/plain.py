"""Text that anybody may have written, made fit to print: in a table, in CSV, XML and JSON.

Here: characters and length.  Not here: the formats (`reports.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

LONGEST_LINE = 800  # characters
MOST_LINES = 40


def one_line(text: object, limit: int = LONGEST_LINE, instead: str = "?") -> str:
    """A text in one line of printable characters, cut where it is long.

    Parameters
    ----------
    text : object
        Anything that `str` makes a text of.
    limit : int
        Of characters.
    instead : str
        In the place of what cannot be printed: controls, halves of pairs, marks that turn the direction.

    Examples
    --------
    >>> one_line("two\\nlines\\x1b[2J")
    'two?lines?[2J'
    >>> one_line("long enough", limit=8)
    'long ...'
    """
    whole = str(text)
    shown = "".join(c if c.isprintable() else instead for c in whole[:limit])
    return shown if len(whole) <= limit else shown[: limit - 4] + " ..."


def few_lines(lines: Iterable[object]) -> tuple[str, ...]:
    """Lines, each in one line, and not too many.

    >>> few_lines(["a", "b\\tc"])
    ('a', 'b c')
    """
    shown = [one_line(line, instead=" ") for line in lines]
    left_out = len(shown) - MOST_LINES
    return tuple(shown if left_out <= 0 else [*shown[:MOST_LINES], f"{left_out} more lines"])


def unique_names(names: Iterable[str], limit: int, taken: Iterable[str] = ()) -> list[str]:
    """Names in printable characters, no two of which are one where case does not count.

    Parameters
    ----------
    names : iterable of str
    limit : int
        Of characters, before what tells equal names apart.
    taken : iterable of str
        Names that none of them may have.

    Examples
    --------
    >>> unique_names(["anna", "Anna", "bob\\n", "junit.xml"], limit=20, taken=["junit.xml"])
    ['anna', 'Anna (2)', 'bob?', 'junit.xml (2)']
    """
    used = {_key(name) for name in taken}
    found = []
    for name in names:
        shown = name = one_line(name, limit) or "?"
        number = 1
        while _key(shown) in used:
            number += 1
            shown = f"{name} ({number})"
        used.add(_key(shown))
        found.append(shown)
    return found


def _key(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
