"""AdamW and SGD over groups of parameters, called as in torch; which parameters decay.

    optimizer = AdamW(parameter_groups(model, weight_decay=0.01), lr=5e-5)
    for batch in batches:
        outputs, cache = model.forward(**batch)
        model.backward(1.0, cache)
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

Gradients add up until `zero_grad`, so k batches make one step when each runs `model.backward(1 / k, cache)`.

Parameters and what is kept for them are written in place, in the dtype of the parameter; nothing is widened.

Here: options, groups, state and its file form.  Not here: the arithmetic (`updates.py`), clipping (`gradients.py`).
Read next: `schedules.py`.

Papers: Adam (Kingma and Ba 2014, arXiv 1412.6980); AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101).
"""

from __future__ import annotations

import functools
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..nn.layers import LayerNorm
from ..nn.module import Module, Parameter
from ..nn.parallel import for_each
from .updates import BLOCK, adamw_update, blocks, momentum_update, sgd_update

NO_DECAY = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")
"""Patterns of the names, in lower case, of parameters that are not decayed: the reference library's."""


# ---- the base ---------------------------------------------------------------


class Optimizer:
    """Groups of parameters with their options, and the arrays that the rule keeps for each parameter.

    Attributes
    ----------
    param_groups : list of dict
        "params" (a list of `Parameter`) and the options of the rule; "param_names" if names were given.  Options may
        be changed between steps, as schedules change "lr".
    state : dict of Parameter to dict
        Empty until the first step; a parameter without a gradient gets none.
    defaults : dict
        The options of groups that do not give their own.
    """

    state_names: tuple[str, ...] = ()  # what the rule may keep for a parameter

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        """Take the parameters.

        Parameters
        ----------
        params : iterable of `Parameter`, of (name, `Parameter`), or of groups
            A group is a mapping {"params": as above, option: value, ...}.
        defaults : mapping
            The options, by name.

        Raises
        ------
        TypeError, ValueError
            If there is no parameter, one is listed twice, or an option does not exist or is out of range.
        """
        self.defaults = self._checked(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        members = _members(params)
        for group in members if members and isinstance(members[0], Mapping) else [{"params": members}]:
            self.add_param_group(group)
        if not any(group["params"] for group in self.param_groups):
            raise ValueError("no parameters to optimize; an iterator such as model.parameters() runs only once")

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Take one more group, for example layers that have been frozen so far.  Errors as on construction."""
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError('a parameter group is a mapping with the key "params", beside others of its kind')
        options = {name: value for name, value in param_group.items() if name != "params"}
        unknown = [name for name in options if name not in (*self.defaults, "initial_lr")]
        if unknown:
            raise ValueError(f"{self._kind} has no option {unknown[0]!r}; there are {', '.join(self.defaults)}")
        names, parameters = _named(_members(param_group["params"]))
        seen = {parameter for group in self.param_groups for parameter in group["params"]}
        for i, parameter in enumerate(parameters):
            if parameter in seen:
                raise ValueError(f"{names[i] if names else parameter} is listed twice; list every parameter once")
            seen.add(parameter)
        group = {"params": parameters, **self._checked({**self.defaults, **options})}
        self.param_groups.append({**group, "param_names": names} if names else group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with `set_to_none=False` fill them with 0, which a step then takes as gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.zero_grad()
                elif parameter.grad is not None:
                    parameter.grad[...] = 0

    def step(self) -> None:
        """Update every parameter that has a gradient, in place; the others are skipped.

        An array that must not be written to, such as one of a read-only memory map, is first replaced by a copy.

        Raises
        ------
        ValueError
            If a gradient has not the shape of its parameter; then nothing has changed.
        """
        scratch = threading.local()  # one array for each thread

        def work(part: tuple[Callable[..., None], list[np.ndarray]]) -> None:
            update, (data, *others) = part
            if not hasattr(scratch, "array") or scratch.array.dtype != data.dtype:
                scratch.array = np.empty(BLOCK, data.dtype)
            update(data, *others, scratch.array[: data.size].reshape(data.shape))

        for_each(work, list(self._work()))

    def _work(self) -> Iterator[tuple[Callable[..., None], list[np.ndarray]]]:
        """What a step has to do, in parts that do not depend on each other: (update, the block that it is for)."""
        moving = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for parameter, _ in moving:  # all of them before the first counts its step
            if parameter.grad.shape != parameter.shape:
                raise ValueError(f"a gradient of shape {parameter.grad.shape} cannot be that of a {parameter}")
        for parameter, group in moving:
            if not parameter.data.flags.writeable:
                parameter.data = parameter.data.copy()
            update, arrays = self._rule(parameter, group)
            for block in blocks(parameter.data, parameter.grad, *arrays):
                yield update, block

    def _rule(self, parameter: Parameter, group: Mapping[str, Any]) -> tuple[Callable[..., None], list[np.ndarray]]:
        """The update of this step, a function of blocks (data, grad, *arrays, scratch), and those arrays of state."""
        raise NotImplementedError

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as plain numbers, after every check."""
        raise NotImplementedError

    @property
    def _kind(self) -> str:
        return type(self).__name__

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        """The options and the state, with numbers in place of parameters; the layout is torch's.

        Returns
        -------
        dict
            "state": {index: {name: ndarray or int}} and "param_groups": a list of dicts of plain values, whose
            "params" are indices.  The arrays are those in use, not copies.
        """
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        index = {parameter: i for i, parameter in enumerate(parameters)}
        return {
            "state": {index[parameter]: dict(entry) for parameter, entry in self.state.items()},
            "param_groups": [{**group, "params": [index[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from where another optimizer of the same parameters stood; its arrays are copied.

        Indices may also be strings, as JSON makes them.

        Raises
        ------
        ValueError
            If groups, sizes, names, options or shapes do not fit; then nothing has been loaded.
        """
        if not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"cannot load into {self._kind}: the state of an optimizer has 'state' and 'param_groups'")
        saved = state_dict["param_groups"]
        sizes, own = ([len(group["params"]) for group in groups] for groups in (saved, self.param_groups))
        if sizes != own:
            raise ValueError(f"cannot load into {self._kind}: groups of {sizes} parameters, expected {own}")
        groups = [self._loaded_group(*pair) for pair in zip(saved, self.param_groups, strict=True)]
        indices = [int(i) for group in saved for i in group["params"]]
        parameters = [parameter for group in groups for parameter in group["params"]]
        found = dict(zip(indices, parameters, strict=True))
        state = {}
        for index, entry in state_dict["state"].items():
            if int(index) not in found:
                raise ValueError(f"cannot load into {self._kind}: state of parameter {index}, which is in no group")
            state[found[int(index)]] = self._loaded_state(index, entry, found[int(index)])
        self.param_groups, self.state = groups, state

    def _loaded_group(self, saved: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: value for name, value in saved.items() if name not in ("params", "param_names")}
        wrong = (options.keys() ^ self.defaults.keys()) - {"initial_lr"}
        if wrong:
            raise ValueError(f"cannot load into {self._kind}: the options {', '.join(sorted(wrong))} are not in both")
        for theirs, ours in zip(saved.get("param_names", ()), own.get("param_names", ()), strict=False):
            if theirs != ours:
                raise ValueError(f"cannot load into {self._kind}: {theirs} stands where {ours} is expected")
        kept = {name: own[name] for name in ("params", "param_names") if name in own}
        return {**kept, **self._checked(options)}

    def _loaded_state(self, index: Any, entry: Mapping[str, Any], parameter: Parameter) -> dict[str, Any]:
        if entry.keys() != set(self.state_names):
            names = ", ".join(self.state_names) or "nothing"
            raise ValueError(
                f"cannot load into {self._kind}: parameter {index} has {', '.join(entry)}, expected {names}"
            )
        loaded: dict[str, Any] = {}
        for name, value in entry.items():
            if name == "step":
                loaded[name] = int(value)
            elif np.shape(value) != parameter.shape:
                raise ValueError(
                    f"cannot load into {self._kind}: {name} of parameter {index} has shape {np.shape(value)}, "
                    f"expected {parameter.shape}"
                )
            else:
                loaded[name] = np.array(value, parameter.dtype, order="C")
        return loaded


# ---- AdamW ------------------------------------------------------------------


class AdamW(Optimizer):
    """Adam with decoupled weight decay, in torch's form or in that of Google's BERT.

    With g the gradient, t the number of steps of this parameter, λ the weight decay and θ the parameter:

        m ← β1 m + (1-β1) g         v ← β2 v + (1-β2) g²

        torch    m̂ = m / (1-β1ᵗ)    v̂ = v / (1-β2ᵗ)    θ ← θ - lr (m̂ / (√v̂ + ε) + λ θ)        ε = 1e-8
        Google   no correction                           θ ← θ - lr (m / (√v + ε) + λ θ)         ε = 1e-6

    `correct_bias=False, eps=1e-6` is Google's.  m and v start at 0 and are too small at first, √v for longer than m;
    torch makes up for it.  Without that, and with a constant gradient, the first update is (1-β1)/√(1-β2) = 3.2 times
    as large, the twelfth 6.6 times, the thousandth 1.3 times; a warm-up hides most of it.

    Parameters
    ----------
    params : iterable of `Parameter`, of (name, `Parameter`), or of groups
        See `Optimizer`; `parameter_groups(model, weight_decay)` leaves biases and LayerNorm out of the decay.
    lr : float
    betas : (float, float)
        β1 and β2, from 0 up to but not 1.
    eps : float
        ε, outside the root.
    weight_decay : float
        λ.  The factor 1 - lr λ is rounded to the dtype, as in torch: in float32 to a multiple of 6e-8.
    correct_bias : bool

    Examples
    --------
    >>> parameter = Parameter(np.array([1.0, -2.0]))
    >>> optimizer = AdamW([parameter], lr=0.1, weight_decay=0)
    >>> parameter.accumulate(np.array([0.3, -7.0]))
    >>> optimizer.step()  # the first step is lr in the direction of the sign
    >>> parameter.data.round(6)
    array([ 0.9, -1.9])
    """

    state_names = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        correct_bias: bool = True,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "correct_bias": correct_bias}
        super().__init__(params, options)

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = (_number("betas", beta, below=1) for beta in _pair("betas", options["betas"]))
        numbers = {name: _number(name, options[name]) for name in options if name not in ("betas", "correct_bias")}
        return {**options, **numbers, "betas": (beta1, beta2), "correct_bias": bool(options["correct_bias"])}

    def _rule(self, parameter: Parameter, group: Mapping[str, Any]) -> tuple[Callable[..., None], list[np.ndarray]]:
        if parameter not in self.state:
            exp_avg, exp_avg_sq = (np.zeros(parameter.shape, parameter.dtype) for _ in range(2))
            self.state[parameter] = {"step": 0, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
        state = self.state[parameter]
        state["step"] += 1
        beta1, beta2 = map(float, group["betas"])
        step_size = lr = float(group["lr"])  # a NumPy scalar would widen float32 arrays
        eps = float(group["eps"])
        if group["correct_bias"]:
            # m̂ / (√v̂ + ε) = √c2 / c1 · m / (√v + ε √c2)  with  c1 = 1 - β1ᵗ, c2 = 1 - β2ᵗ: two operations fewer
            root = math.sqrt(1 - beta2 ** state["step"])
            step_size *= root / (1 - beta1 ** state["step"])
            eps *= root
        decay = 1 - lr * float(group["weight_decay"])
        update = functools.partial(adamw_update, beta1=beta1, beta2=beta2, step_size=step_size, eps=eps, decay=decay)
        return update, [state["exp_avg"], state["exp_avg_sq"]]


# ---- SGD --------------------------------------------------------------------


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted; torch's form.

    With g the gradient, λ the weight decay (here added to the gradient), μ the momentum, τ the dampening:

        g ← g + λ θ        b ← μ b + (1-τ) g   (b ← g on the first step)        θ ← θ - lr b

    Without momentum b is g.  With `nesterov`, θ ← θ - lr (g + μ b).

    Parameters
    ----------
    params : iterable of `Parameter`, of (name, `Parameter`), or of groups
        See `Optimizer`.
    lr, momentum, dampening, weight_decay : float
    nesterov : bool
        Needs a momentum and no dampening.

    Examples
    --------
    >>> parameter = Parameter(np.array([1.0, -2.0]))
    >>> optimizer = SGD([parameter], lr=0.5)
    >>> parameter.accumulate(np.array([1.0, 0.0]))
    >>> optimizer.step()
    >>> parameter.data
    array([ 0.5, -2. ])
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**options, "nesterov": nesterov})

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = {name: _number(name, options[name]) for name in options if name != "nesterov"}
        if options["nesterov"] and (checked["momentum"] == 0 or checked["dampening"] != 0):
            raise ValueError("nesterov needs a momentum above 0 and a dampening of 0")
        return {**checked, "nesterov": bool(options["nesterov"])}

    def _rule(self, parameter: Parameter, group: Mapping[str, Any]) -> tuple[Callable[..., None], list[np.ndarray]]:
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        if group["momentum"] == 0:
            return functools.partial(sgd_update, lr=lr, weight_decay=weight_decay), []
        fresh = parameter not in self.state
        if fresh:
            self.state[parameter] = {"momentum_buffer": np.zeros(parameter.shape, parameter.dtype)}
        update = functools.partial(
            momentum_update,
            lr=lr,
            weight_decay=weight_decay,
            momentum=float(group["momentum"]),
            dampening=0.0 if fresh else float(group["dampening"]),
            nesterov=group["nesterov"],
        )
        return update, [self.state[parameter]["momentum_buffer"]]


def parameter_groups(model: Module, weight_decay: float, no_decay: Sequence[str] = NO_DECAY) -> list[dict[str, Any]]:
    """Two groups, with their names: the parameters that decay, and those that do not.

    The reference library's `Trainer` leaves out whatever belongs to a LayerNorm or matches one of `NO_DECAY`; Google's
    BERT leaves out whatever has "LayerNorm", "layer_norm" or "bias" in its name.  For BERT the two are the same: all
    biases, and the gains of all norms.  Embeddings decay.

    Parameters
    ----------
    model : Module
    weight_decay : float
        Of the first group; that of the second is 0.
    no_decay : sequence of regular expressions
        Searched in the names in lower case; what belongs to a LayerNorm does not decay in any case.

    Returns
    -------
    list of two dicts, for an `Optimizer`

    Examples
    --------
    >>> from bert_numpy.nn import Linear
    >>> [[name for name, _ in group["params"]] for group in parameter_groups(Linear(3, 2), 0.01)]
    [['weight'], ['bias']]
    """
    named = list(model.named_parameters())
    norms = [module for _, module in model.named_modules() if isinstance(module, LayerNorm)]
    exempt = {parameter for norm in norms for parameter in norm.parameters()}
    exempt |= {p for name, p in named if any(re.search(rule, name.lower()) for rule in no_decay)}
    return [
        {"params": [(name, p) for name, p in named if p not in exempt], "weight_decay": weight_decay},
        {"params": [(name, p) for name, p in named if p in exempt], "weight_decay": 0.0},
    ]


# ---- helpers ----------------------------------------------------------------


def _members(params: Any) -> list[Any]:
    if isinstance(params, Parameter):
        return [params]
    if isinstance(params, (set, frozenset, Mapping)):
        raise TypeError(f"the parameters are a {type(params).__name__}; give a list, whose order is kept")
    return list(params)


def _named(members: list[Any]) -> tuple[list[str], list[Parameter]]:
    """The names, empty if there are none, and the parameters."""
    named = [isinstance(member, tuple) for member in members]
    if any(named) and not all(named):
        raise ValueError("some parameters come with a name and some without; give all of them one, or none")
    names, parameters = ([m[0] for m in members], [m[1] for m in members]) if any(named) else ([], members)
    for parameter in parameters:
        if not isinstance(parameter, Parameter):
            raise TypeError(f"an optimizer takes parameters, not a {type(parameter).__name__}")
    return names, parameters


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}; it must be two numbers")
    return value[0], value[1]


def _number(name: str, value: Any, below: float = math.inf) -> float:
    if not isinstance(value, Real) or not 0 <= float(value) < below:
        limit = f"at least 0 and below {below:g}" if math.isfinite(below) else "a finite number of at least 0"
        raise ValueError(f"{name} is {value!r}; it must be {limit}")
    return float(value)
