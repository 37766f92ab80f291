"""Files that break a rule of the safetensors format, and paths that are no files: each gets one clear error."""

import json
import os
import stat
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, safetensors


def fails(data, fragment):
    """The bytes are refused, in one line that contains the fragment."""
    with pytest.raises(CheckpointError) as caught:
        safetensors.load(data)
    assert fragment in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


GOOD = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def entry(**changes):
    """A header of one sound tensor ``a``, with some fields replaced; a value of None removes the field."""
    return {"a": {key: value for key, value in {**GOOD, **changes}.items() if value is not None}}


HUGE = 2**62
MALFORMED = {
    "not JSON": (b"{'a': 1}", b"", "not valid JSON"),
    "cut JSON": (b'{"a":', b"", "not valid JSON"),
    "text after the JSON": (b"{}x", b"", "not valid JSON"),
    "NUL padding": (b"{}\0\0", b"", "not valid JSON"),
    "not UTF-8": (b'{"\xff":1}', b"", "not UTF-8"),
    "UTF-16": ("{}".encode("utf-16"), b"", "the header begins with"),
    "UTF-16 without mark": ("{}".encode("utf-16-le"), b"", "not valid JSON"),
    "byte-order mark": (b"\xef\xbb\xbf{}", b"", "the header begins with"),
    "leading space": (b" {}", b"", "the header begins with"),
    "header of length 0": (b"", b"", "the header begins with b''"),
    "a list": (b"[]", b"", "the header begins with"),
    "NaN": (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', b"1234", "NaN is not JSON"),
    "Infinity": (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-Infinity,4]}}', b"1234", "-Infinity is not"),
    "duplicate tensor": (b'{"a":' + json.dumps(GOOD).encode() + b',"a":' + json.dumps(GOOD).encode() + b"}",
                         b"1234", "the key 'a' appears twice"),
    "duplicate field": (b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"1234",
                        "the key 'dtype' appears twice"),
    "deep nesting": (b'{"a":' + b"[" * 100_000, b"", "nested too deeply"),
    "millions of lists": (b'{"a":[' + b"[]," * 400_000 + b"1]}", b"", "consists of brackets"),
    "huge integer": (b'{"a":{"dtype":"F32","shape":[1' + b"0" * 1_000_000 + b"]}}", b"", "1000001 digits"),
    "half a surrogate pair": (b'{"\\ud800":' + json.dumps(GOOD).encode() + b"}", b"1234", "not valid JSON"),
    "entry is a number": ({"a": 1}, b"", "tensor 'a': an object was wanted, found 1"),
    "no dtype": (entry(dtype=None), b"1234", "the field 'dtype' is missing"),
    "no shape": (entry(shape=None), b"1234", "the field 'shape' is missing"),
    "no offsets": (entry(data_offsets=None), b"1234", "the field 'data_offsets' is missing"),
    "unknown dtype": (entry(dtype="F33"), b"1234", "unknown dtype 'F33'"),
    "dtype in lower case": (entry(dtype="f32"), b"1234", "unknown dtype 'f32'"),
    "dtype is a list": (entry(dtype=["F32"]), b"1234", "unknown dtype ['F32']"),
    "8-bit float": (entry(dtype="F8_E4M3", data_offsets=[0, 1]), b"1", "is F8_E4M3, which NumPy lacks"),
    "4-bit float": (entry(dtype="F4", shape=[2], data_offsets=[0, 1]), b"1", "is F4, which NumPy lacks"),
    "half a byte": (entry(dtype="F4", shape=[3], data_offsets=[0, 1]), b"1", "takes 1.5 bytes"),
    "shape is a number": (entry(shape=1), b"1234", "shape must be a list of integers"),
    "shape of booleans": (entry(shape=[True]), b"1234", "shape must be a list of integers"),
    "shape of floats": (entry(shape=[1.0]), b"1234", "shape must be a list of integers"),
    "shape of text": (entry(shape=["1"]), b"1234", "shape must be a list of integers"),
    "negative shape": (entry(shape=[-1]), b"1234", "found [-1]"),
    "two negative sizes": (entry(shape=[-1, -1]), b"1234", "found [-1, -1]"),
    "size beyond 63 bits": (entry(shape=[0, 2**63]), b"", "from 0 to 2**63-1"),
    "product wraps to 0 in 64 bits": (entry(shape=[2**32, 2**32], data_offsets=[0, 0]), b"", "too large"),
    "product wraps to 4 in 64 bits": (entry(shape=[2**31 + 1, 2**31 + 1, 4]), b"1234", "too large"),
    "empty but enormous": (entry(shape=[HUGE, HUGE, 0], data_offsets=[0, 0]), b"", "too large"),
    "33 dimensions": (entry(shape=[1] * 33), b"1234", "33 dimensions"),
    "one offset": (entry(data_offsets=[4]), b"1234", "must be [begin, end], found [4]"),
    "three offsets": (entry(data_offsets=[0, 4, 4]), b"1234", "must be [begin, end]"),
    "offsets are floats": (entry(data_offsets=[0.0, 4.0]), b"1234", "data_offsets must be a list of integers"),
    "offsets are booleans": (entry(data_offsets=[False, 4]), b"1234", "data_offsets must be a list of integers"),
    "negative offset": (entry(data_offsets=[-4, 0]), b"1234", "data_offsets must be a list of integers"),
    "end before begin": (entry(data_offsets=[4, 0]), b"1234", "must be [begin, end], found [4, 0]"),
    "too few bytes": (entry(shape=[2]), b"1234", "F32 of shape [2] takes 8 bytes, but its data_offsets give it 4"),
    "too many bytes": (entry(data_offsets=[0, 8]), b"12345678", "takes 4 bytes, but its data_offsets give it 8"),
    "gap at the start": (entry(data_offsets=[4, 8]), b"12345678", "leaves a gap"),
    "gap between": ({"a": GOOD, "b": {**GOOD, "data_offsets": [8, 12]}}, b"x" * 12, "'b' leaves a gap before it"),
    "the same bytes twice": ({"a": GOOD, "b": GOOD}, b"1234", "'b' overlaps the tensor before it"),
    "overlap": ({"a": GOOD, "b": {**GOOD, "data_offsets": [2, 6]}}, b"123456", "'b' overlaps"),
    "empty tensor inside another": ({"a": GOOD, "b": {**GOOD, "shape": [0], "data_offsets": [2, 2]}}, b"1234",
                                    "'b' overlaps"),
    "data cut": (entry(), b"123", "ends at byte 4 of the data, which has only 3"),
    "no data": (entry(), b"", "ends at byte 4 of the data, which has only 0"),
    "bytes left over": (entry(), b"12345", "1 bytes follow the last tensor"),
    "data without tensors": ({}, b"1", "1 bytes follow the last tensor"),
    "metadata is a list": ({"__metadata__": []}, b"", "__metadata__ must map text to text"),
    "metadata is null": ({"__metadata__": None}, b"", "__metadata__ must map text to text"),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, b"", "__metadata__ must map text to text"),
    "a tensor called metadata": ({"__metadata__": GOOD}, b"1234", "__metadata__ must map text to text"),
    "boolean of 2": (entry(dtype="BOOL", data_offsets=[0, 1]), b"\x02", "holds bytes other than 0 and 1"),
    "name of several lines": ({"a\r\nb\u2028c": 1}, b"", "an object was wanted"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case, craft, tmp_path):
    header, data, fragment = MALFORMED[case]
    fails(craft(header, data), fragment)
    path = tmp_path / "model.safetensors"
    path.write_bytes(craft(header, data))
    for mmap in (True, False):
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            safetensors.load_file(path, mmap=mmap)


