"""Files of ``torch.save`` in both forms, assembled by hand: every dtype, view, order and nesting that is read."""

import re
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch_files as tf

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, bfloat16, torch_pickle


@pytest.fixture
def load(tmp_path):
    """Write the bytes to a file and load it, mapped and read; both must agree. Returns the mapped arrays."""

    def write_and_load(data):
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(data)
        read, mapped = (torch_pickle.load_file(path, mmap=mmap) for mmap in (False, True))
        assert list(read) == list(mapped)
        for name, array in mapped.items():
            assert (array.dtype, array.shape, array.tobytes()) == (
                read[name].dtype,
                read[name].shape,
                read[name].tobytes(),
            )
            for loaded in (array, read[name]):
                assert loaded.flags.writeable
                assert loaded.flags.aligned
                assert loaded.dtype.isnative
        assert path.read_bytes() == data
        return mapped

    return write_and_load


form = pytest.mark.parametrize("form", tf.FORMS)
VIEW = np.arange(6, dtype=np.float32)


@form
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_dtype(form, byteorder, load, same):
    rng = np.random.default_rng(3)
    arrays = {}
    for index, code in enumerate(tf.KINDS):
        values = rng.integers(0, 2 if code == "b1" else 100, [(3, 2), (), (5,), (1, 1, 3)][index % 4])
        arrays[code] = values.astype(code)
    arrays |= {"nan": np.array([np.nan, np.inf, -0.0], np.float32), "empty": np.zeros((0, 4), np.float16)}
    loaded = load(tf.torch_file(form, arrays, byteorder))
    same(loaded, arrays)
    assert list(loaded) == list(arrays)


@form
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bfloat16_is_widened_exactly(form, byteorder, load, same):
    bits = np.arange(0, 65536, 7, dtype=np.uint16).reshape(-1, 1)
    loaded = load(tf.torch_file(form, {"a": bits, "b": np.zeros((0, 2), np.uint16)}, byteorder, bfloat16=("a", "b")))
    same(loaded, {"a": bfloat16.widen(bits), "b": np.zeros((0, 2), np.float32)})


@pytest.mark.parametrize("code", ["u2", "u4", "u8"])
def test_dtypes_without_a_storage_class(code, load, same):
    array = np.array([1, 200, 65535], code)
    for form in tf.FORMS:
        stored = tf.storage(form, "Untyped", array.nbytes)
        arguments = [stored, b"K\0", b"K\3\x85", b"K\1\x85", b"\x89", tf.ORDERED]
        dtype = tf.name("torch", f"uint{8 * array.itemsize}")
        value = tf.name("torch._utils", "_rebuild_tensor_v3") + tf.tuple_of(*arguments, dtype) + b"R"
        same(load(tf.one_tensor(form, tf.mapping({"a": value}), array.tobytes(), array.nbytes)), {"a": array})


@form
@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((2, 3), (3, 1), 0, VIEW.reshape(2, 3)),
        ((3, 2), (1, 3), 0, VIEW.reshape(2, 3).T),
        ((2, 2), (3, 1), 1, VIEW.reshape(2, 3)[:, 1:]),
        ((3,), (2,), 1, VIEW[1::2]),
        ((), (), 5, VIEW[5]),
        ((1, 1), (2**40, 2**62), 5, VIEW[5:].reshape(1, 1)),  # a stride that is never taken
        ((0,), (1,), 0, VIEW[:0]),
        ((2, 0, 3), (0, 0, 0), 99, VIEW[:0].reshape(2, 0, 3)),
        ((4, 2), (0, 1), 2, np.tile(VIEW[2:4], (4, 1))),  # expanded
        ((4, 3), (1, 1), 0, np.stack([VIEW[i : i + 3] for i in range(4)])),  # windows
        ((1,) * 32, (1,) * 32, 3, VIEW[3].reshape((1,) * 32)),
    ],
)
def test_views(form, shape, strides, offset, expected, load):
    stored = tf.storage(form, "Float", 6)
    loaded = load(tf.one_tensor(form, tf.mapping({"a": tf.tensor(stored, shape, strides, offset)})))
    np.testing.assert_array_equal(loaded["a"], expected)
    assert loaded["a"].shape == shape


