"""The source of a target: found by the syntax tree, edited, compiled beside the original.

    source = Source("bert_numpy.nn.functional:softmax_forward", parts=("_softmax",))
    source.text                    # the code of both
    source.edited([(old, new)])    # the function that the edited code defines
    source.without()               # the whole file, with the bodies cut out

Nothing is repeated from the package and nothing in it changes: an edited function is compiled in a copy of the names of
its file.

Here: text, edits, what names a function uses.  Not here: the stub that a student gets (`cutter.py`).
"""

from __future__ import annotations

import ast
import importlib
import types
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from .exercise import Edit, Exercise

Function = ast.FunctionDef


class EditError(ValueError):
    """An edit that does not fit the source that it was written for."""


class Source:
    """A function, or a method, of this package, and helpers beside it.

    Parameters
    ----------
    target : str
        "module:function" or "module:Class.method".
    parts : sequence of str
        Further functions, or methods, of the same file.

    Raises
    ------
    ValueError
        If there is no such function.

    Examples
    --------
    >>> source = Source("bert_numpy.nn.functional:relu_forward")
    >>> print(source.code)
    return np.maximum(x, 0), x
    """

    def __init__(self, target: str, parts: Sequence[str] = ()) -> None:
        self.module_name, _, self.name = target.partition(":")
        self.names = (self.name, *parts)
        self.lines, self.tree = _parsed(self.module_name)
        self.functions = [self._find(name) for name in self.names]

    @cached_property
    def module(self) -> types.ModuleType:
        return importlib.import_module(self.module_name)

    @property
    def class_name(self) -> str:
        """The class of a method, else empty."""
        return self.name.rpartition(".")[0]

    @property
    def function(self) -> Function:
        """The target's own node."""
        return self.functions[0]

    @property
    def original(self) -> Callable[..., Any]:
        """The library's function."""
        return _member(vars(self.module), self.name)

    @property
    def text(self) -> str:
        """The code of the target and its parts, docstrings included: what edits are made to."""
        return "\n".join(self.text_of(function) for function in self.functions)

    @property
    def code(self) -> str:
        """The body of the target, without its docstring."""
        return "\n".join(line.strip() for line in self.body(self.function))

    def text_of(self, node: ast.stmt) -> str:
        """The lines of a statement as they stand in the file, decorators included."""
        return "\n".join(self.lines[slice(*span(node))])

    def body(self, function: Function) -> list[str]:
        """The lines of a function below its signature and docstring."""
        statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
        above = span(function.body[0])[1] if statements is not function.body else statements[0].lineno - 1
        return self.lines[above : span(function)[1]]

    def edited(self, edits: Iterable[Edit]) -> Callable[..., Any]:
        """The function that the source defines after some edits, one after the other.

        Raises
        ------
        EditError
            If a text to be replaced does not occur exactly once, or nothing that compiles is left.
        """
        lines = list(self.lines)
        for function, text in zip(self.functions, self.edited_texts(edits), strict=True):
            start, end = span(function)
            lines[start:end] = [text, *[""] * (end - start - 1)]  # the numbers of the other lines stay
        wanted = {name.partition(".")[0] for name in self.names}
        nodes = [node for node in self.tree.body if getattr(node, "name", None) in wanted]
        namespace = dict(vars(self.module))
        for node in nodes:
            code = "\n".join(lines[slice(*span(node))])
            try:
                exec(compile(code, f"<{self.name}, edited>", "exec"), namespace)  # annotations stay text, as here
            except SyntaxError as error:
                raise EditError(f"{self.name}: the edit leaves no Python: {error.msg}") from None
        return _member(namespace, self.name)

    def edited_texts(self, edits: Iterable[Edit]) -> list[str]:
        """The code of the target and of each part after some edits; errors as `edited`."""
        texts = [self.text_of(function) for function in self.functions]
        for edit in edits:
            for old, new in edit.replacements:
                count = sum(text.count(old) for text in texts)
                if count != 1:
                    raise EditError(f"{self.name}, {edit.name!r}: {old!r} occurs {count} times in the source, not once")
                texts = [text.replace(old, new) for text in texts]
        return texts

    def without(self, message: str) -> str:
        """The text of the whole file, with every body cut out and an error in its place."""
        lines = list(self.lines)
        for function in self.functions:
            body = self.body(function)
            start = span(function)[1] - len(body)
            indent = " " * (function.col_offset + 4)
            lines[start : start + len(body)] = [f"{indent}raise NotImplementedError({message!r})"] + [""] * (
                len(body) - 1
            )
        return "\n".join(lines) + "\n"

    def _find(self, name: str) -> Function:
        nodes: Sequence[ast.stmt] = self.tree.body
        for part in name.split("."):
            found = [node for node in nodes if getattr(node, "name", None) == part]
            if not found:
                raise ValueError(f"{self.module_name} has no {name}")
            nodes = found[-1].body if isinstance(found[-1], ast.ClassDef) else [found[-1]]
        if not isinstance(nodes[0], Function):
            raise ValueError(f"{self.module_name}:{name} is no function")
        return nodes[0]


