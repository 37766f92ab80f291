"""The records of a zip archive: where each lies in the file, so that weights can be mapped instead of read.

``zipfile`` of the standard library does not say where the bytes of an entry are, takes what it finds of
contradictory archives, and spends a kilobyte on every 46 bytes of a hostile directory. Here a directory is read
once, strictly: names that leave the archive, equal names, records that overlap or reach beyond the file, and
encryption are refused before anything else is looked at.

Stored (method 0) and deflated (method 8) records are read. The checksum of a deflated record is verified; of
a stored one it is not, because ``torch.save`` can be told to leave checksums out, and because looking at
every byte is what mapping avoids. What is not here: what the records mean. Read next: ``torch_pickle.py``.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, quoted

_END = struct.Struct("<4s4H2LH")  # signature, two disks, two counts, size and place of the directory, comment
_LOCATOR = struct.Struct("<4sLQL")  # signature, disk, place of the 64-bit end record, disks
_END_64 = struct.Struct("<4sQ2H2L4Q")  # signature, size, versions, disks, counts, size and place of the directory
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

_MOST_RECORDS = 50_000
_LONGEST_DIRECTORY = 16 << 20  # bytes
_LONGEST_COMMENT = 65535
_CHUNK = 1 << 20
_WIDE = 0xFFFFFFFF  # in the place of a number that needs 64 bits
STORED, DEFLATED = 0, 8


class Record(NamedTuple):
    """One record: its ``size``, and where its ``stored_size`` bytes begin in the file."""

    name: str
    method: int
    start: int
    stored_size: int
    size: int
    checksum: int


class _Entry(NamedTuple):
    """What the directory says of a record; ``place`` is that of its local header."""

    name: str
    raw_name: bytes
    encrypted: bool
    method: int
    checksum: int
    stored_size: int
    size: int
    place: int


def read_directory(file: BinaryIO, size: int, where: str) -> dict[str, Record]:
    """Return every record of a zip archive of ``size`` bytes, by name; folders are left out.

    Raises
    ------
    CheckpointError
        If the directory is missing or damaged, too long to be genuine, or claims something forbidden.

    Examples
    --------
    >>> import io, zipfile
    >>> file = io.BytesIO()
    >>> with zipfile.ZipFile(file, "w") as archive:
    ...     archive.writestr("archive/version", "3\\n")
    >>> record = read_directory(file, len(file.getvalue()), "example")["archive/version"]
    >>> record.size, file.getvalue()[record.start : record.start + record.size]
    (2, b'3\\n')
    """
    start, length, count = _find_directory(file, size, where)
    if count > _MOST_RECORDS or length > _LONGEST_DIRECTORY:
        raise CheckpointError(
            f"{where}: a zip directory of {count} records in {length} bytes; more than {_MOST_RECORDS} records "
            f"or {_LONGEST_DIRECTORY} bytes are no checkpoint"
        )
    file.seek(start)
    directory = _read(file, length, where)
    records: dict[str, Record] = {}
    spans = []
    for entry in _entries(directory, count, where):
        what = f"{where}: zip record {quoted(entry.name)}"
        _check_name(entry.name, what)
        if entry.name in records:
            raise CheckpointError(f"{what} appears twice")
        if entry.encrypted or entry.method not in (STORED, DEFLATED):
            raise CheckpointError(f"{what} is encrypted or compressed by method {entry.method}; 0 or 8 was wanted")
        if entry.method == STORED and entry.stored_size != entry.size:
            raise CheckpointError(f"{what} is stored as it is, but has two sizes: {entry.stored_size} and {entry.size}")
        begin = _begin(file, entry, start, what)
        if entry.stored_size > start - begin:
            room = max(0, start - begin)
            raise CheckpointError(f"{what} should have {entry.stored_size} bytes, but only {room} follow it")
        spans.append((entry.place, begin + entry.stored_size, entry.name))
        records[entry.name] = Record(entry.name, entry.method, begin, entry.stored_size, entry.size, entry.checksum)
    spans.sort()
    for (_, end, name), (begin, _, following) in pairwise(spans):
        if begin < end:
            raise CheckpointError(f"{where}: the zip records {quoted(name)} and {quoted(following)} overlap")
    return {name: record for name, record in records.items() if not name.endswith("/")}


def decompress(file: BinaryIO, record: Record, where: str) -> NDArray[np.uint8]:
    """Return the bytes of a deflated record in a new array of its size, which the caller has found acceptable.

    Raises
    ------
    CheckpointError
        If it does not decompress to exactly that many bytes with the recorded checksum.
    """
    what = f"{where}: zip record {quoted(record.name)}"
    result = np.empty(record.size, np.uint8)
    done = checksum = 0
    left = record.stored_size
    stream = zlib.decompressobj(-zlib.MAX_WBITS)  # the negative sign: without a header of its own
    pending = b""
    file.seek(record.start)
    try:
        while not stream.eof:
            if not pending:
                pending = _read(file, min(left, _CHUNK), where)
                left -= len(pending)
                if not pending:
                    raise CheckpointError(f"{what}: the compressed data end too early")
            data = stream.decompress(pending, min(_CHUNK, record.size - done + 1))
            pending = stream.unconsumed_tail
            if len(data) > record.size - done:
                raise CheckpointError(f"{what} decompresses to more than the {record.size} bytes it should have")
            result[done : done + len(data)] = np.frombuffer(data, np.uint8)
            checksum = zlib.crc32(data, checksum)
            done += len(data)
    except zlib.error as error:
        raise CheckpointError(f"{what}: the compressed data are damaged ({error})") from error
    if done != record.size or left or stream.unused_data:
        raise CheckpointError(f"{what} decompresses to {done} bytes, but should have {record.size}")
    if checksum != record.checksum:
        raise CheckpointError(f"{what}: the checksum is wrong; the file is damaged, download it again")
    return result


def _read(file: BinaryIO, count: int, where: str) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise CheckpointError(f"{where}: the file changed its size while it was read")
    return data


def _find_directory(file: BinaryIO, size: int, where: str) -> tuple[int, int, int]:
    """Return start, length and number of entries of the directory, checked against the file's size."""
    tail_start = max(0, size - _LONGEST_COMMENT - _END.size)
    file.seek(tail_start)
    tail = _read(file, size - tail_start, where)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:  # a comment may contain the signature by chance
        if len(tail) - at >= _END.size:
            _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
    else:
        raise CheckpointError(f"{where}: a zip archive without its directory; the file is cut off, download it again")
    limit = tail_start + at
    if limit >= _LOCATOR.size:
        file.seek(limit - _LOCATOR.size)
        signature, locator_disk, place, disks = _LOCATOR.unpack(_read(file, _LOCATOR.size, where))
        if signature == b"PK\x06\x07":
            if locator_disk or disks > 1 or place > limit - _LOCATOR.size - _END_64.size:
                raise CheckpointError(f"{where}: the zip directory is damaged: its 64-bit part points nowhere")
            file.seek(place)
            found = _END_64.unpack(_read(file, _END_64.size, where))
            if found[0] != b"PK\x06\x06":
                raise CheckpointError(f"{where}: the zip directory is damaged: its 64-bit part points nowhere")
            disk, first_disk, here, count, length, start = found[4:]
            limit = place
    if disk or first_disk or here != count:
        raise CheckpointError(f"{where}: a zip archive split over several files, one file was wanted")
    if start > limit or length > limit - start:
        raise CheckpointError(f"{where}: the zip directory should end at byte {start + length}, beyond {limit}")
    return start, length, count


