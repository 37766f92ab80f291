"""Where in a text the answer to a question stands, in files of the form of SQuAD.

A text that is too long is read through windows that overlap, each behind the question.  In training, a window without
the answer points at [CLS].  Afterwards the windows compete by the sum of the logits of start and end.

Here: `QuestionAnswering`.  Read next: `multiple_choice.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..configuration import BertConfig
from ..data import Dataset, find_answers, read_squad, tokenize_questions
from ..data.text_files import PathLike
from ..models import BertForQuestionAnswering
from ..tokenization import BertTokenizer
from ..training.answer_metrics import squad_evaluate, squad_v2_evaluate
from .task import Task


class QuestionAnswering(Task):
    """The part of a text that answers a question.

    Parameters
    ----------
    no_answer : bool, optional
        Whether "" may be the answer (SQuAD v2.0); if not given, it may where a training question had none.
    max_answer_length : int
        In tokens.
    encoding : str
        Of the files.

    Examples
    --------
    >>> examples = Dataset({"id": ["q1"], "answers": [{"text": ["Rome"], "answer_start": [3]}]})
    >>> QuestionAnswering().measure(examples, [{"id": "q1", "answer": "rome."}])
    {'exact_match': 100.0, 'f1': 100.0}
    """

    name = "qa"
    model_class = BertForQuestionAnswering
    lack = "has no head that finds answers; train one: bert-numpy finetune qa"
    max_length = 384

    def __init__(self, no_answer: bool | None = None, max_answer_length: int = 30, encoding: str = "utf-8") -> None:
        self.no_answer = no_answer
        self.max_answer_length = max_answer_length
        self.encoding = encoding

    def read(self, path: PathLike, config: BertConfig | None = None, with_labels: bool = True) -> Dataset:
        """See `Task.read`."""
        examples = read_squad(path, encoding=self.encoding)
        return examples if with_labels else examples.remove_columns("answers")

    def notes(self, examples: Dataset) -> dict[str, Any]:
        """Whether there may be no answer."""
        self.no_answer = _some_unanswered(examples) if self.no_answer is None else self.no_answer
        return {"no_answer": self.no_answer}

    def recall(self, notes: dict[str, Any]) -> None:
        """Whether there may be no answer, unless that is said."""
        self.no_answer = notes.get("no_answer") if self.no_answer is None else self.no_answer

    def stride(self, max_length: int) -> int | None:
        """A third of a window: 128 of 384."""
        return max_length // 3

    def encode(self, examples: Dataset, tokenizer: BertTokenizer, max_length: int, stride: int | None) -> Dataset:
        """See `Task.encode` and `tokenize_questions`."""
        stride = self.stride(max_length) if stride is None else stride
        return Dataset(tokenize_questions(examples, tokenizer, max_length=max_length, doc_stride=stride or 0))

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """The best "answer" to each question, under its "id", and its "score" among the best answers."""
        best = find_answers(
            examples, features, *outputs, max_answer_length=self.max_answer_length, allow_no_answer=bool(self.no_answer)
        )
        return [{"id": i, "answer": best[i][0].text, "score": best[i][0].probability} for i in examples["id"]]

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Exact match and F1 in per cent; counted as in v2.0 if a question has no answer, else as in v1.1."""
        texts = {answer["id"]: answer["answer"] for answer in answers}
        if not any(gold["text"] for gold in examples["answers"]):
            raise ValueError("no question of the file has an answer; there is nothing to compare with")
        return squad_v2_evaluate(examples, texts) if _some_unanswered(examples) else squad_evaluate(examples, texts)


def _some_unanswered(examples: Dataset) -> bool:
    return not all(gold["text"] for gold in examples["answers"])
