"""Parameters, and modules that own them under the names of the published checkpoints.

A module's attributes are its name space: `model.bert.encoder.layer[0].attention.self.query.weight` is, in a file and
in `named_parameters()`, "bert.encoder.layer.0.attention.self.query.weight".  Nothing is registered; the names are
found by walking the attributes.

    outputs, cache = module.forward(*inputs)
    dinputs = module.backward(doutputs, cache)        adds into `Parameter.grad`, returns the gradients of the inputs

The cache is a return value and never kept on the module, so a module may be used twice before its backward runs.

Here: what every module can do.  Not here: what any module computes.  Read next: `layers.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


class Parameter:
    """An array that is learnt, and the gradient gathered on it so far.

    Attributes
    ----------
    data : ndarray
    grad : ndarray of the shape and dtype of `data`, or None while nothing has been accumulated

    Examples
    --------
    >>> p = Parameter(np.zeros(2))
    >>> p.accumulate(np.array([1.0, 2.0])); p.accumulate(np.array([1.0, 2.0]))
    >>> p.grad
    array([2., 4.])
    """

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.grad: np.ndarray | None = None
        self._owns_grad = False

    def accumulate(self, grad: np.ndarray, *, copy: bool = True) -> None:
        """Add `grad` to what is there.

        Parameters
        ----------
        grad : ndarray of the shape of `data`
            Is never written to while gradients are added.
        copy : bool
            False leaves out the copy of a first gradient, for a caller who made `grad` and needs it no more: an
            optimizer may write into it.
        """
        if np.shape(grad) != self.data.shape:
            raise ValueError(f"a gradient of shape {np.shape(grad)} cannot be that of a parameter of {self.data.shape}")
        if self.grad is None:
            self.grad = np.array(grad, dtype=self.data.dtype) if copy else grad.astype(self.data.dtype, copy=False)
            self._owns_grad = copy
        elif self._owns_grad:
            self.grad += grad
        else:
            self.grad = self.grad + grad
            self._owns_grad = True

    def zero_grad(self) -> None:
        """Forget the gradient; the only way to lower what `accumulate` has gathered."""
        self.grad = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """So that NumPy functions see the data: `np.linalg.norm(parameter)`."""
        return np.array(self.data, dtype=dtype, copy=True) if copy else np.asarray(self.data, dtype=dtype)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class Module:
    """Base of everything that has parameters or holds modules that have."""

    training = True

    forward: Callable[..., tuple[Any, Any]]
    """Every subclass defines it: inputs -> (outputs, cache)."""

    backward: Callable[..., Any]
    """(gradients of the outputs, cache) -> gradients of the inputs; those of the parameters are added to theirs."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of `forward` alone."""
        return self.forward(*args, **kwargs)[0]

    def __repr__(self) -> str:
        """The tree of modules, one a line."""
        lines = [type(self).__name__]
        lines += [f"  {name}: {value}" for name, value in vars(self).items() if isinstance(value, Parameter)]
        for name, child in self.children():
            lines.append(f"  {name}: " + repr(child).replace("\n", "\n  "))
        return "\n".join(lines)

    # ---- the tree of names ----

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the direct children, in the order in which they were assigned."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (path, module) for this module (path "") and all below it, parents first."""
        yield prefix.removesuffix("."), self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}{name}.")

    def named_places(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter) for every place that holds a parameter: a tied one comes once per place."""
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter), a tied parameter once, at its first place."""
        seen: set[int] = set()
        for path, parameter in self.named_places():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield path, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def num_parameters(self) -> int:
        """How many numbers the parameters hold; tied ones count once."""
        return sum(parameter.data.size for parameter in self.parameters())

    # ---- state ----

    def reset_parameters(self, rng: np.random.Generator, std: float) -> None:
        """Give the parameters held here, not those of children, fresh values; modules that hold any say which."""

    def train(self, mode: bool = True) -> Any:
        """Switch dropout on (or off) here and below; returns the module.  Nothing else depends on it."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Switch dropout off here and below; returns the module."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def astype(self, dtype: DTypeLike) -> Any:
        """A copy whose parameters have another dtype; `model.astype(np.float64)` is the verifier's mode.

        Gradients are not copied.  Tied parameters stay tied, and the copy has a generator of its own, in the state
        of the model's.
        """
        converted: dict[int, Any] = {id(p): Parameter(p.data.astype(dtype)) for p in self.parameters()}
        return copy.deepcopy(self, converted)  # deepcopy looks each object up in `converted` first

    def state_dict(self) -> dict[str, np.ndarray]:
        """{path: array} of every parameter once: the arrays themselves, not copies."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state_dict: Mapping[str, np.ndarray], *, assign: bool = False) -> None:
        """Take the values of every parameter from `state_dict`.

        Parameters
        ----------
        state_dict : mapping of path to array
            A tied parameter may stand under one of its paths or under several, if equal.
        assign : bool
            Adopt the arrays where the dtype fits, instead of copying them into the ones that are there: for a model
            that nobody uses yet, so that a memory-mapped file is not read or held twice.

        Raises
        ------
        ValueError
            If paths are missing, unexpected or of another shape; one message lists all of them, and nothing has
            been loaded then.
        """
        problems, found = self.match(state_dict)
        for names in found.values():
            first = state_dict[names[0]]
            if first.dtype.kind not in "iuf":
                problems.append(f"{names[0]} holds {first.dtype}, expected numbers")
            for twin in names[1:]:
                if not np.array_equal(state_dict[twin], first, equal_nan=True):
                    problems.append(f"{names[0]} and {twin} are one tied parameter here but differ")
        if problems:
            raise ValueError(f"cannot load into {type(self).__name__}: {summarize(problems)}")
        for parameter, (name, *_) in found.items():
            if assign:
                parameter.data = state_dict[name].astype(parameter.dtype, copy=False)
            else:
                parameter.data[...] = state_dict[name]

    def match(self, tensors: Mapping[str, Any]) -> tuple[list[str], dict[Parameter, list[str]]]:
        """Compare names and shapes, without looking at any value.

        Parameters
        ----------
        tensors : mapping of path to anything with a `shape`

        Returns
        -------
        problems : list of str
            What is missing, of another shape, and unexpected.
        found : dict
            Parameter -> its names in `tensors`; a tied one may stand there more than once.
        """
        places_of: dict[Parameter, list[str]] = {}
        for path, parameter in self.named_places():
            places_of.setdefault(parameter, []).append(path)
        problems: list[str] = []
        found: dict[Parameter, list[str]] = {}
        for parameter, places in places_of.items():
            names = [place for place in places if place in tensors]
            if not names:
                problems.append(f"missing {places[0]} {parameter.shape}")
                continue
            found[parameter] = names
            shape = tuple(tensors[names[0]].shape)
            if shape != parameter.shape:
                problems.append(f"{names[0]} has shape {shape}, expected {parameter.shape}")
        known = {place for places in places_of.values() for place in places}
        problems += [f"unexpected {name}" for name in tensors if name not in known]
        return problems, found


def summarize(items: Iterable[str], limit: int = 12) -> str:
    """Join items with semicolons; of a long list, the first `limit` and how many more there are.

    >>> summarize(["a", "b", "c"], limit=2)
    'a; b; and 1 more'
    """
    items = list(items)
    shown = items[:limit]
    if len(items) > limit:
        shown.append(f"and {len(items) - limit} more")
    return "; ".join(shown)
