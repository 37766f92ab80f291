"""How good tags are, counted in whole entities: an entity is right if its first word, last word and type are.

    y_true, y_pred = tag_sequences(logits, label_ids, labels.id2label)
    entity_f1_score(y_true, y_pred), entity_classification_report(y_true, y_pred)["PER"]

A tag is O, or what a word is to its entity and the type of that: B- for the first word, I- for one inside, E- for the
last, S- for the only one.  Predicted tags need not fit together, as in O I-PER or B-PER I-LOC; there are two ways to
read them, and the results are those of seqeval:

    lenient   a word goes on with the entity before it if its tag is I or E, the tag before it B or I, and the types are
    (mode     the same; any other tag but O begins an entity.  This is how the program `conlleval` counts, it suits all
    None)     ways of tagging, and papers mean it
    strict    an entity is what the scheme says, all else is none: "IOB2" B I*, "IOE2" I* E, "IOBES" B I* E or S

Ratios without denominator are 0: a type that is never predicted has precision 0, and where there is no entity on
either side, every score is 0.  (seqeval gives NaN for the macro average of no type.)

Here: entities.  Not here: the share of words with the right tag (`accuracy_score` in `metrics.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .metrics import Scores, check_average, scores_from_counts

Entity = tuple[str, int, int]  # type, first word, last word
Sentences = Sequence[Sequence[str]]
IGNORED = -100

_SCHEMES = {"IOB2": re.compile("BI*"), "IOE2": re.compile("I*E"), "IOBES": re.compile("BI*E|S")}


def tag_sequences(
    predictions: ArrayLike, label_ids: ArrayLike, id2label: Mapping[int, str]
) -> tuple[list[list[str]], list[list[str]]]:
    """The tags of the words, sentence by sentence, from the arrays that a trainer hands to `compute_metrics`.

    Parameters
    ----------
    predictions : array_like of shape (N, S), or of shape (N, S, labels) for logits
    label_ids : array_like of shape (N, S)
        What is -100, such as further pieces of a word, is left out on both sides.
    id2label : mapping of int to str

    Returns
    -------
    (y_true, y_pred) : lists of lists of str

    Raises
    ------
    ValueError
        If the shapes differ, or a label has no name.

    Examples
    --------
    >>> tag_sequences([[0, 1, 1]], [[-100, 1, 0]], {0: "O", 1: "B-PER"})
    ([['B-PER', 'O']], [['B-PER', 'B-PER']])
    """
    predicted, true = np.asarray(predictions), np.asarray(label_ids)
    if predicted.ndim == 3:
        predicted = predicted.argmax(-1)
    if predicted.shape != true.shape or true.ndim != 2:
        raise ValueError(f"predictions of shape {np.shape(predictions)} do not fit label_ids of shape {true.shape}")
    kept = true != IGNORED
    unknown = {*np.unique(true[kept]).tolist(), *np.unique(predicted[kept]).tolist()} - set(id2label)
    if unknown:
        raise ValueError(f"label {min(unknown)} has no name in id2label, which holds {sorted(id2label)[:8]}")
    pairs = [(true[row][kept[row]], predicted[row][kept[row]]) for row in range(len(true))]
    return [[id2label[i] for i in t.tolist()] for t, _ in pairs], [[id2label[i] for i in p.tolist()] for _, p in pairs]


def get_entities(tags: Sequence[str], *, mode: str | None = None, scheme: str | None = None) -> list[Entity]:
    """The entities of one sentence.

    Parameters
    ----------
    tags : sequence of str
        One for each word.  A tag without type, such as "B", has the type "_".
    mode : {None, "strict"}
    scheme : {"IOB2", "IOE2", "IOBES"}
        For the strict mode.

    Returns
    -------
    list of (type, first word, last word)

    Raises
    ------
    ValueError
        If a tag is none, or the scheme is not known.

    Examples
    --------
    >>> get_entities(["B-PER", "I-PER", "O", "I-LOC"])
    [('PER', 0, 1), ('LOC', 3, 3)]
    >>> get_entities(["B-PER", "I-PER", "O", "I-LOC"], mode="strict", scheme="IOB2")
    [('PER', 0, 1)]
    """
    parts = [_split(tag, place) for place, tag in enumerate(tags)]
    if mode is None:
        return _lenient(parts)
    if mode != "strict":
        raise ValueError(f"mode must be None or 'strict', not {mode!r}")
    if scheme not in _SCHEMES:
        raise ValueError(f"the strict mode needs a scheme, one of {', '.join(_SCHEMES)}, not {scheme!r}")
    return _strict(parts, scheme)


def entity_precision_recall_fscore_support(
    y_true: Sentences,
    y_pred: Sentences,
    *,
    average: str | None = None,
    mode: str | None = None,
    scheme: str | None = None,
) -> Scores:
    """Precision, recall, F1 and number of the entities.

    Parameters
    ----------
    y_true, y_pred : sequences of sequences of str
        The tags of each sentence.
    average : {None, "micro", "macro", "weighted"}
        None: of every type, sorted; "micro": of all entities, whatever their type; "macro": the mean over the types;
        "weighted": the mean, each type as often as it has entities.
    mode, scheme
        How to read tags; see `get_entities`.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If there is no sentence, or not as many sentences, or words in one, on both sides; if a tag is none.

    Examples
    --------
    >>> truth, predicted = [["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC", "I-LOC"]]
    >>> entity_precision_recall_fscore_support(truth, predicted, average="micro")
    Scores(precision=0.5, recall=0.5, f1=0.5, support=None)
    """
    check_average(average, (None, "micro", "macro", "weighted"))
    _, scores = _scores_by_type(y_true, y_pred, mode, scheme, average)
    return scores


def entity_precision_score(
    y_true: Sentences,
    y_pred: Sentences,
    *,
    average: str | None = "micro",
    mode: str | None = None,
    scheme: str | None = None,
) -> Any:
    """Of the entities that were predicted, the share that are there; see `entity_precision_recall_fscore_support`.

    Examples
    --------
    >>> entity_precision_score([["B-PER", "O"]], [["B-PER", "B-LOC"]])
    0.5
    """
    return entity_precision_recall_fscore_support(y_true, y_pred, average=average, mode=mode, scheme=scheme).precision


def entity_recall_score(
    y_true: Sentences,
    y_pred: Sentences,
    *,
    average: str | None = "micro",
    mode: str | None = None,
    scheme: str | None = None,
) -> Any:
    """Of the entities that are there, the share that were found; see `entity_precision_recall_fscore_support`.

    Examples
    --------
    >>> entity_recall_score([["B-PER", "O"]], [["B-PER", "B-LOC"]])
    1.0
    """
    return entity_precision_recall_fscore_support(y_true, y_pred, average=average, mode=mode, scheme=scheme).recall


def entity_f1_score(
    y_true: Sentences,
    y_pred: Sentences,
    *,
    average: str | None = "micro",
    mode: str | None = None,
    scheme: str | None = None,
) -> Any:
    """F1 of the entities, what papers on named entities report; see `entity_precision_recall_fscore_support`.

    Examples
    --------
    >>> entity_f1_score([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]])  # a part of a name is not the name
    0.0
    >>> entity_f1_score([["B-PER", "O"]], [["B-PER", "B-LOC"]])
    0.6666666666666666
    """
    return entity_precision_recall_fscore_support(y_true, y_pred, average=average, mode=mode, scheme=scheme).f1


def entity_classification_report(
    y_true: Sentences, y_pred: Sentences, *, mode: str | None = None, scheme: str | None = None
) -> dict[str, dict[str, float]]:
    """All scores at once, of every type and averaged.

    Returns
    -------
    dict
        The types, sorted, then "micro avg", "macro avg" and "weighted avg"; for each a dict of "precision", "recall",
        "f1-score" and "support".

    Examples
    --------
    >>> report = entity_classification_report([["B-PER", "O"]], [["B-PER", "B-LOC"]])
    >>> list(report), report["PER"]
    (['LOC', 'PER', 'micro avg', 'macro avg', 'weighted avg'],
     {'precision': 1.0, 'recall': 1.0, 'f1-score': 1.0, 'support': 1})
    """
    types, scores = _scores_by_type(y_true, y_pred, mode, scheme, None)
    rows = {kind: tuple(column[i].item() for column in scores) for i, kind in enumerate(types)}
    total = int(scores.support.sum())
    for average in ("micro", "macro", "weighted"):
        _, mean = _scores_by_type(y_true, y_pred, mode, scheme, average)
        rows[f"{average} avg"] = (mean.precision, mean.recall, mean.f1, total)
    return {
        name: dict(zip(("precision", "recall", "f1-score", "support"), row, strict=True)) for name, row in rows.items()
    }


def _scores_by_type(
    y_true: Sentences, y_pred: Sentences, mode: str | None, scheme: str | None, average: str | None
) -> tuple[list[str], Scores]:
    """The types that occur, sorted, and the scores."""
    true, predicted = _all_entities(y_true, y_pred, mode, scheme)
    counts = [Counter(kind for _, (kind, _, _) in found) for found in (true & predicted, predicted, true)]
    types = sorted({*counts[1], *counts[2]})
    right, found, expected = (np.array([count[kind] for kind in types], np.int64) for count in counts)
    return types, scores_from_counts(right, found, expected, average)


def _all_entities(
    y_true: Sentences, y_pred: Sentences, mode: str | None, scheme: str | None
) -> tuple[set[tuple[int, Entity]], set[tuple[int, Entity]]]:
    """The (sentence, entity) pairs of both sides."""
    if len(y_true) != len(y_pred):
        raise ValueError(f"y_true has {len(y_true)} sentences, but y_pred has {len(y_pred)}")
    if len(y_true) == 0:
        raise ValueError("y_true and y_pred are empty; there is nothing to measure")
    sides: tuple[set[tuple[int, Entity]], set[tuple[int, Entity]]] = set(), set()
    for number, pair in enumerate(zip(y_true, y_pred, strict=True)):
        if len(pair[0]) != len(pair[1]):
            raise ValueError(f"sentence {number} has {len(pair[0])} tags in y_true, but {len(pair[1])} in y_pred")
        for side, name, tags in zip(sides, ("y_true", "y_pred"), pair, strict=True):
            if isinstance(tags, str):
                raise ValueError(f"{name}[{number}] is the text {tags!r:.40}; give a list of tags for each sentence")
            try:
                side.update((number, entity) for entity in get_entities(tags, mode=mode, scheme=scheme))
            except ValueError as error:
                raise ValueError(f"{name}, sentence {number}: {error}") from None
    return sides


def _split(tag: str, place: int) -> tuple[str, str]:
    """What a tag says of the word, and the type; ("O", "") outside."""
    if tag == "O":
        return "O", ""
    if isinstance(tag, str) and tag[:1] in ("B", "I", "E", "S") and tag[1:2] in ("", "-"):
        return tag[0], tag[2:] or "_"
    raise ValueError(f"tag {place}, {tag!r}, is neither O nor one that begins with B-, I-, E- or S-")


def _lenient(parts: list[tuple[str, str]]) -> list[Entity]:
    entities: list[Entity] = []
    before = ("O", "")
    for place, (part, kind) in enumerate(parts):
        if part in ("I", "E") and before[0] in ("B", "I") and before[1] == kind:
            entities[-1] = (kind, entities[-1][1], place)
        elif part != "O":
            entities.append((kind, place, place))
        before = (part, kind)
    return entities


def _strict(parts: list[tuple[str, str]], scheme: str) -> list[Entity]:
    """In every run of tags of one type, what the pattern of the scheme finds."""
    entities: list[Entity] = []
    place = 0
    for kind, run in groupby(parts, key=lambda part: part[1]):
        letters = "".join(part for part, _ in run)
        foreign = re.search(f"[^{scheme}]", letters)
        if foreign:
            raise ValueError(f"tag {place + foreign.start()} begins with {foreign[0]}-, which {scheme} does not know")
        entities += [(kind, place + m.start(), place + m.end() - 1) for m in _SCHEMES[scheme].finditer(letters)]
        place += len(letters)
    return entities
