"""Padded batches, worked out by hand; `test_data_against_transformers.py` compares them with the reference library."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from bert_numpy.data import DataCollatorForMultipleChoice, DataCollatorForTokenClassification, DataCollatorWithPadding
from bert_numpy.tokenization import BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]


@pytest.fixture
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS)


def test_padding(tokenizer: BertTokenizer) -> None:
    features = [tokenizer("a b"), {**tokenizer("a")}]
    batch = DataCollatorWithPadding(tokenizer)([{**f, "label": i} for i, f in enumerate(features)])
    assert {name: array.tolist() for name, array in batch.items()} == {
        "input_ids": [[2, 5, 6, 3], [2, 5, 3, 0]],
        "token_type_ids": [[0, 0, 0, 0], [0, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
        "labels": [0, 1],
    }
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    assert DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)(features)["input_ids"].shape == (2, 8)
    assert DataCollatorWithPadding(tokenizer, "max_length", 6)(features)["input_ids"].shape == (2, 6)
    scores = DataCollatorWithPadding(tokenizer)([{**f, "label_ids": 0.5} for f in features])["labels"]
    assert scores.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("side", "labels"), [("right", [7, -1, -1]), ("left", [-1, -1, 7])])
def test_labels_of_tokens_are_padded_on_the_side_of_the_tokens(side: str, labels: list[int]) -> None:
    tokenizer = BertTokenizer(TOKENS, padding_side=side)
    features = [{"input_ids": [5, 6, 5], "labels": [4, 5, 6]}, {"input_ids": [5], "labels": np.array([7])}]
    batch = DataCollatorForTokenClassification(tokenizer, label_pad_token_id=-1)(features)
    np.testing.assert_array_equal(batch["labels"], [[4, 5, 6], labels])
    assert batch["labels"].dtype == np.int64
    assert "labels" not in DataCollatorForTokenClassification(tokenizer)([{"input_ids": [5]}])


@pytest.mark.parametrize(
    ("collator", "features", "message"),
    [
        (DataCollatorWithPadding, [], "a batch needs at least one example"),
        (DataCollatorForTokenClassification, [], "a batch needs at least one example"),
        (DataCollatorForMultipleChoice, [], "a batch needs at least one example"),
        (
            DataCollatorWithPadding,
            [{"input_ids": [5], "label": 1}, {"input_ids": [5]}],
            "example 1 of the batch has the columns ['input_ids'], the first ['input_ids', 'label']",
        ),
        (
            DataCollatorWithPadding,
            [{"input_ids": [5], "text": "a"}],
            "the column 'text' holds <U1 values, not integers; leave it out",
        ),
        (
            DataCollatorForTokenClassification,
            [{"input_ids": [5, 6], "labels": [1]}],
            "example 0 of the batch has 2 tokens but 1 labels; give one for each token",
        ),
        (
            DataCollatorForTokenClassification,
            [{"input_ids": [5], "labels": [1]}, {"input_ids": [5]}],
            "example 1 of the batch has 1 tokens but no labels",
        ),
        (
            DataCollatorForMultipleChoice,
            [{"input_ids": [[5]] * 2}, {"input_ids": [[5]] * 3}],
            "the examples of a batch have [2, 3] choices; they must have equally many",
        ),
    ],
)
def test_what_forms_no_batch(tokenizer: BertTokenizer, collator: Any, features: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        collator(tokenizer)(features)
