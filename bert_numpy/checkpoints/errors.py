"""The errors of this package, and how a name is shown in a message.

Every fault of a file ends in one :class:`CheckpointError` whose message is one line: which file, which
tensor or field, what was found, and what was wanted. What is not here: the checks themselves, which stand
beside the code that knows the format. Read next: ``files.py``.
"""

import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxlevel = 2  # eight of eight of eight … would be many
_SHORT.maxstring = _SHORT.maxother = 400  # characters; `quoted` itself decides about these


class CheckpointError(ValueError):
    """A checkpoint cannot be read, written or fitted to a model.

    The message is always one line, whatever a hostile file put into the names it quotes.

    Examples
    --------
    >>> raise CheckpointError("model.safetensors: the file is cut off")
    Traceback (most recent call last):
    bert_numpy.checkpoints.errors.CheckpointError: model.safetensors: the file is cut off
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no such file or folder. A ``FileNotFoundError`` too, so either name catches it.

    Examples
    --------
    >>> issubclass(CheckpointNotFoundError, FileNotFoundError)
    True
    """


def quoted(value: object, limit: int = 120) -> str:
    """Return ``repr(value)``, shortened in the middle so that a message stays one readable line.

    Of long lists and dicts only the beginning is ever looked at: a hostile file may hold millions of items.

    Examples
    --------
    >>> quoted("encoder.layer.0")
    "'encoder.layer.0'"
    >>> quoted("x" * 1000, limit=11)
    "'xxx...xxx'"
    """
    text = _SHORT.repr(value)
    if len(text) > limit:
        kept = (limit - 3) // 2
        text = f"{text[:kept]}...{text[-kept:]}"
    return text


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Return the sorted ``names``, quoted and joined by commas; beyond ``limit`` they are only counted.

    Examples
    --------
    >>> listed(["b", "a"])
    "'a', 'b'"
    >>> listed("abcdefg")
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    ordered = sorted(names)
    text = ", ".join(quoted(name) for name in ordered[:limit])
    if len(ordered) > limit:
        text += f" and {len(ordered) - limit} more"
    return text
