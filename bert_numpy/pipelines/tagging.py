"""A label for every token: names of people and places, parts of speech.

Here: `TokenTagger`.  Not here: how tokens become words and entities (`entities.py`, read that next).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..models import BertForTokenClassification
from ..nn import functional as F
from ..tokenization import BertTokenizer, Encoding
from .base import check_batch_size, check_finite, check_texts, load_with_head, longest_input, run_in_batches
from .entities import STRATEGIES, Token, group_entities, token_entities, word_entities
from .windows import Windowed


class _Sentence(NamedTuple):
    text: str
    encoding: Encoding
    word_starts: list[int] | None  # where each word begins in the text, if the text was given as words


class TokenTagger:
    """Label every token of a text, or the words and entities that the tokens make up.

    The model is put into eval mode.

    A text that is too long is read through overlapping windows, and each token is labelled where it is farthest from
    an edge of the window; the entities are made of the whole text afterwards, so that none is cut or found twice.

    Parameters
    ----------
    model : BertForTokenClassification
    tokenizer : BertTokenizer
    aggregation_strategy : {"none", "simple", "first", "average", "max"}
        How tokens become entities, see `entities.py`.
    ignore_labels : sequence of str, optional
        What is left out of the answer; ["O"] if not given.
    max_length : int, optional
        The longest sequence in tokens; what the model can read if not given.
    stride : int, optional
        How many tokens neighbouring windows share; a quarter of a window if not given.
    batch_size : int
        Windows at a time.

    Examples
    --------
    >>> from bert_numpy import BertForTokenClassification, BertTokenizer
    >>> model = BertForTokenClassification.from_pretrained("tiny-random", rng=0)     # not trained: means nothing
    >>> tag = TokenTagger(model, BertTokenizer.from_pretrained("tiny-random"))
    >>> [(entity["index"], entity["word"], entity["start"], entity["end"]) for entity in tag("To bee")]
    [(1, 'to', 0, 2), (2, 'be', 3, 5), (3, '##e', 5, 6)]
    """

    def __init__(
        self,
        model: BertForTokenClassification,
        tokenizer: BertTokenizer,
        aggregation_strategy: str = "none",
        ignore_labels: Sequence[str] | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        batch_size: int = 32,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.aggregation_strategy = _checked(aggregation_strategy)
        self.ignore_labels = ["O"] if ignore_labels is None else list(ignore_labels)
        self.max_length = longest_input(model, tokenizer, max_length)
        self.stride = stride
        self.batch_size = check_batch_size(batch_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, **settings: Any) -> TokenTagger:
        """Load a model that was trained to tag, and its tokenizer; `settings` are keyword arguments of the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing, or the checkpoint has no head that labels tokens.
        """
        lack = "has no head that labels tokens; train one: bert-numpy finetune tag"
        return cls(*load_with_head(BertForTokenClassification, name, lack), **settings)

    def __call__(
        self,
        inputs: Any,
        aggregation_strategy: str | None = None,
        ignore_labels: Sequence[str] | None = None,
        stride: int | None = None,
        is_split_into_words: bool = False,
        delimiter: str = " ",
    ) -> Any:
        """Tag one text or several.

        Parameters
        ----------
        inputs : str or sequence of str
            With `is_split_into_words`: list of words, or list of such lists.
        aggregation_strategy, ignore_labels, stride
            As in the class; what is not given is as the pipeline was made.
        is_split_into_words : bool
            The texts are given as words; `start` and `end` count in the words joined by `delimiter`.
        delimiter : str

        Returns
        -------
        list of dict, or for several texts a list of such lists
            With the strategy "none" `entity`, `score`, `index`, `word`, `start`, `end`; with any other one
            `entity_group`, `score`, `word`, `start`, `end`.  Positions count characters of the text.
        """
        strategy = self.aggregation_strategy if aggregation_strategy is None else _checked(aggregation_strategy)
        ignored = self.ignore_labels if ignore_labels is None else ignore_labels
        single = isinstance(inputs, str)
        sentences = self._sentences([inputs] if single else list(inputs), is_split_into_words, delimiter)
        windowed = [Windowed(s.encoding, self.max_length, self.stride if stride is None else stride) for s in sentences]
        answers = []
        for sentence, text, scores in zip(sentences, windowed, self._scores(windowed), strict=True):
            entities = self._entities(self._tokens(sentence, text, scores), strategy)
            name = "entity" if strategy == "none" else "entity_group"
            answers.append([entity for entity in entities if entity[name] not in ignored])
        return answers[0] if single else answers

    def _sentences(self, inputs: list[Any], split: bool, delimiter: str) -> list[_Sentence]:
        if not split:
            return [_Sentence(text, self.tokenizer(text, truncation=False)[0], None) for text in check_texts(inputs)]
        if inputs and all(isinstance(word, str) for word in inputs):
            inputs = [inputs]
        sentences = []
        for words in (check_texts(words, "words") for words in inputs):
            starts = [0, *accumulate(len(word) + len(delimiter) for word in words)]
            encoding = self.tokenizer([words], is_split_into_words=True, truncation=False)[0]
            sentences.append(_Sentence(delimiter.join(words), encoding, starts))
        return sentences

    def _scores(self, texts: list[Windowed]) -> list[np.ndarray]:
        """For each text the probabilities of every token, (tokens, labels), each from its best window."""
        labels = self.model.config.num_labels
        scores = [np.zeros((len(text.text_positions), labels), self.model.dtype) for text in texts]
        best = [text.best_windows() for text in texts]
        windows = [(i, w) for i, text in enumerate(texts) for w in range(len(text.spans))]
        rows = [row for text in texts for row in text.rows()]
        for chosen, _, outputs in run_in_batches(self.model, self.tokenizer, rows, self.batch_size):
            for logits, (i, w) in zip(outputs.logits, (windows[k] for k in chosen), strict=True):
                start, stop = texts[i].spans[w]
                found, _ = F.softmax_forward(check_finite(logits[1 : 1 + stop - start]))  # behind [CLS]
                mine = best[i][start:stop] == w
                scores[i][start:stop][mine] = found[mine]
        return scores

    def _tokens(self, sentence: _Sentence, text: Windowed, scores: np.ndarray) -> list[Token]:
        encoding = sentence.encoding
        ids, offsets, word_ids = encoding.ids, encoding.offsets, encoding.word_ids
        tokens = []
        for position, of_token in zip(text.text_positions.tolist(), scores, strict=True):
            word_id = word_ids[position]
            shift = 0 if sentence.word_starts is None else sentence.word_starts[word_id or 0]
            start, end = (place + shift for place in offsets[position])
            word = self.tokenizer.convert_ids_to_tokens(ids[position])
            is_subword = word_ids[position - 1] == word_id and word.startswith("##")
            if ids[position] == self.tokenizer.unk_token_id:
                word = sentence.text[start:end]
            tokens.append(Token(word, of_token, start, end, position, is_subword))
        return tokens

    def _entities(self, tokens: list[Token], strategy: str) -> list[dict[str, Any]]:
        labels, join = self.model.config.id2label, self.tokenizer.convert_tokens_to_string
        if strategy == "none":
            return token_entities(tokens, labels)
        if strategy == "simple":
            return group_entities(token_entities(tokens, labels), join)
        return group_entities(word_entities(tokens, labels, strategy, join), join)


def _checked(strategy: str) -> str:
    if strategy not in STRATEGIES:
        raise ValueError(f"aggregation_strategy {strategy!r} is unknown; choose from {', '.join(STRATEGIES)}")
    return strategy
