"""The steps of the tasks with numbers worked out by hand, and answers as files."""

import json
import math
import re

import numpy as np
import pytest

from bert_numpy import BertTokenizer
from bert_numpy.data import Dataset, LabelMap
from bert_numpy.tasks import QuestionAnswering, Tagging, TextClassification, TextRegression
from bert_numpy.tasks.answer_files import write_answers
from bert_numpy.tasks.folders import finite

SPAM = LabelMap(["ham", "spam"])


def test_windows_of_a_text_share_its_decision_by_their_new_tokens():
    examples = Dataset({"text": ["long", "short"]}, SPAM)
    features = Dataset({"sample": [0, 0, 1], "weight": [3, 1, 2]})
    logits = np.log([[0.9, 0.1], [0.1, 0.9], [0.25, 0.75]])
    long, short = TextClassification().decide(examples, features, logits)
    assert (long["label"], short["label"]) == ("ham", "spam")
    assert long["score"] == pytest.approx((3 * 0.9 + 1 * 0.1) / 4)
    assert short["score"] == pytest.approx(0.75)


def test_numbers_of_windows_are_averaged_too():
    features = Dataset({"sample": [0, 0], "weight": [1, 3]})
    (answer,) = TextRegression().decide(Dataset({"text": ["long"]}), features, [[1.0], [5.0]])
    assert answer == {"label": 4.0}


def test_a_word_has_the_tag_of_the_window_in_which_it_is_deepest():
    examples = Dataset({"tokens": [["a", "b", "c"], ["\x07"]]}, LabelMap(["B-X", "O", "I-X"]))
    pieces = [[(1, 0, 3), (2, 1, 0)], [(1, 1, 0), (2, 2, 1)], []]
    features = Dataset({"sample": [0, 0, 1], "pieces": pieces})
    tags = [[1, 0, 2, 1], [1, 1, 2, 1], [1, 1, 1, 1]]  # of equals the first window decides: I-X for "b"
    found = Tagging().decide(examples, features, np.eye(3)[tags])
    assert found == [{"tags": ["B-X", "I-X", "I-X"]}, {"tags": ["O"]}]


def test_entities_and_parts_of_speech_are_measured_in_their_own_ways():
    names = Dataset({"tokens": [["a", "b"]], "tags": [[0, 1]]}, LabelMap(["B-X", "I-X"]))
    half = Tagging().measure(names, [{"tags": ["B-X", "B-X"]}])
    assert (half["accuracy"], half["f1"], half["precision"], half["f1_by_type"]) == (0.5, 0.0, 0.0, {"X": 0.0})
    words = Dataset({"tokens": [["a", "b"]], "tags": [[0, 1]]}, LabelMap(["NN", "VB"]))
    assert Tagging().measure(words, [{"tags": ["NN", "NN"]}]) == {"accuracy": 0.5, "f1_macro": pytest.approx(1 / 3)}


def test_the_positive_class_is_the_second_or_the_one_asked_for():
    examples = Dataset({"text": list("abcd"), "label": [0, 0, 0, 1]}, SPAM)
    answers = [{"label": name} for name in ("ham", "ham", "spam", "spam")]
    metrics = TextClassification().measure(examples, answers)
    assert (metrics["precision"], metrics["recall"], metrics["positive"]) == (0.5, 1.0, "spam")
    metrics = TextClassification(positive="ham").measure(examples, answers)
    assert (metrics["precision"], metrics["recall"], metrics["positive"]) == (1.0, pytest.approx(2 / 3), "ham")
    with pytest.raises(ValueError, match="positive 'eggs' must be one of two labels; there are ham, spam"):
        TextClassification(positive="eggs").measure(examples, answers)


def test_questions_without_an_answer_are_noted_in_training_and_counted_as_in_v2():
    answered, none = {"text": ["rome"], "answer_start": [3]}, {"text": [], "answer_start": []}
    examples = Dataset({"id": ["a", "b"], "answers": [answered, none]})
    task = QuestionAnswering()
    assert task.notes(examples) == {"no_answer": True}
    assert task.no_answer is True
    metrics = task.measure(examples, [{"id": "a", "answer": "rome"}, {"id": "b", "answer": "paris"}])
    assert (metrics["exact"], metrics["HasAns_exact"], metrics["NoAns_exact"]) == (50.0, 100.0, 0.0)
    assert QuestionAnswering().notes(examples.select([0])) == {"no_answer": False}
    with pytest.raises(ValueError, match="no question of the file has an answer"):
        task.measure(examples.select([1]), [{"id": "b", "answer": ""}])


def test_the_windows_of_a_question_share_what_is_asked_for_or_a_third(base, questions):
    tokenizer, task = BertTokenizer.from_pretrained(base), QuestionAnswering()
    examples = task.read(questions).select([0])  # 5 tokens, and 15 of the text; a window of 18 holds 10 of those
    starts = {
        stride: [
            next(span for span in row if span)[0]
            for row in task.encode(examples, tokenizer, 18, stride)["offset_mapping"]
        ]
        for stride in (0, 5, None)
    }
    words = [word.start() for word in re.finditer(r"\S+", examples["context"][0])]
    assert [words.index(start) for start in starts[0]] == [0, 10]
    assert [words.index(start) for start in starts[5]] == [0, 5]
    assert [words.index(start) for start in starts[None]] == [0, 4, 8]  # 18 // 3 shared


def test_a_correlation_with_a_constant_is_null_in_json():
    metrics = TextRegression().measure(Dataset({"label": [1.0, 2.0]}), [{"label": 1.0}, {"label": 1.0}])
    assert math.isnan(metrics["pearson"])
    assert json.loads(json.dumps(finite(metrics)))["pearson"] is None


def test_answers_are_written_whole_or_not_at_all(tmp_path):
    examples, answers = Dataset({"text": ["a", "b\tc"]}), [{"label": "x", "score": 1.0}] * 2
    with pytest.raises(ValueError, match=r"text 2 holds a tab or a line break, which a \.tsv file cannot"):
        write_answers(tmp_path / "out.tsv", examples, answers, "classify")
    assert list(tmp_path.iterdir()) == []
    write_answers(tmp_path / "out.csv", examples, answers, "classify")
    assert (tmp_path / "out.csv").read_text("utf-8") == "text,label,score\na,x,1.0\nb\tc,x,1.0\n"
    questions = Dataset({"id": ["q"], "question": ["?"], "context": ["ü"]})
    write_answers(tmp_path / "out.json", questions, [{"id": "q", "answer": "ü", "score": 1.0}], "qa")
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == {"q": "ü"}
    words = Dataset({"tokens": [["a", "b"], ["c"]]})
    write_answers(tmp_path / "out.conll", words, [{"tags": ["O", "B-X"]}, {"tags": ["O"]}], "tag")
    assert (tmp_path / "out.conll").read_text("utf-8") == "a\tO\nb\tB-X\n\nc\tO\n"
