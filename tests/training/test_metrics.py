"""Metrics of labels and of numbers: the results of scikit-learn and SciPy, and one clear error for bad input."""

import json
import math
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bert_numpy.training import correlation_metrics as c
from bert_numpy.training import metrics as m

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text(encoding="utf-8"))
AVERAGES = (None, "binary", "micro", "macro", "weighted")


def plain(scores):
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in scores]


def close(actual, expected, tolerance=1e-14):
    """Whether nested lists of numbers and None are equal up to rounding."""
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(
            close(a, e, tolerance) for a, e in zip(actual, expected, strict=True)
        )
    if expected is None:
        return actual is None or math.isnan(actual)
    return abs(actual - expected) <= tolerance


@pytest.mark.parametrize("case", GOLDEN["classification"])
def test_classification_metrics_are_those_of_scikit_learn(case):
    true, predicted = case["y_true"], case["y_pred"]
    assert close(m.accuracy_score(true, predicted), case["accuracy"])
    assert close(m.matthews_corrcoef(true, predicted), case["matthews"])
    if case["confusion"] is None:
        with pytest.raises(ValueError, match="none of y_true is among the labels"):
            m.confusion_matrix(true, predicted, labels=case["labels"])
    else:
        assert m.confusion_matrix(true, predicted, labels=case["labels"]).tolist() == case["confusion"]
    for average in AVERAGES:
        arguments = {"labels": case["labels"], "pos_label": case["pos_label"], "average": average}
        expected = case[str(average)]
        if expected is None:
            with pytest.raises(ValueError, match=r"binary|pos_label"):
                m.precision_recall_fscore_support(true, predicted, **arguments)
            continue
        assert close(plain(m.precision_recall_fscore_support(true, predicted, **arguments)), expected)
        functions = (m.precision_score, m.recall_score, m.f1_score)
        assert close(plain(f(true, predicted, **arguments) for f in functions), expected[:3])


def test_the_recorded_cases_hold_every_kind():
    cases = GOLDEN["classification"]
    assert any(case["confusion"] is None for case in cases)
    assert any(case["binary"] is None for case in cases)
    assert any(case["binary"] is not None and 0 in case["binary"] for case in cases)
    assert any(case["pearson"] is None for case in GOLDEN["correlation"])


@pytest.mark.parametrize("case", GOLDEN["correlation"])
def test_correlations_are_those_of_scipy(case):
    assert close(c.pearsonr(case["x"], case["y"]), case["pearson"], 1e-12)
    assert close(c.spearmanr(case["x"], case["y"]), case["spearman"], 1e-12)


def test_pearson_equals_exact_arithmetic_where_it_is_hard():
    rng = np.random.default_rng(5)
    for offset, scale in ((1e8, 1.0), (1e8, 1e-7), (0.0, 1e-200), (0.0, 1e200)):
        x, y = offset + scale * rng.standard_normal((2, 9))
        exact_x, exact_y = [Fraction(v) for v in x.tolist()], [Fraction(v) for v in y.tolist()]
        dx = [v - sum(exact_x) / 9 for v in exact_x]
        dy = [v - sum(exact_y) / 9 for v in exact_y]
        covariance = sum(a * b for a, b in zip(dx, dy, strict=True))
        squared = covariance**2 / (sum(a * a for a in dx) * sum(b * b for b in dy))
        sign = 1 if covariance > 0 else -1
        assert c.pearsonr(x, y) == pytest.approx(sign * math.sqrt(squared), abs=2e-15)


def test_undefined_values_are_what_the_header_says_and_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert m.precision_recall_fscore_support([0, 0], [0, 0], average="binary")[:3] == (0.0, 0.0, 0.0)
        assert m.precision_score([1, 0], [0, 0]) == 0.0
        assert m.matthews_corrcoef([1, 1], [1, 1]) == 0.0
        assert math.isnan(c.pearsonr([1, 1, 1], [1, 2, 3]))
        assert math.isnan(c.spearmanr([1, 2, 3], [0.1, 0.1, 0.1]))


def test_matthews_does_not_overflow():
    n = 300_000  # N⁴ = 8e21 > 2⁶³
    true = np.arange(n) % 2
    predicted = np.where(np.arange(n) % 3 == 0, 1 - true, true)
    assert m.matthews_corrcoef(true, predicted) == pytest.approx(1 / 3, abs=1e-12)


