"""Reading and writing safetensors: round trips, exact bytes, bfloat16, memory."""

import gc
import json
import math
import os
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from bert_numpy.checkpoints import CheckpointError, safetensors

DTYPES = ["?", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "c8", "f8", "i8", "u8"]
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3), (3, 1, 2, 5)]


def random_bits(dtype, shape, seed=0):
    """Any bit pattern of the dtype, NaN payloads included; for booleans 0 and 1."""
    count = math.prod(shape)
    rng = np.random.default_rng(seed)
    if np.dtype(dtype) == np.bool_:
        return rng.integers(0, 2, count).astype(bool).reshape(shape)
    return np.frombuffer(rng.bytes(count * np.dtype(dtype).itemsize), dtype).reshape(shape)


# Round trips -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [True, False])
def test_every_dtype_and_shape_survives_a_file(tmp_path, same, mmap):
    tensors = {f"{d} {s}": random_bits(d, s, seed=i) for i, s in enumerate(SHAPES) for d in DTYPES}
    path = tmp_path / "model.safetensors"
    safetensors.save_file(tensors, path)
    loaded = safetensors.load_file(path, mmap=mmap)
    same(loaded, tensors)
    for name, array in loaded.items():
        flags = array.flags
        assert flags.writeable, name
        assert flags.aligned, name
        assert flags.c_contiguous, name
        assert array.dtype.isnative, name
    same(safetensors.load(safetensors.save(tensors)), tensors)


def test_only_empty_tensors(tmp_path, same):
    tensors = {"a": np.zeros((0, 3)), "b": np.zeros(0, np.float32), "c": np.zeros((2, 0), bool)}
    safetensors.save_file(tensors, tmp_path / "empty.safetensors", bfloat16=["b"])
    for mmap in (True, False):
        same(safetensors.load_file(tmp_path / "empty.safetensors", mmap=mmap), tensors)


def test_no_tensors_at_all(tmp_path):
    safetensors.save_file({}, tmp_path / "none.safetensors")
    assert safetensors.load_file(tmp_path / "none.safetensors") == {}
    assert safetensors.load(safetensors.save({})) == {}


def test_numpy_scalars_are_arrays_without_axes():
    loaded = safetensors.load(safetensors.save({"a": np.float32(1.5), "b": np.float32(2.5)}, bfloat16=["b"]))
    assert loaded == {"a": 1.5, "b": 2.5}
    assert loaded["a"].shape == loaded["b"].shape == ()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        np.arange(24, dtype=np.int16)[::-2],
        np.broadcast_to(np.float32(3), (2, 5)),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.arange(6, dtype=">i8")[::2],
        np.array(1.5, dtype=">f8"),
    ],
    ids=["transposed", "fortran", "reversed", "broadcast", "big-endian", "big-endian-strided", "big-endian-0d"],
)
def test_any_memory_order_and_byte_order_is_stored_by_value(array):
    before = array.copy()
    loaded = safetensors.load(safetensors.save({"a": array}))["a"]
    assert loaded.shape == array.shape
    assert loaded.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded, before)
    np.testing.assert_array_equal(array, before)


def test_header_bytes_exactly():
    tensors = {
        "b": np.array([1.0], np.float32),
        "a": np.array([[2.0]], np.float32),
        "n": np.array([-1, 5], np.int64),
        "é\n": np.array([True]),
    }
    header = (
        '{"__metadata__":{"format":"pt"},"n":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},'
        '"a":{"dtype":"F32","shape":[1,1],"data_offsets":[16,20]},'
        '"b":{"dtype":"F32","shape":[1],"data_offsets":[20,24]},'
        '"é\\n":{"dtype":"BOOL","shape":[1],"data_offsets":[24,25]}}'
    ).encode()
    header += b" " * (-len(header) % 8)
    data = struct.pack("<qqff?", -1, 5, 2.0, 1.0, True)
    assert safetensors.save(tensors, {"format": "pt"}) == struct.pack("<Q", len(header)) + header + data


def test_equal_content_gives_equal_bytes_whatever_the_order(sample):
    backwards = dict(reversed(sample.items()))
    one = safetensors.save(sample, {"format": "pt", "step": "3"})
    assert safetensors.save(backwards, {"step": "3", "format": "pt"}) == one


def test_metadata_and_header(tmp_path, sample):
    path = tmp_path / "model.safetensors"
    safetensors.save_file(sample, path)
    header = safetensors.read_header(path)
    assert header.metadata == {"format": "pt"}
    assert header.tensors["encoder.bias"][:2] == ("F16", (7,))
    assert header.tensors["scalar"][:2] == ("F64", ())
    for name, info in header.tensors.items():
        stored = path.read_bytes()[header.data_start + info.begin : header.data_start + info.end]
        assert stored == sample[name].tobytes()
    safetensors.save_file(sample, path, None)
    assert safetensors.read_header(path).metadata == {}
    assert b"__metadata__" not in path.read_bytes()


@pytest.mark.parametrize("padding", range(8))
def test_a_file_by_another_writer(tmp_path, craft, padding):
    """Tensors in any order in the header, an unknown field, and the data at every distance from alignment."""
    header = {
        "late": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9], "comment": "ignored"},
        "nothing": {"data_offsets": [1, 1], "shape": [2, 0], "dtype": "I64"},
        "early": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]},
    }
    path = tmp_path / "foreign.safetensors"
    raw = json.dumps(header).encode() + b" " * padding
    path.write_bytes(craft(raw, struct.pack("<Bff", 200, 1.5, -2.0)))
    for mmap in (True, False):
        loaded = safetensors.load_file(path, mmap=mmap)
        assert list(loaded) == ["early", "nothing", "late"]
        assert loaded["early"] == 200
        assert loaded["nothing"].shape == (2, 0)
        np.testing.assert_array_equal(loaded["late"], np.array([1.5, -2.0], np.float32))
        assert loaded["late"].flags.aligned
        assert loaded["late"].flags.writeable


