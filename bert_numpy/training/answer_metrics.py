"""How good answers to questions are: exact match and F1, as the programs of SQuAD v1.1 and v2.0 count.

    answers = find_answers(examples, features, start_logits, end_logits)
    squad_evaluate(examples, {id: best[0].text for id, best in answers.items()})

Two answers match exactly if nothing is left to tell them apart but case, punctuation, the articles a, an, the, and
spaces.  F1 is that of the words they share.  Of several right answers, the one that suits best counts.

Where a question may have no answer (v2.0), no answer is the text ""; it scores 1 where there is none, else 0.  The
two programs differ in one more thing: a right answer of which nothing is left, as of "the", has F1 0 in v1.1; v2.0
leaves it out, and if there is no other, "" is right.

Here: scores of texts.  Not here: from logits to texts (`find_answers` in `data/question_answering.py`).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """What of an answer counts: lower case, no ASCII punctuation, no English articles, single spaces.

    Punctuation goes first and leaves no space: "it's" becomes "its", "1,000" becomes "1000".

    Examples
    --------
    >>> normalize_answer("The  Bishop's  House.")
    'bishops house'
    """
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def compute_exact(gold: str, prediction: str) -> int:
    """1 if two answers are the same once normalized, else 0.

    Examples
    --------
    >>> compute_exact("The Thames", "thames."), compute_exact("The Thames", "Thames Valley")
    (1, 0)
    """
    return int(normalize_answer(gold) == normalize_answer(prediction))


def compute_f1(gold: str, prediction: str) -> float:
    """F1 of the words of two answers; if nothing is left of one of them, 1 if nothing is left of both, else 0.

    A word that stands several times counts as often as it stands in both.

    Examples
    --------
    >>> compute_f1("the river Thames", "Thames Valley"), compute_f1("", "the"), compute_f1("", "Thames")
    (0.5, 1.0, 0.0)
    """
    wanted, words = normalize_answer(gold).split(), normalize_answer(prediction).split()
    if not wanted or not words:
        return float(wanted == words)
    shared = sum((Counter(wanted) & Counter(words)).values())
    return 2 * shared / (len(wanted) + len(words))


def squad_evaluate(examples: Any, predictions: Mapping[str, str]) -> dict[str, float]:
    """Exact match and F1 of answers to questions that all have one (SQuAD v1.1).

    Parameters
    ----------
    examples : Dataset or mapping of columns
        "id", and "answers" with the lists "text", as `read_squad` returns them.
    predictions : mapping of id to text
        One for each question; others are passed over.

    Returns
    -------
    dict
        "exact_match" and "f1", in per cent.

    Raises
    ------
    ValueError
        If there is no question, one has no prediction or no right answer, or a prediction is no text.

    Examples
    --------
    >>> examples = {"id": ["q1", "q2"], "answers": [{"text": ["Rome", "in Rome"]}, {"text": ["the Tiber"]}]}
    >>> squad_evaluate(examples, {"q1": "in Rome", "q2": "river Tiber"})
    {'exact_match': 50.0, 'f1': 83.33333333333333}
    """
    exact, f1 = [], []
    for question_id, golds, prediction in _pairs(examples, predictions):
        if not golds:
            raise ValueError(f"question {question_id!r} has no answer; where that is so, score with squad_v2_evaluate")
        exact.append(max(compute_exact(gold, prediction) for gold in golds))
        f1.append(max(compute_f1(gold, prediction) if normalize_answer(gold) else 0.0 for gold in golds))
    return {"exact_match": _percent(exact), "f1": _percent(f1)}


def squad_v2_evaluate(
    examples: Any,
    predictions: Mapping[str, str],
    *,
    no_answer_probs: Mapping[str, float] | None = None,
    no_answer_threshold: float = 1.0,
) -> dict[str, float]:
    """Exact match and F1 of answers to questions that may have none (SQuAD v2.0).

    Parameters
    ----------
    examples : Dataset or mapping of columns
        "id", and "answers" with the lists "text", empty where there is no answer.
    predictions : mapping of id to text
        One for each question, "" for no answer; others are passed over.
    no_answer_probs : mapping of id to float, optional
        How sure the model is that there is no answer, for every question; any number that grows with it.
    no_answer_threshold : float
        Above it, the prediction is taken for "", whatever its text.

    Returns
    -------
    dict
        "exact" and "f1", in per cent, and "total", the number of questions; the same with "HasAns_" for those with an
        answer and with "NoAns_" for those without, if there are such.  With `no_answer_probs` also "best_exact" and
        "best_f1", what the best threshold would give, and that threshold, "best_exact_thresh" and "best_f1_thresh".

    Raises
    ------
    ValueError
        If there is no question, one has no prediction or no probability, or a prediction is no text.

    Examples
    --------
    >>> examples = {"id": ["q1", "q2"], "answers": [{"text": ["Rome"]}, {"text": []}]}
    >>> scores = squad_v2_evaluate(examples, {"q1": "Rome", "q2": "the Tiber"})
    >>> scores["exact"], scores["HasAns_exact"], scores["NoAns_exact"]
    (50.0, 100.0, 0.0)
    >>> probabilities = {"q1": 0.1, "q2": 0.7}
    >>> scores = squad_v2_evaluate(examples, {"q1": "Rome", "q2": "the Tiber"}, no_answer_probs=probabilities)
    >>> scores["best_exact"], scores["best_exact_thresh"]
    (100.0, 0.1)
    """
    pairs = _pairs(examples, predictions)
    ids = [question_id for question_id, _, _ in pairs]
    probs = np.zeros(len(ids)) if no_answer_probs is None else _probabilities(ids, no_answer_probs)
    has_answer = np.array([bool(golds) for _, golds, _ in pairs])
    says_none = np.array([not prediction for _, _, prediction in pairs])
    wanted = [[gold for gold in golds if normalize_answer(gold)] or [""] for _, golds, _ in pairs]
    raw = {
        name: np.array(
            [max(score(gold, said) for gold in golds) for golds, (_, _, said) in zip(wanted, pairs, strict=True)]
        )
        for name, score in (("exact", compute_exact), ("f1", compute_f1))
    }
    silenced = probs > no_answer_threshold
    final = {name: np.where(silenced, ~has_answer, scores) for name, scores in raw.items()}
    made = _summary(final, np.ones(len(ids), bool), "")
    if has_answer.any():
        made.update(_summary(final, has_answer, "HasAns_"))
    if not has_answer.all():
        made.update(_summary(final, ~has_answer, "NoAns_"))
    if no_answer_probs is not None:
        for name, scores in raw.items():
            best, threshold = _best_threshold(scores, probs, has_answer, says_none)
            made.update({f"best_{name}": best, f"best_{name}_thresh": threshold})
    return made


def _pairs(examples: Any, predictions: Mapping[str, str]) -> list[tuple[str, list[str], str]]:
    """(id, right answers, prediction) of every question."""
    ids = list(examples["id"])
    if not ids:
        raise ValueError("there is no question; there is nothing to measure")
    absent = [question_id for question_id in ids if question_id not in predictions]
    if absent:
        others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise ValueError(f"there is no prediction for question {absent[0]!r}{others}; for no answer, predict ''")
    pairs = []
    for question_id, answers in zip(ids, examples["answers"], strict=True):
        prediction = predictions[question_id]
        if not isinstance(prediction, str):
            raise ValueError(f"the prediction for question {question_id!r} must be a text, not {prediction!r:.60}")
        pairs.append((question_id, list(answers["text"]), prediction))
    return pairs


def _probabilities(ids: Sequence[str], probabilities: Mapping[str, float]) -> np.ndarray:
    absent = [question_id for question_id in ids if question_id not in probabilities]
    if absent:
        raise ValueError(f"there is no no_answer_probs for question {absent[0]!r}; give one for each of {len(ids)}")
    return np.array([float(probabilities[question_id]) for question_id in ids])


def _summary(scores: Mapping[str, np.ndarray], chosen: np.ndarray, prefix: str) -> dict[str, float]:
    made: dict[str, float] = {f"{prefix}{name}": _percent(values[chosen]) for name, values in scores.items()}
    return {**made, f"{prefix}total": int(np.count_nonzero(chosen))}


def _best_threshold(
    scores: np.ndarray, probabilities: np.ndarray, has_answer: np.ndarray, says_none: np.ndarray
) -> tuple[float, float]:
    """The best score, in per cent, over all thresholds, and the lowest that gives it.

    With every question silenced, those without an answer are right.  From there the questions get their voice back,
    the one most likely to have an answer first: it gains its score, or loses 1 if there was nothing to say.  As in
    the program of v2.0, questions of equal probability come one after the other, in their order.
    """
    order = np.argsort(probabilities, kind="stable")
    gains = np.where(has_answer, scores, np.where(says_none, 0.0, -1.0))[order]
    reached = np.cumsum([np.count_nonzero(~has_answer), *gains])
    best = int(np.argmax(reached))
    threshold = float(probabilities[order[best - 1]]) if best else 0.0
    return 100 * float(reached[best]) / len(scores), threshold


def _percent(scores: Any) -> float:
    return 100 * float(np.mean(scores))
