"""A file that is not complete yet: named so that it can be continued, and so that nobody else writes into it.

    model.safetensors.68d45e23.0a1b2c3d.incomplete
    the file          its ETag  whose    (all zeros: nobody's, free to be taken)

The ETag stands in the name, because name and content cannot fall apart when the process is killed between writing the
one and the other; a file whose server gives none is not continued.  Every process writes into a file of its own.  A
part that is nobody's is taken over by renaming it, which only one process can do; one that was left by a killed
process, or is being written at this moment, looks the same from outside and is copied.  So there is no lock that could
stay behind or fail on a network drive, and the checksum of the whole decides in the end.

Here: the file system only.  Read next: `transfer.py`.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"(?P<file>.+)\.(?P<etag>[A-Za-z0-9_+=-]{0,80})\.(?P<owner>[0-9a-f]{8})\.incomplete")
_NOBODY = "0" * 8
ABANDONED = 600.0  # seconds without a write; any connection has timed out long before


class Part:
    """The part file of one download; `path` is None until `restart`, or `Part.continued` has found something.

    Parameters
    ----------
    folder : Path
        Where it lies; it is made if need be.
    file : str
        What it will be.
    """

    def __init__(self, folder: Path, file: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = file
        self.path: Path | None = None
        self.etag = ""

    @classmethod
    def continued(cls, folder: Path, file: str) -> Part:
        """A part that starts with the longest one that was left, if there is one.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     part = Part(Path(name), "vocab.txt")
        ...     part.restart("abc")
        ...     _ = part.path.write_text("[PAD]")
        ...     part.release()
        ...     Part.continued(Path(name), "vocab.txt").size
        5
        """
        part = cls(folder, file)
        for path, etag in part._others():
            if etag and part._take(path, etag):
                break
        return part

    @property
    def size(self) -> int:
        """Bytes that are here; none if another process has taken the file away."""
        try:
            return self.path.stat().st_size if self.path else 0
        except FileNotFoundError:
            return 0

    @property
    def complete(self) -> Path:
        """The file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        if self.path is None:
            raise FileNotFoundError(f"{self.folder / self.file}: has no part file")
        return self.path

    def restart(self, etag: str | None) -> None:
        """Begin with an empty file, for a content with this ETag; what was here is deleted."""
        self.discard()
        self.etag = etag if etag and _NAME.fullmatch(f"x.{etag}.{_NOBODY}.incomplete") else ""
        path = self._own_path()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        self.path = path

    def opened(self) -> BinaryIO:
        """The file, to be written to from its end on.

        Raises
        ------
        FileNotFoundError
            If it is gone; opening for appending would make a new one, and its beginning would be missing.
        """
        file = open(self.complete, "rb+")  # noqa: SIM115  # the caller closes it
        file.seek(0, os.SEEK_END)
        return file

    def discard(self) -> None:
        """Delete the file."""
        if self.path:
            with suppress(OSError):
                self.path.unlink()
        self.path, self.etag = None, ""

    def release(self) -> None:
        """Leave the file for whoever continues it; delete it if nobody can."""
        with suppress(OSError):
            if self.path and self.etag and self.size:
                os.replace(self.path, self.folder / f"{self.file}.{self.etag}.{_NOBODY}.incomplete")
                self.path = None
        self.discard()

    def install(self, target: Path) -> None:
        """Give the file its final name, at once and for good.

        Raises
        ------
        OSError
            If it cannot have it, and no other process has made it meanwhile.
        """
        try:
            with self.opened() as file:
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.complete, target)
            self.path = None
        except (FileNotFoundError, PermissionError):
            # Another process was faster, and has deleted this file; or on Windows somebody has opened the other one.
            if not target.is_file():
                raise
            self.discard()

    def delete_others(self, etag: str) -> None:
        """Delete what others have left of the content with this ETag, which is in place now, and what is very old.

        A process that still writes into such a file will find that the content is there, see `transfer.py`.
        """
        for path, other in self._others():
            with suppress(OSError):
                if other == etag != "" or time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()

    def _own_path(self) -> Path:
        owner = os.urandom(4).hex()
        return self.folder / f"{self.file}.{self.etag}.{owner}.incomplete"

    def _others(self) -> list[tuple[Path, str]]:
        """Parts of the same file, longest first."""
        found = []
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and match["file"] == self.file and path != self.path:
                with suppress(OSError):  # gone meanwhile
                    found.append((path.stat().st_size, path, match["etag"]))
        return [(path, etag) for _, path, etag in sorted(found, reverse=True)]

    def _take(self, path: Path, etag: str) -> bool:
        import shutil

        self.etag = etag
        own = self._own_path()
        try:
            if path.name.endswith(f".{_NOBODY}.incomplete"):
                os.rename(path, own)
            else:
                shutil.copyfile(path, own)
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()
        except OSError:  # somebody else was faster, or the disk is full
            with suppress(OSError):
                own.unlink()
            self.etag = ""
            return False
        self.path = own
        return True
