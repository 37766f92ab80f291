"""Mistakes that ports of BERT really make, each as a change of steps, so that it can be computed and recognized.

A divergence says of every step what becomes of it, or that it is not concerned.  The diagnosis (`diagnosis.py`) applies
one to the steps behind a tap that differs and looks whether the port's numbers come out.

Here: those of the forward pass; attention and heads have lists of their own (`attention_divergences.py`,
`head_divergences.py`).  Not here: those that show in gradients alone (`backward_divergences.py`), what a divergence is
(`changes.py`).  Two kinds of mistakes are no change of a step, since they contain chance: dropout that was left on, and
weights that were never loaded.  They are recognized by their traces, in `diagnosis.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..configuration import BertConfig
from .attention_divergences import attention_divergences
from .changes import Change, Divergence, altered, at, at_activation, is_residual, on, without
from .head_divergences import head_divergences
from .precision import ROUNDINGS
from .steps import Step, last_tap

EPSILONS = (1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)


def forward_divergences(config: BertConfig) -> list[Divergence]:
    """The mistakes that show in a forward pass, the likely ones first.

    Parameters
    ----------
    config : BertConfig
        Of the model that was ported: what it does itself is no mistake.

    Examples
    --------
    >>> found = forward_divergences(BertConfig())
    >>> len(found) > 60, found[0].name
    (True, 'activation gelu_new instead of gelu')
    """
    return [
        *_activations(config),
        *_norms(config),
        *attention_divergences(config),
        *_embeddings(config),
        *_parameters(),
        *_blocks(config),
        *_layers(config),
        *head_divergences(config),
    ]


def _activations(config: BertConfig) -> Iterator[Divergence]:
    right = config.hidden_act
    same = {"gelu_pytorch_tanh": "gelu_new"}
    for act in ("gelu_new", "gelu", "relu", "tanh", "quick_gelu", "silu"):
        if act != same.get(right, right):
            yield Divergence(
                f"activation {act} instead of {right}",
                f"change the activation to {right}" + (" (the form with erf)" if right == "gelu" else ""),
                at_activation(act=act),
            )
    yield Divergence("activation missing", f"apply {right} after the dense layer", at_activation(act="identity"))


def _norms(config: BertConfig) -> Iterator[Divergence]:
    right = config.layer_norm_eps
    inside = f"set epsilon to {right:g} and add it to the variance, inside the root"
    for eps in EPSILONS:
        if eps != right:
            yield Divergence(f"LayerNorm epsilon {eps:g}", f"set epsilon to {right:g}", on("layer_norm", eps=eps))
    yield Divergence(
        "LayerNorm variance divides by n-1", "divide the sum of squares by n (ddof=0)", on("layer_norm", ddof=1)
    )
    for eps in dict.fromkeys((right, *EPSILONS)):
        outside = f"LayerNorm epsilon {eps:g} outside the root"
        yield Divergence(outside, inside, on("layer_norm", eps=eps, outside=True))
        unbiased = on("layer_norm", eps=eps, outside=True, ddof=1)
        yield Divergence(f"{outside}, and a variance that divides by n-1", f"{inside}; divide by n", unbiased)
    yield Divergence(
        "RMSNorm instead of LayerNorm",
        "subtract the mean, of the numerator and in the variance",
        on("layer_norm", uncentred=True),
    )
    yield Divergence(
        "LayerNorm added to its input",
        "the result of LayerNorm takes the place of its input: y = LN(x), not x + LN(x)",
        on("layer_norm", added=True),
    )
    yield Divergence(
        "LayerNorm missing",
        "normalize the sum",
        lambda step: step._replace(operation="identity", parameters=()) if step.operation == "layer_norm" else None,
    )


def _embeddings(config: BertConfig) -> Iterator[Divergence]:
    def ids(change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Change:
        return lambda step: step.set(ids=change)

    segments, positions = "embeddings.token_type_embeddings", "embeddings.position_embeddings"
    yield Divergence(
        "token types all 0",
        "pass token_type_ids on: 1 for the second text",
        at(segments, ids(lambda ids, table: np.zeros_like(ids))),
    )
    for shift in (1, -1, 2):
        yield Divergence(
            f"positions shifted by {shift:+d}",
            "the first position is 0",
            at(positions, ids(partial(_shifted, shift))),
        )
    for name, form in (("", _sinusoids), (", sines before cosines", _sinusoids_in_halves)):
        yield Divergence(
            f"sinusoidal positions{name}",
            "BERT's positions are learnt: look them up in position_embeddings.weight",
            at(positions, altered("embedding", form, ".weight")),
        )
    times, factor = "word embeddings times the root of hidden_size", math.sqrt(config.hidden_size)
    unscaled = "add the rows of word_embeddings.weight as they are"
    words = "embeddings.word_embeddings"
    yield Divergence(times, unscaled, at(words, altered("embedding", partial(np.multiply, factor), ".weight")))
    yield Divergence(f"{times}, in the sum", unscaled, at("embeddings.add", lambda step: step.set(first_times=factor)))
    for tap in (positions, segments):
        yield Divergence(
            f"{tap.removeprefix('embeddings.')} not added",
            "sum words, positions and segments",
            at("embeddings.add", without(tap)),
        )


def _shifted(shift: int, ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    return np.clip(ids + shift, 0, len(table) - 1)


def _sinusoids(table: np.ndarray) -> np.ndarray:
    """sin and cos of p / 10000^(2i/H), in turn, as in the Transformer paper (section 3.5)."""
    angles = _angles(table)
    waves = np.empty_like(table)
    waves[:, 0::2] = np.sin(angles)
    waves[:, 1::2] = np.cos(angles)[:, : table.shape[1] // 2]
    return waves


def _sinusoids_in_halves(table: np.ndarray) -> np.ndarray:
    angles = _angles(table)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, : table.shape[1]].astype(table.dtype)


def _angles(table: np.ndarray) -> np.ndarray:
    positions, H = np.arange(len(table))[:, None], table.shape[1]
    return positions / 10000 ** (np.arange(0, H, 2) / H)


def _parameters() -> Iterator[Divergence]:
    yield Divergence("bias missing", "add the bias", altered("linear", np.zeros_like, "bias"))
    yield Divergence(
        "weight transposed",
        "weights are stored (out, in): y = x @ weight.T + bias",
        altered("linear", _transposed, "weight"),
    )
    loaded = "load LayerNorm.gamma and LayerNorm.beta, which newer files call weight and bias"
    yield Divergence("LayerNorm gain and bias not loaded", loaded, _unloaded)
    yield Divergence("LayerNorm gain not loaded", loaded, altered("layer_norm", np.ones_like, "weight"))
    yield Divergence("LayerNorm bias not loaded", loaded, altered("layer_norm", np.zeros_like, "bias"))
    for dtype in ("float16", "bfloat16"):
        yield Divergence(
            f"weights rounded to {dtype}",
            "load the weights in float32",
            _everywhere(ROUNDINGS[dtype]),
        )


def _everywhere(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda step: step.alter(change, "weight", "bias")


def _transposed(weight: np.ndarray) -> np.ndarray:
    """A square matrix on its side; no port could multiply by another."""
    return weight.T if weight.shape[0] == weight.shape[1] else weight


def _unloaded(step: Step) -> Step | None:
    if step.operation != "layer_norm":
        return None
    weight, bias = step.parameters
    return step._replace(altered={weight: np.ones_like, bias: np.zeros_like})


def _blocks(config: BertConfig) -> Iterator[Divergence]:
    yield Divergence(
        "norm before the block (pre-LN)",
        "BERT normalizes after the residual was added: LN(x + block(x)), not x + block(LN(x))",
        lambda step: _pre_norm(step, config),
    )
    yield Divergence(
        "residual added after LayerNorm",
        "add the residual, then normalize the sum: LN(x + dense), not x + LN(dense)",
        _residual_after_norm,
    )

    yield Divergence(
        "the two norms of a layer exchanged",
        "attention.output.LayerNorm follows the attention, output.LayerNorm the feed-forward network",
        _other_norm,
    )
    yield Divergence(
        "residual missing",
        "add the input of the block before its LayerNorm",
        lambda step: step._replace(inputs=step.inputs[:1]) if is_residual(step) else None,
    )
    yield Divergence(
        "residual of the layer's input around the feed-forward network",
        "the second residual is the output of the attention block",
        lambda step: _far_residual(step) if is_residual(step) else None,
    )


def _other_norm(step: Step) -> Step | None:
    """The norm of one half of a layer with the parameters of the other."""
    if step.operation != "layer_norm" or not step.unit.startswith("encoder"):
        return None
    own, other = ("attention.output", "output") if ".attention." in step.tap else ("output", "attention.output")
    path, others = f"{step.unit}.{own}.LayerNorm", f"{step.unit}.{other}.LayerNorm"
    return step._replace(parameters=tuple(name.replace(path, others) for name in step.parameters))


def _pre_norm(step: Step, config: BertConfig) -> Step | None:
    """A layer whose two norms stand in front: their parameters go to the layers that read."""
    attention, output = f"{step.unit}.attention.output", f"{step.unit}.output"
    if step.operation == "layer_norm" and step.tap in (attention, output):
        return step._replace(operation="identity", parameters=())
    for path, readers in ((attention, (".self.query", ".self.key", ".self.value")), (output, (".intermediate.dense",))):
        if step.tap.startswith("encoder") and step.tap.endswith(readers):
            norm = (f"{path}.LayerNorm.weight", f"{path}.LayerNorm.bias")
            return step._replace(parameters=(*step.parameters, *norm)).set(eps=config.layer_norm_eps)
    return None


def _residual_after_norm(step: Step) -> Step | None:
    """The norm of an output reads the dense layer alone, and the residual is added to it."""
    if step.operation != "layer_norm" or not step.unit.startswith("encoder"):
        return None
    residual = f"{step.unit}.attention.output" if not step.tap.endswith("attention.output") else _input_of(step.unit)
    return step._replace(inputs=(f"{step.tap}.dropout", residual))


def _far_residual(step: Step) -> Step | None:
    dense, _ = step.inputs
    return None if ".attention." in step.tap else step._replace(inputs=(dense, _input_of(step.unit)))


def _input_of(unit: str) -> str:
    """The tap that a layer reads."""
    i = int(unit.rpartition(".")[2])
    return f"encoder.layer.{i - 1}.output" if i else "embeddings"


def _layers(config: BertConfig) -> Iterator[Divergence]:
    L = config.num_hidden_layers
    for j in range(L):
        yield Divergence(
            f"weights of layer {j}",
            "read all digits of the layer's number in the names of the weights",
            partial(_weights_of, j),
        )
    for j in range(1, L):
        source = f"encoder.layer.{j - 1}.output"
        yield Divergence(
            f"encoder ends after {j} of {L} layers",
            f"run all {L} layers; read all digits of num_hidden_layers",
            at(last_tap(config), partial(_copy_of, source)),
        )


def _copy_of(source: str, step: Step) -> Step:
    return Step(step.tap, "identity", (source,))


def _weights_of(j: int, step: Step) -> Step | None:
    other = f"encoder.layer.{j}"
    if not step.unit.startswith("encoder") or not step.parameters or step.unit == other:
        return None
    return step._replace(parameters=tuple(name.replace(step.unit, other, 1) for name in step.parameters))
