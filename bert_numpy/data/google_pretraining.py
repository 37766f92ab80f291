"""Pairs of segments and their masks as Google's program of 2018 draws them, draw for draw.

`create_pretraining_data.py` takes every decision from one `random.Random(seed)`.  Whoever asks it the same questions
in the same order makes the same data, which is the only way to repeat an experiment of that time.  The order is:

1. shuffle the documents;
2. for each repetition and each document: is it cut short, and to what length?  Then for each pair: where does A end?
   Is B random?  From which document, from which sentence on?  Which end loses a token, while the pair is too long?
3. right after each pair, for its masks: shuffle the places; for each: [MASK]? else the old token? else which one?
4. shuffle the pairs.

Here: `draw_pairs` and `create_instances`.  Not here: masks that are new in each epoch (`masking.py`, read that next).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .documents import TokenizedDocuments

IS_NEXT, IS_RANDOM = 0, 1  # the values of next_sentence_label


class SegmentPair(NamedTuple):
    """Segments A and B as ranges of `TokenizedDocuments.ids`; truncated, and not empty."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int
    next_sentence_label: int


class PretrainingInstance(NamedTuple):
    """One sequence [CLS] A [SEP] B [SEP] with its masks.

    `input_ids` has shape (S,), the places and the old ids of the masked tokens (n,); B starts at `segment_b`.
    """

    input_ids: np.ndarray
    segment_b: int
    masked_lm_positions: np.ndarray
    masked_lm_ids: np.ndarray
    next_sentence_label: int


def draw_pairs(
    documents: TokenizedDocuments,
    order: Sequence[int],
    place: int,
    max_tokens: int,
    short_seq_prob: float,
    rng: random.Random,
    *,
    surely_another: bool = False,
) -> Iterator[SegmentPair]:
    """Yield the pairs of one document, using `rng` only while a pair is being made.

    Sentences are gathered until they fill `max_tokens` (or, with probability `short_seq_prob`, a length drawn for the
    document), then divided.  Either their second part is B; or B comes from another document, and the second part is
    gathered again.  A pair that is too long loses tokens of its longer segment, at either end.

    Parameters
    ----------
    order : sequence of int
        The numbers of the documents as they were shuffled.
    place : int
        Where the document stands in `order`.
    max_tokens : int
        The most that A and B may have together.
    surely_another : bool
        Google's program tries ten times to find another document and then takes its own: with two documents one
        random B in a thousand is none, with a single document every one.  True draws from the others only.

    Examples
    --------
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"])
    >>> documents = TokenizedDocuments([["a b", "c d"], ["d d"]], tokenizer)
    >>> for pair in draw_pairs(documents, [0, 1], 0, max_tokens=3, short_seq_prob=0.0, rng=random.Random(1)):
    ...     print(*pair)
    0 2 5 6 1
    2 4 5 6 1
    """
    starts = documents.sentence_starts
    begin, end = _sentences_of(documents, order[place])
    target = max_tokens
    if rng.random() < short_seq_prob:
        target = rng.randint(2, max_tokens)
    last = begin
    while last < end:
        last += 1  # now the sentences from `begin` to before `last` are gathered
        if last < end and starts[last] - starts[begin] < target:
            continue
        n_gathered = last - begin
        split = begin + (rng.randint(1, n_gathered - 1) if n_gathered > 1 else 1)
        a = int(starts[begin]), int(starts[split])
        if n_gathered == 1 or rng.random() < 0.5:
            label = IS_RANDOM
            b = _random_segment(documents, order, place, target - (a[1] - a[0]), rng, surely_another)
            last = split
        else:
            label = IS_NEXT
            b = int(starts[split]), int(starts[last])
        yield SegmentPair(*_truncated(a, b, max_tokens, rng), label)
        begin = last


def _sentences_of(documents: TokenizedDocuments, number: int) -> tuple[int, int]:
    begin, end = documents.document_starts[number : number + 2].tolist()
    return begin, end


def _random_segment(
    documents: TokenizedDocuments,
    order: Sequence[int],
    place: int,
    n_wanted: int,
    rng: random.Random,
    surely_another: bool,
) -> tuple[int, int]:
    if surely_another:
        other = rng.randrange(len(order) - 1)
        other += other >= place
    else:
        for _ in range(10):
            other = rng.randint(0, len(order) - 1)
            if other != place:
                break
    begin, end = _sentences_of(documents, order[other])
    begin += rng.randint(0, end - begin - 1)
    starts = documents.sentence_starts
    last = begin + 1
    while last < end and starts[last] - starts[begin] < n_wanted:
        last += 1
    return int(starts[begin]), int(starts[last])


