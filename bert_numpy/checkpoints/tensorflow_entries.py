"""What an index says of each tensor: protocol buffers, decoded and checked.

The key ``""`` holds the header, every other key an entry::

    header  1 number of data files   2 byte order (0 little, 1 big)   3 versions: 1 writer, 2 least reader, 3 refused
    entry   1 dtype   2 shape   3 data file   4 offset   5 size   6 masked CRC32C (fixed 32 bits)   7 slices
    shape   2 dimensions, each: 1 size        3 whether the number of dimensions is unknown
    slice   1 extents, one for each dimension, each: 1 start   2 length; all of it where the length is missing

Fields that are zero are not stored. A partitioned variable has slices and no data; its parts stand under keys of
their own, made of its name and the slice in an encoding that keeps the order. What is not here: bytes of tensors
(``tensorflow.py``, to read next).
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np

from . import varint
from .errors import CheckpointError, quoted

STRING = 7
# Codes of dtypes; NumPy has no bfloat16, so here it is the integer of its bits.
BFLOAT16 = 14
NUMPY_CODES: Mapping[int, str] = MappingProxyType({
    1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 8: "c8", 9: "i8", 10: "?", BFLOAT16: "u2", 17: "u2",
    18: "c16", 19: "f2", 22: "u4", 23: "u8",
})  # fmt: skip

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE_NAMES = {_VARINT: "an integer", _FIXED64: "8 bytes", _BYTES: "bytes of a given length", _FIXED32: "4 bytes"}
_READER = 1  # the version of the format that is read here; there has been no other
_MOST_DIMENSIONS = 32  # what every NumPy this package supports can hold
_MOST_SLICES = 1000  # of one variable; each is compared with all others
_LARGEST_ENTRY = 100_000  # bytes; a small message can stand for many objects in memory
_LARGEST = 2**63 - 1

Extent = tuple[int, int | None]
Value = TypeVar("Value", int, bytes)


class Header(NamedTuple):
    """How many data files there are, and whether their numbers have the highest byte first."""

    shards: int
    big_endian: bool


class Entry(NamedTuple):
    """What the index says of one tensor, or of one part of a partitioned variable."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[tuple[Extent, ...], ...]

    @property
    def end(self) -> int:
        """The first byte after the data."""
        return self.offset + self.size


def parse_header(raw: bytes, where: str) -> Header:
    """Decode the header of an index.

    Raises
    ------
    CheckpointError
        If it is damaged, or written for readers of a later version.

    Examples
    --------
    >>> parse_header(bytes.fromhex("08011a020801"), "example")
    Header(shards=1, big_endian=False)
    """
    where = f"{where}: the header"
    message = _Message(raw, where)
    versions = _Message(message.chunk(3), f"{where}: the versions")
    least, refused = versions.integer(2), _packed(versions.chunk(3), where)
    if least > _READER or _READER in refused:
        raise CheckpointError(
            f"{where} wants a reader of version {least} or later, but none of {quoted(refused)}; "
            f"this is version {_READER}"
        )
    order = message.integer(2)
    if order > 1:
        raise CheckpointError(f"{where}: the byte order is {order}; known are 0, little, and 1, big")
    return Header(message.integer(1), order == 1)


def parse_entry(raw: bytes, where: str) -> Entry:
    """Decode one entry and check it by itself: a known dtype, a possible shape, and the size that they make.

    Raises
    ------
    CheckpointError
        Naming the field at fault.

    Examples
    --------
    >>> parse_entry(bytes.fromhex("0809 1200 2004 2808 35eab2043e"), "example")[:5]
    (9, (), 0, 4, 8)
    """
    if len(raw) > _LARGEST_ENTRY:
        raise CheckpointError(f"{where} takes {len(raw)} bytes, at most {_LARGEST_ENTRY} are supported")
    message = _Message(raw, where)
    dtype, shard, offset, size = (message.integer(number) for number in (1, 3, 4, 5))
    shape = _shape(message.chunk(2), f"{where}: the shape")
    checksum = int.from_bytes(message.chunk(6, _FIXED32), "little")
    if len(message.chunks(7)) > _MOST_SLICES:
        raise CheckpointError(f"{where} has {len(message.chunks(7))} slices, at most {_MOST_SLICES} are supported")
    slices = tuple(_slice(chunk, shape, f"{where}: a slice") for chunk in message.chunks(7))
    if dtype != STRING and dtype not in NUMPY_CODES:
        raise CheckpointError(f"{where}: dtype {dtype} is none that can be read here")
    if max(shard, offset, size, offset + size) > _LARGEST:
        found = [*map(_signed, (shard, offset, size))]
        raise CheckpointError(f"{where}: data file, offset and size are {found}, negative or too large")
    if slices and (dtype == STRING or size or offset or shard or checksum):
        raise CheckpointError(f"{where} has slices, and data of its own")
    if not slices and dtype != STRING and size != (wanted := math.prod(shape) * item_size(dtype)):
        raise CheckpointError(f"{where}: shape {quoted(shape)} takes {wanted} bytes, the index gives it {size}")
    return Entry(dtype, shape, shard, offset, size, checksum, slices)


def item_size(dtype: int) -> int:
    """Return the bytes that one element takes.

    Examples
    --------
    >>> item_size(1)
    4
    """
    return np.dtype(NUMPY_CODES[dtype]).itemsize


