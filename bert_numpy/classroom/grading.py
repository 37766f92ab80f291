"""Grading: every exercise of every submission in a fresh process, compared here, with inputs that nobody has seen.

    graded = Grader(seed=7).grade(Path("submissions"))
    graded[0].points, graded[0].grades[3].lines

    for one in grader.each(find_submissions(folder).submissions): ...     # to keep what is done

A submission is a folder with the chapters of a kit, scripts or notebooks.  It is never imported here, and nothing that
it does ends the grading: what cannot be judged gets 0 and a reason.

Credit for one exercise: 0.7 for right outputs in float64 (by output, where a function has several), 0.15 for the same
in float32, 0.15 for leaving the arguments as they were; nothing for the last two alone.

Here: grades and credit.  Not here: finding submissions (`class_folder.py`), tables and files (`reports.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .catalogue import all_exercises
from .checking import judge
from .class_folder import Submission, find_submissions, note_on_variants
from .comparing import Answers, Difference, Observation, differences
from .exercise import Exercise
from .kit_files import is_begun, path_of
from .plain import few_lines
from .sandbox import Limits, Outcome, Sandbox
from .submission import CodeCell, read_cells

FOR_FLOAT32 = 0.15
FOR_ARGUMENTS = 0.15
BY_OUTPUT = ("forward", "backward", "value")  # kinds of calls with credit for each output


@dataclass(frozen=True)
class Grade:
    """The grade for one exercise.

    Parameters
    ----------
    exercise : Exercise
    credit : float
        0 to 1.
    rung : str
        As in `Feedback`: "passed", "not begun", "words", "mistake", "numbers"; or "reason".
    lines : tuple of str
        For the student.
    mistake : str
        The names of the mistakes that were recognised, joined by "and".
    """

    exercise: Exercise
    credit: float
    rung: str
    lines: tuple[str, ...]
    mistake: str = ""

    @property
    def points(self) -> float:
        return round(self.exercise.points * self.credit, 2)

    @property
    def passed(self) -> bool:
        return self.rung == "passed"


@dataclass(frozen=True)
class Graded:
    """A submission, graded.

    Parameters
    ----------
    name : str
        Of its folder, printable.
    grades : tuple of Grade
        One for each exercise.
    notes : tuple of str
        For the teacher.
    """

    name: str
    grades: tuple[Grade, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        return round(sum(grade.points for grade in self.grades), 2)

    @property
    def total(self) -> int:
        return sum(grade.exercise.points for grade in self.grades)


class Grader:
    """Grades submissions with one set of inputs.

    Parameters
    ----------
    seed : int
        For the inputs; keep it from those who submit.
    variants : sequence of str
        What was asked for instead of the library's own way.
    exercises : sequence of Exercise, optional
        Those that count; all if not given.
    limits : Limits, optional
        For one exercise.
    """

    def __init__(
        self,
        seed: int,
        variants: Sequence[str] = (),
        exercises: Sequence[Exercise] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.exercises = list(exercises if exercises is not None else all_exercises())
        self.sandbox = Sandbox(limits)
        self.seed, self.variants = seed, tuple(variants)
        self._answers: dict[str, Answers] = {}
        self._lock = threading.Lock()  # edited solutions run one at a time: they switch warnings off

    def grade(self, folder: Path, jobs: int = 1, report: Callable[[str], None] = lambda line: None) -> list[Graded]:
        """Grade the submission in a folder, or every one in its folders.

        Parameters
        ----------
        folder : Path
        jobs : int
            How many exercises run at once.
        report : function of a str
            Told about each submission that is done.

        Raises
        ------
        FileNotFoundError
            If there is no submission.
        """
        found = find_submissions(folder).submissions
        graded = []
        for one in self.each(found, jobs):
            graded.append(one)
            report(f"{len(graded)} of {len(found)}: {one.name}")
        return graded

    def each(self, submissions: Sequence[Submission], jobs: int = 1) -> Iterator[Graded]:
        """Grade one submission after the other; whoever ends this, by Ctrl-C say, ends the processes that run."""
        known = [variant.name for exercise in self.exercises for variant in exercise.variants]
        pool = ThreadPoolExecutor(jobs)
        try:
            for one in submissions:
                work = [pool.submit(self.grade_one, one.folder, exercise) for exercise in self.exercises]
                grades = tuple(future.result() for future in work)
                yield Graded(one.name, grades, tuple(note_on_variants(one.folder, known, self.variants)))
        except BaseException:
            self.sandbox.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def answers(self, exercise: Exercise) -> Answers:
        """Inputs and right outputs of an exercise, made when they are first needed."""
        with self._lock:
            if exercise.name not in self._answers:
                self._answers[exercise.name] = Answers(exercise, self.seed, self.variants)
            return self._answers[exercise.name]

    def grade_one(self, folder: Path, exercise: Exercise) -> Grade:
        """Grade one exercise of the submission in a folder; what cannot be judged gets 0 and a reason."""
        what = "its file cannot be read"
        try:
            try:
                cells = self._cells(folder, exercise)
            except FileNotFoundError as error:
                return Grade(exercise, 0.0, "not begun", few_lines([error]))
            if cells is None:
                return Grade(exercise, 0.0, "not begun", ("not begun",))
            what = "the inputs for it cannot be made"
            answers = self.answers(exercise)
            what = "it cannot be run on this machine"
            outcome = self.sandbox.run(exercise, cells, answers.calls)
            what = "what came of it cannot be compared"
            return self._judged(answers, outcome)
        except UnreadableError as error:
            return Grade(exercise, 0.0, "reason", few_lines([error]))
        except Exception as error:  # whatever it is: the others are to be graded
            return Grade(exercise, 0.0, "reason", few_lines([f"{what}: {_described(error)}"]))

    def _cells(self, folder: Path, exercise: Exercise) -> list[CodeCell] | None:
        """The code of the exercise's chapter; None if the exercise was not begun."""
        path = path_of(folder, exercise)
        try:
            if path.is_symlink():
                raise ValueError(f"{path.name} is a link, not a file")
            return read_cells(path) if is_begun(path, exercise) else None
        except ValueError as error:
            raise UnreadableError(error) from None

    def _judged(self, answers: Answers, outcome: Outcome) -> Grade:
        with self._lock, np.errstate(all="ignore"):
            feedback = judge(answers, outcome)
            credit = 0.0 if outcome.reason else credit_for(answers, outcome.observations)
        return Grade(answers.exercise, credit, feedback.rung, feedback.lines, feedback.named)


