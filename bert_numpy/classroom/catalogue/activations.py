"""Activations, forward and backward: relu and tanh."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant


def _with_corner(rng: np.random.Generator) -> Cases:
    x = rng.standard_normal((3, 4, 5))
    x[0, 1:3] = 0.0
    return [(x,), (rng.standard_normal(11),)]


def _with_extremes(rng: np.random.Generator) -> Cases:
    return [(rng.standard_normal((3, 4, 5)),), (np.array([-1000.0, -1.5, 0.3, 1000.0]),)]


CHAPTER = Chapter(
    slug="activations",
    title="Activations",
    about="Functions that work on every element by itself, so that the backward needs no sums: dx is dy times a slope. "
    " relu is here because it is the easiest of all; tanh is what BERT's pooler uses.  Tutorial 6 draws them.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:relu_forward",
            title="relu, forward",
            points=1,
            minutes=5,
            tutorial=6,
            inputs=_with_corner,
            notes="The cache of the library is x.",
            hints=(
                "Which of two numbers is larger, x or 0?  Ask it for every element.",
                "`max` of Python and `np.max` look for one largest element; NumPy has another function for the larger "
                "of two.",
                "`np.maximum` of two things, into a new array; x goes into the cache.",
            ),
            mistakes=(
                Mistake(
                    "writes into x",
                    "np.maximum(x, 0)",
                    "np.maximum(x, 0, out=x)",
                    "y is right, but x is overwritten with it.  Whoever called you may need x: a residual connection "
                    "does, and so does your own backward.",
                ),
                Mistake(
                    "the absolute value",
                    "np.maximum(x, 0)",
                    "np.abs(x)",
                    "Negative elements are mirrored.  relu makes them 0.",
                ),
                Mistake(
                    "the slope instead of the value",
                    "np.maximum(x, 0)",
                    "(x > 0).astype(x.dtype)",
                    "You return 0 and 1.  That is the slope of relu, which the backward will need; here x itself "
                    "passes.",
                ),
            ),
            variants=(
                Variant(
                    "leaky-relu",
                    "np.maximum(x, 0)",
                    "np.where(x > 0, x, 0.1 * x)",
                    "Here, a leaky relu is asked for: y = x where x > 0, and x/10 elsewhere.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:relu_backward",
            of="bert_numpy.nn.functional:relu_forward",
            title="relu, backward",
            points=2,
            minutes=5,
            needs=("relu_forward",),
            tutorial=6,
            inputs=_with_corner,
            notes="The cache is x, what the forward was given.",
            hints=(
                "When x grows a little, how much does y grow: where x is positive, and where it is negative?",
                "The chain rule for one element: dx is dy times the slope.  The slope is 1 or 0.",
                "A comparison of x with 0 makes True and False, and a product with dy takes them for 1 and 0.  Read in "
                "the docstring what holds at x = 0.",
            ),
            mistakes=(
                Mistake(
                    "the gradient passes at the corner",
                    "dy * (x > 0)",
                    "dy * (x >= 0)",
                    "At x = 0 the gradient passes.  There is no slope there, and the reference library takes 0.",
                ),
                Mistake(
                    "decided by dy",
                    "dy * (x > 0)",
                    "dy * (dy > 0)",
                    "Negative gradients are cut off.  Whether the gradient passes is decided by the sign of x, not by "
                    "its own.",
                ),
                Mistake(
                    "dy left out",
                    "dy * (x > 0)",
                    "(x > 0).astype(x.dtype)",
                    "This is the slope of relu.  The gradient that comes from above has to be multiplied by it.",
                ),
                Mistake(
                    "relu instead of its slope",
                    "dy * (x > 0)",
                    "np.maximum(x, 0) * dy",
                    "dy is multiplied by relu(x).  The slope is asked for: how steep is relu, not how high?",
                ),
            ),
            variants=(
                Variant(
                    "leaky-relu",
                    "dy * (x > 0)",
                    "np.where(x > 0, dy, 0.1 * dy)",
                    "Here, the forward is a leaky relu: y = x where x > 0, and x/10 elsewhere, at x = 0 too.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:tanh_forward",
            title="tanh, forward",
            points=1,
            minutes=5,
            tutorial=6,
            inputs=_with_extremes,
            notes="The cache of the library is y: the backward can do with it alone.",
            hints=(
                "NumPy has it.",
                "Do not write it with exponentials: what are exp(1000) and inf/inf?",
                "`np.tanh`, and the result twice: as the output and as the cache.",
            ),
            mistakes=(
                Mistake(
                    "exponentials that overflow",
                    "np.tanh(x)",
                    "(np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))",
                    "The formula is right and its exponentials overflow: for large x it is inf/inf, NaN.",
                ),
                Mistake(
                    "the logistic function",
                    "np.tanh(x)",
                    "1 / (1 + np.exp(-x))",
                    "This is the logistic function, from 0 to 1.  tanh goes from -1 to 1 and is twice as steep inside: "
                    "tanh(x) = 2 s(2x) - 1.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:tanh_backward",
            of="bert_numpy.nn.functional:tanh_forward",
            title="tanh, backward",
            points=2,
            minutes=5,
            needs=("tanh_forward",),
            tutorial=6,
            inputs=_with_extremes,
            notes="The cache is y, what the forward returned.",
            hints=(
                "The derivative of tanh can be written with tanh alone, so x is not needed.",
                "tanh' = 1 - tanh².  What in the cache is tanh of x already?",
                "One minus the square of y, times dy.",
            ),
            mistakes=(
                Mistake(
                    "tanh taken twice",
                    "(1 - y * y)",
                    "(1 - np.tanh(y) ** 2)",
                    "tanh is taken of y, which is tanh(x) already.  The cache holds the output of the forward.",
                ),
                Mistake(
                    "y not squared",
                    "(1 - y * y)",
                    "(1 - y)",
                    "The slope is 1 - y², not 1 - y: it is largest in the middle, at y = 0, and falls on both sides.",
                ),
                Mistake(
                    "the slope of the logistic function",
                    "(1 - y * y)",
                    "(y * (1 - y))",
                    "y (1 - y) is the slope of the logistic function.  That of tanh is 1 where y = 0.",
                ),
                Mistake(
                    "dy left out",
                    "return dy * (1",
                    "return (1",
                    "This is the slope of tanh.  The gradient that comes from above has to be multiplied by it.",
                ),
            ),
        ),
    ),
)
