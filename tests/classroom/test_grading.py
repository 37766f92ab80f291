"""Grading: credit, submissions that are hostile or damaged among others, and what is written."""

import csv
import io
import json
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from exercise_kits import library_code, new_kit, put, solve

from bert_numpy.classroom.catalogue import all_exercises, find
from bert_numpy.classroom.comparing import Answers
from bert_numpy.classroom.grading import Grader, credit_for, find_submissions
from bert_numpy.classroom.kit_files import path_of
from bert_numpy.classroom.reports import table, to_csv, to_gradescope, to_junit, write_reports
from bert_numpy.classroom.sandbox import Limits
from bert_numpy.classroom.source import solution
from bert_numpy.cli import main

NAMES = ("gelu_forward", "gelu_backward", "layer_norm_backward")
EXERCISES = [find(name) for name in NAMES]


# ---- credit ----

BACKWARD = Answers(find("layer_norm_backward"), seed=11)
RIGHT = solution(BACKWARD.exercise)


def credit(function, answers=BACKWARD):
    return credit_for(answers, answers.of(function))


def overwriting(dy, cache):
    gradients = RIGHT(dy.copy(), cache)
    dy[...] = 0
    return gradients


CREDITS = [
    ("all right", RIGHT, 1.0),
    ("dx wrong", lambda dy, cache: (2 * RIGHT(dy, cache)[0], *RIGHT(dy, cache)[1:]), 0.7 * 2 / 3 + 0.15 * 2 / 3 + 0.15),
    ("all wrong", lambda dy, cache: tuple(2 * g for g in RIGHT(dy, cache)), 0.0),
    ("float64 always", lambda dy, cache: tuple(g.astype(np.float64) for g in RIGHT(dy, cache)), 0.85),
    ("writes into dy", overwriting, 0.85),
    ("one output missing", lambda dy, cache: RIGHT(dy, cache)[:2], 0.0),
    ("one output more", lambda dy, cache: (*RIGHT(dy, cache), 0.0), 0.0),
    ("an error", lambda dy, cache: dy.no_such, 0.0),
    ("an error in float32", lambda dy, cache: RIGHT(dy, cache) if dy.dtype == np.float64 else 1 / 0, 0.7),
]


@pytest.mark.parametrize(("name", "function", "expected"), CREDITS, ids=[name for name, _, _ in CREDITS])
def test_credit(name, function, expected):
    assert credit(function) == pytest.approx(expected, abs=1e-4)


def test_text_is_right_or_wrong():
    answers = Answers(find("WordPiece.split"), seed=1)
    right = solution(answers.exercise)
    assert credit(right, answers) == 1
    assert credit(lambda self, word: right(self, word) if word != "abx" else [], answers) == 0


@pytest.mark.slow
def test_doing_nothing_earns_nothing():
    for exercise in all_exercises():
        answers = Answers(exercise, seed=2)
        assert credit(lambda *args: None, answers) == 0, exercise.name
        assert credit(lambda *args: args[-1], answers) == 0, exercise.name
        assert credit(lambda *args: (args[0], None), answers) < 0.5, exercise.name


# ---- submissions ----

