"""Dropout, forward and backward."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake


def _inputs(rng: np.random.Generator) -> Cases:
    def case(p: float, *shape: int) -> tuple[object, ...]:
        return rng.standard_normal(shape), p, np.random.default_rng(int(rng.integers(99)))

    return [case(0.3, 3, 5, 7), case(0.8, 40), case(0.1, 6, 10), (rng.standard_normal((4, 3)), 0.0, None)]


CHAPTER = Chapter(
    slug="dropout",
    title="Dropout",
    about="While BERT learns, a tenth of all numbers is set to zero at some places, others each time.  What remains is "
    "made larger, so that nothing has to change when the model is used.  Tutorial 6.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:dropout_forward",
            title="Dropout, forward",
            points=4,
            minutes=10,
            tutorial=6,
            inputs=_inputs,
            notes="So that everybody drops the same elements: make one call of `rng.random` for the whole of `x`, with "
            "the shape of `x` and `dtype=np.float32`; an element stays where its number is p or more.  Where p is 0, "
            "return `x` and draw nothing.",
            hints=(
                "An array of True and False, one for each element of x.  A product with it sets the others to zero.",
                "A share of 1 - p is left.  By what must it be multiplied, so that the sum is, on average, what it "
                "was?",
                "Treat p = 0 first.  Then: draw, compare with p, multiply, divide by the share that is left.  The "
                "backward needs to know which elements stayed, and p.",
            ),
            mistakes=(
                Mistake(
                    "not scaled",
                    "    y *= 1 / (1 - p)\n",
                    "",
                    "What remains is not scaled.  The expectation of y is then (1 - p) x, and eval mode sees larger "
                    "numbers than the layers behind have learned from.",
                ),
                Mistake(
                    "scaled down",
                    "y *= 1 / (1 - p)",
                    "y *= 1 - p",
                    "What remains is made smaller instead of larger.  (The factor 1 - p belongs to an older form of "
                    "dropout, which scales when the model is used.)",
                ),
                Mistake(
                    "scaled by 1/p",
                    "y *= 1 / (1 - p)",
                    "y *= 1 / p",
                    "You divide by the probability of dropping.  Which share of the elements is still there?",
                ),
                Mistake(
                    "p is the probability of keeping",
                    ">= p",
                    "< p",
                    "You keep each element with probability p.  Here, p is the probability of dropping it.",
                ),
                Mistake(
                    "p is the probability of keeping, in the scale too",
                    ">= p",
                    "< p",
                    "You keep each element with probability p and divide by it.  That is dropout with 1 - p: here, p "
                    "is the probability of dropping.",
                    also=(("y *= 1 / (1 - p)", "y *= 1 / p"),),
                ),
                Mistake(
                    "one draw for all rows",
                    "rng.random(x.shape, dtype=np.float32)",
                    "rng.random(x.shape[-1], dtype=np.float32)",
                    "The same coordinates are dropped in every row.  Each element has a draw of its own.",
                ),
                Mistake(
                    "drawn in float64",
                    "rng.random(x.shape, dtype=np.float32)",
                    "rng.random(x.shape)",
                    "A right dropout, but not the one that was agreed on: the numbers are drawn in float64, and a "
                    "generator gives others in float32.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:dropout_backward",
            of="bert_numpy.nn.functional:dropout_forward",
            title="Dropout, backward",
            points=3,
            minutes=5,
            needs=("dropout_forward",),
            tutorial=6,
            inputs=_inputs,
            notes="The cache is None where p was 0, else (kept, p): kept is an array of bool, True where an element "
            "stayed.  There is no generator here, and that is no oversight.",
            hints=(
                "For one element the forward is y = c x.  What is c where the element stayed, and where it was "
                "dropped?",
                "The gradient passes where x passed, with the same factor.  Nothing is drawn again.",
                "If there was nothing to drop, dy is the answer.  Else multiply dy by what multiplied x.",
            ),
            mistakes=(
                Mistake(
                    "not scaled",
                    "    dx *= 1 / (1 - p)\n",
                    "",
                    "The gradient is not scaled.  The forward multiplied by two things: the mask and a number.",
                ),
                Mistake(
                    "nothing dropped",
                    "dx = dy * kept",
                    "dx = dy.copy()",
                    "Elements that were dropped receive a gradient.  y did not depend on them.",
                ),
                Mistake(
                    "the others dropped",
                    "dx = dy * kept",
                    "dx = dy * ~kept",
                    "The gradient passes where x was dropped, and only there.",
                ),
                Mistake(
                    "scaled down",
                    "dx *= 1 / (1 - p)",
                    "dx *= 1 - p",
                    "The scale is turned around: the gradient is multiplied by what x was multiplied by.",
                ),
                Mistake(
                    "writes into dy",
                    "dx = dy * kept",
                    "dx = dy\n    dx *= kept",
                    "The gradient that you were given is overwritten.  In a residual connection it is needed once "
                    "more.",
                ),
            ),
        ),
    ),
)
