"""What is measured: the cases, by name.

Here: names, shapes and kinds.  Not here: how a case is carried out (`worker.py`, `reference_worker.py`) or on which
inputs (`workload.py`).  Read next: `workload.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

TIME, RATE, MEMORY = "ms", "MB/s", "MB"
LEARNING_RATE = 2e-5
MAX_GRAD_NORM = 1.0


class Case(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name : str
        As `--only` takes it.
    title : str
        As the table shows it.
    kind : str
        "forward", "backward", "train", "text", "lines", "batch", "load", "start" or "memory".
    shape : tuple of int, optional
        (B, S) of the ids; None where the sentences of mixed length, or texts, are the input.
    of : str
        For a peak of memory: the name of the case that is run.
    """

    name: str
    title: str
    kind: str
    shape: tuple[int, int] | None = None
    of: str = ""

    @property
    def unit(self) -> str:
        """What the table counts in: milliseconds, megabytes of text a second, or megabytes of memory."""
        return {"text": RATE, "lines": RATE, "batch": RATE, "memory": MEMORY}.get(self.kind, TIME)

    @property
    def needs_tokenizer(self) -> bool:
        return self.unit == RATE


def _forward(B: int, S: int) -> Case:
    return Case(f"forward-{B}x{S}", f"forward, {B} x {S}", "forward", (B, S))


CASES = (
    _forward(1, 16),
    _forward(1, 128),
    _forward(8, 128),
    _forward(1, 512),
    Case("sentences", "forward, 64 sentences", "forward"),
    Case("backward-8x128", "forward + backward, 8 x 128", "backward", (8, 128)),
    Case("train-8x128", "training step, 8 x 128", "train", (8, 128)),
    Case("tokenize-text", "tokenize, one long text", "text"),
    Case("tokenize-lines", "tokenize, line by line", "lines"),
    Case("tokenize-batch", "tokenize, a batch of lines", "batch"),
    Case("load", "load + first answer", "load", (1, 16)),
    Case("start", "start + load + first answer", "start", (1, 16)),
    Case("memory-start", "peak memory, first answer", "memory", (1, 16), of="start"),
    Case("memory-forward-8x128", "peak memory, forward 8 x 128", "memory", (8, 128), of="forward-8x128"),
    Case("memory-forward-1x512", "peak memory, forward 1 x 512", "memory", (1, 512), of="forward-1x512"),
    Case("memory-sentences", "peak memory, 64 sentences", "memory", of="sentences"),
    Case("memory-train-8x128", "peak memory, training step", "memory", (8, 128), of="train-8x128"),
)
"""All cases, in the order of the table.

A training step is forward, backward, clipping of the gradient to norm 1, AdamW; like forward + backward it is that of
a classifier of sequences, with the model's dropout.  "load" happens in a process that runs already; "start" is a
process from its start to the first answer, with the file in the page cache of the system.  A tokenizer of this package
remembers words; it is new at every run, so that no word of the text is known before.
"""


def find_case(name: str) -> Case:
    """The case of that name, which exists."""
    return next(case for case in CASES if case.name == name)


def select_cases(names: Iterable[str] = ()) -> list[Case]:
    """The cases that are meant by names or first words of names; all of them if there are none.

    Raises
    ------
    ValueError
        If a name means no case.

    Examples
    --------
    >>> [case.name for case in select_cases(["tokenize", "forward-1x16"])]
    ['forward-1x16', 'tokenize-text', 'tokenize-lines', 'tokenize-batch']
    """
    names = list(names)
    for name in names:
        if not any(_means(name, case) for case in CASES):
            known = ", ".join(dict.fromkeys(case.name.partition("-")[0] for case in CASES))
            raise ValueError(f"no case is called {name!r}; there are {known}, and single ones such as forward-8x128")
    return [case for case in CASES if not names or any(_means(name, case) for name in names)]


def is_compared(parameter: str) -> bool:
    """Whether both sides report the gradient of this parameter: matrices of the first layer and behind the last one.

    Those of query and key are left out.  With fresh weights attention is nearly even, and they are small differences
    of large numbers, which no two implementations round alike.

    Examples
    --------
    >>> is_compared("bert.encoder.layer.0.attention.self.value.weight"), is_compared("classifier.weight")
    (True, True)
    """
    matrix = parameter.endswith("weight") and "LayerNorm" not in parameter
    first = ".layer.0." in parameter and "query" not in parameter and "key" not in parameter
    return matrix and (first or ("encoder" not in parameter and "embeddings" not in parameter))


def _means(name: str, case: Case) -> bool:
    return case.name == name or case.name.startswith(f"{name}-")
