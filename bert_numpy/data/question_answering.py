"""Questions whose answers stand in a text: SQuAD files, windows over long texts, and from logits back to answers.

Here: `read_squad`, `tokenize_questions`, `find_answers`.  Not here: exact match and F1 (`training/answer_metrics.py`).
Read next: `multiple_choice.py`.

    examples = read_squad("dev.json")
    features = examples.map(lambda e: tokenize_questions(e, tokenizer), batched=True,
                            remove_columns=examples.column_names)
    outputs = model(...)                                      # the inputs of all windows, in order
    answers = find_answers(examples, features, outputs.start_logits, outputs.end_logits)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..checkpoints.files import shown
from ..tokenization import BatchEncoding, BertTokenizer, Encoding
from .dataset import Dataset
from .text_files import PathLike, parse_json, read_text


class Answer(NamedTuple):
    """What a model answers to a question.

    Attributes
    ----------
    text : str
        A part of the context as it is written there; "" for no answer.
    score : float
        The sum of the logits of its first and last token.
    probability : float
        Its share among the best answers that were kept (softmax of their scores).
    """

    text: str
    score: float
    probability: float


def read_squad(path: PathLike, *, encoding: str = "utf-8") -> Dataset:
    """Read a file in the form of SQuAD v1.1 or v2.0.

    Returns
    -------
    Dataset
        The columns "id", "title", "context", "question" and "answers", a dict of the lists "text" and "answer_start"
        (in characters).  A question without an answer in the text (v2.0), or without answers given, has empty lists.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and the place in it; for an answer that does not stand in its context where it is said to,
        the id of the question.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dev.json"
    >>> question = {"id": "q1", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 3}]}
    >>> paragraph = {"context": "In Rome.", "qas": [question]}
    >>> import json
    >>> _ = path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    >>> read_squad(path)[0]["answers"]
    {'text': ['Rome'], 'answer_start': [3]}
    """
    name = shown(path)
    content = parse_json(read_text(path, encoding), name)
    rows = list(_questions(name, content))
    if not rows:
        raise ValueError(f"{name}: holds no question")
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise ValueError(f"{name}: the id {row['id']!r} belongs to two questions; answers are told apart by it")
        seen.add(row["id"])
    return Dataset.from_list(rows)


def tokenize_questions(
    examples: Any,
    tokenizer: BertTokenizer,
    *,
    max_length: int = 384,
    doc_stride: int = 128,
    padding: bool | str = False,
) -> dict[str, list[Any]]:
    """Cut every context into windows that fit, behind the question, and say where the answer is.

    Parameters
    ----------
    examples : mapping or Dataset
        The columns of `read_squad`; "answers" may be absent.
    tokenizer : BertTokenizer
    max_length : int
        The longest sequence: question, window and special tokens.
    doc_stride : int
        How many tokens neighbouring windows share.  (In Google's program of 2018 the word means how far the next window
        begins behind the last.)
    padding : bool or {"longest", "max_length"}
        Always on the right: [CLS] must stand at position 0.

    Returns
    -------
    dict
        Columns with a row for each window: the inputs of the model; "example_id"; "offset_mapping", the range of
        characters of the context for each token, None for others; and, if there are answers, "start_positions" and
        "end_positions" of the first answer, which are 0, the place of [CLS], where it does not stand whole in the
        window.

    Raises
    ------
    ValueError
        If a question leaves no room for its context; it is named by its id.

    Examples
    --------
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "in", "rome", ".", "where", "?"])
    >>> answers = {"text": ["Rome"], "answer_start": [3]}
    >>> example = {"id": ["q1"], "question": ["Where?"], "context": ["In Rome."], "answers": [answers]}
    >>> windows = tokenize_questions(example, tokenizer)
    >>> windows["input_ids"], windows["start_positions"], windows["end_positions"]
    ([[2, 8, 9, 3, 5, 6, 7, 3]], [5], [5])
    """
    questions, contexts, ids = list(examples["question"]), list(examples["context"]), examples["id"]
    try:
        batch = _windows(tokenizer, questions, contexts, max_length, doc_stride, padding)
    except ValueError:
        for question_id, question, context in zip(ids, questions, contexts, strict=True):
            _name_the_culprit(question_id, tokenizer, question, context, max_length, doc_stride)
        raise
    sample_of = batch.pop("overflow_to_sample_mapping")
    made: dict[str, list[Any]] = {name: batch[name] for name in batch}
    made["example_id"] = [ids[sample] for sample in sample_of]
    made["offset_mapping"] = [_context_offsets(batch[window]) for window in range(len(sample_of))]
    if "answers" in (examples.column_names if isinstance(examples, Dataset) else examples):
        answers = list(examples["answers"])
        spans = [_span(offsets, answers[i]) for offsets, i in zip(made["offset_mapping"], sample_of, strict=True)]
        made["start_positions"], made["end_positions"] = [s for s, _ in spans], [e for _, e in spans]
    return made


def find_answers(
    examples: Any,
    features: Any,
    start_logits: Any,
    end_logits: Any,
    *,
    n_best_size: int = 20,
    max_answer_length: int = 30,
    allow_no_answer: bool = False,
    null_score_diff_threshold: float = 0.0,
) -> dict[str, list[Answer]]:
    """Turn the logits of all windows into the best answers to each question.

    A candidate begins and ends at one of the `n_best_size` best tokens for that, in one window and within the context.
    The windows of a question compete by the sums of their logits.

    Parameters
    ----------
    examples, features : Dataset or mapping of columns
        What `tokenize_questions` got and returned.
    start_logits, end_logits : arrays of shape (windows, S), or one array of at least that length for each window
    n_best_size : int
        How many candidates for start and end, and how many answers to return at most.
    max_answer_length : int
        In tokens.
    allow_no_answer : bool
        Whether "" is an answer too (SQuAD v2.0): its score is the smallest sum at [CLS] among the windows.
    null_score_diff_threshold : float
        By how much that score must exceed the best other one for "" to come first.

    Returns
    -------
    dict of str to list of Answer
        By the id of the question, the answer first, then the others from best to worst; just "" if there is no
        candidate.  `{id: best[0].text for id, best in answers.items()}` is what is scored.

    Raises
    ------
    ValueError
        If the logits are not one row for each window.

    Examples
    --------
    >>> examples = {"id": ["q1"], "context": ["In Rome."]}
    >>> features = {"example_id": ["q1"], "offset_mapping": [[None, None, (0, 2), (3, 7), (7, 8)]]}
    >>> answers = find_answers(examples, features, [[0, 0, 1, 3, 0]], [[0, 0, 0, 2, 1]])
    >>> answers["q1"][0].text, answers["q1"][0].score
    ('Rome', 5.0)
    """
    offsets, ids = features["offset_mapping"], features["example_id"]
    if not len(offsets) == len(start_logits) == len(end_logits):
        raise ValueError(
            f"there are {len(offsets)} windows, but start_logits for {len(start_logits)} and end_logits for "
            f"{len(end_logits)}; give one row for each window"
        )
    if n_best_size < 1 or max_answer_length < 1:
        raise ValueError(f"n_best_size {n_best_size} and max_answer_length {max_answer_length} must be at least 1")
    windows_of: dict[str, list[int]] = {}
    for window, example_id in enumerate(ids):
        windows_of.setdefault(example_id, []).append(window)
    answers: dict[str, list[Answer]] = {}
    for example_id, context in zip(examples["id"], examples["context"], strict=True):
        found: list[tuple[float, str]] = []
        null_score = np.inf
        for window in windows_of.get(example_id, ()):
            start, end = np.asarray(start_logits[window]), np.asarray(end_logits[window])
            null, spans = _candidates(start, end, offsets[window], n_best_size, max_answer_length)
            null_score = min(null_score, null)
            found += [(score, context[first:last]) for score, first, last in spans]
        found = sorted(found, key=lambda candidate: -candidate[0])[:n_best_size]
        if allow_no_answer and np.isfinite(null_score):
            found = _with_no_answer(found, float(null_score), null_score_diff_threshold)
        answers[example_id] = _with_probabilities(found) or [Answer("", 0.0, 1.0)]
    return answers


def _windows(
    tokenizer: BertTokenizer,
    questions: list[str],
    contexts: list[str],
    max_length: int,
    stride: int,
    padding: bool | str,
) -> BatchEncoding:
    return tokenizer(
        questions,
        contexts,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        padding=padding,
        padding_side="right",
        return_overflowing_tokens=True,
    )


def _name_the_culprit(
    question_id: str, tokenizer: BertTokenizer, question: str, context: str, max_length: int, stride: int
) -> None:
    try:
        _windows(tokenizer, [question], [context], max_length, stride, False)
    except ValueError as error:
        raise ValueError(f"question {question_id!r}: {error}") from None


def _context_offsets(window: Encoding) -> list[tuple[int, int] | None]:
    """The range of characters of every token of the context; None for all other positions."""
    pairs = zip(window.offsets, window.sequence_ids, strict=True)
    return [offsets if sequence == 1 else None for offsets, sequence in pairs]


def _span(offsets: list[tuple[int, int] | None], answers: dict[str, Any]) -> tuple[int, int]:
    """First and last token of the first answer, or (0, 0) if it does not stand whole in the window."""
    inside = [(position, span) for position, span in enumerate(offsets) if span is not None]
    if not answers["text"] or not inside:
        return 0, 0
    text, start = answers["text"][0], int(answers["answer_start"][0])
    end = start + len(text.rstrip())
    start += len(text) - len(text.lstrip())
    if start < inside[0][1][0] or end > inside[-1][1][1]:
        return 0, 0
    touched = [position for position, (first, last) in inside if first < end and last > start]
    return (touched[0], touched[-1]) if touched else (0, 0)


def _candidates(
    start: np.ndarray, end: np.ndarray, offsets: Sequence[Any], n_best_size: int, max_answer_length: int
) -> tuple[float, list[tuple[float, int, int]]]:
    """The score of no answer, and (score, first character, end character) of the spans worth considering."""
    if min(len(start), len(end)) < len(offsets):
        raise ValueError(f"a window of {len(offsets)} tokens has {len(start)} start and {len(end)} end logits")
    inside = np.array([position for position, span in enumerate(offsets) if span is not None], int)
    firsts = inside[np.argsort(-start[inside], kind="stable")[:n_best_size]]
    lasts = inside[np.argsort(-end[inside], kind="stable")[:n_best_size]]
    spans = [
        (float(start[first]) + float(end[last]), offsets[first][0], offsets[last][1])
        for first in firsts
        for last in lasts
        if first <= last < first + max_answer_length
    ]
    return float(start[0]) + float(end[0]), spans


def _with_no_answer(found: list[tuple[float, str]], null_score: float, threshold: float) -> list[tuple[float, str]]:
    """The candidates with "" among them: first, or in its place behind the best."""
    if not found or null_score - found[0][0] > threshold:
        return [(null_score, ""), *found]
    return [found[0], *sorted([*found[1:], (null_score, "")], key=lambda candidate: -candidate[0])]


def _with_probabilities(found: list[tuple[float, str]]) -> list[Answer]:
    scores = np.array([score for score, _ in found])
    weights = np.exp(scores - scores.max(initial=-np.inf))
    return [Answer(text, score, float(w / weights.sum())) for (score, text), w in zip(found, weights, strict=True)]


def _questions(name: str, content: Any) -> Iterator[dict[str, Any]]:
    """The questions of a file, each checked, with the place of what is wrong."""
    for a, article in enumerate(_field(name, "", content, "data", list)):
        where = f"data[{a}]"
        paragraphs = _field(name, where, article, "paragraphs", list)
        title = _field(name, where, article, "title", str) if "title" in article else ""
        for p, paragraph in enumerate(paragraphs):
            where = f"data[{a}].paragraphs[{p}]"
            context = _field(name, where, paragraph, "context", str)
            for q, question in enumerate(_field(name, where, paragraph, "qas", list)):
                yield _question(name, f"{where}.qas[{q}]", question, title, context)


def _question(name: str, where: str, question: Any, title: str, context: str) -> dict[str, Any]:
    question_id = _field(name, where, question, "id", str)
    text = _field(name, where, question, "question", str)
    answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
    if "answers" in question and not question.get("is_impossible", False):
        for i, answer in enumerate(_field(name, where, question, "answers", list)):
            place = f"{where}.answers[{i}]"
            wanted = _field(name, place, answer, "text", str)
            start = _field(name, place, answer, "answer_start", int)
            if start < 0 or not wanted or context[start : start + len(wanted)] != wanted:
                found = repr(context[max(start, 0) :][: len(wanted)][:60])
                raise ValueError(
                    f"{name}: question {question_id!r}: the answer {wanted[:60]!r} does not stand in its context at "
                    f"answer_start {start}, where there is {found}; answer_start counts characters, from 0"
                )
            answers["text"].append(wanted)
            answers["answer_start"].append(start)
    return {"id": question_id, "title": title, "context": context, "question": text, "answers": answers}


def _field(name: str, where: str, value: Any, field: str, kind: type) -> Any:
    """A field of a JSON object, of the type that it must have."""
    place = f"{name}: {where}" if where else f"{name}: the top"
    if not isinstance(value, dict):
        raise ValueError(f"{place} is not a JSON object; this is no SQuAD file")
    if field not in value:
        raise ValueError(f"{place} has no {field!r}; its fields are {', '.join(map(repr, list(value)[:8])) or 'none'}")
    if not isinstance(value[field], kind) or isinstance(value[field], bool):
        wanted = {list: "a list", str: "a text", int: "an integer"}[kind]
        raise ValueError(f"{place}: {field!r} must be {wanted}, not {str(value[field])[:40]!r}")
    return value[field]
