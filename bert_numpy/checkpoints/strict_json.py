"""JSON as the checkpoint formats mean it: stricter than ``json.loads``, and safe on hostile bytes.

``json.loads`` guesses UTF-16 from the bytes, keeps the last of two equal keys, accepts ``NaN`` and half of a
surrogate pair, and takes quadratic time over a number of a million digits. In the header of a weight file
each of these is damage or an attack, and each is refused here. What is not here: the meaning of the fields.
Read next: ``safetensors.py`` and ``sharded.py``, which use it.
"""

import json
from typing import Any

from .errors import CheckpointError, quoted

_LONGEST_INTEGER = 20  # characters: 2**64 - 1 has 20 digits


def parse(raw: bytes, where: str) -> Any:
    """Decode one JSON document from UTF-8 bytes.

    Parameters
    ----------
    raw : bytes
        The whole document; spaces around it are allowed.
    where : str
        What is being read, for the message: ``"model.safetensors: the header"``.

    Returns
    -------
    Any
        The usual Python objects.

    Raises
    ------
    CheckpointError
        If the bytes are not UTF-8 or not JSON, repeat a key, are nested too deeply, or hold ``NaN``,
        ``Infinity``, an integer beyond 64 bits or half of a surrogate pair.

    Examples
    --------
    >>> parse(b'{"shape": [2, 3]}', "example")
    {'shape': [2, 3]}
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{where} is not UTF-8 text (byte {error.start} of {len(raw)})") from error
    if text.startswith("\ufeff"):
        raise CheckpointError(f"{where} begins with a byte-order mark; save it as UTF-8 without one")
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_int=_short_integer
        )
        if "\\ud" in text.lower():  # an escape that may be half of a surrogate pair; encoding finds out
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise CheckpointError(f"{where} is nested too deeply to be genuine") from None
    except ValueError as error:  # includes JSONDecodeError and UnicodeEncodeError
        raise CheckpointError(f"{where} is not valid JSON: {error}") from error
    return value


def compact(value: Any) -> bytes:
    """Encode without spaces, in UTF-8, keeping the order of the keys.

    Examples
    --------
    >>> compact({"shape": [2, 3]})
    b'{"shape":[2,3]}'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {quoted(key)} appears twice")
        found[key] = value
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _short_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text)} digits does not fit 64 bits")
    return int(text)
