"""Where a TensorFlow checkpoint is: a prefix, a folder, or the archive as it was downloaded.

A checkpoint is several files with a common beginning, the prefix: ``bert_model.ckpt.index`` says what there is and
where, ``bert_model.ckpt.data-00000-of-00001`` holds the numbers, ``bert_model.ckpt.meta`` the program, which nobody
needs. Passing one of the files for the whole is the commonest mistake, so every wrong thing is answered with the
right one.

An archive is read where it lies: nothing is unpacked to the disk, so the names in it can do no harm. What is not
here: the meaning of the bytes. Read next: ``tensorflow_table.py``.
"""

import mmap as memory_map
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, CheckpointNotFoundError, listed, quoted
from .files import Path, open_regular, shown

Data = memory_map.mmap | NDArray[np.uint8]

INDEX = ".index"
_OTHER_PART = re.compile(r"(.+)(\.meta|\.data-\d+-of-\d+)", re.DOTALL)
_STATE = "checkpoint"  # the file in which TensorFlow notes its last checkpoint
_STATE_PATH = re.compile(rb'\s*model_checkpoint_path\s*:\s*"((?:[^"\\\r\n]|\\.)+)"')
_STATE_LIMIT = 1 << 16
_COMPANION_LIMIT = 64_000_000
_DIRECTORY_LIMIT = 1_000_000  # bytes of an archive's table of contents, of which each takes ten in memory
_DEVIATION = "the file changed its size while it was read"


class FileSource:
    """A checkpoint of plain files. ``where`` is what to call it in messages."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.where = shown(prefix)

    def index(self, limit: int) -> bytes:
        """The bytes of the index, which must not be more than ``limit``."""
        return _read_file(self._prefix + INDEX, limit)

    def size(self, suffix: str) -> int:
        """The size of a data file."""
        with self._data_file(suffix) as (_, size):
            return size

    def data(self, suffix: str, mmap: bool) -> Data:
        """A data file, mapped copy-on-write or in memory."""
        with self._data_file(suffix) as (file, size):
            if mmap and size:
                try:
                    return memory_map.mmap(file.fileno(), size, access=memory_map.ACCESS_COPY)
                except ValueError as error:
                    raise CheckpointError(f"{self.where}{suffix}: {_DEVIATION}") from error
            buffer = np.empty(size, np.uint8)
            if file.readinto(buffer.data) != size:
                raise CheckpointError(f"{self.where}{suffix}: {_DEVIATION}")
            return buffer

    def companion(self, name: str) -> bytes:
        """A small file beside the checkpoint."""
        return _read_file(os.path.join(os.path.dirname(self._prefix), name), _COMPANION_LIMIT)

    @contextmanager
    def _data_file(self, suffix: str) -> Iterator[tuple[BufferedReader, int]]:
        path = self._prefix + suffix
        if not os.path.lexists(path):
            raise CheckpointNotFoundError(
                f"{shown(path)}: no such file, but {shown(os.path.basename(self._prefix) + INDEX)} says that weights "
                "are in it; put it into the same folder"
            )
        with open_regular(path) as opened:
            yield opened


class ArchiveSource:
    """A checkpoint inside a zip archive."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: str) -> None:
        self._archive = archive
        self._archive_where = where
        # Trained weights hardly compress. What claims to do much better is made to fill the memory.
        self._room = 16 * size + 16_000_000
        self._members: dict[str, list[zipfile.ZipInfo]] = {}
        for info in archive.infolist():
            self._members.setdefault(info.filename, []).append(info)
        self._prefix = self._choose()
        self.where = f"{where}: {quoted(self._prefix)}"

    def index(self, limit: int) -> bytes:
        """As for files."""
        return self._read(self._prefix + INDEX, limit).tobytes()

    def size(self, suffix: str) -> int:
        """As for files; the size that the archive claims."""
        return self._member(self._prefix + suffix).file_size

    def data(self, suffix: str, mmap: bool) -> Data:
        """As for files, but always in memory."""
        return self._read(self._prefix + suffix, self._room)

    def companion(self, name: str) -> bytes:
        """As for files."""
        folder = self._prefix.rpartition("/")[0]
        return self._read(f"{folder}/{name}" if folder else name, _COMPANION_LIMIT).tobytes()

    def _choose(self) -> str:
        """The prefix of the only checkpoint, or of the one that a state file names."""
        # macOS adds a folder of shadows, with names that begin with a dot and an underscore.
        names = [name for name in self._members if not name.rpartition("/")[2].startswith("._")]
        prefixes = [name.removesuffix(INDEX) for name in names if name.endswith(INDEX)]
        if len(prefixes) > 1:
            states = [name for name in names if name.rpartition("/")[2] == _STATE]
            if len(states) == 1:
                folder = states[0].removesuffix(_STATE)
                named = _named_by_state(self._read(states[0], _STATE_LIMIT).tobytes())
                prefixes = [folder + named] if named and folder + named in prefixes else prefixes
        return _only(prefixes, names, self._archive_where, "archive")

    def _member(self, name: str) -> zipfile.ZipInfo:
        where = f"{self._archive_where}: the member {quoted(name)}"
        found = self._members.get(name, [])
        if not found:
            raise CheckpointNotFoundError(f"{where} is missing; the archive holds {listed(self._members)}")
        if len(found) > 1:
            raise CheckpointError(f"{where} appears {len(found)} times")
        info = found[0]
        if info.flag_bits & 1:
            raise CheckpointError(f"{where} is encrypted; unpack the archive first")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"{where} is packed in way {info.compress_type}; unpack the archive first")
        return info

    def _read(self, name: str, limit: int) -> NDArray[np.uint8]:
        info = self._member(name)
        where = f"{self._archive_where}: the member {quoted(name)}"
        if info.file_size > min(limit, self._room):
            raise CheckpointError(
                f"{where} is said to unpack to {info.file_size} bytes, at most {min(limit, self._room)} are plausible"
            )
        self._room -= info.file_size
        buffer = np.empty(info.file_size, np.uint8)
        position = 0
        try:
            with self._archive.open(info) as member:
                while chunk := member.read(1 << 20):  # reading to the end checks the archive's own checksum
                    buffer[position : position + len(chunk)] = np.frombuffer(chunk, np.uint8)
                    position += len(chunk)
        except _ZIP_FAULTS as error:
            raise CheckpointError(f"{where} cannot be unpacked: {error}; download the archive again") from error
        if position != info.file_size:
            raise CheckpointError(f"{where} ends after {position} of its {info.file_size} bytes")
        return buffer


