"""The sorted table of keys and values that a ``.index`` file is: read with every byte of it accounted for.

TensorFlow took the table from LevelDB::

    data blocks      entries, keys in ascending order
    metaindex block  empty
    index block      one entry for each data block: a key not below its last, and its handle
    footer           48 bytes: the handles of the metaindex and the index, zeros, and a magic number

A handle is two variable-length integers, offset and size; five bytes follow a block and are not counted in its
size: how it is packed (0 not, 1 with Snappy), and a checksum of the block and that byte. A block::

    entries          shared, unshared, size (integers); the last `unshared` bytes of the key; the value
    restarts         4 bytes each: the offset of an entry that repeats nothing
    their number     4 bytes

The key of an entry begins with the first ``shared`` bytes of the key before it. Blocks must fill the file from
its first byte to the footer, without gap or overlap, so a small file cannot be made to unpack one block again and
again, and each byte is covered by a checksum. What is not here: what the values mean
(``tensorflow_entries.py``, to read next).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from . import snappy, varint
from .crc32c import crc32c, masked
from .errors import CheckpointError, quoted

SIZE_LIMIT = 8_000_000
"""Bytes of an index, packed or not. That of BERT-large with both optimizer slots takes 0.1 million."""
MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")

_FOOTER = 48
_TRAILER = 5
_LONGEST_KEY = 1024  # keys share prefixes: a file of entries of five bytes could stand for gigabytes of keys
_MOST_ENTRIES = 100_000


class _Handle(NamedTuple):
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size + _TRAILER


def read_table(data: bytes, where: str) -> dict[bytes, bytes]:
    """Return the keys and values of a table, in the order of the keys.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        What to call it in messages.

    Raises
    ------
    CheckpointError
        If the file is too large, cut off or no table; if a checksum is wrong; if blocks do not fill the file, keys
        do not ascend, or a block contradicts itself.
    """
    if len(data) > SIZE_LIMIT:
        raise CheckpointError(f"{where}: {len(data)} bytes are too many for the index of a checkpoint")
    if data[-len(MAGIC) :] != MAGIC:
        raise CheckpointError(
            f"{where}: this is no index of a TensorFlow checkpoint, or it is cut off: it ends in "
            f"{quoted(data[-len(MAGIC) :])}, not in the magic number of a table"
        )
    if len(data) < _FOOTER:
        raise CheckpointError(f"{where}: {len(data)} bytes are too few for a table; the file is cut off")
    body = len(data) - _FOOTER
    metaindex, index = _footer(data[body : -len(MAGIC)], where)
    blocks = list(_data_blocks(data, index, where))
    place = 0
    for what, handle in [*((f"data block {k}", handle) for k, (_, handle) in enumerate(blocks)),
                         ("metaindex block", metaindex), ("index block", index)]:  # fmt: skip
        if handle.offset != place or handle.end > body:
            raise CheckpointError(
                f"{where}: the {what} is said to be bytes {handle.offset} to {handle.end}, "
                f"but the blocks before it end at {place} and the footer begins at {body}"
            )
        place = handle.end
    if place != body:
        raise CheckpointError(f"{where}: {body - place} bytes between the last block and the footer; damaged")
    if list(_entries(_block(data, metaindex, f"{where}: metaindex block"), f"{where}: metaindex block")):
        raise CheckpointError(f"{where}: the metaindex is not empty; TensorFlow does not write such tables")
    return _all_entries(data, blocks, where)


def _footer(raw: bytes, where: str) -> tuple[_Handle, _Handle]:
    where = f"{where}: the footer"
    metaindex, position = _handle(raw, 0, where)
    index, position = _handle(raw, position, where)
    if any(raw[position:]):
        raise CheckpointError(f"{where} holds bytes other than zero after its handles")
    return metaindex, index


def _handle(raw: bytes, position: int, where: str) -> tuple[_Handle, int]:
    offset, position = varint.read(raw, position, where)
    size, position = varint.read(raw, position, where)
    return _Handle(offset, size), position


def _data_blocks(data: bytes, index: _Handle, where: str) -> Iterator[tuple[bytes, _Handle]]:
    """Yield ``(separator, handle)`` for each data block: its keys are not above the separator, the next ones are."""
    where = f"{where}: index block"
    for separator, value in _entries(_block(data, index, where), where):
        handle, end = _handle(value, 0, where)
        if end != len(value):
            raise CheckpointError(f"{where}: {len(value) - end} bytes follow a handle")
        yield separator, handle


def _all_entries(data: bytes, blocks: list[tuple[bytes, _Handle]], where: str) -> dict[bytes, bytes]:
    entries: dict[bytes, bytes] = {}
    last = None
    room = SIZE_LIMIT
    for number, (separator, handle) in enumerate(blocks):
        block_where = f"{where}: data block {number}"
        block = _block(data, handle, block_where, room)
        room -= len(block)
        first = True
        for key, value in _entries(block, block_where):
            if first and last is not None and key <= last:
                raise CheckpointError(
                    f"{block_where} begins with the key {quoted(key)}, which is not above {quoted(last)}"
                )
            if key > separator:
                raise CheckpointError(f"{block_where} holds the key {quoted(key)}, above the end that the index names")
            if len(entries) == _MOST_ENTRIES:
                raise CheckpointError(
                    f"{where}: more than {_MOST_ENTRIES} entries; no checkpoint of a BERT has so many"
                )
            entries[key] = value
            first = False
        last = separator
    return entries


def _block(data: bytes, handle: _Handle, where: str, room: int = SIZE_LIMIT) -> bytes:
    """Return the bytes of a block, checked and unpacked to at most ``room`` bytes."""
    if handle.end > len(data) - _FOOTER:
        raise CheckpointError(
            f"{where} is said to be bytes {handle.offset} to {handle.end}, but the footer begins at "
            f"{len(data) - _FOOTER}; the file is cut off"
        )
    stop = handle.offset + handle.size
    stored = data[handle.offset : stop + 1]
    if masked(crc32c(stored)).to_bytes(4, "little") != data[stop + 1 : handle.end]:
        raise CheckpointError(f"{where} does not have its checksum; the file is damaged, download it again")
    packing = stored[-1]
    if packing > 1:
        raise CheckpointError(f"{where} is packed in way {packing}; known are 0, not at all, and 1, Snappy")
    return snappy.unpack(stored[:-1], room, where) if packing else stored[:-1]


def _entries(block: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; its restarts are checked on the way."""
    end, restarts = _restarts(block, where)
    block = block[:end]
    starts = set()
    key, position, first = b"", 0, True
    while position < end:
        start = position
        shared, position = varint.read(block, position, where, bits=32)
        unshared, position = varint.read(block, position, where, bits=32)
        size, position = varint.read(block, position, where, bits=32)
        if shared > len(key):
            raise CheckpointError(f"{where}: an entry shares {shared} bytes with a key of {len(key)}")
        if shared + unshared > _LONGEST_KEY:
            raise CheckpointError(f"{where}: a key of {shared + unshared} bytes, at most {_LONGEST_KEY} are supported")
        if unshared + size > end - position:
            raise CheckpointError(f"{where}: an entry ends {unshared + size - end + position} bytes after the entries")
        following = key[:shared] + block[position : position + unshared]
        if following <= key and not first:
            raise CheckpointError(f"{where}: the key {quoted(following)} follows {quoted(key)}, keys must ascend")
        key, first = following, False
        position += unshared + size
        if shared == 0:
            starts.add(start)
        yield key, block[position - size : position]
    if not starts.issuperset(restarts) and restarts != [0]:  # an empty block has the restart 0
        wrong = min(set(restarts) - starts)
        raise CheckpointError(f"{where}: the restart {wrong} is not the beginning of an entry with a whole key")


def _restarts(block: bytes, where: str) -> tuple[int, list[int]]:
    """Return where the entries end, and the restarts that follow them."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if len(block) < 4 or end < 0 or count == 0:
        raise CheckpointError(f"{where}: {count} restarts do not fit a block of {len(block)} bytes")
    restarts = [int.from_bytes(block[place : place + 4], "little") for place in range(end, len(block) - 4, 4)]
    if restarts[0] != 0 or any(a >= b for a, b in pairwise(restarts)):
        raise CheckpointError(f"{where}: the restarts {quoted(restarts)} do not ascend from 0")
    return end, restarts
