"""What a student is told, in three rungs: words about kind and shape, the named mistake, then numbers.

A mistake is named only where the student's outputs equal those of the solution with this one mistake, in every call;
everything else gets numbers, never a guess.  No feedback quotes the solution.

Here: from differences to sentences.  Not here: how outputs are compared (`comparing.py`), which mistakes they are
(`recognition.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from .calls import IN_PLACE
from .comparing import Answers, Call, Difference, Observation, differences
from .cutter import stub_message
from .exercise import Exercise, Mistake
from .recognition import recognize
from .slopes import slope
from .source import output_names, source_of

MOST_LINES = 5
MOST_TOKENS = 12
LONGEST_SHOWN = 120  # characters of a result
KEEPDIMS = "; where a sum, a mean or a max takes an axis away, `keepdims=True` leaves it there with length 1"
TYPICAL_ERROR = {"float64": "1e-15", "float32": "1e-7"}


@dataclass(frozen=True)
class Feedback:
    """The result of one exercise, in words.

    Parameters
    ----------
    rung : "passed", "not begun", "words", "mistake" or "numbers"
    lines : tuple of str
        For the student.
    mistakes : tuple of Mistake
        Those that were recognised.
    """

    rung: str
    lines: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()

    @property
    def passed(self) -> bool:
        return self.rung == "passed"

    @property
    def named(self) -> str:
        """The names of the mistakes; empty if none was recognised."""
        return " and ".join(mistake.name for mistake in self.mistakes)


def give_feedback(answers: Answers, actual: Sequence[Observation]) -> Feedback:
    """Compare a student's observations with the solution's and say what is wrong with them.

    Parameters
    ----------
    answers : Answers
        Right and wrong ones.
    actual : sequence of Observation
        The student's, one for each call.
    """
    exercise, calls, expected = answers.exercise, answers.calls, answers.right
    found = differences(calls, expected, actual)
    if not found:
        return Feedback("passed", ())
    failed = next((i for i, observation in enumerate(actual) if observation.error), None)
    if failed is not None:
        if actual[failed].kind == "stub" and stub_message(exercise) in actual[failed].error:
            return Feedback("not begun", (f"{exercise.name} is still the stub: it raises NotImplementedError",))
        return Feedback("words", _error_words(exercise, calls[failed], actual[failed]))
    recognized = recognize(answers, actual)
    if recognized.mistakes:
        lines = [f"{mistake.name}: {mistake.says}" for mistake in recognized.mistakes]
        if recognized.other_dtype:
            dtypes = [difference for difference in found if difference.kind == "dtype"]
            lines += [f"besides, {_kind_words(exercise, calls[d.call], expected, actual, d)}" for d in dtypes[:1]]
        return Feedback("mistake", tuple(lines), recognized.mistakes)
    words = _unchanged_words(answers, actual, found) or _words(exercise, calls, expected, actual, found)
    if words:
        return Feedback("words", words)
    return Feedback("numbers", _numbers(exercise, calls, expected, found, answers.variants))


# ---- words ----


def _error_words(exercise: Exercise, call: Call, observation: Observation) -> tuple[str, ...]:
    if observation.kind in ("return", "stub"):
        return (f"{exercise.name}: {observation.error}",)
    tip = KEEPDIMS if _lost_an_axis(observation.error) else ""
    return (f"{call_text(exercise, call)} raises {observation.error}{tip}",)


def _lost_an_axis(error: str) -> bool:
    """Whether two shapes do not fit because the one is the other with an axis taken away."""
    found = re.search(r"operands could not be broadcast together with shapes \(([\d,]+)\) \(([\d,]+)\)", error)
    shapes = sorted((re.findall(r"\d+", group) for group in found.groups()), key=len) if found else []
    return bool(shapes) and any(shapes[0] == [*shapes[1][:i], *shapes[1][i + 1 :]] for i in range(len(shapes[1])))


def _words(
    exercise: Exercise,
    calls: Sequence[Call],
    expected: Sequence[Observation],
    actual: Sequence[Observation],
    found: Sequence[Difference],
) -> tuple[str, ...]:
    """About structure, type, shape, dtype, NaN, or arguments that were written to: the first kind that there is."""
    for kind in ("structure", "type", "shape", "nan"):
        for difference in found:
            if difference.kind == kind:
                return (_kind_words(exercise, calls[difference.call], expected, actual, difference),)
    if any(difference.kind in ("values", "text") for difference in found):
        return ()
    for difference in found:
        if difference.kind == "argument":
            name = argument_name(exercise, difference.path)
            return (f"the outputs are right, but the argument {name} is changed afterwards; work on a copy of it",)
        if difference.kind == "dtype":
            return (_kind_words(exercise, calls[difference.call], expected, actual, difference),)
    return ()


def _unchanged_words(answers: Answers, actual: Sequence[Observation], found: Sequence[Difference]) -> tuple[str, ...]:
    """About arrays that were to be written into and are, in every call, as they were."""
    exercise, calls = answers.exercise, answers.calls
    if exercise.call not in IN_PLACE:
        return ()
    written = {d.path for d in differences(calls, answers.untouched, actual)}
    unchanged = [path for path in dict.fromkeys(d.path for d in found if d.kind == "values") if path not in written]
    if not unchanged:
        return ()
    names = ", ".join(output_name(exercise, path) for path in unchanged)
    one = len(unchanged) == 1
    given, it = ("array that you were given is", "it") if one else ("arrays that you were given are", "them")
    return (
        f"the {given} unchanged: {names}.  Write into {it}, `p -= ...` or `p[...] = ...`; `p = p - ...` makes a new "
        "array and leaves the old one as it was",
    )


def _kind_words(
    exercise: Exercise,
    call: Call,
    expected: Sequence[Observation],
    actual: Sequence[Observation],
    difference: Difference,
) -> str:
    name = output_name(exercise, difference.path)
    if difference.kind == "structure":
        return _structure_words(exercise, call, expected[difference.call], actual[difference.call])
    if difference.kind == "type":
        return f"{name} is {difference.actual!r}, not an array"
    if difference.kind == "shape":
        return f"{name} has shape {difference.actual}, expected {difference.expected}, for {call_text(exercise, call)}"
    if difference.kind == "dtype":
        if type((expected[difference.call].outputs or {}).get(difference.path)) is float:
            return f"{name} is {difference.actual}; asked for is a Python float, `float(...)`"
        remedy = (
            "; NumPy scalars such as np.sqrt(2) widen it, and np.zeros(shape) makes float64; math.sqrt(2), Python "
            "numbers and np.zeros_like(x) keep it"
        )
        widened = difference.expected == np.float32 and difference.actual == np.float64
        return (
            f"{name} is {difference.actual}, expected {difference.expected}: the dtype of the inputs is kept"
            f"{remedy if widened else ''}"
        )
    place = f"{name}{list(difference.where) if difference.where else ''}"
    wanted = "a finite number" if np.isfinite(difference.expected) else difference.expected
    return f"{place} is {difference.actual}, expected {wanted}, for {call_text(exercise, call)}"


def _structure_words(exercise: Exercise, call: Call, expected: Observation, actual: Observation) -> str:
    """How many outputs there are; if that is right, the place that is built otherwise."""
    mine, right = (_tree(observation) for observation in (actual, expected))
    if _is_numeric(expected):
        counts = [len(tree) if isinstance(tree, (list, dict)) else 1 for tree in (mine, right)]
        if counts[0] != counts[1]:
            given, wanted = (f"{count} outputs" if count != 1 else "one output" for count in counts)
            return f"{exercise.name} returns {given}; asked for is {wanted}"
    place, mine, right = _narrowed(mine, right)
    said = f": the result{place} is" if place else " returns"
    both = [observation.outputs or {} for observation in (actual, expected)]
    shown = {path: tuple(outputs[path] for outputs in both if path in outputs) for path in {**both[0], **both[1]}}
    return (
        f"{call_text(exercise, call)}{said} {_shortened(mine)}, expected {_shortened(right)}"
        f"{_tokens(exercise, call, shown)}"
    )


class _Shape(str):
    """An array, told by its shape."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _tree(observation: Observation) -> Any:
    """What was returned, with the shapes of arrays in their place; of a backward of a module without its parameters."""
    flat = observation.outputs or {}
    arrays = {path: _Shape(_argument_text(leaf)) for path, leaf in flat.items() if isinstance(leaf, np.ndarray)}
    tree = unflatten({**flat, **arrays})
    return tree["returned"] if isinstance(tree, dict) and "returned" in tree else tree


