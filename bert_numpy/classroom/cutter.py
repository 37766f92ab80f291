"""Stubs, cut from the package: the signature and the docstring stay, the body becomes an error with its own message.

A backward keeps one line, the one that unpacks the cache: what is in there is the library's choice, and given.

Here: stubs, the imports that a chapter needs, the lines that must not be seen in a kit.  Read next: `kit.py`.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterable, Sequence

from .exercise import Chapter, Exercise
from .source import EditError, Function, Source, free_names, source_of, span

INDENT = "    "
WIDTH = 110
LONGEST_CONSTRUCTOR = 40  # lines; a longer one is no help, and stays in the library with what is said of its arguments


def stub_message(exercise: Exercise) -> str:
    """What an untouched stub raises."""
    return f"{exercise.name}: this body is yours to write"


def stubs(exercises: Sequence[Exercise]) -> str:
    """The stub of a function, or of a class whose methods are exercises of the same chapter."""
    source = source_of(exercises[0])
    if not source.class_name:
        return _stub(source, exercises[0])
    node = next(n for n in source.tree.body if isinstance(n, ast.ClassDef) and n.name == source.class_name)
    file = source.module_name.rpartition(".")[2]
    lines = [f"class {node.name}({file}.{node.name}):"]
    methods = [item for item in node.body if isinstance(item, Function)]
    constructor = next((item for item in methods if item.name == "__init__"), None)
    if constructor is not None and not _is_shown(constructor):
        lines += [_without_parameters(source.text_of(node.body[0])), ""]
        lines += [INDENT + f"# Given, in the class of the same name in {file}.py: all else.", ""]
        methods = []
    elif ast.get_docstring(node):
        lines += [source.text_of(node.body[0]), ""]
    others = [item.name for item in methods if f"{node.name}.{item.name}" not in _solutions(exercises)]
    inherited = [name for name in others if name in _methods_needed(exercises)]
    for item in methods:
        if item.name == "__init__":
            lines += [INDENT + "# Given:", source.text_of(item), ""]
    if inherited:
        text = f"Given too, in the class of the same name in {file}.py: {', '.join(inherited)}."
        lines += [textwrap.fill(text, WIDTH, initial_indent=f"{INDENT}# ", subsequent_indent=f"{INDENT}# "), ""]
    for exercise in exercises:
        lines += [_stub(source_of(exercise), exercise), ""]
    return "\n".join(lines).rstrip("\n")


def _methods_needed(exercises: Sequence[Exercise]) -> set[str]:
    """What the solutions use of their object, and what the notes say of it; all else would only be in the way."""
    nodes = [node for e in exercises for function in source_of(e).functions for node in ast.walk(function)]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return used.union(*(re.findall(r"self\.(\w+)", exercise.notes) for exercise in exercises))


def _is_shown(constructor: Function) -> bool:
    start, end = span(constructor)
    return end - start <= LONGEST_CONSTRUCTOR


def _without_parameters(docstring: str) -> str:
    """A class's docstring up to its first section."""
    about, section, _ = docstring.partition(f"\n\n{INDENT}Parameters\n")
    return (about if "\n" not in about else f"{about}\n{INDENT}") + '"""' if section else docstring


def _stub(source: Source, exercise: Exercise) -> str:
    function = source.function
    body = source.body(function)
    start, end = span(function)
    indent = " " * (function.col_offset + 4)
    lines = _without_omitted("\n".join(source.lines[start : end - len(body)]), exercise, indent).split("\n")
    given = cache_line(function)
    if given:
        note = "# given: what the library's forward keeps"
        long = len(indent + given + note) > WIDTH
        lines += [indent + note, indent + given] if long else [f"{indent}{given}  {note}"]
    return "\n".join([*lines, f'{indent}raise NotImplementedError("{stub_message(exercise)}")'])


def _without_omitted(text: str, exercise: Exercise, indent: str) -> str:
    """A signature and docstring without what the exercise omits.

    Raises
    ------
    EditError
        If something to be left out is not there exactly once.
    """
    for piece in exercise.omits:
        if piece.isidentifier():  # a section: up to the next one, or to the end of the docstring
            pattern = rf"\n\n{indent}{piece}\n{indent}-+\n.*?(?=\n\n{indent}\w+\n{indent}---|\n{indent}\"\"\")"
        else:
            ends = piece.split(" ... ")
            pattern = r"\s*" + ".*?".join(r"\s+".join(map(re.escape, end.split())) for end in ends)
        text, count = re.subn(pattern, "", text, flags=re.DOTALL)
        if count != 1:
            raise EditError(
                f"{exercise.name}: {piece!r}, to be omitted, occurs {count} times in the docstring, not once"
            )
    return re.sub(rf'("""[^\n]*)\n{indent}"""', r'\1"""', text)  # one line, if no more is left


