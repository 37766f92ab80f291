"""Copies of a model that share its weights and divide each batch among them, one thread each.

A small model leaves most of a processor idle: its products are too small to be divided.  So the batch is divided, as in
torch's DataParallel: every replica computes the gradient of its share, and the mean of these is the gradient.

Here: making replicas, and one forward and backward with them.  Who uses it: `training_run.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..nn.module import Module, Parameter
from ..nn.parallel import in_parts

TrainingStep = Callable[[Any, Mapping[str, Any], float], float]


class Replicas:
    """A model and its copies.

    The weights are the same arrays; gradients, and the generator for dropout, are each replica's own.  What is
    computed depends on the number of replicas, not on the number of threads or on which of them is the faster one.

    Parameters
    ----------
    model : Module
        The first replica; it receives the gradients.
    count : int

    Examples
    --------
    >>> from bert_numpy.nn.layers import Linear
    >>> replicas = Replicas(Linear(2, 1), 2)
    >>> def square(model, inputs, scale):
    ...     y, cache = model.forward(inputs["x"])
    ...     model.backward(scale * 2 * y / len(y), cache)
    ...     return float((y * y).mean())
    >>> replicas.forward_backward(square, {"x": np.ones((4, 2), np.float32)})
    0.0
    """

    def __init__(self, model: Module, count: int) -> None:
        self.model = model
        self.copies = [_replica(model) for _ in range(count - 1)]

    def forward_backward(
        self,
        training_step: Callable[[Any, Mapping[str, Any], float], float],
        inputs: Mapping[str, Any],
        scale: float = 1.0,
    ) -> float:
        """Add the gradients of a batch to the parameters of the model.

        Parameters
        ----------
        training_step : callable
            (model, inputs, scale) -> loss: forward, and backward with `scale` as gradient of the loss.
        inputs : mapping of names to arrays whose first axis is the batch
        scale : float

        Returns
        -------
        float
            The mean of the losses of the shares, not scaled.
        """
        shares = _divide(inputs, 1 + len(self.copies))
        models = [self.model, *self.copies[: len(shares) - 1]]
        for replica in models[1:]:
            self._bring_up_to_date(replica)
        losses = in_parts(lambda i: training_step(models[i], shares[i], scale / len(shares)), range(len(shares)))
        for replica in models[1:]:
            for own, other in zip(self.model.parameters(), replica.parameters(), strict=True):
                if other.grad is not None:
                    own.accumulate(other.grad, copy=False)
                    other.zero_grad()
        return sum(losses) / len(losses)

    def _bring_up_to_date(self, replica: Any) -> None:
        """The weights, mode and padding of the model, and a fresh generator that follows from the model's."""
        for own, other in zip(self.model.parameters(), replica.parameters(), strict=True):
            other.data = own.data
        for (_, own_module), (_, other_module) in zip(self.model.named_modules(), replica.named_modules(), strict=True):
            switches = {name: value for name, value in vars(own_module).items() if isinstance(value, bool)}
            vars(other_module).update(switches)  # train or eval, padding skipped or not
        rng = getattr(self.model, "rng", None)
        if rng is not None:
            seed = int(rng.integers(2**63))
            replica.rng.bit_generator.state = type(rng.bit_generator)(seed).state


def _replica(model: Module) -> Any:
    shared: dict[int, Any] = {id(parameter): Parameter(parameter.data) for parameter in model.parameters()}
    return copy.deepcopy(model, shared)  # deepcopy looks each object up in `shared` first


def _divide(inputs: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Every count-th row: the shares of a batch that is sorted by length are of like lengths."""
    rows = {np.shape(values)[0] for values in inputs.values() if np.ndim(values)}
    if len(rows) != 1:
        raise ValueError(f"a batch whose arrays have {sorted(rows)} rows cannot be divided; set num_replicas to 1")
    count = min(count, rows.pop())
    return [
        {name: np.asarray(values)[i::count] if np.ndim(values) else values for name, values in inputs.items()}
        for i in range(count)
    ]
