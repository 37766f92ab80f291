"""Every tutorial runs as a script and as its notebook, from anywhere, with warnings as errors, within its limits.

The quick tests read the files; the slow ones run them.  A tutorial checks its own claims with assertions.
"""

import base64
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_numpy.classroom.catalogue import all_exercises
from bert_numpy.classroom.notebook import compare, execute_apart, read_notebook
from bert_numpy.classroom.percent import read_cells

FOLDER = Path(__file__).parents[2] / "tutorials"
SCRIPTS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
SECONDS, BYTES_OF_MEMORY, BYTES_OF_NOTEBOOK, WIDTH = 60, 2 * 2**30, 300_000, 800

every_tutorial = pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])


def cells_of(script):
    return read_cells(script.read_text(encoding="utf-8"))


def shown(notebook):
    """Yield (kind, content) of every output."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output["output_type"] == "stream":
                yield "text", "".join(output["text"])
            else:
                yield from ((kind, "".join(content)) for kind, content in output["data"].items())


# ---- what stands in the files ----


def test_the_path_has_no_gap():
    assert [script.stem[:2] for script in SCRIPTS] == [f"{n:02}" for n in range(1, len(SCRIPTS) + 1)]
    assert len(SCRIPTS) == 14


@every_tutorial
def test_it_begins_and_ends_as_all_do(script):
    cells = cells_of(script)
    first, last = cells[0].source, "\n".join(cell.source for cell in cells if cell.kind == "markdown")
    assert first.startswith(f"# {int(script.stem[:2])}. ")
    for part in ("**What you will do.**", "**What you will learn.**", "**What you need.**"):
        assert part in first
    assert re.search(r"About \d+ minutes", first)
    assert last.index("## On your own") < last.index("## Further reading")


@every_tutorial
def test_the_exercises_that_it_names_exist(script):
    text = "\n\n".join(cell.source for cell in cells_of(script) if cell.kind == "markdown")
    for paragraph in re.findall(r"^\*\*Exercises\.\*\* .*?$(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL):
        named = set(re.findall(r"`([^` ]+)`", paragraph))
        assert named <= {exercise.name for exercise in all_exercises()}


@every_tutorial
def test_it_checks_its_claims(script):
    """At least one check for each section but the last two."""
    cells = cells_of(script)
    sections = sum(len(re.findall(r"^## ", cell.source, re.MULTILINE)) for cell in cells if cell.kind == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.kind == "code")
    assert sections >= 5
    assert len(re.findall(r"^\s*assert |\bagree\(|\bclose\(", code, re.MULTILINE)) >= sections - 2


@every_tutorial
def test_formulas_are_of_the_kind_that_github_shows(script):
    """A formula between $$ is a paragraph of its own, without lines that read as Markdown's lists; $ hug theirs."""
    for cell in cells_of(script):
        if cell.kind != "markdown":
            continue
        where = f"in the cell at line {cell.line}"
        for paragraph in re.split(r"\n\s*\n", cell.source):
            if "$$" in paragraph:
                formula = paragraph.strip()
                assert formula.count("$$") == 2, f"{where}: $$ twice in a paragraph, not {formula!r}"
                assert formula.startswith("$$"), f"{where}: text before the formula {formula!r}"
                assert formula.endswith("$$"), f"{where}: text behind the formula {formula!r}"
                assert not re.search(r"^\s*([-+*>#]|\d+\.) ", formula, re.MULTILINE), f"{where}: a list in {formula!r}"
            else:
                text = re.sub(r"`[^`]*`", "", paragraph)
                assert text.count("$") % 2 == 0, f"{where}: an odd number of $ in {paragraph!r}"
                for formula in re.findall(r"\$([^$]*)\$", text):
                    assert formula == formula.strip() != "", f"{where}: a space after or before $ in ${formula}$"


@every_tutorial
def test_its_notebook_has_its_cells_and_fits_on_a_page(script):
    path = script.with_suffix(".ipynb")
    notebook = read_notebook(path)
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert sources == [cell.source for cell in cells_of(script)], "make it again: python tutorials/make_notebooks.py"
    assert path.stat().st_size <= BYTES_OF_NOTEBOOK
    assert b"\r" not in path.read_bytes()
    for kind, content in shown(notebook):
        if kind == "image/png":
            width = int.from_bytes(base64.b64decode(content)[16:20], "big")
            assert 0 < width <= WIDTH
        else:
            assert not re.search(r"(/tmp/|/home/|/root/|/Users/|[A-Z]:\\\\| at 0x[0-9a-f]{6})", content)


def test_the_index_names_every_tutorial_with_its_title_and_time():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        first = cells_of(script)[0].source
        title = first.splitlines()[0].split(". ", 1)[1]
        minutes = re.search(r"About (\d+) minutes", first)[1]
        row = next(line for line in index.splitlines() if f"({script.stem}.ipynb)" in line)
        assert title in row
        assert f"| {minutes} |" in row
        assert f"({script.name})" in row


# ---- running them ----


def seconds_of(script, folder):
    """Run a tutorial in an empty folder, and say how long it took; what else is asked of it is asserted."""
    command = [sys.executable, "-X", "utf8", "-W", "error", str(script)]
    empty = folder / "empty"
    empty.mkdir(parents=True)
    began = time.monotonic()
    with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
        process = subprocess.Popen(command, cwd=empty, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            unit = 1 if sys.platform == "darwin" else 1024
            assert usage.ru_maxrss * unit < BYTES_OF_MEMORY
        else:
            process.wait()
    seconds = time.monotonic() - began
    assert process.returncode == 0, (folder / "stderr").read_text(encoding="utf-8")[-3000:]
    assert (folder / "stdout").read_text(encoding="utf-8").strip()
    assert list(empty.iterdir()) == []
    return seconds


@pytest.mark.slow
@every_tutorial
def test_it_runs_as_a_script_from_anywhere(script, tmp_path):
    seconds = seconds_of(script, tmp_path / "once")
    if seconds >= SECONDS:  # another process may have been in the way
        seconds = seconds_of(script, tmp_path / "again")
    assert seconds < SECONDS


@pytest.mark.slow
@every_tutorial
def test_its_notebook_is_up_to_date(script):
    made = execute_apart(script, time_limit=2 * SECONDS)
    assert compare(read_notebook(script.with_suffix(".ipynb")), made) == []
