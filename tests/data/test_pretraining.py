"""The data set for pre-training: what holds for every sequence, how often masks are drawn, what decides them."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.data.documents import TokenizedDocuments
from bert_numpy.data.google_pretraining import create_instances
from bert_numpy.data.pretraining import PretrainingDataset
from bert_numpy.tokenization import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, *"abcdefgh", *("##" + letter for letter in "abcdefgh")]
CLS, SEP, MASK = 2, 3, 4

# Words of one to four letters: one to four pieces.
sentences = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=9).map(" ".join)
document_lists = st.lists(st.lists(sentences, min_size=1, max_size=6), min_size=2, max_size=5)


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS, mode="google")


def many_documents(n: int = 60, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    return [
        [" ".join("".join(rng.choices("abcdefgh", k=rng.randrange(1, 4))) for _ in range(rng.randrange(2, 9)))
         for _ in range(rng.randrange(1, 9))]
        for _ in range(n)
    ]  # fmt: skip


@settings(max_examples=60, deadline=None, database=None)
@given(
    texts=document_lists.filter(lambda texts: max(map(len, texts)) > 1),
    length=st.integers(5, 40),
    seed=st.integers(0, 1000),
    most=st.integers(1, 9),
    whole_words=st.booleans(),
)
def test_what_holds_for_every_sequence(
    texts: list[list[str]], length: int, seed: int, most: int, whole_words: bool
) -> None:
    tokenizer = BertTokenizer(TOKENS)
    dataset = PretrainingDataset(
        texts, tokenizer, length, seed=seed, max_predictions_per_seq=most, mlm_probability=0.3,
        whole_word_mask=whole_words, dupe_factor=2,
    )  # fmt: skip
    documents = dataset.documents
    document_of = np.repeat(np.arange(len(documents)), np.diff(documents.sentence_starts[documents.document_starts]))
    batch, plain = dataset.batch(range(len(dataset))), dataset.batch(range(len(dataset)), masked=False)
    for row in range(len(dataset)):
        a_start, a_end, b_start, b_end, label = dataset.pairs[row].tolist()
        a, b = documents.ids[a_start:a_end].tolist(), documents.ids[b_start:b_end].tolist()
        ids = [CLS, *a, SEP, *b, SEP]
        n = len(ids)
        assert a
        assert b
        assert n <= length
        # The segments are what they are said to be.
        n_padding = plain["input_ids"].shape[1] - n
        assert plain["input_ids"][row].tolist() == ids + [0] * n_padding
        assert plain["token_type_ids"][row].tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1) + [0] * n_padding
        assert plain["attention_mask"][row].tolist() == [1] * n + [0] * n_padding
        assert plain["next_sentence_label"][row] == label
        if label == 0:
            assert document_of[a_start] == document_of[b_end - 1]
            between = documents.ids[a_end:b_start]
            assert b_start >= a_end
            assert len(between) == 0 or n == length  # only truncation leaves a gap
        else:
            assert document_of[a_start] != document_of[b_start]
        # Masks: labels restore the text, as many as wanted, of whole words, never special.
        labels = batch["labels"][row]
        chosen = np.flatnonzero(labels != -100)
        np.testing.assert_array_equal(
            np.where(labels == -100, batch["input_ids"][row], labels), plain["input_ids"][row]
        )
        assert not set(chosen.tolist()) & {0, len(a) + 1, *range(n - 1, length)}
        wanted = min(most, max(1, round(0.3 * n)), len(a) + len(b))
        assert len(chosen) <= wanted
        if not whole_words:
            assert len(chosen) == wanted
        else:
            for place in range(2, n):
                if TOKENS[ids[place]].startswith("##") and ids[place - 1] != SEP:
                    assert (place in chosen) == (place - 1 in chosen)
    assert (plain["labels"] == -100).all()


def test_masks_are_drawn_as_often_as_asked() -> None:
    tokenizer = BertTokenizer(TOKENS)
    dataset = PretrainingDataset(many_documents(300), tokenizer, 48, seed=9, dupe_factor=4)
    batch, plain = dataset.batch(range(len(dataset))), dataset.batch(range(len(dataset)), masked=False)["input_ids"]
    chosen = batch["labels"] != -100
    n, shown = int(chosen.sum()), batch["input_ids"][chosen]
    assert n > 5000

    def near(count: int, p: float) -> bool:  # 4 standard deviations: chance strays further once in 15,000 times
        return abs(count - n * p) <= 4 * math.sqrt(n * p * (1 - p))

    is_random = (shown != MASK) & (shown != plain[chosen])
    assert near(int((shown == MASK).sum()), 0.8 + 0.1 / len(TOKENS))
    assert near(int((shown == plain[chosen]).sum()), 0.1 + 0.1 / len(TOKENS))
    assert near(int(is_random.sum()), 0.1 * (1 - 2 / len(TOKENS)))
    assert set(shown[is_random].tolist()) == set(range(len(TOKENS))) - {MASK}  # from the whole vocabulary
    # Every place is as likely as every other: the first and the second half of the places between [CLS] and [SEP].
    lengths = batch["attention_mask"].sum(axis=1)
    places = np.arange(chosen.shape[1])
    first_half = (places < lengths[:, None] // 2) & ~np.isin(plain, [0, CLS, SEP])
    text = ~np.isin(plain, [0, CLS, SEP])
    share = first_half.sum() / text.sum()
    assert near(int((chosen & first_half).sum()), share)


def test_masks_depend_on_seed_epoch_and_number_alone(tokenizer: BertTokenizer) -> None:
    dataset = PretrainingDataset(many_documents(), tokenizer, 32, seed=4)
    everything = dataset.batch(range(len(dataset)), length=32)
    order = np.random.default_rng(0).permutation(len(dataset))
    for indices in (order[:7], order[7:30], [3], [5, 5, 4]):
        rows = dataset.batch(indices, length=32)
        for name, values in everything.items():
            np.testing.assert_array_equal(rows[name], values[indices])
    again = PretrainingDataset(many_documents(), tokenizer, 32, seed=4)
    again.set_epoch(1)
    assert (again.batch(range(9), length=32)["labels"] != everything["labels"][:9]).any()
    np.testing.assert_array_equal(again.pairs, dataset.pairs)
    again.set_epoch(0)
    np.testing.assert_array_equal(again.batch([8], length=32)["labels"], everything["labels"][8:9])
    other = PretrainingDataset(many_documents(), tokenizer, 32, seed=5)
    assert other.pairs.tolist() != dataset.pairs.tolist()


def test_rows_can_be_fetched_one_by_one_and_stacked(tokenizer: BertTokenizer) -> None:
    dataset = PretrainingDataset(many_documents(), tokenizer, 32)
    single = [dataset[i] for i in (4, 1, -1)]
    stacked = {name: np.stack([row[name] for row in single]) for name in single[0]}
    together = dataset.batch([4, 1, len(dataset) - 1], length=32)
    rows = dataset.__getitems__([4, 1, len(dataset) - 1])
    assert set(stacked) == {"input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label"}
    for name, values in together.items():
        assert values.dtype == np.int64
        np.testing.assert_array_equal(stacked[name], values)
        np.testing.assert_array_equal([row[name] for row in rows], values)
    with pytest.raises(IndexError, match="outside a data set"):
        dataset[len(dataset)]
    with pytest.raises(ValueError, match=r"length 6 must be between \d+, the longest sequence here, and 32"):
        dataset.batch(range(9), length=6)
    with pytest.raises(ValueError, match="length 33 must be between"):
        dataset.batch([0], length=33)
    with pytest.raises(ValueError, match="at least one index"):
        dataset.batch([])


def test_batches_cover_an_epoch_and_can_start_later(tokenizer: BertTokenizer) -> None:
    dataset = PretrainingDataset(many_documents(), tokenizer, 32, seed=1)
    batches = list(dataset.batches(16))
    assert sum(len(batch["labels"]) for batch in batches) == len(dataset)
    labels = np.sort(np.concatenate([batch["next_sentence_label"] for batch in batches]))
    np.testing.assert_array_equal(labels, np.sort(dataset.pairs[:, 4]))
    for late, batch in zip(dataset.batches(16, start=2), batches[2:], strict=True):
        np.testing.assert_array_equal(late["input_ids"], batch["input_ids"])
    in_order = next(dataset.batches(16, shuffle=False))
    np.testing.assert_array_equal(in_order["labels"], dataset.batch(range(16))["labels"])
    dataset.set_epoch(1)
    other = np.concatenate([batch["next_sentence_label"] for batch in dataset.batches(16)])
    assert other.tolist() != np.concatenate([batch["next_sentence_label"] for batch in batches]).tolist()
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        next(dataset.batches(0))


def test_literal_special_tokens_and_unknown_words_are_never_to_be_found() -> None:
    tokenizer = BertTokenizer(TOKENS)  # keeps "[MASK]" in a text
    texts = [["a [MASK] xyz [SEP]"] * 3, ["[MASK] b"] * 3]
    dataset = PretrainingDataset(texts, tokenizer, 24, mlm_probability=1.0)
    labels = dataset.batch(range(len(dataset)))["labels"]
    assert set(labels.ravel().tolist()) == {-100, TOKENS.index("a"), TOKENS.index("b")}


def test_a_word_does_not_run_on_from_the_first_segment_into_the_second(tokenizer: BertTokenizer) -> None:
    dataset = PretrainingDataset(many_documents(), tokenizer, 16, dupe_factor=4, whole_word_mask=True)
    seen = set()
    for row, labels in enumerate(dataset.batch(range(len(dataset)))["labels"]):
        a_start, a_end, b_start, _, _ = dataset.pairs[row].tolist()
        if TOKENS[dataset.documents.ids[b_start]].startswith("##"):  # its beginning was cut off
            n_a = a_end - a_start
            seen.add(tuple(labels[[n_a, n_a + 2]] != -100))  # the tokens on both sides of [SEP]
    assert {(True, False), (False, True)} <= seen


def test_half_of_the_next_sentences_are_random(tokenizer: BertTokenizer) -> None:
    texts = [["a b c d e f"] * 200, ["g h"] * 200]
    dataset = PretrainingDataset(texts, tokenizer, 15, dupe_factor=5, short_seq_prob=0.0)
    n = len(dataset)
    assert abs(dataset.pairs[:, 4].sum() - n / 2) <= 4 * math.sqrt(n / 4)  # 4 standard deviations


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        ([["a", "b"]], {}, "there is one document only, .*; write one sentence per line and a blank line between"),
        ([["a"], ["b"], ["c"]], {}, "every document has one sentence only"),
        (None, {"max_length": 4}, r"the length 4 is too small: \[CLS\], two \[SEP\] and a token of A and B each are 5"),
        (None, {"dupe_factor": 0}, "dupe_factor must be at least 1, not 0"),
        (None, {"max_predictions_per_seq": 0}, "max_predictions_per_seq must be at least 1, not 0"),
        (None, {"short_seq_prob": -0.1}, "short_seq_prob must be between 0 and 1"),
        (None, {"mlm_probability": 1.1}, "probability must be between 0 and 1, not 1.1"),
        (None, {"mask_replace_prob": 0.95}, "mask_replace_prob . random_replace_prob must be between 0 and 1"),
    ],
)
def test_what_no_data_can_be_made_with_is_refused(
    texts: list | None, arguments: dict, message: str, tokenizer: BertTokenizer
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        PretrainingDataset(texts or [["a", "b"], ["c"]], tokenizer, **arguments)
    assert "\n" not in str(caught.value)


def test_vocabularies_without_the_special_tokens_are_refused() -> None:
    for missing in ("[MASK]", "[CLS]", "[SEP]"):
        with pytest.raises(ValueError, match=rf"lacks the special tokens \{missing[:-1]}\]"):
            BertTokenizer([token for token in TOKENS if token != missing])
    tokenizer = BertTokenizer(TOKENS, mask_token=None)
    documents = TokenizedDocuments([["a", "b"], ["c"]], tokenizer)
    with pytest.raises(ValueError, match="has no mask_token"):
        create_instances(documents, tokenizer)
    with pytest.raises(ValueError, match="has no mask_token"):
        PretrainingDataset(documents, tokenizer)
    with pytest.raises(ValueError, match="has no pad_token"):
        PretrainingDataset(documents, BertTokenizer(TOKENS, pad_token=None))


@pytest.mark.slow
@pytest.mark.parametrize("whole_words", [False, True])
def test_at_least_5000_sequences_of_64_tokens_a_second(whole_words: bool, tokenizer: BertTokenizer) -> None:
    texts = [["ab c de f gh a b c"] * 40 for _ in range(100)]
    dataset = PretrainingDataset(texts, tokenizer, 64, dupe_factor=6, whole_word_mask=whole_words)
    start = time.perf_counter()
    n = sum(len(batch["labels"]) for batch in dataset.batches(32))
    assert n / (time.perf_counter() - start) > 5000
