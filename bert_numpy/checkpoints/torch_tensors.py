"""PyTorch's tensors as a pickle describes them: the closed list of names, and what each of them becomes.

A tensor in a pickle is a call, ``_rebuild_tensor_v2(storage, offset, sizes, strides, ...)``, and its storage a
persistent id, ``("storage", class, key, device, count)``. Here both become plain records, of which nothing but
the form has been looked at: whether a tensor lies inside its storage is asked when its name is known. What is
not here: the bytes. Read next: ``torch_pickle.py``.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .restricted_pickle import ORDERED_DICT, Token, brief

_LARGEST = 2**63 - 1


@dataclass(frozen=True, eq=False, repr=False)
class DType(Token):
    """A storage class or dtype of PyTorch; ``code`` is NumPy's without byte order, empty if NumPy has none."""

    code: str = ""
    is_bfloat16: bool = False  # then ``code`` is the integer of its bits

    @property
    def itemsize(self) -> int:
        return np.dtype(self.code).itemsize


@dataclass(frozen=True, eq=False, repr=False)
class Storage:
    """``count`` elements from element ``start`` of the bytes that the file keeps under ``key``."""

    key: str
    dtype: DType
    start: int
    count: int

    def __repr__(self) -> str:
        return f"a storage of {self.dtype}"


@dataclass(frozen=True, eq=False, repr=False)
class Tensor:
    """A tensor before its storage is looked at; offset and strides count elements, and nothing is checked yet."""

    storage: Storage
    dtype: DType
    offset: Any
    shape: Any
    strides: Any

    def __repr__(self) -> str:
        return "a tensor"


class References:
    """The storages that a pickle refers to by persistent ids, which are tuples ("storage", class, key, ...)."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.found: dict[str, tuple[DType, int]] = {}

    def load(self, pid: Any) -> Storage:
        """Check a persistent id, and that it does not contradict an earlier one; faults are ValueErrors."""
        if type(pid) is not tuple or len(pid) != self.length or pid[0] != "storage":
            raise ValueError(f"a storage was wanted, found {brief(pid)}")
        dtype, key, location, count = pid[1:5]
        if type(dtype) is not DType or not dtype.code or not dtype.name.endswith("Storage"):
            raise ValueError(f"a storage class was wanted, found {brief(dtype)}")
        if type(key) is not str or type(location) is not str or type(count) is not int or not 0 <= count <= _LARGEST:
            raise ValueError(f"a storage must have a key, a device and a size, found {brief(pid[2:])}")
        if self.found.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError(f"storage {brief(key)} has two types or sizes")
        view = pid[5] if len(pid) > 5 else None
        if view is None:
            return Storage(key, dtype, 0, count)
        # A part of a storage, from before PyTorch's tensors had offsets: its own key, start and size.
        if type(view) is not tuple or [type(part) for part in view] != [str, int, int] or dtype is UNTYPED:
            raise ValueError(f"a part of a storage must have a key, a start and a size, found {brief(view)}")
        _, start, size = view
        if start < 0 or size < 0 or start + size > count:
            raise ValueError(f"storage {brief(key)} has {count} elements, but a part of it is {start} + {size}")
        return Storage(key, dtype, start, size)


# The closed list of names


def _rebuild_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Storage, offset, sizes and strides: the form of the first releases."""
    _expect(arguments, 4, 4)
    storage = arguments[0]
    if type(storage) is not Storage or storage.dtype is UNTYPED:
        raise ValueError(f"a storage with a type was wanted, found {brief(storage)}")
    return Tensor(storage, storage.dtype, *arguments[1:4])


def _rebuild_tensor_v2(arguments: tuple[Any, ...]) -> Tensor:
    """The same, then whether a gradient is wanted, its hooks, and the metadata, which newer files may have."""
    _expect(arguments, 6, 7)
    _refuse_metadata(arguments[6:])
    return _rebuild_tensor(arguments[:4])


def _rebuild_tensor_v3(arguments: tuple[Any, ...]) -> Tensor:
    """The same, with the dtype before the metadata: for the dtypes that have no storage class."""
    _expect(arguments, 7, 8)
    _refuse_metadata(arguments[7:])
    storage, dtype = arguments[0], arguments[6]
    if type(storage) is not Storage or storage.dtype is not UNTYPED:
        raise ValueError(f"a storage without a type was wanted, found {brief(storage)}")
    if type(dtype) is not DType or dtype.name.endswith("Storage"):
        raise ValueError(f"a dtype was wanted, found {brief(dtype)}")
    return Tensor(storage, dtype, *arguments[1:4])


def _rebuild_parameter(arguments: tuple[Any, ...]) -> Tensor:
    """A tensor, whether a gradient is wanted, and its hooks."""
    _expect(arguments, 3, 3)
    if type(arguments[0]) is not Tensor:
        raise ValueError(f"a tensor was wanted, found {brief(arguments[0])}")
    return arguments[0]


def _expect(arguments: tuple[Any, ...], least: int, most: int) -> None:
    if not least <= len(arguments) <= most:
        raise ValueError(f"{len(arguments)} arguments were given, {least} to {most} were wanted")


def _refuse_metadata(metadata: tuple[Any, ...]) -> None:
    """It says that the values must be conjugated or negated first; no weight has it, so nothing is guessed."""
    if any(metadata):
        raise ValueError(f"the tensor has the metadata {brief(metadata[0])}; save a plain copy of it")


UNTYPED = DType("torch.storage.UntypedStorage", code="u1")
_STORAGE_CODES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "ComplexDouble": "c16", "ComplexFloat": "c8",
    "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip
_DTYPE_CODES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "complex128": "c16", "complex64": "c8",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1", "bool": "?",
    "complex32": "", "float8_e4m3fn": "", "float8_e4m3fnuz": "", "float8_e5m2": "", "float8_e5m2fnuz": "",
    "float8_e8m0fnu": "",
}  # fmt: skip
_REBUILD = (_rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter)
NAMES: MappingProxyType[tuple[str, str], Token] = MappingProxyType(
    {
        ("collections", "OrderedDict"): ORDERED_DICT,
        ("torch.storage", "UntypedStorage"): UNTYPED,
        ("torch", "BFloat16Storage"): DType("torch.BFloat16Storage", code="u2", is_bfloat16=True),
        ("torch", "bfloat16"): DType("torch.bfloat16", code="u2", is_bfloat16=True),
    }
    | {("torch._utils", call.__name__): Token(f"torch._utils.{call.__name__}", call) for call in _REBUILD}
    | {("torch", f"{kind}Storage"): DType(f"torch.{kind}Storage", code=c) for kind, c in _STORAGE_CODES.items()}
    | {("torch", name): DType(f"torch.{name}", code=code) for name, code in _DTYPE_CODES.items()}
)