def test_a_large_header_of_tensors_is_no_attack():
    tensors = {f"{i}": np.zeros(0, bool) for i in range(25_000)}  # the densest there can be
    data = safetensors.save(tensors)
    raw = data[8:]
    assert len(raw) > 1_000_000
    assert safetensors.safetensors_header.parse(raw, len(data), "x").tensors.keys() == tensors.keys()


def test_the_sound_entry_of_the_malformed_cases_is_sound(craft):
    assert safetensors.load(craft(entry(), struct.pack("<f", 3)))["a"] == 3


@pytest.mark.parametrize("size", range(8))
def test_too_short_for_a_length(size):
    fails(b"\x02" * size, f"{size} bytes are too few")


@pytest.mark.parametrize(
    ("length", "fragment"),
    [(3, "only 2 follow"), (100_000_000, "only 2 follow"), (100_000_001, "limit of 100000000"), (2**64 - 1, "limit")],
)
def test_header_longer_than_the_file(craft, length, fragment):
    tracemalloc.start()
    try:
        fails(craft(b"{}", length=length), fragment)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # nothing was allocated on the file's word
    finally:
        tracemalloc.stop()


def test_every_cut_of_a_file_is_refused(sample, tmp_path):
    data = safetensors.save(sample)
    path = tmp_path / "cut.safetensors"
    for size in range(len(data)):
        with pytest.raises(CheckpointError):
            safetensors.load(data[:size])
    for size in (0, 1, 7, 8, 9, 100, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match="cut"):
            safetensors.load_file(path)


