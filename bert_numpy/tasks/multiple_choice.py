"""Which of several endings is right: SWAG, and the same in JSON lines.

A beginning and an ending that are too long together are cut, the longer one first.

Here: `MultipleChoice`.  Read next: `recipes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..configuration import BertConfig
from ..data import DataCollatorForMultipleChoice, Dataset, read_multiple_choice, read_swag, tokenize_choices
from ..data.tables import file_format
from ..data.text_files import PathLike
from ..models import BertForMultipleChoice
from ..tokenization import BertTokenizer
from ..training.metrics import accuracy_score
from .task import Task, softmax


class MultipleChoice(Task):
    """The right one of several choices; the file is a CSV file of SWAG, or JSON lines.

    Parameters
    ----------
    encoding : str
        Of the files.

    Examples
    --------
    >>> MultipleChoice().measure(Dataset({"label": [0, 2]}), [{"label": 0}, {"label": 1}])
    {'accuracy': 0.5}
    """

    name = "choice"
    model_class = BertForMultipleChoice
    lack = "has no head that chooses; train one: bert-numpy finetune choice"
    by_length = False

    def __init__(self, encoding: str = "utf-8") -> None:
        self.encoding = encoding

    def read(self, path: PathLike, config: BertConfig | None = None, with_labels: bool = True) -> Dataset:
        """See `Task.read`."""
        reader = read_swag if file_format(path) == "csv" else read_multiple_choice
        examples = reader(path, encoding=self.encoding)
        has_labels = "label" in examples.column_names
        if with_labels and not has_labels:
            raise ValueError(f"{path}: has no label, the number of the right choice")
        return examples.remove_columns("label") if has_labels and not with_labels else examples

    def collator(self, tokenizer: BertTokenizer) -> Any:
        """Pads all choices to one length."""
        return DataCollatorForMultipleChoice(tokenizer)

    def encode(self, examples: Dataset, tokenizer: BertTokenizer, max_length: int, stride: int | None) -> Dataset:
        """See `Task.encode`; there are no windows here."""
        if stride is not None:
            raise ValueError("a stride is for long texts; what is to be chosen from is cut at max_length")
        made = tokenize_choices(examples[:], tokenizer, max_length=max_length)
        return Dataset({**made, **({"label": examples["label"]} if "label" in examples.column_names else {})})

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """The number of the best choice, "label", from 0, and its probability, "score"."""
        return [{"label": int(row.argmax()), "score": float(row.max())} for row in softmax(outputs)]

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The share of right choices."""
        return {"accuracy": accuracy_score(examples["label"], [answer["label"] for answer in answers])}
