"""TensorFlow checkpoints that break a rule of the format: each is refused in one clear line."""

import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import tensorflow_writer as writer
from tensorflow_writer import entry, field, fixed32, header, shape_of, slice_key, slice_of, table, varint

from bert_numpy.checkpoints import CheckpointError, tensorflow, tensorflow_source, tensorflow_table

DATA = bytes(range(8))
GOOD = entry(DATA, shape=(2,))
HEAD = (b"", header())
EMPTY = entry(shape=(0,))


def of(*items, data=DATA, **options):
    """A checkpoint of a header and the given entries: the bytes of the index and of the data."""
    return table([HEAD, *items], **options), data


def one(message, data=DATA):
    """A checkpoint of one tensor `a` with a given entry."""
    return of((b"a", message), data=data)


def headed(message):
    return table([(b"", message), (b"a", GOOD)]), DATA


def blocks(*contents, packing=0, separator=b"z"):
    """A table whose only data blocks are given, with right checksums."""
    return table(blocks=[(separator + bytes([k]), writer.seal(raw, packing)) for k, raw in enumerate(contents)]), DATA


def handles(change):
    """A sound table of three blocks, but for its list of handles."""
    return table([HEAD, (b"a", GOOD), (b"b", EMPTY)], per_block=1, index=change), DATA


def packed(claim, elements):
    return blocks(varint(claim) + elements, packing=1)


def raw_entry(shared, unshared, size, rest=b""):
    return varint(shared) + varint(unshared) + varint(size) + rest


def grid(*parts, entries=None, shape=(4, 2), extra=()):
    """A partitioned variable `v` of int8 with the given parts."""
    items, data = [], b""
    for k, part in enumerate(parts):
        sizes = [total if length is None else length for (_, length), total in zip(part, shape, strict=False)]
        raw = bytes([k]) * int(np.prod(sizes))
        items.append((slice_key("v", *part), entry(raw, 6, sizes, offset=len(data))))
        data += raw
    items = dict(items if entries is None else entries)
    whole = field(1, 6) + field(2, shape_of(*shape)) + b"".join(slice_of(*part) for part in parts)
    return of(*items.items(), (b"v", whole + b"".join(extra)), data=data)


SOUND = table([HEAD, (b"a", GOOD)])
DEEP = b"".join(field(2, field(1, 1)) for _ in range(33))
ROWS = [((0, 2), (0, None)), ((2, 2), (0, None))]

