"""The catalogue checks itself: what the tables say of stubs, solutions, hints and mistakes is true.

    problems(exercise)     # [] if all is well

Here: one list of complaints for each exercise, and for the catalogue as a whole.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .catalogue import CHAPTERS, all_exercises
from .comparing import Answers, Observation, differences, named, prepare, run
from .cutter import imports, solution_lines, squeezed, stub_message, stubs
from .exercise import Exercise
from .feedback import give_feedback
from .kit import chapter_text
from .slopes import slope
from .source import EditError, solution, source_of

SEED = 20
MINUTES = (5, 30)
SLOPE_TOLERANCE = 1e-5
MEASURED = 8  # gradients of each call that are compared with slopes; a large module has dozens


def problems_of(exercise: Exercise, variants: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong with one exercise, as sentences that begin with its name."""
    found: list[str] = []
    try:
        found += [*_table(exercise), *_stub(exercise)] if not variants else []
        answers = Answers(exercise, SEED, variants)
    except (EditError, ValueError) as error:
        return [*found, f"{exercise.name}: {error}"]
    calls, expected = answers.calls, answers.right
    found += [f"{exercise.name}: the solution raises {o.error}" for o in expected if o.error][:1]
    found += _misfits(exercise, variants)
    if not found:
        if differences(calls, expected, answers.of(solution(exercise, variants))):
            found.append(f"{exercise.name}: the solution gives other outputs the second time")
        found += [*_mistakes(answers), *_other_answers(answers), *_slopes(answers), *_parcel(answers)]
    if not variants:
        for variant in exercise.variants:
            wrong = problems_of(exercise, (variant.name,))
            found += [f"{problem} (variant {variant.name!r})" for problem in wrong]
            asked = () if wrong else answers.of(solution(exercise, (variant.name,)))
            if asked and not differences(calls, expected, asked):
                found.append(f"{exercise.name}: the library's own code passes as variant {variant.name!r}")
    return found


def problems_of_catalogue() -> list[str]:
    """What is wrong between exercises: names, the order of prerequisites, lines of solutions in other stubs."""
    found = []
    seen: set[str] = set()
    for exercise in all_exercises():
        if exercise.name in seen:
            found.append(f"{exercise.name}: two exercises have this name")
        missing = [need for need in exercise.needs if need not in seen]
        found += [f"{exercise.name}: needs {need}, which does not come before" for need in missing]
        seen.add(exercise.name)
    for chapter in CHAPTERS:
        try:
            imports(chapter)
        except ValueError as error:
            found.append(f"{chapter.slug}: {error}")
    return found or _survivors()


def _survivors() -> list[str]:
    """Lines of solutions anywhere in a kit: another chapter must not show them either."""
    kit = "\n".join(chapter_text(number, chapter) for number, chapter in enumerate(CHAPTERS, start=1))
    shown = squeezed("\n".join(line for line in kit.split("\n") if not line.startswith(("from ", "import "))))
    found = []
    for exercise in all_exercises():
        lines = sorted(line for line in solution_lines(exercise) if line in shown)
        found += [f"{exercise.name}: this line of the solution stands in the kit: {line}" for line in lines]
    return found


