"""What the pipelines share: a model and a tokenizer that fit together, and batches without wasted work.

Here: `load_tokenizer`, `load_with_head`, `check_finite`, `run_in_batches`.  Not here: what becomes of the outputs (the
other files).  Read next: `windows.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import CheckpointError, load_checkpoint
from ..configuration import BertConfig
from ..hub import find_model
from ..models.pretrained import BertPreTrainedModel
from ..nn.module import summarize
from ..tokenization import BertTokenizer

# Heads whose weights have the same names, so that only config.json tells them apart.
_ALIKE = {"BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice"}


def load_tokenizer(folder: str | Path, vocab_size: int) -> BertTokenizer:
    """The tokenizer of a model folder, checked against the size of the model's vocabulary.

    A model may have a few rows more than there are words, where its size was rounded up to a multiple of 8.

    Raises
    ------
    ValueError
        If the vocabulary belongs to another model.

    Examples
    --------
    >>> len(load_tokenizer(find_model("tiny-random"), vocab_size=72))
    71
    """
    tokenizer = BertTokenizer.from_pretrained(folder)
    spare_rows = vocab_size - len(tokenizer)
    rounded_up = vocab_size % 8 == 0 and 0 <= spare_rows < 128
    if spare_rows and not rounded_up:
        raise ValueError(
            f"{folder}: the vocabulary has {len(tokenizer)} words but the model's vocab_size is {vocab_size}; "
            "the two do not belong together"
        )
    return tokenizer


def load_with_head(model_class: type[BertPreTrainedModel], name: str | Path, lack: str) -> tuple[Any, BertTokenizer]:
    """A model whose head was trained, and its tokenizer: a head drawn afresh would answer at random.

    Parameters
    ----------
    model_class : class of a model
    name : str or path
        A folder, or the name of a model that ships or is published.
    lack : str
        What to say of a folder without the head, such as "has no MLM head, so it cannot fill masks".

    Returns
    -------
    model in eval mode, tokenizer

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing or does not fit together; without the head, a CheckpointError, which is a ValueError.
    """
    folder = find_model(name)
    config = BertConfig.from_pretrained(folder)
    made_as = set(getattr(config, "architectures", None) or ()) & _ALIKE
    if made_as and model_class.__name__ in _ALIKE - made_as:
        raise CheckpointError(f"{folder} {lack} (config.json says that it is a {min(made_as)})")
    model = model_class(config, init_weights=False)
    tensors = load_checkpoint(folder)
    missing = model.fit_weights(tensors, str(folder)).new
    if missing:
        raise CheckpointError(f"{folder} {lack} (missing: {summarize(missing, limit=2)})")
    model.load_weights(tensors, str(folder))
    return model.eval(), load_tokenizer(folder, model.config.vocab_size)


def longest_input(model: BertPreTrainedModel, tokenizer: BertTokenizer, max_length: int | None) -> int:
    """How many tokens a sequence may have: `max_length` if it is given and possible, else as many as fit.

    Raises
    ------
    ValueError
        If `max_length` is below 3, which leaves one token between [CLS] and [SEP], or above the model's longest.
    """
    longest = model.config.max_position_embeddings
    if max_length is None:
        return min(longest, tokenizer.model_max_length)
    if not 3 <= max_length <= longest:
        raise ValueError(f"max_length {max_length} must lie between 3 and max_position_embeddings {longest}")
    return max_length


def check_finite(outputs: np.ndarray) -> np.ndarray:
    """Pass outputs on, unless the weights have made them NaN or infinite."""
    if not np.isfinite(outputs).all():
        raise ValueError("the model's outputs are not finite; `bert-numpy inspect` shows which weights are at fault")
    return outputs


def check_batch_size(batch_size: int) -> int:
    """Pass a batch size on, if it is at least 1."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    return batch_size


def check_texts(texts: Any, what: str = "texts") -> list[Any]:
    """A list of the texts, each of which must be a str.

    Raises
    ------
    TypeError
        Naming the first that is something else.
    """
    texts = list(texts)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise TypeError(f"{what}: number {number} is a {type(text).__name__}, not a str")
    return texts


def run_in_batches(
    model: BertPreTrainedModel, tokenizer: BertTokenizer, rows: Sequence[Mapping[str, Any]], batch_size: int
) -> Iterator[tuple[list[int], dict[str, np.ndarray], Any]]:
    """Run a model over sequences of any lengths; those of similar length share a batch, and padding is not computed.

    Parameters
    ----------
    model : BertPreTrainedModel
        In eval mode.  Its `skip_padding` is on while a batch is computed, and afterwards as it was.
    rows : sequence of mappings
        What the tokenizer returns for one text, without arrays.
    batch_size : int

    Yields
    ------
    chosen : list of int
        The numbers of the rows in this batch.
    batch : dict of arrays of shape (B, S)
        Padded on the right.
    outputs : what the model returns
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = dict(tokenizer.pad([rows[i] for i in chosen], padding_side="right", return_tensors="np"))
        before = model.skips_padding
        model.skip_padding()
        try:
            outputs = model(**batch)
        finally:
            model.skip_padding(before)
        yield chosen, batch, outputs
