"""The code of a chapter as a student left it: a script in percent format or a notebook, as cells.

Cells are compiled one by one, so that an error in one exercise does not take the others with it.

Here: files to cells.  Not here: running them (`sandbox.py`).
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from .exercise import Chapter

LARGEST_FILES = {".py": 200_000, ".ipynb": 10_000_000}  # bytes; a notebook may hold pictures
MOST_CODE = 100_000  # characters: more could be nested so deeply that reading it takes the whole stack
MOST_CELLS = 500
MARKS = re.compile(r"""\\.|\"{3}|'{3}|["'#()\[\]{}]""")  # what opens and closes brackets, texts and comments


@dataclass(frozen=True)
class CodeCell:
    """A piece of code; its first lines are empty so that the numbers of lines are those of the file.

    Parameters
    ----------
    name : str
        Of the file, and of the cell if it is a notebook's.
    source : str
    """

    name: str
    source: str


def file_name(number: int, chapter: Chapter, ending: str = ".py") -> str:
    """What the file of a chapter is called: "04_layer_norm.py"."""
    return f"{number:02}_{chapter.slug}{ending}"


def find_file(folder: Path, chapter: Chapter) -> Path | None:
    """The file of a chapter, whatever its number: the script, or else the notebook; None if there is neither."""
    paths = [path for ending in (".py", ".ipynb") for path in sorted(folder.glob(f"[0-9][0-9]_{chapter.slug}{ending}"))]
    return next((path for path in paths if path.is_file()), None)


def read_cells(path: Path) -> list[CodeCell]:
    """The code of a script or of a notebook.

    Raises
    ------
    ValueError
        If the file is too large, no UTF-8, or no notebook.
    """
    largest = LARGEST_FILES[path.suffix]
    if path.stat().st_size > largest:
        raise ValueError(f"{path.name} has more than {largest:,} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not UTF-8") from None
    cells = _of_notebook(path.name, text) if path.suffix == ".ipynb" else _of_script(path.name, text)
    if sum(len(cell.source.lstrip("\n")) for cell in cells) > MOST_CODE:
        raise ValueError(f"{path.name} has more than {MOST_CODE:,} characters of code")
    return cells


def _of_script(name: str, text: str) -> list[CodeCell]:
    lines = text.split("\n")
    starts = [0, *(i for i, line in enumerate(lines) if line.startswith("# %%") and i), len(lines)]
    if len(starts) > MOST_CELLS + 1:
        raise ValueError(f"{name} has more than {MOST_CELLS} cells")
    cells = []
    for start, end in itertools.pairwise(starts):
        if not lines[start].startswith("# %% [markdown]"):
            cells.append(CodeCell(name, "\n" * start + "\n".join(lines[start:end])))
    return cells


def _of_notebook(name: str, text: str) -> list[CodeCell]:
    try:
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{name} is no notebook of Jupyter") from None
    if len(sources) > MOST_CELLS or sum(map(len, sources)) > MOST_CODE:
        raise ValueError(f"{name} has more than {MOST_CELLS} cells, or {MOST_CODE:,} characters of code")
    return [CodeCell(f"{name}, code cell {i}", _without_magic(source)) for i, source in enumerate(sources, start=1)]


def _without_magic(source: str) -> str:
    """Lines for IPython alone, `%timeit` or `!ls`, do nothing; lines that go on from the one before stay."""
    kept = []
    depth, quote, goes_on = 0, "", False
    for line in source.split("\n"):
        if line.lstrip().startswith(("%", "!")) and not (depth or quote or goes_on):
            line = line[: len(line) - len(line.lstrip())] + "pass"
        depth, quote, goes_on = _after(line, depth, quote)
        kept.append(line)
    return "\n".join(kept)


def _after(line: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """Behind a line: how many brackets are open, the quotes of a text that is, whether a backslash joins the next."""
    goes_on = line.endswith("\\")
    for found in MARKS.finditer(line):
        mark = found[0]
        if quote:
            if mark == quote or (len(quote) == 1 and mark[0] == quote):
                quote = ""
        elif mark == "#":
            goes_on = False
            break
        elif mark[0] in "\"'":
            quote = mark
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
    return depth, quote if len(quote) == 3 or goes_on else "", goes_on
