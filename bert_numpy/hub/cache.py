"""The cache of the Hugging Face tools: read as they leave it, written as they expect it.

    hub/models--google-bert--bert-base-uncased/
        blobs/68d45e23…                      contents, named by the ETag that the server gives them
        refs/main                            the commit that a branch or tag meant when it was last asked for
        snapshots/86b5e093…/config.json      links to the contents, one folder for each commit
        .no_exist/86b5e093…/added_tokens.json    empty; says that the commit has no such file

Where links are not allowed, as for most users on Windows, snapshots hold hard links, or else copies.

Here: paths and files.  Not here: the network (`download.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .errors import writing
from .layout import is_file_name, lacking, may_lack_settings

_COMMIT = r"[0-9a-f]{40}"


def is_commit(text: str) -> bool:
    """Whether this is a full commit hash, which never comes to mean anything else."""
    return bool(re.fullmatch(_COMMIT, text))


class Repository:
    """The folder of one repository in the cache.

    Parameters
    ----------
    cache : Path
        The folder of all repositories.
    name : str
        As `layout.is_repo` accepts it, or an old name without organisation.

    Examples
    --------
    >>> Repository(Path("hub"), "google-bert/bert-base-uncased").folder.name
    'models--google-bert--bert-base-uncased'
    """

    def __init__(self, cache: Path, name: str) -> None:
        self.name = name
        self.folder = cache / ("models--" + name.replace("/", "--"))

    def commit(self, revision: str) -> str | None:
        """The snapshot that a revision meant when it was last asked for; None if nobody has asked."""
        try:
            commit = (self.folder / "refs" / revision).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            commit = revision
        known = is_file_name(commit) and (self.folder / "snapshots" / commit).is_dir()
        return commit if known else None

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit."""
        return self.folder / "snapshots" / commit

    def is_complete(self, commit: str, parts: Iterable[str]) -> bool:
        """Whether a snapshot has these parts, and the server need not be asked for any settings."""
        folder = self.snapshot(commit)
        return not lacking(folder, parts) and not may_lack_settings(folder, self._absent(commit), parts)

    def is_absent(self, commit: str, file: str) -> bool:
        """Whether the server has said that this commit has no such file."""
        return (self._absent(commit) / file).is_file()

    def note_absent(self, commit: str, file: str) -> None:
        """Keep that the server has said so; not being able to is no reason to fail."""
        with suppress(OSError):
            self._absent(commit).mkdir(parents=True, exist_ok=True)
            (self._absent(commit) / file).touch()

    def has_blob(self, etag: str | None, size: int | None) -> bool:
        """Whether the content with this ETag is here, of the right size if that is known."""
        path = self.folder / "blobs" / (etag or "")
        return etag is not None and is_file_name(etag) and path.is_file() and size in (None, path.stat().st_size)

    def link(self, blob: Path, commit: str, file: str) -> Path:
        """Give a content its name in a snapshot.

        Raises
        ------
        HubError
            If the cache cannot be written to.
        """
        pointer = self.snapshot(commit) / file
        with writing(pointer):
            pointer.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(blob, pointer)
        return pointer

    def note_revision(self, revision: str, commit: str, replace: bool = True) -> None:
        """Keep which commit a branch or tag means; at the end, when the snapshot has what was asked for.

        Raises
        ------
        HubError
            If the cache cannot be written to.
        """
        path = self.folder / "refs" / revision
        if is_commit(revision) or (path.is_file() and not replace) or self.commit(revision) == commit:
            return
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
            temporary.write_text(commit, encoding="ascii")
            os.replace(temporary, path)

    def _absent(self, commit: str) -> Path:
        return self.folder / ".no_exist" / commit


def link_or_copy(blob: Path, pointer: Path) -> None:
    """Make `pointer` show the content of `blob`: by a relative link, else a hard link, else a copy; atomically."""
    import shutil

    temporary = pointer.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        try:
            os.symlink(os.path.relpath(blob, pointer.parent), temporary)
        except (OSError, NotImplementedError):  # Windows grants this to developers and administrators only
            try:
                os.link(blob, temporary)
            except (OSError, NotImplementedError):  # a file system without hard links
                shutil.copyfile(blob, temporary)
        os.replace(temporary, pointer)
    finally:  # also after success: renaming one hard link over another of the same file does nothing
        with suppress(OSError):
            temporary.unlink()
