"""The command `exercises`: a kit for a student, its checks, and the grader.

Here: arguments and printing.  Not here: anything that decides (`bert_numpy/classroom/`).
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .usage import UsageError, add_command, positive

WIDTH = 100


def add_exercises(commands: Any) -> None:
    parser = add_command(
        commands,
        "exercises",
        "write BERT yourself, checked as you save; grade such work",
        "Exercises cut from this package: a kit of stubs, checked as you save, with the mistake named where it is a "
        "known one; and a grader for one submission or a folder of them.",
        "bert-numpy exercises init my-bert              a kit; go there and read its README.md",
        "bert-numpy exercises watch                     check whatever is saved",
        "bert-numpy exercises hint layer_norm_backward",
        "bert-numpy exercises grade submissions --out grades --seed 7",
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    init = _add(actions, "init", run_init, "write a kit into a new folder", "bert-numpy exercises init my-bert")
    init.add_argument("folder", metavar="FOLDER")
    init.add_argument("--notebooks", action="store_true", help="write .ipynb instead of .py")
    _add_variant(init)
    run = _add(
        actions, "run", run_run, "check what was begun, or one exercise", "bert-numpy exercises run gelu_forward"
    )
    run.add_argument("name", nargs="?", metavar="NAME", help="an exercise; all that were begun if it is not given")
    watch = _add(actions, "watch", run_watch, "check whatever is saved, until Ctrl-C", "bert-numpy exercises watch")
    hint = _add(actions, "hint", run_hint, "one more hint each time", "bert-numpy exercises hint gelu_forward")
    hint.add_argument("name", metavar="NAME")
    status = _add(actions, "status", run_status, "what is done, and what comes next", "bert-numpy exercises status")
    reset = _add(actions, "reset", run_reset, "put a stub back; your text is kept", "bert-numpy exercises reset NAME")
    reset.add_argument("name", metavar="NAME")
    for action in (run, watch, hint, status, reset):
        action.add_argument("--kit", metavar="FOLDER", default=".", help="the kit (default: this folder)")
    check = _add(
        actions, "check", run_check, "self-test: stubs, solutions, every known mistake", "bert-numpy exercises check"
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="exercises; all if none is given")
    grade = _add(
        actions,
        "grade",
        run_grade,
        "grade a submission, or a folder of them",
        "bert-numpy exercises grade submissions --out grades",
        "bert-numpy exercises grade submissions --variant logistic-gelu --only gelu_forward,gelu_backward",
        description="Grade a submission, or a folder of them. Each exercise of each submission runs in a fresh process "
        "with limits and without network, on inputs that nobody has seen, and is compared here; whatever a submission "
        "does, grading goes on. The fence is Python's own: grade the work of strangers in a container.",
    )
    grade.add_argument("folder", metavar="FOLDER", help="one kit, or a folder with a folder for each submission")
    grade.add_argument("--seed", type=int, metavar="N", help="of the inputs, not to be told (default: a new one)")
    grade.add_argument("--out", metavar="FOLDER", help="write grades.csv, junit.xml and Gradescope's results.json here")
    grade.add_argument("--only", metavar="NAMES", default="", help="the exercises that count, separated by commas")
    grade.add_argument(
        "--seconds", type=positive, default=10, metavar="N", help="of computing, for one exercise (default: 10)"
    )
    grade.add_argument("--memory", type=positive, default=2000, metavar="MB", help="for one exercise (default: 2000)")
    grade.add_argument("--jobs", type=positive, default=1, metavar="N", help="exercises that run at once (default: 1)")
    _add_variant(grade)
    _add(actions, "variants", run_variants, "what can be asked for instead", "bert-numpy exercises variants")


def _add(
    actions: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *examples: str,
    description: str = "",
) -> argparse.ArgumentParser:
    parser = add_command(actions, name, summary, description or f"{summary[0].upper()}{summary[1:]}.", *examples)
    parser.set_defaults(run=run)
    return parser


def _add_variant(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variant",
        metavar="NAME",
        action="append",
        default=[],
        help="ask for this instead of the library's own way, so that its code does not pass; may be repeated",
    )


# ---- the student's side ----


def run_init(options: argparse.Namespace) -> int:
    from .. import __version__
    from ..classroom.catalogue import all_exercises
    from ..classroom.kit import check_variants, write_kit

    try:
        check_variants(options.variant)
    except ValueError as error:
        raise UsageError(str(error)) from None
    folder = Path(options.folder)
    files = write_kit(folder, __version__, options.notebooks, options.variant)
    chapters = [file for file in files if file.suffix in (".py", ".ipynb")]
    print(f"{folder}: {len(all_exercises())} exercises in {len(chapters)} files; begin with {folder / 'README.md'}")
    return 0


def run_run(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import all_exercises, find
    from ..classroom.progress import Kit

    kit = Kit(Path(options.kit))
    if options.name:
        failed = _check_all(kit, [find(options.name)])
    else:
        begun = [exercise for exercise in all_exercises() if kit.state(exercise) not in ("not begun", "no file")]
        changed = [exercise for exercise in begun if not kit.passed(exercise)]
        if len(changed) < len(begun):
            print(f"passed, and not changed since: {len(begun) - len(changed)}")
        elif not begun:
            print("nothing has been begun")
        failed = _check_all(kit, changed)
    if not (options.name and failed):
        _show_next(kit, find(options.name) if options.name else None)
    return 1 if failed else 0


def _check_all(kit: Any, exercises: Sequence[Any]) -> int:
    """Check exercises and show what is said; return how many have not passed."""
    from ..classroom.checking import check_in_kit
    from ..classroom.sandbox import Sandbox

    failed, sandbox = 0, Sandbox()
    for exercise in exercises:
        try:
            report = check_in_kit(kit, exercise, sandbox)
        except ValueError as error:  # the file cannot be read
            print(f"{exercise.name}: {error}")
            failed += 1
            continue
        failed += not report.passed
        _show(report)
    return failed


def run_watch(options: argparse.Namespace) -> int:
    from ..classroom.checking import check_in_kit
    from ..classroom.progress import Kit
    from ..classroom.sandbox import Sandbox
    from ..classroom.watching import changed_exercises

    kit, sandbox = Kit(Path(options.kit)), Sandbox()
    print(f"watching {os.path.abspath(options.kit)}; Ctrl-C ends it")
    _show_next(kit)
    sys.stdout.flush()
    for exercise in changed_exercises(kit):
        try:
            report = check_in_kit(kit, exercise, sandbox)
            _show(report)
            if report.passed:
                _show_next(kit, exercise)
        except (OSError, ValueError) as error:
            print(f"{exercise.name}: {error}")
        sys.stdout.flush()
    return 0


def run_hint(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import find
    from ..classroom.checking import hint_text
    from ..classroom.progress import Kit

    exercise = find(options.name)
    shown = Kit(Path(options.kit)).hints(exercise)
    for line in hint_text(exercise, shown).split("\n"):
        print(textwrap.fill(line, WIDTH, subsequent_indent="  "))
    return 0


def run_status(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import CHAPTERS
    from ..classroom.progress import Kit

    kit = Kit(Path(options.kit))
    points = total = 0
    for number, chapter in enumerate(CHAPTERS, start=1):
        print(f"{number}. {chapter.title}")
        for exercise in chapter.exercises:
            state = kit.state(exercise)
            points += exercise.points if state.startswith("passed") else 0
            total += exercise.points
            print(f"   {exercise.name:<44} {exercise.points:>3} points {exercise.minutes:>3} min   {state}")
    print(f"{points} of {total} points")
    _show_next(kit)
    return 0


def run_reset(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import find
    from ..classroom.kit_files import reset
    from ..classroom.progress import Kit

    kit, exercise = Kit(Path(options.kit)), find(options.name)
    backup = reset(kit.folder, exercise)
    kit.forget(exercise)
    print(f"{exercise.name} is a stub again; the file as it was: {backup}")
    return 0


def _show(report: Any) -> None:
    print(f"{report.exercise.name}: {'passed' if report.passed else 'not yet'}")
    for line in report.lines:
        print(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def _show_next(kit: Any, after: Any = None) -> None:
    from ..classroom.kit_files import path_of

    exercise = kit.next_exercise(after)
    if exercise is None:
        print("all exercises have passed: this BERT is yours")
        return
    try:
        print(f"next: {exercise.name}, in {path_of(kit.folder, exercise).name} (about {exercise.minutes} minutes)")
    except FileNotFoundError as error:
        print(f"next: {exercise.name}; {error}")


# ---- the teacher's side ----


def run_check(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import all_exercises, find
    from ..classroom.self_check import problems_of, problems_of_catalogue

    exercises = [find(name) for name in options.names] or all_exercises()
    problems = problems_of_catalogue()
    for exercise in exercises:
        found = problems_of(exercise)
        if sys.stderr.isatty():
            print(f"{exercise.name}: {'ok' if not found else 'PROBLEMS'}", file=sys.stderr)
        problems += found
    for problem in problems:
        print(problem)
    mistakes = sum(len(exercise.mistakes) for exercise in exercises)
    variants = sum(len(exercise.variants) for exercise in exercises)
    print(
        f"{len(exercises)} exercises, {mistakes} known mistakes, {variants} variants: "
        + (f"{len(problems)} problems" if problems else "all as declared")
    )
    return 1 if problems else 0


def run_grade(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import find
    from ..classroom.class_folder import find_submissions
    from ..classroom.grading import Graded, Grader
    from ..classroom.kit import check_variants
    from ..classroom.reports import table, write_reports
    from ..classroom.sandbox import Limits

    try:
        check_variants(options.variant)
        exercises = [find(name.strip()) for name in options.only.split(",") if name.strip()] or None
    except ValueError as error:
        raise UsageError(str(error)) from None
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    limits = Limits(seconds=options.seconds, memory=options.memory * 10**6)
    grader = Grader(seed, options.variant, exercises, limits)
    found = find_submissions(Path(options.folder))
    graded: list[Graded] = []
    written: set[Path] = set()

    def write(new: Sequence[Graded] | None) -> None:
        remaining = len(found.submissions) - len(graded)
        written.update(write_reports(graded, Path(options.out), seed, found.several, found.notes, remaining, new))

    try:
        for one in grader.each(found.submissions, options.jobs):
            graded.append(one)
            _progress(f"{len(graded)} of {len(found.submissions)}: {one.name}")
            if options.out:
                write([one])
    except KeyboardInterrupt:
        if options.out and graded:
            write(None)  # one file may be ahead of the other
        raise
    finally:
        if graded:
            print(table(graded, found.several, found.notes, len(found.submissions) - len(graded)), end="")
            print(f"seed {seed}")
        if written:
            print(f"wrote {len(written)} files into {options.out}", file=sys.stderr)
    return 0


def run_variants(options: argparse.Namespace) -> int:
    from ..classroom.catalogue import all_exercises

    exercises: dict[str, list[str]] = {}
    for exercise in all_exercises():
        for variant in exercise.variants:
            exercises.setdefault(variant.name, []).append(exercise.name)
    for name in sorted(exercises):
        print(f"{name:<20} {', '.join(exercises[name])}")
    return 0


def _progress(line: str) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        print(line, file=sys.stderr)
