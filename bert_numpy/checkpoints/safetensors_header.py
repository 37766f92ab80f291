"""The header of a safetensors file: parsed with every claim checked, and built.

::

    {"__metadata__": {"format": "pt"},
     "pooler.dense.bias": {"dtype": "F32", "shape": [768], "data_offsets": [0, 3072]}, ...}

Offsets count bytes from the end of the header. Taken in order, the tensors must cover the data section
exactly, without gap or overlap, which leaves no room to hide anything or to read the same byte twice. All
sizes are Python integers, so no product can overflow. What is not here: the data, and files. Read next:
``safetensors.py``.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import strict_json
from .errors import CheckpointError, quoted

SIZE_LIMIT = 100_000_000  # bytes; the limit of the format
METADATA = "__metadata__"

# Format name -> NumPy dtype. The order is the official one; the widest, which are written first, come last.
# NumPy has no bfloat16: here it is the integer of its bits.
NUMPY_DTYPES = {
    "BOOL": "?",
    "U8": "<u1", "I8": "<i1",
    "I16": "<i2", "U16": "<u2", "F16": "<f2", "BF16": "<u2",
    "I32": "<i4", "U32": "<u4", "F32": "<f4",
    "C64": "<c8", "F64": "<f8", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
BITS = {name: 8 * np.dtype(code).itemsize for name, code in NUMPY_DTYPES.items()}
# Legal in a file, and so in its header, but narrower than any float of NumPy: refused when data are loaded.
BITS |= {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8}
BITS |= {"F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8}

_KIND_AND_SIZE = {(np.dtype(code).kind, np.dtype(code).itemsize): name for name, code in NUMPY_DTYPES.items()
                  if name != "BF16"}  # fmt: skip
_WRITING_RANK = {name: rank for rank, name in enumerate(reversed(NUMPY_DTYPES))}
_MOST_DIMENSIONS = 32  # what every NumPy this package supports can hold
_LARGEST = 2**63 - 1


class TensorInfo(NamedTuple):
    """What the header says of one tensor; ``begin`` and ``end`` are byte offsets into the data section."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """A checked header: the tensors in the order of their data, the metadata, and where the data begins."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int


def length(first: bytes, file_size: int, where: str) -> int:
    """Return the length of the header, from the ``first`` 8 bytes of a file of ``file_size`` bytes.

    Raises
    ------
    CheckpointError
        If the file cannot hold such a header. Nothing has been allocated for it then.

    Examples
    --------
    >>> length(bytes([2, 0, 0, 0, 0, 0, 0, 0]), 10, "example")
    2
    """
    if file_size < 8:
        raise CheckpointError(
            f"{where}: {file_size} bytes are too few for a safetensors file, which begins with an 8-byte "
            "header length; the file is cut off or is something else"
        )
    found = int.from_bytes(first, "little")
    if found > SIZE_LIMIT:
        raise CheckpointError(
            f"{where}: the first 8 bytes give a header of {found} bytes, more than the format's limit of "
            f"{SIZE_LIMIT}; this is not a safetensors file"
        )
    if found > file_size - 8:
        raise CheckpointError(
            f"{where}: the header should have {found} bytes, but only {file_size - 8} follow; "
            "the file is cut off, download it again"
        )
    return found


def parse(raw: bytes, file_size: int, where: str) -> Header:
    """Check everything that a header claims about a file of ``file_size`` bytes.

    Raises
    ------
    CheckpointError
        Naming the tensor and the field at fault.

    Examples
    --------
    >>> raw = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    >>> parse(raw, 8 + len(raw) + 2, "example").tensors
    {'a': TensorInfo(dtype='U8', shape=(2,), begin=0, end=2)}
    """
    if raw[:1] != b"{":
        raise CheckpointError(f"{where}: the header begins with {quoted(raw[:1])}, a JSON object was wanted")
    # An entry has three brackets in 50 characters. Far more of them in a large header are no tensors but an
    # attack: 100 MB of "[]," would take 3 GB and half a minute to parse.
    if len(raw) > 1_000_000 and raw.count(b"[") + raw.count(b"{") > len(raw) // 10:
        raise CheckpointError(f"{where}: the header is not a list of tensors: it consists of brackets")
    entries = strict_json.parse(raw, f"{where}: the header")
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise CheckpointError(f"{where}: {METADATA} must map text to text, found {quoted(metadata)}")
    infos = {name: _tensor_info(entry, f"{where}: tensor {quoted(name)}") for name, entry in entries.items()}
    # By begin, then end, so that an empty tensor stands before the one that begins at the same byte.
    tensors = dict(sorted(infos.items(), key=lambda item: item[1][2:]))
    _check_coverage(tensors, file_size - 8 - len(raw), where)
    return Header(tensors, metadata, 8 + len(raw))


def _tensor_info(entry: Any, where: str) -> TensorInfo:
    """Check one entry by itself. Fields beyond the three are ignored, as the official reader does."""
    if not isinstance(entry, dict):
        raise CheckpointError(f"{where}: an object was wanted, found {quoted(entry)}")
    for field in ("dtype", "shape", "data_offsets"):
        if field not in entry:
            raise CheckpointError(f"{where}: the field {field!r} is missing")
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise CheckpointError(f"{where}: unknown dtype {quoted(dtype)}; known are {', '.join(BITS)}")
    shape = _sizes(entry["shape"], f"{where}: shape")
    offsets = _sizes(entry["data_offsets"], f"{where}: data_offsets")
    if len(shape) > _MOST_DIMENSIONS:
        raise CheckpointError(f"{where}: {len(shape)} dimensions, at most {_MOST_DIMENSIONS} are supported")
    # NumPy wants this of empty tensors too, with the zeros left out.
    if math.prod(size or 1 for size in shape) * 8 > _LARGEST:
        raise CheckpointError(f"{where}: the shape {quoted(shape)} is too large for any computer")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{where}: data_offsets must be [begin, end], found {quoted(offsets)}")
    begin, end = offsets
    bits = math.prod(shape) * BITS[dtype]
    if bits != 8 * (end - begin):
        raise CheckpointError(
            f"{where}: {dtype} of shape {quoted(shape)} takes {bits / 8:g} bytes, "
            f"but its data_offsets give it {end - begin}"
        )
    return TensorInfo(dtype, tuple(shape), begin, end)


