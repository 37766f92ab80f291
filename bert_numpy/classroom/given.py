"""What a submission runs beside: this package without the solution.

A graded function may use the rest of the library (a layer its matrix product, an encoder its layers), but must not find
itself there.  So each exercise gets an archive of the package in which the bodies of its target, and of the target's
parts, are cut out.  The classroom is left out too, but for the kinds of calls and a `check` that does nothing.

Here: the archive.  Not here: what is allowed beside it (`harness.py`).
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

from .exercise import Exercise
from .source import source_of

PACKAGE = Path(__file__).resolve().parents[1]
LEFT_OUT = {"classroom", "cli", "benchmarks", "tasks", "__main__.py", "weights"}
CLASSROOM = '''"""Checks are made by the grader."""


def check(function, name=None):
    """Nothing, while a submission is graded."""


def hint(name):
    """Nothing, while a submission is graded."""
'''


def write_given(exercise: Exercise, path: Path) -> None:
    """Write the archive for one exercise.

    Parameters
    ----------
    exercise : Exercise
    path : Path
        Of the .zip file.
    """
    source = source_of(exercise)
    cut = source.module_name.replace(".", "/") + ".py"
    message = f"the library's {exercise.name} is not at hand: it is what is asked for"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in _files().items():
            archive.writestr(name, source.without(message) if name == cut else text)


@lru_cache(maxsize=1)
def _files() -> dict[str, bytes]:
    """Path in the archive -> content."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] not in LEFT_OUT:
            files["/".join([PACKAGE.name, *parts])] = path.read_bytes()
    home = f"{PACKAGE.name}/{Path(__file__).parent.name}"
    files[f"{home}/__init__.py"] = CLASSROOM.encode()
    files[f"{home}/calls.py"] = Path(__file__).with_name("calls.py").read_bytes()
    return files
