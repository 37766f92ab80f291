"""The code of a chapter as a student left it: a script in percent format or a notebook, as cells.

Cells are compiled one by one, so that an error in one exercise does not take the others with it.

Here: files to cells.  Not here: running them (`sandbox.py`).
"""

from __future__ import annotations

import io
import itertools
import json
import tokenize
from dataclasses import dataclass
from pathlib import Path

from .exercise import Chapter

LARGEST_FILE = 1_000_000  # bytes


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
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} has more than {LARGEST_FILE:,} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not UTF-8") from None
    return _of_notebook(path.name, text) if path.suffix == ".ipynb" else _of_script(path.name, text)


def _of_script(name: str, text: str) -> list[CodeCell]:
    lines = text.split("\n")
    starts = [0, *(i for i, line in enumerate(lines) if line.startswith("# %%") and i), len(lines)]
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
    return [CodeCell(f"{name}, code cell {i}", _without_magic(source)) for i, source in enumerate(sources, start=1)]


def _without_magic(source: str) -> str:
    """Lines for IPython alone, `%timeit` or `!ls`, do nothing; lines that go on from the one before stay."""
    kept: list[str] = []
    for line in source.split("\n"):
        if line.lstrip().startswith(("%", "!")) and not _goes_on(kept):
            line = line[: len(line) - len(line.lstrip())] + "pass"
        kept.append(line)
    return "\n".join(kept)


def _goes_on(lines: list[str]) -> bool:
    """Whether a bracket or a text is open behind some lines, or the last one ends with a backslash."""
    if lines and lines[-1].endswith("\\"):
        return True
    try:
        for _ in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            pass
    except tokenize.TokenError as error:
        return "EOF" in str(error) or "triple-quoted" in str(error)
    except SyntaxError:  # of the indentation
        return False
    return False
