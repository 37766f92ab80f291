"""A kit as a student uses it, from a terminal and from a notebook."""

import json
import os
import re
from pathlib import Path

import pytest
from exercise_kits import library_code, new_kit, put

from bert_numpy.classroom.catalogue import CHAPTERS, all_exercises, find
from bert_numpy.classroom.cutter import solution_lines, squeezed, stubs
from bert_numpy.classroom.kit_files import is_begun, path_of
from bert_numpy.classroom.payoff import sentence
from bert_numpy.classroom.progress import Kit
from bert_numpy.classroom.sandbox import Limits
from bert_numpy.classroom.source import solution
from bert_numpy.classroom.submission import read_cells
from bert_numpy.classroom.watching import changed_exercises
from bert_numpy.cli import main


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A fresh kit, and we are in it."""
    folder = new_kit(tmp_path / "kit")
    monkeypatch.chdir(folder)
    return folder


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of `bert-numpy exercises`."""
    code = main(["exercises", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ---- what is in it ----


def test_init(tmp_path, capsys):
    code, out, _ = command(capsys, "init", str(tmp_path / "new"))
    assert code == 0
    assert "begin with" in out
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names[0] == f"01_{CHAPTERS[0].slug}.py"
    assert len(names) == len(CHAPTERS) + 3
    assert set(names[len(CHAPTERS) :]) == {"AGENTS.md", "README.md", "kit.json"}


def test_init_writes_over_nothing(kit, capsys):
    before = (kit / "README.md").read_bytes()
    assert command(capsys, "init", str(kit)) == (
        1,
        "",
        f"bert-numpy exercises: {kit} is there already and not empty; give the name of a new folder\n",
    )
    assert (kit / "README.md").read_bytes() == before


def test_every_exercise_stands_in_its_chapter_and_in_the_readme(kit):
    readme = (kit / "README.md").read_text(encoding="utf-8")
    for exercise in all_exercises():
        path = path_of(kit, exercise)
        assert not is_begun(path, exercise)
        assert f"## {exercise.name}\n" in path.read_text(encoding="utf-8")
        assert f"| `{exercise.name}` | {exercise.points} | {exercise.minutes} |" in readme
    assert re.search(r"\{\w+\}", readme) is None


def test_no_file_of_a_kit_shows_a_solution(kit):
    shown = squeezed("".join(path.read_text(encoding="utf-8") for path in sorted(kit.iterdir())))
    lines = {line for exercise in all_exercises() for line in solution_lines(exercise)}
    assert len(lines) > 300
    assert [line for line in lines if line in shown] == []
    assert not any(mistake.says in shown for exercise in all_exercises() for mistake in exercise.mistakes)


def test_a_chapter_is_a_script_that_runs_and_knows_every_name(kit):
    for chapter in CHAPTERS:
        path = path_of(kit, chapter.exercises[0])
        namespace = {"__name__": "chapter"}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
        for exercise in chapter.exercises:
            assert exercise.name.partition(".")[0] in namespace


def test_the_readme_says_what_holds(tmp_path):
    limits, clock = Limits(), 10 if os.name == "nt" else 60
    for notebooks, words in ((False, "init FOLDER --notebooks` writes"), (True, "init FOLDER` alone writes")):
        text = (new_kit(tmp_path / f"kit-{notebooks}", notebooks=notebooks) / "README.md").read_text(encoding="utf-8")
        assert words in text
        assert f"for {limits.seconds:g} seconds of computing at most, and {clock} on the clock" in " ".join(
            text.split()
        )


def test_lines_of_a_kit_are_short_and_no_code_is_broken(kit):
    for path in kit.glob("*.py"):
        for line in path.read_text(encoding="utf-8").split("\n"):
            assert len(line) <= 120, line
            assert not line.startswith("# ") or line.count("`") % 2 == 0, line


def test_a_variant_is_asked_for(tmp_path):
    folder = new_kit(tmp_path / "kit", variants=("tanh-gelu",))
    text = path_of(folder, find("gelu_forward")).read_text(encoding="utf-8").replace("\n# ", " ")
    asked = "**Not as the docstring says.** " + find("gelu_forward").variant(("tanh-gelu",)).says
    assert " ".join(asked.split()) in " ".join(text.split())
    assert Kit(folder).variants == ("tanh-gelu",)


def test_an_unknown_variant(tmp_path, capsys):
    code, _, err = command(capsys, "init", str(tmp_path / "kit"), "--variant", "gelu-tanh")
    assert code == 2
    assert "no variant 'gelu-tanh'; there are" in err
    code, _, err = command(
        capsys, "init", str(tmp_path / "kit"), "--variant", "tanh-gelu", "--variant", "logistic-gelu"
    )
    assert code == 2
    assert "are both variants of gelu_forward" in err
    assert not (tmp_path / "kit").exists()


def test_notebooks(tmp_path):
    folder = new_kit(tmp_path / "kit", notebooks=True)
    path = path_of(folder, find("gelu_forward"))
    assert path.suffix == ".ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", identity) for identity in ids)
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert "check(gelu_forward)" in sources
    assert sources.index("check(gelu_forward)") == sources.index(stubs([find("gelu_forward")])) + 1
    assert not is_begun(path, find("gelu_forward"))


