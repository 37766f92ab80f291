"""One model in every form that BERT was published in loads to the same arrays, and converts to one folder."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_files import mapping, text, torch_file

from bert_numpy import BertForPreTraining, BertModel, BertTokenizer, models
from bert_numpy.checkpoints import CheckpointError, safetensors, save_sharded
from bert_numpy.cli import main
from bert_numpy.configuration import BertConfig
from bert_numpy.conversion import convert
from bert_numpy.hub import find_model

TENSORFLOW = Path(__file__).parent / "golden" / "tensorflow"
GOOGLE_CONFIG = {
    "vocab_size": 29,
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 10,
    "max_position_embeddings": 7,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(ord("a") + i) for i in range(24))]


@pytest.fixture
def google(tmp_path):
    """A folder as Google published them: what TensorFlow wrote, bert_config.json and vocab.txt."""
    folder = tmp_path / "uncased_L-2_H-6_A-3"
    folder.mkdir()
    for path in TENSORFLOW.glob("bert_model.ckpt.*"):
        shutil.copy(path, folder)
    (folder / "bert_config.json").write_text(json.dumps(GOOGLE_CONFIG))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture
def tiny(tmp_path):
    """A copy of the model that ships, and its tensors."""
    folder = tmp_path / "tiny"
    shutil.copytree(find_model("tiny-random"), folder)
    (folder / "reference.safetensors").unlink()
    return folder, safetensors.load_file(folder / "model.safetensors", mmap=False)


def old_names(tensors):
    """As the files of 2018 name LayerNorm."""
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
    }


@pytest.mark.parametrize("form", ["zip", "stream", "sharded", "nested"])
@pytest.mark.parametrize("class_name", ["BertModel", "BertForPreTraining", "BertForMaskedLM"])
def test_every_form_loads_to_the_same_model(form, class_name, tiny, batch_of_ids):
    folder, tensors = tiny
    model_class = getattr(models, class_name)
    expected = model_class.from_pretrained(folder)(batch_of_ids)[0]
    (folder / "model.safetensors").unlink()
    if form == "sharded":
        save_sharded(tensors, folder, max_shard_size=9000)
    elif form == "nested":
        inner = {f"module.{name}": array for name, array in old_names(tensors).items()}
        content = torch_file("zip", inner, wrap=lambda state: mapping([(text("state_dict"), state)]))
        (folder / "pytorch_model.bin").write_bytes(content)
    else:
        (folder / "pytorch_model.bin").write_bytes(torch_file(form, old_names(tensors)))
    model, info = model_class.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    np.testing.assert_array_equal(model(batch_of_ids)[0], expected)


@pytest.fixture
def batch_of_ids():
    return np.array([[2, 9, 12, 3], [2, 40, 41, 3]])


def test_google_s_folder_and_archive_load_what_tensorflow_was_given(google, tmp_path, batch_of_ids):
    stored = np.load(TENSORFLOW / "expected.npz")
    model, info = BertForPreTraining.from_pretrained(google, output_loading_info=True)
    assert not any(info.values())
    kernel = stored["bert_model.ckpt/bert/encoder/layer_1/intermediate/dense/kernel"]
    np.testing.assert_array_equal(model.bert.encoder.layer[1].intermediate.dense.weight.data, kernel.T)
    head = stored["bert_model.ckpt/cls/seq_relationship/output_weights"]
    np.testing.assert_array_equal(model.cls.seq_relationship.weight.data, head)

    archive = tmp_path / "uncased_L-2_H-6_A-3.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in google.iterdir():
            file.write(path, f"{google.name}/{path.name}")
    ids = batch_of_ids % 29
    for number, source in enumerate([google, google / "bert_model.ckpt", google / "bert_model.ckpt.index", archive]):
        written = convert(source, tmp_path / str(number))
        assert written[1:] == ("BertForPreTraining", model.num_parameters(), True, [])
        again = BertForPreTraining.from_pretrained(tmp_path / str(number))
        np.testing.assert_array_equal(again(ids)[0], model(ids)[0])
        tokenizer = BertTokenizer.from_pretrained(tmp_path / str(number))
        assert tokenizer("A b")["input_ids"] == [2, 5, 6, 3]


def test_case_follows_the_name_of_a_folder_that_says_nothing_else(google):
    assert BertTokenizer.from_pretrained(google).do_lower_case
    cased = google.rename(google.with_name("multi_cased_L-2_H-6_A-3"))
    assert not BertTokenizer.from_pretrained(cased).do_lower_case
    assert BertTokenizer.from_pretrained(cased, do_lower_case=True).do_lower_case


@pytest.mark.parametrize(
    ("dtype", "stored", "error"), [("f32", "F32", 0), ("f16", "F16", 5e-4), ("bf16", "BF16", 4e-3)]
)
def test_conversion_stores_the_dtype_that_was_asked_for(dtype, stored, error, tiny, tmp_path, capsys):
    folder, tensors = tiny
    target = tmp_path / "converted"
    assert main(["convert", str(folder), str(target), "--dtype", dtype]) == 0
    assert "BertForPreTraining of 9,027 parameters, with its tokenizer" in capsys.readouterr().out
    header = safetensors.read_header(target / "model.safetensors")
    assert {info.dtype for info in header.tensors.values()} == {stored}
    for name, array in safetensors.load_file(target / "model.safetensors").items():
        assert np.abs(array - tensors[name]).max() <= error * np.abs(tensors[name]).max()
    assert json.loads((target / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    assert "| parameters | 9,027 |" in (target / "README.md").read_text()
    assert BertTokenizer.from_pretrained(target)("to be")["input_ids"] == [2, 61, 62, 3]


@pytest.mark.parametrize("class_name", ["BertModel", "BertForTokenClassification", "BertForQuestionAnswering"])
def test_conversion_finds_the_class_of_a_checkpoint(class_name, make_model, tmp_path):
    make_model(class_name, dtype=np.float32).save_pretrained(tmp_path / "saved")
    assert convert(tmp_path / "saved", tmp_path / "converted").class_name == class_name


def test_conversion_refuses_what_it_would_damage_or_cannot_use(tiny, tmp_path, capsys):
    folder, tensors = tiny
    code = main(["convert", str(folder), str(folder)])
    assert code == 1
    assert "exists and is not an empty folder; choose another" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "nowhere"), str(tmp_path / "new")]) == 3
    assert main(["convert", str(folder), ""]) == 2
    assert main(["convert", str(folder), str(folder / "inside")]) == 1
    assert "lies inside" in capsys.readouterr().err
    for name in ("bert.embeddings.LayerNorm.weight", "cls.predictions.transform.dense.weight"):
        rest = {other: array for other, array in tensors.items() if other != name}
        safetensors.save_file(rest, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=f"not a whole BertForPreTraining: missing {re.escape(name)}"):
            convert(folder, tmp_path / "new")
    tensors["bert.pooler.dense.bias"][0] = 1e5
    safetensors.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"bert\.pooler\.dense\.bias holds numbers beyond the range of float16"):
        convert(folder, tmp_path / "new", "f16")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_failed_conversion_leaves_nothing(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BertTokenizer, "save_pretrained", full)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty: cannot be written: No space left on device"):
        convert(tiny[0], tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "empty"}


def test_nothing_is_invented_and_what_is_left_out_is_named(tiny, tmp_path, capsys):
    folder, tensors = tiny
    bare = {name: array for name, array in tensors.items() if "pooler" not in name and "cls.predictions" not in name}
    safetensors.save_file(bare, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}), encoding="utf-8")
    assert main(["convert", str(folder), str(tmp_path / "new")]) == 0
    assert "left out: cls.seq_relationship.bias, cls.seq_relationship.weight" in capsys.readouterr().err
    written = safetensors.load_file(tmp_path / "new" / "model.safetensors")
    assert {f"bert.{name}" for name in written} == {name for name in bare if name.startswith("bert.")}


def test_weights_that_are_not_finite_are_converted_with_a_warning(tiny, tmp_path):
    folder, tensors = tiny
    tensors["bert.pooler.dense.bias"][0] = np.nan
    safetensors.save_file(tensors, folder / "model.safetensors")
    with pytest.warns(UserWarning, match=r"bert\.pooler\.dense\.bias and 0 more hold NaN or infinity"):
        convert(folder, tmp_path / "new")


def test_a_model_is_converted_by_name(tmp_path):
    assert convert("tiny-random", tmp_path / "new").class_name == "BertForPreTraining"


def test_known_models_are_listed(capsys):
    assert main(["download", "--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "google-bert/bert-base-uncased" in names
    assert "uncased_L-12_H-768_A-12" in names
    assert main(["download"]) == 2
    assert main(["download", "nowhere"]) == 3


def test_offline_a_published_name_is_refused_with_the_places_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for load in (BertModel.from_pretrained, BertTokenizer.from_pretrained):
        with pytest.raises(FileNotFoundError, match=r"bert-base-uncased: not in weights/, .*HF_HUB_OFFLINE is set"):
            load("bert-base-uncased")


# head -> what is drawn afresh, and how many tensors stay unused, of the published bert-base-uncased
REPORTS = {
    "BertModel": ([], 8),
    "BertForPreTraining": ([], 0),
    "BertForMaskedLM": ([], 4),
    "BertForNextSentencePrediction": ([], 6),
    "BertForSequenceClassification": (["classifier.weight", "classifier.bias"], 8),
    "BertForTokenClassification": (["classifier.weight", "classifier.bias"], 10),
    "BertForQuestionAnswering": (["qa_outputs.weight", "qa_outputs.bias"], 10),
    "BertForMultipleChoice": (["classifier.weight", "classifier.bias"], 8),
}


@pytest.mark.parametrize("class_name", REPORTS)
def test_the_names_and_shapes_of_the_published_file_fit_every_head(class_name):
    """207 tensors: gamma and beta, a prefix, a decoder that repeats the word table, both pre-training heads."""
    config = BertConfig.preset("base")
    published = old_names(models.BertForPreTraining(config, init_weights=False).state_dict())
    published["cls.predictions.decoder.weight"] = published["bert.embeddings.word_embeddings.weight"]
    assert len(published) == 5 + 12 * 16 + 2 + 6 + 2
    fit = getattr(models, class_name)(config, init_weights=False).fit_weights(published)
    new, unused = REPORTS[class_name]
    assert fit.problems == fit.mismatched == []
    assert fit.new == new
    assert len(fit.unused) == unused


@pytest.mark.reference
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_form_that_torch_writes_gives_the_same_outputs(dtype, tiny, tmp_path, batch_of_ids):
    import safetensors.torch
    import torch
    import transformers

    folder, _ = tiny
    model = transformers.BertForPreTraining.from_pretrained(folder, dtype=getattr(torch, dtype))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    untied = {name: tensor for name, tensor in state.items() if "decoder" not in name}
    found = []
    for form in ("zip", "legacy", "safetensors"):
        target = tmp_path / form
        shutil.copytree(folder, target)
        (target / "model.safetensors").unlink()
        if form == "safetensors":
            safetensors.torch.save_file(untied, target / "model.safetensors", {"format": "pt"})
        else:
            torch.save(state, target / "pytorch_model.bin", _use_new_zipfile_serialization=form == "zip")
        found.append(BertForPreTraining.from_pretrained(target))
    for name, tensor in untied.items():
        for ours in found:
            np.testing.assert_array_equal(ours.state_dict()[name], tensor.float().numpy(), err_msg=name)
    outputs = [ours(batch_of_ids).prediction_logits for ours in found]
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])
