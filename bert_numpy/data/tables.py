"""Files with one example in each row: CSV, TSV and JSON lines, as they are.

Here: `read_table`, which gives cells and remembers the line of each row, and `load_dataset`, which gives a `Dataset`
with the columns of the file.  Not here: which column is the text and which the label (`classification.py`, read that
next).

=======  =====================================================================================================
format   what it means here
=======  =====================================================================================================
"csv"    cells in double quotes may hold delimiters, line breaks and doubled quotes (RFC 4180)
"tsv"    no quoting, as in GLUE: a quotation mark is a character, a row is a line
"jsonl"  one JSON object in each line; the columns are its keys
"text"   one column "text", a line each
=======  =====================================================================================================

Lines with nothing in them are passed over.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..checkpoints.files import shown
from .dataset import Dataset, DatasetDict
from .text_files import PathLike, parse_json, read_lines, read_text

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
}
"""Which format a file is read in that has this ending, if nobody says."""

_NUMBERS: tuple[tuple[type, re.Pattern[str]], ...] = (
    (int, re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)),
    (float, re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)),
)

Cells = list[Any] | dict[Any, Any]


class Table(NamedTuple):
    """The cells of a file.

    Attributes
    ----------
    name : str
        The file, for messages.
    columns : list of str, or None
        The names in the header; None if there is none.
    rows : list
        A list of str for each row; a dict for each line of JSON.
    lines : list of int
        The line on which each row begins, counted from 1.
    """

    name: str
    columns: list[str] | None
    rows: list[Cells]
    lines: list[int]

    def place(self, row: int) -> str:
        """Say where a row stands: "train.csv, line 7"."""
        return f"{self.name}, line {self.lines[row]}"

    def with_header(self) -> Table:
        """Take the first row for the names of the columns."""
        columns = [cell.strip() for cell in self.rows[0]]
        seen: set[str] = set()
        for name in columns:
            if name in seen:
                hint = "if it is no header, give header=False"
                raise ValueError(f"{self.place(0)}: the header names the column {name!r} twice; {hint}")
            seen.add(name)
        if len(self.rows) == 1:
            raise ValueError(f"{self.name}: has a header but no rows")
        return Table(self.name, columns, self.rows[1:], self.lines[1:])

    def column(self, key: str | int) -> list[Any]:
        """Return the cells of a column by its name or number, None where a line of JSON does not have it."""
        place = key if isinstance(key, int) else (self.columns or []).index(key)
        return [row.get(key) if isinstance(row, dict) else row[place] for row in self.rows]


def read_table(
    path: PathLike,
    *,
    format: str | None = None,
    header: bool = True,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Table:
    """Read the cells of a file.

    Parameters
    ----------
    path : path
    format : {"csv", "tsv", "jsonl", "text"}, optional
        By the ending of the name if not given.
    header : bool
        Whether the first row of a CSV or TSV file names the columns.
    delimiter : str, optional
        One character; "," for CSV and a tab for TSV if not given.
    encoding : str

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the line that does not fit.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dev.csv"
    >>> _ = path.write_text('text,label\\n"well, well",0\\nno,1\\n', encoding="utf-8")
    >>> table = read_table(path)
    >>> table.columns, table.rows, table.lines
    (['text', 'label'], [['well, well', '0'], ['no', '1']], [2, 3])
    """
    name, format = shown(path), file_format(path, format)
    if format in ("jsonl", "text"):
        lines = [(number, line) for number, line in enumerate(read_lines(path, encoding), 1) if line]
        if format == "text":
            return Table(name, ["text"], [[line] for _, line in lines], [number for number, _ in lines])
        return _json_table(name, lines)
    delimiter = delimiter or {"csv": ",", "tsv": "\t"}[format]
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError(f"delimiter={delimiter!r} cannot separate cells; give one character, such as ',' or '\\t'")
    if format == "csv":
        cells = _csv_rows(name, read_text(path, encoding), delimiter)
    else:
        cells = [(n, line.split(delimiter)) for n, line in enumerate(read_lines(path, encoding), 1) if line]
    first, width = cells[0][0], len(cells[0][1])
    for line, row in cells:
        if len(row) != width:
            mark = "tab" if delimiter == "\t" else repr(delimiter)
            hint = f"a cell that holds a {mark} must stand in quotes" if format == "csv" else f"count the {mark}s"
            raise ValueError(f"{name}, line {line}: has {_cells(len(row))}, but line {first} has {width}; {hint}")
    table = Table(name, None, [row for _, row in cells], [line for line, _ in cells])
    return table.with_header() if header else table


def load_dataset(
    path: str,
    *,
    data_files: PathLike | Sequence[PathLike] | Mapping[str, Any],
    split: str | None = None,
    delimiter: str | None = None,
    column_names: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Any:
    """Read files as they are: every column under its name, numbers as numbers.

    Parameters
    ----------
    path : {"csv", "tsv", "json", "text"}
        The format of the files.
    data_files : path, sequence of paths, or mapping of a name such as "train" to either
        The rows of several files follow each other.
    split : str, optional
        The one name whose dataset is wanted; all of them if not given.
    delimiter, encoding
        See `read_table`.
    column_names : sequence of str, optional
        For CSV and TSV files without a header.

    Returns
    -------
    DatasetDict, or Dataset if there is a `split`
        A column in which every cell of a CSV or TSV file is an integer holds int, one of other numbers float, any other
        str.  A key that a line of JSON lacks is None.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.csv"
    >>> _ = path.write_text("text,label\\nfine,1\\nsad,0\\n", encoding="utf-8")
    >>> load_dataset("csv", data_files={"train": path})["train"][0]
    {'text': 'fine', 'label': 1}
    """
    formats = {"csv": "csv", "tsv": "tsv", "json": "jsonl", "jsonl": "jsonl", "text": "text"}
    if path not in formats:
        raise ValueError(
            f"load_dataset reads files: the format must be one of {', '.join(formats)}, not {path!r}; "
            'download the data and give load_dataset("csv", data_files=...)'
        )
    splits: Mapping[str, Any] = data_files if isinstance(data_files, Mapping) else {"train": data_files}
    if split is not None and split not in splits:
        raise ValueError(f"split={split!r} is not among {', '.join(map(repr, splits))}")
    found = DatasetDict()
    for name in splits if split is None else [split]:
        files = [splits[name]] if isinstance(splits[name], str | os.PathLike) else splits[name]
        columns = _joined([(f, _as_columns(f, formats[path], delimiter, column_names, encoding)) for f in files])
        typed = path in ("csv", "tsv")
        found[name] = Dataset({column: _typed(cells) if typed else cells for column, cells in columns.items()})
    return found if split is None else found[split]


def listed(names: Sequence[Any]) -> str:
    """Return the names of columns, or cells, for a message; of many only the first.

    Examples
    --------
    >>> listed(["text", "label"])
    "'text', 'label'"
    """
    few = ", ".join(repr(name[:40] if isinstance(name, str) else name) for name in names[:10])
    return few if len(names) <= 10 else f"{few} and {len(names) - 10} more"


def file_format(path: PathLike, format: str | None = None) -> str:
    """Return the format that is asked for, or the one of the file's ending.

    Examples
    --------
    >>> file_format("dev.TSV"), file_format("dev.TSV", "csv")
    ('tsv', 'csv')
    """
    known = sorted(set(FORMATS.values()))
    if format is None:
        format = FORMATS.get(Path(path).suffix.lower())
        if format is None:
            raise ValueError(f"{shown(path)}: the ending tells no format; give format= one of {', '.join(known)}")
    if format not in known:
        raise ValueError(f"format={format!r} is unknown; choose one of {', '.join(known)}")
    return format


def _csv_rows(name: str, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line on which it begins, cells) for every row."""
    lines = (match[0] for match in re.finditer(r"[^\n]*\n|[^\n]+", text))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    line = 1
    limit = csv.field_size_limit(len(text))  # a whole document may stand in a cell; the limit is the interpreter's
    try:
        for row in reader:
            if row:
                found.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        if "new-line character" in str(error):
            raise ValueError(
                f"{name}, line {line}: holds a carriage return outside quotes; save the file with line feeds at the "
                "ends of its lines"
            ) from None
        reached = f" (noticed on line {reader.line_num})" if reader.line_num > line else ""
        raise ValueError(
            f"{name}, line {line}: is not CSV: {error}{reached}; a quotation mark within quotes must be doubled, and a "
            'file without quoting read with format="tsv"'
        ) from None
    finally:
        csv.field_size_limit(limit)
    return found


