"""Pieces of which the inputs of exercises are made.  Nothing here is easy on a wrong answer: no gain is 1, no bias 0.

Here: modules with random weights, masks.  Read next: `catalogue/`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..configuration import BertConfig
from ..nn.module import Module


def small_config(**changes: Any) -> BertConfig:
    """A BERT whose sizes are all different: V 29, H 12, A 3, I 17, L 2; no dropout."""
    sizes: dict[str, Any] = {
        "vocab_size": 29,
        "hidden_size": 12,
        "num_attention_heads": 3,
        "intermediate_size": 17,
        "num_hidden_layers": 2,
        "max_position_embeddings": 11,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**{**sizes, **changes})


def randomized(module: Module, rng: np.random.Generator) -> Any:
    """Give every parameter of a module random values, and the module back, in float64 and eval mode."""
    module = module.astype(np.float64).eval()
    for name, parameter in module.named_parameters():
        values = rng.standard_normal(parameter.shape)
        if parameter.data.ndim == 2:
            values *= 1 / np.sqrt(parameter.shape[1])
        else:
            values = 0.3 * values + name.endswith("LayerNorm.weight")
        parameter.data[...] = values
    return module


def generator(rng: np.random.Generator) -> np.random.Generator:
    """A generator for dropout, whose seed is drawn."""
    return np.random.default_rng(int(rng.integers(99)))


def additive_mask(lengths: tuple[int, ...], S: int) -> np.ndarray:
    """A mask (B, 1, 1, S) to be added to scores: 0 at the first tokens of each sequence, -1e9 at its padding."""
    padding = np.arange(S) >= np.array(lengths)[:, None]
    return np.where(padding, -1e9, 0.0)[:, None, None, :]