def _entries(directory: bytes, count: int, where: str) -> Iterator[_Entry]:
    at = 0
    for _ in range(count):
        if len(directory) - at < _ENTRY.size:
            raise CheckpointError(f"{where}: the zip directory has room for fewer than its {count} entries")
        (signature, _, _, flags, method, _, _, checksum, stored_size, size,
         name_length, extra_length, comment_length, _, _, _, place) = _ENTRY.unpack_from(directory, at)  # fmt: skip
        name_at = at + _ENTRY.size
        extra_at = name_at + name_length
        following = extra_at + extra_length + comment_length
        if signature != b"PK\x01\x02" or following > len(directory):
            raise CheckpointError(f"{where}: the zip directory is damaged at its byte {at}")
        raw = directory[name_at:extra_at]
        try:
            name = raw.decode("utf-8" if flags & 0x800 else "cp437")
        except UnicodeDecodeError:
            raise CheckpointError(f"{where}: a zip record has a name that is not UTF-8: {quoted(raw)}") from None
        values = [size, stored_size, place]
        if _WIDE in values and not _widen(values, directory[extra_at : extra_at + extra_length]):
            raise CheckpointError(f"{where}: zip record {quoted(name)} lacks its 64-bit sizes; the file is damaged")
        size, stored_size, place = values
        yield _Entry(name, raw, bool(flags & 1), method, checksum, stored_size, size, place)
        at = following
    if at != len(directory):
        raise CheckpointError(f"{where}: the zip directory has {len(directory) - at} bytes more than its entries")


def _widen(values: list[int], extra: bytes) -> bool:
    """Replace the numbers that do not fit 32 bits by those in the extra field of kind 1, where they follow in order."""
    at = 0
    while len(extra) - at >= 4:
        kind, length = struct.unpack_from("<2H", extra, at)
        wide = extra[at + 4 : at + 4 + length]
        if kind == 1:
            places = [index for index, value in enumerate(values) if value == _WIDE]
            for number, index in enumerate(places):
                values[index] = int.from_bytes(wide[8 * number : 8 * number + 8], "little")
            return len(wide) >= 8 * len(places)
        at += 4 + length
    return False


def _check_name(name: str, what: str) -> None:
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name or ":" in name or not {"", ".", ".."}.isdisjoint(parts):
        raise CheckpointError(f"{what} has a name that could leave the archive")


def _begin(file: BinaryIO, entry: _Entry, limit: int, what: str) -> int:
    """Return where the data begin, behind the local header, whose length only the local header knows."""
    length = _LOCAL.size + len(entry.raw_name)
    if entry.place > limit - length:
        raise CheckpointError(f"{what} should begin at byte {entry.place}, beyond the records")
    file.seek(entry.place)
    local = _read(file, length, what)
    signature, _, _, method, *_, name_length, extra_length = _LOCAL.unpack_from(local)
    found = (signature, method, name_length, local[_LOCAL.size :])
    if found != (b"PK\x03\x04", entry.method, len(entry.raw_name), entry.raw_name):
        raise CheckpointError(f"{what}: there is no such record at byte {entry.place}")
    return int(entry.place + length + extra_length)