def cache_line(function: Function) -> str:
    """The line `a, b = cache` with which a backward begins, else empty."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    first = statements[0]
    if isinstance(first, ast.Assign) and isinstance(first.value, ast.Name) and first.value.id == "cache":
        target = first.targets[0]
        names = target.elts if isinstance(target, ast.Tuple) and len(target.elts) > 1 else [target]
        return f"{', '.join(ast.unparse(name) for name in names)} = cache"
    return ""


def imports(chapter: Chapter) -> list[str]:
    """The import lines of a chapter: every name of the library that its solutions and stubs use, but no solution."""
    hidden = {name for exercise in chapter.exercises for name in _solutions([exercise])}
    modules: set[str] = set()
    names: dict[str, set[str]] = {}
    for exercise in chapter.exercises:
        source = source_of(exercise)
        known = _importable(source)
        for name in _used(source) & known.keys():
            origin, original = known[name]
            if name in hidden and origin == source.module_name:
                continue
            if original:
                names.setdefault(origin, set()).add(original if original == name else f"{original} as {name}")
            else:
                modules.add(origin if origin == name else f"{origin} as {name}")
        if source.class_name:
            package, _, file = source.module_name.rpartition(".")
            names.setdefault(package, set()).add(file)
    plain = sorted(f"import {module}" for module in modules if module != "numpy as np")
    froms = [f"from {origin} import {', '.join(sorted(found))}" for origin, found in sorted(names.items())]
    ours, numpys = ([line for line in froms if line.startswith(f"from {name}")] for name in ("bert_numpy", "numpy"))
    standard = [line for line in froms if line not in ours + numpys]
    blocks = [["from __future__ import annotations"], [*plain, *standard], ["import numpy as np", *numpys], ours]
    return "\n\n".join("\n".join(block) for block in blocks if block).split("\n")


def _importable(source: Source) -> dict[str, tuple[str, str]]:
    """name -> (module, name in the module or ""), for all that the file of a target imports or defines."""
    known: dict[str, tuple[str, str]] = {}
    package = source.module_name.split(".")[:-1]
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            known.update({alias.asname or alias.name: (alias.name, "") for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            known.update({alias.asname or alias.name: (origin, alias.name) for alias in node.names})
        elif isinstance(node, (Function, ast.ClassDef)):
            known[node.name] = (source.module_name, node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    known[target.id] = (source.module_name, target.id)
    return {name: place for name, place in known.items() if place[0] != "__future__"}


def _used(source: Source) -> set[str]:
    """What the solution and the stub of a target read; of a class, its constructor too, if it is shown."""
    nodes: list[ast.AST] = list(source.functions)
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == source.class_name:
            constructors = [item for item in node.body if isinstance(item, Function) and item.name == "__init__"]
            nodes += [item for item in constructors if _is_shown(item)]
    return free_names(nodes)


def _solutions(exercises: Iterable[Exercise]) -> set[str]:
    """Names of targets and parts."""
    return {name for exercise in exercises for name in (exercise.name, *exercise.parts)}


def solution_lines(exercise: Exercise) -> set[str]:
    """The lines of a solution that must not stand in a kit: 12 characters or more, and more than a name or "name("."""
    source = source_of(exercise)
    lines: set[str] = set()
    for function in source.functions:
        given = squeezed(cache_line(function))
        lines |= {squeezed(line) for line in _without_comments(source.body(function))} - {given}
    return {line for line in lines if len(line) >= 12 and not re.fullmatch(r"[\w.]+[(,]?", line)}


def squeezed(line: str) -> str:
    """A line without any white space."""
    return "".join(line.split())


def _without_comments(lines: list[str]) -> list[str]:
    text = "\n".join(lines) + "\n"
    kept = list(lines)
    try:
        for token in tokenize.generate_tokens(io.StringIO("if True:\n" + text).readline):
            if token.type == tokenize.COMMENT:
                row = token.start[0] - 2
                kept[row] = kept[row][: token.start[1]]
    except (tokenize.TokenError, IndentationError):
        pass
    return kept