def test_an_untouched_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(new_kit(tmp_path / "kit", notebooks=True))
    for name in ("WordPiece.split", "BertOutput.forward"):
        namespace = {"__name__": "__main__"}
        reports = []
        for cell in read_cells(path_of(Path(), find(name))):
            if cell.source.startswith("check("):
                reports.append(eval(cell.source, namespace))
            else:
                exec(cell.source, namespace)
        assert name in [report.exercise.name for report in reports]
        assert all("is still the stub" in repr(report) for report in reports)


def test_variants_are_listed(capsys):
    code, out, _ = command(capsys, "variants")
    assert code == 0
    assert re.search(r"^tanh-gelu +gelu_forward, gelu_backward$", out, re.MULTILINE)


# ---- working in it ----

RIGHT = library_code("gelu_forward")
WRONG = "def gelu_forward(x):\n    return special.normal_cdf(x), None"


def test_from_a_stub_to_the_pay_off(kit, capsys):
    code, out, _ = command(capsys, "run")
    assert (code, out.split("\n")[0]) == (0, "nothing has been begun")
    code, out, _ = command(capsys, "run", "gelu_forward")
    assert code == 1
    assert "gelu_forward is still the stub" in out
    put(kit, "gelu_forward", WRONG)
    code, out, _ = command(capsys, "run")
    assert code == 1
    assert out.startswith("gelu_forward: not yet\n  Φ alone: ")
    assert "failed" in command(capsys, "status")[1]
    put(kit, "gelu_forward", RIGHT)
    assert "failed, changed since" in command(capsys, "status")[1]
    code, out, _ = command(capsys, "run", "gelu_forward")
    assert code == 0
    assert "with your gelu_forward inside, BERT says: the capital of france is paris ." in out
    assert command(capsys, "run")[1].startswith("passed, and not changed since: 1\n")
    assert f"\n{find('gelu_forward').points} of " in command(capsys, "status")[1]


def test_a_backward_teaches_bert(kit, capsys):
    put(kit, "gelu_backward", library_code("gelu_backward"))
    code, out, _ = command(capsys, "run", "gelu_backward")
    before, after = map(float, re.search(r"its loss falls\s+from (\S+) to (\S+)", out).groups())
    assert code == 0
    assert before > 5
    assert after < before - 3


@pytest.mark.slow
def test_code_above_a_forgotten_stub_is_begun(kit, capsys):
    stub = stubs([find("gelu_forward")])
    put(kit, "gelu_forward", stub + "  # a comment is no beginning")
    assert not is_begun(path_of(kit, find("gelu_forward")), find("gelu_forward"))
    put(kit, "gelu_forward", stub.replace("    raise", "    return x * special.normal_cdf(x), x\n    raise"))
    assert "gelu_forward: passed" in command(capsys, "run")[1]


def test_what_is_printed_is_shown(kit, capsys):
    put(kit, "gelu_forward", "def gelu_forward(x):\n    print('here', x.shape)\n    return x, None")
    out = command(capsys, "run", "gelu_forward")[1]
    assert "it printed:\n    here (" in out


def test_an_error_names_the_line_of_the_file(kit, capsys):
    put(kit, "gelu_forward", "def gelu_forward(x):\n    y = x.no_such\n    return y, None")
    path = path_of(kit, find("gelu_forward"))
    line = path.read_text(encoding="utf-8").split("\n").index("    y = x.no_such") + 1
    out = " ".join(command(capsys, "run", "gelu_forward")[1].split())
    assert "AttributeError: 'numpy.ndarray' object has no attribute 'no_such'" in out
    assert f"({path.name}, line {line})" in out


