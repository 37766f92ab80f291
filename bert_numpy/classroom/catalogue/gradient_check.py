"""The gradient check: slopes by finite differences, and how an error is measured."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake


def _gradient_inputs(rng: np.random.Generator) -> Cases:
    def case(*shape: int, h: float) -> tuple[object, ...]:
        return rng.standard_normal(shape), rng.standard_normal(shape), h

    return [case(3, 4, h=1e-3), case(5, h=0.1), case(2, 1, 3, h=1e-5)]


def _error_inputs(rng: np.random.Generator) -> Cases:
    expected = rng.standard_normal((3, 4))
    expected[0] *= 1e-6
    actual = expected + 1e-3 * rng.standard_normal((3, 4))
    actual[1, 2] -= 0.1
    nothing = np.zeros(5)
    return [(actual, expected), (nothing + 1e-9, nothing), (nothing + 1e-3, nothing, 0.5), (10 * expected, expected)]


CHAPTER = Chapter(
    slug="gradient_check",
    title="The gradient check",
    about="Every backward that you have written was compared with slopes that were measured.  Here you write the "
    "measuring instrument.  Tutorial 3 shows its V-curve: too large a step bends, too small a step rounds.",
    exercises=(
        Exercise(
            target="bert_numpy.verification.gradcheck:numeric_gradient",
            title="A gradient by finite differences",
            points=5,
            minutes=15,
            tutorial=3,
            call="slope_of",
            inputs=_gradient_inputs,
            notes="`f` takes no argument: it reads `x` itself, so an entry must be changed in the very array that was "
            "given.  The check of the dtype is not asked for.  Afterwards every entry of `x` is what it was, to the "
            "last bit.",
            hints=(
                "One entry at a time: move it a little, look at f, put it back.",
                "A step up and a step down: the error of the difference is then of the order of h², not of h.",
                "`np.ndindex(*x.shape)` runs through all indices.  Remember the entry before you move it, and set it: "
                "what was added need not come out exactly when it is subtracted.",
            ),
            mistakes=(
                Mistake(
                    "one-sided difference",
                    "        x[i] = original - h\n        below = f()\n",
                    "        x[i] = original\n        below = f()\n",
                    "The slope is measured to one side only: its error is of the order of h.  Step down as well as up.",
                    also=(("(2 * h)", "h"),),
                ),
                Mistake(
                    "divided by h",
                    "/ (2 * h)",
                    "/ h",
                    "Every slope is twice what it should be.  How far apart are the two places?",
                ),
                Mistake(
                    "h left out",
                    "/ (2 * h)",
                    "/ 2",
                    "The differences are not divided by the distance.",
                ),
                Mistake(
                    "a step of its own",
                    "original + h",
                    "original + 1e-6",
                    "The step is 1e-6 whatever h is.",
                    also=(("original - h", "original - 1e-6"), ("(2 * h)", "2e-6")),
                ),
                Mistake(
                    "entries not put back",
                    "        x[i] = original\n",
                    "",
                    "x is not restored: after its turn each entry stays a step lower, and later ones are measured "
                    "beside it.",
                ),
                Mistake(
                    "a copy is moved",
                    "gradient = np.zeros_like(x)",
                    "gradient, x = np.zeros_like(x), x.copy()",
                    "All slopes are 0: the entries of a copy are moved, and `f` does not see it.",
                ),
                Mistake(
                    "sign",
                    "above - below",
                    "below - above",
                    "Every slope has the wrong sign: up minus down.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.verification.gradcheck:relative_error",
            title="How large an error is",
            points=2,
            minutes=5,
            tutorial=3,
            inputs=_error_inputs,
            notes="Return a Python float.  Arrays without an element have error 0.",
            hints=(
                "One number for the whole array: the largest difference, in units of something.",
                "Entry by entry, a gradient next to 0 would seem very wrong.  The unit is that of the whole array.",
                "`np.max` of the magnitudes, on both sides of the fraction; below, not less than `floor`.",
            ),
            mistakes=(
                Mistake(
                    "entry by entry",
                    "np.max(np.abs(actual - expected), initial=0) / max(np.max(np.abs(expected), initial=0), floor)",
                    "np.max(np.abs(actual - expected) / np.maximum(np.abs(expected), floor), initial=0)",
                    "Each difference is divided by its own entry.  An entry next to 0 then decides: two correct "
                    "float32 gradients of BERT differ by more than 100 % there.",
                ),
                Mistake(
                    "no magnitude",
                    "np.abs(actual - expected)",
                    "(actual - expected)",
                    "Differences below 0 do not count.",
                ),
                Mistake(
                    "in units of the student's own array",
                    "np.max(np.abs(expected), initial=0), floor",
                    "np.max(np.abs(actual), initial=0), floor",
                    "The unit is taken from `actual`: a gradient ten times too large would look nearly right.",
                ),
                Mistake(
                    "mean difference",
                    "np.max(np.abs(actual - expected), initial=0)",
                    "np.mean(np.abs(actual - expected))",
                    "The mean difference is taken: one wrong entry among many would pass.",
                ),
                Mistake(
                    "floor left out",
                    "max(np.max(np.abs(expected), initial=0), floor)",
                    "np.max(np.abs(expected), initial=0)",
                    "`floor` does not take part.  The gradient of a key bias is 0, and 0 is no unit.",
                ),
                Mistake(
                    "floor added",
                    "max(np.max(np.abs(expected), initial=0), floor)",
                    "(np.max(np.abs(expected), initial=0) + floor)",
                    "`floor` is added to the unit.  It takes the unit's place where that is smaller.",
                ),
            ),
        ),
    ),
)
