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
from bert_numpy.classroom.class_folder import find_submissions
from bert_numpy.classroom.comparing import Answers
from bert_numpy.classroom.grading import Grade, Graded, Grader, credit_for
from bert_numpy.classroom.kit_files import path_of
from bert_numpy.classroom.reports import table, to_csv, to_gradescope, to_junit, write_reports
from bert_numpy.classroom.sandbox import Limits
from bert_numpy.classroom.source import solution
from bert_numpy.classroom.submission import read_cells
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
    found = find_submissions(classes)
    assert [one.name for one in found.submissions] == ["=carla", "anna", "bob", "dora"]
    assert found.notes == ("not a submission: empty, which has no file of a kit",)
    alone = find_submissions(classes / "anna")
    assert ([one.name for one in alone.submissions], alone.several, alone.notes) == (["anna"], False, ())
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


def test_only_lines_for_ipython_are_left_out(tmp_path):
    """A line may begin with % or !: within brackets, behind a backslash and in a text."""
    source = (
        "%matplotlib inline\n!ls\nif True:\n    %timeit 1\n"
        "x = (7\n     % 4\n     != 4)\ny = 7 \\\n  % 4\n"
        'text = """\n%s is 3\n! """\n'
        "s = 'it\\'s (' + '' \\\n '%s' # ( \\\n%time\nd = {'#': '(',\n 'a': 7\n % 4}  # not \\\n%pwd\n"
        "assert (x, y) == (True, 3)\n\n%%time\n"
    )
    path = tmp_path / "01_words.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}]}), encoding="utf-8")
    (cell,) = read_cells(path)
    namespace = {}
    exec(compile(cell.source, "cell", "exec"), namespace)
    assert namespace["text"] == "\n%s is 3\n! "
    assert cell.source.count("\n") == source.count("\n")


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}', '{"cells": [{}]}', "[" * 100_000])
def test_a_damaged_notebook(tmp_path, content):
    folder = new_kit(tmp_path / "kit", notebooks=True)
    path = path_of(folder, EXERCISES[0])
    path.write_text(content)
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines == (f"{path.name} is no notebook of Jupyter",)


TOO_LARGE = [  # what would take the grader's own memory, or its stack
    ("# %%\n" * 30_000, "has more than 500 cells"),
    ("x = 1" + "+1" * 80_000, "has more than 100,000 characters of code"),
    ("#" * 1_000_000, "has more than 200,000 bytes"),
]


@pytest.mark.parametrize(("text", "said"), TOO_LARGE, ids=[said for _, said in TOO_LARGE])
def test_a_file_that_is_too_large(tmp_path, text, said):
    folder = new_kit(tmp_path / "kit")
    path = path_of(folder, EXERCISES[0])
    path.write_text(text)
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines == (f"{path.name} {said}",)
    assert one.grades[0].rung == "reason"


def test_pictures_do_not_make_a_notebook_too_large(tmp_path):
    code = {"cell_type": "code", "source": "x = 1", "outputs": [{"data": {"image/png": "A" * 3_000_000}}]}
    path = tmp_path / "01_words.ipynb"
    path.write_text(json.dumps({"cells": [code]}))
    assert [cell.source for cell in read_cells(path)] == ["x = 1"]
    path.write_text(json.dumps({"cells": [code] * 4}))
    with pytest.raises(ValueError, match="more than 10,000,000 bytes"):
        read_cells(path)


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


def fails_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


FAILURES = [  # what fails, with which error, and what is said
    (
        "path_of",
        PermissionError(13, "Permission denied"),
        "its file cannot be read: PermissionError: Permission denied",
    ),
    ("is_begun", RecursionError("too deep"), "its file cannot be read: RecursionError: too deep"),
    ("read_cells", UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "'utf-8' codec can't encode"),
    ("judge", RecursionError("too\ndeep"), "what came of it cannot be compared: RecursionError: too deep"),
    ("credit_for", MemoryError(), "what came of it cannot be compared: MemoryError"),
]


@pytest.mark.parametrize(("name", "error", "said"), FAILURES, ids=[name for name, _, _ in FAILURES])
def test_an_error_of_one_exercise_is_its_own(tmp_path, monkeypatch, name, error, said):
    folder = put_all(tmp_path, MISTAKE)
    monkeypatch.setattr(f"bert_numpy.classroom.grading.{name}", fails_with(error))
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].rung == "reason"
    assert said in one.grades[0].lines[0]
    assert one.grades[0].points == 0