def slice_key(name: str, extents: tuple[Extent, ...]) -> bytes:
    """Return the key under which a part of a partitioned variable stands.

    Examples
    --------
    >>> slice_key("part", ((4, 3), (0, None)))
    b'\\x00part\\x00\\x01\\x01\\x02\\x84\\x83\\x80\\x7f'
    """
    escaped = name.encode("utf-8").replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff")
    rank = len(extents).to_bytes(1, "big")
    numbers = b"".join(_ordered(start) + _ordered(-1 if length is None else length) for start, length in extents)
    return b"\0" + escaped + b"\0\1" + (b"\1" + rank if extents else b"\0") + numbers


def _ordered(value: int) -> bytes:
    """Encode a signed integer such that the order of the bytes is the order of the numbers.

    In ``n`` bytes there is room for ``7n - 1`` bits and the sign; ``n`` leading bits of a positive number are set.
    """
    count = (value if value >= 0 else ~value).bit_length() // 7 + 1
    leading = ((1 << count) - 1) << 7 * count
    return ((value & ((1 << 8 * count) - 1)) ^ leading).to_bytes(count, "big")


def _shape(raw: bytes, where: str) -> tuple[int, ...]:
    message = _Message(raw, where)
    if message.integer(3):
        raise CheckpointError(f"{where} has an unknown number of dimensions")
    shape = tuple(_Message(chunk, where).integer(1) for chunk in message.chunks(2))
    if any(size > _LARGEST for size in shape):
        raise CheckpointError(f"{where} has a negative dimension: {quoted([*map(_signed, shape)])}")
    if len(shape) > _MOST_DIMENSIONS:
        raise CheckpointError(f"{where} has {len(shape)} dimensions, at most {_MOST_DIMENSIONS} are supported")
    # NumPy wants this of empty tensors too, with the zeros left out.
    if math.prod(size or 1 for size in shape) * 16 > _LARGEST:
        raise CheckpointError(f"{where} {quoted(shape)} is too large for any computer")
    return shape


def _slice(raw: bytes, shape: tuple[int, ...], where: str) -> tuple[Extent, ...]:
    extents: list[Extent] = []
    for chunk in _Message(raw, where).chunks(1):
        extent = _Message(chunk, where)
        extents.append((extent.integer(1), extent.integer(2) if extent.has(2) else None))
    if len(extents) != len(shape):
        raise CheckpointError(f"{where} has {len(extents)} extents, the variable has {len(shape)} dimensions")
    for (start, length), size in zip(extents, shape, strict=True):
        if start + (length or 0) > size or (length is None and start):
            raise CheckpointError(f"{where} {quoted(extents)} lies outside the shape {quoted(shape)}")
    return tuple(extents)


class _Message:
    """One protocol buffer, split into its fields; what is asked for must have the right wire type."""

    def __init__(self, raw: bytes, where: str) -> None:
        self._where = where
        self._integers: dict[int, list[int]] = {}
        self._chunks: dict[int, list[bytes]] = {}
        self._wires: dict[int, int] = {}
        position = 0
        while position < len(raw):
            tag, position = varint.read(raw, position, where)
            number, wire = tag >> 3, tag & 7
            if number == 0 or wire not in _WIRE_NAMES:
                raise CheckpointError(f"{where} is no protocol buffer: field {number} of wire type {wire}")
            if self._wires.setdefault(number, wire) != wire:
                raise CheckpointError(f"{where}: field {number} appears with two wire types")
            if wire == _VARINT:
                value, position = varint.read(raw, position, where)
                self._integers.setdefault(number, []).append(value)
                continue
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
            if wire == _BYTES:
                size, position = varint.read(raw, position, where)
            if size > len(raw) - position:
                raise CheckpointError(f"{where}: field {number} is cut off")
            self._chunks.setdefault(number, []).append(raw[position : position + size])
            position += size

    def has(self, number: int) -> bool:
        return number in self._wires

    def integer(self, number: int) -> int:
        """The unsigned value of an integer field, 0 if it is missing."""
        self._check_wire(number, _VARINT)
        return self._only(number, self._integers.get(number, [])) or 0

    def chunk(self, number: int, wire: int = _BYTES) -> bytes:
        """The bytes of a field that may stand once, none if it is missing."""
        return self._only(number, self.chunks(number, wire)) or b""

    def chunks(self, number: int, wire: int = _BYTES) -> list[bytes]:
        """The bytes of every occurrence of a field."""
        self._check_wire(number, wire)
        return self._chunks.get(number, [])

    def _check_wire(self, number: int, wanted: int) -> None:
        wire = self._wires.get(number, wanted)
        if wire != wanted:
            found, wanted_name = _WIRE_NAMES[wire], _WIRE_NAMES[wanted]
            raise CheckpointError(f"{self._where}: field {number} is {found}, {wanted_name} was wanted")

    def _only(self, number: int, values: list[Value]) -> Value | None:
        if len(values) > 1:
            raise CheckpointError(f"{self._where}: field {number} appears {len(values)} times")
        return values[0] if values else None


def _packed(raw: bytes, where: str) -> list[int]:
    """Decode integers that stand one after the other."""
    values, position = [], 0
    while position < len(raw):
        value, position = varint.read(raw, position, where)
        values.append(value)
    return values


def _signed(value: int) -> int:
    return value - 2**64 if value > _LARGEST else value
