"""Integers of variable length, as protocol buffers, index tables and Snappy store them.

Seven bits a byte, the lowest first; the eighth bit says that another byte follows. No writer uses more bytes than it
needs; to accept them would let a damaged footer, which has no checksum, pass for a sound one. What is not here: the
three formats. Read next: ``snappy.py``.
"""

from .errors import CheckpointError

_MOST_BYTES = 10  # for 64 bits


def read(data: bytes, position: int, where: str, bits: int = 64) -> tuple[int, int]:
    """Return the unsigned integer at ``position`` and the position after it.

    Raises
    ------
    CheckpointError
        If the data end within the integer, or it does not fit ``bits`` bits, or fewer bytes would have held it.

    Examples
    --------
    >>> read(b"\\xac\\x02...", 0, "example")
    (300, 2)
    """
    value = 0
    for index, octet in enumerate(data[position : position + _MOST_BYTES]):
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            if value >> bits:
                break
            if octet == 0 and index:
                raise CheckpointError(f"{where}: holds an integer in more bytes than it needs")
            return value, position + index + 1
    else:
        if len(data) - position < _MOST_BYTES:
            raise CheckpointError(f"{where}: cut off within an integer")
    raise CheckpointError(f"{where}: holds an integer of more than {bits} bits")
