"""Learning a vocabulary: both forms against a slow recount, by hand, and (`-m reference`) against `tokenizers`.

The environment variable BERT_NUMPY_CORPUS may name a text file for the comparison with `tokenizers`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.tokenization import BasicTokenizer, BertTokenizer
from bert_numpy.tokenization.training import SPECIAL_TOKENS, count_words, learn_pieces, train_wordpiece

HUGS = ["hug hug hug hug hug pug pug pug bun bun hugs hugs hugs"]

word_counts = st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(1, 9), min_size=1, max_size=12)


def characters(words: dict[str, int]) -> list[str]:
    return [*"abc", "##a", "##b", "##c"]


def learned_slowly(words: dict[str, int], tokens: list[str], vocab_size: int, algorithm: str, least: int) -> list[str]:
    """The definition: count everything again before each join, with exact fractions."""
    tokens = list(tokens)
    cut = {word: [word[0], *("##" + char for char in word[1:])] for word in words}
    while len(tokens) < vocab_size:
        singles, pairs = Counter(), Counter()
        for word, pieces in cut.items():
            for piece in pieces:
                singles[piece] += words[word]
            for i in range(len(pieces) - 1):
                pairs[pieces[i], pieces[i + 1]] += words[word]
        scores = {
            (a, b): Fraction(n, singles[a] * singles[b]) if algorithm == "likelihood" else Fraction(n)
            for (a, b), n in pairs.items()
            if n >= least
        }
        if not scores:
            break
        highest = max(scores.values())
        tied = [pair for pair, score in scores.items() if score == highest]
        a, b = min(tied, key=lambda pair: [tokens.index(piece) for piece in pair])
        new = a + b[2:]
        if new not in tokens:
            tokens.append(new)
        for word, pieces in cut.items():
            joined: list[str] = []
            rest = list(pieces)
            while rest:
                if rest[:2] == [a, b]:
                    joined.append(new)
                    del rest[:2]
                else:
                    joined.append(rest.pop(0))
            cut[word] = joined
    return tokens


@pytest.mark.parametrize("algorithm", ["frequency", "likelihood"])
@settings(max_examples=80, deadline=None, database=None)
@given(words=word_counts, size=st.integers(6, 40), least=st.integers(1, 4))
def test_both_forms_equal_their_definition(algorithm: str, words: dict[str, int], size: int, least: int) -> None:
    tokens = characters(words)
    assert learn_pieces(words, tokens, size, algorithm, least) == learned_slowly(words, tokens, size, algorithm, least)


def test_the_first_joins_by_hand() -> None:
    # h 8, p 3, b 2, ##u 13, ##g 11, ##n 2, ##s 3; h-u 8, p-u 3, b-u 2, u-g 11, u-n 2, g-s 3.
    # frequency: u-g 11, then h-ug 8, then p-ug 3 or hug-s 3: the pair with the older first piece, p (h is joined).
    start = 1 + len("bghnpsu") + len("gnsu")
    assert train_wordpiece(HUGS, 16, special_tokens=["[UNK]"])[start:] == ["##ug", "hug", "pug", "hugs"]
    # likelihood: u-g 11/143, h-u 8/104, p-u 3/39, b-u 2/26, u-n 2/26 are all 1/13; g-s is 3/33, the highest.
    # Then ##gs 3, ##g 8: u-gs 3/39 and u-g 8/104 still 1/13; of all ties b-u comes first, b being the oldest.
    # Then ##u 11: h-u 8/88, p-u 3/33, u-gs 3/33, u-g 8/88 are 1/11; bu-n is 2/(2*2) = 1/2, the highest.
    found = train_wordpiece(HUGS, 16, special_tokens=["[UNK]"], algorithm="likelihood")
    assert found[start:] == ["##gs", "bu", "bun", "hu"]


def test_tokens_come_in_the_documented_order() -> None:
    tokens = train_wordpiece(["ba ab ab abc Ö"], 40)
    assert tokens == [*SPECIAL_TOKENS, "a", "b", "c", "o", "##a", "##b", "##c", "ab"]  # ö loses its dots


def test_the_order_of_the_texts_does_not_matter() -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("abcdef ", k=60)) for _ in range(40)]
    expected = train_wordpiece(texts, 90), train_wordpiece(texts, 90, algorithm="likelihood")
    assert len(expected[0]) == len(expected[1]) == 90
    assert expected[0] != expected[1]
    rng.shuffle(texts)
    assert (train_wordpiece(texts, 90), train_wordpiece(texts, 90, algorithm="likelihood")) == expected


def test_the_vocabulary_fits_the_tokenizer_and_its_text() -> None:
    text = "The naïve café owner isn't here; 中文 too."
    tokenizer = BertTokenizer(train_wordpiece([text] * 2, 200))
    tokens = tokenizer.tokenize(text)
    assert "[UNK]" not in tokens
    assert tokens[:3] == ["the", "naive", "cafe"]
    cased = BertTokenizer(train_wordpiece([text] * 2, 200, do_lower_case=False), do_lower_case=False)
    assert cased.tokenize(text)[:3] == ["The", "naïve", "café"]


def test_rare_pairs_are_not_joined() -> None:
    assert "ab" in train_wordpiece(["ab ab ac"], 40)
    assert "ac" not in train_wordpiece(["ab ab ac"], 40)
    assert "ac" in train_wordpiece(["ab ab ac"], 40, min_frequency=1)
    assert "ab" not in train_wordpiece(["ab ab ac"], 40, min_frequency=3, algorithm="likelihood")


def test_a_limited_alphabet_keeps_the_frequent_characters_and_passes_over_the_others() -> None:
    tokens = train_wordpiece(["yaz yaz ybz yz yy"], 20, limit_alphabet=2, special_tokens=["[UNK]"])
    assert tokens == ["[UNK]", "y", "z", "##y", "##z", "yz"]


def test_words_too_long_for_the_tokenizer_teach_nothing() -> None:
    assert count_words(["a" * 101 + " b " + "c" * 100], BasicTokenizer()) == {"b": 1, "c" * 100: 1}


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    tokens = train_wordpiece(HUGS, 16, special_tokens=["[UNK]"], progress=lambda *numbers: told.append(numbers))
    assert told == [(13, 16), (14, 16), (15, 16), (16, 16)]
    assert len(tokens) == 16


@pytest.mark.parametrize(
    ("texts", "changes", "error", "message"),
    [
        ("one text", {}, TypeError, r"texts is one str.*write \[text\]"),
        (["a", b"b"], {}, TypeError, "text 1 is of type bytes"),
        ([], {}, ValueError, "no word to learn from"),
        (["", " \n"], {}, ValueError, "no word to learn from"),
        (["abc"], {"vocab_size": 9}, ValueError, "no room for 5 special tokens and 5 characters; use 10 or more"),
        (["abc"], {"algorithm": "bpe"}, ValueError, "algorithm='bpe' is unknown; choose one of frequency, likelihood"),
        (["abc"], {"min_frequency": 0}, ValueError, "must be at least 1"),
        (["abc"], {"limit_alphabet": 0}, ValueError, "must be at least 1"),
        (["abc"], {"special_tokens": ["[UNK]", "[UNK]"]}, ValueError, "already has number 0"),
    ],
)
def test_bad_input_is_one_clear_line(texts: object, changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        train_wordpiece(texts, **changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- against tokenizers


def trained_by_tokenizers(texts: list[str], vocab_size: int, **arguments: object) -> list[str]:
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(texts, vocab_size=vocab_size, show_progress=False, **arguments)
    vocab = trained.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def corpus() -> list[str]:
    named = os.environ.get("BERT_NUMPY_CORPUS")
    if named:
        return Path(named).read_text(encoding="utf-8").split("\n")
    rng = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "ing")]
    words = ["".join(rng.choices(syllables, k=rng.randrange(1, 5))) for _ in range(3000)]
    words += ["don't", "naïve", "中文", "x-ray", "1984"]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=15)) for _ in range(1500)]


@pytest.mark.reference
@pytest.mark.parametrize("arguments", [{}, {"min_frequency": 7}, {"limit_alphabet": 12}])
def test_frequency_gives_the_vocabulary_of_tokenizers(arguments: dict) -> None:
    """Ids included, once the characters that continue words have the order that they had there by chance."""
    texts = corpus()
    theirs = trained_by_tokenizers(texts, 4000, **arguments)
    ours = train_wordpiece(texts, 4000, **arguments)
    n = next(i for i, token in enumerate(ours) if len(token.removeprefix("##")) > 1 and i >= len(SPECIAL_TOKENS))
    assert set(theirs[:n]) == set(ours[:n])
    words = count_words(texts, BasicTokenizer())
    assert learn_pieces(words, theirs[:n], 4000, "frequency", arguments.get("min_frequency", 2)) == theirs
    assert len(theirs) == len(ours) > 1000
    assert len(set(ours) - set(theirs)) <= len(ours) // 100  # ties alone


@pytest.mark.reference
@settings(max_examples=200, deadline=None, database=None)
@given(words=word_counts, size=st.integers(15, 60), least=st.integers(1, 4))
def test_small_texts_give_the_vocabulary_of_tokenizers(words: dict[str, int], size: int, least: int) -> None:
    texts = [" ".join([word] * count) for word, count in words.items()]
    theirs = trained_by_tokenizers(texts, size, min_frequency=least)
    first_join = (i for i, token in enumerate(theirs) if len(token.removeprefix("##")) > 1 and i >= 5)
    n = next(first_join, len(theirs))
    assert learn_pieces(words, theirs[:n], size, "frequency", least) == theirs
