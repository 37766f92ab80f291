"""Texts, or pairs of texts, with a class or a number each.

Here: `read_classification`, `read_regression`, `read_texts`, and how they find the columns.  Not here: the formats
(`tables.py`); from texts to ids (the tokenizer, by `dataset.map`).  Read next: `tagging.py`.

    train = read_classification("train.tsv")
    test = read_classification("test.tsv", labels=train.labels)
    encoded = train.map(lambda e: tokenizer(e["text"], truncation=True), batched=True)
    config = BertConfig(..., id2label=train.labels.id2label)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .dataset import Dataset
from .labels import LabelMap, label_name
from .tables import Table, listed, read_table
from .text_files import PathLike

PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
)
TEXTS = ("text", "sentence", "question", "review", "content", "message", "sms", "comment", "tweet", "body", "title")
LABELS = ("label", "labels", "gold_label", "class", "category", "target", "sentiment", "is_duplicate", "score")
"""The usual names of columns, the first that is there being taken; case does not matter."""

Column = str | int | None


def read_classification(
    path: PathLike,
    *,
    text_column: Column = None,
    text_pair_column: Column = None,
    label_column: Column = None,
    labels: LabelMap | Mapping[Any, Any] | Sequence[str] | None = None,
    header: bool | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Read texts and their classes.

    Parameters
    ----------
    path : path
    text_column, text_pair_column, label_column : str or int, optional
        The names of the columns, or their numbers from 0.  If not given, the usual names are looked for: `PAIRS`,
        `TEXTS`, `LABELS`; beside a label, a column that is left alone is the text.
    labels : LabelMap, label2id, id2label or names, optional
        The labels that may occur; pass those of the training data when reading others.  If not given, they are
        collected from the file, sorted.  With `LabelMap.numbered(n)`, or the `label2id` of a configuration whose
        labels have no names, the file holds numbers from 0 to n - 1.
    header : bool, optional
        Whether the first row names the columns.  If not given: yes if a column is asked for by name, or the row has
        a usual name for what is looked for; no if all columns are asked for by number.
    format, delimiter, encoding
        See `read_table`.

    Returns
    -------
    Dataset
        The columns "text", "text_pair" if there are pairs, and "label" with ints; `dataset.labels` names them.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the line: a column is missing, a row or a label does not fit.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sms.tsv"
    >>> _ = path.write_text('Label\\tSMS\\nham\\tSee "you\\nspam\\tWIN!\\n', encoding="utf-8")
    >>> dataset = read_classification(path)
    >>> dataset[0], dataset.labels.id2label
    ({'text': 'See "you', 'label': 0}, {0: 'ham', 1: 'spam'})
    """
    table = _table(path, (text_column, text_pair_column, label_column), LABELS, header, format, delimiter, encoding)
    label_column = _label_column(table, label_column)
    columns = _text_columns(table, text_column, text_pair_column, label_column)
    names = _converted(table, table.column(label_column), label_name)
    known = LabelMap.from_values(names) if labels is None else LabelMap.of(labels)
    return Dataset({**columns, "label": _converted(table, names, known.id_of)}, known)


