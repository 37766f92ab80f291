"""A kit: the folder that a student works in, with a file for each chapter.

    write_kit(Path("my-bert-exercises"))

The chapters are scripts in percent format, or notebooks; both hold the same cells.

Here: writing a kit, and one chapter of it.  Not here: what the student did in it (`progress.py`), its pages
(`kit_texts.py`).
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .catalogue import CHAPTERS, all_exercises
from .cutter import imports, stubs
from .exercise import Chapter, Exercise
from .kit_texts import AGENTS, readme
from .notebook import METADATA, write_notebook
from .percent import CODE, Cell, read_cells
from .sandbox import Limits
from .source import source_of
from .submission import file_name

SETTINGS = "kit.json"
WIDTH = 110


def write_kit(folder: Path, version: str, notebooks: bool = False, variants: Sequence[str] = ()) -> list[Path]:
    """Write a kit and return its files.

    Parameters
    ----------
    folder : Path
        Is made if it is not there; must be empty.
    version : str
        Of the package; noted in the kit.
    notebooks : bool
        Write .ipynb instead of .py.
    variants : sequence of str
        What is asked for instead of the library's own way.

    Raises
    ------
    FileExistsError
        If there is something in the folder.
    ValueError
        If there is no such variant.
    """
    check_variants(variants)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already and not empty; give the name of a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    ending = ".ipynb" if notebooks else ".py"
    settings = {"bert_numpy": version, "variants": list(variants)}
    pages = {
        "README.md": readme(version, ending, variants, Limits()),
        "AGENTS.md": AGENTS,
        SETTINGS: json.dumps(settings, indent=1) + "\n",
    }
    written = []
    for name, text in pages.items():
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8", newline="\n")
    for number, chapter in enumerate(CHAPTERS, start=1):
        written.append(folder / file_name(number, chapter, ending))
        text = chapter_text(number, chapter, variants)
        if notebooks:
            write_notebook(to_notebook(text, chapter), written[-1])
        else:
            written[-1].write_text(text, encoding="utf-8", newline="\n")
    return written


def check_variants(variants: Sequence[str]) -> None:
    """Refuse names of variants that no exercise has.

    Raises
    ------
    ValueError
        Naming those that there are; or if two are of the same exercise.
    """
    known = sorted({variant.name for exercise in all_exercises() for variant in exercise.variants})
    for name in variants:
        if name not in known:
            raise ValueError(f"no variant {name!r}; there are {', '.join(known)}")
    for exercise in all_exercises():
        asked = [variant.name for variant in exercise.variants if variant.name in variants]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} are both variants of {exercise.name}; give one of them")


def groups(chapter: Chapter) -> list[list[Exercise]]:
    """The exercises of a chapter; methods of one class stand in one cell."""
    by_class: dict[str, list[Exercise]] = {}
    for exercise in chapter.exercises:
        by_class.setdefault(source_of(exercise).class_name or exercise.name, []).append(exercise)
    return list(by_class.values())


def chapter_text(number: int, chapter: Chapter, variants: Sequence[str] = ()) -> str:
    """The script of a chapter, untouched."""
    about = "\n\n".join(_filled(paragraph) for paragraph in chapter.about.split("\n\n"))
    cells = [_markdown(f"# {number}. {chapter.title}\n\n{about}"), "# %%\n" + "\n".join(imports(chapter)).strip()]
    for group in groups(chapter):
        cells += [_markdown("\n\n".join(_heading(exercise, variants) for exercise in group)), "# %%\n" + stubs(group)]
    return "\n\n".join(cells) + "\n"


def _heading(exercise: Exercise, variants: Sequence[str]) -> str:
    """What stands above a stub."""
    after = f" After: {', '.join(exercise.needs)}." if exercise.needs else ""
    points = "1 point" if exercise.points == 1 else f"{exercise.points} points"
    lines = [
        f"## {exercise.name}",
        _filled(
            f"{exercise.title}. {points}, about {exercise.minutes} minutes; tutorial {exercise.tutorial}.{after} "
            f"`bert-numpy exercises hint {exercise.name}` gives a hint."
        ),
    ]
    if exercise.notes:
        lines.append(_filled(exercise.notes))
    variant = exercise.variant(tuple(variants))
    if variant:
        lines.append(_filled(f"**Not as the docstring says.** {variant.says}"))
    return "\n\n".join(lines)


def _filled(text: str) -> str:
    """A paragraph in lines, none of which ends within a piece of code or a shape."""
    whole = re.sub(r"`[^`]*`|\([\w.]+(?:, [\w.]+)*\)", lambda found: found[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, WIDTH, break_on_hyphens=False, break_long_words=False).replace("\0", " ")


def _markdown(text: str) -> str:
    return "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in text.split("\n"))


def to_notebook(text: str, chapter: Chapter) -> dict[str, Any]:
    """A chapter as a notebook, with a cell that checks below each function."""
    cells = read_cells(text)
    number = next(i for i, cell in enumerate(cells) if cell.kind == CODE)
    first = Cell(CODE, f"{cells[number].source}\nfrom bert_numpy.classroom import check, hint", 0)
    written = [*cells[:number], first]
    for group, i in zip(groups(chapter), range(number + 1, len(cells), 2), strict=True):
        checks = [Cell(CODE, f"check({exercise.name})", 0) for exercise in group]
        written += [*cells[i : i + 2], *checks]
    entries = [_entry(f"{chapter.slug.replace('_', '-')}-{i}", cell) for i, cell in enumerate(written)]
    return {"cells": entries, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _entry(identity: str, cell: Cell) -> dict[str, Any]:
    entry: dict[str, Any] = {"cell_type": cell.kind, "id": identity, "metadata": {}}
    entry["source"] = cell.source.splitlines(keepends=True)
    return entry | ({"execution_count": None, "outputs": []} if cell.kind == CODE else {})
