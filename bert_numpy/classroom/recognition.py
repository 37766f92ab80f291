"""Which known mistakes a wrong answer is made of: one or several, and maybe another dtype besides.

A mistake is named only where all that it changes equals what the student returned, in every call, and only if the
mistakes that are found explain all that is wrong.  One mistake explains an output, or two that were made at once; where
two explanations of the same output are equally good, none is given.

Here: names.  Not here: how outputs are compared (`comparing.py`), what is said (`feedback.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .comparing import Answers, Observation, differences
from .exercise import Mistake

Places = set[tuple[bool, str]]  # whether it is an argument, and the path
Known = Iterable[tuple[tuple[Mistake, ...], list[Observation]]]
Present = list[tuple[tuple[Mistake, ...], Places]]  # mistakes, and the places that they change


@dataclass(frozen=True)
class Recognized:
    """The mistakes of an answer.

    Parameters
    ----------
    mistakes : tuple of Mistake
        None if the answer is not made of known ones alone.
    other_dtype : bool
        Whether the answer is theirs in all but the dtype, float64 for float32 or the other way round.
    """

    mistakes: tuple[Mistake, ...] = ()
    other_dtype: bool = False


def recognize(answers: Answers, actual: Sequence[Observation]) -> Recognized:
    """Find the known mistakes that explain an answer in full.

    Parameters
    ----------
    answers : Answers
        Right and wrong ones.
    actual : sequence of Observation
        A wrong answer that raised no error.
    """
    asked = [_in_dtypes_of(right, mine) for right, mine in zip(answers.right, actual, strict=True)]
    candidates = [(actual, False)]
    if any(a is not b for a, b in zip(asked, actual, strict=True)) and differences(answers.calls, answers.right, asked):
        candidates.append((asked, True))
    for candidate, other_dtype in candidates:
        for mistake, wrong in answers.wrong:
            if not differences(answers.calls, wrong, candidate):
                return Recognized((mistake,), other_dtype)
    for candidate, other_dtype in candidates if answers.has_float_outputs else ():
        mistakes = _several(answers, candidate)
        if mistakes:
            return Recognized(mistakes, other_dtype)
    return Recognized()


def _several(answers: Answers, actual: Sequence[Observation]) -> tuple[Mistake, ...]:
    """Mistakes that each explain some outputs, and together all that are wrong; else none."""
    wrong = _places(answers, answers.right, actual)
    singles, left = _cover(_present(answers, [((mistake,), o) for mistake, o in answers.wrong], actual, wrong), wrong)
    if not left:
        return singles
    pairs = _present(answers, answers.twice_wrong, actual, wrong)
    pair, unexplained = _cover([(mistakes, changed) for mistakes, changed in pairs if changed == wrong], wrong)
    if not unexplained:
        return pair
    more, left = _cover(pairs, left)
    return () if left else tuple(dict.fromkeys((*singles, *more)))


def _present(answers: Answers, known: Known, actual: Sequence[Observation], left: Places) -> Present:
    """Those that change only what is left to be explained, and change it into what the student returned."""
    present = []
    for mistakes, wrong in known:
        unlike = _places(answers, wrong, actual)
        if left - unlike:
            changed = _places(answers, answers.right, wrong)
            if changed and changed <= left and not changed & unlike:
                present.append((mistakes, changed))
    return present


def _cover(present: Present, left: Places) -> tuple[tuple[Mistake, ...], Places]:
    """Mistakes that explain different places, those first that explain most; and the places that none explains."""
    found: tuple[Mistake, ...] = ()
    for mistakes, changed in sorted(present, key=lambda item: -len(item[1])):
        is_only_one = [other for _, other in present].count(changed) == 1
        if changed <= left and is_only_one:
            found, left = (*found, *mistakes), left - changed
    return found, left


def _places(answers: Answers, expected: Sequence[Observation], actual: Sequence[Observation]) -> Places:
    return {(d.kind == "argument", d.path) for d in differences(answers.calls, expected, actual)}


def _in_dtypes_of(right: Observation, mine: Observation) -> Observation:
    """An observation with its floats in the dtypes that were asked for; itself if they are."""
    if right.outputs is None or mine.outputs is None:
        return mine
    numbers = {path: np.asarray(leaf) for path, leaf in right.outputs.items() if isinstance(leaf, (float, np.ndarray))}
    wanted = {path: leaf.dtype for path, leaf in numbers.items() if leaf.dtype.kind == "f"}
    others = {path: leaf for path, leaf in mine.outputs.items() if _is_float(leaf) and path in wanted}
    cast = {path: leaf.astype(wanted[path]) for path, leaf in others.items() if leaf.dtype != wanted[path]}
    return replace(mine, outputs={**mine.outputs, **cast}) if cast else mine


def _is_float(leaf: object) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"
