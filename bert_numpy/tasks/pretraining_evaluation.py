"""How good a pre-trained model is: masked words, next sentences, and in the small world the distance from the truth.

    evaluate_sequences      a model on a `PretrainingDataset`, with its masks
    evaluate_pretrained     a folder: on texts, on the documents that were held out of its training, or in the world

Here: these two, and the text that shows their figures.  Not here: the truth (`data/world/evaluation.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.documents import Document, read_documents
from ..data.masking import IGNORED
from ..data.pretraining import PretrainingDataset
from ..data.world import evaluate_world, generate_documents, sample_windows, world_vocabulary
from ..models import BertForPreTraining
from ..nn import functional as F
from ..tokenization import BertTokenizer

HELD_OUT_FILE = "held_out.txt"
WORLD_DOCUMENTS = 500
WORLD_WINDOWS = 400

FIGURES = {
    "sequences": "sequences",
    "masked_words": "masked tokens",
    "mlm_loss": "MLM loss, nats a token",
    "perplexity": "perplexity, exp of it",
    "masked_word_accuracy": "masked tokens found",
    "nsp_loss": "NSP loss",
    "nsp_accuracy": "NSP accuracy",
    "determined_accuracy": "determined words found",
    "cross_entropy": "cross-entropy, one mask at a time",
    "true_cross_entropy": "the least possible",
    "cross_entropy_ratio": "their ratio",
    "next_sentence_accuracy": "NSP accuracy on windows",
    "best_next_sentence_accuracy": "the best possible",
}
"""The figures that are shown, and what they are called."""


def evaluate_sequences(
    model: Any,
    dataset: PretrainingDataset,
    *,
    batch_size: int = 64,
    num_sequences: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a `BertForPreTraining` on sequences with the masks of the epoch that the data set is in.

    Parameters
    ----------
    model : BertForPreTraining
        In eval mode meanwhile.
    dataset : PretrainingDataset
    batch_size : int
        The figures do not depend on it.
    num_sequences : int, optional
        The first ones only.
    on_batch : function of (batches done, all batches), optional

    Returns
    -------
    dict
        ==========================  ===========================================================
        sequences, masked_words     how many
        mlm_loss                    mean -log p of the masked tokens, in nats
        perplexity                  exp of it
        masked_word_accuracy        how many of them have the largest logit
        nsp_loss, nsp_accuracy      the same for the question whether B follows A
        ==========================  ===========================================================
    """
    order = np.argsort(dataset.lengths[:num_sequences], kind="stable")  # of about one length together
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    totals = np.zeros(5)  # masked tokens, MLM loss, found; NSP loss, right
    was_training = model.training
    model.eval()
    try:
        for done, indices in enumerate(batches, start=1):
            totals += _sums(model, dataset.batch(indices))
            if on_batch is not None:
                on_batch(done, len(batches))
    finally:
        model.train(was_training)
    masked, loss, found = totals[:3].tolist()
    nsp_loss, right = (totals[3:] / len(order)).tolist()
    return {
        "sequences": len(order),
        "masked_words": int(masked),
        "mlm_loss": loss / masked,
        "perplexity": math.exp(min(loss / masked, 700)),
        "masked_word_accuracy": found / masked,
        "nsp_loss": nsp_loss,
        "nsp_accuracy": right,
    }


