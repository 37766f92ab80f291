"""Reading and writing vocab.txt, the vocabulary that is nothing but a list.

Here: the file and the checks that a list of tokens must pass.  Not here: what the tokens mean (`tokens.py`, read
that next), tokenizer.json (`files.py`), learning a vocabulary.

The id of a token is the number of its line, counted from 0, and lines end at "\\n" alone.  `str.splitlines` would
also cut at U+2028, which is a token of the Chinese vocabulary, and shift every id behind it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def read_vocab(path: str | os.PathLike[str]) -> list[str]:
    """Return the tokens of a vocab.txt, the k-th being the token with id k.

    A byte order mark, "\\r" before "\\n" and blanks at the end of a line are taken off.  An empty line keeps its id:
    it is a token that no text contains.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a directory, is empty, is no UTF-8 text, is JSON, or has a token twice; the message names the line.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory; give the vocab.txt in it, or use BertTokenizer.from_pretrained")
    if not path.exists():
        raise FileNotFoundError(f"vocabulary file {path} does not exist; give the path of a vocab.txt")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the vocabulary as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {line}: contains a NUL character, as in UTF-16; save the vocabulary as UTF-8")
    if _is_json(text):
        raise ValueError(f"{path}, line 1: is JSON, not a list of tokens; a tokenizer.json goes to from_pretrained")
    if not text.strip("\r\n\t "):
        raise ValueError(f"{path}: is empty; a vocabulary has one token per line")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    tokens = [line.rstrip("\r\t ") for line in lines]
    check_tokens(tokens, f"{path}, line ", first=1)
    return tokens


def write_vocab(tokens: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Write a vocab.txt; the old file stays until the new one is complete.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "vocab.txt"
    >>> write_vocab(["[PAD]", "[UNK]", "词"], path)
    >>> read_vocab(path)
    ['[PAD]', '[UNK]', '词']
    """
    write_atomically("".join(f"{token}\n" for token in tokens), path)


def check_tokens(tokens: Sequence[str], place: str = "token ", first: int = 0) -> None:
    """Refuse a list of tokens in which one stands twice, or that no file could hold.

    Parameters
    ----------
    place : str
        What stands before the number of a token in the message.
    first : int
        The number of the first token.

    Raises
    ------
    ValueError
        Naming the token, both places and the remedy.
    """
    seen: dict[str, int] = {}
    for number, token in enumerate(tokens, first):
        if not isinstance(token, str):
            raise TypeError(f"{place}{number}: is {token!r}; tokens must be str")
        if "\n" in token or any("\ud800" <= char <= "\udfff" for char in token):
            raise ValueError(f"{place}{number}: {token!r} holds a line break or half a character; remove it")
        if token and seen.setdefault(token, number) != number:
            raise ValueError(
                f"{place}{number}: token {token!r} already has number {seen[token]}; "
                "ids are places in the list, so rename one of the two instead of deleting it"
            )


def write_atomically(text: str, path: str | os.PathLike[str]) -> None:
    """Write UTF-8 text to a temporary neighbour, flush it to disk and rename it over `path`."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
