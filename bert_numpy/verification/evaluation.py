"""Compute taps and gradients from the steps, starting from the inputs or from a port's own tensors.

    run = Run(steps_of(model), parameters_of(model), inputs)
    run.value("encoder.layer.0.output")         the tap
    run.value("d encoder.layer.0.output")       the gradient of the loss with respect to it
    run.value("d pooler.dense.weight")          the gradient of a parameter
    run.alone("encoder.layer.0.output")         as `value`, but computed anew from what `given` has of its inputs

Nothing is computed before it is asked for, and nothing twice.  What is `given` is taken as it is, so that with a port's
tensors each step can be judged by itself: a mistake in layer 3 does not count against layer 4.

Here: the order of the computation.  Not here: the arithmetic (`operations.py`), what is compared (`comparison.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .operations import OPERATIONS
from .steps import Step

GRADIENT = "d "
"""What the name of a gradient begins with."""

INPUTS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
    "labels",
    "next_sentence_label",
    "start_positions",
    "end_positions",
)
"""What a model is given, by the names of `forward`."""

Rounding = Callable[[np.ndarray], np.ndarray]


class Graph:
    """Steps by their tap, and who reads what.

    Parameters
    ----------
    steps : iterable of Step
        In an order in which they can be computed.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = {step.tap: step for step in steps}
        self.readers: dict[str, list[Step]] = {}
        for step in self.steps.values():
            for name in (*step.inputs, *step.parameters):
                self.readers.setdefault(name, []).append(step)

    def after(self, taps: Iterable[str]) -> set[str]:
        """These taps and all that are computed from them."""
        found, waiting = set(), list(taps)
        while waiting:
            tap = waiting.pop()
            if tap not in found:
                found.add(tap)
                waiting.extend(step.tap for step in self.readers.get(tap, []))
        return found


