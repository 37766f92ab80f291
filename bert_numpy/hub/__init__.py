"""Find a model by name: a folder of yours, one that ships with this package, one in the cache, or one on the network.

    find_model("bert-base-uncased")
    ├── a folder of that name?                                      it is taken as it is
    ├── weights/            what ships                              registry.py
    ├── the Hugging Face cache, shared with other tools             cache.py, settings.py says where
    └── the network         huggingface.co, or Google's archives    download.py, archives.py → transfer.py → web.py

The network is used only for names that the registry knows, or of the form `organisation/name`, and not at all with
`HF_HUB_OFFLINE=1` or `download=False`.  A file is complete and checked before it gets its name; a download that broke
off is continued; processes that download the same thing at once do not disturb each other.

Here: where to look, in which order.  Not here: what is in the files (`configuration.py`, `tokenization/`,
`checkpoints/`).  Read next: `registry.py`, and `layout.py` for which files make a model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import HubError, ModelNotFoundError
from .layout import PARTS, check_parts, check_revision, is_repo, lacking
from .registry import Model, Pin, known_model, known_models, shipped_models, weights_folder

if TYPE_CHECKING:  # all that a folder of yours does not need is imported where it is used
    from .progress import Callback
    from .settings import Settings

__all__ = [
    "PARTS",
    "HubError",
    "Model",
    "ModelNotFoundError",
    "Pin",
    "download_model",
    "find_model",
    "known_model",
    "known_models",
    "shipped_models",
    "weights_folder",
]


def find_model(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    files: Iterable[str] = PARTS,
    download: bool = True,
    progress: Callback | None = None,
) -> Path:
    """The folder of a model: `name` itself if it is a folder, else a model of that name, downloaded if need be.

    Parameters
    ----------
    name : str or path-like
        A folder; a model that ships; a name of the registry, such as `bert-base-uncased` or
        `uncased_L-12_H-768_A-12`; or a repository `organisation/name`.
    revision : str, optional
        Branch, tag or commit of a repository; without it, the registry's, else `main`.
    files : iterable of {"config", "tokenizer", "weights"}
        What is needed of it; only that is downloaded.
    download : bool
        Whether the network may be used.
    progress : function of a Progress, optional
        Called about ten times a second during a download; `progress.TerminalReporter()` is one.

    Raises
    ------
    ModelNotFoundError
        If there is no such model, or it is not here and the network may not be used; the message says where was
        looked.  It is a FileNotFoundError.
    NotADirectoryError
        If `name` is a file.
    HubError
        If the download fails.
    ValueError
        If `files` names a part that models do not have.

    Examples
    --------
    >>> find_model("tiny-random").name
    'tiny-random'
    """
    parts = check_parts(files)
    if str(name) and Path(name).is_dir():  # Path("") is the current folder
        return Path(name)
    if str(name) in shipped_models():
        return weights_folder() / name
    if str(name) and Path(name).exists():
        raise NotADirectoryError(f"{name} is a file; give the folder that holds config.json and model.safetensors")
    model = _on_the_hub(name)
    cached = _in_the_cache(model, revision, parts)
    if cached is not None and not cached.doubtful:
        return cached.folder
    try:
        return _download(model, revision, parts, progress, allowed=download)
    except HubError:
        if cached is None:
            raise
        return cached.folder  # usable, though the server might have had settings that go with its vocabulary


def download_model(
    name: str,
    *,
    revision: str | None = None,
    files: Iterable[str] = PARTS,
    progress: Callback | None = None,
) -> Path:
    """Ask the server for a model, even if it is in the cache, and return its folder; what is here is not fetched again.

    `find_model` is content with what a branch meant when it was downloaded; this looks whether it has moved.  The
    parameters and errors are those of `find_model`; `name` is not looked for among folders.
    """
    parts = check_parts(files)
    return _download(_on_the_hub(name), revision, parts, progress, ask=True)


class _Cached:
    """A folder that has what was asked for; doubtful if the server might know more."""

    def __init__(self, folder: Path, doubtful: bool = False) -> None:
        self.folder = folder
        self.doubtful = doubtful


def _on_the_hub(name: str | os.PathLike[str]) -> Model:
    """The model of the registry, or the repository, that a name means; decided without the network."""
    model = known_model(name) if isinstance(name, str) else None
    if model is not None:
        return model
    if isinstance(name, str) and is_repo(name):
        return Model(name, (), name, None, None, {}, {})
    import difflib

    names = [alias for known in known_models() for alias in (known.name, *known.aliases)]
    similar = difflib.get_close_matches(str(name), names, n=3)
    hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
    shown = str(name) if str(name).isprintable() and name else repr(str(name))
    raise ModelNotFoundError(
        f"no model {shown}: there is no such folder, and the models that ship are {', '.join(shipped_models())}; "
        f"others are downloaded by a known name such as bert-base-uncased, or as organisation/name{hint}"
    )


def _revisions(model: Model, revision: str | None) -> list[str]:
    """Revisions that satisfy the caller, best first."""
    if revision is not None:
        return [check_revision(revision)]
    return [model.revision, "main"] if model.revision else ["main"]


def _in_the_cache(model: Model, revision: str | None, parts: tuple[str, ...]) -> _Cached | None:
    from .cache import Repository
    from .settings import from_environment

    now = from_environment()
    if model.repo is None:
        from .archives import folder_of

        folder = folder_of(now, model)
        return _Cached(folder) if folder.is_dir() else None
    usable = None
    # Other tools keep a repository under the name that it was asked for by, which may be one without organisation.
    for name in (model.repo, *model.aliases):
        repository = Repository(now.cache, name)
        for wanted in _revisions(model, revision):
            commit = repository.commit(wanted)
            if commit is None or lacking(repository.snapshot(commit), parts):
                continue
            if repository.is_complete(commit, parts):
                return _Cached(repository.snapshot(commit))
            usable = usable or _Cached(repository.snapshot(commit), doubtful=True)
    return usable


def _download(
    model: Model,
    revision: str | None,
    parts: tuple[str, ...],
    progress: Callback | None,
    allowed: bool = True,
    ask: bool = False,
) -> Path:
    from .settings import from_environment

    now = from_environment()
    wanted = _revisions(model, revision)[0]
    if now.offline or not allowed:
        raise ModelNotFoundError(_not_here(model, wanted, revision, parts, now))
    if model.repo is None:
        from .archives import download_archive

        if revision is not None:
            raise HubError(f"{model.name}: an archive has no revisions; leave out revision={revision!r}")
        return download_archive(now, model, progress)
    from .cache import Repository, is_commit
    from .download import Download

    repository = Repository(now.cache, model.repo)
    # The registry knows the files of one revision, or, where it does not say which, of the only one there ever was.
    pins = model.files if revision is None or revision == model.revision else {}
    # What is here is completed at its own commit: parts that were downloaded at different times belong together.
    commit = None if ask else repository.commit(wanted)
    run = Download(now, repository, wanted, pins, progress, commit if commit and is_commit(commit) else None)
    try:
        folder = run.run(parts)
    except ModelNotFoundError:
        raise
    except HubError as error:
        raise HubError(f"{error}. Looked in weights/ and {now.cache} before. {_remedy(model)}") from error
    repository.note_revision(wanted, folder.name)
    if revision is None:
        # So that tools which ask for main find it without a network; where they know better, they are left alone.
        repository.note_revision("main", folder.name, replace=wanted == "main")
    return folder


def _not_here(model: Model, wanted: str, revision: str | None, parts: tuple[str, ...], now: Settings) -> str:
    from .cache import Repository

    why = "HF_HUB_OFFLINE is set" if now.offline else "download=False"
    if model.repo is None:
        return f"{model.name}: is not in {now.assets}, and the network is not used ({why}). {_remedy(model)}"
    repository = Repository(now.cache, model.repo)
    commit = repository.commit(wanted)
    if commit is None:
        missing = f"there is no {repository.folder.name} with revision {wanted}"
    else:
        missing = f"{repository.snapshot(commit)} lacks {'; '.join(lacking(repository.snapshot(commit), parts))}"
    return (
        f"{model.name}: not in weights/, and in the cache {now.cache} {missing}; the network is not used ({why}). "
        f"{_remedy(model)}"
    )


def _remedy(model: Model) -> str:
    return (
        f"Run `bert-numpy download {model.name}` where there is a network, or copy its files into a folder and give "
        "that folder"
    )
