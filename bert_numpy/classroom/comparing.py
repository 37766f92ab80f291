"""The calls that test an exercise, what a function made of them, and how two of these differ.

    answers = Answers(exercise, seed=0)
    differences(answers.calls, answers.right, answers.of(mine))    # [] means: the same

Here: calls, observations, answers, differences.  Not here: words about them (`feedback.py`), processes (`sandbox.py`).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..nn.module import Module, Parameter
from .calls import Flat, do_nothing, flatten_arguments, observe
from .catalogue import find_target
from .exercise import Exercise, Mistake, Variant
from .source import EditError, Source, solution

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
"""Of max|d|/RMS: another order of the same sums stays far below, and every declared mistake is far above."""


@dataclass(frozen=True)
class Call:
    """One call of the function.

    Parameters
    ----------
    case : int
        The number of the case.
    dtype : "float64" or "float32"
        Of its arrays.
    args : tuple
    forward_args : tuple
        For a backward: what its forward was given.
    """

    case: int
    dtype: str
    args: tuple[Any, ...]
    forward_args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Observation:
    """What came of one call: outputs and arguments afterwards, or an error, its kind and where it was raised."""

    outputs: Flat | None = None
    arguments: Flat | None = None
    error: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Difference:
    """One leaf that is not as expected.

    Parameters
    ----------
    call : int
        The number of the call.
    path : str
        Of the leaf in the flat outputs, or arguments.
    kind : "structure", "type", "shape", "dtype", "nan", "values", "text" or "argument"
    expected, actual : object
        Shapes, dtypes, values: whatever `kind` is about.
    where : tuple of int
        Index of the largest difference.
    error : float
        max|d|/RMS.
    """

    call: int
    path: str
    kind: str
    expected: Any = None
    actual: Any = None
    where: tuple[int, ...] = ()
    error: float = math.nan


# ---- calls ----


def prepare(exercise: Exercise, seed: int, variants: Sequence[str] = ()) -> list[Call]:
    """The calls of an exercise: each case in float64, and again in float32 if it holds arrays of floats."""
    calls = []
    for case, args in enumerate(exercise.inputs(np.random.default_rng(seed))):
        for dtype in ("float64", "float32") if _has_floats(args) else ("float64",):
            given = _converted(args, dtype)
            if exercise.of:
                rng = np.random.default_rng([seed, case])
                calls.append(Call(case, dtype, _backward_args(exercise, given, dtype, rng, variants), given))
            else:
                calls.append(Call(case, dtype, given))
    return calls


def forward_of(exercise: Exercise, variants: Sequence[str] = ()) -> Callable[..., Any]:
    """The forward that a backward belongs to, in the variant that is asked for."""
    forward = find_target(exercise.of)
    return solution(forward, variants) if forward else Source(exercise.of).original


def gradients_for(outputs: Any, rng: np.random.Generator, dtype: str) -> tuple[Any, ...]:
    """A random gradient for each output of a forward."""
    of_each: list[Any] = []
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        if isinstance(output, np.ndarray) and output.ndim:
            of_each.append(np.asarray(rng.standard_normal(output.shape), dtype))
        else:
            of_each.append(None if output is None else float(rng.standard_normal()))
    return tuple(of_each)


def _backward_args(
    exercise: Exercise, given: tuple[Any, ...], dtype: str, rng: np.random.Generator, variants: Sequence[str]
) -> tuple[Any, ...]:
    outputs, cache = forward_of(exercise, variants)(*copy.deepcopy(given))
    itself = given[:1] if "." in exercise.name else ()
    return (*itself, *gradients_for(outputs, rng, dtype), cache)


def _has_floats(tree: Any) -> bool:
    if isinstance(tree, (tuple, list)):
        return any(map(_has_floats, tree))
    if isinstance(tree, dict):
        return any(map(_has_floats, tree.values()))
    return isinstance(tree, (Module, Parameter)) or (isinstance(tree, np.ndarray) and tree.dtype.kind == "f")


def _converted(tree: Any, dtype: str) -> Any:
    """A copy in another dtype."""
    if isinstance(tree, Module):
        return tree.astype(dtype)
    if isinstance(tree, Parameter):
        converted = Parameter(tree.data.astype(dtype))
        if tree.grad is not None:
            converted.accumulate(tree.grad.astype(dtype))
        return converted
    if isinstance(tree, (tuple, list)):
        return type(tree)(_converted(item, dtype) for item in tree)
    if isinstance(tree, dict):
        return {key: _converted(item, dtype) for key, item in tree.items()}
    if isinstance(tree, np.ndarray):
        return tree.astype(dtype) if tree.dtype.kind == "f" else tree.copy()
    return copy.deepcopy(tree)


# ---- observations ----


def run(exercise: Exercise, function: Callable[..., Any], calls: Sequence[Call]) -> list[Observation]:
    """Call a function in this process; an error that it raises is what came of the call."""
    return [Observation(**observe(exercise.call, function, copy.deepcopy(call.args))) for call in calls]


def named(exercise: Exercise, variants: Sequence[str] = ()) -> list[Mistake]:
    """The mistakes of an exercise, in the variant that is asked for: those whose text the variant has left there."""
    variant: Variant | None = exercise.variant(tuple(variants))
    gone = [old for old, _ in variant.replacements] if variant else []
    return [m for m in exercise.mistakes if not any(a in b or b in a for a, _ in m.replacements for b in gone)]


class Answers:
    """What right and wrong functions make of the calls of an exercise.

    Parameters
    ----------
    exercise : Exercise
    seed : int
        Of the inputs.
    variants : sequence of str
        Those that are asked for.

    Attributes
    ----------
    calls : list of Call
    right : list of Observation
        What the solution makes of them.
    """

    def __init__(self, exercise: Exercise, seed: int, variants: Sequence[str] = ()) -> None:
        self.exercise = exercise
        self.variants = tuple(variants)
        self.calls = prepare(exercise, seed, variants)
        self.right = self.of(solution(exercise, variants))

    def of(self, function: Callable[..., Any]) -> list[Observation]:
        """What another function makes of them."""
        return run(self.exercise, function, self.calls)

    @cached_property
    def wrong(self) -> list[tuple[Mistake, list[Observation]]]:
        """Every known mistake, and what it makes of them."""
        known = named(self.exercise, self.variants)
        return [(mistake, self.of(solution(self.exercise, self.variants, mistake))) for mistake in known]

    @cached_property
    def twice_wrong(self) -> list[tuple[tuple[Mistake, ...], list[Observation]]]:
        """Every two known mistakes that one function can make at once, and what it makes of them."""
        found: list[tuple[tuple[Mistake, ...], list[Observation]]] = []
        for pair in itertools.combinations(named(self.exercise, self.variants), 2):
            with suppress(EditError):
                found.append((pair, self.of(solution(self.exercise, self.variants, *pair))))
        return found

    @cached_property
    def untouched(self) -> list[Observation]:
        """What a function makes of them that leaves all arrays as they were, where it is to write into some."""
        return self.of(do_nothing)

    @property
    def has_float_outputs(self) -> bool:
        """Whether outputs can be told apart by their values: short texts and whole numbers agree by chance."""
        leaves = [leaf for observation in self.right for leaf in (observation.outputs or {}).values()]
        return any(isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" for leaf in leaves)


# ---- differences ----


def differences(
    calls: Sequence[Call], expected: Sequence[Observation], actual: Sequence[Observation]
) -> list[Difference]:
    """Every leaf that is not as expected; an error on one side alone is a difference of structure."""
    found: list[Difference] = []
    for number, (call, right, mine) in enumerate(zip(calls, expected, actual, strict=True)):
        if right.outputs is None or mine.outputs is None or right.arguments is None or mine.arguments is None:
            if right.error != mine.error:
                found.append(Difference(number, "", "structure", right.error, mine.error))
            continue
        found += _compare(number, right.outputs, mine.outputs, TOLERANCES[call.dtype])
        written = {d.path for d in _compare(number, right.arguments, mine.arguments, 0.0)}
        if written:  # the library empties some caches; whoever leaves them as they were is right too
            written &= {d.path for d in _compare(number, flatten_arguments(call.args), mine.arguments, 0.0)}
        found += [Difference(number, path, "argument") for path in sorted(written)]
    return found


def _compare(number: int, expected: Flat, actual: Flat, tolerance: float) -> list[Difference]:
    found = []
    scales = [_rms(leaf) for leaf in expected.values() if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"]
    floor = 1e-3 * max(scales, default=0.0)
    for path in [*expected, *(path for path in actual if path not in expected)]:
        if path not in expected or path not in actual:
            found.append(Difference(number, path, "structure", path in expected, path in actual))
            continue
        found += _compare_leaf(number, path, expected[path], actual[path], tolerance, floor)
    return found


def _compare_leaf(
    number: int, path: str, expected: Any, actual: Any, tolerance: float, floor: float
) -> list[Difference]:
    if isinstance(expected, (np.ndarray, float, int)) and isinstance(actual, (float, int)) and np.ndim(expected) == 0:
        actual = np.asarray(actual, np.asarray(expected).dtype if isinstance(actual, float) else None)
    if not isinstance(expected, np.ndarray) and not isinstance(actual, np.ndarray):
        return [] if expected == actual else [Difference(number, path, "text", expected, actual)]
    expected = np.asarray(expected)
    if not isinstance(actual, np.ndarray):
        return [Difference(number, path, "type", "array", actual)]
    if expected.shape != actual.shape:
        return [Difference(number, path, "shape", expected.shape, actual.shape)]
    if expected.dtype.kind != actual.dtype.kind or (expected.dtype.kind == "f" and expected.dtype != actual.dtype):
        return [Difference(number, path, "dtype", expected.dtype, actual.dtype)]
    if expected.dtype.kind != "f":
        wrong = expected != actual
        if not wrong.any():
            return []
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        return [Difference(number, path, "text", expected[where].item(), actual[where].item(), where)]
    same = np.isfinite(expected) & np.isfinite(actual) | (expected == actual) | np.isnan(expected) & np.isnan(actual)
    if not same.all():
        where = tuple(int(i) for i in np.argwhere(~same)[0])
        return [Difference(number, path, "nan", float(expected[where]), float(actual[where]), where)]
    return _compare_floats(number, path, expected, actual, tolerance, floor)


def _compare_floats(
    number: int, path: str, expected: np.ndarray, actual: np.ndarray, tolerance: float, floor: float
) -> list[Difference]:
    finite = np.isfinite(expected)
    distance = np.abs(np.where(finite, actual, 0).astype(float) - np.where(finite, expected, 0).astype(float))
    if not distance.size:
        return []
    where = tuple(int(i) for i in np.unravel_index(distance.argmax(), distance.shape))
    error = float(distance[where]) / (max(_rms(expected), floor) or 1.0)
    if error <= tolerance:
        return []
    return [Difference(number, path, "values", float(expected[where]), float(actual[where]), where, error)]


def _rms(x: np.ndarray) -> float:
    finite = x[np.isfinite(x)].astype(float)
    return float(np.sqrt(np.square(finite).mean())) if finite.size else 0.0