class Run:
    """One batch through a list of steps, as far as it is asked for.

    Parameters
    ----------
    steps : Graph, or iterable of Step
    parameters : mapping of str to array
        As `parameters_of` returns them.
    inputs : mapping of str to integer array
        `input_ids` of shape (B, S), and any other of `INPUTS`; mask, segments and positions have their defaults.
    given : mapping of str to array
        Taps and gradients that are not to be computed.  Gradients of outputs are needed where there are no labels.
    dtype : float64 or float32
    rounding : function of an array, optional
        Applied to every parameter and every result: a stand-in for arithmetic of lower precision.
    jitter : function of an array, optional
        Applied to every result, all that is given and small parameters: numbers as near as rounding cannot tell.
    largest : int, optional
        Parameters of more numbers have no jitter, and their gradients are not kept, and must not be asked for.
    """

    def __init__(
        self,
        steps: Graph | Iterable[Step],
        parameters: Mapping[str, np.ndarray],
        inputs: Mapping[str, np.ndarray],
        given: Mapping[str, np.ndarray] | None = None,
        dtype: DTypeLike = np.float64,
        rounding: Rounding | None = None,
        jitter: Rounding = lambda array: array,
        largest: float = math.inf,
    ) -> None:
        graph = steps if isinstance(steps, Graph) else Graph(steps)
        self.steps, self._readers = graph.steps, graph.readers
        self.dtype = np.dtype(dtype)
        self.rounding = rounding
        self.jitter = jitter
        self.largest = largest
        self._parameters = parameters
        self._inputs = complete_inputs(inputs)
        self._given = {} if given is None else given
        self._values: dict[str, Any] = {}
        self._forward: dict[str, tuple[Any, Any]] = {}
        self._backward: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]] | None] = {}

    @property
    def computed(self) -> set[str]:
        """The taps whose step has been run, forward or backward."""
        return self._forward.keys() | {tap for tap, done in self._backward.items() if done is not None}

    @property
    def used(self) -> set[str]:
        """Taps, gradients and inputs that were given or computed on the way to what was asked for."""
        return set(self._values)

    def reuse(self, other: Run, changed: set[str]) -> None:
        """Take over what another run has computed of taps that are not among the changed ones."""
        self._forward.update({tap: done for tap, done in other._forward.items() if tap not in changed})
        values = {name: value for name, value in other._values.items() if not name.startswith(GRADIENT)}
        self._values.update({name: value for name, value in values.items() if name not in changed})

    def value(self, name: str) -> Any:
        """What is given under a name, or else computed; None for a gradient of what the loss does not depend on."""
        waiting = [name]
        while waiting:  # not by recursion: 24 layers are deeper than Python goes
            needs = [] if self._known(waiting[-1]) else self._needs(waiting[-1])
            missing = [other for other in needs if not self._known(other)]
            waiting.extend(missing)
            if not missing:
                self._compute(waiting.pop())
        return self._values[name]

    def alone(self, name: str) -> Any:
        """Compute it, whether or not it is given itself, from what is given of all else."""
        for other in self._needs(name):
            self.value(other)
        is_gradient = name.startswith(GRADIENT)
        return self._gradient(name.removeprefix(GRADIENT)) if is_gradient else self._tap(name)

    def has(self, name: str) -> bool:
        """Whether it is given or can be computed."""
        return name in self._given or self.can_compute(name)

    def can_compute(self, name: str) -> bool:
        """Whether the inputs suffice for it: a loss needs its labels."""
        if name.startswith("loss") and name in self.steps:
            step = self.steps[name]
            return (any if step.operation == "add" else all)(self.has(source) for source in step.inputs)
        return name in self.steps or name in self._inputs

    def _known(self, name: str) -> bool:
        if name in self._given and name not in self._values:
            self._values[name] = self.jitter(self._cast(self._given[name]))
        return name in self._values

    def _compute(self, name: str) -> None:
        if not self._known(name):
            self._values[name] = self.alone(name)

    def _needs(self, name: str) -> list[str]:
        """What has to be known before `name` can be computed in one go."""
        if not name.startswith(GRADIENT):
            return [source for source in self.steps[name].inputs if self.has(source)] if name in self.steps else []
        if name == GRADIENT + "loss":
            return []
        readers = [step for step in self._readers.get(name.removeprefix(GRADIENT), []) if self.has(step.tap)]
        forward = [source for step in readers for source in step.inputs if self.has(source)]
        return [*forward, *(GRADIENT + step.tap for step in readers)]

    def _tap(self, tap: str) -> Any:
        if tap not in self.steps:
            return self._inputs[tap]
        return self._run_forward(self.steps[tap])[0]

    def _run_forward(self, step: Step) -> tuple[Any, Any]:
        """(result, cache) of a step whose inputs are given or computed."""
        if step.tap not in self._forward:
            step = self._without_missing(step)
            inputs = tuple(self.value(name) if self.has(name) else None for name in step.inputs)
            settings = step.settings if self.rounding is None else {**step.settings, "rounding": self.rounding}
            y, cache = OPERATIONS[step.operation].forward(inputs, self._parameters_of(step), settings)
            self._forward[step.tap] = self._rounded_with_cache(y, inputs), cache
        return self._forward[step.tap]

    def _rounded_with_cache(self, y: Any, inputs: tuple[Any, ...]) -> Any:
        """Round a result, and what its cache holds of it.

        Softmax and tanh keep their own result for backward, and a port has it rounded.  A row of softmax then sums to
        1 no more, and in the gradient of the scores, a small difference of large numbers, that counts.
        """
        shared = any(np.may_share_memory(y, x) for x in inputs if x is not None)
        if shared or not isinstance(y, np.ndarray):
            return self._rounded(y)
        y[...] = self._rounded(self.jitter(y))
        return y

    def _without_missing(self, step: Step) -> Step:
        """A loss without its labels is left out of the sum."""
        if step.operation != "add":
            return step
        return step._replace(inputs=tuple(name for name in step.inputs if self.has(name)))

    def _parameters_of(self, step: Step) -> tuple[np.ndarray, ...]:
        arrays = []
        for name in step.parameters:
            array = self._cast(self._parameters[name])
            array = self.jitter(array) if array.size <= self.largest else array
            arrays.append(self._rounded(step.altered[name](array) if name in step.altered else array))
        return tuple(arrays)

    def _gradient(self, name: str) -> Any:
        """The sum of what comes back from every step that reads a tap or a parameter."""
        if name == "loss":
            return self.dtype.type(1)
        total = None
        for step in self._readers.get(name, []):
            results = self._run_backward(step)
            if results is None:
                continue
            step = self._without_missing(step)
            for names, gradients in zip((step.inputs, step.parameters), results, strict=True):
                for source, gradient in zip(names, gradients, strict=False):
                    if source == name and gradient is not None:
                        total = gradient if total is None else total + gradient
        return total if total is None else self._rounded(total)

    def _run_backward(self, step: Step) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
        """(gradients of the inputs, of the parameters) of a step; None if no gradient reaches it."""
        if step.tap not in self._backward:
            dy = self.value(GRADIENT + step.tap) if self.has(step.tap) else None
            if dy is None:
                self._backward[step.tap] = None
            else:
                dinputs, dparameters = OPERATIONS[step.operation].backward(dy, self._run_forward(step)[1])
                kept = tuple(gradient if gradient.size <= self.largest else None for gradient in dparameters)
                self._backward[step.tap] = dinputs, kept
        return self._backward[step.tap]

    def _cast(self, array: Any) -> np.ndarray:
        return np.asarray(array).astype(self.dtype, copy=False)

    def _rounded(self, array: Any) -> Any:
        return array if self.rounding is None else self.rounding(array)


def complete_inputs(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs with mask, segments and positions filled in as the models do it."""
    input_ids = np.asarray(inputs["input_ids"])
    B, S = input_ids.shape
    complete = {
        "attention_mask": np.ones((B, S), np.int64),
        "token_type_ids": np.zeros((B, S), np.int64),
        "position_ids": np.arange(S)[None],
        **{name: np.asarray(array) for name, array in inputs.items() if array is not None},
    }
    complete["position_ids"] = np.atleast_2d(complete["position_ids"])
    return complete
