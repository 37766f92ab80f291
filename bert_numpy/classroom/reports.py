"""Grades on paper: a table for people, CSV, JUnit XML, and the `results.json` that Gradescope reads.

Here: formats.  Not here: how grades come about (`grading.py`).
"""

from __future__ import annotations

import collections
import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from ..checkpoints.files import replacing
from .grading import Grade, Graded
from .plain import unique_names

COLUMNS = ("submission", "exercise", "points", "of", "result", "mistake", "feedback")
TABLE, CSV, JUNIT, RESULTS_JSON = "grades.txt", "grades.csv", "junit.xml", "results.json"
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10)))  # on Windows
LONGEST_FOLDER = 50  # characters
NOT_IN_FOLDERS = '<>:"/\\|?*'  # on Windows
RESULTS = {"reason": "not judged", "words": "wrong", "numbers": "wrong", "mistake": "known mistake"}


def result_of(grade: Grade) -> str:
    """In one or two words."""
    return RESULTS.get(grade.rung, grade.rung)


def table(graded: Sequence[Graded], several: bool | None = None, notes: Sequence[str] = (), remaining: int = 0) -> str:
    """For people: of one submission every exercise, of several one line each and what the class did.

    Parameters
    ----------
    graded : sequence of Graded
    several : bool, optional
        Whether they are of a folder of submissions, be it of one; by their number if not given.
    notes : sequence of str
        On the folder.
    remaining : int
        Submissions that have not been graded.
    """
    lines = _overview(graded) if _are_several(graded, several) else _details(graded[0])
    lines += [f"note: {note}" for note in notes]
    if _are_several(graded, several):
        lines += [f"note: {one.name}: {note}" for one in graded for note in one.notes]
    else:
        lines += [f"note: {note}" for note in graded[0].notes]
    if remaining:
        lines.append(f"note: {remaining} of {len(graded) + remaining} submissions are not graded")
    return "\n".join(lines) + "\n"


def _are_several(graded: Sequence[Graded], several: bool | None) -> bool:
    return len(graded) != 1 if several is None else several


def _details(one: Graded) -> list[str]:
    lines = []
    for grade in one.grades:
        lines.append(f"{grade.exercise.name:<44} {grade.points:>6g} of {grade.exercise.points:>2}   {result_of(grade)}")
        if not grade.passed and grade.rung != "not begun":
            lines += [f"    {line}" for line in grade.lines]
    return [*lines, f"{one.name}: {one.points:g} of {one.total} points"]


def _overview(graded: Sequence[Graded]) -> list[str]:
    width = max(10, *(len(one.name) for one in graded))
    lines = [f"{'submission':<{width}}  points   passed   begun"]
    for one in graded:
        passed = sum(grade.passed for grade in one.grades)
        begun = sum(grade.rung != "not begun" for grade in one.grades)
        lines.append(f"{one.name:<{width}}  {one.points:>6g}   {passed:>6}   {begun:>5}")
    lines += [f"of {graded[0].total} points and {len(graded[0].grades)} exercises", ""]
    for column, first in enumerate(graded[0].grades):
        of_all = [one.grades[column] for one in graded]
        mistakes = collections.Counter(grade.mistake for grade in of_all if grade.mistake)
        told = "; ".join(f"{count} x {name}" for name, count in mistakes.most_common())
        passed = sum(grade.passed for grade in of_all)
        lines.append(f"{first.exercise.name:<44} {passed:>3} of {len(graded)} passed   {told}".rstrip())
    return lines


def to_csv(graded: Sequence[Graded]) -> str:
    """One row for each exercise of each submission."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in graded:
        for grade in one.grades:
            of, result = grade.exercise.points, result_of(grade)
            feedback = " | ".join(grade.lines)
            row = (one.name, grade.exercise.name, f"{grade.points:g}", of, result, grade.mistake, feedback)
            writer.writerow([_no_formula(str(field)) for field in row])
    return file.getvalue()


def to_junit(graded: Sequence[Graded]) -> bytes:
    """A test suite for each submission; what was not begun counts as skipped."""
    suites = ET.Element("testsuites")
    for one in graded:
        begun = [grade for grade in one.grades if grade.rung != "not begun"]
        counts = {
            "tests": len(one.grades),
            "failures": sum(not grade.passed and grade.rung != "reason" for grade in begun),
            "errors": sum(grade.rung == "reason" for grade in begun),
            "skipped": len(one.grades) - len(begun),
        }
        attributes = {"name": one.name, **{name: str(n) for name, n in counts.items()}}
        suite = ET.SubElement(suites, "testsuite", attributes)
        for grade in one.grades:
            case = ET.SubElement(suite, "testcase", classname=one.name, name=grade.exercise.name, time="0")
            if not grade.passed:
                kind = {"not begun": "skipped", "reason": "error"}.get(grade.rung, "failure")
                ET.SubElement(case, kind, message=grade.lines[0]).text = "\n".join(grade.lines)
    return ET.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n"


def to_gradescope(one: Graded) -> str:
    """The results.json of Gradescope's autograder, for one submission."""
    tests = [
        {
            "name": f"{grade.exercise.name}: {grade.exercise.title}",
            "score": grade.points,
            "max_score": grade.exercise.points,
            "status": "passed" if grade.passed else "failed",
            "output": "\n".join(grade.lines) or "passed",
        }
        for grade in one.grades
    ]
    return json.dumps({"score": one.points, "tests": tests}, ensure_ascii=False, indent=1) + "\n"


def write_reports(
    graded: Sequence[Graded],
    folder: Path,
    seed: int,
    several: bool | None = None,
    notes: Sequence[str] = (),
    remaining: int = 0,
    new: Sequence[Graded] | None = None,
) -> list[Path]:
    """Write grades.txt, grades.csv, junit.xml, and a results.json for each submission; return their paths.

    Each file is replaced as a whole, so that none is ever half of one.

    Parameters
    ----------
    graded : sequence of Graded
    folder : Path
        Is made if it is not there.
    seed : int
        Noted in grades.txt, so that the grading can be repeated.
    several, notes, remaining
        As in `table`.
    new : sequence of Graded, optional
        Those whose results.json is written; all if not given.
    """
    contents = {}
    for one, place in zip(graded, _places(graded, several), strict=True):
        if new is None or any(one is other for other in new):
            contents[place] = to_gradescope(one).encode()
    contents |= {
        Path(CSV): to_csv(graded).encode(),
        Path(JUNIT): to_junit(graded),
        Path(TABLE): f"{table(graded, several, notes, remaining)}seed {seed}\n".encode(),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder / name) as file:
            file.write(content)
    return [folder / name for name in contents]


def _places(graded: Sequence[Graded], several: bool | None) -> list[Path]:
    """Where each results.json belongs; names that file systems do not allow, or take for one, are told apart."""
    if not _are_several(graded, several):
        return [Path(RESULTS_JSON)]
    allowed = ["".join("_" if c in NOT_IN_FOLDERS else c for c in one.name) for one in graded]
    names = [name.strip(" .")[:LONGEST_FOLDER].strip(" .") or "_" for name in allowed]
    taken = (TABLE, CSV, JUNIT, RESULTS_JSON, *DEVICES)
    return [Path(name, RESULTS_JSON) for name in unique_names(names, LONGEST_FOLDER, taken)]


def _no_formula(field: str) -> str:
    """Spreadsheets compute what begins like a formula; an apostrophe keeps it text."""
    return f"'{field}" if field.startswith(FORMULAS) else field
