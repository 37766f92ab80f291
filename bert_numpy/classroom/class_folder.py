"""The submissions in a folder: one kit, or a folder with a folder for each student, whatever these are called.

Here: finding them, and what they say of themselves.  Not here: grading them (`grading.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .catalogue import CHAPTERS
from .kit import SETTINGS
from .plain import one_line, unique_names
from .submission import find_file

LONGEST_NAME = 80  # characters
LARGEST_SETTINGS = 100_000  # bytes
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
OF_THE_SYSTEM = ("__MACOSX", "__pycache__")
WAYS = "the library's own way"


@dataclass(frozen=True)
class Submission:
    """One folder to be graded.

    Parameters
    ----------
    name : str
        Printable, and no other submission's.
    folder : Path
        Where the chapters are.
    """

    name: str
    folder: Path


@dataclass(frozen=True)
class Found:
    """What is in a folder.

    Parameters
    ----------
    submissions : tuple of Submission
    several : bool
        Whether it is a folder of submissions, be it of one.
    notes : tuple of str
        For the teacher: what was left out, which names are shown otherwise.
    """

    submissions: tuple[Submission, ...]
    several: bool
    notes: tuple[str, ...] = ()


def find_submissions(folder: Path) -> Found:
    """The submission in a folder, or those in its folders, one level of packing allowed.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    if _is_submission(folder):
        (name,) = unique_names([folder.resolve().name], LONGEST_NAME)
        return Found((Submission(name, folder),), False)
    places, notes = [], []
    for path in sorted(folder.iterdir()):
        shown = one_line(path.name, LONGEST_NAME)
        try:
            place, note = _place(path)
        except OSError as error:
            place, note = None, f"not a submission: {shown}, which cannot be read ({error.strerror or error})"
        if place is not None:
            places.append((path.name, place))
        if note:
            notes.append(one_line(note))
    if not places:
        what = "; ".join(["no file or folder of a kit is there", *notes[:3]])
        raise FileNotFoundError(f"no submission in {folder}: {what}")
    names = unique_names([name for name, _ in places], LONGEST_NAME)
    for shown, (name, _) in zip(names, places, strict=True):
        if shown != name:
            notes.append(one_line(f"{shown} is the folder {name!a}"))
    submissions = (Submission(shown, place) for shown, (_, place) in zip(names, places, strict=True))
    return Found(tuple(submissions), True, tuple(notes))


def _place(path: Path) -> tuple[Path | None, str]:
    """Where the chapters are in a folder of the class, and what is to be noted about it."""
    name = path.name
    if path.is_symlink():
        return None, f"not a submission: {name}, a link"
    if not path.is_dir():
        return None, f"not a submission: {name}, which is to be unpacked" if name.endswith(ARCHIVES) else ""
    if name.startswith(".") or name in OF_THE_SYSTEM:
        return None, ""
    if _is_submission(path):
        return path, ""
    inner = [p for p in sorted(path.iterdir()) if p.is_dir() and not p.is_symlink() and p.name not in OF_THE_SYSTEM]
    places = [place for place in inner if _is_submission(place)]
    if not places:
        return None, f"not a submission: {name}, which has no file of a kit"
    others = ", ".join(place.name for place in places[1:])
    return places[0], f"{name}: {places[0].name} is graded; there is also {others}" if others else ""


def _is_submission(folder: Path) -> bool:
    return any(find_file(folder, chapter) for chapter in CHAPTERS)


def note_on_variants(folder: Path, known: Sequence[str], graded_as: Sequence[str]) -> Iterator[str]:
    """A note where the kit of a submission asks for other variants than it is graded by, as far as it says so.

    Parameters
    ----------
    folder : Path
        Of the submission.
    known : sequence of str
        The variants of the exercises that count; others are of no importance.
    graded_as : sequence of str
    """
    path = folder / SETTINGS
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_SETTINGS:
            return
        asked = json.loads(path.read_bytes())["variants"]
        wanted = sorted({name for name in asked if name in known})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    graded = sorted({name for name in graded_as if name in known})
    if wanted != graded:
        asks, by = (f"variant {' and '.join(names)}" if names else WAYS for names in (wanted, graded))
        yield f"this kit asks for {asks}; graded as {by}"
