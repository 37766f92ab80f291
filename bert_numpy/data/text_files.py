"""Text files as bytes really are: one decoding, lines counted as an editor counts them, errors that name the place.

Here: what every reader of this folder begins with.  Not here: what the lines mean (`tables.py`, read that next).

Lines end at "\\n" alone, with or without "\\r" before it.  `str.splitlines` would also cut at U+2028, U+0085 and form
feeds, which stand inside real sentences, and every later line number would be wrong.
"""

from __future__ import annotations

import os
from typing import Any

from ..checkpoints import CheckpointError, strict_json
from ..checkpoints.files import open_regular, shown

PathLike = str | os.PathLike[str]


def read_text(path: PathLike, encoding: str = "utf-8") -> str:
    """Return the text of a file, without a byte order mark.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a folder or a device, is empty, holds a NUL character, or is not in this encoding.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "greeting.txt"
    >>> _ = path.write_bytes("\\ufeffGrüße".encode("utf-8"))
    >>> read_text(path)
    'Grüße'
    """
    try:
        with open_regular(path) as (file, _):
            data = file.read()
    except CheckpointError as error:  # the same checks; but this is no checkpoint
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(str(error)) from None
    text = _decoded(data, shown(path), encoding)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{shown(path)}, line {line}: holds a NUL character; if it is UTF-16, give encoding='utf-16'")
    if not text.strip():
        raise ValueError(f"{shown(path)}: is empty")
    return text


def read_lines(path: PathLike, encoding: str = "utf-8") -> list[str]:
    """Return the lines of a file without their ends; the k-th has the line number k + 1.  Raises as `read_text`."""
    lines = read_text(path, encoding).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def parse_json(text: str, place: str) -> Any:
    """Return what a JSON text says; refuse repeated keys, NaN, huge integers and bottomless nesting.

    Raises
    ------
    ValueError
        Naming `place`.

    Examples
    --------
    >>> parse_json('{"label": 1, "label": 2}', "train.jsonl, line 7")
    Traceback (most recent call last):
    ValueError: train.jsonl, line 7 is not valid JSON: the key 'label' appears twice
    """
    try:
        return strict_json.parse(text.encode("utf-8", "surrogatepass"), place)
    except CheckpointError as error:
        message = str(error)
        if "\n" not in text:
            message = message.replace(": line 1 column", " at column")  # of the one line that `place` names
        raise ValueError(message) from None


def _decoded(data: bytes, name: str, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise ValueError(f"encoding={encoding!r} is unknown; try 'utf-8', 'utf-16', 'latin-1' or 'gb18030'") from None
    except UnicodeDecodeError as error:
        at = error.start
        likely = "'utf-16'" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "'latin-1' or 'gb18030'"
        remedy = f"encoding={likely}" if encoding != likely[1:-1] else "another encoding="
        raise ValueError(
            f"{name}, line {data.count(10, 0, at) + 1}: byte {at} of the file, 0x{data[at]:02x}, is not "
            f"{encoding}; save it as UTF-8, or give the encoding it has, such as {remedy}"
        ) from None
