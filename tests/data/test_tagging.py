"""CoNLL files, and one label for each piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.data import LabelMap, read_conll, tokenize_and_align_labels
from bert_numpy.tokenization import BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "##b"]
CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
"""


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS)


def write(folder: Path, content: str) -> Path:
    path = folder / "a.txt"
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("content", [CONLL, CONLL.replace(" ", "\t"), CONLL.replace(" ", " \t ") + "\n \n\n"])
def test_sentences_words_and_tags(tmp_path: Path, content: str, end: str) -> None:
    path = write(tmp_path, content.replace("\n", end))
    dataset = read_conll(path)
    assert dataset[:] == {"tokens": [["EU", "rejects"], ["Peter"]], "tags": [[0, 2], [1]]}
    assert dataset.labels == LabelMap(["B-ORG", "B-PER", "O"])
    assert read_conll(path, label_column=1, labels=["NNP", "VBZ"])["tags"] == [[0, 1], [0]]
    assert read_conll(path, token_column=3, label_column=None)[:] == {"tokens": [["B-ORG", "O"], ["B-PER"]]}


def test_comments_delimiters_and_odd_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, "# sent_id = 1\n# text = x\n1\ta\u00a0b\tX\n2\t#\tX\n# new\tO\tX\n\n# last\n")
    dataset = read_conll(path, token_column=1, label_column=2, delimiter="\t", comment="#")
    assert dataset["tokens"] == [["a\u00a0b", "#", "O"]]
    assert read_conll(write(tmp_path, "a\u00a0b O\n# O\n"))["tokens"] == [["a\u00a0b", "#"]]


def test_the_first_piece_has_the_tag(tokenizer: BertTokenizer) -> None:
    labels = LabelMap(["O", "B-X", "I-X", "B-Y"])
    examples = {"tokens": [["aba", "\u200b", "b", "ab"], ["abab"]], "tags": [[1, 2, 0, 2], [3]]}
    #           [CLS]  a  ##b  ##a   b   a  ##b [SEP]; the second word has no piece
    first_only = [[-100, 1, -100, -100, 0, 2, -100, -100], [-100, 3, -100, -100, -100, -100]]
    assert tokenize_and_align_labels(examples, tokenizer)["labels"] == first_only
    repeated = [[-100, 1, 1, 1, 0, 2, 2, -100], [-100, 3, 3, 3, 3, -100]]
    assert tokenize_and_align_labels(examples, tokenizer, label_all_tokens=True)["labels"] == repeated
    inside = [[-100, 1, 2, 2, 0, 2, 2, -100], [-100, 3, 3, 3, 3, -100]]  # there is no I-Y
    found = tokenize_and_align_labels(examples, tokenizer, label_all_tokens=True, labels=labels)
    assert found["labels"] == inside
    cut = tokenize_and_align_labels(examples, tokenizer, max_length=4)
    assert cut["labels"] == [[-100, 1, -100, -100], [-100, 3, -100, -100]]
    assert "labels" not in tokenize_and_align_labels({"tokens": examples["tokens"]}, tokenizer)


words = st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=12)


@given(st.lists(words, min_size=1, max_size=3), st.integers(3, 9), st.integers(0, 8), st.booleans())
def test_windows_label_every_piece_once(
    tokenizer: BertTokenizer, tokens: Any, room: int, stride: int, every: bool
) -> None:
    """Without what windows share, their labels in a row are those of the sentence in one piece."""
    stride %= room
    examples = {"tokens": tokens, "tags": [list(range(len(sentence))) for sentence in tokens]}
    whole = tokenize_and_align_labels(examples, tokenizer, label_all_tokens=every)
    cut = tokenize_and_align_labels(examples, tokenizer, label_all_tokens=every, max_length=room + 2, stride=stride)
    joined: dict[int, list[int]] = {}
    for row, ids, sample in zip(cut["labels"], cut["input_ids"], cut["overflow_to_sample_mapping"], strict=True):
        assert len(row) == len(ids)
        shared = stride if sample in joined else 0
        assert row[1 : 1 + shared] == [-100] * shared
        joined.setdefault(sample, []).extend(row[1 + shared : -1])
    assert [joined[i] for i in range(len(tokens))] == [row[1:-1] for row in whole["labels"]]


def test_windows_begin_at_the_beginning() -> None:
    tokenizer = BertTokenizer(TOKENS, truncation_side="left")
    with pytest.raises(ValueError, match="truncation_side='right'"):
        tokenize_and_align_labels({"tokens": [["a"]], "tags": [[0]]}, tokenizer, max_length=3, stride=0)