def _narrowed(mine: Any, right: Any) -> tuple[str, Any, Any]:
    """The first place at which two trees differ, and what stands there; the whole trees where they are short."""
    place = ""
    while max(len(repr(mine)), len(repr(right))) > LONGEST_SHOWN:
        if isinstance(mine, dict) and isinstance(right, dict) and list(mine) == list(right):
            keys: Any = list(mine)
        elif isinstance(mine, list) and isinstance(right, list) and len(mine) == len(right):
            keys = range(len(mine))
        else:
            break
        different = next((key for key in keys if repr(mine[key]) != repr(right[key])), None)
        if different is None:
            break
        place, mine, right = f"{place}[{different!r}]", mine[different], right[different]
    return place, mine, right


def _is_numeric(observation: Observation) -> bool:
    return any(isinstance(leaf, np.ndarray) for leaf in (observation.outputs or {}).values())


# ---- numbers ----


def _numbers(
    exercise: Exercise,
    calls: Sequence[Call],
    expected: Sequence[Observation],
    found: Sequence[Difference],
    variants: Sequence[str],
) -> tuple[str, ...]:
    texts = [difference for difference in found if difference.kind == "text"]
    if texts and not _is_numeric(expected[texts[0].call]):
        first = texts[0]
        place = unflatten_path(first.path)
        called = call_text(exercise, calls[first.call])
        line = f"{called}: the result{place} is {first.actual!r}, expected {first.expected!r}"
        return (line + _tokens(exercise, calls[first.call], {first.path: (first.actual, first.expected)}),)
    wrong = [difference for difference in found if difference.kind in ("values", "text", "dtype")]
    first_call = wrong[0].call
    of_call = [difference for difference in wrong if difference.call == first_call]
    lines = [_number_line(exercise, calls[first_call], difference, variants) for difference in of_call[:MOST_LINES]]
    lines[0] = f"for {call_text(exercise, calls[first_call])}, {lines[0]}"
    if len(of_call) > MOST_LINES:
        lines.append(f"{len(of_call) - MOST_LINES} more outputs are wrong")
    outputs = expected[first_call].outputs or {}
    bad = {difference.path for difference in wrong}
    right = [output_name(exercise, path) for path in outputs if path not in bad]
    if right and bad:
        lines.append(f"right: {', '.join(right[:6])}{', ...' if len(right) > 6 else ''}")
    if any(difference.kind == "values" for difference in of_call):
        dtype = calls[first_call].dtype
        lines.append(f"a correct {dtype} answer differs by about {TYPICAL_ERROR[dtype]} of the RMS")
    return tuple(lines)