@form
def test_updating_a_view_that_meets_itself_goes_right(form, load):
    """Such a view is copied: in place, the elements of [0, 1, 2] seen twice would be updated twice."""
    value = tf.mapping({"a": tf.tensor(tf.storage(form, "Float", 6), (4, 3), (1, 1))})
    array = load(tf.one_tensor(form, value))["a"]
    expected = array + 1
    array += 1
    np.testing.assert_array_equal(array, expected)


@form
@pytest.mark.parametrize("kind", ["Float", "BFloat16"])
def test_tied_weights_share_memory(form, kind, load):
    stored = tf.storage(form, kind, 6)
    both = {"a": tf.tensor(stored, (2, 3)), "b": tf.tensor(stored, (3, 2), (1, 3)), "c": tf.tensor(stored, (2,))}
    loaded = load(tf.one_tensor(form, tf.mapping(both), bytes(12 if kind == "BFloat16" else 24)))
    loaded["a"][1, 0] = 7
    assert loaded["b"][0, 1] == 7
    assert np.shares_memory(loaded["a"], loaded["c"])


def test_parts_of_a_storage_of_the_first_releases(load):
    part = tf.storage("stream", "Float", 6, view=("1", 2, 3))
    value = tf.mapping({"a": tf.tensor(part, (2,), offset=1), "b": tf.tensor(tf.storage("stream", "Float", 6), (6,))})
    loaded = load(tf.one_tensor("stream", value))
    np.testing.assert_array_equal(loaded["a"], VIEW[3:5])
    assert np.shares_memory(loaded["a"], loaded["b"])


@form
def test_the_older_rebuild_function_and_parameters(form, load):
    arguments = tf.tuple_of(tf.storage(form, "Float", 6), b"K\0", tf.numbers([6]), tf.numbers([1]))
    old = tf.name("torch._utils", "_rebuild_tensor") + arguments + b"R"
    parameter = tf.name("torch._utils", "_rebuild_parameter") + tf.tuple_of(old, b"\x88", tf.ORDERED) + b"R"
    loaded = load(tf.one_tensor(form, tf.mapping({"a": parameter})))
    np.testing.assert_array_equal(loaded["a"], VIEW)


@form
def test_dicts_as_python_2_wrote_them(form, load):
    """Text as byte strings, and an OrderedDict from pairs."""
    stored = tf.tensor(tf.storage(form, "Float", 6), (6,))
    pairs = tf.tuple_of(tf.list_of(tf.list_of(b"U\x01a", stored)))
    loaded = load(tf.one_tensor(form, tf.name("collections", "OrderedDict") + pairs + b"R"))
    np.testing.assert_array_equal(loaded["a"], VIEW)


@form
def test_the_metadata_of_a_state_dict_are_dropped(form, load):
    metadata = tf.mapping({"_metadata": tf.mapping({"": tf.mapping({"version": b"K\1"})}, tf.ORDERED)})
    state = tf.mapping({"a": tf.tensor(tf.storage(form, "Float", 6), (6,))}, tf.ORDERED) + metadata + b"b"
    assert list(load(tf.one_tensor(form, state))) == ["a"]


PLAIN = {
    "epoch": b"K\3",
    "loss": b"G?\xf0\0\0\0\0\0\0",
    "history": tf.list_of(b"K\1", b"N", b"\x88"),
    "far": tf.number(-(2**70)),
    "sets": b"\x8f",
    "new": tf.name("collections", "OrderedDict") + b")\x81",
    "steps": tf.mapping([(b"K\1", tf.text("one")), (b"J\xff\xff\xff\xff", b"M\0\1")]),
}


@form
@pytest.mark.parametrize(
    "outer", [[], ["model"], ["module"], ["state_dict"], ["model_state_dict"], ["model", "module"]]
)
def test_training_checkpoints(form, outer, load):
    """The tensors of the model are found; counters, lists, settings, optimizer and random state are passed over."""
    stored = tf.tensor(tf.storage(form, "Float", 6), (6,))
    state = tf.mapping({"module.LayerNorm.gamma": stored, **PLAIN})
    for key in reversed(outer):
        state = tf.mapping({"optimizer": tf.mapping({"exp_avg": stored}), "rng_state": stored, key: state, **PLAIN})
    assert list(load(tf.one_tensor(form, state))) == ["module.LayerNorm.gamma"]


