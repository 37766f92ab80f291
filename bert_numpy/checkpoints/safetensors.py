"""The safetensors format, read and written: ``load``, ``load_file``, ``save``, ``save_file``.

A file is three parts, one after the other::

    8 bytes   N, the length of the header, little-endian
    N bytes   the header, JSON: name, dtype, shape and place of every tensor
    the rest  the tensors in C order, little-endian

Nothing in such a file can run code, which is why the format exists. Everything it claims is checked before
anything is allocated, and a mapped file costs no memory until a tensor is touched.

What is not here: checkpoints split over several files (``sharded.py``) and what the names mean
(``key_mapping.py``). Read next: ``sharded.py``.
"""

import mmap as memory_map
from collections.abc import Iterable, Mapping
from io import BufferedReader
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import bfloat16 as bf16
from . import safetensors_header, sniffing
from .errors import CheckpointError, quoted
from .files import Path, open_regular, replacing, shown
from .safetensors_header import NUMPY_DTYPES, Header, TensorInfo

__all__ = [
    "PYTORCH_METADATA",
    "Header",
    "TensorInfo",
    "load",
    "load_file",
    "read_header",
    "save",
    "save_file",
]

_Buffer = bytearray | NDArray[np.uint8] | memory_map.mmap

PYTORCH_METADATA: Mapping[str, str] = MappingProxyType({"format": "pt"})
"""What ``save_file`` writes by default: transformers refuses a file that does not say it."""


def read_header(path: Path) -> Header:
    """Read and check the header of a file, and nothing else of it.

    Returns
    -------
    Header
        ``tensors`` maps each name to ``(dtype, shape, begin, end)``, the dtype as it is stored (``"BF16"``);
        ``metadata`` maps text to text; ``data_start`` is the byte from which ``begin`` and ``end`` count.

    Raises
    ------
    CheckpointError
        As :func:`load_file`, except for what only the data can show.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"pooler.dense.bias": np.zeros(3, np.float32)}, path)
    ...     read_header(path).tensors
    {'pooler.dense.bias': TensorInfo(dtype='F32', shape=(3,), begin=0, end=12)}
    """
    with open_regular(path) as (file, size):
        return _read_header(file, size, shown(path))


