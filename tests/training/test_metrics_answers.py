"""Scores of answers: the numbers of the SQuAD programs, their rules case by case, and one clear error for bad input."""

import json
from pathlib import Path

import pytest

from bert_numpy.training import answer_metrics as a

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text(encoding="utf-8"))


def examples_of(golds):
    return {"id": list(golds), "answers": [{"text": texts} for texts in golds.values()]}


@pytest.mark.parametrize(("text", "normalized"), GOLDEN["normalize"].items())
def test_normalization_is_that_of_the_reference(text, normalized):
    assert a.normalize_answer(text) == normalized


@pytest.mark.parametrize("case", GOLDEN["questions"])
def test_v2_scores_are_those_of_the_reference(case):
    scores = a.squad_v2_evaluate(
        examples_of(case["golds"]),
        case["predictions"],
        no_answer_probs=case["probs"],
        no_answer_threshold=case["threshold"],
    )
    assert scores == pytest.approx(case["scores"], abs=1e-10)


def test_the_recorded_cases_hold_every_rule():
    keys = {key for case in GOLDEN["questions"] for key in case["scores"]}
    assert {"HasAns_f1", "NoAns_f1", "best_f1_thresh"} <= keys
    assert any(0 < case["scores"].get("best_f1_thresh", 0) < 1 for case in GOLDEN["questions"])
    assert any("HasAns_f1" not in case["scores"] for case in GOLDEN["questions"])


@pytest.mark.parametrize(
    ("gold", "prediction", "exact", "f1"),
    [
        ("The Thames", "thames!", 1, 1.0),
        ("river Thames", "Thames", 0, 2 / 3),
        ("a b b c", "b b b", 0, 2 * 2 / (3 + 3)),  # the article is no word; b is shared twice
        ("1,000", "1000", 1, 1.0),
        ("it's", "its", 1, 1.0),
        ("theatre", "atre", 0, 0.0),  # articles are whole words
        ("well-known", "well known", 0, 0.0),  # punctuation leaves no space
        ("Thames", "", 0, 0.0),
    ],
)
def test_a_gold_answer_and_a_prediction(gold, prediction, exact, f1):
    scores = a.squad_evaluate(examples_of({"q": [gold]}), {"q": prediction})
    assert scores == pytest.approx({"exact_match": 100 * exact, "f1": 100 * f1})
    assert a.compute_exact(gold, prediction) == exact
    assert a.compute_f1(gold, prediction) == pytest.approx(f1)


def test_the_best_of_several_answers_counts():
    golds = {"q": ["in the city of Rome", "Rome", "Italy"]}
    assert a.squad_evaluate(examples_of(golds), {"q": "Rome"}) == {"exact_match": 100.0, "f1": 100.0}


def test_where_nothing_is_left_of_an_answer_the_programs_differ():
    examples = examples_of({"q": ["the"]})
    assert a.squad_evaluate(examples, {"q": "an"}) == {"exact_match": 100.0, "f1": 0.0}
    scores = a.squad_v2_evaluate(examples, {"q": "an"})
    assert (scores["exact"], scores["f1"], scores["HasAns_total"]) == (100.0, 100.0, 1)


def test_no_answer_is_right_only_where_there_is_none():
    examples = examples_of({"some": ["Rome"], "none": []})
    scores = a.squad_v2_evaluate(examples, {"some": "", "none": ""})
    assert (scores["HasAns_f1"], scores["NoAns_f1"], scores["f1"]) == (0.0, 100.0, 50.0)
    silenced = a.squad_v2_evaluate(
        examples,
        {"some": "Rome", "none": "Rome"},
        no_answer_probs={"some": 0.4, "none": 0.6},
        no_answer_threshold=0.5,
    )
    assert silenced["exact"] == silenced["best_exact"] == 100.0
    assert silenced["best_exact_thresh"] == 0.4


@pytest.mark.parametrize(
    ("function", "golds", "predictions", "message"),
    [
        (a.squad_evaluate, {}, {}, "there is no question"),
        (
            a.squad_evaluate,
            {"q": ["a"], "r": ["b"], "s": ["c"]},
            {"q": "a"},
            "no prediction for question 'r' and 1 more",
        ),
        (a.squad_evaluate, {"q": []}, {"q": ""}, "question 'q' has no answer; .* squad_v2_evaluate"),
        (a.squad_evaluate, {"q": ["a"]}, {"q": None}, "the prediction for question 'q' must be a text, not None"),
        (a.squad_v2_evaluate, {"q": []}, {}, "no prediction for question 'q'; for no answer, predict ''"),
    ],
)
def test_bad_input_is_one_clear_error(function, golds, predictions, message):
    with pytest.raises(ValueError, match=message):
        function(examples_of(golds), predictions)


def test_a_missing_probability_is_one_clear_error():
    with pytest.raises(ValueError, match="no no_answer_probs for question 'q'"):
        a.squad_v2_evaluate(examples_of({"q": []}), {"q": ""}, no_answer_probs={})