MALFORMED = {
    # the file
    "empty": ((b"", DATA), "it ends in b''"),
    "only the magic": ((writer.MAGIC, DATA), "8 bytes are too few"),
    "other magic": ((SOUND[:-1] + b"!", DATA), "no index of a TensorFlow checkpoint, or it is cut off"),
    "too large": ((bytes(8_000_001), DATA), "8000001 bytes are too many, at most 8000000"),
    "footer with a long integer": (
        (SOUND[:-48] + b"\x80" + bytes(39) + writer.MAGIC, DATA), "more bytes than it needs"),
    "footer of integers without end": ((SOUND[:-48] + b"\xff" * 40 + writer.MAGIC, DATA), "more than 64 bits"),
    "footer not padded with zeros": ((SOUND[:-9] + b"\1" + writer.MAGIC, DATA), "other than zero"),
    "handles of nothing": ((SOUND[:-48] + bytes(40) + writer.MAGIC, DATA), "does not have its checksum"),
    "handle beyond the file": (
        (SOUND[:-48] + (bytes(2) + varint(2**40) + varint(8)).ljust(40, b"\0") + writer.MAGIC, DATA), "cut off"),
    "gap before the footer": ((SOUND[:-48] + b"?" + SOUND[-48:], DATA), "1 bytes between the last block and the"),
    "gap before the metaindex": ((table([HEAD], gap=b"?"), b""), "the blocks before it end at"),
    "metaindex not empty": ((table([HEAD], metaindex=writer.block([(b"filter", b"")])), b""), "metaindex is not empty"),
    # the index block
    "no index of blocks": (handles(lambda h: []), "the blocks before it end at 0"),
    "block left out": (handles(lambda h: h[:1] + h[2:]), "the blocks before it end at"),
    "same block twice": (handles(lambda h: [*h, (b"z", h[0][1])]), "the blocks before it end at"),
    "handle with a tail": (handles(lambda h: [(h[0][0], h[0][1] + b"x"), *h[1:]]), "1 bytes follow a handle"),
    "handle cut off": (handles(lambda h: [(h[0][0], h[0][1][:1]), *h[1:]]), "cut off within an integer"),
    "handle of 2**64": (handles(lambda h: [(b"", b"\xff" * 9 + b"\2\0")]), "more than 64 bits"),
    "key above the separator": (handles(lambda h: [h[0], (b"Z", h[1][1]), h[2]]), "above the end that the index names"),
    "separator overlaps": (handles(lambda h: [h[0], (b"b", h[1][1]), (b"c", h[2][1])]), "not above b'b'"),
    # a block
    "way of packing": (blocks(writer.block([HEAD]), packing=2), "packed in way 2"),
    "block of three bytes": (blocks(b"\1\0\0"), "do not fit a block of 3 bytes"),
    "no restarts": (blocks(bytes(4)), "0 restarts do not fit"),
    "restarts beyond the block": (blocks(b"\xff" * 4), "4294967295 restarts do not fit"),
    "first restart not 0": (blocks(writer.with_restarts(writer.block([HEAD])[:-8], [3])), "do not ascend from 0"),
    "restarts descend": (blocks(writer.with_restarts(writer.block([HEAD])[:-8], [0, 9, 3])), "do not ascend from 0"),
    "restart inside an entry": (blocks(writer.with_restarts(writer.block([HEAD])[:-8], [0, 1])), "the restart 1 is"),
    "restart at a shared key": (
        blocks(writer.with_restarts(raw_entry(0, 1, 0, b"a") + raw_entry(1, 1, 0, b"b"), [0, 4])), "the restart 4 is"),
    "shares too much": (blocks(writer.with_restarts(raw_entry(1, 1, 0, b"a"), [0])), "shares 1 bytes with a key of 0"),
    "entry beyond the block": (blocks(writer.with_restarts(raw_entry(0, 1, 9, b"a"), [0])), "ends 9 bytes after"),
    "integer of 33 bits": (blocks(writer.with_restarts(raw_entry(0, 1, 2**32, b"a"), [0])), "more than 32 bits"),
    "integer cut off": (blocks(writer.with_restarts(b"\x80", [0])), "cut off within an integer"),
    "keys descend": (blocks(writer.with_restarts(raw_entry(0, 1, 0, b"b") + raw_entry(0, 1, 0, b"a"), [0])), "ascend"),
    "key twice": (blocks(writer.with_restarts(raw_entry(0, 1, 0, b"b") + raw_entry(1, 0, 0), [0])), "ascend"),
    "long key": (of((b"k" * 1025, GOOD)), "a key of 1025 bytes"),
    "keys that share gigabytes": (
        blocks(writer.with_restarts(raw_entry(0, 10**6, 0, b"k" * 10**6) + raw_entry(10**6, 1, 0, b"l") * 9, [0])),
        "a key of 1000000 bytes"),
    # Snappy
    "packed: empty": (blocks(b"", packing=1), "cut off within an integer"),
    "packed: no length": (blocks(b"\xff\xff\xff\xff\xff\1", packing=1), "more than 32 bits"),
    "packed: claims too much": (packed(2**31, b"\0a"), "claims 2147483648 bytes"),
    "packed: cannot hold it": (packed(10**6, b"\0a" * 9), "cannot hold the 1000000"),
    "packed: too little": (packed(5, b"\0a"), "ends after 1 of the 5 bytes"),
    "packed: too much": (packed(1, b"\0a\0b"), "more than the 1 bytes"),
    "packed: literal cut off": (packed(9, b"\x20ab"), "cut off within a literal of 9 bytes"),
    "packed: huge literal": (packed(9, b"\xfc\xff\xff\xff\xffab"), "cut off within a literal of 4294967296 bytes"),
    "packed: length cut off": (packed(9, b"\xf4a"), "cut off within an element"),
    "packed: copy cut off": (packed(9, b"\0a\2\1"), "cut off within an element"),
    "packed: distance 0": (packed(9, b"\0a\1\0"), "copies from 0 bytes back, where 1 bytes exist"),
    "packed: distance too far": (packed(9, b"\0a\1\2"), "copies from 2 bytes back, where 1 bytes exist"),
    # the header
    "no header": ((table([(b"a", GOOD)]), DATA), "no header"),
    "no entries at all": ((table(), DATA), "no header"),
    "later readers only": (headed(header(versions=field(1, 9) + field(2, 2))), "wants a reader of version 2 or later"),
    "reader refused": (headed(header(versions=field(1, 1) + field(3, b"\5\1"))), "but none of [5, 1]"),
    "byte order 2": (headed(header(order=2)), "the byte order is 2"),
    "no data files": (headed(header(shards=0)), "said to be in data file 0, counted from 0, of 0"),
    "header of other types": (headed(field(1, b"1")), "field 1 is bytes of a given length, an integer was wanted"),
    "header twice": (headed(header() * 2), "appears 2 times"),
    "header of text": (headed(b"not a protocol buffer"), "is no protocol buffer"),
    # an entry
    "entry cut off": (one(GOOD[:-1]), "field 6 is cut off"),
    "entry of 9 and more": (one(field(1, 1) + b"\x80" * 11), "more than 64 bits"),
    "field 0": (one(b"\0\0" + GOOD), "field 0 of wire type 0"),
    "group": (one(b"\x0b" + GOOD), "field 1 of wire type 3"),
    "two wire types": (one(GOOD + fixed32(1, 1)), "field 1 appears with two wire types"),
    "dtype twice": (one(GOOD + field(1, 1)), "field 1 appears 2 times"),
    "dtype as bytes": (one(field(1, b"x")), "field 1 is bytes"),
    "checksum as integer": (one(field(1, 1) + field(2, shape_of(2)) + field(5, 8) + field(6, 1)), "4 bytes was wanted"),
    "shape as integer": (one(field(1, 1) + field(2, 2)), "bytes of a given length was wanted"),
    "dimension as bytes": (one(field(1, 1) + field(2, field(2, field(1, b"")))), "an integer was wanted"),
    "no dtype": (one(entry(DATA, dtype=0, shape=(2,))), "dtype 0 is none"),
    "dtype resource": (one(entry(DATA, dtype=20, shape=(2,))), "dtype 20 is none"),
    "negative dtype": (one(entry(DATA, dtype=-1, shape=(2,))), "is none that can be read"),
    "negative dimension": (one(entry(DATA, shape=(-2,))), "negative dimension: [-2]"),
    "two negative dimensions": (one(entry(DATA, shape=(-1, -2))), "negative dimension: [-1, -2]"),
    "product that overflows": (one(entry(b"", shape=(2**32, 2**32), size=0)), "too large for any computer"),
    "product that overflows to the size": (one(entry(DATA, shape=(2**62 + 1, 2))), "too large for any computer"),
    "zero times huge": (one(entry(b"", shape=(0, 2**63 - 1))), "too large for any computer"),
    "33 dimensions": (one(field(1, 1) + field(2, DEEP) + field(5, 4)), "33 dimensions"),
    "unknown rank": (one(field(1, 1) + field(2, field(3, 1)) + field(5, 8)), "unknown number of dimensions"),
    "size too small": (one(entry(DATA[:4], shape=(2,))), "takes 8 bytes, the index gives it 4"),
    "size too large": (one(entry(DATA, shape=(1,))), "takes 4 bytes, the index gives it 8"),
    "no size": (one(entry(DATA, shape=(2,), size=0)), "gives it 0"),
    "negative size": (one(entry(DATA, shape=(2,), size=-8)), "[0, 0, -8], negative"),
    "negative offset": (one(entry(DATA, shape=(2,), offset=-8)), "[0, -8, 8], negative"),
    "offset that overflows": (one(entry(DATA, shape=(2,), offset=2**63 - 4)), "negative or too large"),
    "negative data file": (one(entry(DATA, shape=(2,), shard=-1)), "negative or too large"),
    "data file 1 of 1": (one(entry(DATA, shape=(2,), shard=1)), "said to be in data file 1, counted from 0, of 1"),
    "huge entry": (one(GOOD + field(9, bytes(100_001))), "at most 100000"),
    "name not UTF-8": (of((b"\xffa", GOOD)), "is not UTF-8"),
    # the data
    "beyond the data": (one(entry(DATA, shape=(2,), offset=1)), "ends at byte 9, but the file has only 8"),
    "far beyond the data": (one(entry(b"", shape=(2**40,), size=2**42)), "ends at byte 4398046511104"),
    "no data": (one(GOOD, b""), "ends at byte 8, but the file has only 0"),
    "wrong checksum": (one(entry(DATA, shape=(2,), checksum=7)), "tensor 'a' does not have its checksum"),
    "no checksum": (one(field(1, 1) + field(2, shape_of(2)) + field(5, 8)), "does not have its checksum"),
    "checksum of an empty tensor": (one(entry(b"", shape=(0,), checksum=7)), "does not have its checksum"),
    "other data": (one(GOOD, bytes(8)), "does not have its checksum"),
    "overlap": (of((b"a", GOOD), (b"b", entry(DATA[4:], shape=(1,), offset=4))), "another tensor ends at 8"),
    "same bytes": (of((b"a", GOOD), (b"b", GOOD)), "another tensor ends at 8"),
    "overlap of what is left out": (of((b"a", GOOD), (b"a/adam_m", GOOD)), "another tensor ends at 8"),
    "boolean 2": (one(entry(b"\0\2", dtype=10, shape=(2,))), "does not have its checksum"),
    "boolean 2 with checksum": (one(entry(b"\0\2", dtype=10, shape=(2,)), b"\0\2"), "bytes other than 0 and 1"),
    # partitioned variables
    "part missing": (grid(*ROWS, entries=[]), "lacks its part ((0, 2), (0, None))"),
    "parts overlap": (grid(((0, 3), (0, None)), ((2, 2), (0, None))), "overlaps another"),
    "part twice": (grid(ROWS[0], ROWS[0]), "overlaps another"),
    "parts leave a hole": (grid(((0, 2), (0, None)), ((3, 1), (0, None))), "its parts hold 6 of its 8 numbers"),
    "part beyond": (grid(((0, 2), (0, None)), ((2, 3), (0, None))), "lies outside the shape"),
    "part with start and no length": (grid(((0, 2), (0, None)), ((2, None), (0, None))), "lies outside the shape"),
    "negative start": (grid(((-1, 2), (0, None))), "lies outside the shape"),
    "part of other rank": (grid(((0, 2),)), "has 1 extents, the variable has 2 dimensions"),
    "part of other dtype": (
        grid(ROWS[0], entries=[(slice_key("v", *ROWS[0]), entry(DATA[:4], 4, (2, 2)))]), "is dtype 4 of shape (2, 2)"),
    "part of other shape": (
        grid(ROWS[0], entries=[(slice_key("v", *ROWS[0]), entry(DATA[:4], 6, (4,)))]), "is dtype 6 of shape (4,)"),
    "part with parts": (
        grid(ROWS[0], entries=[
            (slice_key("v", *ROWS[0]), field(1, 6) + field(2, shape_of(2, 2)) + slice_of((0, 2), (0, 2)))]),
        "dtype 6 of shape (2, 2) was wanted"),
    "part of nothing": (of((b"a", GOOD), (slice_key("v", (0, 1)), EMPTY)), "is a part of no variable"),
    "parts and data": (grid(*ROWS, extra=[field(5, 8)]), "has slices, and data of its own"),
    "slices as integer": (one(GOOD + field(7, 1)), "field 7 is an integer"),
    "too many slices": (one(field(1, 1) + field(2, shape_of(2)) + slice_of((0, 1)) * 1001), "1001 slices"),
}  # fmt: skip