def _number_line(exercise: Exercise, call: Call, difference: Difference, variants: Sequence[str]) -> str:
    name = output_name(exercise, difference.path)
    place = f"{name}{list(difference.where)}" if difference.where else name
    if difference.kind == "dtype":
        return f"{name} is {difference.actual}, expected {difference.expected}"
    actual, right = _told_apart(difference.actual, difference.expected)
    line = f"{name} is wrong: {place} is {actual}, expected {right}"
    line += _tokens(exercise, call, {difference.path: (difference.actual, difference.expected)})
    if difference.kind == "values":
        line += f"; max|d|/RMS is {difference.error:.2g}"
    measured = slope(exercise, call, difference.path, difference.where, variants) if exercise.of else None
    if measured is not None:
        where = f"{measured[0]}{list(difference.where) if difference.where else ''}"
        line += (
            f". It is not the slope of the forward, which finite differences find to be {measured[1]:.6g} in {where}"
        )
    return line


def _tokens(exercise: Exercise, call: Call, shown: dict[str, tuple[Any, ...]]) -> str:
    """The tokens of the ids among the leaves that are shown, as the end of a sentence."""
    if not exercise.ids:
        return ""
    vocab = getattr(call.args[0], "tokenizer", call.args[0]).vocab
    tokens = {token_id: token for token, token_id in vocab.items()}
    ids = [leaf for path, leaves in shown.items() if fnmatch(path, exercise.ids) for leaf in leaves]
    known = [leaf for leaf in dict.fromkeys(leaf for leaf in ids if type(leaf) is int) if leaf in tokens]
    named = ", ".join(f"{token_id} is {tokens[token_id]!r}" for token_id in known[:MOST_TOKENS])
    return f"; {named}{', ...' if len(known) > MOST_TOKENS else ''}" if named else ""


