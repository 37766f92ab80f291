"""How a function is called, and what of the call is looked at: the same for a student's function and for a solution.

Everything that comes out is flattened to {path: leaf}, with arrays, numbers and text as leaves, so that it can be sent
from one process to another and compared there.

Here: kinds of calls, flattening.  This file is part of what a graded submission runs beside; it knows no exercise.
Not here: comparison (`comparing.py`).
"""

from __future__ import annotations

import copy
import importlib
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn.module import Module, Parameter

LONGEST_MESSAGE = 300
LONGEST_TEXT = 10_000

Flat = dict[str, Any]  # path -> ndarray, or bool, int, float, str, None


class WrongReturn(TypeError):
    """What came back, or what was defined, is not of the kind that was asked for; the message is for the student."""


def observe(call: str, function: Callable[..., Any], args: tuple[Any, ...]) -> dict[str, Any]:
    """Call a function once; whatever it does is an observation.

    Parameters
    ----------
    call : str
        A key of `CALLS`.
    function : callable
    args : tuple
        Positional arguments; the function may write into them, so give it a copy.

    Returns
    -------
    dict
        `outputs` and `arguments` (afterwards), both flat; or `error` and its `kind`: "return", "stub" or "error".
    """
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():  # an overflow shows in the outputs
            warnings.simplefilter("ignore")
            outputs = CALLS[call](function, *args)
        return {"outputs": flatten(outputs), "arguments": flatten_arguments(args)}
    except WrongReturn as error:
        return {"error": str(error), "kind": "return"}
    except NotImplementedError as error:
        return {"error": str(error)[:LONGEST_MESSAGE], "kind": "stub"}
    except MemoryError:
        return {"error": "MemoryError: more memory is asked for than there may be", "kind": "error"}
    except (Exception, SystemExit) as error:
        return {"error": describe(error), "kind": "error"}


def describe(error: BaseException) -> str:
    """An error in one line, with the line of the student's file where it was raised, if it was."""
    name = type(error).__name__
    try:
        message = " ".join(str(error).split())
    except Exception:  # the error is the student's own
        message = ""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file.startswith("<kit> "):
            place = f" ({file.removeprefix('<kit> ')}, line {line})"
    if name == "BdbQuit":
        message = "nobody is at the keyboard during a check, so the debugger cannot be used"
    if message == "can't start new thread":
        message += "; a check has no room for more of them, or no memory is left"
    return f"{name}{': ' if message else ''}{message}"[:LONGEST_MESSAGE] + place


def new_namespace() -> dict[str, Any]:
    """Names for the cells of a chapter; not `__main__`, so that what a student tries out below stays out."""
    module = types.ModuleType("chapter")
    sys.modules["chapter"] = module  # where data classes look up their module
    return vars(module)


def run_cell(name: str, source: str, namespace: dict[str, Any]) -> str:
    """Run a cell; the error in one line if there is one."""
    try:
        exec(compile(source, f"<kit> {name}", "exec"), namespace)  # annotations stay text, as at the top of this file
    except SyntaxError as error:
        return f"SyntaxError: {error.msg} ({name}, line {error.lineno})"
    except (Exception, SystemExit) as error:
        return describe(error)
    return ""


def use_library(others: list[tuple[str, str]], namespace: dict[str, Any]) -> None:
    """Put the library's functions in the place of other exercises of the chapter, so that one mistake counts once."""
    for name, module in others:
        if name in namespace:
            namespace[name] = getattr(importlib.import_module(module), name)