@pytest.mark.slow
def test_a_cell_that_is_no_python_takes_no_other_with_it(kit, capsys):
    put(kit, "gelu_forward", "def gelu_forward(x:\n    return x")
    put(kit, "gelu_backward", library_code("gelu_backward"))
    code, out, _ = command(capsys, "run")
    assert code == 1
    assert "gelu_forward is not defined; SyntaxError" in out
    assert "gelu_backward: passed" in out


@pytest.mark.slow
def test_functions_of_earlier_exercises_are_the_librarys(kit, capsys):
    put(kit, "softmax_forward", "def softmax_forward(x):\n    return x, x")
    put(kit, "scaled_dot_product_attention_forward", library_code("scaled_dot_product_attention_forward"))
    assert command(capsys, "run", "scaled_dot_product_attention_forward")[0] == 0


@pytest.mark.slow
def test_helper_methods_of_a_student_come_along(kit, capsys):
    put(
        kit,
        "BertOutput.forward",
        "    def forward(self, x, residual):\n"
        "        return self.finish(*self.dense.forward(x), residual)\n\n"
        "    def finish(self, h, dense_cache, residual):\n"
        "        h, dropout_cache = self.dropout.forward(h)\n"
        "        y, norm_cache = self.LayerNorm.forward(h + residual)\n"
        "        return y, (dense_cache, dropout_cache, norm_cache)",
    )
    code, out, _ = command(capsys, "run", "BertOutput.forward")
    assert code == 0, out
    assert "BERT says: the capital of france is paris" in out


def test_hints_come_one_by_one(kit, capsys):
    hints = find("layer_norm_backward").hints
    for shown in (1, 2, 3, 3):
        out = command(capsys, "hint", "layer_norm_backward")[1]
        assert out.count(f" of {len(hints)}: ") == shown
        assert " ".join(hints[shown - 1].split()) in " ".join(out.split())
        assert ("these are all; next, read tutorial 4" in out) == (shown == len(hints))


def test_two_terminals_share_a_kit(kit):
    watching, asking = Kit(kit), Kit(kit)
    exercise = find("gelu_forward")
    asking.hints(exercise)
    watching.note(exercise, True, "digest")
    assert len(asking.hints(exercise)) == 2
    assert len(Kit(kit).hints(exercise)) == 3 or len(exercise.hints) == 2
    assert Kit(kit)._results == {"gelu_forward": ["passed", "digest"]}


def test_a_file_that_cannot_be_read(kit, capsys):
    path = path_of(kit, find("gelu_forward"))
    path.write_bytes(b"\xff\xfe")
    assert "not readable" in command(capsys, "status")[1]
    for arguments in (["run"], ["run", "gelu_forward"]):
        code, out, _ = command(capsys, *arguments)
        assert code == 1
        assert f"gelu_forward: {path.name} is not UTF-8\n" in out


def test_reset_keeps_the_text(kit, capsys):
    path = path_of(kit, find("gelu_forward"))
    fresh = path.read_bytes()
    for code in (WRONG, "def gelu_forward(x:\n    return x"):
        put(kit, "gelu_forward", code)
        changed = path.read_bytes()
        out = command(capsys, "reset", "gelu_forward")[1]
        backup = kit / out.rstrip().rpartition(": ")[2]
        assert backup.read_bytes() == changed
        assert not is_begun(path, find("gelu_forward"))
    assert len(list((kit / "backups").iterdir())) == 2
    put(kit, "gelu_forward", WRONG)
    command(capsys, "reset", "gelu_forward")
    assert path.read_text(encoding="utf-8").split() == fresh.decode().split()


def test_reset_of_a_method_leaves_the_others(kit, capsys):
    path = path_of(kit, find("BertOutput.forward"))
    fresh = path.read_text(encoding="utf-8")
    put(kit, "BertOutput.backward", library_code("BertOutput.backward"))
    before = path.read_text(encoding="utf-8")
    put(kit, "BertOutput.forward", library_code("BertOutput.forward"))
    command(capsys, "reset", "BertOutput.forward")
    assert path.read_text(encoding="utf-8") == before
    command(capsys, "reset", "BertOutput.backward")
    assert path.read_text(encoding="utf-8") == fresh