def refused(folder, fragment=""):
    with pytest.raises(CheckpointError) as caught:
        tensorflow.load_checkpoint(folder / "x")
    assert fragment in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path, case):
    (index, data), fragment = MALFORMED[case]
    writer.write(tmp_path / "x", index, data)
    tracemalloc.start()
    refused(tmp_path, fragment)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (len(index) + len(data)) + 4_000_000


def test_the_sound_ones_are_sound(tmp_path):
    """Otherwise the table above could be refused for another reason."""
    content = writer.block([HEAD, (b"a", GOOD)])
    literal = b"\xf0" + bytes([len(content) - 1]) + content
    for index, data in [
        one(GOOD),
        headed(header()),
        grid(*ROWS),
        handles(lambda h: h),
        blocks(content),
        packed(len(content), literal),
    ]:
        writer.write(tmp_path / "x", index, data)
        assert tensorflow.load_checkpoint(tmp_path / "x")


def test_a_table_of_any_origin_is_limited():
    with pytest.raises(CheckpointError, match="8000001 bytes are too many"):
        tensorflow_table.read_table(bytes(8_000_001), "x")


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_table, "_MOST_ENTRIES", 4)
    for count in (3, 4):
        writer.write(tmp_path / "x", *of(*((b"%06d" % k, EMPTY) for k in range(count))))
        if count == 3:
            assert len(tensorflow.load_checkpoint(tmp_path / "x")) == 3
    refused(tmp_path, "more than 4 entries")


