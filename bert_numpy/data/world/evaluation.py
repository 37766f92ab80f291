"""How far a model of the small world is from the best possible one.

Windows of held-out documents are shown to the model in two ways:

- one mask at a time: each word of each window in turn is replaced by `[MASK]`, and all others are visible.  The model's
  probability of the word is compared with the true one, as `truth.py` has it;
- whole: does the second segment follow the first?

Here: `evaluate_world`.  Not here: any model; it is called, and knows nothing of this package's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .corpus import Window, sample_windows
from .truth import DETERMINED, WindowTruth

IS_NEXT = 0  # the logit that says so


class Cloze(NamedTuple):
    """One word to be found: its window, its position there, and the true distribution of what stands there."""

    window: Window
    position: int
    distribution: dict[str, float]


def evaluate_world(
    model: Callable[..., Any], tokenizer: Any, num_windows: int = 400, seed: int = 0, *, batch_size: int = 64
) -> dict[str, float]:
    """Compare a model with the truth on held-out windows: those of `sample_windows(num_windows, seed)`.

    Parameters
    ----------
    model : callable (input_ids, attention_mask, token_type_ids) -> outputs
        Its outputs have `prediction_logits` of shape (B, S, V) and `seq_relationship_logits` of shape (B, 2).  One that
        has a mode, such as `BertForPreTraining`, is put into eval mode meanwhile.
    tokenizer : BertTokenizer
        Every word of the world must be one token.
    num_windows : int
        Each has some 33 words, and each word is a sequence of its own.
    seed : int
    batch_size : int
        Sequences that the model is given at once; the result does not depend on it.

    Returns
    -------
    dict
        ============================  =========================================================================
        windows, words                how many
        determined                    fraction of words of which the rest of the window leaves no doubt (p >= 0.99)
        determined_accuracy           how many of these the model finds
        cross_entropy                 mean -log p(word | rest) of the model, in nats a word
        true_cross_entropy            that of the true distribution on the same words: the least that can be expected
        cross_entropy_ratio           the first divided by the second
        entropy, divergence           mean entropy of the true distributions, and mean Kullback-Leibler divergence of
                                      the model from them: their sum is the expected cross-entropy, free of the chance
                                      by which just these words stand there
        perplexity, true_perplexity   exp of the two cross-entropies
        next_sentence_accuracy        how often the larger logit is right
        best_next_sentence_accuracy   expected of answering by the true probability
        ============================  =========================================================================

    Raises
    ------
    ValueError
        If a word of the world is not in the vocabulary, or the outputs lack the logits.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from bert_numpy.data.world import world_vocabulary
    >>> from bert_numpy.tokenization import BertTokenizer
    >>> tokenizer = BertTokenizer(world_vocabulary())
    >>> def knows_nothing(input_ids, attention_mask, token_type_ids):
    ...     logits = np.zeros((*input_ids.shape, tokenizer.vocab_size))
    ...     return SimpleNamespace(prediction_logits=logits, seq_relationship_logits=np.zeros((len(input_ids), 2)))
    >>> result = evaluate_world(knows_nothing, tokenizer, num_windows=2)
    >>> round(result["perplexity"]) == tokenizer.vocab_size
    True
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    windows = list(sample_windows(num_windows, seed))
    if not windows:
        raise ValueError(f"num_windows is {num_windows}; ask for at least 1")
    _check_vocabulary(tokenizer, windows)
    training = getattr(model, "training", False)
    if training:
        model.eval()  # type: ignore[attr-defined]
    try:
        truths = [WindowTruth(window) for window, _ in windows]
        return {
            "windows": len(windows),
            **_one_mask_at_a_time(model, tokenizer, truths, batch_size),
            **_next_sentence(model, tokenizer, truths, [follows for _, follows in windows], batch_size),
        }
    finally:
        if training:
            model.train()  # type: ignore[attr-defined]


