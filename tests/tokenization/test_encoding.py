"""What an encoding and a batch answer, and what padding does to them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.tokenization import BatchEncoding, BertTokenizer

TEXT = "Hello unaffable, world"
#       0     6  8  11 15 17


def test_columns_of_a_pair(tokenizer: BertTokenizer) -> None:
    pair = tokenizer(TEXT, "the play", padding="max_length", max_length=14, return_special_tokens_mask=True)
    tokens = ["[CLS]", "hello", "un", "##aff", "##able", ",", "world", "[SEP]", "the", "play", "[SEP]"] + ["[PAD]"] * 3
    assert pair.tokens() == tokens
    assert pair["input_ids"] == tokenizer.convert_tokens_to_ids(tokens)
    assert pair["token_type_ids"] == [0] * 8 + [1] * 3 + [0] * 3
    assert pair["attention_mask"] == [1] * 11 + [0] * 3
    assert pair["special_tokens_mask"] == [1] + [0] * 6 + [1] + [0] * 2 + [1] * 4
    assert pair.word_ids() == [None, 0, 1, 1, 1, 2, 3, None, 0, 1, None, None, None, None]
    assert pair.sequence_ids() == [None] + [0] * 6 + [None] + [1] * 2 + [None] * 4
    assert pair[0].offsets[1:7] == [(0, 5), (6, 8), (8, 11), (11, 15), (15, 16), (17, 22)]
    assert pair[0].offsets[7:11] == [(0, 0), (0, 3), (4, 8), (0, 0)]
    assert pair.n_sequences == 2


def test_padding_on_the_left_moves_every_column(tokenizer: BertTokenizer) -> None:
    padded = tokenizer("hello world", padding="max_length", max_length=6, padding_side="left")
    assert padded["input_ids"] == [0, 0, *tokenizer("hello world")["input_ids"]]
    assert padded["attention_mask"] == [0, 0, 1, 1, 1, 1]
    assert padded.word_ids() == [None, None, None, 0, 1, None]


def test_questions_about_positions_characters_and_words(tokenizer: BertTokenizer) -> None:
    pair = tokenizer(TEXT, "the play")
    assert pair.token_to_chars(3) == pair.token_to_chars(0, 3) == pair.token_to_chars(-8) == (8, 11)
    assert pair.token_to_chars(0) is None
    assert pair.token_to_word(3) == 1
    assert [pair.token_to_sequence(position) for position in (0, 1, 8)] == [None, 0, 1]
    assert [pair.char_to_token(char) for char in (0, 4, 5, 12, 99)] == [1, 1, None, 4, None]
    assert pair.char_to_token(0, 4, sequence_index=1) == 9
    assert pair.char_to_word(0, 12) == 1
    assert pair.char_to_word(5) is None
    assert pair.word_to_tokens(1) == (2, 5)
    assert pair.word_to_tokens(0, 1, sequence_index=1) == (9, 10)
    assert pair.word_to_tokens(9) is None
    assert pair.word_to_chars(1) == (6, 15)
    assert pair.word_to_chars(9) is None
    with pytest.raises(IndexError, match="token index 11 is outside an encoding of 11 tokens"):
        pair.token_to_word(11)


def test_dropped_characters_lie_inside_offsets(tokenizer: BertTokenizer) -> None:
    batch = tokenizer("pl\u00ada\u0301ying \u200bhello\u200b", return_offsets_mapping=True)
    assert batch.tokens() == ["[CLS]", "play", "##ing", "hello", "[SEP]"]
    assert batch["offset_mapping"] == [(0, 0), (0, 6), (6, 9), (11, 16), (0, 0)]


def test_batch_is_a_mapping_with_attributes(tokenizer: BertTokenizer) -> None:
    batch = tokenizer(["a", "b c"])
    assert (lambda **columns: set(columns))(**batch) == {"input_ids", "token_type_ids", "attention_mask"}
    assert batch.input_ids is batch["input_ids"]
    assert dict(batch) == batch.data
    assert [e.tokens for e in batch[0:2]] == [["[CLS]", "a", "[SEP]"], ["[CLS]", "b", "c", "[SEP]"]]
    batch["labels"] = [0, 1]
    del batch["token_type_ids"]
    assert list(batch) == ["input_ids", "attention_mask", "labels"]
    with pytest.raises(AttributeError, match="neither an attribute nor a column 'label'"):
        batch.label  # noqa: B018
    with pytest.raises(KeyError):
        batch["label"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_copies_answer_the_same(tokenizer: BertTokenizer, copied) -> None:
    batch = tokenizer(TEXT)
    assert copied(batch) == batch
    assert copied(batch)[0].offsets == batch[0].offsets


def test_columns_alone_have_no_encodings() -> None:
    batch = BatchEncoding({"input_ids": [[1]]})
    assert not batch.is_fast
    with pytest.raises(ValueError, match="without encodings"):
        batch.tokens()


def test_arrays_are_int64_with_a_batch_axis(tokenizer: BertTokenizer) -> None:
    batch = tokenizer("a b", return_tensors="np", return_offsets_mapping=True, return_length=True)
    assert {name: array.shape for name, array in batch.items()} == {
        "input_ids": (1, 4),
        "token_type_ids": (1, 4),
        "attention_mask": (1, 4),
        "offset_mapping": (1, 4, 2),
        "length": (1,),
    }
    assert all(array.dtype == np.int64 for array in batch.values())
    assert tokenizer("a b", return_length=True)["length"] == [4]
    assert tokenizer([], return_tensors="np")["input_ids"].shape == (0, 0)
    assert tokenizer.encode("a b", return_tensors="np").shape == (1, 4)


def test_ragged_rows_name_the_remedy(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=r"'input_ids'.*between 3 and 4.*padding=True, truncation=True"):
        tokenizer(["a", "b c"], return_tensors="np")


@pytest.mark.parametrize("tensors", ["pt", "tf", "jax"])
def test_other_arrays_are_refused(tokenizer: BertTokenizer, tensors: str) -> None:
    with pytest.raises(ValueError, match=f"'{tensors}'.*return_tensors='np'"):
        tokenizer("a", return_tensors=tensors)


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4), multiple=st.sampled_from([None, 1, 4, 7]))
def test_padding_reaches_the_least_common_length(
    tokenizer: BertTokenizer, lengths: list[int], multiple: int | None
) -> None:
    batch = tokenizer(["a " * n for n in lengths], padding=True, pad_to_multiple_of=multiple, return_length=True)
    width = max(lengths) + 2
    assert set(batch["length"]) == {width if multiple is None else -(-width // multiple) * multiple}
    assert [sum(mask) for mask in batch["attention_mask"]] == [n + 2 for n in lengths]


def test_pad_fills_what_is_encoded_already(tokenizer: BertTokenizer) -> None:
    rows = [tokenizer("a", return_special_tokens_mask=True), tokenizer("a b c", return_special_tokens_mask=True)]
    expected = tokenizer(["a", "a b c"], padding=True, return_special_tokens_mask=True)
    assert tokenizer.pad(rows).data == expected.data
    assert tokenizer.pad({name: [row[name] for row in rows] for name in rows[0]}).data == expected.data
    assert tokenizer.pad({"input_ids": [1]}, padding="max_length", max_length=3)["input_ids"] == [1, 0, 0]
    arrays = tokenizer.pad(
        [{"input_ids": np.array([5]), "label": 1}, {"input_ids": np.array([5, 6]), "label": 0}], return_tensors="np"
    )
    np.testing.assert_array_equal(arrays["input_ids"], [[5, 0], [5, 6]])
    np.testing.assert_array_equal(arrays["label"], [1, 0])
    with pytest.raises(ValueError, match=r"needs a column input_ids; there are only \['ids'\]"):
        tokenizer.pad({"ids": [[1]]})
