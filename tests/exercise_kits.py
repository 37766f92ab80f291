"""Kits for tests: written, and filled with code."""

from bert_numpy.classroom.catalogue import all_exercises, find
from bert_numpy.classroom.kit import write_kit
from bert_numpy.classroom.kit_files import path_of, text_of
from bert_numpy.classroom.source import source_of


def new_kit(folder, **options):
    write_kit(folder, "0.0", **options)
    return folder


def put(folder, name, code):
    """Write code in the place of a function, or of a method with its indentation."""
    exercise = find(name)
    path = path_of(folder, exercise)
    text, old = path.read_text(encoding="utf-8"), text_of(path, exercise)
    assert text.count(old) == 1
    path.write_text(text.replace(old, code), encoding="utf-8", newline="\n")


def library_code(name, variants=()):
    """The library's own text of a target and its parts, in a variant that was asked for."""
    exercise = find(name)
    source, variant = source_of(exercise), exercise.variant(tuple(variants))
    texts = source.edited_texts([variant] if variant else [])
    return "\n\n".join(texts)


def solve(folder, names=None, variants=()):
    """Put the library's own text everywhere."""
    for exercise in all_exercises():
        if names is None or exercise.name in names:
            put(folder, exercise.name, library_code(exercise.name, variants))
    return folder