def _table(exercise: Exercise) -> list[str]:
    found = []
    if not MINUTES[0] <= exercise.minutes <= MINUTES[1]:
        found.append(f"{exercise.minutes} minutes; an exercise takes {MINUTES[0]} to {MINUTES[1]}")
    if not 1 <= exercise.points <= 30:
        found.append(f"{exercise.points} points; give 1 to 30")
    if not 1 <= exercise.tutorial <= 14:
        found.append(f"tutorial {exercise.tutorial}; there are 1 to 14")
    if len(exercise.hints) < 2 or not all(hint.strip() for hint in exercise.hints):
        found.append("fewer than two hints, or an empty one")
    if not exercise.mistakes:
        found.append("no known mistake")
    names = [mistake.name for mistake in exercise.mistakes]
    found += [f"two mistakes are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    found += [f"mistake {m.name!r} says nothing" for m in exercise.mistakes if not m.says.strip()]
    return [f"{exercise.name}: {problem}" for problem in found]


def _stub(exercise: Exercise) -> list[str]:
    """The stub fails with its own message; no line of the solution is in it, in a hint or in what a mistake says."""
    found = []
    code = stubs([exercise])
    texts = [code, exercise.notes, *exercise.hints, *(m.says for m in exercise.mistakes)]
    shown = squeezed(" ".join(texts))
    found += [
        f"{exercise.name}: this line of the solution is shown: {line}"
        for line in solution_lines(exercise)
        if line in shown
    ]
    error = _error_of_stub(exercise, code)
    if error != stub_message(exercise):
        found.append(f"{exercise.name}: the stub does not fail with its own message, but with {error!r}")
    return found


def _error_of_stub(exercise: Exercise, code: str) -> str:
    source = source_of(exercise)
    namespace = dict(vars(source.module))
    namespace[source.module_name.rpartition(".")[2]] = source.module
    exec(compile(code, f"<stub of {exercise.name}>", "exec"), namespace)
    function = namespace[exercise.name.partition(".")[0]]
    for part in exercise.name.split(".")[1:]:
        function = getattr(function, part)
    return run(exercise, function, prepare(exercise, SEED)[:1])[0].error


def _misfits(exercise: Exercise, variants: Sequence[str]) -> list[str]:
    """Edits whose text is not in the source, or not once."""
    found = []
    for mistake in named(exercise, variants):
        try:
            solution(exercise, variants, mistake)
        except EditError as error:
            found.append(str(error))
    return found


def _mistakes(answers: Answers) -> list[str]:
    """Each mistake is recognised by its name, and by no other."""
    exercise, calls, expected = answers.exercise, answers.calls, answers.right
    found: list[str] = []
    before: dict[str, Sequence[Observation]] = {}
    for mistake, wrong in answers.wrong:
        errors = [observation.error for observation in wrong if observation.error]
        if errors:
            found.append(f"{exercise.name}: the mistake {mistake.name!r} raises {errors[0]}")
        elif not differences(calls, expected, wrong):
            found.append(f"{exercise.name}: no input tells the mistake {mistake.name!r} from the solution")
        else:
            twins = [name for name, other in before.items() if not differences(calls, other, wrong)]
            found += [f"{exercise.name}: no input tells the mistake {mistake.name!r} from {twin!r}" for twin in twins]
            told = give_feedback(answers, wrong).named
            if told != mistake.name and not twins:
                found.append(f"{exercise.name}: the mistake {mistake.name!r} is taken for {told!r}")
        before[mistake.name] = wrong
    return found


def _other_answers(answers: Answers) -> list[str]:
    """A wrong answer that is no declared mistake gets numbers, and the name of none."""
    exercise, right = answers.exercise, answers.right
    wrong = [replace(o, outputs={path: _nudged(leaf) for path, leaf in (o.outputs or {}).items()}) for o in right]
    feedback = give_feedback(answers, wrong)
    if feedback.rung != "numbers" or "expected" not in feedback.lines[0]:
        return [f"{exercise.name}: a wrong answer outside the list gets {feedback.rung!r}: {feedback.lines}"]
    return []


def _parcel(answers: Answers) -> list[str]:
    """Submissions run in another process: the arguments must go there."""
    name = answers.exercise.name
    try:
        parcel = pickle.dumps([call.args for call in answers.calls])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        return [f"{name}: the arguments cannot be sent to another process: {error}"]
    if b"bert_numpy.classroom" in parcel.replace(b"bert_numpy.classroom.calls", b""):
        return [f"{name}: an argument is of a class that submissions do not get; define it in calls.py"]
    return []


def _nudged(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return np.asarray(leaf + (leaf.dtype.type(0.0137) if leaf.dtype.kind == "f" else np.ones((), leaf.dtype)))
    if isinstance(leaf, bool):
        return not leaf
    if isinstance(leaf, str):
        return leaf + "?"
    return leaf if leaf is None else leaf + 7


def _slopes(answers: Answers) -> list[str]:
    """The solution of a backward is the slope of its forward, wherever that can be measured."""
    exercise, found, measured = answers.exercise, [], 0
    for call, observation in zip(answers.calls, answers.right, strict=True):
        leaves = [
            item for item in (observation.outputs or {}).items() if isinstance(item[1], np.ndarray) and item[1].size
        ]
        for path, leaf in leaves[:: -(-len(leaves) // MEASURED) or 1] if exercise.of else ():
            where = tuple(int(i) for i in np.unravel_index(np.abs(leaf).argmax(), leaf.shape))
            result = slope(exercise, call, path, where, answers.variants)
            if result is not None:
                measured += 1
                if abs(result[1] - leaf[where]) > SLOPE_TOLERANCE * max(1.0, abs(float(leaf[where]))):
                    found.append(
                        f"{exercise.name}: {path or 'the result'}{list(where)} is {float(leaf[where]):.8g}, but the "
                        f"slope of the forward in {result[0]} is {result[1]:.8g}"
                    )
    if exercise.of and not measured:
        found.append(f"{exercise.name}: no gradient could be compared with a slope; no output is d + name of an input")
    return found
