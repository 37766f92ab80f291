"""A beginning and several endings, of which one is right: SWAG, and the same in JSON lines.

Here: `read_swag`, `read_multiple_choice`, `tokenize_choices`.  Read next: `collators.py`, which makes arrays of shape
(batch, choices, sequence) of it.

    train = read_swag("train.csv")
    encoded = train.map(lambda e: tokenize_choices(e, tokenizer), batched=True, remove_columns=["context", "choices"])
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from ..tokenization import BertTokenizer
from .dataset import Dataset
from .tables import Table, listed, read_table
from .text_files import PathLike

ENDINGS = ("ending0", "ending1", "ending2", "ending3")
_CONTEXTS = ("context", "question", "premise", "sent1")


def read_swag(path: PathLike, *, encoding: str = "utf-8") -> Dataset:
    """Read a CSV file of SWAG: sent1, the beginning sent2 of the next sentence, ending0 to ending3, and the label.

    Returns
    -------
    Dataset
        The columns "context" (sent1), "choices" (sent2 with each ending) and, if the file has it, "label".

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "val.csv"
    >>> head = "sent1,sent2,ending0,ending1,ending2,ending3,label\\n"
    >>> _ = path.write_text(head + "He sits.,He,stands up.,flies.,melts.,is blue.,0\\n", encoding="utf-8")
    >>> read_swag(path)[0]
    {'context': 'He sits.', 'choices': ['He stands up.', 'He flies.', 'He melts.', 'He is blue.'], 'label': 0}
    """
    table = read_table(path, format="csv", encoding=encoding)
    _require(table, ("sent1", "sent2", *ENDINGS))
    endings = zip(*(table.column(name) for name in ENDINGS), strict=True)
    choices = [[f"{start} {end}" for end in row] for start, row in zip(table.column("sent2"), endings, strict=True)]
    return _with_labels(table, table.column("sent1"), choices)


def read_multiple_choice(path: PathLike, *, encoding: str = "utf-8") -> Dataset:
    """Read JSON lines such as {"context": "He sits.", "choices": ["He stands.", "He melts."], "label": 0}.

    The context may also be called question, premise or sent1.  All lines have equally many choices.

    Returns
    -------
    Dataset
        The columns "context", "choices" and, if any line has it, "label".

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the line.
    """
    table = read_table(path, format="jsonl", encoding=encoding)
    context = next((name for name in _CONTEXTS if name in (table.columns or ())), "context")
    _require(table, (context, "choices"))
    return _with_labels(table, table.column(context), table.column("choices"))


def tokenize_choices(
    examples: Mapping[str, Any],
    tokenizer: BertTokenizer,
    *,
    max_length: int | None = None,
    padding: bool | str = False,
) -> dict[str, list[Any]]:
    """Encode every context with each of its choices.

    Parameters
    ----------
    examples : mapping
        The columns "context" and "choices" of several examples.
    tokenizer : BertTokenizer
    max_length : int, optional
        Longer pairs are cut.
    padding : bool or {"longest", "max_length"}

    Returns
    -------
    dict
        The inputs of the model; each row holds one list for each choice.

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "he", "sits", "stands"])
    >>> tokenize_choices({"context": ["He sits"], "choices": [["He", "stands"]]}, tokenizer)["input_ids"]
    [[[2, 5, 6, 3, 5, 3], [2, 5, 6, 3, 7, 3]]]
    """
    counts = [len(choices) for choices in examples["choices"]]
    contexts = [c for c, count in zip(examples["context"], counts, strict=True) for _ in range(count)]
    flat = [choice for choices in examples["choices"] for choice in choices]
    batch = tokenizer(contexts, flat, truncation=True, max_length=max_length, padding=padding)
    ends = list(accumulate(counts))
    return {
        name: [column[end - count : end] for end, count in zip(ends, counts, strict=True)]
        for name, column in batch.items()
    }


def _require(table: Table, names: tuple[str, ...]) -> None:
    columns = table.columns or []
    missing = next((name for name in names if name not in columns), None)
    if missing is not None:
        raise ValueError(f"{table.name}: has no column {missing!r}; its columns are {listed(columns)}")


def _with_labels(table: Table, contexts: list[Any], choices: list[Any]) -> Dataset:
    labels = table.column("label") if "label" in (table.columns or ()) else None
    count = None
    for row, (context, texts) in enumerate(zip(contexts, choices, strict=True)):
        place = table.place(row)
        if not isinstance(context, str):
            raise ValueError(f"{place}: the context is {str(context)[:40]!r}, not a text")
        if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{place}: 'choices' must be a list of two or more texts, not {str(texts)[:40]!r}")
        count = count or len(texts)
        if len(texts) != count:
            raise ValueError(f"{place}: has {len(texts)} choices, the first row has {count}; all must have as many")
    columns: dict[str, Any] = {"context": contexts, "choices": choices}
    if labels is not None:
        columns["label"] = [_right_one(table.place(row), label, count or 0) for row, label in enumerate(labels)]
    return Dataset(columns)


def _right_one(place: str, label: Any, count: int) -> int:
    """The number of the right choice: an int in JSON, digits in CSV."""
    text = label.strip() if isinstance(label, str) else str(label)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < count):
        raise ValueError(f"{place}: the label {text[:40]!r} is not the number of a choice, 0 to {count - 1}")
    return int(text)
