"""Opening and replacing files without surprises: the only place here that talks to the file system.

Reading refuses everything that is not a regular file before opening it, because opening a FIFO waits for
ever and ``/dev/zero`` never ends. Writing goes to a temporary file in the same folder, which takes the name
of the target only when every byte is on the disk: whoever reads sees the old file or the new one, never a
part. What is not here: formats. Read next: ``safetensors.py``.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import BinaryIO

from .errors import CheckpointError, CheckpointNotFoundError

Path = str | os.PathLike[str]


def shown(path: Path) -> str:
    """Return a path as it stands in a message: plain where that is one line, else quoted.

    Examples
    --------
    >>> shown("model.safetensors")
    'model.safetensors'
    >>> print(shown("two\\nlines"))
    'two\\nlines'
    """
    text = os.fspath(path)
    return text if text.isprintable() and text else repr(text)


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file for reading and yield ``(file, size)``.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it is a folder, a device or a pipe, or cannot be opened or read.

    Examples
    --------
    >>> with open_regular(__file__) as (file, size):
    ...     len(file.read()) == size
    True
    """
    with _one_clear_error(path, "cannot be read"):
        _refuse_irregular(path)
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of ``path`` if, and only if, the block ends without an exception.

    On failure the old file is untouched and the new one removed; only a killed process leaves one behind,
    under a hidden name ending in ``.tmp`` that nothing here ever loads. A symbolic link is replaced, not
    followed: links in a download cache point at files shared by others.

    Raises
    ------
    CheckpointError
        If the folder is missing or not writable, the disk is full, or ``path`` is a folder or a device.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(os.path.join(folder, "greeting")) as file:
    ...         _ = file.write(b"hello")
    ...     os.listdir(folder)
    ['greeting']
    """
    folder, name = os.path.split(os.fspath(path))
    temporary = os.path.join(folder, f".{name[:32]}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _one_clear_error(path, "cannot be written"):
        if os.path.exists(path):
            _refuse_irregular(path)
        descriptor = os.open(temporary, flags, 0o666)  # unlike tempfile, the umask decides who may read
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    _sync_folder(folder or os.curdir)


def _sync_folder(folder: str) -> None:
    """Make the new name itself survive a power cut, where the system can: Windows cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_irregular(path: Path) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise CheckpointError(f"{shown(path)}: this is a folder, a file was wanted")
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{shown(path)}: this is a device, pipe or socket, a regular file was wanted")


@contextmanager
def _one_clear_error(path: Path, failure: str) -> Iterator[None]:
    """Turn the OSError family into CheckpointError; the original stays in ``__cause__``."""
    if "\0" in os.fspath(path):  # for which the system calls raise a bare ValueError
        raise CheckpointError(f"{shown(path)}: {failure}: the path holds a NUL character")
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        missing = "the link points nowhere" if os.path.islink(path) else "no such file or folder"
        raise CheckpointNotFoundError(f"{shown(path)}: {failure}: {missing}") from error
    except OSError as error:
        raise CheckpointError(f"{shown(path)}: {failure}: {error.strerror or error}") from error