def _truncated(
    a: tuple[int, int], b: tuple[int, int], max_tokens: int, rng: random.Random
) -> tuple[int, int, int, int]:
    (a_start, a_end), (b_start, b_end) = a, b
    while (n_a := a_end - a_start) + (n_b := b_end - b_start) > max_tokens:
        at_front = rng.random() < 0.5
        if n_a > n_b:
            a_start, a_end = a_start + at_front, a_end - (not at_front)
        else:
            b_start, b_end = b_start + at_front, b_end - (not at_front)
    return a_start, a_end, b_start, b_end


def create_instances(
    documents: TokenizedDocuments,
    tokenizer: Any,
    *,
    max_seq_length: int = 128,
    dupe_factor: int = 10,
    short_seq_prob: float = 0.1,
    masked_lm_prob: float = 0.15,
    max_predictions_per_seq: int = 20,
    do_whole_word_mask: bool = False,
    rng: random.Random | int = 12345,
) -> list[PretrainingInstance]:
    """Return what `create_pretraining_data.py` makes of the same text, vocabulary, arguments and seed.

    Parameters
    ----------
    documents : TokenizedDocuments
        Made with a `BertTokenizer(..., mode="google")`, and from several files with `join_files=True`.
    tokenizer : BertTokenizer
        The same, for its vocabulary.
    max_seq_length : int
        With [CLS] and twice [SEP].
    dupe_factor : int
        How often each document is used, with other pairs and masks.
    short_seq_prob : float
        How often a document is cut into shorter pairs.
    masked_lm_prob : float
        round(`masked_lm_prob` S) tokens of a sequence of length S are masked, at least one,
    max_predictions_per_seq : int
        at most so many.
    do_whole_word_mask : bool
        Mask all pieces of a word or none (the program's later form); each is still replaced by a draw of its own.
    rng : random.Random or int
        The generator, or its seed.

    Raises
    ------
    ValueError
        If a length, a count or a probability cannot be.

    Notes
    -----
    Three traits of the program are kept: documents of one sentence have random second segments only; with
    `do_whole_word_mask` a piece "##x" with which B begins, its first part truncated away, counts to the last word of
    A; and `round` is that of Python 3, to the even neighbour.

    Examples
    --------
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"], mode="google")
    >>> documents = TokenizedDocuments([["a b", "c d"], ["d d"]], tokenizer)
    >>> for instance in create_instances(documents, tokenizer, dupe_factor=1, rng=3):
    ...     print(tokenizer.decode(instance.input_ids), instance.masked_lm_ids, instance.next_sentence_label)
    [CLS] [MASK] b [SEP] c d [SEP] [5] 0
    [CLS] d d [SEP] c d [SEP] [8] 1
    """
    check_arguments(max_seq_length, dupe_factor, max_predictions_per_seq, masked_lm_prob, short_seq_prob)
    if isinstance(rng, int):
        rng = random.Random(rng)
    order = list(range(len(documents)))
    rng.shuffle(order)
    masker = _Masker(tokenizer, masked_lm_prob, max_predictions_per_seq, do_whole_word_mask, rng)
    instances = []
    for _ in range(dupe_factor):
        for place in range(len(order)):
            for pair in draw_pairs(documents, order, place, max_seq_length - 3, short_seq_prob, rng):
                instances.append(masker.instance(documents, pair))
    rng.shuffle(instances)
    return instances


def check_arguments(
    max_length: int, dupe_factor: int, max_predictions: int, mlm_probability: float, short_seq_prob: float
) -> None:
    """Refuse what no pair or no mask can be made with.

    Raises
    ------
    ValueError
        Naming the limit.

    Examples
    --------
    >>> check_arguments(4, 1, 20, 0.15, 0.1)
    Traceback (most recent call last):
    ValueError: the length 4 is too small: [CLS], two [SEP] and a token of A and B each are 5
    """
    if max_length < 5:
        raise ValueError(f"the length {max_length} is too small: [CLS], two [SEP] and a token of A and B each are 5")
    for name, value in ("dupe_factor", dupe_factor), ("max_predictions_per_seq", max_predictions):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    for name, probability in ("the masking probability", mlm_probability), ("short_seq_prob", short_seq_prob):
        if not 0 <= probability <= 1:
            raise ValueError(f"{name} must be between 0 and 1, not {probability}")


