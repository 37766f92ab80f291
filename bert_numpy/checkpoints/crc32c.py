"""CRC32C, the checksum of TensorFlow's checkpoints, at several hundred megabytes a second in NumPy.

A CRC is the remainder of the message, read as a polynomial over GF(2), divided by a fixed polynomial P of degree
32. Remainders are linear, so a message may be folded before it is divided: of the words ``a₀ … a₂ₖ₋₁``, the K
words ``aᵢ · x³²ᴷ mod P + aᵢ₊ₖ`` have the same remainder, and all K can be computed at once. Long messages are
folded row by row onto one row of K words, and that row is halved until one word is left.

Bits are reflected, as in every CRC32C: bit 31 of a word is the coefficient of x⁰, bit 0 that of x³¹.

What is not here: what the checksums stand for. Read next: ``tensorflow_table.py``.
"""

from functools import lru_cache
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview | mmap | NDArray[np.uint8]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, without its term x³²
_ONE = 0x80000000  # the polynomial 1
_ROW = 1 << 14  # words; a row of 64 kB and its tables of 512 kB stay in the second-level cache
_SHORT = 512  # bytes; below it one byte after the other is faster
_MASK_DELTA = 0xA282EAD8


def crc32c(data: Buffer) -> int:
    """Return the CRC32C of the bytes of a contiguous buffer.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    octets = np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)  # NumPy refuses empty buffers
    count = octets.size // 4 if octets.size >= _SHORT else 0
    remainder = 0xFFFFFFFF
    tail = octets[4 * count :].tobytes()
    if count:
        # Starting from ones is the same as inverting the first four bytes and starting from zero.
        remainder = _fold(octets[: 4 * count].view("<u4"), remainder)
        tail = bytes(4) + tail  # the folded word still has to be multiplied by x³²
    shift_byte = _byte_table()
    for octet in tail:
        remainder = shift_byte[(remainder ^ octet) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a checksum as it is stored: rotated and shifted, so that a CRC over CRCs keeps its strength.

    Examples
    --------
    >>> hex(masked(crc32c(b"123456789")))
    '0xc78ab0e5'
    """
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _fold(words: NDArray[np.uint32], start: int) -> int:
    """Fold words, of which the first is XORed with ``start``, to one word with the same remainder."""
    width = min(_ROW, 1 << (words.size.bit_length() - 1))
    head = words.size % width or width
    state = np.zeros(width, np.uint32)  # zeros in front of a message do not change its remainder
    state[width - head :] = words[:head]
    state[width - head] ^= np.uint32(start)
    if words.size > head:
        _fold_rows(state, words[head:].reshape(-1, width))
    while width > 1:
        width //= 2
        _multiply(state[:width], _tables(32 * width, 8))
        state = state[:width] ^ state[width : 2 * width]
    return int(state[0])


def _fold_rows(state: NDArray[np.uint32], rows: NDArray[np.uint32]) -> None:
    """Horner's scheme: the state becomes ``state · x³²ᴷ + row`` for one row after the other, in place."""
    bits = 16 if state.size == _ROW else 8  # large tables are faster, but cost time to build
    tables = _tables(32 * state.size, bits)
    for row in rows:
        _multiply(state, tables)
        np.bitwise_xor(state, row, out=state)


def _multiply(state: NDArray[np.uint32], tables: NDArray[np.uint32]) -> None:
    """Multiply every word by the constant that the tables belong to, in place: one look-up for each digit."""
    bits = 32 // len(tables)
    index = np.empty(state.size, np.intp)
    product = np.zeros(state.size, np.uint32)
    looked_up = np.empty(state.size, np.uint32)
    for digit, table in enumerate(tables):
        np.right_shift(state, np.uint32(bits * digit), out=index, casting="unsafe")
        if digit < len(tables) - 1:  # above the last digit there is nothing to cut off
            np.bitwise_and(index, table.size - 1, out=index)
        table.take(index, out=looked_up, mode="clip")  # clip only because the default mode copies `out`
        np.bitwise_xor(product, looked_up, out=product)
    state[...] = product


@lru_cache(maxsize=32)
def _tables(exponent: int, bits: int) -> NDArray[np.uint32]:
    """Return ``t[digit, v] = (v << bits · digit) · x^exponent mod P`` for digits of ``bits`` bits."""
    images = np.empty(32, np.uint32)  # of each single bit
    image = _power(exponent)
    for bit in reversed(range(32)):
        images[bit] = image
        image = _times_x(image)
    tables = np.zeros((32 // bits, 1 << bits), np.uint32)
    for digit, table in enumerate(tables):
        for bit in range(bits):
            table[1 << bit : 2 << bit] = table[: 1 << bit] ^ images[bits * digit + bit]
    return tables


@lru_cache(maxsize=1)
def _byte_table() -> list[int]:
    """Return ``v · x⁸ mod P`` for every byte ``v``, as Python's integers."""
    return [int(value) for value in _tables(8, 8)[0]]


def _power(exponent: int) -> int:
    """Return ``x^exponent mod P``, by squaring."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _times(result, square)
        square = _times(square, square)
        exponent >>= 1
    return result


def _times(a: int, b: int) -> int:
    """Return ``a · b mod P``."""
    product = 0
    for power in range(32):
        if a & (_ONE >> power):
            product ^= b
        b = _times_x(b)
    return product


def _times_x(a: int) -> int:
    return (a >> 1) ^ (_POLYNOMIAL if a & 1 else 0)
