"""SWAG and its like, to arrays of shape (batch, choices, sequence)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bert_numpy.data import DataCollatorForMultipleChoice, read_multiple_choice, read_swag, tokenize_choices
from bert_numpy.tokenization import BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e"]
SWAG = ''',video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label
0,v1,1,a b,a,b,gold,c,"d, e",e,c d,1
1,v2,2,c d,c d e,,gen,a,b,"say ""a""",d,0
'''


def test_swag(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(SWAG, encoding="utf-8")
    dataset = read_swag(path)
    assert dataset["context"] == ["a", "c d e"]
    assert dataset["choices"][0] == ["b c", "b d, e", "b e", "b c d"]
    assert dataset["choices"][1][2] == ' say "a"'
    assert dataset["label"] == [1, 0]
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in SWAG.splitlines()), encoding="utf-8")
    assert read_swag(path).column_names == ["context", "choices"]


def test_json_lines_to_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"question": "a", "choices": ["b", "c d", "e"], "label": 2}\n'
        '{"question": "a b", "choices": ["c", "d", "e"], "label": "0"}\n',
        encoding="utf-8",
    )
    dataset = read_multiple_choice(path)
    assert dataset["label"] == [2, 0]
    tokenizer = BertTokenizer(TOKENS)
    encoded = dataset.map(lambda e: tokenize_choices(e, tokenizer), True, remove_columns=["context", "choices"])
    assert encoded[0]["input_ids"] == [[2, 5, 3, 6, 3], [2, 5, 3, 7, 8, 3], [2, 5, 3, 9, 3]]
    batch = DataCollatorForMultipleChoice(tokenizer)([encoded[0], encoded[1]])
    assert {name: array.shape for name, array in batch.items()} == {
        "input_ids": (2, 3, 6), "token_type_ids": (2, 3, 6), "attention_mask": (2, 3, 6), "labels": (2,)
    }  # fmt: skip
    np.testing.assert_array_equal(batch["input_ids"][1], [[2, 5, 6, 3, c, 3] for c in (7, 8, 9)])
    np.testing.assert_array_equal(batch["token_type_ids"][0, 1], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(batch["attention_mask"][0, 2], [1, 1, 1, 1, 1, 0])
    cut = tokenize_choices(dataset[:], tokenizer, max_length=5, padding="max_length")
    assert {len(ids) for row in cut["input_ids"] for ids in row} == {5}
    np.testing.assert_array_equal(batch["labels"], [2, 0])