def test_a_boolean_beyond_its_bytes(tmp_path):
    writer.write(tmp_path / "x", *one(entry(b"\0\1", dtype=10, shape=(2,)), b"\0\1"))
    assert tensorflow.load_checkpoint(tmp_path / "x")["a"].tolist() == [False, True]


@pytest.fixture
def small(tmp_path):
    """The files of a small checkpoint with everything in it."""
    tensors = {"a": np.arange(3.0), "b/adam_m": np.ones(2), "c": np.arange(8, dtype=np.int8).reshape(4, 2)}
    writer.save(tmp_path / "x", tensors, slices={"c": ROWS}, per_block=2)
    return tmp_path / "x.index", tmp_path / "x.data-00000-of-00001"


def test_every_cut_is_refused(tmp_path, small):
    for path in small:
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            refused(tmp_path)
        path.write_bytes(whole)
    assert len(tensorflow.load_checkpoint(tmp_path / "x")) == 2


def test_every_flipped_bit_is_refused(tmp_path, small):
    """All but those of the optimizer slot, which is not read."""
    before = tensorflow.load_checkpoint(tmp_path / "x", mmap=False)
    for path in small:
        whole = path.read_bytes()
        slot = range(24, 40) if path is small[1] else ()
        footer = len(whole) - 48  # which alone has no checksum
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 0x80 if place >= footer else 1 << place % 8
            path.write_bytes(changed)
            if place in slot:
                assert tensorflow.load_checkpoint(tmp_path / "x", mmap=False).keys() == before.keys()
            else:
                refused(tmp_path)
        path.write_bytes(whole)