def read_regression(
    path: PathLike,
    *,
    text_column: Column = None,
    text_pair_column: Column = None,
    label_column: Column = None,
    header: bool | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Read texts and a number for each; parameters as in `read_classification`.

    Returns
    -------
    Dataset
        The columns "text", "text_pair" if there are pairs, and "label" with floats.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_classification`; also for a label that is no finite number.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "stsb.csv"
    >>> _ = path.write_text("sentence1,sentence2,score\\nA dog.,A hound.,4.5\\n", encoding="utf-8")
    >>> read_regression(path)[0]
    {'text': 'A dog.', 'text_pair': 'A hound.', 'label': 4.5}
    """
    table = _table(path, (text_column, text_pair_column, label_column), LABELS, header, format, delimiter, encoding)
    label_column = _label_column(table, label_column)
    columns = _text_columns(table, text_column, text_pair_column, label_column)
    return Dataset({**columns, "label": _converted(table, table.column(label_column), _number)})


def read_texts(
    path: PathLike,
    *,
    text_column: Column = None,
    text_pair_column: Column = None,
    header: bool | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Read texts or pairs without labels, to predict them; parameters as in `read_classification`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "new.txt"
    >>> _ = path.write_text("One line.\\nAnother.\\n", encoding="utf-8")
    >>> read_texts(path)["text"]
    ['One line.', 'Another.']
    """
    usual = {name for pair in PAIRS for name in pair}.union(TEXTS)
    table = _table(path, (text_column, text_pair_column), tuple(usual), header, format, delimiter, encoding)
    return Dataset(_text_columns(table, text_column, text_pair_column, None))


def _table(
    path: PathLike,
    wanted: tuple[Column, ...],
    usual: tuple[str, ...],
    header: bool | None,
    format: str | None,
    delimiter: str | None,
    encoding: str,
) -> Table:
    """The cells of a file, its first row being the header if it looks like one and nobody says."""
    table = read_table(path, format=format, header=False, delimiter=delimiter, encoding=encoding)
    if table.columns is not None:  # JSON lines
        return table
    asked = [column for column in wanted if column is not None]
    if header is None and asked:
        header = any(isinstance(column, str) for column in asked)
    elif header is None:
        header = not {cell.strip().casefold() for cell in table.rows[0]}.isdisjoint(usual)
    return table.with_header() if header else table


def _label_column(table: Table, column: Column) -> str | int:
    if column is not None:
        return _checked(table, column)
    found = _usual(table, LABELS)
    if found is None:
        raise _not_found(table, "label", "label_column")
    return found


def _text_columns(table: Table, text: Column, pair: Column, label: Column) -> dict[str, list[str]]:
    """The cells of "text" and, if there are any, of "text_pair"."""
    if text is None:
        if pair is not None:
            raise ValueError("text_pair_column is given without text_column; give both")
        both = [(_usual(table, (first,), label), _usual(table, (second,), label)) for first, second in PAIRS]
        text, pair = next((found for found in both if None not in found), (_usual(table, TEXTS, label), None))
        others = [key for key in _keys(table) if key != label]
        if text is None and len(others) == 1:
            text = others[0]
        if text is None:
            raise _not_found(table, "text", "text_column")
    columns = {"text": table.column(_checked(table, text))}
    if pair is not None:
        columns["text_pair"] = table.column(_checked(table, pair))
    for cells, key in zip(columns.values(), (text, pair), strict=False):
        for row, cell in enumerate(cells):
            if not isinstance(cell, str):
                found = "is missing" if cell is None else f"is {str(cell)[:40]!r}, not a text"
                raise ValueError(f"{table.place(row)}: {key!r} {found}")
    return columns


def _keys(table: Table) -> Sequence[str | int]:
    return range(len(table.rows[0])) if table.columns is None else table.columns


def _usual(table: Table, names: tuple[str, ...], taken: Column = None) -> str | None:
    """The first of some usual names that is a column and not taken yet, as the file spells it."""
    spelled = {column.casefold(): column for column in reversed(table.columns or ()) if column != taken}
    return next((spelled[name] for name in names if name in spelled), None)


def _checked(table: Table, column: str | int) -> str | int:
    """A column that was asked for, if there is one."""
    keys = _keys(table)
    if isinstance(column, int) and table.columns is not None and 0 <= column < len(keys):
        return keys[column]
    if column in keys:
        return column
    raise ValueError(f"{table.name}: has no column {column!r}; its columns are {listed(keys)}")


def _not_found(table: Table, what: str, keyword: str) -> ValueError:
    if table.columns is None:
        return ValueError(
            f"{table.place(0)}: has no usual column name such as {what!r} but {listed(list(table.rows[0]))}; give "
            f"{keyword}= a name, or the columns by number from 0"
        )
    return ValueError(
        f"{table.name}: has no {what} column of a usual name; give {keyword}= one of {listed(table.columns)}"
    )


def _converted(table: Table, cells: list[Any], convert: Any) -> list[Any]:
    """The cells of a column, each converted; what cannot be is named by its line."""
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(convert(cell))
        except ValueError as error:
            raise ValueError(f"{table.place(row)}: {error}") from None
    return values


def _number(cell: Any) -> float:
    try:
        number = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the label {str(cell)[:80]!r} is not a finite number")
    return number
