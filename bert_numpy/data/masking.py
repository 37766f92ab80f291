"""Masks that are new each time: which tokens of a batch the model has to find, and what it sees in their place.

Two ways to choose them:

- by chance, each token (or word) by itself with probability p: `DataCollatorForLanguageModeling`, which draws the same
  numbers as its namesake in `transformers` does with `return_tensors="np"` and the same seed;
- by number, round(p S) of the S tokens of a sequence, as the original program does: `choose_words`.

Replaced is as in the paper (section 3.1): 80 % by [MASK], 10 % by a random token, 10 % by the token itself.

Here: both ways.  Not here: which sequences there are.  Read next: `pretraining.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IGNORED = -100  # the label of a token that is not to be found; the loss passes over it


class DataCollatorForLanguageModeling:
    """Pad sequences to one length and mask some of their tokens, others each time.

    Parameters
    ----------
    tokenizer : BertTokenizer
        For padding, and for the ids of its special tokens.
    mlm : bool
        False masks nothing: the labels are the ids, -100 at padding.
    whole_word_mask : bool
        Choose words, not tokens, and replace all of them by [MASK]; the sequences need their `offset_mapping`
        (`return_offsets_mapping=True`).  A word is what stands between two gaps in the text, so "isn't," is one word
        and a little over p of all tokens are masked: both as in `transformers` 5.
    mlm_probability : float
        p, the probability of each token, or word.
    mask_replace_prob, random_replace_prob : float
        Shares of the chosen tokens that become [MASK], and random ones.  The rest stays what it is.
    pad_to_multiple_of : int, optional
    return_tensors : {"np"}
    seed : int, np.random.Generator or None
        None draws a seed from the operating system.

    Raises
    ------
    ValueError
        If the tokenizer has no [MASK], or a probability cannot be.

    Notes
    -----
    Special tokens are never chosen: those that the column `special_tokens_mask` names, else all special ids of the
    tokenizer, [UNK] and a literal [MASK] among them.  Sequences given as bare ids also get an `attention_mask` here.

    Examples
    --------
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"])
    >>> collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.4, seed=0)
    >>> batch = collator([tokenizer("a b c d"), tokenizer("d b")])
    >>> batch["input_ids"].shape == batch["labels"].shape == (2, 6)
    True
    >>> bool((batch["labels"][:, 0] == -100).all())          # [CLS] is never to be found
    True
    """

    def __init__(
        self,
        tokenizer: Any,
        mlm: bool = True,
        whole_word_mask: bool = False,
        mlm_probability: float = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "np",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        if mlm:
            check_masking(tokenizer, mlm_probability, mask_replace_prob, random_replace_prob)
        elif whole_word_mask:
            raise ValueError("whole_word_mask needs mlm=True: without masks there are no words to mask")
        if return_tensors != "np":
            raise ValueError(f"return_tensors={return_tensors!r} is not available; use 'np' (NumPy arrays)")
        if whole_word_mask:
            if (mask_replace_prob, random_replace_prob) not in ((0.8, 0.1), (1, 0)):
                warnings.warn("with whole_word_mask every masked token becomes [MASK]", stacklevel=2)
            mask_replace_prob, random_replace_prob = 1.0, 0.0
        self.tokenizer = tokenizer
        self.mlm, self.whole_word_mask, self.mlm_probability = mlm, whole_word_mask, mlm_probability
        self.mask_replace_prob, self.random_replace_prob = mask_replace_prob, random_replace_prob
        self.pad_to_multiple_of, self.return_tensors = pad_to_multiple_of, return_tensors
        self.generator = np.random.default_rng(seed)

    def __call__(self, features: Sequence[Any]) -> dict[str, np.ndarray]:
        """Return one batch.

        Parameters
        ----------
        features : sequence of mappings, or of sequences of ids
            What the tokenizer returns for each text.  A column `labels` is replaced, `special_tokens_mask` and
            `offset_mapping` are used up, others such as `next_sentence_label` go along.

        Returns
        -------
        dict of str to ndarray
            `input_ids`, `attention_mask`, `labels` of shape (B, S), and what else the features have.
        """
        rows = [dict(row) if isinstance(row, Mapping) else {"input_ids": row} for row in features]
        if not rows:
            raise ValueError("a batch needs at least one sequence")
        offsets = [row.pop("offset_mapping", None) for row in rows]
        for row in rows:
            row.pop("labels", None)
        padded = self.tokenizer.pad(rows, return_tensors="np", pad_to_multiple_of=self.pad_to_multiple_of)
        batch: dict[str, np.ndarray] = dict(padded)
        special = batch.pop("special_tokens_mask", None)
        input_ids = batch["input_ids"]
        if not self.mlm:
            batch["labels"] = np.where(input_ids == self.tokenizer.pad_token_id, IGNORED, input_ids)
            return batch
        is_special = np.isin(input_ids, self.tokenizer.all_special_ids) if special is None else special.astype(bool)
        word_starts = self._word_starts(offsets, is_special) if self.whole_word_mask else None
        batch["input_ids"], batch["labels"] = self.mask_tokens(input_ids, is_special, word_starts)
        return batch

    def mask_tokens(
        self, input_ids: np.ndarray, is_special: np.ndarray, word_starts: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return masked ids and labels; three draws for each place, then one for each random token.

        Parameters
        ----------
        input_ids : ndarray of shape (B, S)
        is_special : ndarray of bool, shape (B, S)
            Places that stay as they are.
        word_starts : ndarray of bool, shape (B, S), optional
            Where words start; tokens are chosen with the word that they belong to.

        Returns
        -------
        input_ids, labels : ndarray of shape (B, S)
        """
        may_be_drawn = ~is_special if word_starts is None else word_starts
        chosen = self._happens(np.where(may_be_drawn, self.mlm_probability, 0.0), input_ids.shape)
        if word_starts is not None:
            chosen = np.take_along_axis(chosen, start_of_word(word_starts), axis=1) & ~is_special
        masked = input_ids.copy()
        to_mask = self._happens(self.mask_replace_prob, input_ids.shape) & chosen
        masked[to_mask] = self.tokenizer.mask_token_id
        if self.mask_replace_prob < 1 and self.random_replace_prob > 0:
            share_of_rest = self.random_replace_prob / (1 - self.mask_replace_prob)
            to_random = self._happens(share_of_rest, input_ids.shape) & chosen & ~to_mask
            n_random = np.count_nonzero(to_random)
            masked[to_random] = self.generator.integers(len(self.tokenizer), size=n_random, dtype=np.int64)
        return masked, np.where(chosen, input_ids, IGNORED)

    def _happens(self, probability: Any, shape: tuple[int, ...]) -> np.ndarray:
        # A binomial with one trial: `random() < p` would use up other draws than the reference does.
        return self.generator.binomial(1, probability, size=shape).astype(bool)

    def _word_starts(self, offsets: list[Any], is_special: np.ndarray) -> np.ndarray:
        """Tell which tokens follow a gap in the text, or a special token."""
        if any(row is None for row in offsets):
            raise ValueError(
                "whole_word_mask needs offset_mapping; call the tokenizer with return_offsets_mapping=True"
            )
        spans = np.zeros((*is_special.shape, 2), np.int64)
        for row, pairs in enumerate(offsets):
            place = slice(None, len(pairs)) if self.tokenizer.padding_side == "right" else slice(-len(pairs), None)
            spans[row, place] = pairs
        follows_gap = np.ones(is_special.shape, bool)
        follows_gap[:, 1:] = (spans[:, 1:, 0] != spans[:, :-1, 1]) | is_special[:, :-1]
        return follows_gap & ~is_special


