"""An exercise as its author writes it: what is to be written, from which inputs, with which hints and known mistakes.

How one writes an exercise
--------------------------
A file of `catalogue/` is one chapter: `CHAPTER = Chapter(title, about, (Exercise(...), ...))`.  An exercise names a
function of this package, and nothing of the function is repeated: the stub that a student gets, the solution, and every
known mistake are taken from its source (`source.py`).

    Exercise(
        target="bert_numpy.nn.functional:softmax_forward",      # or "bert_numpy.models.encoder:BertLayer.forward"
        parts=("_softmax",),                # helpers in the same file that are part of the solution
        title="Softmax over the last axis",
        points=5,
        minutes=10,
        needs=("linear_forward",),          # names of exercises that come earlier
        tutorial=5,
        inputs=lambda rng: [(rng.standard_normal((3, 4, 7)),), (1000 + rng.standard_normal((2, 5)),)],
        hints=("...", "...", "..."),        # from a nudge to almost the formula, never the line itself
        mistakes=(
            Mistake("wrong axis", "x.max(axis=-1,", "x.max(axis=0,", "The maximum is that of a column.  ..."),
        ),
    )

The name of an exercise is that of its function, or `Class.method`.

`inputs(rng)` returns the cases: each a tuple of positional arguments, float64 throughout, all sizes different, gains
and biases random (`inputs.py` helps).  A method takes the object as its first argument.  The engine repeats each case
in float32 when it holds arrays of floats, and each call gets a fresh copy of everything, generators included.

A backward says `of="bert_numpy.nn.functional:softmax_forward"`, and its `inputs` are those of that forward: the engine
runs the forward, draws a gradient for each of its outputs, and calls `backward(*gradients, cache)`.  The result is
compared with the solution's, and named wrong where it is not the slope of the forward (finite differences).

What is compared is decided by `call`, a name of `calls.CALLS`: "forward" (the `y` of `(y, cache)`; the cache is the
student's own business), "backward" (what is returned, and the gradients that parameters of the object received),
"value" (what is returned) or "arguments" (the arguments afterwards, for functions that write in place).  The ending of
the name chooses it, or the author does.

A `Mistake` is an edit of the solution: `old` occurs exactly once in it (in the target and its parts together) and is
replaced by `new`; more pairs go into `also`.  The edited function runs beside the solution; a student whose outputs are
those of the edited function is told `says`, which tells where to look and not what to write.  `exercises check` refuses
a mistake that the inputs cannot tell from the solution or from another mistake, or that raises an error.
A `Variant` is an edit too: another correct answer to another question, which a teacher may ask for.

Here: the tables' classes.  Read next: `catalogue/layer_norm.py`, an example; `source.py`, where edits are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Cases = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Edit:
    """A change of the solution's source.

    Parameters
    ----------
    name : str
        A few words.
    old, new : str
        The text of the solution, which occurs exactly once, and what stands in its place.  A piece of a line or
        several lines with their indentation.
    says : str
        For the student.
    also : tuple of (old, new)
        Further replacements that belong to the same edit.
    """

    name: str
    old: str
    new: str
    says: str
    also: tuple[tuple[str, str], ...] = ()

    @property
    def replacements(self) -> tuple[tuple[str, str], ...]:
        """All pairs of old and new."""
        return ((self.old, self.new), *self.also)


@dataclass(frozen=True)
class Mistake(Edit):
    """A wrong solution that people write; `says` is what such a student is told: where to look, not what to write."""


@dataclass(frozen=True)
class Variant(Edit):
    """Another question with its own right answer; `says` is what the stub asks for.

    Variants of several exercises with the same name belong together: a kit and a grading ask for all of them at once.
    """


@dataclass(frozen=True)
class Exercise:
    """One function to be written.

    Parameters
    ----------
    target : str
        "module:function" or "module:Class.method".
    title : str
    points, minutes : int
        Weight in the grade; how long it takes someone who has read the tutorial, 5 to 30.
    inputs : function of a np.random.Generator
        Returns the cases; see above.
    hints : tuple of str
        About three, in the order in which they are given.
    mistakes : tuple of Mistake
    needs : tuple of str
        Names of exercises that come before.
    tutorial : int
        The number of the tutorial that goes with it, 1 to 14.
    parts : tuple of str
        Other functions of the same file that are part of the solution: the student gets none of them.
    of : str
        For a backward: the forward that it belongs to, written as a target.
    call : str
        What is compared; chosen by the name if empty.
    notes : str
        What the stub says beneath the docstring's text: what is in the cache, which draws are made.
    variants : tuple of Variant
    ids : str
        Which outputs are ids of the object's vocabulary, so that feedback shows their tokens: a pattern of their paths,
        "*" for all, "*.0" for the first of each.
    omits : tuple of str
        What the stub leaves out of the docstring because it is not asked for: headings of sections, and pieces of text,
        whose middle may be written as " ... ".
    """

    target: str
    title: str
    points: int
    minutes: int
    inputs: Callable[[np.random.Generator], Cases]
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    needs: tuple[str, ...] = ()
    tutorial: int = 0
    parts: tuple[str, ...] = ()
    of: str = ""
    call: str = ""
    notes: str = ""
    variants: tuple[Variant, ...] = ()
    ids: str = ""
    omits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.call:
            endings = [kind for kind in ("forward", "backward") if self.name.endswith(kind)]
            object.__setattr__(self, "call", endings[0] if endings else "value")

    @property
    def module(self) -> str:
        """The dotted name of the file of the target."""
        return self.target.partition(":")[0]

    @property
    def name(self) -> str:
        """The function's name, or Class.method."""
        return self.target.partition(":")[2]

    def variant(self, names: tuple[str, ...]) -> Variant | None:
        """The first of its variants that is asked for."""
        return next((variant for variant in self.variants if variant.name in names), None)


@dataclass(frozen=True)
class Chapter:
    """A file of the kit.

    Parameters
    ----------
    slug : str
        The file's name without number and ending.
    title : str
    about : str
        The paragraphs at the top of the file: what the chapter is about, which tutorial goes with it.
    exercises : tuple of Exercise
        In the order in which they are done.
    """

    slug: str
    title: str
    about: str
    exercises: tuple[Exercise, ...]
