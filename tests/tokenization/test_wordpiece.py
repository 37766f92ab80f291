"""Greedy longest match, checked against a search that cannot be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.tokenization import WordPiece

PIECES = st.lists(st.text("ab", min_size=1, max_size=4), max_size=8, unique=True)


def longest_match(word: str, vocab: dict[str, int]) -> list[tuple[int, int, int]] | None:
    """Cut by definition: every end from far to near, every piece from left to right."""
    if not word:
        return []
    pieces, start = [], 0
    while start < len(word):
        ends = [e for e in range(len(word), start, -1) if ("##" if start else "") + word[start:e] in vocab]
        if not ends:
            return None
        pieces.append((vocab[("##" if start else "") + word[start : ends[0]]], start, ends[0]))
        start = ends[0]
    return pieces


@given(PIECES, PIECES, st.text("ab", max_size=12))
def test_cuts_are_those_of_the_definition(first: list[str], later: list[str], word: str) -> None:
    vocab = {token: i for i, token in enumerate(["[UNK]", *first, *("##" + piece for piece in later)])}
    expected = longest_match(word, vocab)
    assert WordPiece(vocab).split(word) == ([(0, 0, len(word))] if expected is None else expected)


@pytest.mark.parametrize("limit", [100, 200])
def test_longer_words_are_unknown_as_a_whole(limit: int) -> None:
    pieces = WordPiece({"[UNK]": 0, "a": 1, "##a": 2}, max_input_chars_per_word=limit)
    assert pieces.split("a" * limit) == [(1 if k == 0 else 2, k, k + 1) for k in range(limit)]
    assert pieces.split("a" * (limit + 1)) == [(0, 0, limit + 1)]


def test_matching_does_not_go_back() -> None:
    vocab = {"[UNK]": 0, "ab": 1, "a": 2, "##bc": 3}  # a + ##bc would do, but "ab" is longer than "a"
    assert WordPiece(vocab).split("abc") == [(0, 0, 3)]


def test_the_worst_case_of_greedy_matching_is_finished() -> None:
    vocab = {"[UNK]": 0} | {"a" * n: n for n in range(1, 200)}
    assert WordPiece(vocab, max_input_chars_per_word=200).split("a" * 200) == [(0, 0, 200)]
