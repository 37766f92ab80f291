"""From a path to a reader: files recognised by content, folders by what they hold."""

import gzip
import io
import json
import mmap
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from bert_numpy.checkpoints import (
    CheckpointError,
    CheckpointNotFoundError,
    load_checkpoint,
    load_file,
    safetensors,
    save_sharded,
    sniffing,
)


def zip_bytes(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 600)
    return buffer.getvalue()


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


FOREIGN = {
    "torch-zip": (zip_bytes("archive/data.pkl"), ""),
    "empty zip": (zip_bytes(), "zip archive"),
    "torch-legacy": (pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2), ""),
    "torch-tar": (tar_bytes(), "tar archive"),
    "tensorflow-index": (bytes(600) + bytes.fromhex("57fb808b247547db"), "TensorFlow"),
    "gzip": (gzip.compress(b"weights" * 9), "gzip"),
    "web page": (b"\n <!DOCTYPE html><html><body>404</body></html>", "web page"),
    "bare web page": (b"<HTML>" + b" " * 600, "web page"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 440449768\n", "Git LFS pointer"),
    "empty": (b"", "empty file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_refused_by_name(tmp_path, kind):
    data, fragment = FOREIGN[kind]
    path = tmp_path / "model.safetensors"  # the name promises something else
    path.write_bytes(data)
    for load in (safetensors.load_file, safetensors.read_header):
        with pytest.raises(CheckpointError, match=rf"model\.safetensors: this is an? .*{fragment}.*; \w+"):
            load(path)
    for load in (load_file, load_checkpoint):  # which know readers for some of them
        with pytest.raises(CheckpointError, match=r"model\.safetensors: ") as error:
            load(path)
        assert fragment in str(error.value)


def test_json_that_is_no_index(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"hidden_size": 768}))
    with pytest.raises(CheckpointError, match=r"config\.json: this JSON is no index"):
        load_file(path)
    with pytest.raises(CheckpointError, match="this is JSON text; pass the weight file"):
        safetensors.load_file(path)


def test_a_safetensors_file_under_any_name(tmp_path, sample, same):
    for name in ("pytorch_model.bin", "weights", "x.index.json"):
        safetensors.save_file(sample, tmp_path / name)
        same(load_file(tmp_path / name), sample)
        same(load_checkpoint(tmp_path / name), sample)


@pytest.mark.parametrize("first", [0x80, 0x1F, ord("{"), ord("P"), ord("<")])
def test_a_header_length_that_looks_like_another_format(tmp_path, first):
    """The length decides the first byte; the writer's padding is stretched until it is the wanted one."""
    raw = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    raw += b" " * ((first - len(raw)) % 256)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + b"\x05")
    assert path.read_bytes()[0] == first
    assert load_file(path)["a"] == [5]
    for size in (4, 8, 9, 30):  # and a fragment of it is called a fragment
        path.write_bytes((len(raw).to_bytes(8, "little") + raw)[:size])
        with pytest.raises(CheckpointError, match="cut off"):
            load_file(path)


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(getattr(array, "obj", array), mmap.mmap)


@pytest.mark.parametrize("limit", [60, 10**6], ids=["shards", "one file"])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_caller_decides_about_mapping(tmp_path, sample, limit, wanted):
    first = save_sharded(sample, tmp_path, max_shard_size=limit)[-1]
    for tensors in (load_checkpoint(tmp_path, mmap=wanted), load_file(tmp_path / first, mmap=wanted)):
        assert is_mapped(tensors["encoder.weight"]) == wanted
    assert is_mapped(load_checkpoint(tmp_path)["encoder.weight"])


def test_a_data_section_that_ends_like_a_tensorflow_index(tmp_path):
    magic = np.frombuffer(bytes.fromhex("57fb808b247547db"), np.uint8)
    safetensors.save_file({"a": magic}, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "model.safetensors")["a"], magic)


def test_kinds_have_distinct_names():
    kinds = [value for value in vars(sniffing).values() if isinstance(value, sniffing.FileKind)]
    assert len({kind.name for kind in kinds}) == len(kinds) == 11


# Folders ---------------------------------------------------------------------------------------------------


def test_one_file_is_preferred_to_shards(tmp_path, sample, same):
    save_sharded({"other": np.zeros(3), "more": np.zeros(3)}, tmp_path, max_shard_size=24)
    assert load_checkpoint(tmp_path).keys() == {"other", "more"}
    safetensors.save_file(sample, tmp_path / "model.safetensors")
    same(load_checkpoint(tmp_path), sample)


def test_folder_without_weights(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"no model\.safetensors, .* or TensorFlow checkpoint$"):
        load_checkpoint(tmp_path)
    (tmp_path / "tf_model.h5").touch()
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(CheckpointNotFoundError, match=r"TensorFlow checkpoint; it holds 'tf_model\.h5'$"):
        load_checkpoint(tmp_path)


def test_a_broken_link_is_not_passed_over(tmp_path):
    save_sharded({"a": np.zeros(3), "b": np.zeros(3)}, tmp_path, max_shard_size=24)
    try:
        (tmp_path / "model.safetensors").symlink_to(tmp_path / "absent")
    except OSError:
        pytest.skip("no symbolic links here")
    with pytest.raises(CheckpointNotFoundError, match="the link points nowhere"):
        load_checkpoint(tmp_path)


def test_path_that_does_not_exist(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="nowhere: cannot be read: no such file or folder"):
        load_checkpoint(tmp_path / "nowhere")
