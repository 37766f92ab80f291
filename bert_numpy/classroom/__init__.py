"""Exercises that are cut from this package, checked, and graded.

    bert-numpy exercises init my-exercises        # a kit: a file for each chapter
    check(layer_norm_forward)                     # in a notebook or a script

Read in this order: `exercise.py` and `catalogue/`, what there is to write; `source.py` and `cutter.py`, stubs and
mistakes from the package's own text; `calls.py`, `comparing.py`, `recognition.py`, `feedback.py`, what is said about an
answer; `harness.py`, `given.py`, `sandbox.py`, running it; `kit.py`, `kit_files.py`, `progress.py`, `checking.py`,
`payoff.py`, the student's side; `grading.py`, `reports.py`, the teacher's; `self_check.py`, why all of it can be
believed.

`percent.py` and `notebook.py` make the notebooks of the tutorials.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import check, hint

__all__ = ["check", "hint"]


def __getattr__(name: str) -> Any:
    """Import `check` and `hint` when they are first asked for: the tools beside them need neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import checking

    return getattr(checking, name)
