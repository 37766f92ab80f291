"""Mistakes behind the encoder: what pooler and heads read, and the losses.

Here: the list.  Not here: what a divergence is (`changes.py`), the mistakes in the rest of BERT (`divergences.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..configuration import BertConfig
from .changes import Change, Divergence, at, on, without
from .steps import Step, last_tap

LOSS_WITHOUT = "loss without that of"


def head_divergences(config: BertConfig) -> Iterator[Divergence]:
    """The mistakes from the last hidden state on."""
    yield from _pooler()
    L = config.num_hidden_layers
    if L > 1:
        yield Divergence(
            "head fed with the last hidden state but one",
            f"heads and pooler read the output of layer {L - 1}, the last one",
            lambda step: _early(step, last_tap(config), f"encoder.layer.{L - 2}.output"),
        )
    yield from _losses()


def _early(step: Step, last: str, before: str) -> Step | None:
    """A step outside of the encoder that reads the hidden state before the last."""
    if last not in step.inputs or step.unit.startswith("encoder"):
        return None
    return step._replace(inputs=tuple(before if name == last else name for name in step.inputs))


def _pooler() -> Iterator[Divergence]:
    for index, which in (
        (1, "the second token"),
        ("last", "the last token"),
        ("mean", "the mean of all tokens"),
        ("very last", "the last position, padding or not"),
        ("mean of all", "the mean of all positions, padding too"),
    ):
        yield Divergence(f"pooler of {which}", "pool the first token, [CLS]", on("token", index=index))
    yield Divergence(
        "pooler without tanh",
        "pooler_output is tanh(W h + b)",
        lambda step: step.set(act="identity") if step.tap == "pooler" else None,
    )


def _losses() -> Iterator[Divergence]:
    def words(step: Step) -> bool:
        return step.operation == "cross_entropy" and "input_ids" in step.inputs

    def labelled(**settings: object) -> Change:
        return lambda step: step.set(**settings) if words(step) else None

    for tap, of in (
        ("mlm", "the masked words"),
        ("nsp", "the next sentence"),
        ("start", "the starts"),
        ("end", "the ends"),
    ):
        yield Divergence(f"{LOSS_WITHOUT} {of}", "the loss is the sum of both", at("loss", without(f"loss.{tap}")))
    only = "only positions with a label count: ignore_index=-100, and the mean over these"
    yield Divergence(
        "softmax before the loss",
        "cross-entropy takes the logits: it has a softmax of its own",
        on("cross_entropy", softmax_before=True),
    )
    yield Divergence(
        "loss summed over the labels",
        "divide by the number of labels that are not -100",
        on("cross_entropy", unlabelled="summed"),
    )
    yield Divergence(
        "loss with ignore_index 0",
        "0 is a label like any other (in NSP: the next sentence); ignore -100",
        on("cross_entropy", ignore_index=0),
    )
    yield Divergence("MLM loss over all positions", only, labelled(unlabelled="own"))
    yield Divergence("MLM loss over all positions, unlabelled ones as id 0", only, labelled(unlabelled="zero"))
    yield Divergence("MLM loss divided by the number of all positions", only, labelled(unlabelled="divided"))
    yield Divergence(
        "mean-reduced MLM loss times the mask",
        "multiply the loss of each position (reduction='none') by the mask, and divide by the sum of the mask",
        labelled(unlabelled="masked mean"),
    )
