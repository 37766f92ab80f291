"""What a mistake is, for the lists of mistakes: what becomes of each step of BERT.

Here: ways to say which steps are concerned.  Not here: the mistakes (`divergences.py` and the lists that it names).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .steps import Step

Change = Callable[[Step], Step | None]


class Divergence(NamedTuple):
    """One way to differ from BERT.

    Attributes
    ----------
    name : str
        What the port does, in a few words: "LayerNorm epsilon 1e-05".
    remedy : str
        What to change in the port.
    change : function of a Step
        The step as the port has it, or None if it is not concerned.
    """

    name: str
    remedy: str
    change: Change


def on(operation: str, **settings: object) -> Change:
    """Steps of one operation, with other settings."""
    return lambda step: step.set(**settings) if step.operation == operation else None


def at(suffix: str, change: Change) -> Change:
    """Steps whose tap ends so."""
    return lambda step: change(step) if step.tap.endswith(suffix) else None


def at_activation(**settings: object) -> Change:
    """Activations with other settings; not the pooler's tanh."""
    return lambda step: step.set(**settings) if step.operation == "activation" and step.tap != "pooler" else None


def altered(operation: str, change: Callable[[np.ndarray], np.ndarray], *suffixes: str) -> Change:
    """Steps of one operation whose parameters with such names are changed."""
    return lambda step: step.alter(change, *suffixes) if step.operation == operation else None


def without(source: str) -> Change:
    """Sums, and other steps, that do not read one of their inputs."""

    def change(step: Step) -> Step | None:
        left = tuple(name for name in step.inputs if name != source)
        return step._replace(inputs=left) if len(left) < len(step.inputs) else None

    return change


def is_residual(step: Step) -> bool:
    """Whether a step adds the input of a block to its output."""
    return step.operation == "add" and step.unit.startswith("encoder")