def fuzz(folder, rounds, seed):
    """Change bytes of an index whose checksums are made right again: an error, or tensors no larger than the data."""
    rng = random.Random(seed)
    rows = np.arange(8, dtype=np.int8).reshape(4, 2)
    items = {b"": header(), b"a": entry(DATA, shape=(2,)), b"a/adam_m": entry(b"", shape=(0, 3)),
             b"flag": entry(b"\1", 10, (), offset=16), b"half": entry(bytes(2), 14, (1,), offset=17)}  # fmt: skip
    for start, offset in ((0, 8), (2, 12)):
        items[slice_key("v", (start, 2), (0, None))] = entry(
            rows[start : start + 2].tobytes(), 6, (2, 2), offset=offset
        )
    items[b"v"] = field(1, 6) + field(2, shape_of(4, 2)) + slice_of(*ROWS[0]) + slice_of(*ROWS[1])
    data = DATA + rows.tobytes() + b"\1\0\0"
    sound = table(items.items())
    loaded = 0
    for _ in range(rounds):
        kind = rng.randrange(4)
        if kind == 0:  # one message
            key = rng.choice(list(items))
            index = table({**items, key: mutated(items[key], rng)}.items(), per_block=3)
        elif kind == 1:  # a block
            index = table(blocks=[(b"z", writer.seal(mutated(writer.block(sorted(items.items()), 3), rng)))])
        elif kind == 2:  # a packed block
            index = table(
                blocks=[(b"z", writer.seal(mutated(writer.pack(writer.block(sorted(items.items()))), rng), 1))]
            )
        else:  # anything
            index = mutated(sound, rng)
        writer.write(folder / "x", index, data)
        try:
            tensors = tensorflow.load_checkpoint(folder / "x", mmap=False)
        except CheckpointError:
            continue
        loaded += 1
        assert sum(array.nbytes for array in tensors.values()) <= 2 * len(data)
    assert 0 < loaded < rounds // 2


def mutated(raw, rng):
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(out) + 1)
        piece = rng.choice((bytes([rng.randrange(256)]), b"\xff\xff\xff\xff\x0f", b"\x80", b"\0", b""))
        out[place : place + rng.choice((0, 1, 1, 4))] = piece
    return bytes(out)