def test_damage_is_either_seen_or_harmless(sample):
    """3000 files with flipped, removed or inserted bytes: each loads whole, or raises CheckpointError."""
    data = safetensors.save(sample, {"format": "pt"})
    data_start = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(11)
    loaded, refusals = 0, []
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            # Mostly in the header, where the decisions are.
            place = int(rng.integers(0, data_start if rng.random() < 0.8 else len(data)))
            match rng.integers(3):
                case 0:
                    damaged[place % len(damaged)] ^= 1 << int(rng.integers(8))
                case 1:
                    del damaged[place : place + int(rng.integers(1, 9))]
                case _:
                    damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
        try:
            tensors = safetensors.load(bytes(damaged))
        except CheckpointError as error:
            refusals.append(str(error))
        else:
            loaded += 1
            length = int.from_bytes(damaged[:8], "little")
            assert sum(array.nbytes for array in tensors.values()) == len(damaged) - 8 - length
    assert loaded > 30
    assert len(refusals) > 1000
    assert all(len(message.splitlines()) == 1 for message in refusals)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["F32", "U8", "BF16", "F4"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
SIZES = st.integers(0, 9) | st.sampled_from([-1, 2**31, 2**63, 2**64])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "BF16", "BOOL", "F4", "C64"]),
        "shape": st.lists(SIZES, max_size=3),
        "data_offsets": st.lists(SIZES, min_size=2, max_size=2),
    }
)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), ENTRIES | JSON_VALUES, max_size=3),
       st.binary(max_size=40))  # fmt: skip
def test_any_header_loads_or_raises_checkpoint_error(header, data):
    raw = json.dumps(header).encode()
    try:
        tensors = safetensors.load(struct.pack("<Q", len(raw)) + raw + data)
    except CheckpointError:
        return
    assert tensors.keys() == header.keys() - {"__metadata__"}


# Paths that are no files -----------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"absent\.safetensors: cannot be read: no such file"):
        safetensors.load_file(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError):
        safetensors.read_header(tmp_path / "absent.safetensors")


def test_link_to_nowhere(tmp_path):
    link = tmp_path / "link.safetensors"
    try:
        link.symlink_to(tmp_path / "absent")
    except OSError:
        pytest.skip("no symbolic links here")
    with pytest.raises(CheckpointNotFoundError, match="the link points nowhere"):
        safetensors.load_file(link)


def test_folder(tmp_path):
    with pytest.raises(CheckpointError, match="this is a folder"):
        safetensors.load_file(tmp_path)


def test_path_with_nul():
    with pytest.raises(CheckpointError, match="NUL"):
        safetensors.load_file("a\0b")
    with pytest.raises(CheckpointError, match="NUL"):
        safetensors.save_file({}, "a\0b")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_endless_device():
    with pytest.raises(CheckpointError, match="device, pipe or socket"):
        safetensors.load_file("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="device, pipe or socket"):
        safetensors.load_file(tmp_path / "pipe")


def test_no_permission(tmp_path, sample):
    path = tmp_path / "secret.safetensors"
    safetensors.save_file(sample, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(CheckpointError, match=r"secret\.safetensors: cannot be read: Permission denied"):
        safetensors.load_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_reading_fails_halfway(tmp_path, sample, monkeypatch):
    path = tmp_path / "model.safetensors"
    safetensors.save_file(sample, path)

    def broken(*_args, **_kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(safetensors.memory_map, "mmap", broken)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read: Input/output error") as caught:
        safetensors.load_file(path)
    assert isinstance(caught.value.__cause__, OSError)


def test_file_shrinks_between_header_and_data(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    tensors = {"a": np.ones(1_000_000)}  # more than the file object's own buffer
    read_header = safetensors._read_header

    def then_shrink(*args):
        header = read_header(*args)
        os.truncate(path, path.stat().st_size - 1)
        return header

    monkeypatch.setattr(safetensors, "_read_header", then_shrink)
    for mmap in (True, False):
        safetensors.save_file(tensors, path)
        with pytest.raises(CheckpointError, match="changed its size"):
            safetensors.load_file(path, mmap=mmap)


def test_awkward_file_name_stays_one_line(tmp_path):
    path = tmp_path / "two\nlines 模型 🙂.safetensors"
    try:
        path.write_bytes(b"short")
    except OSError:
        pytest.skip("no such names here")
    with pytest.raises(CheckpointError, match=r"two\\nlines 模型") as caught:
        safetensors.load_file(path)
    assert len(str(caught.value).splitlines()) == 1
    safetensors.save_file({"a": np.ones(1)}, path)
    assert safetensors.load_file(str(path))["a"] == 1
