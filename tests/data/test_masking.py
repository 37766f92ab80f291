"""Masks drawn for each batch: what changes, how often, whole words, and (`-m reference`) the draws of transformers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bert_numpy.data.masking import DataCollatorForLanguageModeling, choose_words
from bert_numpy.tokenization import BertTokenizer

WORDS = ["play", "##ing", "##ed", "the", "dog", "cat", "##s", "run", ",", "."]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TEXTS = ["the dogs played.", "cats run, cats run, the dog runs", "playing", "the unknown [MASK] dog"]


@pytest.fixture
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS)


def encoded(tokenizer: BertTokenizer, **arguments: bool) -> list[dict]:
    return [dict(tokenizer(text, **arguments)) for text in TEXTS]


def within_binomial(count: int, n: int, p: float) -> bool:
    """Whether a count is within 4 standard deviations of n p: chance strays further once in 15,000 times."""
    return abs(count - n * p) <= 4 * math.sqrt(n * p * (1 - p))


def big_batch(n: int = 600) -> np.ndarray:
    return np.random.default_rng(5).integers(5, len(TOKENS), (n, 100))


# ---------------------------------------------------------------- the collator


def test_labels_restore_the_text_and_special_tokens_stay(tokenizer: BertTokenizer) -> None:
    rows = encoded(tokenizer)
    plain = tokenizer.pad(rows, return_tensors="np")
    batch = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.6, seed=1)(rows)
    is_masked = batch["labels"] != -100
    assert is_masked.any()
    np.testing.assert_array_equal(np.where(is_masked, batch["labels"], batch["input_ids"]), plain["input_ids"])
    is_special = np.isin(plain["input_ids"], [0, 1, 2, 3, 4])
    assert not is_masked[is_special].any()
    np.testing.assert_array_equal(batch["attention_mask"], plain["attention_mask"])
    assert {values.dtype for values in batch.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("probability", "to_mask", "to_random"), [(0.15, 0.8, 0.1), (0.3, 0.5, 0.4), (0.15, 0.0, 1.0), (0.2, 1.0, 0.0)]
)
def test_shares_are_as_asked(tokenizer: BertTokenizer, probability: float, to_mask: float, to_random: float) -> None:
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=probability, mask_replace_prob=to_mask, random_replace_prob=to_random, seed=2
    )
    ids = big_batch()
    masked, labels = collator.mask_tokens(ids, np.zeros(ids.shape, bool))
    chosen = labels != -100
    n = int(chosen.sum())
    assert within_binomial(n, ids.size, probability)
    assert within_binomial(int((masked == 4).sum()), n, to_mask + to_random / len(TOKENS) * (to_random > 0))
    same = to_random / len(TOKENS) + (1 - to_mask - to_random)
    assert within_binomial(int((masked == ids)[chosen].sum()), n, same)
    assert (masked == ids)[~chosen].all()


def test_the_seed_decides_and_batches_differ(tokenizer: BertTokenizer) -> None:
    rows = encoded(tokenizer)
    first, again = (DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5, seed=3) for _ in range(2))
    one, two = first(rows), first(rows)
    np.testing.assert_array_equal(one["labels"], again(rows)["labels"])
    assert (one["labels"] != two["labels"]).any()
    from_generator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5, seed=np.random.default_rng(3))
    np.testing.assert_array_equal(one["labels"], from_generator(rows)["labels"])


def test_without_mlm_the_labels_are_the_ids(tokenizer: BertTokenizer) -> None:
    batch = DataCollatorForLanguageModeling(tokenizer, mlm=False)([[2, 5, 3], [2, 3]])
    assert batch["labels"].tolist() == [[2, 5, 3], [2, 3, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_whole_words_are_masked_together_and_completely(tokenizer: BertTokenizer, side: str) -> None:
    tokenizer.padding_side = side
    rows = encoded(tokenizer, return_special_tokens_mask=True, return_offsets_mapping=True)
    collator = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, mlm_probability=0.5, seed=0)
    seen = set()
    for _ in range(40):
        batch = collator(rows)
        for labels, row in zip(batch["labels"], rows, strict=True):
            n = len(row["input_ids"])
            seen.add(
                "".join("x" if label != -100 else "-" for label in (labels[:n] if side == "right" else labels[-n:]))
            )
        chosen = batch["labels"] != -100
        assert (batch["input_ids"][chosen] == 4).all()
    # [CLS] the | dog ##s | play ##ed . [SEP]: "played." has no gap in it.
    of_first = {marks for marks in seen if len(marks) == 8}
    assert of_first == {f"-{a}{b * 2}{c * 3}-" for a in "x-" for b in "x-" for c in "x-"}
    of_third = {marks for marks in seen if len(marks) == 4}
    assert of_third == {"----", "-xx-"}


def test_other_columns_go_along_and_old_labels_go(tokenizer: BertTokenizer) -> None:
    rows = [{"input_ids": [2, 5, 3], "labels": [1, 2, 3], "next_sentence_label": 1}] * 2
    batch = DataCollatorForLanguageModeling(tokenizer, seed=0)(rows)
    assert batch["next_sentence_label"].tolist() == [1, 1]
    assert set(batch["labels"].ravel().tolist()) <= {-100, 5}
    assert set(rows[0]) == {"input_ids", "labels", "next_sentence_label"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mlm_probability": 1.5}, "mlm_probability must be between 0 and 1, not 1.5"),
        ({"mask_replace_prob": -1}, "mask_replace_prob must be between 0 and 1, not -1"),
        ({"random_replace_prob": 0.5}, r"mask_replace_prob \+ random_replace_prob must be between 0 and 1, not 1.3"),
        ({"mlm": False, "whole_word_mask": True}, "whole_word_mask needs mlm=True"),
        ({"return_tensors": "pt"}, "return_tensors='pt' is not available"),
    ],
)
def test_impossible_arguments_are_refused(tokenizer: BertTokenizer, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataCollatorForLanguageModeling(tokenizer, **arguments)


def test_other_refusals(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match="has no mask_token"):
        DataCollatorForLanguageModeling(BertTokenizer(TOKENS, mask_token=None))
    with pytest.raises(ValueError, match="at least one sequence"):
        DataCollatorForLanguageModeling(tokenizer)([])
    with pytest.raises(ValueError, match="needs offset_mapping; call the tokenizer with return_offsets_mapping=True"):
        DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)(encoded(tokenizer))
    with pytest.warns(UserWarning, match=r"becomes \[MASK\]"):
        DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, mask_replace_prob=0.5)


# ---------------------------------------------------------------- a fixed number of tokens


@st.composite
def batches_of_words(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    is_special = draw(hnp.arrays(bool, shape))
    starts = draw(hnp.arrays(bool, shape)) & ~is_special
    starts[:, 0] = ~is_special[:, 0]
    starts[:, 1:] |= ~is_special[:, 1:] & is_special[:, :-1]  # a word does not run on over a special token
    keys = np.random.default_rng(draw(st.integers(0, 99))).random(shape)
    return starts, is_special, keys, draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 12)))


@settings(max_examples=100, deadline=None, database=None)
@given(batches_of_words())
def test_chosen_words_equal_a_plain_loop(batch: tuple[np.ndarray, ...]) -> None:
    starts, is_special, keys, n_wanted = batch
    expected = np.zeros(starts.shape, bool)
    for row in range(len(starts)):
        words: list[list[int]] = []
        for place in range(starts.shape[1]):
            if starts[row, place]:
                words.append([place])
            elif not is_special[row, place]:
                words[-1].append(place)
        n_chosen = 0
        for word in sorted(words, key=lambda word: keys[row, word[0]]):
            if n_chosen + len(word) <= n_wanted[row]:
                expected[row, word] = True
                n_chosen += len(word)
    np.testing.assert_array_equal(choose_words(starts, is_special, keys, n_wanted), expected)


# ---------------------------------------------------------------- against transformers


@pytest.fixture
def reference() -> tuple:
    transformers = pytest.importorskip("transformers")
    vocab = {token: token_id for token_id, token in enumerate(TOKENS)}
    return transformers.BertTokenizer(vocab=vocab), transformers.DataCollatorForLanguageModeling


@pytest.mark.reference
@pytest.mark.parametrize("columns", [{}, {"return_special_tokens_mask": True}])
@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.7, 0.0)])
@pytest.mark.parametrize("multiple", [None, 8])
def test_the_draws_are_those_of_transformers(
    tokenizer: BertTokenizer, reference: tuple, columns: dict, shares: tuple[float, float], multiple: int | None
) -> None:
    their_tokenizer, their_class = reference
    settings = {"mlm_probability": 0.4, "mask_replace_prob": shares[0], "random_replace_prob": shares[1], "seed": 11}
    settings |= {"return_tensors": "np", "pad_to_multiple_of": multiple}
    theirs, ours = their_class(their_tokenizer, **settings), DataCollatorForLanguageModeling(tokenizer, **settings)
    rng = np.random.default_rng(0)
    for _ in range(5):
        texts = [" ".join(rng.choice(["the", "dogs", "played", "[UNK]", "xyz"], rng.integers(1, 15))) for _ in range(6)]
        rows = [dict(tokenizer(text, **columns)) for text in texts]
        expected, found = theirs([dict(row) for row in rows]), ours(rows)
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    bare = [row["input_ids"] for row in rows]
    expected, found = theirs(bare), ours(bare)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.reference
def test_whole_words_are_those_of_transformers(tokenizer: BertTokenizer, reference: tuple) -> None:
    their_tokenizer, their_class = reference
    settings = {"whole_word_mask": True, "mlm_probability": 0.3, "return_tensors": "np", "seed": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = their_class(their_tokenizer, **settings)
    ours = DataCollatorForLanguageModeling(tokenizer, **settings)
    rng = np.random.default_rng(0)
    for _ in range(20):
        text = [" ".join(rng.choice(["the", "dogs,", "played.", "cats", "cats,run"], 8)) for _ in range(4)]
        columns = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "max_length": 16}
        rows = [dict(tokenizer(t, t, truncation=True, padding="max_length", **columns)) for t in text]
        expected, found = theirs([dict(row) for row in rows]), ours(rows)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert set(found) == set(expected)