@pytest.mark.parametrize("notebooks", [False, True])
def test_reset_of_what_is_gone(tmp_path, capsys, notebooks):
    folder = new_kit(tmp_path / "kit", notebooks=notebooks)
    path = path_of(folder, find("gelu_forward"))
    gone = path.read_text(encoding="utf-8").replace("def gelu_forward(", "def gone(")
    path.write_text(gone, encoding="utf-8")
    assert command(capsys, "reset", "gelu_forward", "--kit", str(folder))[0] == 0
    cells = read_cells(path)
    assert cells[-1].source.strip().removeprefix("# %%\n") == stubs([find("gelu_forward")])
    assert any("def gone(" in cell.source for cell in cells[:-1])


def test_reset_in_a_notebook(tmp_path, capsys):
    folder = new_kit(tmp_path / "kit", notebooks=True)
    path = path_of(folder, find("gelu_forward"))
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('raise NotImplementedError(\\"gelu_forward', 'return (\\"gelu_forward'), encoding="utf-8"
    )
    assert is_begun(path, find("gelu_forward"))
    command(capsys, "reset", "gelu_forward", "--kit", str(folder))
    assert not is_begun(path, find("gelu_forward"))
    assert [cell.source for cell in read_cells(path)] == [
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
    ]


def test_watch_tells_what_was_saved(kit):
    watched = Kit(kit)
    edits = iter(
        [
            lambda: None,
            lambda: put(kit, "gelu_forward", WRONG),
            lambda: put(kit, "gelu_forward", WRONG + "  # again"),
            lambda: put(kit, "linear_forward", library_code("linear_forward")),
            lambda: (kit / "notes.txt").write_text("nothing to check"),
            lambda: put(kit, "gelu_forward", stubs([find("gelu_forward")])),
        ]
    )

    def wait():
        next(edits)()

    changes = changed_exercises(watched, wait)
    assert [next(changes).name for _ in range(3)] == ["gelu_forward", "gelu_forward", "linear_forward"]
    with pytest.raises(RuntimeError):  # a stub put back is no news: the edits have run out
        next(changes)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "gelu_forwards"], 1, "no exercise 'gelu_forwards'; like it: gelu_forward"),
        (["hint", "xyz"], 1, "no exercise 'xyz'; `bert-numpy exercises status` lists them"),
        (["status", "--kit", "elsewhere"], 3, "elsewhere is no kit (it has no kit.json)"),
    ],
)
def test_mistakes_of_the_caller_are_one_line(kit, capsys, arguments, code, words):
    found, out, err = command(capsys, *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_file_that_was_moved_away(kit, capsys):
    path_of(kit, find("gelu_forward")).unlink()
    code, _, err = command(capsys, "run", "gelu_forward")
    assert code == 3
    assert "no file" in err
    assert command(capsys, "status")[0] == 0


def test_a_damaged_kit(kit, capsys):
    (kit / "kit.json").write_text("{")
    code, _, err = command(capsys, "status")
    assert code == 1
    assert "kit.json is damaged" in err


# ---- the pay-off ----


@pytest.mark.slow
def test_the_pay_off_of_every_exercise():
    """The library's own functions: each sentence is one of three, and nobody's function stays inside."""
    said = {}
    for exercise in all_exercises():
        before = solution(exercise)
        said[exercise.name] = sentence(exercise.name, exercise.module, solution(exercise))
        assert solution(exercise) is before
    kinds = (
        "BERT says: the capital of france is paris .",
        "one step of training teaches BERT",
        "four steps of AdamW teach BERT",
    )
    for name, text in said.items():
        assert not text or [kind for kind in kinds if text.startswith(f"with your {name} inside, {kind}")]
        fall = re.search(r"its loss falls from (\S+) to (\S+)", text)
        assert fall is None or float(fall[2]) < float(fall[1]) - 3
    for kind in kinds:
        assert sum(kind in text for text in said.values()) >= 5
    assert "four steps" in said["adamw_update"]
    assert said["relu_forward"] == ""


def test_the_pay_off_of_a_wrong_function():
    assert "is paris" not in sentence("gelu_forward", "bert_numpy.nn.functional", lambda x: (-x, None))
