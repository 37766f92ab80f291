"""Mistakes that show in gradients alone: the forward pass is right, and its derivative is not.

Here: the list.  Not here: those of the forward pass (`divergences.py`), what a divergence is (`changes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..configuration import BertConfig
from .changes import Change, Divergence, at_activation, is_residual, on
from .steps import Step


def backward_divergences(config: BertConfig) -> list[Divergence]:
    """The mistakes that show in gradients alone.

    Examples
    --------
    >>> [divergence.name for divergence in backward_divergences(BertConfig())][:2]
    ["LayerNorm's gain outside of its backward", 'gradient assigned instead of added at repeated ids']
    """
    found = [
        Divergence(
            "LayerNorm's gain outside of its backward",
            "multiply dy by the gain before the two means are taken, not after",
            on("layer_norm", gain_outside=True),
        ),
        Divergence(
            "gradient assigned instead of added at repeated ids",
            "add the gradients of all places where an id stands: dweight[ids] += dy keeps the last one only",
            on("embedding", assigned=True),
        ),
        Divergence(
            "gradient for the row of padding",
            "the embedding of the padding token receives no gradient (padding_idx)",
            lambda step: step.set(padding_idx=None) if step.settings.get("padding_idx") is not None else None,
        ),
    ]
    for act in ("gelu", "gelu_new", "relu"):
        if act != config.hidden_act:
            found.append(
                Divergence(
                    f"gradient of {act} behind a forward of {config.hidden_act}",
                    f"differentiate {config.hidden_act}",
                    at_activation(gradient=act),
                )
            )
    for batch, what in (("first", "of the first sequence only"), ("last", "of the last sequence only")):
        found.append(
            Divergence(
                f"gradients of weights {what}",
                "sum the gradients of weight and bias over the batch",
                on("linear", batch=batch),
            )
        )
    found.append(
        Divergence(
            "gradients of weights averaged over the batch",
            "sum the gradients of weight and bias over the batch: the mean is already in the loss",
            on("linear", batch="mean"),
        )
    )
    return [*found, *_lost_gradients(), *_slopes()]


def _lost_gradients() -> Iterator[Divergence]:
    """One of several ways back is missing."""
    branches = "a sum hands its gradient to both: to the block and to the residual"
    block, residual = 0, 1
    yield Divergence("no gradient through the residual", branches, _cut(residual))
    yield Divergence("no gradient through the block before the residual", branches, _cut(block))
    words = "embeddings.word_embeddings"
    both = "the matrix is used twice: add the gradient of the decoder to that of the look-up"
    yield Divergence("tied matrix without the gradient of the decoder", both, _uncounted("linear", words))
    yield Divergence("tied matrix without the gradient of the look-up", both, _uncounted("embedding", words))


def _cut(branch: int) -> Change:
    """One input of the sum with the residual receives no gradient."""
    return lambda step: step.set(dropped=branch) if is_residual(step) else None


def _uncounted(operation: str, path: str) -> Change:
    """What steps of one operation give to the gradient of a weight is left out."""

    def change(step: Step) -> Step | None:
        return step.set(dropped=True) if step.operation == operation and f"{path}.weight" in step.parameters else None

    return change


def _slopes() -> Iterator[Divergence]:
    """A derivative with a term missing."""
    for constant, what in (("both", "mean and variance"), ("variance", "the variance"), ("mean", "the mean")):
        yield Divergence(
            f"LayerNorm's backward takes {what} for constant",
            "dx = (dŷ - mean(dŷ) - x̂ mean(dŷ x̂)) / σ, with dŷ = γ dy",
            on("layer_norm", constant=constant),
        )
    row = "a row of softmax depends on all its scores: dx = p (dp - Σ dp p)"
    yield Divergence("softmax's backward without the sum", row, on("probs", gradient="elementwise"))
    yield Divergence("softmax's backward has its diagonal alone", row, on("probs", gradient="diagonal"))
    yield Divergence(
        "backward of the scores not scaled",
        "the gradients of query and key have the factor 1/√D too",
        on("scores", gradient_scale=1.0),
    )
    yield Divergence(
        "gradient of the logits not divided by the number of labels",
        "the loss is a mean: dlogits = (softmax - onehot) / count",
        on("cross_entropy", gradient_summed=True),
    )