def load_file(path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load every tensor of a safetensors file.

    BF16 tensors come back as float32, exactly; every other dtype comes back as it is stored.

    Parameters
    ----------
    path : str or path-like
    mmap : bool
        Map the file instead of reading it. The arrays are then ordinary writable arrays whose pages are read
        when first touched and copied when first written: updating them in place never changes the file.
        Only BF16, misaligned and (on big-endian machines) byte-swapped tensors are copied at once. With
        ``mmap=False`` the file is read into memory: choose that for a file that another program may cut
        short in the meantime, which would end this process with a bus error. Replacing a mapped file, as
        :func:`save_file` does, is harmless, except on Windows, which does not allow it.

    Returns
    -------
    dict of str to ndarray
        In the order of the data in the file.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it is no regular file, cannot be read, breaks a rule of the format, or holds floats of 8 bits or
        fewer.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"pooler.dense.bias": np.arange(3, dtype=np.float32)}, path)
    ...     load_file(path, mmap=False)
    {'pooler.dense.bias': array([0., 1., 2.], dtype=float32)}
    """
    where = shown(path)
    with open_regular(path) as (file, size):
        header = _read_header(file, size, where)
        buffer = _map(file, size, where) if mmap else _read(file, size, where)
    return _tensors(buffer, header, where)


def load(data: bytes) -> dict[str, NDArray[Any]]:
    """Load every tensor from the bytes of a safetensors file; the arrays are writable copies.

    Raises
    ------
    CheckpointError
        As :func:`load_file`.

    Examples
    --------
    >>> load(save({"a": np.array([1, 2], np.int16)}))
    {'a': array([1, 2], dtype=int16)}
    """
    where = "<bytes>"
    length = safetensors_header.length(data[:8], len(data), where)
    header = safetensors_header.parse(bytes(data[8 : 8 + length]), len(data), where)
    return _tensors(bytearray(data), header, where)


def save(
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
    *,
    bfloat16: Iterable[str] = (),
) -> bytes:
    """Return the bytes of a safetensors file.

    Equal tensors and metadata give equal bytes, and the same bytes as the official writer (which leaves the
    order of several metadata entries to chance; here they are sorted).

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Any memory order and byte order; booleans, integers, complex64, and floats of 2, 4 or 8 bytes.
    metadata : mapping of str to str, optional
        Unlike :func:`save_file`, none by default.
    bfloat16 : iterable of str
        Names of the floating-point tensors to store as BF16, rounded to nearest; ``tensors`` itself for all.

    Raises
    ------
    CheckpointError
        If a name, an array or the metadata cannot be stored.

    Examples
    --------
    >>> save({"a": np.array([1, 2], np.uint8)})[8:]
    b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   \\x01\\x02'
    """
    where = "<bytes>"
    dtypes = safetensors_header.layout(tensors, frozenset(bfloat16), where)
    head = safetensors_header.build(tensors, dtypes, metadata, where)
    return b"".join([head, *(_stored(tensors[name], dtype) for name, dtype in dtypes.items())])


def save_file(
    tensors: Mapping[str, NDArray[Any]],
    path: Path,
    metadata: Mapping[str, str] | None = PYTORCH_METADATA,
    *,
    bfloat16: Iterable[str] = (),
) -> None:
    """Write a safetensors file, all of it or nothing.

    The bytes go to a temporary file in the same folder, which replaces ``path`` once they are on the disk.
    Tensors are written one by one; beside them there is at most one converted tensor in memory.

    Parameters
    ----------
    tensors, bfloat16
        As for :func:`save`.
    path : str or path-like
        Replaced if it exists; its folder must exist.
    metadata : mapping of str to str or None
        ``{"format": "pt"}`` by default, because transformers refuses a file without it.

    Raises
    ------
    CheckpointError
        If a name, an array or the metadata cannot be stored, or the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"x": np.array([1.0, 1.001], np.float32)}, path, bfloat16=["x"])
    ...     read_header(path).tensors["x"].dtype, load_file(path, mmap=False)["x"]
    ('BF16', array([1., 1.], dtype=float32))
    """
    where = shown(path)
    dtypes = safetensors_header.layout(tensors, frozenset(bfloat16), where)
    head = safetensors_header.build(tensors, dtypes, metadata, where)
    with replacing(path) as file:
        file.write(head)
        for name, dtype in dtypes.items():
            file.write(_stored(tensors[name], dtype))


def _read_header(file: BufferedReader, size: int, where: str) -> Header:
    kind = sniffing.recognise(file, size)
    if kind not in (sniffing.SAFETENSORS, sniffing.UNKNOWN):
        raise CheckpointError(f"{where}: this is {kind.description}; {kind.remedy}")
    length = safetensors_header.length(file.read(8), size, where)
    return safetensors_header.parse(file.read(length), size, where)


def _map(file: BufferedReader, size: int, where: str) -> memory_map.mmap:
    """The whole file, copy-on-write, which is what makes the arrays writable. They keep the mapping alive."""
    try:
        return memory_map.mmap(file.fileno(), size, access=memory_map.ACCESS_COPY)
    except ValueError as error:
        raise CheckpointError(f"{where}: the file changed its size while it was read") from error


def _read(file: BufferedReader, size: int, where: str) -> NDArray[np.uint8]:
    file.seek(0)
    buffer = np.empty(size, np.uint8)  # a bytearray would be filled with zeros first
    if file.readinto(buffer.data) != size:
        raise CheckpointError(f"{where}: the file changed its size while it was read")
    return buffer


def _tensors(buffer: _Buffer, header: Header, where: str) -> dict[str, NDArray[Any]]:
    tensors = {}
    for name, info in header.tensors.items():
        tensor = f"{where}: tensor {quoted(name)}"
        if info.dtype not in NUMPY_DTYPES:
            raise CheckpointError(f"{tensor} is {info.dtype}, which NumPy lacks; convert it to F16 or F32")
        array = _view(buffer, header.data_start + info.begin, info)
        if info.dtype == "BF16":
            array = bf16.widen(array)
        elif info.dtype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
            raise CheckpointError(f"{tensor} is BOOL, but holds bytes other than 0 and 1")
        tensors[name] = array
    return tensors


def _view(buffer: _Buffer, start: int, info: TensorInfo) -> NDArray[Any]:
    """An aligned, native, writable array over the buffer where that is possible, else a copy."""
    dtype = np.dtype(NUMPY_DTYPES[info.dtype])
    count = (info.end - info.begin) // dtype.itemsize
    array = np.frombuffer(buffer, dtype, count, start).reshape(info.shape)
    if not array.flags.aligned:
        array = array.copy()
    return array.astype(dtype.newbyteorder("="), copy=False)


def _stored(array: NDArray[Any], dtype: str) -> memoryview:
    """The bytes of one tensor, C order and little-endian; a copy only where the array is not so already."""
    if dtype == "BF16":
        array = bf16.narrow(array)
    array = np.asarray(array, NUMPY_DTYPES[dtype], order="C")
    return array.reshape(-1).view(np.uint8).data
