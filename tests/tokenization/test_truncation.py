"""Which ids stay, and which windows show the rest: checked against taking away one id at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bert_numpy.tokenization.truncation import all_cuts, first_cut, lengths_that_fit, windows

LENGTH = st.integers(0, 30)


@given(LENGTH, LENGTH, LENGTH)
@example(6, 10, 13)
def test_google_takes_one_at_a_time_from_the_longer_text(first: int, second: int, budget: int) -> None:
    a, b = first, second
    while a + b > budget:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    assert lengths_that_fit([first, second], budget, extra_to_first=True) == [a, b]


@given(LENGTH, LENGTH, LENGTH)
def test_longest_first_differs_from_google_only_in_who_has_the_odd_place(first: int, second: int, budget: int) -> None:
    a, b = lengths_that_fit([first, second], budget)
    c, d = lengths_that_fit([first, second], budget, extra_to_first=True)
    assert a + b == c + d == min(first + second, budget)
    if (a, b) != (c, d):
        assert (a, b) == (d, c) == (budget // 2, budget // 2 + 1)
        assert first <= second


@given(LENGTH, LENGTH, LENGTH, st.sampled_from([0, 1]))
def test_one_sided_strategies_cut_one_text_or_refuse(first: int, second: int, budget: int, which: int) -> None:
    lengths, strategy = [first, second], ("only_first", "only_second")[which]
    excess = first + second - budget
    if excess > 0 and excess >= lengths[which]:
        with pytest.raises(ValueError, match=rf"{strategy}.*longest_first.*max_length"):
            lengths_that_fit(lengths, budget, strategy)
    else:
        kept = lengths_that_fit(lengths, budget, strategy)
        assert kept[1 - which] == lengths[1 - which]
        assert sum(kept) == min(sum(lengths), budget)


def test_only_second_needs_a_second_text() -> None:
    with pytest.raises(ValueError, match="needs a second text"):
        lengths_that_fit([5], 3, "only_second")
    assert lengths_that_fit([3], 3, "only_second") == [3]


@given(LENGTH, st.integers(1, 12), st.integers(0, 11), st.sampled_from(["left", "right"]))
def test_windows_cover_everything_and_share_the_stride(n: int, size: int, stride: int, side: str) -> None:
    assume(stride < size)
    found = windows(n, size, stride, side)
    assert sorted({k for start, stop in found for k in range(start, stop)}) == list(range(n))
    assert all(stop - start <= size for start, stop in found)
    assert all(stop - start == size for start, stop in found[:-1])
    ordered = found if side == "right" else found[::-1]
    assert all(earlier[1] - later[0] == stride for earlier, later in pairwise(ordered))
    assert found[0] == ((0, min(n, size)) if side == "right" else (max(n - size, 0), n))


@pytest.mark.parametrize(("size", "stride"), [(3, 3), (3, 4), (0, 0)])
def test_windows_that_could_not_move_are_refused(size: int, stride: int) -> None:
    with pytest.raises(ValueError, match=r"stride .* smaller stride or a larger max_length"):
        windows(10, size, stride)


def test_cuts_of_a_pair_combine_all_windows() -> None:
    cuts = all_cuts([4, 4], 4, "longest_first", stride=0, side="right")
    assert cuts == [((0, 2), (0, 2)), ((2, 4), (0, 2)), ((2, 4), (2, 4)), ((0, 2), (2, 4))]
    assert first_cut([4, 4], 4, "longest_first", side="left") == ((2, 4), (2, 4))
    assert first_cut([4, 4], None, "longest_first", side="left") == ((0, 4), (0, 4))