def test_an_error_of_the_machine_is_no_exercise_that_was_not_begun(tmp_path, monkeypatch):
    grader = Grader(seed=3, exercises=EXERCISES[:1])
    monkeypatch.setattr(grader.sandbox, "run", fails_with(FileNotFoundError(2, "No usable temporary directory")))
    (one,) = grader.grade(put_all(tmp_path, MISTAKE))
    said = "it cannot be run on this machine: FileNotFoundError: No usable temporary directory"
    assert one.grades[0].lines == (said,)


def test_ctrl_c_is_no_error_of_an_exercise(tmp_path, monkeypatch):
    grader = Grader(seed=3, exercises=EXERCISES[:1])
    monkeypatch.setattr(grader.sandbox, "run", fails_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        grader.grade(put_all(tmp_path, MISTAKE))


def test_what_runs_is_ended_with_the_grading(tmp_path):
    grader = Grader(seed=3, exercises=EXERCISES[:1])
    grader.sandbox.stop()
    (one,) = grader.grade(put_all(tmp_path, "import time\ntime.sleep(1000)\ndef gelu_forward(x): pass"))
    assert one.grades[0].lines == ("it was interrupted",)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes of this kind")
def test_what_is_no_file_is_no_submission(tmp_path):
    import os

    folder = put_all(tmp_path, MISTAKE)
    path = path_of(folder, EXERCISES[0])
    path.unlink()
    os.mkfifo(path)
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines[0].startswith(f"no file {path.name}")
    path.unlink()
    path.mkdir()
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.grades[0].lines[0].startswith(f"no file {path.name}")


def test_text_of_a_submission_can_be_printed(tmp_path):
    hostile = "def gelu_forward(x):\n    raise ValueError('\\x1b[2J\\x00\\udcff\\uffff\\u202e' * 1000)"
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(put_all(tmp_path, hostile))
    keys = "def gelu_forward(x):\n    return {'a\\x1b\\x00\\nb' * 500: 'c\\x00\\x1b\\n' * 5000}, None"
    (two,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(put_all(tmp_path / "two", keys))
    for graded in (one, two):
        assert all(line.isprintable() and len(line) <= 800 for line in graded.grades[0].lines)
        assert ET.fromstring(to_junit([graded])).find(".//failure") is not None
        assert table([graded]).encode()


# ---- names ----

NAMES_OF_FOLDERS = ["two\nlines", "two\tlines", "=1+1", "-anna", "junit.xml", "x" * 200, "\u202egnp", "CON", 'a<b>&"c']


@pytest.fixture(scope="module")
def badly_named(tmp_path_factory):
    """Folders with names that break tables, CSV, XML or paths."""
    folder = tmp_path_factory.mktemp("names")
    names = NAMES_OF_FOLDERS if sys.platform != "win32" else ["=1+1", "-anna", "junit.xml", "x" * 100]
    names = [*names, *(["b\udcffd", "Anna", "anna"] if sys.platform == "linux" else [])]
    for name in names:
        solve(new_kit(folder / name), NAMES[:1])
    (folder / "notes.zip").write_text("x")
    return folder


def test_names_are_printable_and_differ(badly_named):
    found = find_submissions(badly_named)
    names = [one.name for one in found.submissions]
    assert all(name.isprintable() and len(name) <= 85 for name in names)
    assert len({name.casefold() for name in names}) == len(names) == len(list(badly_named.iterdir())) - 1
    assert "not a submission: notes.zip, which is to be unpacked" in found.notes
    assert all(note.isprintable() for note in found.notes)
    if sys.platform != "win32":
        assert "two?lines (2) is the folder 'two\\nlines'" in found.notes


def test_reports_on_bad_names_are_well_formed(badly_named, tmp_path):
    graded = Grader(seed=3, exercises=EXERCISES[:1]).grade(badly_named, jobs=2)
    paths = write_reports(graded, tmp_path, seed=3)
    assert len({str(path).casefold() for path in paths}) == len(paths) == len(graded) + 3
    assert len(list(tmp_path.glob("*/results.json"))) == len(graded)
    assert all(json.loads(path.read_bytes()) for path in tmp_path.glob("*/results.json"))
    assert [suite.get("name") for suite in ET.parse(tmp_path / "junit.xml").getroot()] == [one.name for one in graded]
    rows = list(csv.reader(io.StringIO((tmp_path / "grades.csv").read_text(encoding="utf-8"))))
    assert len(rows) == len(graded) + 1
    assert not any(row[0].startswith(("=", "+", "-", "@")) for row in rows)
    lines = (tmp_path / "grades.txt").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if re.search(r" +\d+ +1 +1$", line)]) == len(graded)


