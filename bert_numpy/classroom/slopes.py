"""Whether a gradient is the slope of its forward: finite differences at single places, in float64.

Here: one number at a time, for feedback and for the self-test.  Whole arrays: `verification/gradcheck.py`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn.module import Module
from .comparing import Call, forward_of
from .exercise import Exercise
from .source import Source, output_names

STEP = 1e-5


def slope(
    exercise: Exercise, call: Call, path: str, where: tuple[int, ...], variants: Sequence[str] = ()
) -> tuple[str, float] | None:
    """What the gradient at one place of one output should be, measured: (name of the input there, slope).

    Parameters
    ----------
    exercise : Exercise
        A backward with `of`.
    call : Call
        In float64.
    path : str
        Of the gradient in the flat outputs.
    where : tuple of int
        Index in it.

    Returns
    -------
    tuple or None
        None where it cannot be told which input the gradient belongs to.
    """
    found = _input_of(exercise, call, path)
    if found is None or call.dtype != "float64":
        return None
    name, get = found
    forward = forward_of(exercise, variants)
    upstream = call.args[1:-1] if "." in exercise.name else call.args[:-1]
    losses = []
    for sign in (1, -1):
        args = copy.deepcopy(call.forward_args)
        get(args)[where] += sign * STEP
        losses.append(_loss(forward(*args)[0], upstream))
    return name, (losses[0] - losses[1]) / (2 * STEP)


def _loss(outputs: Any, upstream: tuple[Any, ...]) -> float:
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(
        float(np.sum(output * gradient))
        for output, gradient in zip(outputs, upstream, strict=True)
        if gradient is not None
    )


def _input_of(exercise: Exercise, call: Call, path: str) -> tuple[str, Any] | None:
    """The name of the input whose gradient stands at `path`, and a function: arguments of the forward -> its array."""
    place = path.removeprefix("returned").removeprefix(".")
    itself = call.forward_args[0] if call.forward_args else None
    if isinstance(itself, Module) and place.startswith("d"):
        if place[1:] not in dict(itself.named_parameters()):
            return None
        return place[1:], lambda args: dict(args[0].named_parameters())[place[1:]].data
    names = output_names(exercise)
    number = int(place or "0") if place.isdecimal() or not place else len(names)
    if number >= len(names):
        return None
    parameters = list(inspect.signature(Source(exercise.of).original).parameters)
    wanted = names[number].removeprefix("d")
    if wanted not in parameters or parameters.index(wanted) >= len(call.forward_args):
        return None
    index = parameters.index(wanted)
    is_array = isinstance(call.forward_args[index], np.ndarray)
    return (wanted, lambda args: args[index]) if is_array else None
