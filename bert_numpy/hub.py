"""Find a model by name: a folder of yours, or one that ships with this package.

Here: where to look.  Not here: what is in the files (`configuration.py`, `tokenization/`, `checkpoints/`).
"""

from __future__ import annotations

import os
from pathlib import Path


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
    package = Path(__file__).resolve().parent
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "README.md").is_file():
            return folder
    raise FileNotFoundError(f"the folder weights/ is missing beside {package}; install bert-numpy again")


def shipped_models() -> list[str]:
    """Names of the models that ship.

    >>> "tiny-random" in shipped_models()
    True
    """
    return sorted(path.parent.name for path in weights_folder().glob("*/config.json"))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The folder of a model: `name` itself if it is a folder, else a shipped model of that name.

    Raises
    ------
    FileNotFoundError
        If there is neither; the message says where was looked.

    Examples
    --------
    >>> find_model("tiny-random").name
    'tiny-random'
    """
    if Path(name).is_dir():
        return Path(name)
    if str(name) in shipped_models():
        return weights_folder() / name
    if Path(name).exists():
        raise NotADirectoryError(f"{name} is a file; give the folder that holds config.json and model.safetensors")
    raise FileNotFoundError(
        f"no model {name!s}: there is no such folder, and the models that ship are {', '.join(shipped_models())}"
    )
