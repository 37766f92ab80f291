"""TensorFlow's checkpoints: what TensorFlow wrote, and every variation of the format, by a writer of the tests."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_writer as writer
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, snappy, tensorflow, tensorflow_source
from bert_numpy.checkpoints.crc32c import crc32c, masked
from bert_numpy.checkpoints.tensorflow_entries import slice_key

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorflow"


@pytest.fixture
def tensors(sample):
    rng = np.random.default_rng(3)
    numbers = {name: rng.integers(0, 2, (3, 5)).astype(name) for name in writer.CODES}
    return {**sample, **numbers, "rows": rng.normal(size=(10, 3)), "grid": rng.normal(size=(4, 300)).astype(np.float32)}


SLICES = {
    "rows": [((0, 4), (0, None)), ((4, 6), (0, None))],
    "grid": [((0, 3), (0, 100)), ((0, 3), (100, 200)), ((3, 1), (0, 150)), ((3, 1), (150, 150))],
}


@pytest.mark.parametrize("name", ["bert_model.ckpt", "mixed.ckpt"])
@pytest.mark.parametrize("mmap", [True, False])
def test_what_tensorflow_wrote_is_read_bit_for_bit(name, mmap, same):
    with np.load(GOLDEN / "expected.npz") as file:
        expected = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(f"{name}/")}
    same(tensorflow.load_checkpoint(GOLDEN / name, mmap=mmap), expected)
    assert len(expected) >= 20
    assert json.loads((GOLDEN / "version.json").read_text())["tensorflow"]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_of_known_messages(data, value):
    assert crc32c(data) == value
    assert masked(value) == writer.mask(value)


@pytest.mark.parametrize("size", [*range(18), 63, 64, 65, 4095, 65535, 65536, 65541, 131072, 200003])
def test_checksum_of_every_length(size):
    data = np.random.default_rng(size).integers(0, 256, size + 1, dtype=np.uint8)
    expected = writer.crc(data[1:].tolist())
    for buffer in (data[1:], data[1:].tobytes(), memoryview(data[1:].tobytes())):  # the first is misaligned
        assert crc32c(buffer) == expected


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_snappy_round_trip(data, repeats):
    data += b"".join(data[k : k + 70] + data[:k] for k in repeats)
    assert snappy.unpack(writer.pack(data), len(data), "x") == data


@pytest.mark.parametrize("size", [1, 60, 61, 256, 257, 65537])
def test_snappy_literals_of_every_length(size):
    data = os.urandom(size)
    extra = 0 if size <= 60 else (size - 1).bit_length() + 7 >> 3
    tag = bytes([(59 + extra if extra else size - 1) << 2]) + (size - 1).to_bytes(4, "little")[:extra]
    assert snappy.unpack(writer.varint(size) + tag + data, size, "x") == data


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shards": 3},
        {"big_endian": True},
        {"per_block": 3, "interval": 2},
        {"per_block": 7, "packed": True},
        {"interval": 1},
        {"slices": SLICES},
        {"slices": SLICES, "shards": 4, "big_endian": True, "packed": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mmap", [True, False])
def test_every_layout(tmp_path, tensors, same, options, mmap):
    writer.save(tmp_path / "x", tensors, **options)
    loaded = tensorflow.load_checkpoint(tmp_path / "x", mmap=mmap)
    same(loaded, tensors)
    assert all(array.flags.writeable and array.flags.aligned for array in loaded.values())
    assert list(loaded) == sorted(tensors, key=str.encode)


def test_mapped_arrays_share_the_file_and_do_not_change_it(tmp_path):
    writer.save(tmp_path / "x", {"a": np.arange(5.0)})
    loaded = tensorflow.load_checkpoint(tmp_path / "x")["a"]
    assert not loaded.flags.owndata
    loaded += 1
    assert tensorflow.load_checkpoint(tmp_path / "x")["a"][1] == 1


def test_bfloat16_is_widened(tmp_path):
    raw = np.array([0x3F80, 0xC000], "<u2").tobytes()
    entry = writer.entry(raw, 14, (2,))
    writer.write(tmp_path / "x", writer.table([(b"", writer.header()), (b"a", entry)]), raw)
    loaded = tensorflow.load_checkpoint(tmp_path / "x")["a"]
    assert loaded.dtype == np.float32
    assert loaded.tolist() == [1, -2]


def test_slots_counters_and_text_are_left_out(tmp_path):
    slots = ["w/adam_m", "w/adam_v", "w/Adam", "w/Adam_1", "w/lamb_m", "w/lamb_v", "beta1_power", "beta2_power"]
    tensors = {name: np.ones((4, 2)) for name in ["w", "adam_m", "a/global_step", *slots]}
    text = writer.entry(b"\x02abc...", dtype=7, shape=(1,), offset=0, checksum=5)
    extra = [(b"text", text), (b"global_step", writer.entry(dtype=9, shape=(), offset=10**6, size=8))]
    parts = {"w/adam_m": [((0, 3), (0, None)), ((3, 1), (0, None))]}
    writer.save(tmp_path / "x", tensors, slices=parts, shards=1)
    assert set(tensorflow.load_checkpoint(tmp_path / "x")) == {"w", "adam_m", "a/global_step"}
    raw = np.ones(1).tobytes()
    items = [(b"", writer.header()), (b"w", writer.entry(raw, 2, (1,), offset=7)), extra[0]]
    writer.write(tmp_path / "x", writer.table(items), b"\x02abc..." + raw)
    assert list(tensorflow.load_checkpoint(tmp_path / "x")) == ["w"]


def test_keys_of_parts():
    assert slice_key("part", ((4, 3), (0, None))) == writer.slice_key("part", (4, 3), (0, None))
    assert slice_key("s", ()) == b"\0s\0\1\0"
    numbers = [-64, -1, 0, 1, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**40, 2**62 - 1, 2**62, 2**63 - 1]
    keys = [slice_key("", ((n, 1),)) for n in numbers]
    assert keys == sorted(keys)  # the point of the encoding
    assert slice_key("", ((2**20, 1),)) == b"\0\0\1\1\1" + bytes.fromhex("f0100000") + b"\x81"


def test_everything_that_stands_for_a_checkpoint(tmp_path, monkeypatch):
    writer.save(tmp_path / "model.ckpt", {"a": np.ones(2)})
    for path in ("model.ckpt", "model.ckpt.index", ""):
        assert list(tensorflow.load_checkpoint(tmp_path / path)) == ["a"]
        assert list(tensorflow.load_checkpoint(str(tmp_path / path))) == ["a"]
    monkeypatch.chdir(tmp_path)
    assert list(tensorflow.load_checkpoint("model.ckpt")) == ["a"]
    (tmp_path / "model.ckpt").mkdir()  # a folder does not hide the checkpoint beside it
    assert list(tensorflow.load_checkpoint("model.ckpt")) == ["a"]


@pytest.mark.parametrize("state", ["model-2", "/home/someone/train/model-2", r"C:\\train\\model-2", "../model-2"])
def test_a_state_file_chooses_among_several(tmp_path, state):
    for number in (1, 2, 3):
        writer.save(tmp_path / f"model-{number}", {"a": np.array(number)})
    with pytest.raises(CheckpointError, match="several checkpoints: 'model-1', 'model-2', 'model-3'; pass one"):
        tensorflow.load_checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{state}"\nall_model_checkpoint_paths: "model-1"\n')
    assert tensorflow.load_checkpoint(tmp_path)["a"] == 2
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "elsewhere"\n')
    with pytest.raises(CheckpointError, match="several checkpoints"):
        tensorflow.load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "error", "fragment"),
    [
        ("x.data-00000-of-00001", CheckpointError, "only a part of a TensorFlow checkpoint; pass what all its files"),
        ("x.meta", CheckpointError, "only a part"),
        ("absent", CheckpointNotFoundError, "there is no such file or folder, and no"),
        ("absent.index", CheckpointNotFoundError, "no such file"),
        ("nothing", CheckpointNotFoundError, "no TensorFlow checkpoint (*.index) in this folder; it holds nothing"),
        ("file.txt", CheckpointError, "pass a prefix (what stands before .index), the folder, or the zip archive"),
        ("lonely", CheckpointNotFoundError, "lonely.data-00000-of-00001: no such file, but lonely.index says that"),
        ("nul\0", CheckpointNotFoundError, "no such file"),
        ("folder", CheckpointError, "this is a folder"),
    ],
)
def test_wrong_things_are_answered_with_the_right_one(tmp_path, name, error, fragment):
    for prefix in ("x", "lonely"):
        writer.save(tmp_path / prefix, {"a": np.ones(2)})
    (tmp_path / "lonely.data-00000-of-00001").unlink()
    (tmp_path / "x.meta").touch()
    (tmp_path / "file.txt").write_text("hello")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "folder.data-00000-of-00001").mkdir()
    (tmp_path / "folder.index").write_bytes((tmp_path / "x.index").read_bytes())
    with pytest.raises(error) as caught:
        tensorflow.load_checkpoint(tmp_path / name)
    assert fragment in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    if error is CheckpointError and name.startswith("x."):
        assert str(caught.value).endswith(os.sep + "x")


@pytest.mark.parametrize("folder", ["", "uncased_L-12_H-768_A-12/", "../a/b/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_read_where_it_lies(tmp_path, tensors, same, folder, method):
    writer.save(tmp_path / "m", tensors, shards=2)
    with zipfile.ZipFile(tmp_path / "model.zip", "w", method) as archive:
        archive.writestr(f"{folder}bert_config.json", "{}")
        for part in (".index", ".data-00000-of-00002", ".data-00001-of-00002"):
            archive.write(tmp_path / f"m{part}", f"{folder}bert_model.ckpt{part}")
            archive.writestr(f"__MACOSX/{folder}._bert_model.ckpt{part}", b"shadow")
    before = sorted(os.listdir(tmp_path))
    assert tensorflow_source.is_archive(tmp_path / "model.zip")
    loaded = tensorflow.load_checkpoint(tmp_path / "model.zip")
    same(loaded, tensors)
    assert all(array.flags.writeable for array in loaded.values())
    assert tensorflow.read_companion(tmp_path / "model.zip", "bert_config.json") == b"{}"
    assert sorted(os.listdir(tmp_path)) == before


def test_companions_of_files(tmp_path):
    writer.save(tmp_path / "x", {"a": np.ones(2)})
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    for path in ("x", "x.index", ""):
        assert tensorflow.read_companion(tmp_path / path, "vocab.txt") == b"[PAD]\n"
    for name in ("../vocab.txt", "/etc/passwd", r"..\x", "C:x", "", ".."):
        with pytest.raises(CheckpointError, match="not the plain name of a file"):
            tensorflow.read_companion(tmp_path, name)
    with pytest.raises(CheckpointNotFoundError):
        tensorflow.read_companion(tmp_path, "absent.txt")


def test_a_state_file_in_an_archive(tmp_path):
    for number in (1, 2):
        writer.save(tmp_path / f"model-{number}", {"a": np.array(number)})
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in list(tmp_path.glob("model-*")):
            archive.write(path, f"run/{path.name}")
    with pytest.raises(CheckpointError, match="several checkpoints"):
        tensorflow.load_checkpoint(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip", "a") as archive:
        archive.writestr("run/checkpoint", 'model_checkpoint_path: "/elsewhere/run/model-2"')
    assert tensorflow.load_checkpoint(tmp_path / "all.zip")["a"] == 2
