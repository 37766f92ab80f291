"""Which files make a model, and whether a folder has them.

| part | needed | taken along where there is one |
|---|---|---|
| `config` | config.json | |
| `tokenizer` | tokenizer.json or vocab.txt | tokenizer_config.json, special_tokens_map.json, added_tokens.json |
| `weights` | the first of model.safetensors, model.safetensors.index.json and its shards, pytorch_model.bin | |

Here: names of files, and which names may be trusted.  Not here: what is in the files, except the names of the shards.
Read next: `cache.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .errors import HubError

PARTS = ("config", "tokenizer", "weights")
CONFIG = "config.json"
# In this order: a folder with the vocabulary but without tokenizer_config.json would be taken for complete, and a
# cased model silently be read as an uncased one.  So whatever the vocabulary needs is there before it.
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
VOCABULARIES = ("tokenizer.json", "vocab.txt")
SINGLE, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"

_FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,150}"  # not compiled here, because importing must be quick
_REPO_PART = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_DEVICES = r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?"  # not files on Windows, in any folder


def is_repo(name: str) -> bool:
    """Whether a name is one that a repository can have: `organisation/name`.

    Examples
    --------
    >>> is_repo("google-bert/bert-base-uncased")
    True
    >>> [is_repo(name) for name in ("bert", "../x", "/etc/x", "C:\\\\x", "a/b/c", "a/b--c", "a/..", "./a", "a/x\\0")]
    [False, False, False, False, False, False, False, False, False]
    """
    parts = name.split("/")
    unclear = "--" in name or ".." in name  # "--" stands for "/" in the cache
    return len(parts) == 2 and len(name) <= 96 and not unclear and all(re.fullmatch(_REPO_PART, part) for part in parts)


def is_file_name(name: str) -> bool:
    """Whether a name is that of a plain visible file, so that it can be joined to a folder without leaving it.

    Examples
    --------
    >>> is_file_name("model-00001-of-00002.safetensors")
    True
    >>> [is_file_name(name) for name in ("../x", "/x", "a/b", "C:x", "a\\\\b", ".hidden", "x\\0", "", "x" * 300, "NUL")]
    [False, False, False, False, False, False, False, False, False, False]
    """
    return bool(re.fullmatch(_FILE_NAME, name)) and not re.fullmatch(_DEVICES, name) and not name.endswith(".")


def check_revision(revision: str) -> str:
    """Return a revision (branch, tag or commit) that can be part of a path.

    Raises
    ------
    HubError
        If it cannot.

    Examples
    --------
    >>> check_revision("refs/pr/1")
    'refs/pr/1'
    """
    if not all(is_file_name(part) for part in revision.split("/")):
        raise HubError(f"{revision!r} is no revision; give a branch, a tag or a commit, such as main")
    return revision


def check_parts(files: Iterable[str]) -> tuple[str, ...]:
    """Return the wanted parts of a model, in the order in which they are downloaded: small ones first.

    Raises
    ------
    ValueError
        If there is none, or one that does not exist.

    Examples
    --------
    >>> check_parts(["weights", "config"])
    ('config', 'weights')
    """
    wanted = [files] if isinstance(files, str) else list(files)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown or not wanted:
        raise ValueError(f"files={wanted}: the parts of a model are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)


def shards(index: Path) -> list[str]:
    """Names of the shards that an index file lists.

    Raises
    ------
    HubError
        If it is no index, or a name in it could lead out of the folder.
    """
    import json

    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HubError(f"{index}: is not an index of weight files; delete it and download it again") from None
    for name in names:
        if not is_file_name(name) or not name.endswith(".safetensors"):
            raise HubError(f"{index}: refused, because it names {name!r} as a weight file of its folder")
    return names


def lacking(folder: Path, parts: Iterable[str]) -> list[str]:
    """What a folder lacks to be used: one phrase for each missing thing.

    Examples
    --------
    >>> lacking(Path("nowhere"), ["config", "tokenizer"])
    ['config.json', 'tokenizer.json or vocab.txt']
    """
    phrases = []
    for part in parts:
        if part == "config" and not (folder / CONFIG).is_file():
            phrases.append(CONFIG)
        elif part == "tokenizer" and not _any(folder, VOCABULARIES):
            phrases.append(" or ".join(VOCABULARIES))
        elif part == "weights" and not _any(folder, (SINGLE, PICKLE)):
            if (folder / INDEX).is_file():
                phrases += [shard for shard in shards(folder / INDEX) if not (folder / shard).is_file()]
            else:
                phrases.append(f"{SINGLE}, {INDEX} or {PICKLE}")
    return phrases


def may_lack_settings(folder: Path, absent: Path, parts: Iterable[str]) -> bool:
    """Whether a folder has a bare vocabulary, and nobody has asked the server yet for the settings that go with it.

    Parameters
    ----------
    folder : Path
    absent : Path
        The folder of empty files that stand for files which the server does not have.
    parts : iterable of str
    """
    settings = TOKENIZER_SETTINGS[0]
    return (
        "tokenizer" in parts
        and not (folder / VOCABULARIES[0]).is_file()  # which says itself whether letters are lowered
        and not (folder / settings).is_file()
        and not (absent / settings).is_file()
    )


def _any(folder: Path, names: Iterable[str]) -> bool:
    return any(os.path.isfile(folder / name) for name in names)
