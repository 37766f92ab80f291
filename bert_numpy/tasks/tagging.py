"""A tag for every word: names, parts of speech.

A sentence that is too long is read through windows that overlap, so that no word is lost.  In training, a word that
two windows share is learned in the first of them.  Afterwards every word has the tag that its first piece gets in the
window in which it is farthest from an edge, as in `pipelines/tagging.py`.

Here: `Tagging`.  Read next: `question_answering.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..configuration import BertConfig
from ..data import DataCollatorForTokenClassification, Dataset, LabelMap, read_conll, tokenize_and_align_labels
from ..data.text_files import PathLike
from ..models import BertForTokenClassification
from ..tokenization import BertTokenizer
from ..training.metrics import accuracy_score, confusion_matrix, f1_score
from ..training.tagging_metrics import entity_classification_report, entity_precision_recall_fscore_support
from .task import Task, unlabelled

Piece = tuple[int, int, int]  # position in the window, word, tokens to the nearest edge


class Tagging(Task):
    """A tag for every word of sentences that stand in files with one word on a line.

    Parameters
    ----------
    **columns
        Keyword arguments of `read_conll` that say what the file looks like: `token_column`, `label_column`,
        `delimiter`, `comment`, `encoding`.

    Examples
    --------
    >>> examples = Dataset({"tokens": [["Ada", "left"]], "tags": [[0, 1]]}, LabelMap(["B-PER", "O"]))
    >>> Tagging().measure(examples, [{"tags": ["B-PER", "O"]}])["f1"]
    1.0
    """

    name = "tag"
    model_class = BertForTokenClassification
    lack = "has no head that labels tokens; train one: bert-numpy finetune tag"

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def read(self, path: PathLike, config: BertConfig | None = None, with_labels: bool = True) -> Dataset:
        """See `Task.read`."""
        columns = self.columns if with_labels else {**self.columns, "label_column": None}
        examples = read_conll(path, labels=None if config is None else config.label2id, **columns)
        return examples if with_labels else unlabelled(examples, config)

    def head(self, examples: Dataset) -> dict[str, Any]:
        """The tags, by name."""
        return {"id2label": LabelMap.of(examples.labels or ()).id2label}

    def collator(self, tokenizer: BertTokenizer) -> Any:
        """Pads the labels too."""
        return DataCollatorForTokenClassification(tokenizer)

    def stride(self, max_length: int) -> int | None:
        """A quarter of a window."""
        return max_length // 4

    def encode(self, examples: Dataset, tokenizer: BertTokenizer, max_length: int, stride: int | None) -> Dataset:
        """See `Task.encode`; the column `pieces` holds the first piece of every word of a window."""
        batch = tokenize_and_align_labels(examples[:], tokenizer, max_length=max_length, stride=stride)
        samples = list(batch.pop("overflow_to_sample_mapping", range(len(examples))))
        columns: dict[str, Any] = {name: list(batch[name]) for name in batch}
        columns["pieces"] = [
            _first_pieces(
                batch.word_ids(i),
                cut_left=i > 0 and samples[i - 1] == sample,
                cut_right=samples[i + 1 : i + 2] == [sample],
            )
            for i, sample in enumerate(samples)
        ]
        return Dataset({**columns, "sample": samples}, examples.labels)

    def decide(self, examples: Dataset, features: Dataset, outputs: Any) -> list[dict[str, Any]]:
        """The "tags" of every word.

        A word of which nothing is left after cleaning, such as a lone control character, is O, or has the first tag
        if there is no O.
        """
        names = LabelMap.of(examples.labels or ()).names
        nothing = names.index("O") if "O" in names else 0
        tags = [[nothing] * len(words) for words in examples["tokens"]]
        margins = [[-1] * len(words) for words in examples["tokens"]]
        best = np.asarray(outputs).argmax(-1)
        for window, (sample, pieces) in enumerate(zip(features["sample"], features["pieces"], strict=True)):
            for position, word, margin in pieces:
                if margin > margins[sample][word]:
                    margins[sample][word] = margin
                    tags[sample][word] = int(best[window, position])
        return [{"tags": [names[i] for i in row]} for row in tags]

    def measure(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The share of words with the right tag; for entities F1, precision and recall, else the macro F1 of the tags.

        Entities are read as seqeval reads them: see `training/tagging_metrics.py`.
        """
        true, found = _tags(examples), [answer["tags"] for answer in answers]
        flat_true, flat_found = list(chain(*true)), list(chain(*found))
        metrics: dict[str, Any] = {"accuracy": accuracy_score(flat_true, flat_found)}
        if not _are_entities(LabelMap.of(examples.labels or ()).names):
            return {**metrics, "f1_macro": f1_score(flat_true, flat_found, average="macro")}
        scores = entity_precision_recall_fscore_support(true, found, average="micro")
        report = entity_classification_report(true, found)
        by_type = {kind: row["f1-score"] for kind, row in report.items() if not kind.endswith(" avg")}
        return {
            **metrics,
            "f1": scores.f1,
            "precision": scores.precision,
            "recall": scores.recall,
            "f1_by_type": by_type,
        }

    def confusion(self, examples: Dataset, answers: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[str]] | None:
        """Tags of words; rows are the truth."""
        names = list(LabelMap.of(examples.labels or ()).names)
        found = [tag for answer in answers for tag in answer["tags"]]
        return confusion_matrix(list(chain(*_tags(examples))), found, labels=names), names


def _tags(examples: Dataset) -> list[list[str]]:
    names = LabelMap.of(examples.labels or ()).names
    return [[names[i] for i in row] for row in examples["tags"]]


def _are_entities(names: Sequence[str]) -> bool:
    """Whether tags are O and B-, I-, E-, S- with a type, and not parts of speech."""
    return all(name == "O" or (name[:2] in ("B-", "I-", "E-", "S-") and len(name) > 2) for name in names)


def _first_pieces(word_ids: Sequence[int | None], cut_left: bool, cut_right: bool) -> list[Piece]:
    """The first piece of every word in a window; an end of the sentence is no edge."""
    positions = [position for position, word in enumerate(word_ids) if word is not None]
    n = len(positions)
    pieces: list[Piece] = []
    previous = None
    for place, position in enumerate(positions):
        word = word_ids[position]
        if word is not None and word != previous:
            margin = min(place if cut_left else n, n - 1 - place if cut_right else n)
            pieces.append((position, word, margin))
        previous = word
    return pieces
