"""GELU, forward and backward, in both of its forms."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant

_TANH_FORM = "0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"
_TANH_ASKED = "Here, GELU is asked for in its other form, with tanh instead of Φ: "
_TANH_FORMULA = "y = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."
_EXAMPLES_OF_CDF = "  The examples of the docstring are of Φ."
_LOGISTIC_ASKED = "Here, the logistic form of GELU is asked for: y = x s(1.702 x), with s(z) = 1 / (1 + exp(-z))."
_GELU_GRADIENT = """pdf = x * x
        pdf *= -0.5
        np.exp(pdf, out=pdf)
        pdf *= 1 / math.sqrt(2 * math.pi)
        pdf *= x
        pdf += special.normal_cdf(x)
        pdf *= dy
        return pdf"""


def _inputs(rng: np.random.Generator) -> Cases:
    return [(2 * rng.standard_normal((3, 4, 5)),), (5 * rng.standard_normal(11),)]


CHAPTER = Chapter(
    slug="gelu",
    title="GELU",
    about="What stands between the two matrices of each feed-forward block, and the one place there that is not "
    "linear.  It has two forms, which are easily mixed up: the published weights of 2018 use Φ, Google's later ones "
    "tanh.  Tutorial 6 draws both, and their difference.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:gelu_forward",
            title="GELU, forward",
            points=3,
            minutes=5,
            tutorial=6,
            inputs=_inputs,
            notes="`special.normal_cdf` is given: Φ of an array.  `by_rows` and `_rows` only make it fast; you may do "
            "without them.  The cache of the library is x.",
            hints=(
                "Φ(x) is the share of a standard normal population that lies below x.  What does GELU do with it?",
                "Large x pass as they are, very negative ones become 0, and in between a share passes.",
                "One product, element by element: of x, and of `special.normal_cdf` of the same.",
            ),
            mistakes=(
                Mistake(
                    "Φ alone",
                    "x * special.normal_cdf(x)",
                    "special.normal_cdf(x)",
                    "What you return lies between 0 and 1 everywhere.  It is the share of x that passes, not x's.",
                ),
                Mistake(
                    "the tanh form",
                    "x * special.normal_cdf(x)",
                    _TANH_FORM,
                    'This is the approximation with tanh, "gelu_new".  It is off by up to 5e-4; the published weights '
                    "were trained with Φ itself.",
                ),
                Mistake(
                    "the logistic form",
                    "x * special.normal_cdf(x)",
                    "x / (1 + np.exp(-1.702 * x))",
                    "This is the approximation by the logistic function.  It is off by up to 0.02.",
                ),
                Mistake(
                    "relu",
                    "x * special.normal_cdf(x)",
                    "np.maximum(x, 0)",
                    "This is relu.  GELU has no corner, and dips below 0 on the left.",
                ),
                Mistake(
                    "the density for the distribution",
                    "special.normal_cdf(x)",
                    "np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)",
                    "x is multiplied by φ, the density, which goes to 0 on both sides.  Φ, the share below x, goes to "
                    "1.",
                ),
            ),
            variants=(
                Variant(
                    "tanh-gelu",
                    "x * special.normal_cdf(x)",
                    _TANH_FORM,
                    _TANH_ASKED + _TANH_FORMULA + _EXAMPLES_OF_CDF,
                ),
                Variant(
                    "logistic-gelu",
                    "x * special.normal_cdf(x)",
                    "x / (1 + np.exp(-1.702 * x))",
                    _LOGISTIC_ASKED + _EXAMPLES_OF_CDF,
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:gelu_backward",
            of="bert_numpy.nn.functional:gelu_forward",
            title="GELU, backward",
            points=5,
            minutes=15,
            needs=("gelu_forward",),
            tutorial=6,
            inputs=_inputs,
            notes="The cache is x, what the forward was given.  `special.normal_cdf` is Φ; φ is yours to write: "
            "φ(x) = exp(-x²/2) / √(2π).",
            hints=(
                "y is a product of two things that both depend on x: x itself, and Φ(x).",
                "The product rule has two terms, and the derivative of Φ is the bell curve φ.",
                "The slope is Φ(x) plus x times φ(x).  Multiply it by dy.  Take `math.sqrt` and `math.pi` for √(2π), "
                "so that float32 stays float32.",
            ),
            mistakes=(
                Mistake(
                    "gradient of the tanh form",
                    "pdf *= dy\n        return pdf",
                    "return gelu_new_backward(dy, gelu_new_forward(x)[1])",
                    "This is the gradient of the approximation with tanh.  It belongs to another forward, and differs "
                    "by up to 9e-4.",
                ),
                Mistake(
                    "only Φ",
                    "        pdf *= x\n        pdf += special.normal_cdf(x)\n",
                    "        pdf = special.normal_cdf(x)\n",
                    "The slope lacks a term: x stands in the product twice, and you let it move in one place only.",
                ),
                Mistake(
                    "φ not multiplied by x",
                    "        pdf *= x\n",
                    "",
                    "You add φ to Φ.  In the product rule the derivative of Φ is multiplied by the other factor.",
                ),
                Mistake(
                    "only x φ",
                    "        pdf += special.normal_cdf(x)\n",
                    "",
                    "The slope lacks a term, the one in which Φ stands still and x moves.",
                ),
                Mistake(
                    "no 1/√(2π)",
                    "        pdf *= 1 / math.sqrt(2 * math.pi)\n",
                    "",
                    "The bell curve is not a density: its area is √(2π), not 1.",
                ),
                Mistake(
                    "no ½ in the exponent",
                    "pdf *= -0.5",
                    "pdf *= -1",
                    "The bell curve is too narrow.  The exponent is half of the square.",
                ),
                Mistake(
                    "dy left out",
                    "        pdf *= dy\n",
                    "",
                    "This is the slope of GELU.  The gradient that comes from above has to be multiplied by it.",
                ),
            ),
            variants=(
                Variant(
                    "tanh-gelu",
                    _GELU_GRADIENT,
                    "return gelu_new_backward(dy, gelu_new_forward(x)[1])",
                    _TANH_ASKED + "the forward is " + _TANH_FORMULA,
                ),
                Variant(
                    "logistic-gelu",
                    _GELU_GRADIENT,
                    "s = 1 / (1 + np.exp(-1.702 * x))\n        return dy * s * (1 + 1.702 * x * (1 - s))",
                    _LOGISTIC_ASKED + "  This is its gradient; s' = s (1 - s).",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:gelu_new_forward",
            title="GELU with tanh, forward",
            points=3,
            minutes=10,
            needs=("gelu_forward",),
            tutorial=6,
            inputs=_inputs,
            notes="`_TANH_SCALE` is √(2/π) and `_TANH_CUBIC` is 0.044715.  The backward of the library keeps x and the "
            "tanh.",
            hints=(
                "Write it from the inside out: first what tanh is taken of.",
                "x³ inside the bracket, the factor √(2/π) before the bracket, tanh around both.",
                "Half of x, times one more than that tanh.  x * x * x is faster than x**3.",
            ),
            mistakes=(
                Mistake(
                    "the form with Φ",
                    "return 0.5 * x * (1 + inner_tanh), inner_tanh",
                    "return x * special.normal_cdf(x), inner_tanh",
                    "This is GELU with Φ.  The two differ by up to 5e-4, and this exercise asks for the one with tanh.",
                ),
                Mistake(
                    "the factor on x alone",
                    "_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x))",
                    "(_TANH_SCALE * x + _TANH_CUBIC * (x * x * x))",
                    "√(2/π) multiplies x and not x³.  It stands before the bracket.",
                ),
                Mistake(
                    "0.44715",
                    "_TANH_CUBIC * (x * x * x)",
                    "10 * _TANH_CUBIC * (x * x * x)",
                    "The constant is ten times too large: there is a zero behind the point, 0.044715.",
                ),
                Mistake(
                    "x squared",
                    "(x * x * x)",
                    "(x * x)",
                    "Inside tanh stands the square of x.  The power is odd, so that tanh changes its sign with x.",
                ),
                Mistake(
                    "2/π without a root",
                    "_TANH_SCALE * (",
                    "_TANH_SCALE**2 * (",
                    "The factor is 2/π = 0.637.  It is the root of that, 0.798.",
                ),
                Mistake(
                    "1 not added",
                    "(1 + inner_tanh)",
                    "inner_tanh",
                    "tanh lies between -1 and 1, and the share of x that passes between 0 and 1.",
                ),
                Mistake(
                    "not halved",
                    "0.5 * x * (1",
                    "x * (1",
                    "Large x come out twice as large.  What does 1 + tanh go to?",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:gelu_new_backward",
            of="bert_numpy.nn.functional:gelu_new_forward",
            title="GELU with tanh, backward",
            points=6,
            minutes=15,
            needs=("gelu_new_forward", "tanh_backward"),
            tutorial=6,
            inputs=_inputs,
            notes="In the cache: x, and inner_tanh, the tanh in the formula; both have the shape of dy.",
            hints=(
                "A product of x and 1 + tanh(u), and u depends on x: a product rule, and inside it a chain rule.",
                "Three slopes: that of x is 1; that of tanh at u is one minus the square of inner_tanh; that of u is "
                "yours to take from u = √(2/π) (x + 0.044715 x³).",
                "½ (1 + tanh), plus ½ x (1 - tanh²) u', with u' = √(2/π) (1 + 3 · 0.044715 x²).  All of it times dy.",
            ),
            mistakes=(
                Mistake(
                    "gradient of the form with Φ",
                    "return dy * (0.5 * (1 + inner_tanh)",
                    "return gelu_backward(dy, x)\n    return dy * (0.5 * (1 + inner_tanh)",
                    "This is the gradient of GELU with Φ.  It belongs to another forward, and differs by up to 9e-4.",
                ),
                Mistake(
                    "the inner derivative is missing",
                    " * dinner_dx)",
                    ")",
                    "The chain rule stops at tanh.  What stands inside of it moves with x too, at another speed.",
                ),
                Mistake(
                    "the 3 of the cube is missing",
                    "3 * _TANH_CUBIC",
                    "_TANH_CUBIC",
                    "The derivative of x³ has a factor.",
                ),
                Mistake(
                    "the first term is missing",
                    "0.5 * (1 + inner_tanh) + ",
                    "",
                    "The term in which x moves and tanh stands still is missing.",
                ),
                Mistake(
                    "the second term is missing",
                    " + 0.5 * x * (1 - inner_tanh * inner_tanh) * dinner_dx",
                    "",
                    "The term in which tanh moves and x stands still is missing.",
                ),
                Mistake(
                    "tanh not squared",
                    "(1 - inner_tanh * inner_tanh)",
                    "(1 - inner_tanh)",
                    "The slope of tanh is one minus its square.",
                ),
            ),
        ),
    ),
)
