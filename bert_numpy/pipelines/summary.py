"""The sentences of a text that stand for it best.

Here: `split_sentences`, `Summarizer`.  Not here: the vectors of sentences (`embedding.py`).  Read next: `factory.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from .embedding import Embedder

# An end: . ! ? …, any closing quotes or brackets, then white space; or the full stops of Chinese; or an empty line.
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n[^\S\n]*\n")
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "no", "fig", "e.g", "i.e", "cf", "etc"}


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end.

    A sentence ends at ".", "!", "?" or "…" with white space behind it (closing quotes and brackets may come between),
    at a Chinese full stop, and at an empty line.  It goes on if the next letter is a small one, and behind a title
    ("Dr."), an initial ("J.") or one of a few abbreviations.  A simple rule, wrong where a sentence ends in one.

    Returns
    -------
    list of (start, end)
        In characters, without the white space around; none for an empty text.

    Examples
    --------
    >>> text = 'Dr. Smith came. "Why?" she asked.  He left!'
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Dr. Smith came.', '"Why?" she asked.', 'He left!']
    """
    cuts = [match.end() for match in _END.finditer(text) if _is_end(text, match)]
    spans = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        part = text[start:end]
        if part.strip():
            start += len(part) - len(part.lstrip())
            spans.append((start, start + len(part.strip())))
    return spans


def _is_end(text: str, match: re.Match[str]) -> bool:
    if "\n" in match[0] or match[0][0] in "。！？":
        return True
    following = text[match.end() :].lstrip()[:1]
    if following.islower():
        return False
    if match[0] != ".":
        return True
    words = text[max(0, match.start() - 20) : match.start()].split()
    word = words[-1].lstrip("(\"'“‘") if words else ""
    return word.lower() not in _TITLES and not (len(word) == 1 and word.isupper())


class Summarizer:
    """Pick the sentences that stand best for a text; nothing is rewritten.

    An encoder does not write: what is returned are sentences of the text, word for word and in its order.  Each
    sentence is embedded as the mean of its tokens; its `score` is its mean cosine with the other sentences.  Sentences
    are picked one by one, the one of the largest (1 - d) · score - d · (largest cosine with a picked one) first, where
    d is `diversity`.  The same text always gives the same summary.

    Models that were trained to compare sentences (sentence-transformers folders) do this far better than others, whose
    vectors are all alike.

    Parameters
    ----------
    embed : Embedder
    num_sentences : int
        How many sentences to pick.
    diversity : float
        From 0, only the score counts, to 1, only the difference from what is already picked.

    Examples
    --------
    >>> summarize = Summarizer.from_pretrained("tiny-random", num_sentences=1)     # random weights: means nothing
    >>> text = "To be or not. That is the question. To be!"
    >>> found = summarize(text)
    >>> len(found), text[found[0]["start"] : found[0]["end"]] == found[0]["sentence"]
    (1, True)
    """

    def __init__(self, embed: Embedder, num_sentences: int = 3, diversity: float = 0.3) -> None:
        if num_sentences < 1:
            raise ValueError(f"num_sentences must be at least 1, not {num_sentences}")
        if not 0 <= diversity <= 1:
            raise ValueError(f"diversity {diversity} must lie between 0 and 1")
        self.embed = embed
        self.num_sentences = num_sentences
        self.diversity = diversity

    @classmethod
    def from_pretrained(cls, name: str | Path, num_sentences: int = 3, diversity: float = 0.3) -> Summarizer:
        """Load a model and its tokenizer; see `Embedder.from_pretrained`.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing or does not fit together.
        """
        return cls(Embedder.from_pretrained(name, normalize=True), num_sentences, diversity)

    def __call__(self, text: str, num_sentences: int | None = None) -> list[dict[str, Any]]:
        """Summarize a text.

        Parameters
        ----------
        text : str
        num_sentences : int, optional
            As in the class; all sentences, if there are no more.

        Returns
        -------
        list of dict
            `sentence`, `score`, `start` and `end` (characters of the text), in the order of the text.

        Raises
        ------
        ValueError
            If the text is empty.
        """
        wanted = self.num_sentences if num_sentences is None else num_sentences
        if wanted < 1:
            raise ValueError(f"num_sentences must be at least 1, not {wanted}")
        spans = split_sentences(text)
        if not spans:
            raise ValueError("the text is empty; there is nothing to summarize")
        vectors = self.embed([text[start:end] for start, end in spans]).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = vectors @ vectors.T  # (sentences, sentences)
        scores = (cosines.sum(axis=1) - cosines.diagonal()) / max(len(spans) - 1, 1)
        return [
            {
                "sentence": text[spans[i][0] : spans[i][1]],
                "score": float(scores[i]),
                "start": spans[i][0],
                "end": spans[i][1],
            }
            for i in sorted(pick(scores, cosines, wanted, self.diversity))
        ]


def pick(scores: np.ndarray, cosines: np.ndarray, count: int, diversity: float) -> list[int]:
    """Pick by maximal marginal relevance: good ones first that are unlike those already picked.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    cosines : ndarray of shape (n, n)
    count : int
    diversity : float

    Returns
    -------
    list of int
        In the order in which they were picked; the first of equals.

    Examples
    --------
    >>> cosines = np.array([[1, 1, 0.5], [1, 1, 0.4], [0.5, 0.4, 1]])
    >>> pick(np.array([0.9, 0.8, 0.5]), cosines, 2, diversity=0.0)
    [0, 1]
    >>> pick(np.array([0.9, 0.8, 0.5]), cosines, 2, diversity=0.5)
    [0, 2]
    """
    picked: list[int] = []
    likeness = np.zeros(len(scores))
    while len(picked) < min(count, len(scores)):
        value = (1 - diversity) * scores - diversity * likeness
        value[picked] = -np.inf
        best = int(np.argmax(value.round(9)))  # rounded: which of two equal sentences is first must not depend on BLAS
        likeness = np.maximum(likeness, cosines[best]) if picked else cosines[best].copy()
        picked.append(best)
    return picked
