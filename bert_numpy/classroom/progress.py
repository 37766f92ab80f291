"""What a student has done in a kit: hints shown, results, kept in `progress.json`.

Here: the state of a folder.  Read next: `checking.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..checkpoints.files import replacing
from .catalogue import all_exercises
from .exercise import Exercise
from .kit import SETTINGS
from .kit_files import digest, is_begun, path_of

PROGRESS = "progress.json"


class Kit:
    """A folder made by `write_kit`.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FileNotFoundError
        If it is no kit.

    Attributes
    ----------
    variants : tuple of str
        Those that the kit asks for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / SETTINGS).is_file():
            place = "this folder" if folder == Path() else str(folder)
            raise FileNotFoundError(
                f"{place} is no kit (it has no {SETTINGS}); go to yours, give --kit FOLDER, or make one with "
                "`bert-numpy exercises init FOLDER`"
            )
        settings = _read(folder / SETTINGS)
        self.variants: tuple[str, ...] = tuple(settings.get("variants", ()))
        self._hints: dict[str, int] = {}
        self._results: dict[str, list[str]] = {}
        self._load()

    def hints(self, exercise: Exercise) -> list[str]:
        """The hints that were shown so far, and one more."""
        self._load()
        shown = min(self._hints.get(exercise.name, 0) + 1, len(exercise.hints))
        self._hints[exercise.name] = shown
        self._write()
        return list(exercise.hints[:shown])

    def state(self, exercise: Exercise) -> str:
        """In a few words: "passed", "failed", either of them with "changed since", "begun", "not begun", "no file"."""
        try:
            path = path_of(self.folder, exercise)
            if not is_begun(path, exercise):
                return "not begun"
            result, checked = self._results.get(exercise.name, ["begun", ""])
            return result if checked in ("", digest(path, exercise)) else f"{result}, changed since"
        except FileNotFoundError:
            return "no file"
        except ValueError:
            return "not readable"

    def passed(self, exercise: Exercise) -> bool:
        """Whether it is as it was when it passed."""
        return self.state(exercise) == "passed"

    def note(self, exercise: Exercise, passed: bool, checked: str) -> None:
        """Remember a result, and the digest of what was checked."""
        self._load()
        self._results[exercise.name] = ["passed" if passed else "failed", checked]
        self._write()

    def forget(self, exercise: Exercise) -> None:
        """After a reset."""
        self._load()
        self._results.pop(exercise.name, None)
        self._write()

    def next_exercise(self, after: Exercise | None = None) -> Exercise | None:
        """The first one that has not passed: behind a given one if there is any, else at all."""
        exercises = all_exercises()
        start = exercises.index(after) if after else 0
        return next((e for e in exercises[start:] + exercises[:start] if not self.state(e).startswith("passed")), None)

    def _load(self) -> None:
        """Read again what another terminal may have written: one watches, the other asks for hints."""
        if (self.folder / PROGRESS).is_file():
            state = _read(self.folder / PROGRESS)
            self._hints, self._results = state.get("hints", {}), state.get("results", {})

    def _write(self) -> None:
        text = json.dumps({"hints": self._hints, "results": self._results}, indent=1) + "\n"
        with replacing(self.folder / PROGRESS) as file:
            file.write(text.encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged; {'copy that of a new kit' if path.name == SETTINGS else 'remove it'}")
    return content
