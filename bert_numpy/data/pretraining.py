"""A data set for pre-training: pairs drawn once, masks drawn anew in each epoch, rows of arrays made on demand.

All text is one array of ids.  A pair is two ranges of it, so a batch is a few look-ups for the whole batch at once.

Everything is determined by `seed`: the pairs; and the masks by (seed, epoch, number of the sequence) alone, whatever
the batches are, so that a training run that was interrupted goes on with the very masks it would have had.

Here: `PretrainingDataset`.  Not here: how pairs are drawn (`google_pretraining.py`), how text is read
(`documents.py`), in which order batches are taken (`loader.py`).
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .documents import Document, FilePath, TokenizedDocuments, read_documents
from .google_pretraining import SegmentPair, check_arguments, draw_pairs
from .masking import IGNORED, check_masking, choose_words


class PretrainingDataset:
    """Sequences [CLS] A [SEP] B [SEP] with masked tokens, for `BertForPreTraining`.

    Parameters
    ----------
    documents : iterable of documents (sequences of sentences), or TokenizedDocuments
        Read once.
    tokenizer : BertTokenizer
    max_length : int
        The longest sequence.
    seed : int
        Determines everything.
    dupe_factor : int
        How often each document is divided into pairs, differently.
    short_seq_prob : float
        How often a document is cut into shorter pairs.
    mlm_probability : float
        round(p S) tokens of a sequence of length S are to be found, at least one.
    max_predictions_per_seq : int, optional
        At most so many.
    whole_word_mask : bool
        Choose all pieces of a word or none; a word longer than the whole number is never chosen.
    mask_replace_prob, random_replace_prob : float
        Shares of the chosen tokens that become [MASK], and random ones of the whole vocabulary.

    Attributes
    ----------
    pairs : ndarray of shape (number of sequences, 5)
        `SegmentPair`s: ranges of `documents.ids`, and the label.
    epoch : int
        See `set_epoch`.

    Raises
    ------
    ValueError
        If there are fewer than two documents, no document has two sentences, or an argument cannot be.

    Notes
    -----
    Pairs are drawn as Google's program draws them, with one difference: a random B never comes from the document of A.
    Special tokens, [UNK] among them, are never to be found.

    Examples
    --------
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"])
    >>> dataset = PretrainingDataset([["a b", "c d", "a"], ["d d", "c c"]], tokenizer, max_length=8, seed=1)
    >>> for name, values in dataset.batch(range(2), masked=False).items():
    ...     print(name, values.tolist())
    input_ids [[2, 5, 6, 3, 7, 7, 3], [2, 7, 8, 3, 5, 3, 0]]
    attention_mask [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]]
    token_type_ids [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0]]
    labels [[-100, -100, -100, -100, -100, -100, -100], [-100, -100, -100, -100, -100, -100, -100]]
    next_sentence_label [1, 0]
    """

    def __init__(
        self,
        documents: Iterable[Document] | TokenizedDocuments,
        tokenizer: Any,
        max_length: int = 128,
        *,
        seed: int = 0,
        dupe_factor: int = 1,
        short_seq_prob: float = 0.1,
        mlm_probability: float = 0.15,
        max_predictions_per_seq: int | None = None,
        whole_word_mask: bool = False,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
    ) -> None:
        max_predictions = max_length if max_predictions_per_seq is None else max_predictions_per_seq
        check_arguments(max_length, dupe_factor, max_predictions, mlm_probability, short_seq_prob)
        check_masking(tokenizer, mlm_probability, mask_replace_prob, random_replace_prob)
        if tokenizer.pad_token_id is None:
            raise ValueError("this tokenizer has no pad_token, so no batch can be made; give one (pad_token='[PAD]')")
        if not isinstance(documents, TokenizedDocuments):
            documents = TokenizedDocuments(documents, tokenizer)
        _check_pairs_possible(documents)
        self.documents, self.tokenizer, self.max_length, self.seed = documents, tokenizer, max_length, seed
        self.mlm_probability, self.max_predictions_per_seq = mlm_probability, max_predictions
        self.mask_replace_prob, self.random_replace_prob = mask_replace_prob, random_replace_prob
        self.epoch = 0
        pairs = array("q")
        for pair in self._draw_pairs(dupe_factor, short_seq_prob):
            pairs.extend(pair)
        self.pairs = np.frombuffer(pairs, np.int64).reshape(-1, 5)
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self._is_special = np.isin(np.arange(len(tokens)), tokenizer.all_special_ids)
        self._continues = np.array([whole_word_mask and token.startswith("##") for token in tokens])

    @classmethod
    def from_files(
        cls, paths: FilePath | Sequence[FilePath], tokenizer: Any, max_length: int = 128, **settings: Any
    ) -> PretrainingDataset:
        """Read text files, one sentence per line and a blank line between documents; see `read_documents`."""
        return cls(read_documents(paths), tokenizer, max_length, **settings)

    def _draw_pairs(self, dupe_factor: int, short_seq_prob: float) -> Iterator[SegmentPair]:
        rng = random.Random(self.seed)
        order = range(len(self.documents))
        for _ in range(dupe_factor):
            for place in order:
                yield from draw_pairs(
                    self.documents, order, place, self.max_length - 3, short_seq_prob, rng, surely_another=True
                )

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.pairs)

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each sequence, special ones too, shape (number of sequences,)."""
        a_start, a_end, b_start, b_end, _ = self.pairs.T
        return a_end - a_start + b_end - b_start + 3

    def __repr__(self) -> str:
        return f"PretrainingDataset({len(self)} sequences of up to {self.max_length} tokens from {self.documents!r})"

    def set_epoch(self, epoch: int) -> None:
        """Choose whose masks come next; every epoch has its own."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one sequence, padded to `max_length`, so that sequences can be stacked; keys as in `batch`."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} is outside a data set of {len(self)}")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> list[dict[str, np.ndarray]]:
        """Return what `[dataset[i] for i in indices]` returns, in a fraction of the time."""
        columns = self.batch(indices, length=self.max_length)
        return [{name: values[row] for name, values in columns.items()} for row in range(len(indices))]

    def batch(
        self, indices: Sequence[int] | np.ndarray, *, length: int | None = None, masked: bool = True
    ) -> dict[str, np.ndarray]:
        """Return some sequences as one batch, with the masks of this epoch.

        Parameters
        ----------
        indices : sequence of int
        length : int, optional
            What to pad to; the longest of these sequences if not given.
        masked : bool
            False leaves all tokens as they are, and all labels at -100.

        Returns
        -------
        dict
            `input_ids`, `attention_mask`, `token_type_ids` and `labels` of shape (B, S), `next_sentence_label` of
            shape (B,), all int64.

        Raises
        ------
        ValueError
            If there are no indices, or a sequence does not fit `length`, or `length` exceeds `max_length`.
        """
        indices = np.asarray(indices, np.int64)
        if not indices.size:
            raise ValueError("a batch needs at least one index")
        a_start, a_end, b_start, b_end, next_sentence_label = self.pairs[indices].T[:, :, None]  # (B, 1) each
        first_sep = a_end - a_start + 1
        last_sep = first_sep + b_end - b_start + 1
        longest = int(last_sep.max()) + 1
        S = longest if length is None else length
        if not longest <= S <= self.max_length:
            raise ValueError(f"length {S} must be between {longest}, the longest sequence here, and {self.max_length}")
        place = np.arange(S)  # (S,)

        in_b = (place > first_sep) & (place <= last_sep)
        source = place + np.where(in_b, b_start - first_sep - 1, a_start - 1)
        is_text = (place > 0) & (place < last_sep) & (place != first_sep)
        input_ids = np.where(is_text, self.documents.ids[np.where(is_text, source, 0)], self.tokenizer.pad_token_id)
        input_ids = np.where((place == first_sep) | (place == last_sep), self.tokenizer.sep_token_id, input_ids)
        input_ids[:, 0] = self.tokenizer.cls_token_id
        attention_mask = place <= last_sep

        masked_ids, labels = input_ids, np.full(input_ids.shape, IGNORED)
        if masked:
            masked_ids, labels = self._mask(input_ids, indices, last_sep[:, 0] + 1)
        columns = {
            "input_ids": masked_ids,
            "attention_mask": attention_mask,
            "token_type_ids": in_b,
            "labels": labels,
            "next_sentence_label": next_sentence_label[:, 0],
        }
        return {name: np.asarray(values, np.int64) for name, values in columns.items()}

    def batches(self, batch_size: int, *, shuffle: bool = True, start: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Yield the batches of this epoch, from batch `start` on; the order is that of (seed, epoch) too.

        Examples
        --------
        >>> from bert_numpy.tokenization import BertTokenizer
        >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"])
        >>> dataset = PretrainingDataset([["a b", "c d", "a"], ["d d", "c c"]], tokenizer, max_length=8, seed=1)
        >>> [len(batch["input_ids"]) for batch in dataset.batches(3)]
        [3, 1]
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        order = np.arange(len(self))
        if shuffle:
            np.random.default_rng((self.seed, self.epoch, 1)).shuffle(order)
        for first in range(start * batch_size, len(self), batch_size):
            yield self.batch(order[first : first + batch_size])

    def _mask(self, input_ids: np.ndarray, indices: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        is_special = self._is_special[input_ids]
        starts = ~is_special
        starts[:, 1:] &= ~self._continues[input_ids[:, 1:]] | is_special[:, :-1]
        n_wanted = np.clip(np.rint(self.mlm_probability * lengths), 1, self.max_predictions_per_seq)
        keys, fates, words = self._draws(indices)[:, :, : input_ids.shape[1]].swapaxes(0, 1)

        chosen = choose_words(starts, is_special, keys, n_wanted.astype(np.int64))
        masked = input_ids.copy()
        masked[chosen & (fates < self.mask_replace_prob)] = self.tokenizer.mask_token_id
        to_random = chosen & (fates >= self.mask_replace_prob)
        to_random &= fates < self.mask_replace_prob + self.random_replace_prob
        masked[to_random] = (words[to_random] * self.tokenizer.vocab_size).astype(np.int64)
        return masked, np.where(chosen, input_ids, IGNORED)

    def _draws(self, indices: np.ndarray) -> np.ndarray:
        """Return three random numbers for each place of each sequence, of shape (B, 3, max_length).

        One stream of random numbers belongs to an epoch, and a stretch of it to each sequence: the stream can be
        wound on to anywhere at once.
        """
        rng = np.random.default_rng((self.seed, self.epoch))
        n_each = 3 * self.max_length
        draws = np.empty((len(indices), 3, self.max_length))
        at = 0
        for row, index in enumerate(indices.tolist()):
            rng.bit_generator.advance(index * n_each - at)  # type: ignore[attr-defined]
            rng.random(out=draws[row])
            at = (index + 1) * n_each
        return draws


def _check_pairs_possible(documents: TokenizedDocuments) -> None:
    remedy = "write one sentence per line and a blank line between documents only"
    if len(documents) < 2:
        raise ValueError(f"there is one document only, so no random next sentence from another one; {remedy}")
    if (np.diff(documents.document_starts) < 2).all():
        raise ValueError(f"every document has one sentence only, so no sentence follows another; {remedy}")
