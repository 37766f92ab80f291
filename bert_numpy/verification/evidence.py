"""What there is to say of a port's tensors before anything is judged: what they should be, and how far off they are.

A tensor is computed by the reference from the inputs on, or alone: its one step fed with the port's own tensors; and in
either way with some steps changed, as they would be if the port had made a known mistake.

Here: one case of a dump beside the reference, and measures.  Not here: verdicts (`comparison.py`), the search for a
mistake (`diagnosis.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import rms
from .dumps import Case
from .evaluation import GRADIENT, Graph, Run, complete_inputs
from .noise import (
    FEW_NUMBERS,
    Measured,
    Runs,
    Values,
    cosine_distance,
    factor,
    is_certain,
    make_runs,
    quotient,
    rms_of_all,
)
from .precision import EPSILONS
from .reference import Reference
from .shapes import kept_positions, positions_kind
from .steps import Step

VANISHING = 1e-9
"""A gradient that is smaller than all gradients together by such a factor is truly 0, as that of a key bias."""

GLOBAL, PER_TENSOR, NOT_CLIPPED = "global", "per tensor", "none"
"""How the gradients of parameters may have been clipped, where the dump says that they were."""

POSITIONS = "embeddings.position_embeddings"

FEW_GRADIENTS = 3
"""Of fewer gradients a factor in common says nothing of the others."""

BEYOND = Measured(math.inf, math.inf, math.nan, math.inf, math.nan, ())
"""Of a tensor that is of another shape, or too far off for more than that."""


class Evidence:
    """One case of a dump, and what the reference computes from its inputs or from its tensors.

    Attributes
    ----------
    given : dict of str to array
        The port's tensors that can be compared.
    broken : dict of str to array
        Those that are not finite where it counts.
    upstream : dict of str to array
        Gradients of outputs with which backward begins, where there is no loss.
    whole : Runs
        The reference from the inputs on.
    changes : dict of str to Step
        Steps as the port has them, by what was found so far.
    clipping : str
        How its gradients were clipped, likewise.
    """

    def __init__(self, reference: Reference, case: Case, precision: str, threshold: float) -> None:
        self.reference = reference
        self.case = case
        self.precision = precision
        self.threshold = threshold
        self.inputs = complete_inputs(case.inputs)
        if self._looks_up_positions_for_each_sequence():
            shape = self.inputs["input_ids"].shape
            self.inputs["position_ids"] = np.broadcast_to(self.inputs["position_ids"], shape)
        self.real = self.inputs["attention_mask"] != 0
        self.given: dict[str, np.ndarray] = {}
        self.broken: dict[str, np.ndarray] = {}
        self.changes: dict[str, Step] = {}
        self.clipping = GLOBAL
        self._graph = Graph(reference.steps)
        self.upstream = self._where_backward_begins()
        self.whole = self.runs({}, self.upstream)
        self._alone: Runs | None = None
        self._norm: float | None = None
        self._of_gradients: float | None = None

    def _looks_up_positions_for_each_sequence(self) -> bool:
        """Whether the port has one row of positions for each sequence, where the reference has one for all."""
        shape = (*self.inputs["input_ids"].shape, self.reference.model.config.hidden_size)
        rows = (self.case.tensors[name] for name in (POSITIONS, GRADIENT + POSITIONS) if name in self.case.tensors)
        return np.size(next(rows, ())) == math.prod(shape)

    def _where_backward_begins(self) -> dict[str, np.ndarray]:
        """Without a loss: the gradients of the outputs in the dump."""
        if self.runs({}, {}).truth.has("loss"):
            return {}
        outputs = {step.tap for step in self.reference.steps if step.unit not in ("embeddings",)}
        read = {source for step in self.reference.steps if not step.tap.startswith("loss") for source in step.inputs}
        ends = {tap for tap in outputs if tap not in read or tap in (self.reference.last_tap, "pooler")}
        names = (f"{GRADIENT}{tap}" for tap in ends)
        return {name: self.case.tensors[name] for name in names if name in self.case.tensors}

    def adopt(self, changes: Mapping[str, Step]) -> None:
        """Go on as if the reference had these steps."""
        self.changes.update(changes)
        self._alone = None

    def runs(self, changes: Mapping[str, Step], given: Mapping[str, np.ndarray]) -> Runs:
        """The steps, some of them changed, in float64, and with rounding."""
        graph = self.graph_with(changes)
        return make_runs(self.reference, graph, self.inputs, given, self.precision, self.case.tensors)

    def graph_with(self, changes: Mapping[str, Step]) -> Graph:
        return Graph(changes.get(step.tap, step) for step in self.reference.steps) if changes else self._graph

    def _runs_alone(self, changes: Mapping[str, Step]) -> Runs:
        """The steps, each fed with the port's tensors; what several taps or changes have in common is computed once."""
        given = {**self.given, **self.upstream}
        if self._alone is None:
            self._alone = self.runs(self.changes, given)
        if changes is self.changes:
            return self._alone
        runs = self.runs(changes, given)
        new = [tap for tap, step in changes.items() if self.changes.get(tap) is not step]
        changed = self.graph_with(changes).after(new)
        for run, other in ((runs.truth, self._alone.truth), (runs.rough[0], self._alone.rough[0])):
            run.reuse(other, changed)
        return runs

    def values(self, name: str, runs: Runs) -> Values:
        """The truth of a name, and what rounding makes of it; several times, if it is a few numbers only."""
        truth = self.clipped(name, runs.truth)
        few = np.size(truth) < FEW_NUMBERS
        samples = runs.rough if few else runs.rough[:1]
        if name.startswith(GRADIENT) and (runs.fused or self._is_certain):
            samples = [*samples, runs.again]
        rough = [self.clipped(name, run) for run in samples]
        if truth is None:  # nothing depends on it: its gradient is 0
            truth = np.zeros_like(self.given[name]) if name in self.given else None
            rough = [truth]
        return Values(truth, rough, self._terms(name, runs.truth))

    @cached_property
    def _is_certain(self) -> bool:
        return is_certain(self.whole.truth)

    def _terms(self, name: str, run: Run) -> float:
        """RMS of Σ|dy|, where the gradient of a bias is Σ dy."""
        for step in self.reference.steps:
            if step.operation == "linear" and name.removeprefix(GRADIENT) == step.parameters[1]:
                dy = run.value(GRADIENT + step.tap)
                return 0.0 if dy is None else rms_of_all(np.abs(dy).sum(axis=tuple(range(dy.ndim - 1))))
        return 0.0

    def expected(self, name: str, changes: Mapping[str, Step]) -> Any:
        """What the step computes from the port's tensors, with some steps changed."""
        value = self.clipped(name, self._runs_alone(changes).truth)
        return np.zeros_like(self.given[name]) if value is None else value

    def alone(
        self, name: str, changes: Mapping[str, Step], limit: float = math.inf, actual: np.ndarray | None = None
    ) -> Measured:
        """The tensor (or another in its place) against its own step, fed with the port's tensors; with some changed.

        Where max|d| / RMS is sure to be above a limit, the noise is not looked at: the result is infinite.
        """
        actual = self.given[name] if actual is None else actual
        runs = self._runs_alone(changes)
        computable = name.startswith(GRADIENT) or runs.truth.can_compute(name)
        if not computable:  # a loss that was changed to one without labels
            return BEYOND
        truth = self.clipped(name, runs.truth) if limit < math.inf else None
        if truth is not None and self._is_beyond(limit, name, truth):
            return BEYOND
        values = self.values(name, runs)
        return self.measure(name, actual, values) if np.shape(values.truth) == np.shape(actual) else BEYOND

    def _is_beyond(self, limit: float, name: str, truth: Any) -> bool:
        """Whether max|d| / RMS is above a limit, whatever the noise is."""
        if np.shape(truth) != np.shape(self.given[name]):
            return False
        scale = rms(np.asarray(truth)[self.places(name, np.shape(truth))])
        if name.startswith(GRADIENT):
            scale = max(scale, self._scale_of_gradients())
        return bool(np.abs(self.residual(name, truth)).max(initial=0) > limit * scale)

    def residual(self, name: str, expected: np.ndarray) -> np.ndarray:
        """What the port has minus what is expected, at the places that count."""
        places = self.places(name, np.shape(expected))
        return (np.asarray(self.given[name], np.float64) - expected)[places]

    def holds(self, name: str, other: str) -> bool:
        """Whether a tensor of the port is what another one should be, from the inputs on or by itself."""
        if not self.whole.truth.has(other):
            return False
        actual = self.given[name]
        for runs in (self.whole, self._runs_alone(self.changes)):
            values = self.values(other, runs)
            if np.shape(values.truth) == np.shape(actual) and self._is(other, actual, values):
                return True
        return False

    def factor_of_gradients(self) -> float | None:
        """The number by which all gradients of the port are larger than those of the loss, if there is one."""
        names = [name for name in self.given if name.startswith(GRADIENT)]
        if not self.whole.truth.has("loss") or len(names) < FEW_GRADIENTS:
            return None
        values = {name: self.values(name, self.whole) for name in names}
        product = square = 0.0
        for name, (truth, *_) in values.items():
            counted = np.where(self.places(name, np.shape(truth)), truth, 0)
            product += float(np.vdot(self.given[name], counted))
            square += float(np.vdot(counted, counted))
        factor = product / square if square else 0.0
        if not factor or not all(self._is(name, self.given[name] / factor, values[name]) for name in names):
            return None
        return factor

    def _is(self, name: str, actual: np.ndarray, values: Values) -> bool:
        return self.measure(name, actual, values).times <= self.threshold

    def measure(self, name: str, actual: np.ndarray, values: Values) -> Measured:
        """How far `actual` is from the truth, where it counts."""
        shape = np.shape(values.truth)
        places = self.places(name, shape)

        def counted(array: np.ndarray) -> np.ndarray:
            return np.asarray(array, np.float64)[places]

        truth = counted(values.truth)
        d = np.abs(counted(actual) - truth)
        noise = max(factor(rough, self.precision) * rms_of_all(counted(rough) - truth) for rough in values.rough)
        scale, floor = self._scale_and_floor(name, truth, noise, values.terms)
        difference = float(d.max(initial=0))
        flat = np.flatnonzero(places)[d.argmax()] if d.size else 0
        worst = tuple(int(i) for i in np.unravel_index(flat, shape)) if d.size and shape else ()
        return Measured(
            difference,
            quotient(difference, scale),
            quotient(floor, scale),
            quotient(rms_of_all(d), floor),
            cosine_distance(counted(actual), truth),
            worst,
        )

    def counted(self, name: str, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the port has and what is expected, without that which does not count: in rows, if whole rows do."""
        actual, places = self.given[name], self.places(name, np.shape(expected))
        if places.all():
            return actual, expected
        rows = np.asarray(places.any(axis=-1))
        counted = rows if (rows == places.all(axis=-1)).all() else places
        return actual[counted], expected[counted]

    def places(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Which entries count."""
        kept = kept_positions(positions_kind(name, self.reference), shape, self.real)
        return np.broadcast_to(True if kept is None else kept, shape)

    def _scale_and_floor(self, name: str, truth: np.ndarray, noise: float, terms: float) -> tuple[float, float]:
        """RMS of the reference, and the RMS that rounding gives a difference from it.

        Where numbers cancel to 0, as in the gradient of a key bias, each way to sum them up has another rest, of the
        size of a rounding of all that was summed.
        """
        scale, epsilon = rms(truth), EPSILONS[self.precision]
        of_gradients = self._scale_of_gradients() if name.startswith(GRADIENT) else 0.0
        if scale < max(noise, VANISHING * of_gradients) and of_gradients:  # truly 0: only rounding is left of it
            scale, share, noise = of_gradients, 1.0, max(noise, epsilon * terms)
        else:
            share = math.sqrt(np.count_nonzero(truth) / max(truth.size, 1))  # `rms` counts what is not 0
        return scale, max(noise, epsilon * scale * share)

    def _scale_of_gradients(self) -> float:
        """RMS of all gradients of the dump."""
        if self._of_gradients is None:
            gradients = [a.ravel() for name, a in self.given.items() if name.startswith(GRADIENT)]
            self._of_gradients = rms(np.concatenate(gradients))
        return self._of_gradients

    def clipped(self, name: str, run: Run) -> Any:
        """What a run says of a name; gradients of parameters clipped, if those of the dump were."""
        value = run.alone(name) if name not in self.upstream else self.upstream[name]
        if self.case.max_grad_norm is None or value is None or not self.is_parameter_gradient(name):
            return value
        norm = math.inf
        if self.clipping == GLOBAL:
            norm = self._global_norm()
        elif self.clipping == PER_TENSOR:
            norm = float(np.linalg.norm(value))
        elif self.clipping == NOT_CLIPPED:
            return value
        return value * value.dtype.type(min(1.0, self.case.max_grad_norm / (norm + 1e-6)))

    def is_parameter_gradient(self, name: str) -> bool:
        """Whether it is the gradient of a parameter, not of a tap."""
        return name.startswith(GRADIENT) and name.removeprefix(GRADIENT) in self.reference.parameters

    def _global_norm(self) -> float:
        """Of the gradients of all parameters together."""
        if self._norm is None:
            truth = self.runs({}, self.upstream).truth
            gradients = (truth.value(GRADIENT + name) for name in self.reference.parameters)
            self._norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients if g is not None))
        return self._norm
