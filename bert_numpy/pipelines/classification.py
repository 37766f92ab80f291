"""One label for a text, or for a pair of texts.

Here: `TextClassifier`.  Not here: how a long text is cut (`windows.py`), how a classifier is trained (`training/`).
Read next: `tagging.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..models import BertForSequenceClassification
from ..nn import functional as F
from ..tokenization import BertTokenizer, Encoding
from .base import check_batch_size, check_finite, load_with_head, longest_input, run_in_batches
from .windows import Windowed

FUNCTIONS = ("softmax", "sigmoid", "none")

BEST: Any = "best"
"""The `top_k` that means: the best label alone, without a list of labels around it."""


class TextClassifier:
    """Say to which class a text belongs: its topic, its sentiment, spam or not, whatever the model was trained on.

    The labels are those of `model.config.id2label`.  The model is put into eval mode.

    A text that is too long is read through overlapping windows; its scores are the mean of the scores of the windows,
    each weighted by the number of tokens that no window before it had.  `truncation=True` reads its beginning alone.

    A model tells apart what its training data told apart.  To tell languages, for example, it needs lines of text with
    the language as the label, and a vocabulary that holds the letters of all of them; letters and short pieces of words
    are enough, and so is a small model.  From nothing, with some forty lines of each language::

        bert-numpy pretrain --text lines.txt --output start --vocab-size 300 --hidden-size 64 --layers 1 --heads 2 \\
            --steps 100 --held-out 0
        bert-numpy finetune classify --model start --train languages.tsv --output languages --epochs 60 \\
            --learning-rate 1e-3 --batch-size 16
        bert-numpy classify --model languages "Where is the station?"

    `tests/pipelines/test_languages.py` does so with English, German, French and Spanish.  An unknown language is still
    given one of the known labels.

    Parameters
    ----------
    model : BertForSequenceClassification
    tokenizer : BertTokenizer
    top_k : int or None, optional
        See the call.
    function_to_apply : {"softmax", "sigmoid", "none"}, optional
        What makes scores of logits.  If not given: none for a regression, sigmoid for one label or several at once,
        softmax for one of several.
    truncation : bool
    max_length : int, optional
        The longest sequence in tokens; what the model can read if not given.
    stride : int, optional
        How many tokens neighbouring windows share; a quarter of a window if not given.
    batch_size : int
        Windows at a time.

    Examples
    --------
    >>> from bert_numpy import BertForSequenceClassification, BertTokenizer
    >>> model = BertForSequenceClassification.from_pretrained("tiny-random", rng=0)     # not trained: means nothing
    >>> classify = TextClassifier(model, BertTokenizer.from_pretrained("tiny-random"))
    >>> [sorted(answer) for answer in classify(["to be", "or not to be"])]
    [['label', 'score'], ['label', 'score']]
    >>> len(classify("that is the question", top_k=None))
    6
    """

    def __init__(
        self,
        model: BertForSequenceClassification,
        tokenizer: BertTokenizer,
        top_k: int | None = BEST,
        function_to_apply: str | None = None,
        truncation: bool = False,
        max_length: int | None = None,
        stride: int | None = None,
        batch_size: int = 32,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.top_k = top_k
        self.function_to_apply = function_to_apply
        self.truncation = truncation
        self.max_length = longest_input(model, tokenizer, max_length)
        self.stride = stride
        self.batch_size = check_batch_size(batch_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, **settings: Any) -> TextClassifier:
        """Load a model that was trained to classify, and its tokenizer; `settings` are keyword arguments of the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing, or the checkpoint has no head that classifies texts.
        """
        lack = "has no head that classifies texts; train one: bert-numpy finetune classify"
        return cls(*load_with_head(BertForSequenceClassification, name, lack), **settings)

    def __call__(
        self,
        inputs: Any,
        top_k: int | None = BEST,
        function_to_apply: str | None = None,
        truncation: bool | None = None,
        max_length: int | None = None,
        stride: int | None = None,
    ) -> Any:
        """Classify one text or several.

        Parameters
        ----------
        inputs : str, mapping, or sequence of either
            A mapping {"text": ..., "text_pair": ...} is a pair of texts.
        top_k : int or None, optional
            How many labels, the likeliest first; None means all of them.
        function_to_apply, truncation, max_length, stride
            As in the class; what is not given is as the pipeline was made.

        Returns
        -------
        list of dict
            `label` and `score`, for each text.  With `top_k`, a list of such dicts for each text.  The nesting is that
            of the reference library: for one str a list of one dict, for one mapping the dict alone, and with `top_k`
            given in the call the list of one text without another around it.

        Raises
        ------
        TypeError, ValueError
            If an input is no text; if the shorter text of a pair leaves no room for the other.
        """
        single = isinstance(inputs, str | Mapping)
        pairs = [_pair(one, number) for number, one in enumerate([inputs] if single else inputs, start=1)]
        scores = self._scores(
            pairs,
            self._function(function_to_apply or self.function_to_apply),
            self.truncation if truncation is None else truncation,
            self.max_length if max_length is None else longest_input(self.model, self.tokenizer, max_length),
            self.stride if stride is None else stride,
        )
        wanted = self.top_k if top_k is BEST else top_k
        answers: list[Any] = [self._labels(row, wanted) for row in scores]
        if not single:
            return answers
        return answers if isinstance(inputs, str) and top_k is BEST else answers[0]

    def _scores(
        self, pairs: list[tuple[str, str | None]], function: str, truncation: bool, max_length: int, stride: int | None
    ) -> np.ndarray:
        """The scores of each text, (texts, labels)."""
        texts = []
        for number, pair in enumerate(pairs, start=1):
            try:
                texts.append(Windowed(self._encode(pair, max_length if truncation else None), max_length, stride))
            except ValueError as error:
                raise ValueError(f"text {number}: {error}" if len(pairs) > 1 else str(error)) from None
        rows = [row for text in texts for row in text.rows()]
        of_text = np.array([i for i, text in enumerate(texts) for _ in text.spans], np.int64)
        weights = np.array([count for text in texts for count in text.new_tokens()], np.float64)
        weights /= np.bincount(of_text, weights, len(texts))[of_text]
        scores = np.zeros((len(texts), self.model.config.num_labels))
        for chosen, _, outputs in run_in_batches(self.model, self.tokenizer, rows, self.batch_size):
            of_windows = _apply(function, check_finite(outputs.logits))
            np.add.at(scores, of_text[chosen], weights[chosen, np.newaxis] * of_windows)
        return scores

    def _encode(self, pair: tuple[str, str | None], max_length: int | None) -> Encoding:
        return self.tokenizer(*pair, truncation=max_length is not None, max_length=max_length)[0]

    def _function(self, name: str | None) -> str:
        """The function to apply, by the kind of problem that the model was trained on."""
        if name is not None and name not in FUNCTIONS:
            raise ValueError(f"function_to_apply {name!r} is unknown; choose from {', '.join(FUNCTIONS)}")
        config = self.model.config
        if name is not None:
            return name
        if config.problem_type == "regression":
            return "none"
        return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"

    def _labels(self, scores: np.ndarray, top_k: int | None) -> Any:
        names = self.model.config.id2label
        if top_k is BEST:
            return {"label": names[int(scores.argmax())], "score": float(scores.max())}
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None (all labels), not {top_k}")
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"label": names[int(i)], "score": float(scores[i])} for i in order]


def _pair(one: Any, number: int) -> tuple[str, str | None]:
    """(text, second text or None) of an input."""
    pair = (one, None) if isinstance(one, str) else ()
    if isinstance(one, Mapping) and "text" in one and set(one) <= {"text", "text_pair"}:
        pair = one["text"], one.get("text_pair")
    if not pair or not isinstance(pair[0], str) or not isinstance(pair[1], str | None):
        raise TypeError(
            f'input {number} is no text: give a str, or {{"text": ..., "text_pair": ...}} for a pair, or a list of '
            f"either, not {type(one).__name__}"
        )
    return pair


def _apply(function: str, logits: np.ndarray) -> np.ndarray:
    if function == "softmax":
        return F.softmax_forward(logits)[0]
    if function == "sigmoid":
        return 0.5 * (1 + np.tanh(0.5 * logits))  # 1 / (1 + exp(-x)) without overflow
    return logits