def _json_table(name: str, lines: list[tuple[int, str]]) -> Table:
    rows: list[Cells] = []
    for number, line in lines:
        row = parse_json(line, f"{name}, line {number}")
        if not isinstance(row, dict):
            raise ValueError(
                f'{name}, line {number}: is {_kind(row)}, not an object such as {{"text": "…", "label": 0}}; '
                "every line must be one"
            )
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Table(name, columns, rows, [number for number, _ in lines])


def _as_columns(
    path: PathLike, format: str, delimiter: str | None, column_names: Sequence[str] | None, encoding: str
) -> dict[str, list[Any]]:
    has_header = column_names is None
    table = read_table(path, format=format, header=has_header, delimiter=delimiter, encoding=encoding)
    if column_names is None or format in ("jsonl", "text"):
        return {name: table.column(name) for name in table.columns or ()}
    if len(column_names) != len(table.rows[0]):
        raise ValueError(f"{table.place(0)}: has {_cells(len(table.rows[0]))}, but there are {len(column_names)} names")
    return {name: table.column(i) for i, name in enumerate(column_names)}


def _joined(parts: list[tuple[PathLike, dict[str, list[Any]]]]) -> dict[str, list[Any]]:
    """The rows of several files after each other."""
    joined: dict[str, list[Any]] = {}
    for number, (path, columns) in enumerate(parts):
        if number and set(columns) != set(joined):
            raise ValueError(f"{shown(path)}: has the columns {list(columns)}, the file before has {list(joined)}")
        for name, cells in columns.items():
            joined.setdefault(name, []).extend(cells)
    return joined


def _typed(cells: list[Any]) -> list[Any]:
    """The cells as numbers, if all of them are."""
    for kind, pattern in _NUMBERS:
        if all(pattern.fullmatch(cell) for cell in cells):
            return [kind(cell) for cell in cells]
    return cells


def _cells(count: int) -> str:
    return f"{count} cell{'s' * (count != 1)}"


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