# bfloat16 --------------------------------------------------------------------------------------------------


def test_bfloat16_is_widened_exactly(tmp_path, craft):
    bits = np.arange(2**16, dtype="<u2")
    header = {"x": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, 2**17]}}
    path = tmp_path / "bf16.safetensors"
    path.write_bytes(craft(header, bits.tobytes()))
    loaded = safetensors.load_file(path)["x"]
    assert loaded.dtype == np.float32
    assert loaded.shape == (256, 256)
    np.testing.assert_array_equal(loaded.view(np.uint32).ravel(), bits.astype(np.uint32) << 16)
    assert safetensors.read_header(path).tensors["x"].dtype == "BF16"
    # Back to BF16: the same file section, but for the signalling NaNs, which become quiet.
    again = np.frombuffer(safetensors.save({"x": loaded}, bfloat16=["x"])[-(2**17) :], "<u2")
    np.testing.assert_array_equal(again[~np.isnan(loaded.ravel())], bits[~np.isnan(loaded.ravel())])
    assert np.isnan(safetensors.load(safetensors.save({"x": loaded}, bfloat16=["x"]))["x"]).sum() == 254


def test_bfloat16_rounds_to_nearest_even():
    one, ulp = 1.0, 2.0**-7
    x = np.array([one + ulp / 2, one + 1.5 * ulp, one + 0.499 * ulp, one + 0.501 * ulp, 3.4e38, -3.4e38, 1e300])
    want = [one, one + 2 * ulp, one, one + ulp, np.inf, -np.inf, np.inf]
    tensors = {"x": x, "kept": x}
    loaded = safetensors.load(safetensors.save(tensors, bfloat16=["x"]))
    np.testing.assert_array_equal(loaded["x"], np.array(want, np.float32))
    np.testing.assert_array_equal(loaded["kept"], x)
    assert loaded["kept"].dtype == np.float64


def test_bfloat16_keeps_shape_and_sorts_between_the_16_bit_types():
    tensors = {"z": np.float16([1]), "b": np.float32([[2.0]]), "a": np.zeros((), np.float32), "u": np.uint16([9])}
    data = safetensors.save(tensors, bfloat16={"a", "b"})
    names = list(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))
    assert names == ["a", "b", "z", "u"]
    assert safetensors.load(data)["b"].shape == (1, 1)
    assert safetensors.load(data)["a"].shape == ()


@pytest.mark.parametrize(("name", "fragment"), [("ids", "only floats"), ("missing", "no tensor 'missing'")])
def test_bfloat16_of_what_cannot_be(sample, name, fragment):
    with pytest.raises(CheckpointError, match=fragment):
        safetensors.save(sample, bfloat16=[name])


# Memory ----------------------------------------------------------------------------------------------------


def test_writing_into_a_loaded_array_never_changes_the_file(tmp_path, sample):
    path = tmp_path / "model.safetensors"
    safetensors.save_file(sample, path)
    before = path.read_bytes()
    one, two = safetensors.load_file(path), safetensors.load_file(path)
    for array in one.values():
        array[...] = 1
    np.testing.assert_array_equal(two["encoder.weight"], sample["encoder.weight"])
    np.testing.assert_array_equal(one["encoder.weight"], 1)
    del one, two
    gc.collect()
    assert path.read_bytes() == before


def test_loading_from_bytes_does_not_share_them(sample):
    data = safetensors.save(sample)
    kept = bytes(bytearray(data))
    safetensors.load(data)["encoder.weight"][...] = 0
    assert data == kept


def test_arrays_outlive_the_file_and_its_replacement(tmp_path, sample, same):
    path = tmp_path / "model.safetensors"
    safetensors.save_file(sample, path)
    loaded = safetensors.load_file(path)
    if os.name == "nt":
        pytest.skip("Windows does not replace a mapped file")
    safetensors.save_file({name: array * 0 for name, array in sample.items()}, path)
    same(loaded, sample)
    safetensors.save_file(loaded, path)  # onto the file from which others are mapped
    same(safetensors.load_file(path), sample)
    path.unlink()
    same(loaded, sample)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_mapping_60_megabytes_costs_nothing_until_touched(tmp_path, craft):
    path = tmp_path / "large.safetensors"
    count, size = 60, 1_000_000
    header = {
        f"t{i}": {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]}
        for i in range(count)
    }
    raw = json.dumps(header).encode()
    path.write_bytes(craft(raw + b" " * (-len(raw) % 8)))
    os.truncate(path, path.stat().st_size + count * size)

    def growth(mmap):
        gc.collect()
        tracemalloc.start()
        before = resident_bytes()
        tensors = safetensors.load_file(path, mmap=mmap)
        after = resident_bytes()
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(tensors) == count
        return after - before, traced

    mapped, read = growth(True), growth(False)
    assert mapped[0] < 5e6
    assert mapped[1] < 1e6
    assert read[0] > 50e6  # so the measurement can see what it says is absent
    assert 59e6 < read[1] < 63e6  # one copy, not two