def test_bools_and_whole_floats_are_labels_too():
    assert m.f1_score([True, False, True], [True, True, True]) == m.f1_score([1.0, 0.0, 1.0], [1, 1, 1]) == 0.8


def test_perplexity_weighs_every_word_alike():
    assert m.perplexity([3 * math.log(10), math.log(2)], [3, 1]) == pytest.approx(2000**0.25)
    assert m.perplexity(np.float32(0.0), 7) == 1.0
    assert m.perplexity(1e6, 1) == math.inf


@pytest.mark.parametrize(
    ("function", "first", "second", "message"),
    [
        (m.accuracy_score, [], [], "y_true and y_pred are empty; there is nothing to measure"),
        (m.f1_score, [1, 0], [1], "y_true has 2 examples, but y_pred has 1"),
        (m.accuracy_score, [0, 1], [[0.1, 0.9], [0.2, 0.8]], r"y_pred has shape \(2, 2\).*take y_pred.argmax\(-1\)"),
        (m.accuracy_score, [0, 1], [0.5, 1.0], "y_pred must hold integers or texts, not 0.5, 1.0"),
        (m.accuracy_score, [0, 1], [0.0, math.nan], "y_pred must hold integers or texts"),
        (m.accuracy_score, [0, "a"], [0, 1], "y_true must hold integers or texts"),
        (m.accuracy_score, [None, 1], [0, 1], "y_true must hold integers or texts"),
        (m.accuracy_score, ["0", "1"], [0, 1], "both be texts or both be integers"),
        (m.f1_score, [0, 1, 2], [0, 1, 2], "average='binary' is for two classes, but there are 0, 1, 2"),
        (m.f1_score, ["ham", "spam"], ["ham", "spam"], "pos_label 1 is none of the classes, 'ham', 'spam'"),
        (c.pearsonr, [], [], "x and y are empty"),
        (c.pearsonr, [1.0], [1.0], "at least 2 examples"),
        (c.spearmanr, [1, 2, 3], [1, 2], "x has 3 examples, but y has 2"),
        (c.spearmanr, [1, 2], [1, math.inf], r"y\[1\] is inf"),
        (c.pearsonr, [[1.0], [2.0]], [1, 2], r"shape \(2, 1\); take x\[:, 0\]"),
        (c.pearsonr, ["a", "b"], [1, 2], "x must be one number for each example"),
        (m.perplexity, [], [], "no word was predicted"),
        (m.perplexity, [0.0], [0], "no word was predicted"),
        (m.perplexity, [1.0, 2.0], [3], "give one count per sum"),
    ],
)
def test_bad_input_is_one_clear_error(function, first, second, message):
    with pytest.raises(ValueError, match=message) as caught:
        function(first, second)
    assert "\n" not in str(caught.value)


def test_bad_options_are_one_clear_error():
    with pytest.raises(
        ValueError, match="average must be None, 'binary', 'micro', 'macro' or 'weighted', not 'samples'"
    ):
        m.f1_score([0, 1], [0, 1], average="samples")
    with pytest.raises(ValueError, match="labels must be distinct, at least one, not 1, 1"):
        m.confusion_matrix([0, 1], [0, 1], labels=[1, 1])
    with pytest.raises(ValueError, match="labels 'a', 'b' are not of the kind of y_true, 0, 1"):
        m.f1_score([0, 1], [0, 1], labels=["a", "b"], average="macro")


@pytest.mark.reference
def test_thousands_of_random_cases_agree_with_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(1000):
        classes = rng.integers(1, 6)
        true = rng.integers(0, classes, rng.integers(1, 30))
        predicted = np.where(rng.random(len(true)) < 0.5, true, rng.integers(0, classes, len(true)))
        labels = rng.permutation(7)[: rng.integers(1, 7)] if rng.random() < 0.5 else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a single class
            assert close(m.matthews_corrcoef(true, predicted), float(sk.matthews_corrcoef(true, predicted)))
        for average in (None, "micro", "macro", "weighted"):
            arguments = {"labels": labels, "average": average}
            expected = sk.precision_recall_fscore_support(true, predicted, zero_division=0, **arguments)
            assert close(plain(m.precision_recall_fscore_support(true, predicted, **arguments)), plain(expected))


@pytest.mark.reference
def test_random_correlations_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(500):
        x, y = rng.integers(0, 4, (2, rng.integers(2, 30)))
        if np.ptp(x) and np.ptp(y):
            assert c.pearsonr(x, y) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-14)
            assert c.spearmanr(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-14)
