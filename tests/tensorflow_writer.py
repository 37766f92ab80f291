"""A writer of TensorFlow's checkpoint format for the tests, written from the format and not from the reader.

Every part can be replaced, so that a file can lie about itself while its checksums are right.
"""

import numpy as np

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
CODES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9,
         "bool": 10, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23}  # fmt: skip


def _crc_table():
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        yield value


CRC_TABLE = list(_crc_table())


def crc(data):
    """CRC32C, one byte after the other."""
    value = 0xFFFFFFFF
    for octet in data:
        value = CRC_TABLE[(value ^ octet) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def mask(value):
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) % 2**32


def varint(value):
    value %= 2**64  # negative numbers as protocol buffers store them
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """One field of a message: an integer, or bytes of a given length; zeros are not stored."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32(number, value):
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def shape_of(*sizes):
    return b"".join(field(2, field(1, size)) for size in sizes)


def header(shards=1, order=0, versions=b"\x08\x01"):
    return field(1, shards) + field(2, order) + field(3, versions)


def entry(data=b"", dtype=1, shape=(), shard=0, offset=0, size=None, checksum=None, extra=b""):
    size = len(data) if size is None else size
    checksum = mask(crc(data)) if checksum is None else checksum
    message = field(1, dtype) + field(2, shape_of(*shape)) + field(3, shard) + field(4, offset) + field(5, size)
    return message + fixed32(6, checksum) + extra


def slice_of(*extents):
    """A slice of a partitioned variable; a length of None stands for all."""
    parts = []
    for start, length in extents:
        tail = b"" if length is None else varint(2 << 3) + varint(length)
        parts.append(field(1, field(1, start) + tail))
    return field(7, b"".join(parts))


def ordered(value):
    """Numbers from -64 to 8191 as they stand in keys."""
    return bytes([(value & 0xFF) ^ 0x80]) if -64 <= value < 64 else (value | 0xC000).to_bytes(2, "big")


def slice_key(name, *extents):
    key = b"\0" + name.encode() + b"\0\1" + bytes([1, len(extents)])
    return key + b"".join(ordered(start) + ordered(-1 if length is None else length) for start, length in extents)


def block(items, interval=16):
    """Entries and restarts of one block."""
    out, restarts, last = b"", [], b""
    for count, (key, value) in enumerate(items):
        shared = 0
        if count % interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return with_restarts(out, restarts or [0])


def with_restarts(entries, restarts):
    return entries + b"".join(offset.to_bytes(4, "little") for offset in [*restarts, len(restarts)])


def pack(data):
    """A trivial Snappy: literals, and copies of four or more bytes in all their three forms."""
    out, literal, seen, position = bytearray(varint(len(data))), bytearray(), {}, 0

    def flush():
        for start in range(0, len(literal), 60):
            piece = literal[start : start + 60]
            out.extend([len(piece) - 1 << 2, *piece])
        literal.clear()

    while position < len(data):
        found = seen.get(data[position : position + 4])
        seen[data[position : position + 4]] = position
        size = 0
        while (
            found is not None
            and size < 64
            and data[position + size : position + size + 1] == data[found + size : found + size + 1] != b""
        ):
            size += 1
        if size < 4:
            literal.append(data[position])
            position += 1
            continue
        flush()
        distance = position - found
        if size < 12 and distance < 2048:
            out += bytes([1 | size - 4 << 2 | distance >> 8 << 5, distance & 0xFF])
        elif position % 2:
            out += bytes([2 | size - 1 << 2]) + distance.to_bytes(2, "little")
        else:
            out += bytes([3 | size - 1 << 2]) + distance.to_bytes(4, "little")
        position += size
    flush()
    return bytes(out)


def seal(content, packing=0):
    """A block with the five bytes that follow it."""
    stored = content + bytes([packing])
    return stored + mask(crc(stored)).to_bytes(4, "little")


def table(items=(), *, per_block=1000, interval=16, packed=False, blocks=None, metaindex=None, index=None, gap=b"",
          footer=None):  # fmt: skip
    """A whole table. `blocks` gives sealed data blocks and their separators; `index` changes the list of handles."""
    items = sorted(items)
    if blocks is None:
        groups = [items[start : start + per_block] for start in range(0, len(items), per_block)]
        blocks = [(group[-1][0], block(group, interval)) for group in groups]
        blocks = [(key, seal(pack(raw), 1) if packed else seal(raw)) for key, raw in blocks]
    out, handles = b"", []
    for key, stored in blocks:
        handles.append((key, varint(len(out)) + varint(len(stored) - 5)))
        out += stored
    out += gap
    ends = b""
    for content in (metaindex or block([]), block(index(handles) if index else handles, 1)):
        ends += varint(len(out)) + varint(len(content))
        out += seal(content)
    return out + (ends.ljust(40, b"\0") + MAGIC if footer is None else footer)


def save(prefix, tensors, *, shards=1, big_endian=False, slices=(), extra=(), **options):
    """Write a checkpoint; `slices` maps names of partitioned variables to the extents of their parts."""
    slices, data, items = dict(slices), [b""] * shards, [(b"", header(shards, int(big_endian))), *extra]

    def add(key, array):
        shard = len(items) % shards
        raw = array.astype(array.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
        items.append((key, entry(raw, CODES[array.dtype.name], array.shape, shard, len(data[shard]))))
        data[shard] += raw

    for name, array in sorted(tensors.items()):
        if name not in slices:
            add(name.encode(), array)
            continue
        parts = slices[name]
        for extents in parts:
            places = (slice(start, None if length is None else start + length) for start, length in extents)
            add(slice_key(name, *extents), np.ascontiguousarray(array[tuple(places)]))
        extra_fields = b"".join(slice_of(*extents) for extents in parts)
        message = field(1, CODES[array.dtype.name]) + field(2, shape_of(*array.shape)) + extra_fields
        items.append((name.encode(), message))
    write(prefix, table(items, **options), *data)


def write(prefix, index, *data):
    """Write the files of a checkpoint from their bytes."""
    with open(f"{prefix}.index", "wb") as file:
        file.write(index)
    for number, raw in enumerate(data):
        with open(f"{prefix}.data-{number:05d}-of-{len(data):05d}", "wb") as file:
            file.write(raw)
