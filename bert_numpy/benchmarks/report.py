"""What came out, as a table for a terminal, as Markdown, and as JSON.

Here: cells and columns.  Not here: the numbers behind them (`measures.py`).  Read next: `picture.py`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measures import Result, Sample
from .running import Report

LEGEND = (
    "ratio: time or memory of bert_numpy to that of transformers in the same round, below 1 is better; the median "
    "over the rounds, and the quartiles",
    "products: the bare matrix products of the same shapes in NumPy; x products: bert_numpy to them, likewise",
    "spread: distance of the quartiles over the rounds, in percent of the median",
    "max|d|: largest difference between the outputs of the two sides, on the same weights and inputs",
)


def number(value: float) -> str:
    """Three digits, no exponent.

    Examples
    --------
    >>> number(1234.5), number(56.78), number(0.12345)
    ('1,234', '56.8', '0.123')
    """
    decimals = 3 if value < 0.9995 else 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _measured(result: Result, sample: Sample | None) -> str:
    return "" if sample is None else f"{number(result.shown(sample))} {result.case.unit}"


def _spread(sample: Sample | None) -> str:
    return "" if sample is None or len(sample.values) < 2 else f"{100 * sample.spread:.0f} %"


def _ratio(result: Result) -> str:
    return "" if result.ratio is None else f"{result.ratio:.2f}"


def _range(result: Result) -> str:
    bounds = result.ratio_range
    if bounds is None or result.ours is None or len(result.ours.values) < 2:
        return ""
    return f"{bounds[0]:.2f} to {bounds[1]:.2f}"


def _difference(result: Result) -> str:
    if result.difference is None:
        return ""
    largest = result.difference.largest
    return "equal" if largest == 0 else f"{largest:.0e}"


_COLUMNS: dict[str, Callable[[Result], str]] = {
    "case": lambda result: result.case.title,
    "bert_numpy": lambda result: _measured(result, result.ours),
    "spread": lambda result: _spread(result.ours),
    "transformers": lambda result: _measured(result, result.reference),
    "spread ": lambda result: _spread(result.reference),
    "best of it": lambda result: result.reference.variant if result.reference else "",
    "ratio": _ratio,
    "quartiles": _range,
    "products": lambda result: _measured(result, result.floor),
    "x products": lambda result: "" if result.floor_ratio is None else f"{result.floor_ratio:.2f}",
    "max|d|": _difference,
    "note": lambda result: result.note,
}
_LEFT = ("case", "best of it", "note")


def table(report: Report) -> list[list[str]]:
    """The header and a row for each case; a column that would be empty is left out."""
    rows = [[cell(result) for cell in _COLUMNS.values()] for result in report.results]
    kept = [i for i in range(len(_COLUMNS)) if any(row[i] for row in rows)]
    return [[row[i] for i in kept] for row in [list(_COLUMNS), *rows]]


def text_table(report: Report) -> str:
    """The table in columns of even width, for a terminal."""
    rows = table(report)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = [name in _LEFT for name in rows[0]]
    lines = [
        "  ".join(
            cell.strip().ljust(width) if is_left else cell.strip().rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_legend(rows[0]), *caption(report)]) + "\n"


def markdown_table(report: Report) -> str:
    """The table in Markdown, with what it was measured on below it."""
    rows = [[cell.strip().replace("|", "\\|") for cell in row] for row in table(report)]
    rule = ["---" if name in _LEFT else "---:" for name in rows[0]]
    lines = [f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]]]
    below = [line.replace("|", "\\|") for line in [*_legend(rows[0]), *caption(report)]]
    return "\n".join([*lines, "", *(f"{line}.  " for line in below)]) + "\n"


def _legend(header: list[str]) -> list[str]:
    """The explanations of the columns that are there."""
    shown = {name.strip().replace("\\", "") for name in header}
    return [line for line in LEGEND if line.partition(":")[0] in shown]


def caption(report: Report) -> list[str]:
    """What was measured on what, in lines."""
    settings, about = report.settings, report.about
    names = {"bert_numpy": "bert_numpy", "numpy": "NumPy", "blas": "with", "python": "Python"}
    names |= {"transformers": "transformers", "torch": "torch", "tokenizers": "tokenizers"}
    versions = ", ".join(f"{label} {about[name]}" for name, label in names.items() if name in about)
    lines = [
        f"{settings['size']} size, float32, {threads_of(report)}, medians of {settings['repeats']}",
        f"{versions.replace(', with ', ' with ')}; {machine()}",
    ]
    if any("sentences" in result.case.name and result.ours for result in report.results):
        lines.append(f"64 sentences: {settings['sentences']}")
    if any(result.case.needs_tokenizer and result.ours for result in report.results):
        drawn = settings["text"] == "drawn from the vocabulary"
        source = "text drawn from the vocabulary, not a real one" if drawn else str(settings["text"])
        lines.append(f"tokenized: {source}, {settings['vocabulary']:,} word pieces")
    return lines


def threads_of(report: Report) -> str:
    """How many threads each side had."""
    threads = report.settings["threads"]
    return f"{threads} thread{'s' if threads != 1 else ''} each (tokenizers: 1)"


def machine() -> str:
    """The processor and the system, without the name of the machine."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return f"{processor}, {platform.system()}"


def to_dict(report: Report) -> dict[str, Any]:
    """Everything, for JSON: seconds and bytes as they were measured, round by round."""
    return {
        "versions": report.about,
        "machine": machine(),
        "settings": report.settings,
        "ok": report.ok,
        "results": [result.to_dict() for result in report.results],
    }
