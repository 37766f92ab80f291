"""Sharded checkpoints: written, read, and every way in which index and shards can disagree."""

import errno
import json
import os

import numpy as np
import pytest

from bert_numpy.checkpoints import (
    CheckpointError,
    CheckpointNotFoundError,
    load_checkpoint,
    load_sharded,
    safetensors,
    save_sharded,
    sharded,
)

INDEX = "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def folder(tmp_path):
    """A sound checkpoint of two shards, ``a`` and ``b`` in the first and ``c`` in the second."""
    tensors = {"a": np.arange(2.0), "b": np.arange(1.0), "c": np.arange(3.0)}
    assert save_sharded(tensors, tmp_path, max_shard_size=24) == [*SHARDS, INDEX]
    return tmp_path


def edit(folder, change):
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))


def test_round_trip(tmp_path, sample, same):
    written = save_sharded(sample, tmp_path, max_shard_size=60)
    assert sorted(os.listdir(tmp_path)) == sorted(written)
    same(load_sharded(tmp_path / INDEX), sample)
    same(load_checkpoint(tmp_path), sample)
    same(load_checkpoint(str(tmp_path), mmap=False), sample)
    for shard in written[:-1]:
        header = safetensors.read_header(tmp_path / shard)
        assert header.metadata == {"format": "pt"}
        sizes = [info.end - info.begin for info in header.tensors.values()]
        assert sum(sizes) <= 60 or len(sizes) == 1


def test_the_index_exactly(folder):
    assert (folder / INDEX).read_text(encoding="utf-8") == (
        '{\n  "metadata": {\n    "total_parameters": 6,\n    "total_size": 48\n  },\n  "weight_map": {\n'
        f'    "a": "{SHARDS[0]}",\n    "b": "{SHARDS[0]}",\n    "c": "{SHARDS[1]}"\n  }}\n}}\n'
    )


@pytest.mark.parametrize(
    ("limit", "groups"),
    [
        (1, [["a"], ["b"], ["c"], ["d"]]),
        (16, [["a"], ["b"], ["c"], ["d"]]),
        (24, [["a", "b"], ["c"], ["d"]]),
        (32, [["a", "b"], ["c", "d"]]),
        (55, [["a", "b", "c"], ["d"]]),
        (56, [["a", "b", "c", "d"]]),
    ],
)
def test_shards_are_filled_in_order(limit, groups):
    assert sharded._split({"a": 16, "b": 8, "c": 24, "d": 8}, limit) == groups


def test_what_fits_one_file_becomes_one(tmp_path, sample, same):
    assert save_sharded(sample, tmp_path) == ["model.safetensors"]
    assert os.listdir(tmp_path) == ["model.safetensors"]
    same(load_checkpoint(tmp_path), sample)


def test_bfloat16_halves_the_sizes(tmp_path):
    tensors = {"a": np.float32([1, 2]), "b": np.float32([3, 4])}
    assert save_sharded(tensors, tmp_path, max_shard_size=8, bfloat16=tensors) == ["model.safetensors"]
    assert save_sharded(tensors, tmp_path / os.curdir, max_shard_size=8, bfloat16=["a", "b"]) == ["model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    save_sharded(tensors, tmp_path, max_shard_size=4, bfloat16=["a"])
    assert json.loads((tmp_path / INDEX).read_text())["metadata"]["total_size"] == 12
    assert load_checkpoint(tmp_path)["a"].tolist() == [1, 2]
    assert safetensors.read_header(tmp_path / SHARDS[0]).tensors["a"].dtype == "BF16"


@pytest.mark.parametrize("limit", [0, -1])
def test_impossible_limit(tmp_path, sample, limit):
    with pytest.raises(CheckpointError, match="max_shard_size must be at least 1"):
        save_sharded(sample, tmp_path, max_shard_size=limit)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("existing", ["model.safetensors", INDEX])
def test_a_folder_with_a_checkpoint_is_refused(tmp_path, sample, existing):
    (tmp_path / existing).write_bytes(b"kept")
    with pytest.raises(CheckpointError, match="is there already"):
        save_sharded(sample, tmp_path, max_shard_size=60)
    assert os.listdir(tmp_path) == [existing]
    assert (tmp_path / existing).read_bytes() == b"kept"


def test_bad_tensors_are_refused_before_the_first_shard(tmp_path, sample):
    with pytest.raises(CheckpointError, match="has dtype object"):
        save_sharded({**sample, "z": np.array([None])}, tmp_path, max_shard_size=60)
    assert os.listdir(tmp_path) == []


def test_failure_at_a_later_shard_leaves_nothing(tmp_path, sample, monkeypatch):
    real, names = os.replace, []

    def full_at_the_third(source, target):
        names.append(os.path.basename(target))
        if len(names) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", full_at_the_third)
    with pytest.raises(CheckpointError, match="No space left"):
        save_sharded(sample, tmp_path, max_shard_size=60)
    assert len(names) == 3
    assert os.listdir(tmp_path) == []


# Reading what does not fit together ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "..", "", "/etc/x.safetensors", "sub/x.safetensors", "sub\\x.safetensors",
     "C:\\x.safetensors", "C:x.safetensors", "x.bin", "x\0.safetensors", "x\n.safetensors", 1, None, ["x"]],
)  # fmt: skip
def test_shard_that_is_no_plain_name(folder, shard):
    edit(folder, lambda index: index["weight_map"].update(c=shard))
    with pytest.raises(CheckpointError, match="tensor 'c' is said to be in") as caught:
        load_checkpoint(folder)
    assert repr(shard) in str(caught.value)
    assert INDEX in str(caught.value)