class UnreadableError(ValueError):
    """A file of a submission that is no script and no notebook; the message is for the student."""


def _described(error: Exception) -> str:
    message = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def credit_for(answers: Answers, actual: Sequence[Observation]) -> float:
    """The share of the points that observations earn, 0 to 1."""
    calls, expected = answers.calls, answers.right
    found = differences(calls, expected, actual)
    if not found:
        return 1.0
    names = {_output(path) for o in expected for path, leaf in (o.outputs or {}).items() if leaf is not None}
    if answers.exercise.call not in BY_OUTPUT or not any(call.dtype == "float32" for call in calls):
        names = {"all"}
    values = _right(names, (d for d in found if calls[d.call].dtype == "float64"), actual)
    if values == 0:
        return 0.0
    has_float32 = any(call.dtype == "float32" for call in calls)
    float32 = _right(names, (d for d in found if calls[d.call].dtype == "float32"), actual) if has_float32 else values
    arguments = not any(d.kind == "argument" for d in found) and all(o.arguments is not None for o in actual)
    for_values = 1 - FOR_FLOAT32 - FOR_ARGUMENTS
    return round(for_values * values + FOR_FLOAT32 * float32 + FOR_ARGUMENTS * arguments, 4)


def _right(names: set[str], found: Iterable[Difference], actual: Sequence[Observation]) -> float:
    """The share of outputs that are right in every call; 0 where a call failed or returned another number of them."""
    wrong: set[str] = set()
    for difference in found:
        if difference.kind == "argument":
            continue
        if difference.kind == "structure" or actual[difference.call].error:
            return 0.0
        wrong.add(_output(difference.path))
    return 1 - len(wrong & names) / len(names) if names != {"all"} else float(not wrong)


def _output(path: str) -> str:
    """The output that a leaf belongs to: the first part of its path; for a module, parameter by parameter."""
    first, _, rest = path.partition(".")
    if first == "returned":
        return f"returned.{rest.partition('.')[0]}"
    return first if first.isdecimal() or not first else path
