"""How far a tensor is from the truth, in units of what rounding does to it.

The same steps run in float64, and again with rounding as the port has it.  One such run is one sample of the noise.
Where a tensor has few numbers, a sample may be near 0 by chance; so some more runs are made, in which all that is
given and all results are up to `JITTER` roundings away.

Gradients have two more sources of noise.  Attention in one fused kernel (torch's scaled_dot_product_attention) keeps
no probabilities; backward computes them again, from scores that are rounded otherwise than those of forward.  A dump
without scores and probabilities may come from there.  And where a model is certain of a label, the gradient p - 1 of
its logit is no more than the rounding of p, which comes out otherwise for each way to compute a softmax.

Here: the runs and the units.  Not here: what is measured (`comparison.py`), the roundings (`precision.py`).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import numpy as np

from .evaluation import GRADIENT, Graph, Run
from .loss_operations import WITH_SOFTMAX
from .precision import EPSILONS, ROUNDINGS
from .reference import Reference
from .steps import Step

FEW_NUMBERS, MORE_NOISE = 4096, 7
"""Of so few numbers the noise is measured by so many more runs."""

JITTER = 1.5
"""Half more than one rounding: what a product x w is off by, if both are, and the large weights are not moved."""

CERTAIN = 0.05
"""Where 1 - p is below this at every label, rounding of p counts."""


class Measured(NamedTuple):
    """One difference, in several units."""

    difference: float  # max|d|
    ratio: float  # max|d| / RMS
    noise: float  # the noise floor / RMS
    times: float  # RMS of d, in units of the noise floor
    cosine: float
    worst: tuple[int, ...]


class Runs(NamedTuple):
    """The same steps in float64, in the precision of the port, and some more times with rounding errors.

    In `again` the probabilities are those that the backward of another program may compute anew; for gradients.
    `fused`: whether its attention may do so.
    """

    truth: Run
    rough: list[Run]
    again: Run
    fused: bool


class Values(NamedTuple):
    """One tensor of `Runs`."""

    truth: Any
    rough: list[Any]
    terms: float = 0.0  # RMS of what is summed up to it, without the signs; 0 where that is not looked at


def make_runs(
    reference: Reference,
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    precision: str,
    shown: Container[str] = (),
) -> Runs:
    """Runs of one batch; nothing is computed before it is asked for.

    `shown` are the taps that the port has as tensors: attention that is shown was not fused.
    """
    rounding, dtype = ROUNDINGS.get(precision), np.float64 if precision == "float64" else np.float32
    truth = Run(graph, reference.float64, inputs, given)
    rough = [Run(graph, reference.parameters, inputs, given, np.float32, rounding)]
    for seed in range(MORE_NOISE):
        jitter = _Jitter(np.random.default_rng(seed), EPSILONS[precision])
        rough.append(Run(graph, reference.parameters, inputs, given, dtype, rounding, jitter, FEW_NUMBERS))
    epsilon = EPSILONS["float32"]
    fused = {step.tap for step in graph.steps.values() if _may_be_fused(step, shown)}
    again = [
        step.set(recomputed=epsilon) if step.tap in fused or step.operation in WITH_SOFTMAX else step
        for step in graph.steps.values()
    ]
    return Runs(truth, rough, Run(again, reference.parameters, inputs, given, np.float32, rounding), bool(fused))


def _may_be_fused(step: Step, shown: Container[str]) -> bool:
    attention = step.tap.removesuffix("probs")
    return step.operation == "probs" and not any(
        f"{attention}{name}" in shown for name in ("scores", "probs", "dropout")
    )


def is_certain(run: Run) -> bool:
    """Whether a run is nearly certain of all labels of one of its losses."""
    for step in run.steps.values():
        if step.operation in WITH_SOFTMAX and run.has(step.tap):
            gradient = np.atleast_2d(run.value(GRADIENT + step.inputs[0]))  # (p - 1 at the label) / count
            count = (gradient != 0).any(axis=-1).sum()
            if np.abs(gradient).max() * count < CERTAIN:
                return True
    return False


def factor(rough: np.ndarray, precision: str) -> float:
    """By what the noise of a float32 run is to be multiplied, if the port computes in float64."""
    finer = precision == "float64" and rough.dtype != np.float64
    return EPSILONS["float64"] / EPSILONS["float32"] if finer else 1.0


class _Jitter:
    """Moves every number by up to `JITTER` roundings."""

    def __init__(self, rng: np.random.Generator, epsilon: float) -> None:
        self.rng = rng
        self.epsilon = epsilon

    def __call__(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind != "f":
            return array
        return (array * (1 + JITTER * self.epsilon * self.rng.uniform(-1, 1, array.shape))).astype(array.dtype)


def rms_of_all(x: np.ndarray) -> float:
    """Root mean square of all entries.

    >>> rms_of_all(np.array([3.0, -3.0, 0.0, 0.0])).__round__(6)
    2.12132
    """
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if np.size(x) else 0.0


def quotient(a: float, b: float) -> float:
    """a / b, where nothing divided by nothing is nothing.

    >>> quotient(0.0, 0.0), quotient(1.0, 0.0)
    (0.0, inf)
    """
    return a / b if b else (0.0 if a == 0 else math.inf)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    """1 - cos of the angle between two arrays; NaN if one is 0.

    >>> cosine_distance(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    1.0
    """
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, 1.0 - float(a @ b) / lengths) if lengths else math.nan
