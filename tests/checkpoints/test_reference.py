"""The same bytes and the same numbers as safetensors, torch and transformers; needs the extra ``reference``."""

import json
import os

import numpy as np
import pytest

from bert_numpy.checkpoints import CheckpointError, bfloat16, key_mapping, load_checkpoint, safetensors, save_sharded

pytestmark = pytest.mark.reference


# Imported by fixtures, because importing torch takes seconds and the default run only collects this file.
@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def transformers(torch):
    return pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def official():
    return pytest.importorskip("safetensors")


@pytest.fixture(scope="session")
def official_numpy():
    return pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="session")
def official_torch(torch):
    return pytest.importorskip("safetensors.torch")


DTYPES = ["?", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "c8", "f8", "i8", "u8"]
# Names whose order and escaping could differ: code points, quotes, control characters, lines, the empty name.
NAMES = ["z", "Z", "a.10", "a.9", 'quo"te\\', "tab\tnew\nline\r\x00\x1f\x7f", "é", "\u2028", "\uffff", "😀", ""]


def tensors_of_every_kind():
    rng = np.random.default_rng(5)
    shapes = [(2, 3), (), (0, 4), (7,)]
    return {
        f"{name}{code}": rng.integers(0, 2, shapes[(i + j) % 4]).astype(code)
        for i, name in enumerate(NAMES)
        for j, code in enumerate(DTYPES)
    }


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {'k"é\n': "v\x00\u2028"}])
def test_the_same_bytes_as_the_official_writer(official_numpy, metadata):
    tensors = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in tensors_of_every_kind().items()}
    assert safetensors.save(tensors, metadata) == official_numpy.save(tensors, metadata)


def test_the_same_file_as_the_official_writer(official_numpy, tmp_path, sample):
    safetensors.save_file(sample, tmp_path / "ours")
    official_numpy.save_file(sample, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_same_bytes_with_bfloat16(torch, official_torch):
    rng = np.random.default_rng(6)
    tensors = {
        "a": rng.normal(size=(4, 5)).astype(np.float32),
        "b": rng.normal(size=3).astype(np.float16),
        "c": rng.normal(size=3).astype(np.float32),
        "u": np.array([1, 2], np.uint16),
        "s": np.float64(rng.normal()),
    }
    theirs = {name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}
    theirs["a"], theirs["s"] = theirs["a"].bfloat16(), theirs["s"].bfloat16()
    assert safetensors.save(tensors, bfloat16=["a", "s"]) == official_torch.save(theirs)


def test_the_official_reader_reads_ours_and_the_reverse(official_numpy, tmp_path, same):
    tensors = tensors_of_every_kind()
    safetensors.save_file(tensors, tmp_path / "ours")
    same(official_numpy.load_file(tmp_path / "ours"), tensors)
    same(official_numpy.load(safetensors.save(tensors)), tensors)
    official_numpy.save_file(tensors, tmp_path / "theirs")
    for mmap in (True, False):
        same(safetensors.load_file(tmp_path / "theirs", mmap=mmap), tensors)


def test_bfloat16_agrees_with_torch_on_every_pattern_and_on_random_floats(torch, official_torch, tmp_path):
    every = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    official_torch.save_file({"x": every}, tmp_path / "x")
    ours = safetensors.load_file(tmp_path / "x")["x"]
    np.testing.assert_array_equal(ours.view(np.uint32), every.float().numpy().view(np.uint32))

    rng = np.random.default_rng(8)
    single = np.frombuffer(rng.bytes(4_000_000), np.float32)
    single = np.concatenate([single, np.array([0, -0.0, np.inf, -np.inf, 3.4e38, 1e-45], np.float32)])
    theirs = torch.from_numpy(single).bfloat16().view(torch.uint16).numpy()
    live = ~np.isnan(single)
    np.testing.assert_array_equal(bfloat16.narrow(single)[live], theirs[live])
    assert np.isnan(bfloat16.widen(bfloat16.narrow(single))[~live]).all()

    double = rng.normal(size=100_000) * 10.0 ** rng.integers(-40, 40, 100_000)
    theirs = torch.from_numpy(double).bfloat16().view(torch.uint16).numpy()
    np.testing.assert_array_equal(bfloat16.narrow(double), theirs)


def test_damaged_files_that_load_here_load_there_equally(official_numpy, sample, same):
    """This reader is the stricter one: what it accepts, the official one reads as the same tensors."""
    data = safetensors.save(sample, {"format": "pt"})
    header = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(12)
    accepted = 0
    for _ in range(5000):
        damaged = bytearray(data)
        damaged[int(rng.integers(header))] = int(rng.integers(32, 127))
        try:
            ours = safetensors.load(bytes(damaged))
        except CheckpointError:
            continue
        accepted += 1
        same(official_numpy.load(bytes(damaged)), ours)
    assert accepted > 100


# transformers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(torch, transformers):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=32, num_attention_heads=4, intermediate_size=37, num_hidden_layers=3
    )
    return transformers.BertForPreTraining(config).eval()


