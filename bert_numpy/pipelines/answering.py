"""The part of a text that answers a question.

Here: `QuestionAnswerer`.  Not here: exact match and F1 over a data set (`data/question_answering.py` makes its
features and answers).  Read next: `fill_mask.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..models import BertForQuestionAnswering
from ..tokenization import BertTokenizer
from .base import check_batch_size, check_finite, load_with_head, longest_input, run_in_batches
from .windows import Windowed

MAX_SEQ_LEN, DOC_STRIDE = 384, 128


class _Window(NamedTuple):
    start: np.ndarray  # logits of the tokens of the context, (tokens,)
    end: np.ndarray
    null: tuple[float, float]  # those of [CLS]
    offset: int  # of the first of these tokens in the context


class QuestionAnswerer:
    """Find the answer to a question in a text.  The model is put into eval mode.

    The answer is a piece of the text, from one token to another; nothing is phrased, counted or concluded.

    The score of an answer is P(start) P(end).  A text that is too long is read through overlapping windows, and both
    probabilities are then taken over the tokens of all windows together, so that the windows compete by the sums of
    their logits, as in the evaluation of SQuAD.  (The reference library, as long as it had this pipeline, took them
    over each window alone; there a window without the answer may win.)  Answers of the same words count as one.

    Parameters
    ----------
    model : BertForQuestionAnswering
    tokenizer : BertTokenizer
    top_k : int
        How many answers.
    max_answer_len : int
        In tokens.
    max_seq_len : int, optional
        The longest sequence in tokens, question included; 384, or what the model can read, if not given.
    doc_stride : int, optional
        How many tokens neighbouring windows share; if not given, 128, or half of a window's text if that is less.
    handle_impossible_answer : bool
        Whether "" may be an answer (SQuAD v2.0); its score is that of [CLS], the smallest among the windows.
    align_to_words : bool
        Whether answers are widened to whole words.
    batch_size : int
        Windows at a time.

    Examples
    --------
    >>> from bert_numpy import BertForQuestionAnswering, BertTokenizer
    >>> model = BertForQuestionAnswering.from_pretrained("tiny-random", rng=0)     # not trained: means nothing
    >>> answer = QuestionAnswerer(model, BertTokenizer.from_pretrained("tiny-random"))
    >>> found = answer(question="to be?", context="That is the question.")
    >>> sorted(found), "That is the question."[found["start"] : found["end"]] == found["answer"]
    (['answer', 'end', 'score', 'start'], True)
    """

    def __init__(
        self,
        model: BertForQuestionAnswering,
        tokenizer: BertTokenizer,
        top_k: int = 1,
        max_answer_len: int = 15,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        batch_size: int = 32,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.top_k = top_k
        self.max_answer_len = max_answer_len
        self.max_seq_len = max_seq_len
        self.doc_stride = doc_stride
        self.handle_impossible_answer = handle_impossible_answer
        self.align_to_words = align_to_words
        self.batch_size = check_batch_size(batch_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, **settings: Any) -> QuestionAnswerer:
        """Load a model that was trained to answer, and its tokenizer; `settings` are keyword arguments of the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing, or the checkpoint has no head that finds answers.
        """
        lack = "has no head that finds answers; train one: bert-numpy finetune qa"
        return cls(*load_with_head(BertForQuestionAnswering, name, lack), **settings)

    def __call__(
        self,
        inputs: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        top_k: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
    ) -> Any:
        """Answer one question or several.

        Parameters
        ----------
        inputs : mapping or sequence of mappings, optional
            {"question": ..., "context": ...}, in place of the next two.
        question, context : str or sequence of str
            Of equal numbers; one context serves any number of questions.
        top_k, max_answer_len, max_seq_len, doc_stride, handle_impossible_answer, align_to_words
            As in the class; what is not given is as the pipeline was made.

        Returns
        -------
        dict
            `score`, `start` and `end` (characters of the context) and `answer`, which is the context from `start` to
            `end`.  A list of them, the best first, if `top_k` is more than 1 and there are more; a list of either for
            several questions.

        Raises
        ------
        ValueError
            If a question or context is empty, or a question leaves no room for its context.
        """
        pairs = _pairs(inputs, question, context)
        top_k = self.top_k if top_k is None else top_k
        longest = self.max_answer_len if max_answer_len is None else max_answer_len
        if top_k < 1 or longest < 1:
            raise ValueError(f"top_k {top_k} and max_answer_len {longest} must be at least 1")
        max_seq_len = self.max_seq_len if max_seq_len is None else max_seq_len
        texts = self._read(pairs, max_seq_len, self.doc_stride if doc_stride is None else doc_stride)
        align = self.align_to_words if align_to_words is None else align_to_words
        impossible = self.handle_impossible_answer if handle_impossible_answer is None else handle_impossible_answer
        answers = []
        for (_, context_text), text, windows in zip(pairs, texts, self._windows(texts), strict=True):
            found = _merged(context_text, text, _spans(windows, 2 * top_k + 10 if align else top_k, longest), align)
            if impossible:
                found.append({"score": _null_score(windows), "start": 0, "end": 0, "answer": ""})
            best = sorted(found, key=lambda answer: -answer["score"])[:top_k]
            answers.append(best[0] if len(best) == 1 else best)
        return answers[0] if len(answers) == 1 else answers

    def _read(self, pairs: list[tuple[str, str]], max_seq_len: int | None, stride: int | None) -> list[Windowed]:
        """The windows of every context, behind its question."""
        limit = longest_input(self.model, self.tokenizer, max_seq_len)
        limit = min(limit, MAX_SEQ_LEN) if max_seq_len is None else limit
        texts = []
        for number, (question, context) in enumerate(pairs, start=1):
            encoding = self.tokenizer(question, context, truncation=False)[0]
            room = limit - encoding.sequence_ids.count(0) - 3
            try:
                if room < 1:
                    raise ValueError(
                        f"the question takes {encoding.sequence_ids.count(0)} of the {limit} tokens of a window and "
                        "leaves no room for the context; shorten it or use a larger max_seq_len"
                    )
                own = min(DOC_STRIDE, limit // 2, room // 2) if stride is None else stride
                texts.append(Windowed(encoding, limit, own, slides=1))
            except ValueError as error:
                raise ValueError(f"question {number}: {error}" if len(pairs) > 1 else str(error)) from None
        return texts

    def _windows(self, texts: list[Windowed]) -> list[list[_Window]]:
        """The logits of each window of each text, of the tokens of the context alone."""
        windows: list[list[Any]] = [[None] * len(text.spans) for text in texts]
        place = [(i, w) for i, text in enumerate(texts) for w in range(len(text.spans))]
        rows = [row for text in texts for row in text.rows()]
        for chosen, _, outputs in run_in_batches(self.model, self.tokenizer, rows, self.batch_size):
            for b, (i, w) in enumerate(place[k] for k in chosen):
                first, stop = texts[i].spans[w]
                here = slice(texts[i].text_positions[0], texts[i].text_positions[0] + stop - first)
                start, end = (logits[b].astype(np.float64) for logits in (outputs.start_logits, outputs.end_logits))
                null = float(check_finite(start[0])), float(check_finite(end[0]))
                windows[i][w] = _Window(check_finite(start[here]), check_finite(end[here]), null, first)
        return windows


def _pairs(inputs: Any, question: Any, context: Any) -> list[tuple[str, str]]:
    """(question, context) of every question, checked."""
    if inputs is not None:
        if question is not None or context is not None:
            raise ValueError("give question= and context=, or mappings that hold both, not both forms")
        given = [inputs] if isinstance(inputs, Mapping) else list(inputs)
        if not all(isinstance(one, Mapping) and {"question", "context"} <= set(one) for one in given):
            raise TypeError('a question is asked as answer(question=..., context=...) or {"question":, "context":}')
        pairs = [(one["question"], one["context"]) for one in given]
    elif question is None or context is None:
        raise ValueError("an answer needs a question and the context to find it in")
    else:
        questions = [question] if isinstance(question, str) else list(question)
        contexts = [context] * len(questions) if isinstance(context, str) else list(context)
        if len(questions) != len(contexts):
            raise ValueError(f"there are {len(questions)} questions and {len(contexts)} contexts")
        pairs = list(zip(questions, contexts, strict=True))
    for number, pair in enumerate(pairs, start=1):
        for what, text in zip(("question", "context"), pair, strict=True):
            if not isinstance(text, str):
                raise TypeError(f"{what} {number} is a {type(text).__name__}, not a str")
            if not text.strip():
                raise ValueError(f"{what} {number} is empty")
    return pairs


def _log_normalizer(windows: list[_Window]) -> float:
    """log of Σ exp(start) Σ exp(end), each over the tokens of the context, and [CLS], of all windows."""
    total = 0.0
    for which in (0, 1):
        logits = np.concatenate([np.append(window[which], window.null[which]) for window in windows])
        total += float(logits.max() + np.log(np.exp(logits - logits.max()).sum()))
    return total


def _null_score(windows: list[_Window]) -> float:
    """The probability of [CLS] as start and end, in the window where it is least."""
    return float(np.exp(min(sum(window.null) for window in windows) - _log_normalizer(windows)))


def _spans(windows: list[_Window], count: int, longest: int) -> list[tuple[float, int, int]]:
    """(score, first, last token) of the `count` best spans of each window; a span seen twice counts once."""
    normalizer = _log_normalizer(windows)
    spans: dict[tuple[int, int], float] = {}
    for window in windows:
        n = len(window.start)
        width = min(longest, n)
        # [i, d]: from token i to token i + d
        last = np.arange(n)[:, np.newaxis] + np.arange(width)
        sums = window.start[:, np.newaxis] + np.append(window.end, np.full(width, -np.inf))[last]
        for flat in np.argsort(-sums, axis=None, kind="stable")[:count]:
            first, length = divmod(int(flat), width)
            if np.isfinite(sums[first, length]):
                span = window.offset + first, window.offset + first + length
                score = float(np.exp(sums[first, length] - normalizer))
                spans[span] = max(score, spans.get(span, 0.0))
    return [(score, *span) for span, score in spans.items()]


def _merged(context: str, text: Windowed, spans: list[tuple[float, int, int]], align: bool) -> list[dict[str, Any]]:
    """The answers that spans of tokens stand for; spans of the same words add their scores."""
    offsets = [text.encoding.offsets[p] for p in text.text_positions]
    words = [text.encoding.word_ids[p] for p in text.text_positions] if align else list(range(len(offsets)))
    answers: dict[str, dict[str, Any]] = {}
    for score, first, last in spans:
        while first > 0 and words[first - 1] == words[first]:
            first -= 1
        while last + 1 < len(words) and words[last + 1] == words[last]:
            last += 1
        start, end = offsets[first][0], offsets[last][1]
        answer = {"score": 0.0, "start": start, "end": end, "answer": context[start:end]}
        answers.setdefault(context[start:end].lower(), answer)["score"] += score
    return list(answers.values())
