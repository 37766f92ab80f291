"""All exercises, in the order in which they are done: a chapter is a file here, and a file of the kit.

Here: the order, look-up by name.  Read next: `layer_norm.py`, an example of a chapter; `../exercise.py` says how one
writes an exercise.
"""

from __future__ import annotations

import difflib

from ..exercise import Chapter, Exercise
from . import (
    activations,
    attention,
    bert_model,
    checkpoint_files,
    dropout,
    encoder_layer,
    fine_tuning,
    fitting,
    gelu,
    gradient_check,
    heads,
    layer_norm,
    layer_parts,
    losses,
    masking,
    optimizer,
    schedules,
    self_attention,
    sequences,
    softmax,
    tables_and_sums,
    words,
)

CHAPTERS: tuple[Chapter, ...] = (
    words.CHAPTER,
    sequences.CHAPTER,
    fitting.CHAPTER,
    tables_and_sums.CHAPTER,
    layer_norm.CHAPTER,
    activations.CHAPTER,
    gelu.CHAPTER,
    dropout.CHAPTER,
    softmax.CHAPTER,
    attention.CHAPTER,
    self_attention.CHAPTER,
    layer_parts.CHAPTER,
    encoder_layer.CHAPTER,
    bert_model.CHAPTER,
    checkpoint_files.CHAPTER,
    heads.CHAPTER,
    losses.CHAPTER,
    masking.CHAPTER,
    fine_tuning.CHAPTER,
    gradient_check.CHAPTER,
    optimizer.CHAPTER,
    schedules.CHAPTER,
)


def all_exercises() -> list[Exercise]:
    """Every exercise, in order."""
    return [exercise for chapter in CHAPTERS for exercise in chapter.exercises]


def find(name: str) -> Exercise:
    """The exercise of a name.

    Raises
    ------
    ValueError
        If there is none; the message says which names are like it.
    """
    names = {exercise.name: exercise for exercise in all_exercises()}
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        raise ValueError(
            f"no exercise {name!r}; "
            + (f"like it: {', '.join(near)}" if near else "`bert-numpy exercises status` lists them")
        )
    return names[name]


def find_target(target: str) -> Exercise | None:
    """The exercise that asks for a function of the package, if one does."""
    return next((exercise for exercise in all_exercises() if exercise.target == target), None)


def chapter_of(exercise: Exercise) -> tuple[int, Chapter]:
    """The number, from 1, and the chapter that an exercise stands in."""
    for number, chapter in enumerate(CHAPTERS, start=1):
        if exercise in chapter.exercises:
            return number, chapter
    raise ValueError(f"{exercise.name} stands in no chapter")