Source = FileSource | ArchiveSource
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error,
               OverflowError)  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Find the checkpoint that ``path`` stands for.

    Parameters
    ----------
    path : str or path-like
        A prefix, an ``.index`` file, a folder, or a zip archive.

    Raises
    ------
    CheckpointNotFoundError
        If there is no checkpoint.
    CheckpointError
        If the path is another part of a checkpoint, or there are several; the message says what to pass.
    """
    text = os.fspath(path)
    if os.path.isfile(text + INDEX):
        yield FileSource(text)
    elif os.path.isdir(text):
        yield FileSource(os.path.join(text, _in_folder(text)))
    elif text.endswith(INDEX):
        yield FileSource(text.removesuffix(INDEX))
    elif part := _OTHER_PART.fullmatch(text):
        raise CheckpointError(
            f"{shown(text)}: this is only a part of a TensorFlow checkpoint; pass what all its files begin with: "
            f"{shown(part[1])}"
        )
    elif os.path.lexists(text):
        with _archive(text) as source:
            yield source
    else:
        raise CheckpointNotFoundError(f"{shown(text)}: there is no such file or folder, and no {shown(text + INDEX)}")


def is_archive(path: Path) -> bool:
    """Whether this is a zip archive with the index of a TensorFlow checkpoint in it; False also for damaged ones.

    Examples
    --------
    >>> is_archive(__file__)
    False
    """
    try:
        with open_regular(path) as (file, _), zipfile.ZipFile(_LimitedReader(file)) as archive:
            return any(name.endswith(INDEX) for name in archive.namelist())
    except (CheckpointError, *_ZIP_FAULTS):
        return False


class _LimitedReader:
    """A file for ``zipfile``, which would read a table of contents of any size."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.limit = _DIRECTORY_LIMIT

    def read(self, size: int = -1) -> bytes:
        if size > self.limit:
            raise CheckpointError(f"{size} bytes are too many for the table of contents of an archive")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _archive(path: str) -> Iterator[ArchiveSource]:
    where = shown(path)
    with open_regular(path) as (file, size):
        if file.peek(2)[:2] != b"PK":
            raise CheckpointError(
                f"{where}: this is no part of a TensorFlow checkpoint; pass a prefix (what stands before .index), the "
                "folder, or the zip archive"
            )
        reader = _LimitedReader(file)
        try:
            archive = zipfile.ZipFile(reader)
        except CheckpointError as error:
            raise CheckpointError(f"{where}: {error}") from None
        except _ZIP_FAULTS as error:
            raise CheckpointError(f"{where}: this archive is damaged: {error}; download it again") from error
        reader.limit = size
        with archive:
            yield ArchiveSource(archive, size, where)


def _in_folder(folder: str) -> str:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise CheckpointError(f"{shown(folder)}: cannot be read: {error.strerror}") from error
    prefixes = [name.removesuffix(INDEX) for name in names if name.endswith(INDEX)]
    if len(prefixes) > 1 and _STATE in names:
        named = _named_by_state(_read_file(os.path.join(folder, _STATE), _STATE_LIMIT))
        prefixes = [named] if named in prefixes else prefixes
    return _only(prefixes, names, shown(folder), "folder")


def _only(prefixes: list[str], names: list[str], where: str, place: str) -> str:
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise CheckpointError(f"{where}: this {place} holds several checkpoints: {listed(prefixes)}; pass one of them")
    there = listed(names) or "nothing"
    raise CheckpointNotFoundError(f"{where}: no TensorFlow checkpoint (*.index) in this {place}; it holds {there}")


def _named_by_state(raw: bytes) -> str | None:
    """The last component of the path in a state file. The rest is where training happened, on another computer."""
    match = _STATE_PATH.match(raw)
    if not match:
        return None
    path = match[1].decode("utf-8", "replace").replace("\\\\", "\\")
    return re.split(r"[/\\]", path)[-1]


def _read_file(path: str, limit: int) -> bytes:
    with open_regular(path) as (file, size):
        if size > limit:
            raise CheckpointError(f"{shown(path)}: {size} bytes are too many, at most {limit} are plausible")
        return file.read(size)
