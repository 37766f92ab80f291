"""A model from the server into the cache: which files, in which order, of one commit.

Here: repositories.  Not here: one file (`transfer.py`), Google's archives (`archives.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import web
from .cache import Repository
from .errors import ModelNotFoundError, writing
from .layout import CONFIG, INDEX, PICKLE, SINGLE, TOKENIZER_SETTINGS, VOCABULARIES, is_file_name, lacking, shards
from .progress import Callback
from .registry import Pin
from .settings import Settings
from .transfer import Wanted, digest, fetch


class Download:
    """The download of one repository at one revision.

    The first answer of the server says which commit the revision is.  All files after it are asked for by that commit,
    so that a push in between cannot mix two versions.

    Parameters
    ----------
    settings : Settings
    repository : Repository
    revision : str
        Branch, tag or commit.
    pins : mapping of file name to Pin
        What is known of the files of this revision.
    progress : function of a Progress, optional
    commit : str, optional
        What the revision is known to mean; None asks the server.
    """

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        revision: str,
        pins: Mapping[str, Pin],
        progress: Callback | None,
        commit: str | None,
    ) -> None:
        self.settings = settings
        self.repository = repository
        self.revision = revision
        self.pins = pins
        self.progress = progress
        self.commit = commit

    def run(self, parts: tuple[str, ...]) -> Path:
        """Download what the parts need and the snapshot lacks, and return its folder.

        Raises
        ------
        ModelNotFoundError
            If the server has no such repository or revision, or no model in it.
        HubError
            If something cannot be had or is not what it should be.
        """
        if "config" in parts and not self._get(CONFIG):
            raise ModelNotFoundError(f"{self._subject(CONFIG)}: the server has no such file; is this a BERT model?")
        if "tokenizer" in parts:
            for file in (*TOKENIZER_SETTINGS, *VOCABULARIES):  # in this order, see `layout.py`
                self._get(file)
        if "weights" in parts:
            self._get_weights()
        commit = self.commit
        if commit is None:
            raise ModelNotFoundError(f"{self._subject('')}: the server has none of the files of a model")
        folder = self.repository.snapshot(commit)
        missing = lacking(folder, parts)
        if missing:
            raise ModelNotFoundError(
                f"{self.repository.name} at {self.revision}: the server has no {'; no '.join(missing)}. If this model "
                "keeps them elsewhere, copy them into one folder and give that folder"
            )
        return folder

    def _get_weights(self) -> None:
        if self._get(SINGLE):
            return
        if self._get(INDEX) and self.commit:
            for shard in shards(self.repository.snapshot(self.commit) / INDEX):
                if not self._get(shard):
                    raise ModelNotFoundError(
                        f"{self._subject(shard)}: {INDEX} names it, and the server has no such file"
                    )
            return
        self._get(PICKLE)

    def _get(self, file: str) -> bool:
        """Download a file unless the snapshot has it; False if the server does not have it."""
        repository = self.repository
        if self.commit and (repository.snapshot(self.commit) / file).is_file():
            return True
        if self.commit and repository.is_absent(self.commit, file):
            return False
        try:
            blob, told = self._fetch(file)
        except web.MissingFileError as error:
            if error.commit:
                self.commit = self.commit or error.commit
                repository.note_absent(error.commit, file)
            return False
        # A mirror need not say which commit it serves; then the revision itself names the snapshot.
        self.commit = self.commit or told.commit or self.revision.replace("/", "--")
        repository.link(blob, self.commit, file)
        return True

    def _fetch(self, file: str) -> tuple[Path, web.Told]:
        from urllib.parse import quote

        repository, settings = self.repository, self.settings
        pin = self.pins.get(file, Pin())
        revision = self.commit or self.revision
        wanted = Wanted(
            url=f"{settings.endpoint}/{repository.name}/resolve/{quote(revision, safe='')}/{file}",
            file=file,
            subject=self._subject(file),
            size=pin.size,
            sha256=pin.sha256,
            token=settings.token,
            timeout=settings.timeout,
        )
        blobs = repository.folder / "blobs"
        part, told = fetch(wanted, blobs, self.progress, lambda told: repository.has_blob(told.etag, told.size))
        with writing(blobs):
            etag = told.etag if told.etag and is_file_name(told.etag) else digest(part.complete, "sha256")
            if part.path is not None:
                own_etag = part.etag  # of the server that had the bytes, which may be another one
                part.install(blobs / etag)
                part.delete_others(own_etag)
        return blobs / etag, told

    def _subject(self, file: str) -> str:
        name = f"{self.repository.name} at {self.revision}"
        return f"{name}: {file}" if file else name
