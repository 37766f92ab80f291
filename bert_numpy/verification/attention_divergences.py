"""Mistakes in the attention of a port: its masks, its scale, its heads.

Here: the list.  Not here: what a divergence is (`changes.py`), the mistakes in the rest of BERT (`divergences.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..configuration import BertConfig
from .changes import Change, Divergence, on
from .steps import Step

MASK_IGNORED, MASK_ON_QUERIES = "mask ignored", "mask on the queries"
CAUSAL = "causal mask: later tokens are hidden"


def attention_divergences(config: BertConfig) -> Iterator[Divergence]:
    """The mistakes between query, key and value, and the context."""
    H, A = config.hidden_size, config.num_attention_heads
    D = H // A
    yield Divergence(MASK_IGNORED, "hide the padding: add the mask to the scores before softmax", _mask("none"))
    yield Divergence("mask multiplied after softmax", "add the mask to the scores, before softmax", _multiplied)
    for value in (-10000.0, -1e9):
        yield Divergence(
            f"mask of {value:g} added after softmax", "add the mask to the scores, before softmax", _mask_after(value)
        )
    yield Divergence(MASK_ON_QUERIES, "hide keys: the mask has the shape (B, 1, 1, S)", _mask("queries"))
    for places, what in ((1, "long: it lets one token of padding be seen"), (-1, "short: it hides the last token")):
        yield Divergence(f"mask one token too {what}", "attention_mask is 1 at the tokens", on("probs", longer=places))
    yield Divergence(
        CAUSAL,
        "BERT looks to both sides: hide padding, and nothing else",
        on("probs", causal=True),
    )
    root, whole = f"divide the scores by the root of the head size {D}", f"divide by the root of {D}, not by {D}"
    yield Divergence("scores not scaled", root, on("scores", scale=1.0))
    yield Divergence("scores divided by the head size", whole, on("scores", scale=1 / D))
    if A > 1:
        yield Divergence("scores divided by the root of hidden_size", root, on("scores", scale=1 / math.sqrt(H)))
        yield Divergence(
            "heads interleaved", f"head a has the block of {D} that begins at {D}·a", _split("interleaved")
        )
        yield Divergence(
            "heads reshaped without moving the axis",
            "reshape to (B, S, A, D), then transpose to (B, A, S, D)",
            _split("reshaped"),
        )
        for split, what in (("interleaved", "interleaved"), ("reshaped", "reshaped without moving the axis")):
            yield Divergence(
                f"heads {what}, on their way in only",
                "reshape to (B, S, A, D), then transpose to (B, A, S, D)",
                _split(split, merge="blocks"),
            )
        yield Divergence(
            "heads merged without moving the axis",
            "transpose the context to (B, S, A, D) before it is reshaped to (B, S, H)",
            on("context", merge="reshaped"),
        )
        for scale, how in ((1 / math.sqrt(H), ""), (1 / math.sqrt(D), ", scaled as for many")):
            yield Divergence(f"one head instead of {A}{how}", f"split H into {A} heads", _one_head(scale))
    yield Divergence("softmax over the queries", "softmax runs over the keys, the last axis", on("probs", axis=-2))
    yield Divergence(
        "query and key exchanged",
        "scores = query @ keyᵀ: rows are queries",
        lambda step: step._replace(inputs=step.inputs[::-1]) if step.operation == "scores" else None,
    )


def _mask(how: str) -> Change:
    return on("probs", mask=how)


_multiplied = _mask("multiplied after")


def _mask_after(value: float) -> Change:
    return on("probs", mask="added after", hidden_value=value)


def _split(how: str, **merge: str) -> Change:
    def change(step: Step) -> Step | None:
        if step.operation == "context":
            return step.set(split=how, **merge)
        return step.set(split=how) if step.operation == "scores" else None

    return change


def _one_head(scale: float) -> Change:
    def change(step: Step) -> Step | None:
        if step.operation == "scores":
            return step.set(heads=1, scale=scale)
        return step.set(heads=1) if step.operation == "context" else None

    return change
