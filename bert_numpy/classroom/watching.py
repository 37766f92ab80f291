"""Checking on save: look at the files of a kit again and again, and tell which exercises were changed.

Here: one function, without any printing.  Read next: `cli/exercises.py`, which prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .catalogue import CHAPTERS
from .exercise import Chapter, Exercise
from .kit_files import is_begun, text_of
from .progress import Kit
from .submission import find_file

POLL = 0.3  # seconds

Stamp = tuple[int, int]  # time and size of a file


def changed_exercises(kit: Kit, wait: Callable[[], None] = lambda: time.sleep(POLL)) -> Iterator[Exercise]:
    """Yield the exercises whose text has changed and is no stub, for as long as the caller asks.

    Parameters
    ----------
    kit : Kit
    wait : function without arguments
        Called between two looks; whatever it raises ends the watch.
    """
    stamps = _stamps(kit)
    seen = {exercise.name: text for path, (chapter, _) in stamps.items() for exercise, text in _begun(path, chapter)}
    while True:
        wait()
        before, stamps = stamps, _stamps(kit)
        for path, (chapter, stamp) in stamps.items():
            if path in before and before[path][1] == stamp:
                continue
            for exercise, text in list(_begun(path, chapter)):
                if seen.get(exercise.name) != text:
                    seen[exercise.name] = text
                    if text:
                        yield exercise


def _stamps(kit: Kit) -> dict[Path, tuple[Chapter, Stamp]]:
    """The files of the chapters, and when they were written."""
    stamps = {}
    for chapter in CHAPTERS:
        path = find_file(kit.folder, chapter)
        try:
            if path is not None:
                status = path.stat()
                stamps[path] = chapter, (status.st_mtime_ns, status.st_size)
        except OSError:  # an editor is just replacing it
            continue
    return stamps


def _begun(path: Path, chapter: Chapter) -> Iterator[tuple[Exercise, str]]:
    """Each exercise of a file with its text, empty if it is a stub; none of a file that cannot be read."""
    for exercise in chapter.exercises:
        try:
            yield exercise, text_of(path, exercise) if is_begun(path, exercise) else ""
        except (OSError, ValueError):
            continue
