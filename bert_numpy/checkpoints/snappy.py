"""Snappy, unpacked: the fast compression that blocks of a TensorFlow index may use.

A packed block begins with the length of the unpacked one, and goes on with elements: a literal, which brings new
bytes, or a copy of bytes already produced. The low two bits of an element's first byte, the tag, tell which::

    00  literal; length - 1 in the other six bits, where 60 to 63 say that it follows in 1 to 4 bytes
    01  copy; 4 + three bits for the length, three bits and one byte for the distance
    10  copy; 1 + six bits for the length, two bytes for the distance
    11  copy; 1 + six bits for the length, four bytes for the distance

What is not here: packing, and the framed format of files. Read next: ``tensorflow_table.py``.
"""

from . import varint
from .errors import CheckpointError

# A copy makes at most 64 bytes of at least 3, after the literal that it starts from.
_LARGEST_RATIO = 22


def unpack(data: bytes, limit: int, where: str) -> bytes:
    """Return the unpacked bytes of one block, at most ``limit``.

    Parameters
    ----------
    data : bytes
    limit : int
        The longest result to accept.
    where : str
        What to call the block in messages.

    Raises
    ------
    CheckpointError
        If the block claims more than ``limit`` or than it could hold, does not produce exactly what it claims,
        copies from before the beginning, or is cut off. A wrong claim is refused before anything is allocated.

    Examples
    --------
    >>> unpack(b"\\x09\\x08abc\\x09\\x03", 100, "example")
    b'abcabcabc'
    """
    length, position = varint.read(data, 0, f"{where}: the packed block", bits=32)
    if length > limit:
        raise CheckpointError(f"{where}: the packed block claims {length} bytes, at most {limit} are allowed")
    if length > _LARGEST_RATIO * len(data):
        raise CheckpointError(f"{where}: {len(data)} packed bytes cannot hold the {length} that they claim")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        kind, upper = tag & 3, tag >> 2
        extra = (max(0, upper - 59), 1, 2, 4)[kind]  # bytes of a length or distance that follow the tag
        number = int.from_bytes(data[position : position + extra], "little")
        if position + extra > len(data):
            raise CheckpointError(f"{where}: the packed block is cut off within an element")
        position += extra
        if kind == 0:
            size = 1 + (number if extra else upper)
            if size > len(data) - position:
                raise CheckpointError(f"{where}: the packed block is cut off within a literal of {size} bytes")
            piece = data[position : position + size]
            position += size
        else:
            size, distance = (4 + (upper & 7), (upper >> 3) << 8 | number) if kind == 1 else (1 + upper, number)
            if not 1 <= distance <= len(out):
                raise CheckpointError(
                    f"{where}: the packed block copies from {distance} bytes back, where {len(out)} bytes exist"
                )
            start = len(out) - distance
            # A copy that is longer than its distance repeats the bytes that it has just made.
            piece = bytes(out[start : start + size])
            piece = (piece * (size // len(piece) + 1))[:size]
        if len(out) + size > length:
            raise CheckpointError(f"{where}: the packed block holds more than the {length} bytes that it claims")
        out += piece
    if len(out) != length:
        raise CheckpointError(f"{where}: the packed block ends after {len(out)} of the {length} bytes that it claims")
    return bytes(out)