class _Masker:
    """Puts a pair together and draws its masks."""

    def __init__(
        self, tokenizer: Any, masked_lm_prob: float, max_predictions: int, whole_words: bool, rng: random.Random
    ) -> None:
        self.cls, self.sep, self.mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
        if self.mask is None:
            raise ValueError("this tokenizer has no mask_token; give one (mask_token='[MASK]')")
        self.vocab_size = tokenizer.vocab_size
        self.probability, self.max_predictions, self.rng = masked_lm_prob, max_predictions, rng
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.continuations = {i for i, token in enumerate(tokens) if whole_words and token.startswith("##")}

    def instance(self, documents: TokenizedDocuments, pair: SegmentPair) -> PretrainingInstance:
        a = documents.ids[pair.a_start : pair.a_end].tolist()
        b = documents.ids[pair.b_start : pair.b_end].tolist()
        ids = [self.cls, *a, self.sep, *b, self.sep]
        masked_ids, positions = self._mask(ids)
        return PretrainingInstance(
            np.array(masked_ids, np.int32),
            len(a) + 2,
            np.array(positions, np.int32),
            np.array([ids[position] for position in positions], np.int32),
            pair.next_sentence_label,
        )

    def _mask(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """Return the ids with some of them replaced, and the sorted places of those."""
        n_wanted = min(self.max_predictions, max(1, round(len(ids) * self.probability)))
        words = self._words(ids)
        self.rng.shuffle(words)
        masked = list(ids)
        positions: list[int] = []
        for word in words:
            if len(positions) >= n_wanted:
                break
            if len(positions) + len(word) <= n_wanted:
                for position in word:
                    masked[position] = self._replacement(ids[position])
                positions += word
        return masked, sorted(positions)

    def _words(self, ids: list[int]) -> list[list[int]]:
        words: list[list[int]] = []
        for position, token_id in enumerate(ids):
            if token_id in (self.cls, self.sep):
                continue
            if token_id in self.continuations and words:
                words[-1].append(position)
            else:
                words.append([position])
        return words

    def _replacement(self, token_id: int) -> int:
        if self.rng.random() < 0.8:
            return self.mask
        if self.rng.random() < 0.5:
            return token_id
        return self.rng.randint(0, self.vocab_size - 1)


def to_arrays(
    instances: Sequence[PretrainingInstance], max_length: int | None = None, pad_token_id: int = 0
) -> dict[str, np.ndarray]:
    """Return instances as the inputs of `BertForPreTraining`.

    Parameters
    ----------
    instances : sequence of PretrainingInstance
    max_length : int, optional
        Pad to this length; to the longest sequence if not given.

    Returns
    -------
    dict
        `input_ids`, `attention_mask`, `token_type_ids` and `labels` (-100 where nothing is masked) of shape (B, S)
        and `next_sentence_label` of shape (B,), all int64.

    Raises
    ------
    ValueError
        If there is no instance, or one is longer than `max_length`.

    Examples
    --------
    >>> instance = PretrainingInstance(np.array([2, 4, 3, 7, 3]), 3, np.array([1]), np.array([6]), IS_RANDOM)
    >>> for name, values in to_arrays([instance], max_length=6).items():
    ...     print(name, values.tolist())
    input_ids [[2, 4, 3, 7, 3, 0]]
    attention_mask [[1, 1, 1, 1, 1, 0]]
    token_type_ids [[0, 0, 0, 1, 1, 0]]
    labels [[-100, 6, -100, -100, -100, -100]]
    next_sentence_label [1]
    """
    longest = max((len(instance.input_ids) for instance in instances), default=0)
    if not instances or (max_length is not None and longest > max_length):
        raise ValueError(f"{len(instances)} instances of up to {longest} tokens do not fit max_length {max_length}")
    shape = len(instances), max_length or longest
    input_ids, labels = np.full(shape, pad_token_id, np.int64), np.full(shape, -100, np.int64)
    attention_mask, token_type_ids = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, instance in enumerate(instances):
        length = len(instance.input_ids)
        input_ids[row, :length] = instance.input_ids
        attention_mask[row, :length] = 1
        token_type_ids[row, instance.segment_b : length] = 1
        labels[row, instance.masked_lm_positions] = instance.masked_lm_ids
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "labels": labels,
        "next_sentence_label": np.array([instance.next_sentence_label for instance in instances], np.int64),
    }
