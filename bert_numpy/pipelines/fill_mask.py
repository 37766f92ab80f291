"""The words that [MASK] stands for.

Here: `FillMask`.  Read next: `embedding.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models import BertForMaskedLM
from ..nn import functional as F
from ..tokenization import BertTokenizer
from .base import check_batch_size, check_finite, check_texts, load_with_head, run_in_batches


class FillMask:
    """Guess the words that [MASK] stands for.  The model is put into eval mode.

    A masked model gives one word for each [MASK], from both sides of it; it does not go on writing a text, and several
    [MASK] in a row are guessed each for itself.

    Examples
    --------
    >>> fill_mask = FillMask.from_pretrained("tiny-random")      # random weights: the guess means nothing
    >>> answers = fill_mask("to be or [MASK]", top_k=2)
    >>> [sorted(answer) for answer in answers]
    [['score', 'sequence', 'token', 'token_str'], ['score', 'sequence', 'token', 'token_str']]
    """

    def __init__(
        self,
        model: BertForMaskedLM,
        tokenizer: BertTokenizer,
        top_k: int = 5,
        targets: str | Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> None:
        if tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask_token, so there is nothing to fill")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.top_k = top_k
        self.targets = targets
        self.batch_size = check_batch_size(batch_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, **settings: Any) -> FillMask:
        """Load model and tokenizer from a folder, or by the name of a model that ships or is published.

        Parameters
        ----------
        name : str or path
        **settings
            Keyword arguments of the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing, or the checkpoint has no MLM head.
        """
        lack = "has no MLM head, so it cannot fill masks; use a BertForMaskedLM"
        return cls(*load_with_head(BertForMaskedLM, name, lack), **settings)

    def __call__(
        self,
        inputs: str | Sequence[str],
        top_k: int | None = None,
        targets: str | Sequence[str] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """The likeliest words for each [MASK] of a text, the likeliest first.

        Parameters
        ----------
        inputs : str or sequence of str
            With one or more [MASK]; each is guessed with the others still masked.
        top_k : int, optional
            How many words; 5 unless the pipeline was made with another number.
        targets : str or sequence of str, optional
            The only words to choose from; of one that is not in the vocabulary the first piece is taken, with a
            warning.  The scores are still probabilities among all words.
        tokenizer_kwargs : mapping, optional
            For the call of the tokenizer, such as {"truncation": True}.

        Returns
        -------
        list of dict
            `score` (probability), `token` (id), `token_str` and `sequence` (the text with the word filled in, without
            special tokens if there is one [MASK], with them if there are more).  A list of such lists if there are
            several [MASK], or several texts, as in the reference library.

        Raises
        ------
        ValueError
            If there is no [MASK], or the text is too long; of several texts, the number is named.
        """
        top_k = self.top_k if top_k is None else top_k
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        texts = [inputs] if isinstance(inputs, str) else check_texts(inputs)
        candidates = self._candidates(self.targets if targets is None else targets)
        rows = [self._encode(text, number, len(texts), tokenizer_kwargs or {}) for number, text in enumerate(texts, 1)]
        answers: list[Any] = [None] * len(rows)
        for chosen, batch, outputs in run_in_batches(self.model.bert, self.tokenizer, rows, self.batch_size):
            row_of, places = np.nonzero(batch["input_ids"] == self.tokenizer.mask_token_id)
            masked = outputs.last_hidden_state[row_of, places]  # the vocabulary is large: score only what is asked for
            scores, _ = F.softmax_forward(check_finite(self.model.cls.predictions(masked)))
            for r, i in enumerate(chosen):
                ids = np.array(rows[i]["input_ids"])
                found = zip(places[row_of == r], scores[row_of == r], strict=True)
                of_one = [self._answers(ids, place, row, top_k, candidates) for place, row in found]
                answers[i] = of_one[0] if len(of_one) == 1 else of_one
        return answers[0] if len(answers) == 1 else answers

    def _encode(self, text: str, number: int, count: int, arguments: Mapping[str, Any]) -> dict[str, list[int]]:
        """The inputs for one text, checked."""
        where = f"text {number}: " if count > 1 else ""
        row = dict(self.tokenizer(text, **arguments))
        if self.tokenizer.mask_token_id not in row["input_ids"]:
            shown = repr(text) if len(text) <= 60 else f"{text[:60]!r}…"
            raise ValueError(
                f"{where}no {self.tokenizer.mask_token} in {shown}; write it where a word is to be guessed"
            )
        longest = self.model.config.max_position_embeddings
        if len(row["input_ids"]) > longest:
            raise ValueError(
                f"{where}sequence length {len(row['input_ids'])} exceeds max_position_embeddings {longest}; shorten "
                "the text around the mask"
            )
        return row

    def _candidates(self, targets: str | Sequence[str] | None) -> np.ndarray:
        """The ids to choose from; rows of the model beyond the vocabulary are no words."""
        if targets is None:
            return np.arange(len(self.tokenizer))
        ids = []
        for target in [targets] if isinstance(targets, str) else targets:
            if target in self.tokenizer.vocab:
                ids.append(self.tokenizer.vocab[target])
                continue
            pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"]
            if not pieces:
                warnings.warn(f"the target {target!r} has no token; it is left out", stacklevel=3)
                continue
            piece = self.tokenizer.convert_ids_to_tokens(pieces[0])
            warnings.warn(f"the target {target!r} is not in the vocabulary; {piece!r} stands for it", stacklevel=3)
            ids.append(pieces[0])
        if not ids:
            raise ValueError("targets names no word; leave it out to choose from all")
        return np.unique(ids)

    def _answers(
        self, ids: np.ndarray, place: int, scores: np.ndarray, top_k: int, candidates: np.ndarray
    ) -> list[dict[str, Any]]:
        single_mask = int((ids == self.tokenizer.mask_token_id).sum()) == 1
        answers = []
        for token in candidates[np.argsort(-scores[candidates], kind="stable")][:top_k].tolist():
            filled = ids.copy()
            filled[place] = token
            filled = filled[filled != self.tokenizer.pad_token_id]
            answers.append(
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=single_mask),
                }
            )
        return answers