def _sizes(value: Any, where: str) -> list[int]:
    """Check a list of sizes. ``type(...) is int`` because ``True`` is an int to ``isinstance``."""
    if not isinstance(value, list) or not all(type(size) is int and 0 <= size <= _LARGEST for size in value):
        raise CheckpointError(f"{where} must be a list of integers from 0 to 2**63-1, found {quoted(value)}")
    return value


def _check_coverage(tensors: Mapping[str, TensorInfo], data_size: int, where: str) -> None:
    """Each tensor, in order, begins where the one before it ended, and the last ends with the file."""
    position = 0
    for name, info in tensors.items():
        tensor = f"{where}: tensor {quoted(name)}"
        if info.begin != position:
            fault = "overlaps the tensor before it" if info.begin < position else "leaves a gap before it"
            raise CheckpointError(f"{tensor} {fault}: its data begin at byte {info.begin}, not {position}")
        position = info.end
        if position > data_size:
            raise CheckpointError(
                f"{tensor} ends at byte {position} of the data, which has only {data_size}; "
                "the file is cut off, download it again"
            )
    if position != data_size:
        surplus = data_size - position
        raise CheckpointError(f"{where}: {surplus} bytes follow the last tensor; the file is damaged")


def layout(tensors: Mapping[str, NDArray[Any]], narrowed: Collection[str], where: str) -> dict[str, str]:
    """Check what is to be stored and return ``{name: dtype}`` in the order of the data.

    Wide dtypes come first, so that every tensor is aligned; names decide among equals. The tensors named in
    ``narrowed`` become BF16.

    Raises
    ------
    CheckpointError
        If a name or an array cannot be stored.

    Examples
    --------
    >>> layout({"a": np.zeros(3, np.int8), "b": np.zeros(2)}, [], "example")
    {'b': 'F64', 'a': 'I8'}
    """
    if unknown := set(narrowed) - set(tensors):
        raise CheckpointError(f"{where}: there is no tensor {quoted(min(unknown))} to store as BF16")
    dtypes = {}
    for name, array in tensors.items():
        tensor = f"{where}: tensor {quoted(name)}"
        if not _is_text(name) or name == METADATA:
            raise CheckpointError(f"{where}: {quoted(name)} cannot be the name of a tensor")
        if not isinstance(array, (np.ndarray, np.generic)):  # 0-d arithmetic gives the latter
            raise CheckpointError(f"{tensor} is of type {type(array).__name__}, an ndarray was wanted")
        dtype = _KIND_AND_SIZE.get((array.dtype.kind, array.dtype.itemsize))
        if dtype is None:
            raise CheckpointError(f"{tensor} has dtype {array.dtype}, which the format cannot hold")
        if name in narrowed and array.dtype.kind != "f":
            raise CheckpointError(f"{tensor} has dtype {array.dtype}, only floats can be stored as BF16")
        dtypes[name] = "BF16" if name in narrowed else dtype
    return dict(sorted(dtypes.items(), key=lambda item: (_WRITING_RANK[item[1]], item[0])))


def stored_size(array: NDArray[Any], dtype: str) -> int:
    """Return the bytes that an array takes in a file under the given dtype of the format.

    Examples
    --------
    >>> stored_size(np.zeros((2, 3), np.float32), "BF16")
    12
    """
    return array.size * BITS[dtype] // 8


def build(
    tensors: Mapping[str, NDArray[Any]],
    dtypes: Mapping[str, str],
    metadata: Mapping[str, str] | None,
    where: str,
) -> bytes:
    """Return the beginning of a file, up to the data: the length and the header for this ``layout``.

    The header is padded with spaces, so that the data begin on a multiple of 8.

    Raises
    ------
    CheckpointError
        If the metadata are not text, or the header exceeds the limit of the format.

    Examples
    --------
    >>> build({}, {}, None, "example")
    b'\\x08\\x00\\x00\\x00\\x00\\x00\\x00\\x00{}      '
    """
    entries: dict[str, Any] = {}
    if metadata is not None:
        if not all(_is_text(text) for item in metadata.items() for text in item):
            raise CheckpointError(f"{where}: metadata must map text to text, found {quoted(dict(metadata))}")
        entries[METADATA] = dict(sorted(metadata.items()))
    end = 0
    for name, dtype in dtypes.items():
        begin, end = end, end + stored_size(tensors[name], dtype)
        entries[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    raw = strict_json.compact(entries)
    raw += b" " * (-len(raw) % 8)
    if len(raw) > SIZE_LIMIT:
        raise CheckpointError(f"{where}: the header takes {len(raw)} bytes, the format allows {SIZE_LIMIT}")
    return len(raw).to_bytes(8, "little") + raw


def _is_text(value: Any) -> bool:
    """Whether this is a str that UTF-8 can hold; half of a surrogate pair is one that it cannot."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode("utf-8") == value