def _one_mask_at_a_time(
    model: Callable[..., Any], tokenizer: Any, truths: list[WindowTruth], batch_size: int
) -> dict[str, float]:
    clozes = [Cloze(truth.window, i, truth.distribution(i)) for truth in truths for i in truth.window.positions]
    surprisals, true_surprisals, entropies, divergences, found = [], [], [], [], []
    for batch in _batches(clozes, batch_size):
        inputs = _inputs(tokenizer, [cloze.window for cloze in batch])
        rows, places = np.arange(len(batch)), np.array([cloze.position for cloze in batch])
        words = inputs["input_ids"][rows, places]
        inputs["input_ids"][rows, places] = tokenizer.mask_token_id
        log_probs = _log_softmax(_output(model, inputs, "prediction_logits")[rows, places])  # (B, V)
        surprisals += (-log_probs[rows, words]).tolist()
        found += (log_probs.argmax(axis=-1) == words).tolist()
        for cloze, log_q in zip(batch, log_probs, strict=True):
            p = np.array(list(cloze.distribution.values()))
            log_p = np.log(p)
            true_surprisals.append(-math.log(cloze.distribution[cloze.window.tokens[cloze.position]]))
            entropies.append(-float(p @ log_p))
            divergences.append(float(p @ (log_p - log_q[tokenizer.convert_tokens_to_ids(list(cloze.distribution))])))
    determined = np.array(true_surprisals) <= -math.log(DETERMINED)
    cross_entropy, true_cross_entropy = (math.fsum(values) / len(clozes) for values in (surprisals, true_surprisals))
    return {
        "words": len(clozes),
        "determined": float(determined.mean()),
        "determined_accuracy": float(np.array(found)[determined].mean()) if determined.any() else math.nan,
        "cross_entropy": cross_entropy,
        "true_cross_entropy": true_cross_entropy,
        "cross_entropy_ratio": cross_entropy / true_cross_entropy if true_cross_entropy else math.nan,
        "entropy": math.fsum(entropies) / len(clozes),
        "divergence": math.fsum(divergences) / len(clozes),
        "perplexity": math.exp(cross_entropy),
        "true_perplexity": math.exp(true_cross_entropy),
    }


def _next_sentence(
    model: Callable[..., Any], tokenizer: Any, truths: list[WindowTruth], follows: list[bool], batch_size: int
) -> dict[str, float]:
    right = 0
    for batch in _batches(list(zip(truths, follows, strict=True)), batch_size):
        inputs = _inputs(tokenizer, [truth.window for truth, _ in batch])
        answers = _output(model, inputs, "seq_relationship_logits").argmax(axis=-1) == IS_NEXT
        right += int((answers == [answer for _, answer in batch]).sum())
    probabilities = [truth.next_sentence_probability() for truth in truths]
    return {
        "next_sentence_accuracy": right / len(truths),
        "best_next_sentence_accuracy": math.fsum(max(p, 1 - p) for p in probabilities) / len(truths),
    }


def _batches(items: list[Any], batch_size: int) -> Iterator[list[Any]]:
    """Consecutive stretches; all words of a window are together, so their sequences are of about one length."""
    return (items[start : start + batch_size] for start in range(0, len(items), batch_size))


def _inputs(tokenizer: Any, windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """The windows as the model's inputs, padded to the longest."""
    shape = len(windows), max(len(window.tokens) for window in windows)
    input_ids = np.full(shape, tokenizer.pad_token_id)
    attention_mask, token_type_ids = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, window in enumerate(windows):
        ids = tokenizer.convert_tokens_to_ids(list(window.tokens))
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        token_type_ids[row, len(window.first) + 2 : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def _output(model: Callable[..., Any], inputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    outputs = model(**inputs)
    if not hasattr(outputs, name):
        raise ValueError(f"the outputs of this {type(model).__name__} have no {name}; evaluate a BertForPreTraining")
    return np.asarray(getattr(outputs, name))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _check_vocabulary(tokenizer: Any, windows: list[tuple[Window, bool]]) -> None:
    tokens = sorted({token for window, _ in windows for token in window.tokens})
    ids = tokenizer.convert_tokens_to_ids(tokens)
    unknown = [token for token, token_id in zip(tokens, ids, strict=True) if token_id == tokenizer.unk_token_id]
    if unknown:
        raise ValueError(f"the vocabulary has no {unknown[0]!r}, a word of the world; use world_vocabulary()")