def state(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("limit", ["1GB", "20KB"], ids=["one file", "shards"])
def test_a_folder_written_by_transformers_loads(tmp_path, model, same, limit):
    model.save_pretrained(tmp_path, max_shard_size=limit)
    assert (tmp_path / "model.safetensors.index.json").exists() == (limit == "20KB")
    mapped, ignored = key_mapping.to_expected(load_checkpoint(tmp_path), state(model).keys())
    assert ignored == []
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    same(mapped, {name: array for name, array in state(model).items() if name in mapped})
    assert set(state(model)) - set(mapped) <= tied


@pytest.mark.parametrize("limit", [10**9, 20_000], ids=["one file", "shards"])
def test_a_folder_written_here_loads_in_transformers(transformers, official, tmp_path, model, same, limit):
    model.config.save_pretrained(tmp_path)
    written = save_sharded(state(model), tmp_path, max_shard_size=limit)
    assert (len(written) > 1) == (limit == 20_000)
    loaded, info = transformers.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    same(state(loaded), state(model))

    found = {}
    for name in written:
        if name.endswith(".safetensors"):
            with official.safe_open(os.path.join(tmp_path, name), "np") as file:
                found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    same(found, state(model))


def test_the_index_equals_that_of_transformers(tmp_path, model):
    """But for the numbering of shards: transformers moves a tensor that is too large by itself to the front."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    model.save_pretrained(tmp_path / "theirs", max_shard_size="70KB")
    theirs = load_checkpoint(tmp_path / "theirs")
    in_model_order = {name: theirs[name] for name in state(model) if name in theirs}
    save_sharded(in_model_order, tmp_path / "ours", max_shard_size=70_000)
    a, b = (json.loads((tmp_path / side / "model.safetensors.index.json").read_text()) for side in ("ours", "theirs"))
    assert a["metadata"] == b["metadata"]
    assert list(a["weight_map"]) == list(b["weight_map"])
    assert a["weight_map"] == b["weight_map"]


def test_old_names_reach_the_model(tmp_path, model, same):
    """The spelling of 2018: gamma and beta, position_ids, and the data-parallel prefix."""
    old = {
        "module." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): a
        for name, a in state(model).items()
    }
    old["module.bert.embeddings.position_ids"] = np.arange(512)[None]
    safetensors.save_file(old, tmp_path / "model.safetensors")
    mapped, ignored = key_mapping.to_expected(load_checkpoint(tmp_path), state(model).keys())
    assert ignored == ["module.bert.embeddings.position_ids"]
    same(mapped, state(model))
    bare, _ = key_mapping.to_expected(load_checkpoint(tmp_path), state(model.bert).keys())
    same({name: bare[name] for name in state(model.bert)}, state(model.bert))


@pytest.mark.parametrize(
    ("family", "config", "known_as"),
    [
        ("DistilBertModel", "DistilBertConfig", "DistilBERT"),
        ("AlbertModel", "AlbertConfig", "ALBERT"),
        ("ElectraForPreTraining", "ElectraConfig", "ELECTRA"),
        ("RobertaForMaskedLM", "RobertaConfig", "RoBERTa"),
        ("MobileBertModel", "MobileBertConfig", "MobileBERT"),
        ("MPNetModel", "MPNetConfig", "MPNet"),
        ("DebertaModel", "DebertaConfig", "DeBERTa"),
        ("DebertaV2Model", "DebertaV2Config", "DeBERTa"),
        ("ModernBertModel", "ModernBertConfig", "ModernBERT"),
        ("T5Model", "T5Config", "T5"),
        ("BartModel", "BartConfig", "BART"),
        ("GPT2Model", "GPT2Config", "GPT-2"),
        ("LlamaModel", "LlamaConfig", "LLaMA"),
    ],
)
def test_real_names_of_other_families_are_recognised(torch, transformers, family, config, known_as):
    with torch.device("meta"):  # names without weights
        names = getattr(transformers, family)(getattr(transformers, config)()).state_dict()
    found = key_mapping.foreign_family(names)
    assert found is not None
    assert known_as in found[0]


@pytest.mark.parametrize(
    "kind",
    ["Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification",
     "ForMultipleChoice", "ForTokenClassification", "ForQuestionAnswering"],
)  # fmt: skip
def test_real_names_of_bert_are_not_mistaken(transformers, model, kind):
    names = getattr(transformers, "Bert" + kind)(model.config).state_dict()
    assert key_mapping.foreign_family(names) is None
    mapped, ignored = key_mapping.to_expected(names, names.keys())
    assert mapped.keys() == names.keys()
    assert ignored == []
