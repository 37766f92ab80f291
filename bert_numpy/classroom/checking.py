"""An exercise of a kit, checked: the student's function in a process of its own, and what is said about it.

    report = check_in_kit(Kit(folder), exercise)
    report.passed, report.lines

`check(function)` does the same to a function of a notebook or a script, in its own process.

Here: one check from beginning to end.  Not here: the words (`feedback.py`), the pay-off (`payoff.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .calls import as_method, use_library
from .catalogue import find
from .comparing import Answers
from .exercise import Exercise
from .feedback import Feedback, give_feedback
from .kit import SETTINGS
from .kit_files import digest, path_of
from .payoff import in_process, sentence
from .plain import few_lines
from .progress import Kit
from .sandbox import Outcome, Sandbox, other_functions
from .submission import read_cells

SEED = 1


@dataclass(frozen=True)
class Report:
    """What is said about an exercise; in a notebook, the report shows itself.

    Parameters
    ----------
    exercise : Exercise
    passed : bool
    lines : tuple of str
    rung : str
        As in `Feedback`, or "reason" where there was nothing to compare.
    """

    exercise: Exercise
    passed: bool
    lines: tuple[str, ...]
    rung: str

    def __repr__(self) -> str:
        head = f"{self.exercise.name}: {'passed' if self.passed else 'not yet'}"
        return "\n".join([head, *(f"  {line}" for line in self.lines)])


def check_in_kit(kit: Kit, exercise: Exercise, sandbox: Sandbox | None = None) -> Report:
    """Check an exercise of a kit, show its pay-off if it passes, and note the result in the kit.

    Raises
    ------
    FileNotFoundError, ValueError
        If the chapter's file is missing or cannot be read.
    """
    path = path_of(kit.folder, exercise)
    cells, checked = read_cells(path), digest(path, exercise)
    answers = Answers(exercise, SEED, kit.variants)
    outcome = (sandbox or Sandbox()).run(exercise, cells, answers.calls)
    feedback = judge(answers, outcome)
    lines = list(feedback.lines)
    if feedback.passed and exercise.variant(kit.variants) is None:
        said = in_process(exercise, cells)
        lines += [said] if said else []
    if outcome.printed.strip():
        lines += ["it printed:", *(f"  {line}" for line in outcome.printed.rstrip().split("\n")[:20])]
    if feedback.rung != "not begun":
        kit.note(exercise, feedback.passed, checked)
    return Report(exercise, feedback.passed, tuple(lines), feedback.rung)


def judge(answers: Answers, outcome: Outcome) -> Feedback:
    """Feedback about what a process brought back, or about why it brought nothing."""
    if outcome.reason:
        return Feedback("reason", few_lines([outcome.reason]))
    feedback = give_feedback(answers, outcome.observations)
    also = outcome.cell_errors[:3] if feedback.rung == "words" else ()
    return replace(feedback, lines=few_lines([*feedback.lines, *(f"also: {error}" for error in also)]))


# ---- in a notebook or a script ----


def check(function: Callable[..., Any], name: str | None = None) -> Report:
    """Check a function that you have defined in a notebook, at a prompt or in a script.

    Parameters
    ----------
    function : callable
        With the name of the exercise: `check(layer_norm_forward)`, `check(BertLayer.forward)`.
    name : str, optional
        The name of the exercise, if the function has another one.

    Returns
    -------
    Report
        Shown below the cell; a script prints it.

    Raises
    ------
    ValueError
        If there is no exercise of that name.

    Examples
    --------
    >>> import numpy as np
    >>> def gelu_forward(x):
    ...     return np.maximum(x, 0), x
    >>> report = check(gelu_forward)
    gelu_forward: not yet
      relu: This is relu.  GELU has no corner, and dips below 0 on the left.
    """
    exercise = find(name or str(getattr(function, "__qualname__", "")))
    kit = Kit(Path()) if Path(SETTINGS).is_file() else None
    variants = kit.variants if kit else ()
    answers = Answers(exercise, SEED, variants)
    called = function
    if "." in exercise.name:
        owner = getattr(function, "__globals__", {}).get(exercise.name.partition(".")[0])
        called = as_method(function, owner) if isinstance(owner, type) else function
    with _library_beside(exercise, function, everywhere=kit is None):  # a session may hold several chapters
        feedback = give_feedback(answers, answers.of(called))
        lines = list(feedback.lines)
        if feedback.passed and exercise.variant(variants) is None:
            said = sentence(exercise.name, exercise.module, called)
            lines += [said] if said else []
    return _shown(Report(exercise, feedback.passed, tuple(lines), feedback.rung))


class Hints(str):
    """A text that a notebook shows line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def hint(name: str) -> Hints:
    """The hints of an exercise so far, and one more, if the notebook or the script is in its kit; else all of them."""
    exercise = find(name)
    shown = Kit(Path()).hints(exercise) if Path(SETTINGS).is_file() else list(exercise.hints)
    return _shown(hint_text(exercise, shown))


def hint_text(exercise: Exercise, shown: Sequence[str]) -> Hints:
    """Hints, numbered; below the last one, where to look next."""
    total = len(exercise.hints)
    lines = [f"hint {i} of {total}: {text}" for i, text in enumerate(shown, start=1)]
    if len(shown) == total:
        lines.append(
            f"these are all; next, read tutorial {exercise.tutorial}, which goes with this exercise, in the folder "
            "`tutorials/` of the package's repository"
        )
    return Hints("\n".join(lines))


def _shown(thing: Any) -> Any:
    """Print it where nobody else will: a notebook and a prompt show what a line returns, a script does not."""
    if not hasattr(sys, "ps1"):
        sys.stdout.write(f"{thing}\n")
    return thing


@contextmanager
def _library_beside(exercise: Exercise, function: Callable[..., Any], everywhere: bool) -> Iterator[None]:
    """The library's functions for other exercises among the globals of a function, and the student's again."""
    namespace = getattr(function, "__globals__", {})
    others = [(name, module) for name, module in other_functions(exercise, everywhere) if name in namespace]
    before = {name: namespace[name] for name, _ in others}
    use_library(others, namespace)
    try:
        yield
    finally:
        namespace.update(before)
