"""Softmax, forward and backward."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant

_NORMALIZED = "y = by_rows(_softmax, _rows(x)).reshape(x.shape)"


def _over(axis: str) -> str:
    """Softmax over other axes."""
    return f"y = np.exp(x - x.max({axis}))\n    y /= y.sum({axis})"


def _inputs(rng: np.random.Generator) -> Cases:
    return [
        (2 * rng.standard_normal((3, 4, 5)),),
        (1000 + rng.standard_normal((2, 6)),),
        (rng.standard_normal((2, 3, 4, 7)) - 30,),
        (rng.standard_normal((3, 5)) + np.array([[1000], [0], [-1000]]),),  # rows of very different level
    ]


CHAPTER = Chapter(
    slug="softmax",
    title="Softmax",
    about="Scores become shares: positive, with the sum 1.  BERT does this with the scores of each query, over the "
    "keys, and its losses do it over the vocabulary.  Not with hidden states: they are no shares of anything.  "
    "Tutorial 5.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:softmax_forward",
            parts=("_softmax",),
            title="Softmax, forward",
            points=5,
            minutes=10,
            tutorial=5,
            inputs=_inputs,
            notes="`by_rows` and `_rows` only make it fast; you may do without them.  The backward of the library "
            "keeps y.",
            hints=(
                "exp(1000) is infinite in every float, but softmax of (1000, 1000) is (½, ½).  Softmax does not change "
                "when the same number is subtracted from all scores of a row.",
                "Which number makes the largest exponential exactly 1?  It is another one for each row, and "
                "`keepdims=True` lets it broadcast.",
                "Subtract the maximum over the last axis from a copy, take exp, divide by the sum over the last axis.",
            ),
            mistakes=(
                Mistake(
                    "no shift",
                    "y = x - x.max(axis=-1, keepdims=True)",
                    "y = x.copy()",
                    "Right for small scores; for large ones exp overflows, and inf/inf is NaN.  Softmax does not "
                    "change when a row is shifted: where should its largest score be?",
                ),
                Mistake(
                    "one shift for all rows",
                    "y = x - x.max(axis=-1, keepdims=True)",
                    "y = x - x.max()",
                    "The largest of all scores is subtracted from every row.  In a row far below it all exponentials "
                    "are 0, and 0/0 is NaN.  Each row has a largest score of its own.",
                ),
                Mistake(
                    "over the first axis",
                    _NORMALIZED,
                    _over("axis=0, keepdims=True"),
                    "The shares are 1 in sum over the first axis.  The scores that compete stand along the last one.",
                ),
                Mistake(
                    "over the queries",
                    _NORMALIZED,
                    _over("axis=-2, keepdims=True"),
                    "The shares are 1 in sum over the last but one axis: in attention these are the queries, and each "
                    "query has to share its attention among the keys.",
                ),
                Mistake(
                    "over everything",
                    _NORMALIZED,
                    _over(""),
                    "The whole array has the sum 1.  Without `axis`, max and sum run over all elements, and rows that "
                    "have nothing to do with each other compete.",
                ),
                Mistake(
                    "not divided",
                    "    y /= y.sum(axis=-1, keepdims=True)\n",
                    "",
                    "Exponentials, not yet shares: the largest of each row is 1 instead of the sum.",
                ),
                Mistake(
                    "writes into x",
                    "y = x - x.max(axis=-1, keepdims=True)",
                    "x -= x.max(axis=-1, keepdims=True)\n    y = x.copy()",
                    "The result is right, but x is overwritten by the shifted scores: `-=` changes the array that you "
                    "were given.  Somebody may still want to look at them.",
                ),
            ),
            variants=(
                Variant(
                    "temperature-2",
                    "y = x - x.max(axis=-1, keepdims=True)",
                    "y = 0.5 * (x - x.max(axis=-1, keepdims=True))",
                    "Here, softmax at temperature 2 is asked for: yᵢ = exp(xᵢ/2) / Σⱼ exp(xⱼ/2).",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:softmax_backward",
            of="bert_numpy.nn.functional:softmax_forward",
            title="Softmax, backward",
            points=8,
            minutes=20,
            needs=("softmax_forward",),
            tutorial=5,
            inputs=_inputs,
            notes="The cache is y, what the forward returned.",
            hints=(
                "Moving one score moves every share of its row: the Jacobian ∂yᵢ/∂xⱼ is a full matrix.  It need not be "
                "built.",
                "∂yᵢ/∂xⱼ is yᵢ (1 - yᵢ) on the diagonal and -yᵢ yⱼ elsewhere.  Multiply by dy and sum over i: a term "
                "with dyⱼ alone, and one sum that is the same for the whole row.",
                "Take s, the sum of dy times y over the last axis, one number for each row.  What is left of dy "
                "without s is weighted with y.",
            ),
            mistakes=(
                Mistake(
                    "the diagonal alone",
                    "    dx -= y * dx.sum(axis=-1, keepdims=True)\n",
                    "    dx -= y * dx\n",
                    "dx is dy y (1 - y), as if each share depended on its own score alone.  It depends on the scores "
                    "of the whole row.",
                ),
                Mistake(
                    "the sum is missing",
                    "    dx -= y * dx.sum(axis=-1, keepdims=True)\n",
                    "",
                    "dx lacks the effect of the denominator: raising one score lowers all other shares.",
                ),
                Mistake(
                    "the sum without y",
                    "y * dx.sum(axis=-1, keepdims=True)",
                    "y * dy.sum(axis=-1, keepdims=True)",
                    "The sum runs over dy.  In the formula each dyⱼ is weighted with its share.",
                ),
                Mistake(
                    "wrong sign",
                    "dx -= y * dx.sum",
                    "dx += y * dx.sum",
                    "The effect of the denominator is added.  When the denominator grows, the shares shrink.",
                ),
                Mistake(
                    "summed over everything",
                    "dx.sum(axis=-1, keepdims=True)",
                    "dx.sum()",
                    "One sum is taken of all rows.  Each row was normalized by itself, so each has its own sum.",
                ),
                Mistake(
                    "summed over the first axis",
                    "dx.sum(axis=-1, keepdims=True)",
                    "dx.sum(axis=0, keepdims=True)",
                    "The sum runs over the first axis.  The forward summed along the last one.",
                ),
                Mistake(
                    "writes into dy",
                    "dx = dy * y",
                    "dx = dy\n    dx *= y",
                    "The result is right, but the gradient that you were given is overwritten.",
                ),
            ),
            variants=(
                Variant(
                    "temperature-2",
                    "dx = dy * y",
                    "dx = 0.5 * dy * y",
                    "Here, the forward is softmax at temperature 2: yᵢ = exp(xᵢ/2) / Σⱼ exp(xⱼ/2).",
                ),
            ),
        ),
    ),
)