@form
def test_a_setting_called_model_does_not_hide_the_weights(form, load):
    stored = tf.tensor(tf.storage(form, "Float", 6), (6,))
    state = tf.mapping({"model": tf.mapping({"name": tf.text("bert")}), "state_dict": b"N", "a": stored})
    assert list(load(tf.one_tensor(form, state))) == ["a"]


def test_archives_zipped_again(load, same, tmp_path):
    """Compressed, with folders, under another name, without byteorder, with what a Mac adds."""
    arrays = {"a": np.arange(1000.0), "b": np.zeros(300, np.int16)}
    extra = [("other/", b""), ("other/data/", b""), ("__MACOSX/other/data/._0", b"x")]
    for byteorder in (None, "little"):
        same(
            load(tf.torch_file("zip", arrays, byteorder or "little", root="other", compress=True, extra=extra)), arrays
        )
    value = tf.mapping({"a": tf.tensor(tf.storage("zip", "Float", 6), (6,))})
    np.testing.assert_array_equal(load(tf.one_tensor("zip", value, byteorder=None))["a"], VIEW)


def test_a_directory_with_64_bit_numbers(load, tmp_path, monkeypatch):
    """As archives beyond 4 GB have them; zipfile writes such a small one if its limit is lowered."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    value = tf.mapping({"a": tf.tensor(tf.storage("zip", "Float", 6), (6,))})
    data = tf.one_tensor("zip", value)
    assert b"PK\x06\x06" in data
    np.testing.assert_array_equal(load(data)["a"], VIEW)


def test_an_archive_with_a_comment(load, tmp_path):
    path = tmp_path / "commented.zip"
    path.write_bytes(tf.one_tensor("zip", tf.mapping({"a": tf.tensor(tf.storage("zip", "Float", 6), (6,))})))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06 is how the end begins"
    np.testing.assert_array_equal(load(path.read_bytes())["a"], VIEW)


def test_aligned_storages_are_mapped_and_nothing_is_copied(tmp_path):
    array = np.arange(1 << 18, dtype=np.float32)
    path = tmp_path / "model.bin"
    path.write_bytes(tf.torch_file("zip", {"a": array}))
    tracemalloc.start()
    try:
        mapped = torch_pickle.load_file(path)["a"]
        assert tracemalloc.get_traced_memory()[1] < 300_000
        read = torch_pickle.load_file(path, mmap=False)["a"]
        assert tracemalloc.get_traced_memory()[1] < array.nbytes + 300_000
    finally:
        tracemalloc.stop()
    mapped += 1  # on a copy of the page, not in the file
    np.testing.assert_array_equal(torch_pickle.load_file(path)["a"], array)
    np.testing.assert_array_equal(read, array)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="no such file"):
        torch_pickle.load_file(tmp_path / "absent.bin")
    with pytest.raises(CheckpointError, match="this is a folder"):
        torch_pickle.load_file(tmp_path)


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (b"", "an empty file"),
        (b"x" * 100, "a file of no known kind, a file of torch.save was wanted"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x02" + bytes(7) + b"{}", "this is a safetensors file"),
        (b"a" * 257 + b"ustar" + b"\0" * 250, "a tar archive"),
    ],
)
def test_files_of_other_kinds(data, fragment, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(fragment)):
        torch_pickle.load_file(path)


# Against PyTorch itself


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def saved_states(torch):
    """State dicts as programs make them."""
    generator = torch.Generator().manual_seed(5)
    matrix = torch.randn(7, 5, generator=generator)
    names = (
        "float64 float32 float16 bfloat16 complex64 complex128 int64 int32 int16 int8 uint8 uint16 uint32 uint64 bool"
    )
    linear = torch.nn.Linear(4, 3)
    parallel = torch.nn.DataParallel(torch.nn.Sequential(linear, torch.nn.LayerNorm(3)))
    optimizer = torch.optim.AdamW(parallel.parameters())
    parallel(torch.zeros(2, 4)).sum().backward()
    optimizer.step()
    training = {"epoch": 3, "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "loss": [0.5, None]}
    return {
        "dtypes": {n: (10 * matrix.abs()).to(getattr(torch, n)) for n in names.split()},
        "views": {
            "transposed": matrix.t(),
            "sliced": matrix[1::2, 2:4],
            "expanded": matrix[:1].expand(3, 5),
            "windows": matrix.flatten().unfold(0, 4, 2),
            "scalar": matrix[3, 3],
            "empty": matrix[:0],
            "whole": matrix,
        },
        "tied": {"a": matrix, "b": matrix, "parameter": torch.nn.Parameter(matrix)},
        "one bfloat16": {"a": matrix.bfloat16().t(), "b": matrix.bfloat16()},
        "module": linear.state_dict(),
        "parallel": parallel.state_dict(),
        "model": {**training, "model": parallel.state_dict()},
        "state_dict": {**training, "state_dict": linear.state_dict()},
        "model_state_dict": {**training, "model_state_dict": linear.state_dict()},
    }


def as_numpy(torch, value):
    return (value.float() if value.dtype is torch.bfloat16 else value).detach().numpy()


STATES = ["dtypes", "views", "tied", "one bfloat16", "module", "parallel", *torch_pickle.MODEL_KEYS[:3]]


@pytest.mark.reference
@form
@pytest.mark.parametrize("state", STATES)
def test_equal_to_torch_load(state, form, torch, tmp_path, same):
    path = tmp_path / "pytorch_model.bin"
    value = saved_states(torch)[state]
    if form == "stream":  # which PyTorch writes with these dtypes, but cannot read
        value = {name: tensor for name, tensor in value.items() if name not in ("uint16", "uint32", "uint64")}
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    expected = torch.load(path, weights_only=True)
    expected = {key: as_numpy(torch, value) for key, value in expected.get(state, expected).items()}
    for mmap in (True, False):
        same(torch_pickle.load_file(path, mmap=mmap), expected)


@pytest.mark.reference
def test_torch_reads_the_assembled_files_alike(torch, tmp_path, same):
    """So the assembler means what PyTorch means; the byte order noted in a stream is ignored by both."""
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3)}
    for form, byteorder in [("zip", "little"), ("zip", "big"), ("stream", "little"), ("stream", "big")]:
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(tf.torch_file(form, arrays, byteorder))
        expected = {key: value.numpy() for key, value in torch.load(path, weights_only=True).items()}
        same(torch_pickle.load_file(path), expected)
        same(expected, arrays)


@pytest.mark.reference
@form
def test_a_published_model_with_its_old_names(form, torch, tmp_path, same):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = transformers.BertConfig(**sizes, intermediate_size=37, max_position_embeddings=40)
    state = transformers.BertForPreTraining(config).state_dict()
    old = [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")]
    state = {name.replace(*old[0]).replace(*old[1]): value for name, value in state.items()}
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    loaded = torch_pickle.load_file(path)
    same(loaded, {name: value.numpy() for name, value in state.items()})
    tied = ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight")
    assert np.shares_memory(loaded[tied[0]], loaded[tied[1]])


@pytest.mark.reference
@form
def test_a_whole_module_and_a_conjugate_are_refused(form, torch, tmp_path):
    path = tmp_path / "model.bin"
    for value, fragment in [
        (torch.nn.Linear(2, 2), "a whole module; save the state_dict instead"),
        ({"a": torch.zeros(2, dtype=torch.complex64).conj()}, "the tensor has the metadata {'conj': True}"),
        ({"a": torch.zeros(2).to(torch.float8_e5m2)}, "is torch.float8_e5m2, which NumPy lacks"),
        (torch.zeros(2), "found a tensor; save the state_dict"),
    ]:
        torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
        with pytest.raises(CheckpointError, match=re.escape(fragment)):
            torch_pickle.load_file(path)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(torch, tmp_path):
    path = tmp_path / "model.bin"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    with pytest.raises(CheckpointError, match="TorchScript archive"):
        torch_pickle.load_file(path)
