"""Notebooks from scripts: run the cells, write what they show, compare with what was written before.

    notebook = execute(read_cells(text))      # {"cells": [...], ...}, the format of Jupyter, nbformat 4.5
    write_notebook(notebook, "05_attention.ipynb")
    compare(read_notebook("05_attention.ipynb"), notebook)  # the cells that differ

A cell shows what it prints and, as in Jupyter, the value of its last line: a picture if the value has `_repr_png_`,
else its `repr`.  The same cells with the same outputs give the same bytes: ids come from the sources, and there is no
date, no version and no path.

Here: one notebook.  Not here: the script's format (`percent.py`), pictures (`visualization/canvas.py`), which
notebooks there are (`tutorials/make_notebooks.py`).
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import io
import json
import linecache
import math
import os
import re
import subprocess
import sys
import tempfile
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.files import open_regular, replacing, shown
from .percent import CODE, Cell, read_cells

Notebook = dict[str, Any]

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
PICTURE = "image/png"

# What may differ between two machines.  Numbers: rounding, one unit of the last digit shown.  Pictures: the shapes of
# letters and edges; each square of BLOCK x BLOCK pixels is compared by its mean.
RELATIVE_TOLERANCE = 0.01
BLOCK = 16
BLOCK_TOLERANCE = 0.1  # of the range from black to white

_TOKEN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[^\W\d_]+|\S")


# ---- running ----


def execute(cells: Sequence[Cell], name: str = "notebook") -> Notebook:
    """Run the cells in order, in one namespace, and return the notebook with their outputs.

    The code runs in this process as `__main__`; what it writes to stderr is not part of the notebook.

    Parameters
    ----------
    cells : sequence of Cell
    name : str
        The name of the script, for tracebacks.

    Returns
    -------
    dict
        The notebook as nbformat 4.5 has it.

    Raises
    ------
    Exception
        Whatever a cell raises.

    Examples
    --------
    >>> notebook = execute(read_cells("# %%\\nx = 20\\nprint(x)\\nx + 1"))
    >>> [(output["output_type"], output.get("text") or output["data"]) for output in notebook["cells"][0]["outputs"]]
    [('stream', ['20\\n']), ('execute_result', {'text/plain': ['21']})]
    """
    module = types.ModuleType("__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        ids, written, count = _ids(), [], 0
        for cell in cells:
            entry: dict[str, Any] = {"cell_type": cell.kind, "id": ids(cell.source), "metadata": {}}
            entry["source"] = _lines(cell.source)
            if cell.kind == CODE:
                count += 1
                entry |= {"execution_count": count, "outputs": _run(cell, module.__dict__, name, count)}
            written.append(entry)
    finally:
        sys.modules["__main__"] = before
    return {"cells": written, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _run(cell: Cell, namespace: dict[str, Any], name: str, count: int) -> list[dict[str, Any]]:
    """Run one cell and return its outputs; a traceback shows the lines of the script."""
    source = "\n" * (cell.line - 1) + cell.source + "\n"
    filename = f"<{name}, cell {count}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    tree = ast.parse(source, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, filename, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), filename, "eval"), namespace)
        data = None if value is None else _data(value)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if data is not None:
        outputs.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return outputs


def _data(value: object) -> dict[str, Any]:
    """A value as text, and as a picture if it is one."""
    data: dict[str, Any] = {"text/plain": _lines(repr(value))}
    draw = getattr(value, "_repr_png_", None)
    if draw is not None:
        data[PICTURE] = base64.b64encode(draw()).decode("ascii")
    return data


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _ids() -> Any:
    """A function that gives each source an id of its own: equal sources are numbered."""
    seen: dict[str, int] = {}

    def of(source: str) -> str:
        digest = hashlib.sha256(source.encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"

    return of


# ---- a process of its own ----

_CHILD = "import sys; from bert_numpy.classroom.notebook import convert; sys.exit(convert(*sys.argv[1:]))"


def convert(script: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Run a script in the percent format in this process, and write its notebook.

    Returns 0; or 1 if a cell failed, when stderr has its traceback.
    """
    try:
        notebook = execute(read_cells(Path(script).read_text(encoding="utf-8")), Path(script).name)
    except (Exception, SystemExit) as error:
        while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename == __file__:
            error.__traceback__ = error.__traceback__.tb_next  # the frames of this file tell nothing
        traceback.print_exception(error)
        return 1
    write_notebook(notebook, target)
    return 0


