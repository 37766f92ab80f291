"""The chapters of a kit as the student left them: where a function stands in them, and putting the stub back.

Here: finding and replacing text.  Not here: running it (`checking.py`).
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .catalogue import chapter_of
from .cutter import stubs
from .exercise import Exercise
from .kit import groups
from .source import span
from .submission import file_name, find_file, read_cells

BACKUPS = "backups"


@dataclass(frozen=True)
class Place:
    """Where an exercise stands in a file: a cell, and the lines in it (from 0, the last not included)."""

    cell: int
    start: int
    end: int


def path_of(folder: Path, exercise: Exercise) -> Path:
    """The file of the exercise's chapter.

    Raises
    ------
    FileNotFoundError
        If the student has moved it away.
    """
    number, chapter = chapter_of(exercise)
    path = find_file(folder, chapter)
    if path is None:
        raise FileNotFoundError(f"no file {file_name(number, chapter)} (or .ipynb) in {folder.resolve().name}")
    return path


def text_of(path: Path, exercise: Exercise) -> str:
    """The student's function, or the cell that it would be in; the whole file if there is neither."""
    cells = [cell.source for cell in read_cells(path)]
    place = _find(cells, exercise)
    return "\n".join(cells) if place is None else "\n".join(cells[place.cell].split("\n")[place.start : place.end])


def is_begun(path: Path, exercise: Exercise) -> bool:
    """Whether the function is more, or less, than its stub; comments do not count."""
    return _code(text_of(path, exercise)) != _stub_code(exercise)


def digest(path: Path, exercise: Exercise) -> str:
    """Changes when the code of a chapter does, but for the functions that other exercises ask for."""
    text = "\0".join(cell.source.strip("\n") for cell in read_cells(path))
    _, chapter = chapter_of(exercise)
    for other in chapter.exercises:
        if other is not exercise:
            text = text.replace(text_of(path, other).strip("\n"), "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reset(folder: Path, exercise: Exercise) -> Path:
    """Put the stub back, and return the copy of the file as it was.

    Only the function is replaced where the cell can be read as Python, else the whole cell; a cell that is gone is
    written at the end.
    """
    path = path_of(folder, exercise)
    backup = _back_up(path)
    if path.suffix == ".ipynb":
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
        changed = _with_stub(sources, exercise)
        for cell, source in zip(cells, changed, strict=False):
            cell["source"] = source.splitlines(keepends=True)
        for source in changed[len(cells) :]:
            new: dict[str, Any] = {"cell_type": "code", "id": f"again-{len(cells)}", "metadata": {}, "outputs": []}
            notebook["cells"].append({**new, "execution_count": None, "source": source.splitlines(keepends=True)})
        text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    else:
        cells = _raw_cells(path.read_text(encoding="utf-8-sig"))
        changed = _with_stub(cells, exercise)
        text = "\n".join([*changed[: len(cells)], *(f"\n# %%\n{cell}\n" for cell in changed[len(cells) :])])
    path.write_text(text, encoding="utf-8", newline="\n")
    return backup


def _back_up(path: Path) -> Path:
    folder = path.parent / BACKUPS
    folder.mkdir(exist_ok=True)
    backup = next(p for i in itertools.count(1) if not (p := folder / f"{path.stem}.{i}{path.suffix}").exists())
    backup.write_bytes(path.read_bytes())
    return backup


def _raw_cells(text: str) -> list[str]:
    """A script, cut at its marks; joined with newlines it is the script again."""
    lines = text.split("\n")
    starts = [0, *(i for i, line in enumerate(lines) if line.startswith("# %%") and i), len(lines)]
    return ["\n".join(lines[start:end]) for start, end in itertools.pairwise(starts)]


def _with_stub(cells: list[str], exercise: Exercise) -> list[str]:
    """The cells with the stub in its place, or with one more cell."""
    _, chapter = chapter_of(exercise)
    group = next(group for group in groups(chapter) if exercise in group)
    place = _find(cells, exercise)
    if place is None:
        return [*cells, stubs(group)]
    lines = cells[place.cell].split("\n")
    is_whole = "." not in exercise.name or lines[place.start].startswith("class ")
    lines[place.start : place.end] = (stubs(group) if is_whole else _method_stub(exercise)).split("\n")
    return [*cells[: place.cell], "\n".join(lines), *cells[place.cell + 1 :]]


@cache
def _stub_code(exercise: Exercise) -> str:
    return _code(_method_stub(exercise) if "." in exercise.name else stubs([exercise]))


def _code(text: str) -> str:
    """A function without comments and layout; the text itself if it is no Python."""
    try:
        return ast.dump(ast.parse(textwrap.dedent(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text


def _method_stub(exercise: Exercise) -> str:
    """The stub of a method alone, indented as in its class."""
    code = stubs([exercise])
    method = exercise.name.rpartition(".")[2]
    node = _definition(ast.parse(code).body, exercise.name)
    assert node is not None, method
    return "\n".join(code.split("\n")[slice(*span(node))])


def _find(cells: list[str], exercise: Exercise) -> Place | None:
    """The last definition of the function; or the cell that has its first line, if that is no Python."""
    for number in reversed(range(len(cells))):
        if cells[number].startswith("# %% [markdown]"):
            continue
        try:
            tree = ast.parse(cells[number])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        node = _definition(tree.body, exercise.name)
        if node is not None:
            return Place(number, *span(node))
    first = exercise.name.partition(".")[0]
    for number, cell in enumerate(cells):
        lines = cell.split("\n")
        for i, line in enumerate(lines):
            if line.startswith((f"def {first}(", f"class {first}(", f"class {first}:")):
                return Place(number, i, len(lines))
    return None


def _definition(body: list[ast.stmt], name: str) -> ast.stmt | None:
    first, _, rest = name.partition(".")
    for node in reversed(body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == first:
            return _definition(node.body, rest) if rest and isinstance(node, ast.ClassDef) else node
    return None