def test_a_shard_outside_is_refused_even_if_it_is_there(folder):
    inner = folder / "inner"
    inner.mkdir()
    (inner / INDEX).write_text(json.dumps({"weight_map": {"a": f"../{SHARDS[0]}"}}))
    with pytest.raises(CheckpointError, match="plain name"):
        load_checkpoint(inner)


def test_missing_shards_are_listed(folder):
    (folder / SHARDS[1]).unlink()
    with pytest.raises(CheckpointError, match=f"missing 1 of 2 shards: '{SHARDS[1]}'"):
        load_checkpoint(folder)
    (folder / SHARDS[0]).unlink()
    with pytest.raises(CheckpointError, match=f"missing 2 of 2 shards: '{SHARDS[0]}', '{SHARDS[1]}'"):
        load_checkpoint(folder)


def test_tensor_listed_but_absent(folder):
    edit(folder, lambda index: index["weight_map"].update(ghost=SHARDS[1]))
    with pytest.raises(CheckpointError, match=f"{SHARDS[1]} lacks 'ghost'"):
        load_checkpoint(folder)


def test_tensor_present_but_not_listed(folder):
    edit(folder, lambda index: index["weight_map"].pop("b"))
    with pytest.raises(CheckpointError, match=f"{SHARDS[0]} holds 'b'"):
        load_checkpoint(folder)


def test_tensor_in_two_shards(folder):
    safetensors.save_file({"a": np.zeros(2), "c": np.zeros(3)}, folder / SHARDS[1])
    with pytest.raises(CheckpointError, match=f"{SHARDS[1]} holds 'a', not placed there"):
        load_checkpoint(folder)


def test_damaged_shard_is_named(folder):
    (folder / SHARDS[1]).write_bytes((folder / SHARDS[1]).read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f"{SHARDS[1]}: tensor 'c' ends"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "has no 'weight_map'"),
        (b"{}", "has no 'weight_map'"),
        (b'{"weight_map": {}}', "has no 'weight_map'"),
        (b'{"weight_map": []}', "has no 'weight_map'"),
        (b"\xef\xbb\xbf" + b'{"weight_map": {"a": "a.safetensors"}}', "byte-order mark"),
        (b'{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}', "the key 'a' appears twice"),
        (b'{"weight_map": {"\xff": "a.safetensors"}}', "not UTF-8"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_index(tmp_path, text, fragment):
    (tmp_path / INDEX).write_bytes(text)
    with pytest.raises(CheckpointError, match=fragment) as caught:
        load_sharded(tmp_path / INDEX)
    assert INDEX in str(caught.value)


def test_enormous_index_is_not_read(tmp_path):
    (tmp_path / INDEX).write_bytes(b"{")
    os.truncate(tmp_path / INDEX, 100_000_001)
    with pytest.raises(CheckpointError, match="100000001 bytes are too many for an index"):
        load_checkpoint(tmp_path)


def test_missing_index(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="no such file"):
        load_sharded(tmp_path / INDEX)
