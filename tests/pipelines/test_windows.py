"""Long texts: what is in the windows, and what the pipelines make of several."""

from itertools import pairwise

import numpy as np
import pytest

from bert_numpy import (
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
)
from bert_numpy.data import find_answers, tokenize_questions
from bert_numpy.pipelines import QuestionAnswerer, TextClassifier, TokenTagger
from bert_numpy.pipelines.windows import Windowed

LONG = " ".join("abcdefghijklmnopqrstuvwxyz" * 3)  # 78 tokens; the model reads 37
SHORT = "to be"


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer.from_pretrained("tiny-random")


def softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def test_the_windows_are_those_of_the_tokenizer(tokenizer):
    for stride in (0, 3, 5):
        batch = tokenizer(LONG, truncation=True, max_length=13, stride=stride, return_overflowing_tokens=True)
        rows = Windowed(tokenizer(LONG)[0], 13, stride).rows()
        assert [row["input_ids"] for row in rows] == batch["input_ids"]
        assert [row["token_type_ids"] for row in rows] == batch["token_type_ids"]
        pair = tokenizer(
            "who?", LONG, truncation="only_second", max_length=13, stride=stride, return_overflowing_tokens=True
        )
        rows = Windowed(tokenizer("who?", LONG)[0], 13, stride).rows()
        assert [row["input_ids"] for row in rows] == pair["input_ids"]
        assert [row["token_type_ids"] for row in rows] == pair["token_type_ids"]


def test_the_longer_text_of_a_pair_slides_unless_told_otherwise(tokenizer):
    encoding = tokenizer("a b c d e", "f g h")[0]
    assert Windowed(encoding, 9, 0).spans == [(0, 3), (3, 5)]
    assert Windowed(encoding, 9, 0, slides=1).spans == [(0, 1), (1, 2), (2, 3)]
    assert Windowed(encoding, 11, 0).spans == [(0, 5)]
    assert Windowed(tokenizer(LONG)[0], 37).spans == [(0, 35), (27, 62), (54, 78)]  # a quarter of 35 is shared


def test_every_token_belongs_to_the_window_in_which_it_is_farthest_from_an_edge(tokenizer):
    n = 78
    for room, stride in ((11, 3), (11, 10), (7, 0), (35, 8)):
        text = Windowed(tokenizer(LONG)[0], room + 2, stride)
        best = text.best_windows()
        for token in range(n):
            distances = [
                min(token - a if a else n, b - 1 - token if b < n else n) if a <= token < b else -1
                for a, b in text.spans
            ]
            assert best[token] == distances.index(max(distances))
        assert sum(text.new_tokens()) == n


def test_a_class_is_the_mean_of_the_windows_weighted_by_what_is_new_in_each(folder_of, tokenizer):
    classify = TextClassifier.from_pretrained(folder_of("BertForSequenceClassification"), max_length=20, stride=5)
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    expected, weights = [], []
    for start in (0, 13, 26, 39, 52, 65):
        window = [2, *ids[start : start + 18], 3]
        expected.append(softmax(classify.model(np.array([window])).logits[0].astype(float)))
        weights.append(18 if start == 0 else len(ids[start + 5 : start + 18]))
    assert sum(weights) == 78
    assert weights == [18, 13, 13, 13, 13, 8]
    mean = np.average(expected, axis=0, weights=weights)
    found = classify([SHORT, LONG, SHORT], top_k=None)
    by_label = {answer["label"]: answer["score"] for answer in found[1]}
    np.testing.assert_allclose([by_label[name] for name in classify.model.config.id2label.values()], mean, atol=1e-6)
    assert sum(by_label.values()) == pytest.approx(1, abs=1e-6)
    assert [answer["label"] for answer in found[0]] == [answer["label"] for answer in found[2]]
    alone = softmax(classify.model(np.array([tokenizer(SHORT)["input_ids"]])).logits[0].astype(float))
    assert found[0][0]["score"] == pytest.approx(alone.max(), abs=1e-6)
    cut = classify(LONG, truncation=True)[0]
    assert cut["score"] == pytest.approx(expected[0].max(), abs=1e-6)


def test_tags_of_a_long_text_come_from_the_best_windows_and_are_grouped_once(folder_of, tokenizer):
    tag = TokenTagger.from_pretrained(
        folder_of("BertForTokenClassification"), ignore_labels=[], max_length=20, stride=6
    )
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    text = Windowed(tokenizer(LONG)[0], 20, 6)
    expected = []
    for token, window in enumerate(text.best_windows()):
        a, b = text.spans[window]
        scores = softmax(tag.model(np.array([[2, *ids[a:b], 3]])).logits[0].astype(float))
        expected.append(scores[1 + token - a])
    found = tag([SHORT, LONG])[1]
    assert [entity["index"] for entity in found] == list(range(1, 79))
    assert [(entity["start"], entity["end"]) for entity in found] == [(2 * i, 2 * i + 1) for i in range(78)]
    np.testing.assert_allclose([entity["score"] for entity in found], np.max(expected, axis=1), atol=1e-6)
    names = tag.model.config.id2label
    assert [entity["entity"] for entity in found] == [names[int(np.argmax(scores))] for scores in expected]
    groups = tag(LONG, aggregation_strategy="simple")
    assert groups[0]["start"] == 0
    assert groups[-1]["end"] == len(LONG)
    assert all(a["end"] + 1 == b["start"] for a, b in pairwise(groups))


