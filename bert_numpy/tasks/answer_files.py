"""Answers as files: JSON lines for every task, and the forms that are usual for some.

=============  =====================================================================================
ending         what is written
=============  =====================================================================================
.jsonl         one object for each example: what was asked, then the answer; every task
.csv, .tsv     a header, then text, text_pair if there are pairs, label, score; classes and numbers
.txt, .conll   a word and its tag on each line, a tab between them, an empty line after a sentence; tags
.json          one object from the id of a question to its answer, as the programs of SQuAD read it
=============  =====================================================================================

Read next: `folders.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.files import replacing
from ..data import Dataset
from ..data.text_files import PathLike

ENDINGS = {
    "classify": (".jsonl", ".csv", ".tsv"),
    "regress": (".jsonl", ".csv", ".tsv"),
    "tag": (".jsonl", ".txt", ".conll"),
    "qa": (".jsonl", ".json"),
    "choice": (".jsonl",),
}
"""What the name of a file of answers may end in, by task."""


def check_ending(path: PathLike, task: str) -> str:
    """Return the ending of the name of a file, if it is one that the answers of a task can be written in.

    Raises
    ------
    ValueError
        Listing those that are.

    Examples
    --------
    >>> check_ending("answers.json", "qa")
    '.json'
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS[task]:
        raise ValueError(f"{path}: the answers of {task} are written as {', '.join(ENDINGS[task])}")
    return ending


def as_rows(examples: Dataset, answers: Sequence[dict[str, Any]], task: str) -> Iterator[dict[str, Any]]:
    """What was asked and what was answered, in one mapping for each example; contexts of questions are left out.

    Examples
    --------
    >>> list(as_rows(Dataset({"text": ["hi"]}), [{"label": "ham", "score": 0.75}], "classify"))
    [{'text': 'hi', 'label': 'ham', 'score': 0.75}]
    """
    shown = {"tag": ("tokens",), "qa": ("id", "question"), "choice": ("context", "choices")}
    names = shown.get(task, ("text", "text_pair"))
    columns = [name for name in names if name in examples.column_names]
    for example, answer in zip(examples, answers, strict=True):
        yield {**{name: example[name] for name in columns}, **answer}


def write_answers(path: PathLike, examples: Dataset, answers: Sequence[dict[str, Any]], task: str) -> None:
    """Write answers to a file, completely or not at all; the ending of its name says how.

    Raises
    ------
    ValueError
        For another ending, or a text that the form cannot hold; a CheckpointError, which is one, if the file cannot
        be written.
    """
    ending = check_ending(path, task)
    rows = list(as_rows(examples, answers, task))
    if ending == ".jsonl":
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif ending == ".json":
        content = json.dumps({row["id"]: row["answer"] for row in rows}, indent=1, ensure_ascii=False) + "\n"
    elif ending == ".tsv":
        content = _tsv(rows)
    elif ending == ".csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        content = file.getvalue()
    else:
        sentences = [zip(row["tokens"], row["tags"], strict=True) for row in rows]
        content = "\n".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in sentences)
    with replacing(path) as file_bytes:
        file_bytes.write(content.encode("utf-8"))


def _tsv(rows: list[dict[str, Any]]) -> str:
    """Without quoting, as GLUE has it: a cell cannot hold a tab or a line break."""
    lines = ["\t".join(rows[0])]
    for number, row in enumerate(rows, 1):
        cells = [str(value) for value in row.values()]
        if any(mark in cell for cell in cells for mark in "\t\n\r"):
            raise ValueError(f"text {number} holds a tab or a line break, which a .tsv file cannot; write a .csv file")
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"
