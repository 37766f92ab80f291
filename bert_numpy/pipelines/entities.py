"""From a label for every token to entities: words joined of pieces, and names joined of words.

    tokens            jo     ##hn   smith   of   rome
    none              B-PER  I-PER  I-PER   O    B-LOC      one entity for each token
    simple            John Smith (PER)           Rome (LOC)

In "simple" a word may fall apart, since each of its pieces has a label of its own.  "first" gives a word the label of
its first piece, "average" the best label of the mean of its pieces' scores, "max" that of its surest piece.

Here: `Token`, `token_entities`, `group_entities`, with the results of the reference library.  One thing differs: what
belongs to one word is what the tokenizer says.  The reference compares lengths, and joins a word to the one before it
where the tokenizer dropped a character, such as an accent that is written as a character of its own.
Read next: `answering.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

STRATEGIES = ("none", "simple", "first", "average", "max")


class Token(NamedTuple):
    """A token of the text, with its scores.

    Attributes
    ----------
    word : str
        The token, "##" included; for [UNK] the characters of the text.
    scores : ndarray of shape (labels,)
    start, end : int
        In characters.
    position : int
        Its position in the sequence, [CLS] being 0.
    is_subword : bool
        Whether it goes on with the word of the token before it.
    """

    word: str
    scores: np.ndarray
    start: int
    end: int
    position: int
    is_subword: bool


def token_entities(tokens: Sequence[Token], labels: Mapping[int, str]) -> list[dict[str, Any]]:
    """The best label of each token, as the strategy "none" returns it.

    Examples
    --------
    >>> token_entities([Token("rome", np.array([0.1, 0.9]), 3, 7, 2, False)], {0: "O", 1: "B-LOC"})
    [{'entity': 'B-LOC', 'score': 0.9, 'index': 2, 'word': 'rome', 'start': 3, 'end': 7}]
    """
    return [
        {
            "entity": labels[int(token.scores.argmax())],
            "score": float(token.scores.max()),
            "index": token.position,
            "word": token.word,
            "start": token.start,
            "end": token.end,
        }
        for token in tokens
    ]


def word_entities(
    tokens: Sequence[Token], labels: Mapping[int, str], strategy: str, join: Callable[[list[str]], str]
) -> list[dict[str, Any]]:
    """One label for each word, by the strategy "first", "average" or "max"."""
    words: list[list[Token]] = []
    for token in tokens:
        if token.is_subword and words:
            words[-1].append(token)
        else:
            words.append([token])
    entities = []
    for pieces in words:
        scores = np.stack([piece.scores for piece in pieces])  # (pieces, labels)
        if strategy == "first":
            of_word = scores[0]
        elif strategy == "average":
            of_word = scores.mean(axis=0)
        else:
            of_word = scores[scores.max(axis=1).argmax()]
        entities.append(
            {
                "entity": labels[int(of_word.argmax())],
                "score": float(of_word.max()),
                "word": join([piece.word for piece in pieces]),
                "start": pieces[0].start,
                "end": pieces[-1].end,
            }
        )
    return entities


def group_entities(entities: Sequence[dict[str, Any]], join: Callable[[list[str]], str]) -> list[dict[str, Any]]:
    """Join neighbours of one kind to an entity; one that begins with "B-" begins another.

    Parameters
    ----------
    entities : sequence of dict
        With `entity`, `score`, `word`, `start` and `end`, in the order of the text.
    join : callable
        Makes a text of tokens.

    Returns
    -------
    list of dict
        `entity_group` (the label without "B-" or "I-"), `score` (the mean), `word`, `start`, `end`.

    Examples
    --------
    >>> john = {"entity": "B-PER", "score": 0.5, "word": "john", "start": 0, "end": 4}
    >>> smith = {"entity": "I-PER", "score": 1.0, "word": "smith", "start": 5, "end": 10}
    >>> group_entities([john, smith], " ".join)
    [{'entity_group': 'PER', 'score': 0.75, 'word': 'john smith', 'start': 0, 'end': 10}]
    """
    groups: list[list[dict[str, Any]]] = []
    for entity in entities:
        begins, kind = _kind(entity["entity"])
        if groups and not begins and kind == _kind(groups[-1][-1]["entity"])[1]:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [
        {
            "entity_group": group[0]["entity"].partition("-")[2] or group[0]["entity"],
            "score": float(np.mean([entity["score"] for entity in group])),
            "word": join([entity["word"] for entity in group]),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in groups
    ]


def _kind(label: str) -> tuple[bool, str]:
    """(whether the label begins an entity, the kind of the entity); a label without prefix goes on."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label