# ---- names ----


def call_text(exercise: Exercise, call: Call) -> str:
    """A call as one would write it: texts and numbers as they are, arrays by their shapes."""
    args = call.args[1:] if "." in exercise.name else call.args
    shown = ", ".join(_argument_text(arg) for arg in args)
    return f"{exercise.name}({shown})" + (" in float32" if call.dtype == "float32" else "")


def _argument_text(arg: Any) -> str:
    if isinstance(arg, np.ndarray):
        return f"array{list(arg.shape)}"
    if isinstance(arg, float):
        return _short(arg)
    if arg is None or isinstance(arg, (bool, int, str)):
        return repr(arg)
    if isinstance(arg, (tuple, list, dict)) and len(arg) <= 20:  # a cache holds many arrays, whose text takes long
        items = arg.values() if isinstance(arg, dict) else arg
        text = repr(arg) if all(item is None or type(item) in (bool, int, float, str) for item in items) else "..."
        return text if len(text) <= 60 else "..."
    if isinstance(arg, (tuple, list, dict)):
        return "..."
    return f"<{type(arg).__name__}>"


def output_name(exercise: Exercise, path: str) -> str:
    """What an output is called: as the solution's `return` calls it, or by its place."""
    names = output_names(exercise)
    place = path.removeprefix("returned").removeprefix(".")
    if place == "" and len(names) == 1:
        return names[0]
    first, _, rest = place.partition(".")
    if first.isdecimal() and int(first) < len(names):
        return names[int(first)] + unflatten_path(rest)
    if exercise.call in IN_PLACE:
        return first + unflatten_path(rest)
    if place == "":
        return "y" if exercise.call == "forward" else "the result"
    return "the result" + unflatten_path(place) if first.isdecimal() else place


def argument_name(exercise: Exercise, path: str) -> str:
    """The name of an argument by its place in the flat arguments."""
    number, _, rest = path.partition(".")
    names = [argument.arg for argument in source_of(exercise).function.args.args]
    return names[int(number)] + unflatten_path(rest) if number.isdecimal() and int(number) < len(names) else path


def unflatten_path(path: str) -> str:
    """`0.1.a` as one would index: `[0][1]['a']`."""
    return "".join(f"[{part}]" if part.isdecimal() else f"[{part!r}]" for part in path.split(".") if part)


def unflatten(flat: Any) -> Any:
    """Lists and dicts again, of {path: leaf}."""
    if flat is None or "" in flat:
        leaf = None if flat is None else flat[""]
        return [] if isinstance(leaf, str) and leaf.startswith("<empty") else leaf
    groups: dict[str, dict[str, Any]] = {}
    for path, leaf in flat.items():
        first, _, rest = path.partition(".")
        groups.setdefault(first, {})[rest] = leaf
    items = {key: unflatten(group) for key, group in groups.items()}
    return list(items.values()) if all(key.isdecimal() for key in items) else items


def _short(number: Any) -> str:
    return f"{number:.6g}" if isinstance(number, float) else repr(number)


def _told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Two numbers with six digits, or as many as it takes to see that they differ."""
    if not (isinstance(first, float) and isinstance(second, float)):
        return _short(first), _short(second)
    texts = ((f"{first:.{digits}g}", f"{second:.{digits}g}") for digits in range(6, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (repr(first), repr(second)))


def _shortened(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