def test_folders_of_results_have_names_of_their_own(tmp_path):
    names = ["a:b", "a?b", "a_b", "A_B", "grades.csv", "..", " . ", "nul", "y" * 60, "y" * 61]
    graded = [Graded(name, (Grade(EXERCISES[0], 1.0, "passed", ()),)) for name in names]
    paths = [path for path in write_reports(graded, tmp_path, seed=1) if path.name == "results.json"]
    folders = [path.parent.name for path in paths]
    assert len({name.casefold() for name in folders}) == len(names)
    assert all(path.parent.parent == tmp_path for path in paths)
    assert not any(set(name) & set('<>:"/\\|?*') or name.endswith((".", " ")) for name in folders)
    again = [path for path in write_reports(graded[:4], tmp_path, seed=1) if path.name == "results.json"]
    assert again == paths[:4]


# ---- kits that ask for something else ----


@pytest.mark.parametrize(
    ("made", "graded_as", "note"),
    [
        ("tanh-gelu", (), "this kit asks for variant tanh-gelu; graded as the library's own way"),
        (None, ("tanh-gelu",), "this kit asks for the library's own way; graded as variant tanh-gelu"),
        ("tanh-gelu", ("tanh-gelu",), None),
        ("pre-ln", (), None),  # of an exercise that does not count
    ],
)
def test_a_kit_of_another_variant_is_noted(tmp_path, made, graded_as, note):
    folder = new_kit(tmp_path / "kit", variants=(made,) if made else ())
    (one,) = Grader(seed=3, variants=graded_as, exercises=EXERCISES[:1]).grade(folder)
    assert one.notes == ((note,) if note else ())
    assert (f"note: {note}\n" in table([one])) == bool(note)


@pytest.mark.parametrize("content", ["", "[", "[]", '{"variants": 3}', '{"variants": [[]]}', "[" * 50_000])
def test_a_damaged_note_of_variants_is_nothing(tmp_path, content):
    folder = new_kit(tmp_path / "kit")
    (folder / "kit.json").write_text(content)
    (one,) = Grader(seed=3, exercises=EXERCISES[:1]).grade(folder)
    assert one.notes == ()


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


def test_a_class_of_one_is_a_class(tmp_path, capsys):
    put(new_kit(tmp_path / "class" / "anna"), "gelu_forward", MISTAKE)
    (tmp_path / "class" / "bob").mkdir()
    command = ["exercises", "grade", str(tmp_path / "class"), "--only", "gelu_forward", "--seed", "5"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^anna +0 +0 +1$", printed, re.MULTILINE)
    assert "note: not a submission: bob, which has no file of a kit\n" in printed
    assert (tmp_path / "out" / "grades.txt").read_text(encoding="utf-8") == printed
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == {
        "grades.txt",
        "grades.csv",
        "junit.xml",
        "anna/results.json",
    }


def test_what_is_graded_is_written_before_the_next(tmp_path, capsys, monkeypatch):
    for name in ("anna", "bob", "carla"):
        put(new_kit(tmp_path / "class" / name), "gelu_forward", MISTAKE)
    grade_one = Grader.grade_one
    seen = []

    def interrupted(self, folder, exercise):
        if folder.name == "carla":
            seen.extend(path.relative_to(out).as_posix() for path in sorted(out.rglob("*.*")))
            raise KeyboardInterrupt
        return grade_one(self, folder, exercise)

    monkeypatch.setattr(Grader, "grade_one", interrupted)
    out = tmp_path / "out"
    command = ["exercises", "grade", str(tmp_path / "class"), "--only", "gelu_forward", "--seed", "5"]
    assert main([*command, "--out", str(out)]) == 130
    assert seen == ["anna/results.json", "bob/results.json", "grades.csv", "grades.txt", "junit.xml"]
    text = (out / "grades.txt").read_text(encoding="utf-8")
    assert "note: 1 of 3 submissions are not graded\n" in text
    assert capsys.readouterr().out == text
    assert len(ET.parse(out / "junit.xml").getroot()) == 2
    assert len((out / "grades.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert not list(out.rglob("*.tmp"))


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