def find_function(name: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """The student's function, or method, that an exercise asks for.

    A method is called on an object of the library's class, so that what the class inherits is right whatever else the
    student wrote; helper methods of the student's class come with it.

    Raises
    ------
    WrongReturn
        If there is none.
    """
    first, _, method = name.partition(".")
    found = namespace.get(first)
    if found is None:
        raise WrongReturn(f"{first} is not defined")
    if method:
        if not isinstance(found, type) or not callable(vars(found).get(method)):
            raise WrongReturn(f"{name} is not defined: there is no class {first} with a method {method}")
        return as_method(vars(found)[method], found)
    if not callable(found):
        raise WrongReturn(f"{name} is no function but {_kind(found)}")
    return found


def as_method(function: Callable[..., Any], owner: type) -> Callable[..., Any]:
    """A function of (self, ...) that gives `self` the methods of `owner` that it lacks, before it calls `function`."""

    def method(self: Any, *args: Any) -> Any:
        helpers = {name: value for name, value in vars(owner).items() if not hasattr(type(self), name)}
        self.__class__ = type(type(self).__name__, (type(self),), helpers)
        return function(self, *args)

    return method


# ---- kinds of calls ----


def value(function: Callable[..., Any], *args: Any) -> Any:
    """What is returned."""
    result = function(*args)
    if result is None:
        raise WrongReturn("it returns None; is there a `return`?")
    return result


def forward(function: Callable[..., Any], *args: Any) -> Any:
    """The outputs of `outputs, cache = f(...)`; the cache may be anything."""
    result = value(function, *args)
    if not isinstance(result, tuple) or len(result) != 2:
        found = f"{len(result)} values" if isinstance(result, tuple) else f"one {_kind(result)}"
        raise WrongReturn(f"it returns {found}; a forward returns two things, the outputs and a cache")
    if result[0] is None:
        raise WrongReturn("the first thing that it returns is None; that is the place of the outputs")
    return result[0]


def backward(function: Callable[..., Any], *args: Any) -> Any:
    """What is returned; with it, for a method, the gradients that the parameters of the object received."""
    if not (args and isinstance(args[0], Module)):
        return value(function, *args)
    args[0].zero_grad()
    returned = function(*args)
    gradients = {f"d{name}": parameter.grad for name, parameter in args[0].named_parameters()}
    return {"returned": returned, **gradients}


def arguments(function: Callable[..., Any], *args: Any) -> Any:
    """The arguments afterwards."""
    function(*args)
    return args


# ---- calls of one kind of function ----


def mask(function: Callable[..., Any], attention_mask: np.ndarray, shape: tuple[int, int], dtype: np.dtype) -> Any:
    """What is returned, in units of the largest number of the dtype: as it is, squares of it would be infinite."""
    result = value(function, attention_mask, shape, dtype)
    is_float = isinstance(result, np.ndarray) and result.dtype.kind == "f"
    return result / float(np.finfo(dtype).max) if is_float else result


def attend(function: Callable[..., Any], *args: Any) -> Any:
    """The two outputs of `context, weights, cache = f(...)`."""
    result = value(function, *args)
    if not isinstance(result, tuple) or len(result) != 3:
        raise WrongReturn("it is to return three things: the context, the attention weights and a cache")
    return result[:2]


def slope_of(function: Callable[..., Any], weights: np.ndarray, x: np.ndarray, h: float) -> Any:
    """What is returned for a function of x that bends, and x afterwards."""
    weights, x = weights.astype(np.float64), x.astype(np.float64)

    def f() -> float:
        return float((weights * np.sin(x) + x**3).sum() + np.cos(x.sum()))

    return {"gradient": value(function, f, x, h), "x afterwards": x}


def clip(function: Callable[..., Any], parameters: list[Parameter], max_norm: float) -> Any:
    """What is returned, and the gradients afterwards; those of copies, as in `update`."""
    parameters = copy.deepcopy(parameters)
    return {"norm": value(function, parameters, max_norm), "gradients": [parameter.grad for parameter in parameters]}


def update(function: Callable[..., Any], arrays: dict[str, np.ndarray], numbers: dict[str, float]) -> Any:
    """The arrays after an update in place, which also gets one to write intermediate results into.

    They are copies: what is left in the arguments is compared to the last bit, what is returned here is not.
    """
    arrays = copy.deepcopy(arrays)
    function(*arrays.values(), np.full_like(next(iter(arrays.values())), 7.0), **numbers)
    return arrays


def rule(function: Callable[..., Any], weights: list[np.ndarray], steps: list[Any], options: dict[str, Any]) -> Any:
    """Weights and state after some steps of an `AdamW` whose rule this is; a gradient may be None."""
    from ..training.optimizers import AdamW  # here and below: most calls need no training, and start sooner

    parameters = [Parameter(array.copy()) for array in weights]
    optimizer = AdamW([{"params": [parameter]} for parameter in parameters], **options)
    optimizer._rule = lambda parameter, group: function(optimizer, parameter, group)  # type: ignore[method-assign]
    for gradients in steps:
        optimizer.zero_grad()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.accumulate(gradient)
        optimizer.step()
    return {"weights": [p.data for p in parameters], "state": [optimizer.state.get(p) for p in parameters]}


def schedule(function: Callable[..., Any], lr: float, *numbers: Any) -> Any:
    """The rates of each step, until a little after the last one."""
    from ..training.optimizers import SGD
    from ..training.schedules import LambdaLR

    scheduler = value(function, SGD([Parameter(np.zeros(1))], lr=lr), *numbers)
    if not isinstance(scheduler, LambdaLR):
        raise WrongReturn(f"it returns {_kind(scheduler)}, not a LambdaLR")
    rates = []
    for _ in range(numbers[1] + 3):
        rates += scheduler.get_last_lr()
        scheduler.step()
    return {"rates": np.array(rates, np.float64)}


def training_step(function: Callable[..., Any], model: Module, batches: list[Any], scale: float) -> Any:
    """What is returned for each batch, and the gradients of all of them together."""
    from ..training.arguments import TrainingArguments
    from ..training.trainer import Trainer

    trainer = Trainer(model=model, args=TrainingArguments(disable_tqdm=True))
    losses = [value(function, trainer, model, batch, scale) for batch in batches]
    return {"loss": losses, **{f"d{name}": parameter.grad for name, parameter in model.named_parameters()}}


CALLS: dict[str, Callable[..., Any]] = {
    "value": value,
    "forward": forward,
    "backward": backward,
    "arguments": arguments,
    "mask": mask,
    "attend": attend,
    "slope_of": slope_of,
    "clip": clip,
    "update": update,
    "rule": rule,
    "schedule": schedule,
    "training_step": training_step,
}


IN_PLACE = {"update", "clip", "rule"}  # what is looked at are arrays that the function was given


def do_nothing(*args: Any, **kwargs: Any) -> tuple[Callable[..., None], list[np.ndarray]]:
    """For each kind of call in place a function that writes nowhere; for a rule, a rule that has such an update."""
    return (lambda *args, **kwargs: None), []


# ---- flat trees ----


def flatten(tree: Any, path: str = "") -> Flat:
    """{path: leaf} of nested tuples, lists, ranges, dicts, modules and parameters.

    >>> flatten((1.5, {"a": [True, "b"]}))
    {'0': 1.5, '1.a.0': True, '1.a.1': 'b'}
    """
    if isinstance(tree, Parameter):
        return flatten((tree.data, tree.grad), path)
    if isinstance(tree, Module):
        return flatten(dict(tree.named_parameters()), path)
    if isinstance(tree, dict):
        items = [(str(key), item) for key, item in tree.items()]
    elif isinstance(tree, (tuple, list, range)):
        items = [(str(i), item) for i, item in enumerate(tree)]
    elif isinstance(tree, (np.ndarray, np.generic)):
        array = np.asarray(tree)
        return {path: array if array.dtype.kind in "biufc" else f"<array of {array.dtype}>"}
    elif tree is None or type(tree) in (bool, int, float):
        return {path: tree}
    elif type(tree) is str:
        return {path: tree[:LONGEST_TEXT]}
    else:
        return {path: f"<{type(tree).__name__}>"}
    if not items:
        return {path: f"<empty {type(tree).__name__}>"}
    flat: Flat = {}
    for key, item in items:
        flat.update(flatten(item, f"{path}.{key}" if path else key))
    return flat


def flatten_arguments(args: tuple[Any, ...]) -> Flat:
    """The arguments of a call; of a module the weights alone, for it may receive gradients."""
    return flatten(tuple(dict(arg.state_dict()) if isinstance(arg, Module) else arg for arg in args))


def _kind(thing: Any) -> str:
    return "array" if isinstance(thing, np.ndarray) else type(thing).__name__
