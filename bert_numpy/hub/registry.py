"""The models that are known by name: `weights/registry.json`, and the folder it lies in.

The registry says for every name where the model is, under which other names people know it, and, as far as known,
the revision, sizes and SHA-256 sums of its files.  Unknown values are null; nothing in it is guessed.

Read next: `settings.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .errors import HubError


class Pin(NamedTuple):
    """What is known of a file: its size in bytes and its SHA-256, each None if unknown."""

    size: int | None = None
    sha256: str | None = None


class Model(NamedTuple):
    """A model of the registry; `details` holds the fields that only people read.

    `repo` is a repository such as `google-bert/bert-base-uncased`, or `url` is the address of an archive.
    """

    name: str
    aliases: tuple[str, ...]
    repo: str | None
    url: str | None
    revision: str | None
    files: dict[str, Pin]
    details: dict[str, Any]


def weights_folder() -> Path:
    """The folder of the models that ship: inside an installed package, beside the package in a checkout.

    Raises
    ------
    FileNotFoundError
        If neither is there, because the installation is incomplete.

    Examples
    --------
    >>> (weights_folder() / "tiny-random" / "config.json").exists()
    True
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "README.md").is_file():
            return folder
    raise FileNotFoundError(f"the folder weights/ is missing beside {package}; install bert-numpy again")


def shipped_models() -> list[str]:
    """Names of the models that ship.

    Examples
    --------
    >>> "tiny-random" in shipped_models()
    True
    """
    return sorted(path.parent.name for path in weights_folder().glob("*/config.json"))


def known_models() -> list[Model]:
    """The models of the registry, in its order.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.
    HubError
        If the registry is damaged.

    Examples
    --------
    >>> [model.repo for model in known_models() if "bert-base-uncased" in model.aliases]
    ['google-bert/bert-base-uncased']
    """
    import json  # here, because most calls find a folder and need no registry

    path = weights_folder() / "registry.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["models"]
        return [_model(entry) for entry in entries]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; install bert-numpy again") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(f"{path} is damaged ({error!r}); install bert-numpy again") from None


def known_model(name: str) -> Model | None:
    """The model of the registry that has this name or alias, if there is one.

    Examples
    --------
    >>> known_model("bert-base-uncased").name
    'google-bert/bert-base-uncased'
    >>> known_model("bert-large") is None
    True
    """
    return next((model for model in known_models() if name == model.name or name in model.aliases), None)


def _model(entry: dict[str, Any]) -> Model:
    machine_read = {"name", "aliases", "repo", "url", "revision", "files"}
    return Model(
        entry["name"],
        tuple(entry["aliases"]),
        entry.get("repo"),
        entry.get("url"),
        entry["revision"],
        {file: Pin(pin["size"], pin["sha256"]) for file, pin in entry["files"].items()},
        {field: value for field, value in entry.items() if field not in machine_read},
    )
