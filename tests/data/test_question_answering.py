"""Windows with answers in them, and answers out of logits."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.data import Dataset, find_answers, read_squad, tokenize_questions
from bert_numpy.tokenization import BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "##b", "c", ".", "?"]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS)


def examples_of(context: str, answer: str | None, start: int = 0, question: str = "c?") -> dict[str, Any]:
    answers: dict[str, Any] = (
        {"text": [answer], "answer_start": [start]} if answer else {"text": [], "answer_start": []}
    )
    return {"id": ["q"], "question": [question], "context": [context], "answers": [answers]}


def test_both_versions_of_squad(tmp_path: Path) -> None:
    context = "Zoë is 5 years old 😀 in Rome."
    answers = [{"text": "Rome", "answer_start": 24}, {"text": "in Rome", "answer_start": 21}]
    questions = [
        {"id": "1", "question": "Where?", "answers": answers},
        {"id": "2", "question": "Why?", "is_impossible": True, "answers": [], "plausible_answers": [{"text": "x"}]},
        {"id": "3", "question": "Unlabelled?"},
    ]
    content = {"version": "v2.0", "data": [{"title": "Zoë", "paragraphs": [{"context": context, "qas": questions}]}]}
    for ascii_only in (True, False):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(content, ensure_ascii=ascii_only, indent=1), encoding="utf-8")
        dataset = read_squad(path)
        assert dataset.column_names == ["id", "title", "context", "question", "answers"]
        assert dataset["answers"] == [
            {"text": ["Rome", "in Rome"], "answer_start": [24, 21]},
            {"text": [], "answer_start": []},
            {"text": [], "answer_start": []},
        ]
        assert dataset[0]["title"] == "Zoë"


@pytest.mark.parametrize(
    ("context", "answer", "start", "span"),
    [  # [CLS] c ? [SEP] and then the context from position 4
        ("a b ab.", "a", 0, (4, 4)),
        ("a b ab.", "b ab", 2, (5, 7)),
        ("a b ab.", "b", 5, (7, 7)),  # the second piece alone
        ("a b ab.", " b ", 1, (5, 5)),  # blanks around an answer are no part of it
        (" a b ", " a", 0, (4, 4)),
        (" a b ", "b ", 3, (5, 5)),
        ("a b ab.", "a b ab.", 0, (4, 8)),
        ("aaaa b", "aa", 1, (5, 6)),
        ("a \u200bb", "\u200bb", 2, (5, 5)),  # characters that the tokenizer drops
        ("a \u200b b", "\u200b", 2, (0, 0)),
        ("a b", None, 0, (0, 0)),
    ],
)
def test_positions_of_an_answer(tokenizer: BertTokenizer, context: str, answer: Any, start: int, span: Any) -> None:
    features = tokenize_questions(examples_of(context, answer, start), tokenizer)
    assert (features["start_positions"], features["end_positions"]) == ([span[0]], [span[1]])


def test_an_answer_counts_only_where_it_stands_whole(tokenizer: BertTokenizer) -> None:
    context = "a b a b a b"  # windows of three tokens that share one: a b a, a b a, a b
    found = tokenize_questions(examples_of(context, "b a", 6), tokenizer, max_length=8, doc_stride=1)
    assert found["input_ids"] == [[2, 9, 11, 3, 5, 7, 5, 3], [2, 9, 11, 3, 5, 7, 5, 3], [2, 9, 11, 3, 5, 7, 3]]
    assert found["offset_mapping"][1] == [None, None, None, None, (4, 5), (6, 7), (8, 9), None]
    assert list(zip(found["start_positions"], found["end_positions"], strict=True)) == [(0, 0), (5, 6), (0, 0)]
    assert found["example_id"] == ["q"] * 3
    padded = tokenize_questions(
        examples_of(context, "b a", 6), tokenizer, max_length=8, doc_stride=1, padding="max_length"
    )
    assert padded["attention_mask"][2] == [1] * 7 + [0]
    assert padded["offset_mapping"][2] == [*found["offset_mapping"][2], None]


def test_an_answer_that_is_cut_within_a_word(tokenizer: BertTokenizer) -> None:
    options: dict[str, Any] = {"max_length": 8, "doc_stride": 1}  # windows over aaaaaaa: 0 to 3, 2 to 5, 4 to 7
    for start, text, positions in (
        (2, "aa", [0, 4, 0]),
        (1, "aa", [5, 0, 0]),
        (4, "aaa", [0, 0, 4]),
        (2, "a", [6, 4, 0]),
    ):
        found = tokenize_questions(examples_of("aaaaaaa", text, start), tokenizer, **options)
        assert found["start_positions"] == positions
        assert found["end_positions"] == [position and position + len(text) - 1 for position in positions]


def test_padding_is_on_the_right_and_labels_may_be_absent() -> None:
    examples = examples_of("a b", None)
    del examples["answers"]
    tokenizer = BertTokenizer(TOKENS, padding_side="left")
    features = tokenize_questions(examples, tokenizer, max_length=12, doc_stride=2, padding="max_length")
    assert features["input_ids"][0][0] == tokenizer.cls_token_id
    assert "start_positions" not in features
    with pytest.raises(ValueError, match=r"^question 'q': truncation='only_second' would take .* larger max_length$"):
        tokenize_questions(examples_of("a b", None, question="a " * 20), tokenizer, max_length=12, doc_stride=2)


def brute_force(examples: Any, features: Any, start: Any, end: Any, n: int, longest: int) -> list[tuple[float, str]]:
    """All spans between the n best starts and the n best ends of each window, best first, by their definition."""
    found = []
    for window, offsets in enumerate(features["offset_mapping"]):
        inside = [i for i, span in enumerate(offsets) if span]
        starts = sorted(inside, key=lambda i: (-start[window][i], i))[:n]
        ends = sorted(inside, key=lambda i: (-end[window][i], i))[:n]
        for i, j in itertools.product(starts, ends):
            if i <= j and j - i + 1 <= longest:
                found.append((start[window][i] + end[window][j], examples["context"][0][offsets[i][0] : offsets[j][1]]))
    return sorted(found, key=lambda candidate: -candidate[0])[:n]


@given(
    st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4), st.integers(1, 20), st.sampled_from([-2.0, 0.0, 2.0])
)
@settings(max_examples=60, deadline=None)
def test_the_best_answers(
    tokenizer: BertTokenizer, seed: int, n: int, longest: int, n_words: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    examples = examples_of(" ".join(rng.choice(["a", "b", "ab", "ba."], n_words)), None)
    features = tokenize_questions(examples, tokenizer, max_length=12, doc_stride=2, padding="max_length")
    start, end = rng.standard_normal((2, len(features["input_ids"]), 12)) * 3
    options = {"n_best_size": n, "max_answer_length": longest}
    expected = brute_force(examples, features, start, end, n, longest)
    found = find_answers(examples, features, start, end, **options)["q"]
    if not expected:
        assert found == [("", 0.0, 1.0)]
    else:
        assert [answer.text for answer in found] == [text for _, text in expected]
        np.testing.assert_allclose([answer.score for answer in found], [score for score, _ in expected], rtol=1e-12)
        shares = [math.exp(score) for score, _ in expected]
        np.testing.assert_allclose([a.probability for a in found], np.array(shares) / sum(shares), rtol=1e-9)

    null = min(start[:, 0] + end[:, 0])
    options |= {"allow_no_answer": True, "null_score_diff_threshold": threshold}
    found = find_answers(examples, features, start, end, **options)["q"]
    assert sorted((a.score, a.text) for a in found) == sorted([*expected, (null, "")])
    says_nothing = not expected or null - expected[0][0] > threshold
    assert found[0].text == ("" if says_nothing else expected[0][1])
    assert [a.score for a in found[1:]] == sorted((a.score for a in found[1:]), reverse=True)


def test_no_answer_must_be_better_than_the_best_one() -> None:
    examples, features = (
        {"id": ["q"], "context": ["a"]},
        {"example_id": ["q"], "offset_mapping": [[None, None, (0, 1)]]},
    )
    for threshold, text in ((0.0, "a"), (-0.5, ""), (0.5, "a")):
        options: dict[str, Any] = {"allow_no_answer": True, "null_score_diff_threshold": threshold}
        found = find_answers(examples, features, [[1.0, 9.0, 1.0]], [[2.0, 9.0, 2.0]], **options)["q"]
        assert found[0].text == text
        assert [answer.score for answer in found] == [3.0, 3.0]


def test_the_way_there_and_back(tokenizer: BertTokenizer) -> None:
    """Logits that point at the labels give the answers; the windows of a question need not stand together."""
    contexts = ["ab a. b a b c ab ba a", "c b a. ba"]
    answers = [{"text": ["ab ba"], "answer_start": [14]}, {"text": ["b a."], "answer_start": [2]}]
    examples = {"id": ["x", "y"], "question": ["a?", "b?"], "context": contexts, "answers": answers}
    features = Dataset(tokenize_questions(examples, tokenizer, max_length=11, doc_stride=4)).select([5, 0, 4, 1, 3, 2])
    assert features["example_id"].count("x") == 5
    logits = [
        [
            np.where(np.arange(len(ids)) == p, 8.0, 0.0)
            for ids, p in zip(features["input_ids"], features[name], strict=True)
        ]
        for name in ("start_positions", "end_positions")
    ]
    best = {key: found[0].text for key, found in find_answers(examples, features, *logits).items()}
    assert best == {"x": "ab ba", "y": "b a."}


@pytest.mark.parametrize(
    ("rows", "length", "options", "message"),
    [
        (2, 6, {}, "there are 1 windows, but start_logits for 2 and end_logits for 2; give one row for each window"),
        (1, 5, {}, "a window of 6 tokens has 5 start and 5 end logits"),
        (1, 6, {"n_best_size": 0}, "n_best_size 0 and max_answer_length 30 must be at least 1"),
    ],
)
def test_logits_that_do_not_fit(tokenizer: BertTokenizer, rows: int, length: int, options: Any, message: str) -> None:
    examples = examples_of("a", "a")
    features = tokenize_questions(examples, tokenizer)
    assert len(features["input_ids"][0]) == 6
    with pytest.raises(ValueError, match=message):
        find_answers(examples, features, np.zeros((rows, length)), np.zeros((rows, length)), **options)
