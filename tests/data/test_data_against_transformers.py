"""The same batches and windows as with the reference library's tokenizer and collators.

Runs with `pytest -m reference`.  BERT_NUMPY_XQUAD may name a folder with xquad.en.json and xquad.zh.json, and
BERT_NUMPY_VOCABS one with the published vocabularies: then every question of both files takes part.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_numpy.data import (
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Dataset,
    read_squad,
    tokenize_and_align_labels,
    tokenize_choices,
    tokenize_questions,
)
from bert_numpy.tokenization import BertTokenizer

pytestmark = pytest.mark.reference

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "##b", "c", ".", "?"]


def tokenizers(folder: Path, vocab: Any, **settings: Any) -> tuple[BertTokenizer, Any]:
    """This tokenizer and the reference library's, from the same files."""
    transformers = pytest.importorskip("transformers")
    mine = BertTokenizer(vocab, **settings)
    mine.save_pretrained(folder)
    return mine, transformers.AutoTokenizer.from_pretrained(folder)


def sentences(rng: np.random.Generator, count: int, longest: int) -> list[list[str]]:
    words = ["a", "ab", "bab", "c", "b.", "?", "x", "\u200b"]
    return [[str(w) for w in rng.choice(words, rng.integers(1, longest))] for _ in range(count)]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "options", [{}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 40}, {"padding": "longest"}]
)
def test_collators(tmp_path: Path, rng: np.random.Generator, side: str, options: Any) -> None:
    transformers = pytest.importorskip("transformers")
    mine, theirs = tokenizers(tmp_path, TOKENS, padding_side=side)
    rows: dict[str, list[dict[str, Any]]] = {"DataCollatorWithPadding": [], "DataCollatorForTokenClassification": []}
    rows["DataCollatorForMultipleChoice"] = []
    for i, words in enumerate(sentences(rng, 6, 12)):
        encoded = dict(mine(words, is_split_into_words=True))
        rows["DataCollatorWithPadding"].append({**encoded, "label": i})
        labels = rng.integers(0, 5, len(encoded["input_ids"])).tolist()
        rows["DataCollatorForTokenClassification"].append({**encoded, "labels": labels})
        choices = tokenize_choices({"context": [" ".join(words)], "choices": [["a b", "c", "ab ?"]]}, mine)
        rows["DataCollatorForMultipleChoice"].append({**{k: v[0] for k, v in choices.items()}, "label": i % 3})
    for collator in (DataCollatorWithPadding, DataCollatorForTokenClassification, DataCollatorForMultipleChoice):
        name = collator.__name__
        expected = getattr(transformers, name)(theirs, **options)(rows[name])
        found = collator(mine, **options)(rows[name])
        assert set(found) == set(expected)
        for column in expected:
            assert found[column].dtype == np.int64
            np.testing.assert_array_equal(found[column], expected[column].numpy(), err_msg=f"{name} {column}")


def test_labels_of_pieces(tmp_path: Path, rng: np.random.Generator) -> None:
    mine, theirs = tokenizers(tmp_path, TOKENS)
    tokens = sentences(rng, 30, 15)
    tags = [rng.integers(0, 9, len(words)).tolist() for words in tokens]
    batch = theirs(tokens, is_split_into_words=True, truncation=True, max_length=14)
    for every in (False, True):
        found = tokenize_and_align_labels({"tokens": tokens, "tags": tags}, mine, max_length=14, label_all_tokens=every)
        for i, row in enumerate(found["labels"]):
            words = batch.word_ids(i)
            expected = [
                -100 if word is None or (position != words.index(word) and not every) else tags[i][word]
                for position, word in enumerate(words)
            ]
            assert row == expected


def assert_same_windows(examples: Dataset, mine: BertTokenizer, theirs: Any, max_length: int, stride: int) -> None:
    """Windows of the reference tokenizer, the answer located by its own `char_to_token`."""
    found = tokenize_questions(examples, mine, max_length=max_length, doc_stride=stride, padding="max_length")
    batch = theirs(
        examples["question"],
        examples["context"],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        padding="max_length",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        assert found[name] == batch[name]
    samples = batch["overflow_to_sample_mapping"]
    assert found["example_id"] == [examples["id"][sample] for sample in samples]
    for i, sample in enumerate(samples):
        inside = [sequence == 1 for sequence in batch.sequence_ids(i)]
        spans = zip(batch["offset_mapping"][i], inside, strict=True)
        assert found["offset_mapping"][i] == [tuple(span) if is_context else None for span, is_context in spans]
        answers = examples["answers"][sample]
        first = last = None
        if answers["text"]:
            begin = answers["answer_start"][0]
            first = batch.char_to_token(i, begin, 1)
            last = batch.char_to_token(i, begin + len(answers["text"][0]) - 1, 1)
        expected = (0, 0) if first is None or last is None else (first, last)
        assert (found["start_positions"][i], found["end_positions"][i]) == expected


def test_windows_and_answers(tmp_path: Path, rng: np.random.Generator) -> None:
    mine, theirs = tokenizers(tmp_path, TOKENS)
    rows = []
    for number, words in enumerate(sentences(rng, 60, 40)):
        context = " ".join(word for word in words if word != "\u200b") or "a"
        begin = int(rng.choice([i for i, char in enumerate(context) if char != " "]))
        end = int(rng.choice([i for i, char in enumerate(context) if char != " " and i >= begin])) + 1
        answers: dict[str, Any] = {"text": [context[begin:end]], "answer_start": [begin]}
        if number % 7 == 0:
            answers = {"text": [], "answer_start": []}
        question = "".join(rng.choice(["a ", "b?"], rng.integers(1, 4)))
        rows.append({"id": str(number), "question": question, "context": context, "answers": answers})
    for max_length, stride in ((20, 5), (16, 0), (64, 12)):
        assert_same_windows(Dataset.from_list(rows), mine, theirs, max_length, stride)


@pytest.mark.parametrize(("language", "name"), [("en", "bert-base-uncased"), ("zh", "bert-base-chinese")])
def test_every_question_of_xquad(tmp_path: Path, language: str, name: str) -> None:
    if not {"BERT_NUMPY_XQUAD", "BERT_NUMPY_VOCABS"} <= set(os.environ):
        pytest.skip("BERT_NUMPY_XQUAD and BERT_NUMPY_VOCABS name no folders")
    mine, theirs = tokenizers(tmp_path, str(Path(os.environ["BERT_NUMPY_VOCABS"], f"{name}-vocab.txt")))
    examples = read_squad(Path(os.environ["BERT_NUMPY_XQUAD"], f"xquad.{language}.json"))
    assert len(examples) == 1190
    assert_same_windows(examples, mine, theirs, 192, 64)
