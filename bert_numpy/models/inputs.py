"""The border of the models: every input is checked and completed here, once, before any arithmetic.

NumPy would take a negative id from the end of the table, broadcast a mask of another shape, and read a mask of
-10000s as ones.  So each input is refused by name, with what was found and what to do.

Read next: `bert.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..configuration import BertConfig


class Inputs(NamedTuple):
    """Checked inputs: ids as integer arrays, and the mask in the form that is added to the scores."""

    input_ids: np.ndarray | None  # (B, S)
    token_type_ids: np.ndarray  # (B, S)
    position_ids: np.ndarray  # (B, S) or (1, S)
    inputs_embeds: np.ndarray | None  # (B, S, H)
    additive_mask: np.ndarray | None  # (B, 1, 1, S) or (B, 1, S, S); None where nothing is masked


def check_inputs(
    config: BertConfig,
    dtype: np.dtype,
    input_ids: Any,
    attention_mask: Any,
    token_type_ids: Any,
    position_ids: Any,
    inputs_embeds: Any,
) -> Inputs:
    """Check the inputs of `BertModel.forward` and fill in the defaults.

    Raises
    ------
    TypeError, ValueError
        One line that names the input, what it holds, and what is wanted.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("give exactly one of input_ids and inputs_embeds")
    if inputs_embeds is None:
        input_ids = as_ids("input_ids", input_ids, config.vocab_size, "vocab_size")
        shape = input_ids.shape
        if len(shape) != 2:
            hint = '; add a batch axis: input_ids[np.newaxis], or return_tensors="np" in the tokenizer'
            hint = hint if len(shape) == 1 else ""
            raise ValueError(f"input_ids has shape {shape}, expected (batch, sequence){hint}")
    else:
        inputs_embeds = as_array("inputs_embeds", inputs_embeds).astype(dtype, copy=False)
        shape = inputs_embeds.shape[:-1]
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[-1] != config.hidden_size:
            raise ValueError(
                f"inputs_embeds has shape {inputs_embeds.shape}, expected (batch, sequence, {config.hidden_size})"
            )
    if 0 in shape:
        raise ValueError(f"the batch is empty: shape {shape}; give at least one sequence of one token")
    longest = config.max_position_embeddings
    if shape[1] > longest:
        raise ValueError(
            f"sequence length {shape[1]} exceeds max_position_embeddings {longest}; truncate with max_length={longest}"
        )

    if token_type_ids is None:
        token_type_ids = np.zeros(shape, np.int64)
    token_type_ids = as_ids("token_type_ids", token_type_ids, config.type_vocab_size, "type_vocab_size")
    if token_type_ids.shape != shape:
        raise ValueError(f"token_type_ids has shape {token_type_ids.shape}, the input has {shape}")

    if position_ids is None:
        position_ids = np.arange(shape[1])
    position_ids = np.atleast_2d(as_ids("position_ids", position_ids, longest, "max_position_embeddings"))
    if position_ids.shape not in (shape, (1, shape[1])):
        raise ValueError(f"position_ids has shape {position_ids.shape}, the input has {shape}")

    return Inputs(input_ids, token_type_ids, position_ids, inputs_embeds, additive_mask(attention_mask, shape, dtype))


def as_array(name: str, values: Any) -> np.ndarray:
    """`values` as an array; nested lists of unequal lengths are refused with the remedy."""
    if isinstance(values, Mapping):
        raise TypeError(f"{name} is a {type(values).__name__}; unpack it: model(**batch)")
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is ragged or holds no numbers; pad the batch with padding=True")
    return array


def as_ids(name: str, values: Any, size: int, size_name: str, ignore: int | None = None) -> np.ndarray:
    """`values` as an integer array of ids from 0 to `size` - 1 (or `ignore`); the first one outside is named."""
    ids = as_array(name, values)
    if ids.size == 0:  # an empty list is an array of floats
        ids = ids.astype(np.int64)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {ids.dtype}")
    outside = (ids < 0) | (ids >= size)
    if ignore is not None:
        outside &= ids != ignore
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        also = "" if ignore is None else f" or be {ignore}"
        raise ValueError(
            f"{name}{list(where)} is {ids[where]}; ids must lie between 0 and {size - 1} ({size_name} {size}){also}"
        )
    return ids.astype(np.int64)  # a copy: the caller may fill his array anew before backward


def additive_mask(attention_mask: Any, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray | None:
    """Turn a mask of ones and zeros into one that is added to the scores.

    Parameters
    ----------
    attention_mask : array of shape (B, S) for the keys, or (B, S, S) for the keys of each query; or None
        1 or True where a query may look, 0 or False where it may not.
    shape : (B, S)
    dtype : of the model

    Returns
    -------
    ndarray that broadcasts to (B, A, S, S), or None
        0 or the lowest number of `dtype`.  A score plus that number is that number, so a row that is masked
        throughout attends evenly, as in the reference library.

    Warns
    -----
    UserWarning
        If a sequence is padding throughout: its outputs are finite but mean nothing.
    """
    if attention_mask is None:
        return None
    mask = as_array("attention_mask", attention_mask)
    B, S = shape
    if mask.shape not in ((B, S), (B, S, S)):
        raise ValueError(f"attention_mask has shape {mask.shape}, expected {(B, S)} or {(B, S, S)}")
    hidden = mask == 0
    if not (hidden | (mask == 1)).all():
        raise ValueError("attention_mask must hold only 1 (a token) and 0 (padding); it is not added to the scores")
    if not hidden.any():
        return None
    empty = np.flatnonzero(hidden.reshape(B, -1).all(axis=-1))
    if empty.size:
        warnings.warn(
            f"sequence {empty[0]} of the batch is all padding (attention_mask 0 throughout): its outputs mean "
            "nothing; drop it from the batch",
            stacklevel=5,
        )
    return hidden.reshape(B, 1, -1, S).astype(dtype) * np.finfo(dtype).min  # (B, 1, 1 or S, S)
