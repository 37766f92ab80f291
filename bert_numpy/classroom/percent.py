"""The percent format: a Python script that is also a notebook.

    # %% [markdown]
    # # A title
    # Text in Markdown, each line behind "# ".

    # %%
    print("code")

Editors run such a file cell by cell, Python runs it whole, and a line of it changes as a line in version control.

Here: a text to its cells.  Read next: `notebook.py`, which runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

CODE, MARKDOWN = "code", "markdown"
MARKS = {"# %%": CODE, "# %% [markdown]": MARKDOWN}


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    kind : "code" or "markdown"
    source : str
        Without empty lines at its ends, and without the "# " of Markdown.
    line : int
        The line of the script, counted from 1, on which the source begins.
    """

    kind: str
    source: str
    line: int


def read_cells(text: str) -> list[Cell]:
    """Return the cells of a script.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Cell
        Empty cells are left out.

    Raises
    ------
    ValueError
        If there is no cell, a line before the first one, a mark that is not known, or a line of Markdown that is no
        comment; the message begins with the number of the line.

    Examples
    --------
    >>> read_cells("# %% [markdown]\\n# # Title\\n#\\n# Text.\\n\\n# %%\\nprint(1)\\n")
    [Cell(kind='markdown', source='# Title\\n\\nText.', line=2), Cell(kind='code', source='print(1)', line=7)]
    """
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("# %%")]
    if not starts:
        raise ValueError('line 1: there is no cell; a cell begins with a line "# %%" or "# %% [markdown]"')
    for index, line in enumerate(lines[: starts[0]]):
        if line.strip():
            raise ValueError(f"line {index + 1}: {line.strip()!r} stands before the first cell")
    cells = [_read_cell(lines, start, end) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [cell for cell in cells if cell.source]


def _read_cell(lines: list[str], start: int, end: int) -> Cell:
    """The cell whose mark is on line `start` (from 0) and that ends before line `end`."""
    mark = lines[start].rstrip()
    if mark not in MARKS:
        raise ValueError(f"line {start + 1}: {mark!r} is no mark of a cell; write one of {', '.join(MARKS)}")
    first = start + 1
    while first < end and not lines[first].strip():
        first += 1
    source = [line.rstrip() for line in lines[first:end]]
    if MARKS[mark] == MARKDOWN:
        source = [_uncomment(line, first + index + 1) for index, line in enumerate(source)]
    return Cell(MARKS[mark], "\n".join(source).strip("\n"), first + 1)


def _uncomment(line: str, number: int) -> str:
    """A line of Markdown without its "# "."""
    if line in ("", "#"):
        return ""
    if not line.startswith("# "):
        raise ValueError(f'line {number}: {line!r} stands in a Markdown cell, whose lines begin with "# "')
    return line[2:]