def _sums(model: Any, batch: dict[str, np.ndarray]) -> np.ndarray:
    outputs = model.bert(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    masked = np.nonzero(batch["labels"] != IGNORED)
    words, answers = batch["labels"][masked], batch["next_sentence_label"]
    logits = model.cls.predictions(outputs.last_hidden_state[masked]).astype(np.float64)  # (N, V)
    nsp_logits = model.cls.seq_relationship(outputs.pooler_output).astype(np.float64)  # (B, 2)
    loss, nsp_loss = (F.cross_entropy_forward(*pair)[0] for pair in ((logits, words), (nsp_logits, answers)))
    found, right = ((scores.argmax(-1) == true).sum() for scores, true in ((logits, words), (nsp_logits, answers)))
    return np.array([len(words), loss * len(words), found, nsp_loss * len(answers), right], np.float64)


def held_out_world(seed: int = 0) -> Iterator[list[str]]:
    """Documents of the small world that no training has seen."""
    return generate_documents(WORLD_DOCUMENTS, seed, "held_out")


def check_windows_fit(max_length: int, seed: int = 0, num_windows: int | None = None) -> None:
    """Refuse a model that is too short for the windows of the small world that it will be shown.

    Raises
    ------
    ValueError
        Naming the length that is needed.
    """
    longest = max(len(window.tokens) for window, _ in sample_windows(num_windows or WORLD_WINDOWS, seed))
    if longest > max_length:
        raise ValueError(f"max_length {max_length} is too short for the small world; use {longest} or more")


def knows_world(tokenizer: Any) -> bool:
    """Whether every word of the small world is a token."""
    return set(world_vocabulary()) <= tokenizer.get_vocab().keys()


def evaluate_pretrained(
    folder: str | os.PathLike[str],
    texts: Sequence[str | os.PathLike[str]] = (),
    *,
    num_windows: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    max_length: int | None = None,
) -> dict[str, Any]:
    """Evaluate a folder with the two heads of pre-training.

    Parameters
    ----------
    folder : path
    texts : sequence of paths
        What to evaluate on, one sentence a line and a blank line between documents.  Without any: the documents that
        were held out of its training, `held_out.txt` in the folder; else the small world, if the vocabulary has it.
    num_windows : int, optional
        Of the small world, 400 if not given: see `evaluate_world`.
    seed : int
        Of pairs, masks and windows.
    batch_size : int
    max_length : int, optional
        Of the sequences; the longest that the model takes, up to 128, if not given.

    Returns
    -------
    dict
        `corpus`, the figures of `evaluate_sequences` with Google's masking (15 %, of them 80 % [MASK], 10 % random),
        and in the small world those of `evaluate_world` without its two perplexities.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing to evaluate on, or the weights lack a head.
    """
    folder = Path(folder)
    model, loading = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
    if loading["missing_keys"]:
        raise ValueError(f"{folder} has not both heads of pre-training: {loading['missing_keys'][0]} is missing")
    tokenizer = BertTokenizer.from_pretrained(folder)
    held_out = folder / HELD_OUT_FILE
    documents: Iterable[Document]
    in_world = not texts and not held_out.is_file()
    if not in_world:
        corpus = ", ".join(Path(text).name for text in texts) or f"{HELD_OUT_FILE}, documents held out of training"
        documents = read_documents(list(texts) or [held_out])
    elif knows_world(tokenizer):
        check_windows_fit(model.config.max_position_embeddings, seed, num_windows)
        corpus = "held-out documents of the small world"
        documents = held_out_world(seed)
    else:
        raise ValueError(f"there is no {HELD_OUT_FILE} in {folder}; give a text to evaluate on")
    length = max_length or min(128, model.config.max_position_embeddings)
    figures = evaluate_sequences(model, evaluation_set(documents, tokenizer, length, seed), batch_size=batch_size)
    world = {}
    if in_world:
        world = evaluate_world(model, tokenizer, num_windows or WORLD_WINDOWS, seed, batch_size=batch_size)
    return {"corpus": corpus, **{name: value for name, value in world.items() if "perplexity" not in name}, **figures}


def evaluation_set(
    documents: Iterable[Document], tokenizer: BertTokenizer, max_length: int, seed: int = 0
) -> PretrainingDataset:
    """Sequences with Google's masking, whatever the model was trained with, so that figures can be compared."""
    return PretrainingDataset(documents, tokenizer, max_length, seed=seed)


def describe_figures(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures that are shown, as (name, number) in the order in which to read them.

    Examples
    --------
    >>> describe_figures({"nsp_accuracy": 0.975, "sequences": 1200})
    [('sequences', '1,200'), ('NSP accuracy', '97.50 %')]
    """
    return [(title, _shown(name, figures[name])) for name, title in FIGURES.items() if name in figures]


def _shown(name: str, value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.4f}"
