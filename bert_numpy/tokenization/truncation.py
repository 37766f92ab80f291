"""Where a text, or a pair of texts, is cut to fit.

Here: how many ids of each text stay, and the windows that slide over what does not fit; numbers only, no text.
Not here: the texts (`analysis.py`), the specials around them (`bert.py`).  Read next: `batch.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")

Window = tuple[int, int]


def lengths_that_fit(
    lengths: Sequence[int], budget: int, strategy: str = "longest_first", extra_to_first: bool = False
) -> list[int]:
    """Return how many ids of each text stay, when together they may have `budget`.

    "longest_first" takes from the longer text until both are equally long, and then from both alike.

    Parameters
    ----------
    lengths : sequence of one or two int
    budget : int
        The places that are left once the special tokens are counted.
    strategy : {"longest_first", "only_first", "only_second", "do_not_truncate"}
    extra_to_first : bool
        Whose the odd place is when both texts lose.  True: always the first one's, as in Google's program.  False:
        the longer one's, and the second one's if they are equally long, as in the `tokenizers` library.

    Raises
    ------
    ValueError
        If the one text that may be cut is missing or would lose everything.

    Examples
    --------
    >>> lengths_that_fit([10, 10], 13), lengths_that_fit([10, 10], 13, extra_to_first=True)
    ([6, 7], [7, 6])
    >>> lengths_that_fit([10, 3], 9, "only_first")
    [6, 3]
    """
    lengths = list(lengths)
    excess = sum(lengths) - budget
    if excess <= 0 or strategy == "do_not_truncate":
        return lengths
    if strategy in ("only_first", "only_second"):
        which = ("only_first", "only_second").index(strategy)
        if which >= len(lengths):
            raise ValueError("truncation='only_second' needs a second text; use 'only_first' or 'longest_first'")
        if excess >= lengths[which]:
            raise ValueError(
                f"truncation={strategy!r} would take {excess} of the {lengths[which]} tokens of that text; "
                "use truncation='longest_first' or a larger max_length"
            )
        lengths[which] -= excess
        return lengths
    if len(lengths) == 1:
        return [budget]
    smaller, larger = budget // 2, budget - budget // 2
    if min(lengths) <= smaller:
        shorter = lengths.index(min(lengths))
        lengths[1 - shorter] = budget - lengths[shorter]
        return lengths
    return [larger, smaller] if extra_to_first or lengths[0] > lengths[1] else [smaller, larger]


def windows(n: int, size: int, stride: int, side: str = "right") -> list[Window]:
    """Return the ranges of at most `size` ids that cover `n` ids, neighbours sharing `stride` of them.

    Parameters
    ----------
    side : {"right", "left"}
        The side on which the text is cut: "right" starts with the beginning of the text, "left" with its end.

    Raises
    ------
    ValueError
        If the windows could not move on.

    Examples
    --------
    >>> windows(6, 4, 1)
    [(0, 4), (3, 6)]
    >>> windows(6, 4, 1, side="left")
    [(2, 6), (0, 3)]
    """
    if n <= size:
        return [(0, n)]
    if stride >= size:
        raise ValueError(
            f"stride {stride} does not fit: a window holds {size} tokens of the text, and neighbours would share "
            "all of them; use a smaller stride or a larger max_length"
        )
    step = size - stride
    starts = range(0, n - size + step, step)
    ranges = [(start, min(start + size, n)) for start in starts]
    return ranges if side == "right" else [(n - stop, n - start) for start, stop in ranges]


def first_cut(
    lengths: Sequence[int], budget: int | None, strategy: str, side: str, extra_to_first: bool = False
) -> tuple[Window, ...]:
    """Return the range of each text that stays; None as the budget keeps everything.

    Examples
    --------
    >>> first_cut([5, 2], 4, "longest_first", side="left")
    ((3, 5), (0, 2))
    """
    sizes = lengths if budget is None else lengths_that_fit(lengths, budget, strategy, extra_to_first)
    return tuple((0, size) if side == "right" else (n - size, n) for n, size in zip(lengths, sizes, strict=True))


def all_cuts(
    lengths: Sequence[int], budget: int | None, strategy: str, stride: int, side: str, extra_to_first: bool = False
) -> list[tuple[Window, ...]]:
    """Return the first cut, and then those that show what it leaves out.

    For a pair: each later window of the first text with every window of the second; at last the first window of the
    first text with the later ones of the second.

    Examples
    --------
    >>> all_cuts([3, 1], 3, "only_first", stride=1, side="right")
    [((0, 2), (0, 1)), ((1, 3), (0, 1))]
    """
    sizes = lengths if budget is None else lengths_that_fit(lengths, budget, strategy, extra_to_first)
    found = [windows(n, size, stride, side) for n, size in zip(lengths, sizes, strict=True)]
    if len(found) == 1:
        return [(window,) for window in found[0]]
    first, second = found
    cuts: list[tuple[Window, ...]] = [(first[0], second[0])]
    cuts += [(a, b) for a in first[1:] for b in second]
    cuts += [(first[0], b) for b in second[1:]]
    return cuts