@pytest.mark.parametrize("seed", range(6))
def test_the_best_answer_of_all_windows_is_that_of_the_evaluation(folder_of, tokenizer, seed):
    """`find_answers` ranks by sums of logits; every word of this context is another, so none is merged."""
    rng = np.random.default_rng(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [letters[i] for i in rng.permutation(26)] + ["to", "be", "or", "not", "the", "question", "that", "is"]
    context = " ".join(words)
    folder = folder_of("BertForQuestionAnswering")
    answer = QuestionAnswerer.from_pretrained(folder, max_seq_len=17, doc_stride=5, max_answer_len=4)
    examples = {"id": ["q"], "question": ["who is?"], "context": [context]}
    features = tokenize_questions(examples, tokenizer, max_length=17, doc_stride=5)
    model = answer.model
    outputs = [
        model(np.array([ids]), token_type_ids=np.array([types]))
        for ids, types in zip(features["input_ids"], features["token_type_ids"], strict=True)
    ]
    assert len(outputs) > 3
    expected = find_answers(
        examples,
        features,
        [o.start_logits[0] for o in outputs],
        [o.end_logits[0] for o in outputs],
        n_best_size=100,
        max_answer_length=4,
    )["q"]
    distinct = list(dict.fromkeys(a.text for a in expected))[:5]
    found = answer(question="who is?", context=context, top_k=5, align_to_words=False)
    assert [one["answer"] for one in found] == distinct
    scores = {}
    for one in expected:
        scores.setdefault(one.text, one.score)
    gaps = [np.log(one["score"]) - scores[one["answer"]] for one in found]
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-5, err_msg="one normalizer for all windows")
    assert all(context[one["start"] : one["end"]] == one["answer"] for one in found)
    with_null = answer(question="who is?", context=context, top_k=9999, handle_impossible_answer=True)
    (null,) = [one["score"] for one in with_null if one["answer"] == ""]
    least = min(float(o.start_logits[0, 0]) + float(o.end_logits[0, 0]) for o in outputs)
    assert np.log(null) - least == pytest.approx(gaps[0], abs=1e-5)


def test_batches_change_nothing_and_the_model_is_left_as_it_was(folder_of):
    texts = [LONG[: 4 * i + 2] for i in range(9)]
    for made, name in ((TextClassifier, "BertForSequenceClassification"), (TokenTagger, "BertForTokenClassification")):
        by_one = made.from_pretrained(folder_of(name), batch_size=1)
        by_many = made(by_one.model, by_one.tokenizer, batch_size=4)
        for one, other in zip(by_one(texts), by_many(texts), strict=True):
            ones, others = (x if isinstance(x, list) else [x] for x in (one, other))
            for a, b in zip(ones, others, strict=True):
                assert a.pop("score") == pytest.approx(b.pop("score"), abs=1e-6)
                assert a == b
        assert by_one.model.skips_padding is False
        by_one.model.skip_padding()
        by_one(texts)
        assert by_one.model.skips_padding is True


WRONG = {
    "no room": (lambda w, e: w(e, 9), "the other text and the special tokens take 9 of the 9 tokens of a window"),
    "stride too large": (lambda w, e: w(e, 12, 3), "stride 3 must lie between 0 and 2: a window holds 3 of the text"),
    "stride negative": (lambda w, e: w(e, 12, -1), "stride -1 must lie between 0 and 2"),
}


@pytest.mark.parametrize(("cut", "message"), WRONG.values(), ids=WRONG.keys())
def test_windows_that_cannot_move_are_refused(cut, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        cut(Windowed, tokenizer("a b c d e f", "a b c d e f g")[0])


def test_the_text_that_does_not_fit_is_named(folder_of):
    classify = TextClassifier.from_pretrained(folder_of("BertForSequenceClassification"))
    pair = {"text": LONG, "text_pair": LONG}
    with pytest.raises(ValueError, match="text 2: the other text and the special tokens take 81 of the 37"):
        classify([SHORT, pair])
    assert classify([pair], truncation=True)[0]["score"] > 0
    answer = QuestionAnswerer.from_pretrained(folder_of("BertForQuestionAnswering"))
    with pytest.raises(ValueError, match="question 2: the question takes 78 of the 37 tokens of a window and leaves"):
        answer(question=["who?", LONG], context="to be")


def test_weights_that_are_not_finite_are_reported(folder_of, tokenizer):
    for made, kind in ((TextClassifier, BertForSequenceClassification), (TokenTagger, BertForTokenClassification)):
        model = kind.from_pretrained(folder_of(kind.__name__))
        model.classifier.bias.data = np.full_like(model.classifier.bias.data, np.nan)
        with pytest.raises(ValueError, match="the model's outputs are not finite"):
            made(model, tokenizer)("to be")