def execute_apart(script: str | os.PathLike[str], time_limit: float = 60.0) -> Notebook:
    """Run a script in a fresh process, in an empty folder, with warnings as errors, and return its notebook.

    Parameters
    ----------
    script : path of a script in the percent format
    time_limit : float
        Seconds after which the process is ended.

    Raises
    ------
    RuntimeError
        If it is no script in this format, a cell fails, with its traceback, or it takes too long.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     script = Path(folder, "two.py")
    ...     _ = script.write_text("# %%\\n1 + 1\\n")
    ...     execute_apart(script)["cells"][0]["outputs"][0]["data"]
    {'text/plain': ['2']}
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "executed.ipynb")
        command = [sys.executable, "-X", "utf8", "-W", "error", "-c", _CHILD, str(Path(script).resolve()), str(target)]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=time_limit, check=False
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{shown(script)}: not finished after {time_limit:g} s") from None
        if done.returncode != 0:
            message = done.stderr.decode("utf-8", "replace").rstrip()
            raise RuntimeError(f"{shown(script)}: failed\n{message[-4000:]}")
        return read_notebook(target)


# ---- files ----


def write_notebook(notebook: Notebook, path: str | os.PathLike[str]) -> None:
    """Write a notebook, completely or not at all; equal notebooks give equal bytes."""
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def read_notebook(path: str | os.PathLike[str]) -> Notebook:
    """Read a notebook that `write_notebook` wrote.

    Raises
    ------
    ValueError
        If it is no notebook of nbformat 4.5; a CheckpointError, which is one, if it cannot be read.
    """
    with open_regular(path) as (file, _):
        try:
            notebook = json.load(file)
        except ValueError as error:
            raise ValueError(f"{shown(path)}: no JSON ({error}); make the notebook again") from None
    if not isinstance(notebook, dict) or (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        raise ValueError(f"{shown(path)}: not a notebook of nbformat 4.5; make it again")
    return notebook


# ---- comparing ----


def compare(old: Notebook, new: Notebook) -> list[str]:
    """Return how two notebooks differ, one line for each cell that does; nothing if they agree.

    Sources must be equal.  So must texts, but for white space and for numbers, which may differ by 1 % or by one unit
    of the last digit shown; an integer may not.  Pictures must have one size and look the same.

    Parameters
    ----------
    old, new : dict
        As `execute` and `read_notebook` return them.

    Examples
    --------
    >>> old, new = (execute(read_cells(f"# %%\\nprint({x})")) for x in ("'loss 0.123'", "'loss 0.124'"))
    >>> compare(old, new)
    ["cell 1: the source is not the same: print('loss 0.123') -> print('loss 0.124')"]
    >>> new["cells"][0]["source"] = old["cells"][0]["source"]
    >>> compare(old, new)
    []
    """
    if {**old, "cells": None} != {**new, "cells": None}:
        return ["the notebook's metadata are not the same"]
    differences = []
    for number, (a, b) in enumerate(zip(old["cells"], new["cells"], strict=False), 1):
        difference = _compare_cells(a, b)
        if difference:
            differences.append(f"cell {number}: {difference}")
    if len(old["cells"]) != len(new["cells"]):
        differences.append(f"there were {len(old['cells'])} cells, and now there are {len(new['cells'])}")
    return differences


def same_text(old: str, new: str) -> bool:
    """Tell whether two texts agree up to white space and the rounding of numbers.

    >>> same_text("[0.25  -0.5 ] in 12 steps", "[ 0.251 -0.50] in 12 steps"), same_text("12 steps", "13 steps")
    (True, False)
    """
    old_tokens, new_tokens = _TOKEN.findall(old), _TOKEN.findall(new)
    return len(old_tokens) == len(new_tokens) and all(map(_same_token, old_tokens, new_tokens))


def same_picture(old: bytes, new: bytes) -> bool:
    """Tell whether two PNGs have one size and look the same."""
    a, b = _pixels(old), _pixels(new)
    return a.shape == b.shape and float(np.abs(_block_means(a) - _block_means(b)).max()) <= BLOCK_TOLERANCE


def _compare_cells(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between two cells, "" if nothing."""
    if old["cell_type"] != new["cell_type"]:
        return f"it was {old['cell_type']}, and now it is {new['cell_type']}"
    if old["source"] != new["source"]:
        before, after = _first_difference(old["source"], new["source"])
        return f"the source is not the same: {before} -> {after}"
    shown_before, shown_now = list(_shown(old)), list(_shown(new))
    if [kind for kind, _ in shown_before] != [kind for kind, _ in shown_now]:
        return "it does not show the same kinds of output"
    for (kind, before), (_, now) in zip(shown_before, shown_now, strict=True):
        if kind == PICTURE:
            if not same_picture(base64.b64decode(before), base64.b64decode(now)):
                return "the picture is not the same"
        elif not same_text(before, now):
            pair = _first_difference(_lines(before), _lines(now), same_text)
            return f"the output is not the same: {pair[0]} -> {pair[1]}"
    return ""


def _shown(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (kind, content) of everything that a cell shows."""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            yield output["name"], "".join(output["text"])
        else:
            for kind, content in sorted(output["data"].items()):
                yield kind, "".join(content)


def _first_difference(old: list[str], new: list[str], same: Any = str.__eq__) -> tuple[str, str]:
    """The first lines that differ; "(nothing)" where a text has ended."""
    length = max(len(old), len(new))
    for a, b in zip(old + [""] * (length - len(old)), new + [""] * (length - len(new)), strict=True):
        if not same(a, b):
            break
    return a.strip() or "(nothing)", b.strip() or "(nothing)"


def _same_token(old: str, new: str) -> bool:
    if old == new:
        return True
    if not (_is_rounded(old) and _is_rounded(new)):
        return False
    a, b = float(old), float(new)
    unit = max(_unit(old), _unit(new))
    return abs(a - b) <= max(RELATIVE_TOLERANCE * max(abs(a), abs(b)), 1.001 * unit)


def _is_rounded(token: str) -> bool:
    """Whether it is a number with a point or an exponent; those without are counted, not rounded."""
    return any(map(str.isdigit, token)) and any(char in token for char in ".eE")


def _unit(number: str) -> float:
    """One unit of the last digit: 0.01 for "1.25", 10 for "1.2e2"."""
    mantissa, _, exponent = number.lower().partition("e")
    return math.pow(10.0, int(exponent or 0) - len(mantissa.partition(".")[2]))


def _pixels(png: bytes) -> np.ndarray:
    """A PNG as numbers from 0 to 1, (height, width, channels)."""
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(png), format="png"), np.float64)


def _block_means(pixels: np.ndarray) -> np.ndarray:
    """The means over squares of BLOCK x BLOCK pixels; those at the ends may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], BLOCK)
        sizes = np.diff(np.append(starts, pixels.shape[axis]))
        pixels = np.add.reduceat(pixels, starts, axis=axis) / np.expand_dims(sizes, [a for a in (0, 1, 2) if a != axis])
    return pixels