HOSTILE = "def gelu_forward(x):\n    import os\n    os._exit(0)"
MISTAKE = "def gelu_forward(x):\n    return special.normal_cdf(x), None"


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Four submissions: complete, hostile, with a known mistake, and damaged beyond reading; and what is none."""
    folder = tmp_path_factory.mktemp("submissions")
    solve(new_kit(folder / "anna"), NAMES)
    put(solve(new_kit(folder / "bob" / "unpacked"), NAMES), "gelu_forward", HOSTILE)
    put(solve(new_kit(folder / "=carla"), NAMES[1:]), "gelu_forward", MISTAKE)
    broken = new_kit(folder / "dora")
    for path in broken.glob("[0-9]*.py"):
        path.write_bytes(b"\xff\xfe def gelu_forward(x)")
    (folder / "empty").mkdir()
    (folder / "grades.csv").write_text("old")
    return folder


@pytest.fixture(scope="module")
def graded(classes):
    return Grader(seed=7, exercises=EXERCISES).grade(classes, jobs=2)


def test_submissions_are_found(classes):
    assert [name for name, _ in find_submissions(classes)] == ["=carla", "anna", "bob", "dora"]
    assert [name for name, _ in find_submissions(classes / "anna")] == ["anna"]
    with pytest.raises(FileNotFoundError, match="no submission"):
        find_submissions(classes / "empty")


def test_grading_goes_on(graded):
    found = {one.name: [(grade.rung, grade.points) for grade in one.grades] for one in graded}
    points = [exercise.points for exercise in EXERCISES]
    assert found["anna"] == [("passed", p) for p in points]
    assert found["bob"] == [("reason", 0), ("passed", points[1]), ("passed", points[2])]
    assert found["=carla"] == [("mistake", 0), ("passed", points[1]), ("passed", points[2])]
    assert found["dora"] == [("reason", 0)] * 3
    assert graded[1].total == sum(points)
    reasons = {one.name: " ".join(one.grades[0].lines) for one in graded}
    assert reasons["bob"] == "it ended the process (exit code 0) before the function had returned"
    assert "is not UTF-8" in reasons["dora"]
    assert graded[0].grades[0].mistake == "Φ alone"


def test_another_seed_gives_other_inputs():
    first, second = (Grader(seed).answers(EXERCISES[0]).calls for seed in (1, 2))
    assert not np.array_equal(first[0].args[0], second[0].args[0])


def test_answers_for_a_known_seed_do_not_pass(tmp_path):
    call = Answers(EXERCISES[0], seed=1).calls[0]
    known = solution(EXERCISES[0])(*call.args)[0].ravel().tolist()
    folder = put_all(tmp_path, f"def gelu_forward(x):\n    return np.resize({known}, x.shape).astype(x.dtype), None")
    assert Grader(seed=1234, exercises=EXERCISES[:1]).grade(folder)[0].points == 0


def put_all(tmp_path, code):
    put(new_kit(tmp_path / "kit"), "gelu_forward", code)
    return tmp_path / "kit"


def test_the_library_does_not_pass_as_a_variant(tmp_path):
    variants = ("tanh-gelu",)
    grader = Grader(seed=3, variants=variants, exercises=EXERCISES[:2])
    folder = solve(new_kit(tmp_path / "copied", variants=variants), NAMES[:2])
    assert grader.grade(folder)[0].points == 0
    folder = solve(new_kit(tmp_path / "done", variants=variants), NAMES[:2], variants)
    assert [grade.rung for grade in grader.grade(folder)[0].grades] == ["passed", "passed"]


def test_notebooks_are_graded(tmp_path):
    folder = new_kit(tmp_path / "kit", notebooks=True)
    path = path_of(folder, EXERCISES[0])
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "def gelu_forward" in "".join(cell["source"]):
            cell["source"] = ["%timeit 1\n", "!ls\n", *library_code("gelu_forward").splitlines(keepends=True)]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (one,) = Grader(seed=3, exercises=EXERCISES[:2]).grade(folder)
    assert [grade.rung for grade in one.grades] == ["passed", "not begun"]


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}', '{"cells": [{}]}', "[" * 100_000])
def test_a_damaged_notebook(tmp_path, content):
    folder = new_kit(tmp_path / "kit", notebooks=True)
    path = path_of(folder, EXERCISES[0])
    path.write_text(content)
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines == (f"{path.name} is no notebook of Jupyter",)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_no_submission(tmp_path):
    folder = put_all(tmp_path, MISTAKE)
    path = path_of(folder, EXERCISES[0])
    path.rename(tmp_path / "other.py")
    path.symlink_to(tmp_path / "other.py")
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines == (f"{path.name} is a link, not a file",)


def test_a_time_limit(tmp_path):
    folder = put_all(tmp_path, "def gelu_forward(x):\n    while True:\n        pass")
    (one,) = Grader(seed=3, exercises=EXERCISES[:1], limits=Limits(seconds=3)).grade(folder)
    said = r"it did not end within (3 seconds of computing; is there an endless loop\?|18 seconds on the clock)"
    assert re.fullmatch(said, one.grades[0].lines[0])


# ---- reports ----


def test_the_table(graded):
    text = table(graded)
    assert "anna" in text
    assert "1 x Φ alone" in text
    alone = table(graded[1:2])
    assert "gelu_forward" in alone
    assert alone.rstrip().endswith(f"anna: {graded[1].total} of {graded[1].total} points")


def test_csv(graded):
    rows = list(csv.DictReader(io.StringIO(to_csv(graded))))
    assert len(rows) == len(graded) * len(EXERCISES)
    assert rows[0]["submission"] == "'=carla"  # no formula in a spreadsheet
    assert rows[0]["mistake"] == "Φ alone"
    assert sum(float(row["points"]) for row in rows) == sum(one.points for one in graded)


def test_junit(graded):
    suites = ET.fromstring(to_junit(graded))
    assert [suite.get("name") for suite in suites] == [one.name for one in graded]
    bob = next(suite for suite in suites if suite.get("name") == "bob")
    assert (bob.get("tests"), bob.get("failures"), bob.get("errors"), bob.get("skipped")) == ("3", "0", "1", "0")
    assert bob[0][0].tag == "error"
    assert len(bob[1]) == 0


def test_gradescope(graded):
    results = json.loads(to_gradescope(graded[0]))
    assert results["score"] == graded[0].points
    assert [test["max_score"] for test in results["tests"]] == [exercise.points for exercise in EXERCISES]
    assert [test["status"] for test in results["tests"]] == ["failed", "passed", "passed"]
    assert "Φ alone" in results["tests"][0]["output"]


def test_files(graded, tmp_path):
    written = {path.relative_to(tmp_path).as_posix() for path in write_reports(graded, tmp_path, seed=7)}
    assert written == {
        "grades.txt",
        "grades.csv",
        "junit.xml",
        "=carla/results.json",
        "anna/results.json",
        "bob/results.json",
        "dora/results.json",
    }
    assert (tmp_path / "grades.txt").read_text(encoding="utf-8").endswith("seed 7\n")


def test_the_command(classes, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "exercises",
        "grade",
        str(classes / "anna"),
        "--only",
        "gelu_forward",
        "--seed",
        "5",
        "--out",
        str(out),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "gelu_forward" in printed
    assert printed.endswith("seed 5\n")
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["score"] == find("gelu_forward").points


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-folder"], 3, "no folder no-such-folder"),
        ([".", "--variant", "x"], 2, "no variant 'x'"),
        ([".", "--only", "x"], 2, "no exercise 'x'"),
    ],
)
def test_mistakes_of_the_caller_are_one_line(capsys, arguments, code, words):
    assert main(["exercises", "grade", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


# ---- everything ----


@pytest.mark.slow
@pytest.mark.parametrize("variant", [None, *sorted({v.name for e in all_exercises() for v in e.variants})])
def test_a_kit_can_be_solved_with_what_is_in_it(tmp_path, variant):
    """The library's own text, put into the kit's files, passes everywhere: nothing that it uses is missing there."""
    variants = (variant,) if variant else ()
    exercises = [e for e in all_exercises() if not variants or e.variant(variants)]
    folder = solve(new_kit(tmp_path / "kit", variants=variants), [e.name for e in exercises], variants)
    (one,) = Grader(seed=9, variants=variants, exercises=exercises).grade(folder, jobs=2)
    assert [(grade.exercise.name, grade.lines) for grade in one.grades if not grade.passed] == []