def start_of_word(word_starts: np.ndarray) -> np.ndarray:
    """Return for each place of (B, S) the place where its word starts, 0 before the first word.

    Examples
    --------
    >>> start_of_word(np.array([[False, True, False, True, True]])).tolist()
    [[0, 1, 1, 3, 4]]
    """
    return np.maximum.accumulate(np.where(word_starts, np.arange(word_starts.shape[1]), 0), axis=1)


def choose_words(word_starts: np.ndarray, is_special: np.ndarray, keys: np.ndarray, n_wanted: np.ndarray) -> np.ndarray:
    """Choose whole words in a random order, until the wanted number of tokens is reached.

    A word that would exceed the number is passed over, and a shorter one may follow.

    Parameters
    ----------
    word_starts, is_special : ndarray of bool, shape (B, S)
        Where words start; where no word is.
    keys : ndarray of shape (B, S)
        Random numbers; the words come in the order of the numbers at their first tokens.
    n_wanted : ndarray of int, shape (B,)

    Returns
    -------
    ndarray of bool, shape (B, S)

    Examples
    --------
    >>> starts = np.array([[True, False, True, True]])
    >>> choose_words(starts, np.zeros((1, 4), bool), np.array([[0.1, 0.9, 0.5, 0.7]]), np.array([3])).tolist()
    [[True, True, True, False]]
    """
    B, S = keys.shape
    belongs_to = start_of_word(word_starts)
    rows = np.repeat(np.arange(B), S).reshape(B, S)
    lengths = np.zeros((B, S), np.int64)  # of the word that starts here
    np.add.at(lengths, (rows, belongs_to), ~is_special)
    lengths[~word_starts] = 0

    order = np.argsort(np.where(word_starts, keys, np.inf), axis=1)
    sorted_lengths = np.take_along_axis(lengths, order, axis=1)
    if sorted_lengths.max(initial=0) <= 1:  # nothing will be passed over
        fits = np.arange(S) < n_wanted[:, None]
    else:
        fits = _filling_up(sorted_lengths, n_wanted)
    chosen_words = np.zeros((B, S), bool)
    np.put_along_axis(chosen_words, order, fits, axis=1)
    return np.take_along_axis(chosen_words, belongs_to, axis=1) & ~is_special


def _filling_up(lengths: np.ndarray, n_wanted: np.ndarray) -> np.ndarray:
    """Tell, from left to right in each row of (B, S), which lengths still fit into the wanted number."""
    fits = np.zeros(lengths.shape, bool)
    n_chosen = np.zeros_like(n_wanted)
    for k in range(lengths.shape[1]):
        fits[:, k] = n_chosen + lengths[:, k] <= n_wanted
        n_chosen += fits[:, k] * lengths[:, k]
        if (n_chosen == n_wanted).all():
            break
    return fits


def check_masking(tokenizer: Any, mlm_probability: float, mask_replace_prob: float, random_replace_prob: float) -> None:
    """Refuse what no mask can be drawn with.

    Raises
    ------
    ValueError
        Naming the argument and its limit.
    """
    if tokenizer.mask_token_id is None:
        raise ValueError("this tokenizer has no mask_token, so nothing can be masked; give one (mask_token='[MASK]')")
    for name, value in (
        ("mlm_probability", mlm_probability),
        ("mask_replace_prob", mask_replace_prob),
        ("random_replace_prob", random_replace_prob),
        ("mask_replace_prob + random_replace_prob", mask_replace_prob + random_replace_prob),
    ):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be between 0 and 1, not {value}")
