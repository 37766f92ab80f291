"""Scores of entities: the numbers of seqeval, lenient and strict, and one clear error for bad input."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bert_numpy.training import tagging_metrics as t

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text(encoding="utf-8"))["tagging"]
AVERAGES = (None, "micro", "macro", "weighted")


def options(scheme):
    return {} if scheme is None else {"mode": "strict", "scheme": scheme}


def agrees(scores, expected):
    """seqeval has NaN, recorded as null, for the mean over no type; here it is 0."""
    expected = [0.0 if value is None else value for value in expected]
    return all(np.allclose(a, e, rtol=0, atol=1e-14) for a, e in zip(scores, expected, strict=True))


@pytest.mark.parametrize("case", GOLDEN)
def test_scores_are_those_of_seqeval(case):
    true, predicted, how = case["y_true"], case["y_pred"], options(case["scheme"])
    for average in AVERAGES:
        functions = (t.entity_precision_score, t.entity_recall_score, t.entity_f1_score)
        assert agrees([f(true, predicted, average=average, **how) for f in functions], case[str(average)])
    report = t.entity_classification_report(true, predicted, **how)
    assert {name: row["support"] for name, row in report.items()} == case["support"]
    assert list(report) == list(case["support"])
    assert agrees([report["micro avg"][name] for name in ("precision", "recall", "f1-score")], case["micro"])


def test_the_recorded_cases_hold_scores_between_nothing_and_all():
    for scheme in (None, "IOB2", "IOE2", "IOBES"):
        assert sum(0 < case["micro"][2] < 1 for case in GOLDEN if case["scheme"] == scheme) >= 5


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("O I-X I-X O", [("X", 1, 2)]),  # without B
        ("B-X I-Y", [("X", 0, 0), ("Y", 1, 1)]),  # another type begins another entity
        ("B-X B-X I-X", [("X", 0, 0), ("X", 1, 2)]),
        ("B-X E-X I-X", [("X", 0, 1), ("X", 2, 2)]),  # E ends
        ("S-X E-X", [("X", 0, 0), ("X", 1, 1)]),  # S is alone
        ("I-X E-X E-X", [("X", 0, 1), ("X", 2, 2)]),
        ("B I O I", [("_", 0, 1), ("_", 3, 3)]),
        ("B-A-B I-A-B I-A", [("A-B", 0, 1), ("A", 2, 2)]),
        ("", []),
    ],
)
def test_lenient_entities(tags, entities):
    assert t.get_entities(tags.split()) == entities


@pytest.mark.parametrize(
    ("scheme", "tags", "entities"),
    [
        ("IOB2", "I-X B-X I-X I-Y B-Y", [("X", 1, 2), ("Y", 4, 4)]),
        ("IOE2", "I-X E-X E-X I-X O I-Y", [("X", 0, 1), ("X", 2, 2)]),
        ("IOBES", "B-X I-X B-X E-X S-Y E-Y B-Y", [("X", 2, 3), ("Y", 4, 4)]),
    ],
)
def test_strict_entities(scheme, tags, entities):
    assert t.get_entities(tags.split(), mode="strict", scheme=scheme) == entities


def test_an_entity_does_not_reach_into_the_next_sentence():
    assert t.entity_f1_score([["B-X"], ["I-X"]], [["B-X"], ["I-X"]]) == 1.0
    assert t.entity_precision_recall_fscore_support([["B-X"], ["I-X"]], [["B-X"], ["O"]]).support.tolist() == [2]


def test_without_any_entity_all_is_0():
    assert t.entity_precision_recall_fscore_support([["O"]], [["O"]], average="macro")[:3] == (0, 0, 0)
    assert list(t.entity_classification_report([["O"]], [["O"]])) == ["micro avg", "macro avg", "weighted avg"]


def test_the_arrays_of_the_trainer_become_tags():
    names = {0: "O", 1: "B-X", 2: "I-X"}
    labels = np.array([[-100, 1, -100, 2], [0, -100, -100, -100]])
    ids = np.array([[2, 1, 0, 0], [1, 0, 0, -100]])
    logits = np.where(np.arange(3) == ids[..., None], 5.0, -100.0)
    expected = ([["B-X", "I-X"], ["O"]], [["B-X", "O"], ["B-X"]])
    assert t.tag_sequences(ids, labels, names) == expected
    assert t.tag_sequences(logits, labels, names) == expected


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([], [], "y_true and y_pred are empty"),
        ([["O"]], [["O"], ["O"]], "y_true has 1 sentences, but y_pred has 2"),
        ([["O"], ["O", "O"]], [["O"], ["O"]], "sentence 1 has 2 tags in y_true, but 1 in y_pred"),
        ([["O"], ["O"]], [["O"], ["PER"]], "y_pred, sentence 1: tag 0, 'PER', is neither O nor one that begins with"),
        ([["O", "U-X"]], [["O", "O"]], "y_true, sentence 0: tag 1, 'U-X', is neither"),
        ([[3]], [[3]], "y_true, sentence 0: tag 0, 3, is neither"),
        (["O"], ["O"], r"y_true\[0\] is the text 'O'; give a list of tags"),
    ],
)
def test_bad_tags_are_one_clear_error(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        t.entity_f1_score(true, predicted)


def test_bad_options_are_one_clear_error():
    with pytest.raises(ValueError, match="needs a scheme, one of IOB2, IOE2, IOBES, not None"):
        t.get_entities(["O"], mode="strict")
    with pytest.raises(ValueError, match="mode must be None or 'strict', not 'lenient'"):
        t.get_entities(["O"], mode="lenient")
    with pytest.raises(ValueError, match="tag 2 begins with S-, which IOB2 does not know"):
        t.get_entities(["O", "B-X", "S-X"], mode="strict", scheme="IOB2")
    with pytest.raises(ValueError, match="average must be None, 'micro', 'macro' or 'weighted', not 'binary'"):
        t.entity_f1_score([["O"]], [["O"]], average="binary")
    with pytest.raises(ValueError, match=r"predictions of shape \(1, 2\) do not fit label_ids of shape \(1, 3\)"):
        t.tag_sequences([[0, 0]], [[0, 0, 0]], {0: "O"})
    with pytest.raises(ValueError, match="label 7 has no name in id2label"):
        t.tag_sequences([[7]], [[0]], {0: "O"})


@pytest.mark.reference
@pytest.mark.parametrize("scheme", [None, "IOB2", "IOE2", "IOBES"])
def test_random_tags_agree_with_seqeval(scheme):
    seqeval = pytest.importorskip("seqeval.metrics")
    schemes = pytest.importorskip("seqeval.scheme")
    rng = np.random.default_rng(0)
    letters = {"IOB2": "BI", "IOE2": "IE"}.get(scheme or "", "BIES")
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "AB")]
    how = {} if scheme is None else {"mode": "strict", "scheme": getattr(schemes, scheme)}
    for _ in range(400):
        true = [rng.choice(tags, n).tolist() for n in rng.integers(1, 9, rng.integers(1, 4))]
        predicted = [[tag if rng.random() < 0.6 else str(rng.choice(tags)) for tag in sentence] for sentence in true]
        for average in ("micro", "weighted"):
            expected = seqeval.f1_score(true, predicted, average=average, zero_division=0, **how)
            actual = t.entity_f1_score(true, predicted, average=average, **options(scheme))
            assert math.isclose(actual, expected, abs_tol=1e-14)