def test_fuzzed(tmp_path):
    fuzz(tmp_path, 2000, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_fuzzed_for_longer(tmp_path, seed):
    fuzz(tmp_path, 2000, seed)


# archives


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path.read_bytes()


def patched(raw, signature, at, form, value):
    """Change a field of every record of an archive."""
    out, place = bytearray(raw), raw.find(signature)
    while place >= 0:
        struct.pack_into(form, out, place + at, value)
        place = raw.find(signature, place + 1)
    return bytes(out)


CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"
SHARD = "m.data-00000-of-00001"
ARCHIVES = {
    "cut off": (lambda raw: raw[:-30], "this archive is damaged"),
    "cut short": (lambda raw: raw[:2], "this archive is damaged"),
    "encrypted": (lambda raw: patched(raw, CENTRAL, 8, "<H", 1), "is encrypted; unpack the archive first"),
    "other packing": (lambda raw: patched(raw, CENTRAL, 10, "<H", 12), "packed in way 12"),
    "wrong checksum": (lambda raw: patched(raw, CENTRAL, 16, "<I", 7), "cannot be unpacked"),
    "claims more": (lambda raw: patched(raw, CENTRAL, 24, "<I", 10_000), "ends after 121 of its 10000 bytes"),
    "claims gigabytes": (lambda raw: patched(raw, CENTRAL, 24, "<I", 2**32 - 2), "are plausible"),
    "claims less": (lambda raw: patched(raw, CENTRAL, 24, "<I", 3), "cannot be unpacked"),
    "damaged member": (lambda raw: raw[:40] + b"\xff" * 9 + raw[49:], "cannot be unpacked"),
    "misplaced": (lambda raw: patched(raw, CENTRAL, 42, "<I", 5), "cannot be unpacked"),
    "huge table of contents": (lambda raw: patched(raw, END, 12, "<I", 2**31), "this archive is damaged"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_malformed_archive(tmp_path, case):
    change, fragment = ARCHIVES[case]
    index, data = one(GOOD)
    raw = archive(tmp_path / "x", [("m.index", index), (SHARD, data)])
    assert list(tensorflow.load_checkpoint(tmp_path / "x")) == ["a"]
    (tmp_path / "x").write_bytes(change(raw))
    refused(tmp_path, fragment)
    tensorflow_source.is_archive(tmp_path / "x")


@pytest.mark.parametrize(
    ("members", "fragment"),
    [
        ([], "no TensorFlow checkpoint (*.index) in this archive; it holds nothing"),
        ([("a.txt", b"")], "it holds 'a.txt'"),
        ([("m.index", SOUND)], "the member 'm.data-00000-of-00001' is missing"),
        ([("m.index", SOUND), ("n.index", SOUND)], "several checkpoints: 'm', 'n'"),
        ([("m.index", SOUND), (SHARD, DATA[:7])], "ends at byte 8, but the file has only 7"),
        ([("m.index", SOUND), (SHARD, bytes(8))], "does not have its checksum"),
        ([("m.index", SOUND), (SHARD, bytes(50_000_000))], "said to unpack to 50000000 bytes"),
        ([("m.index", bytes(9_000_000)), (SHARD, DATA)], "said to unpack to 9000000 bytes"),
    ],
)
def test_wrong_content_of_an_archive(tmp_path, members, fragment):
    archive(tmp_path / "x", members)
    tracemalloc.start()
    refused(tmp_path, fragment)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_member_that_appears_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "x", [("m.index", SOUND), (SHARD, DATA), (SHARD, DATA)])
    refused(tmp_path, f"the member '{SHARD}' appears 2 times")


def test_a_long_table_of_contents(tmp_path):
    """It would take ten times its size in memory."""
    archive(tmp_path / "x", [("m.index", SOUND), (SHARD, DATA), *((f"{k:0200d}", b"") for k in range(5000))])
    refused(tmp_path, "too many for the table of contents")


def test_every_cut_of_an_archive(tmp_path):
    raw = archive(tmp_path / "x", [("m.index", SOUND), (SHARD, DATA)])
    for length in range(len(raw)):
        (tmp_path / "x").write_bytes(raw[:length])
        refused(tmp_path)