def source_of(exercise: Exercise) -> Source:
    """The source of an exercise's target and parts."""
    return Source(exercise.target, exercise.parts)


def solution(exercise: Exercise, variants: Sequence[str] = (), *mistakes: Edit) -> Callable[..., Any]:
    """The right function: the library's, or the variant that is asked for; or a wrong one.

    Raises
    ------
    EditError
        If a mistake, or the variant, does not fit the source; if two mistakes are about the same text.
    """
    variant, source = exercise.variant(tuple(variants)), source_of(exercise)
    edits = [*([variant] if variant else []), *mistakes]
    if len(mistakes) > 1:
        source.edited_texts([*edits[: len(edits) - len(mistakes)], *reversed(mistakes)])  # must be possible too
    return source.edited(edits) if edits else source.original


def output_names(exercise: Exercise) -> tuple[str, ...]:
    """What the outputs are called, read from the solution's `return`: ("dx", "dweight", "dbias").

    Empty where the last `return` is not a tuple of names (or, of a forward, a name or such a tuple before the cache).
    A backward that returns one thing without a name returns the gradient of its forward's first argument.
    """
    returns = [node for node in ast.walk(source_of(exercise).function) if isinstance(node, ast.Return)]
    value: ast.expr | None = max(returns, key=lambda node: node.lineno).value if returns else None
    if exercise.call == "forward":
        value = value.elts[0] if isinstance(value, ast.Tuple) else None
    if isinstance(value, ast.Name) and exercise.call in ("forward", "backward"):
        return (value.id,)
    if isinstance(value, ast.Tuple) and all(isinstance(item, ast.Name) for item in value.elts):
        return tuple(item.id for item in value.elts if isinstance(item, ast.Name))
    if exercise.of and value is not None and not isinstance(value, ast.Tuple):
        arguments = [argument.arg for argument in Source(exercise.of).function.args.args if argument.arg != "self"]
        return (f"d{arguments[0]}",)
    return ()


def span(node: ast.stmt) -> tuple[int, int]:
    """First line of a statement, from 0, decorators included, and the line after its last."""
    decorators = getattr(node, "decorator_list", [])
    assert node.end_lineno is not None
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1, node.end_lineno


def free_names(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that code reads; those that it defines itself are among them, where it reads these too."""
    return {node.id for root in nodes for node in ast.walk(root) if isinstance(node, ast.Name) and node.id != "self"}


@cache
def _parsed(module_name: str) -> tuple[list[str], ast.Module]:
    path = importlib.import_module(module_name).__file__
    assert path is not None
    text = Path(path).read_text(encoding="utf-8")
    return text.split("\n"), ast.parse(text)


def _member(namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    first, *rest = name.split(".")
    found = namespace[first]
    for part in rest:
        found = vars(found)[part]
    return found
