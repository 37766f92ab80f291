"""From files to models and back: published names, heads, what is refused, and how little memory it takes."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import HEADS

from bert_numpy import models
from bert_numpy.checkpoints import CheckpointError, safetensors, save_sharded
from bert_numpy.configuration import BertConfig
from bert_numpy.models import BertForMaskedLM, BertForPreTraining, BertForSequenceClassification, BertModel


@pytest.fixture
def saved(make_model, tmp_path):
    """A folder with a BertForPreTraining in float32, and the tensors in it."""
    model = make_model("BertForPreTraining", dtype=np.float32)
    model.save_pretrained(tmp_path)
    return tmp_path, safetensors.load_file(tmp_path / "model.safetensors", mmap=False)


def write(folder, tensors):
    safetensors.save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("class_name", ["BertModel", *HEADS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_of_every_class(class_name, dtype, make_model, tmp_path):
    model = make_model(class_name, dtype=dtype)
    model.save_pretrained(tmp_path)
    again, info = getattr(models, class_name).from_pretrained(tmp_path, dtype=dtype, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert not again.training
    saved_too = {"architectures": [class_name], "dtype": np.dtype(dtype).name}
    assert again.config.to_dict() == {**model.config.to_dict(), **saved_too}
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)


def test_a_tied_decoder_is_written_once_and_may_be_present_or_absent(saved):
    folder, tensors = saved
    assert "cls.predictions.decoder.weight" not in tensors
    words = tensors["bert.embeddings.word_embeddings.weight"]
    write(
        folder,
        {
            **tensors,
            "cls.predictions.decoder.weight": words,
            "cls.predictions.decoder.bias": tensors["cls.predictions.bias"],
        },
    )
    model = BertForPreTraining.from_pretrained(folder)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    write(folder, {**tensors, "cls.predictions.decoder.weight": words + 1})
    with pytest.raises(CheckpointError, match="one tied parameter here but differ"):
        BertForPreTraining.from_pretrained(folder)


def test_an_untied_decoder_has_its_own_weights(make_model, tmp_path, labelled):
    model = make_model("BertForMaskedLM", tie_word_embeddings=False)
    assert model.cls.predictions.decoder.weight is not model.bert.embeddings.word_embeddings.weight
    model.save_pretrained(tmp_path)
    again = BertForMaskedLM.from_pretrained(tmp_path, dtype=np.float64)
    inputs = labelled("BertForMaskedLM")
    assert again(**inputs).loss == model(**inputs).loss


RENAMINGS = {
    "gamma and beta": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    ),
    "trained in parallel": lambda name: f"module.{name}",
    "without the prefix": lambda name: name.removeprefix("bert."),
}


@pytest.mark.parametrize("rename", RENAMINGS.values(), ids=RENAMINGS.keys())
@pytest.mark.parametrize("class_name", ["BertModel", "BertForPreTraining"])
def test_published_forms_of_the_names_load_the_same_numbers(rename, class_name, saved, batch):
    folder, tensors = saved
    model_class = getattr(models, class_name)
    expected = model_class.from_pretrained(folder)(**batch)[0]
    renamed = {rename(name): array for name, array in tensors.items()}
    renamed["bert.embeddings.position_ids"] = np.arange(19)
    assert renamed.keys() != tensors.keys()
    write(folder, renamed)
    np.testing.assert_array_equal(model_class.from_pretrained(folder)(**batch)[0], expected)


def test_shards_load_like_one_file(saved, batch):
    folder, tensors = saved
    expected = BertModel.from_pretrained(folder)(**batch)[0]
    (folder / "model.safetensors").unlink()
    save_sharded(tensors, folder, max_shard_size=30_000)
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    np.testing.assert_array_equal(BertModel.from_pretrained(folder)(**batch)[0], expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_another_dtype_are_converted(dtype, saved):
    folder, tensors = saved
    write(folder, {name: array.astype(dtype) for name, array in tensors.items()})
    model = BertModel.from_pretrained(folder)
    name = "bert.encoder.layer.2.output.dense.weight"
    found = model.encoder.layer[2].output.dense.weight.data
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tensors[name].astype(dtype).astype(np.float32))


# ---- heads ------------------------------------------------------------------


def test_a_missing_head_is_drawn_afresh_and_named_and_other_heads_are_left_unused(saved, caplog):
    folder, tensors = saved
    with caplog.at_level(logging.WARNING):
        model, info = BertForSequenceClassification.from_pretrained(
            folder, num_labels=4, rng=0, output_loading_info=True
        )
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert set(info["unexpected_keys"]) == {name for name in tensors if name.startswith("cls.")}
    message = "BertForSequenceClassification: newly initialised, train before use: classifier.weight; classifier.bias"
    assert caplog.messages == [message]
    assert model.classifier.weight.shape == (4, 32)
    assert 0.005 < model.classifier.weight.data.std() < 0.03


def test_a_checkpoint_without_pooler_gets_a_new_one(make_model, tmp_path, caplog):
    make_model("BertForMaskedLM", dtype=np.float32).save_pretrained(tmp_path)
    _, info = BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == ["pooler.dense.weight", "pooler.dense.bias"]
    assert "pooler.dense.weight" in caplog.text


def test_a_head_of_another_size_is_refused_unless_told_to_start_afresh(make_model, tmp_path, caplog):
    make_model("BertForSequenceClassification", dtype=np.float32).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="ignore_mismatched_sizes=True") as error:
        BertForSequenceClassification.from_pretrained(tmp_path, num_labels=2)
    assert "classifier.weight has shape (6, 32), expected (2, 32)" in str(error.value)
    model, info = BertForSequenceClassification.from_pretrained(
        tmp_path, num_labels=2, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert info["mismatched_keys"] == info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert info["unexpected_keys"] == []
    assert model.config.num_labels == 2


# ---- refusals ---------------------------------------------------------------


def test_missing_unexpected_and_misshaped_weights_are_listed_together(saved):
    folder, tensors = saved
    del tensors["bert.encoder.layer.1.attention.self.query.weight"]
    tensors["bert.encoder.layer.0.output.dense.bias"] = np.zeros(31, np.float32)
    tensors["bert.encoder.layer.3.output.dense.bias"] = np.zeros(32, np.float32)
    tensors["embeddings.projection"] = np.zeros(2, np.float32)
    write(folder, tensors)
    with pytest.raises(CheckpointError) as error:
        BertModel.from_pretrained(folder)
    message = str(error.value)
    assert str(folder) in message
    for part in (
        "missing encoder.layer.1.attention.self.query.weight (32, 32)",
        "encoder.layer.0.output.dense.bias has shape (31,), expected (32,)",
        "unexpected encoder.layer.3.output.dense.bias",
        "unexpected embeddings.projection",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("layers", [2, 4])
def test_a_configuration_with_another_number_of_layers_is_refused(layers, saved):
    folder, _ = saved
    with pytest.raises(CheckpointError, match=r"unexpected encoder\.layer\.2|missing encoder\.layer\.3"):
        BertModel.from_pretrained(folder, num_hidden_layers=layers)


def test_half_a_head_is_refused(saved):
    folder, tensors = saved
    del tensors["cls.seq_relationship.bias"]
    write(folder, tensors)
    with pytest.raises(CheckpointError, match=r"missing cls\.seq_relationship\.bias"):
        BertForPreTraining.from_pretrained(folder)


def test_every_encoder_weight_is_needed(saved):
    """Each one in turn: a forgotten name must never mean a fresh start."""
    folder, tensors = saved
    backbone = [name for name in tensors if name.startswith(("bert.embeddings", "bert.encoder"))]
    assert len(backbone) == 5 + 3 * 16
    for name in backbone:
        write(folder, {other: array for other, array in tensors.items() if other != name})
        with pytest.raises(CheckpointError, match=f"missing {name}"):
            BertForPreTraining.from_pretrained(folder)


def test_missing_folders_files_and_wrong_arguments_are_named(saved, tmp_path):
    folder, _ = saved
    with pytest.raises(FileNotFoundError, match="no model bert-large: there is no such folder"):
        BertModel.from_pretrained("bert-large")
    with pytest.raises(NotADirectoryError, match="is a file; give the folder"):
        BertModel.from_pretrained(folder / "model.safetensors")
    with pytest.raises(TypeError, match="BertConfig has no field 'num_label'"):
        BertModel.from_pretrained(folder, num_label=3)
    with pytest.raises(ValueError, match="dtype float16 is not supported; compute in float32 or float64"):
        BertModel.from_pretrained(folder, dtype=np.float16)
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"no model\.safetensors, model\.safetensors\.index\.json, pytorch_model\.bin or TensorFlow",
    ):
        BertModel.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json in"):
        BertModel.from_pretrained(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        BertModel(BertModel.from_pretrained("tiny-random").config, rng=0).save_pretrained(tmp_path / "file")


def test_a_refused_load_changes_nothing(make_model):
    model = make_model("BertForSequenceClassification")
    before = {name: array.copy() for name, array in model.state_dict().items()}
    damaged = {name: array + 1 for name, array in before.items() if not name.startswith("classifier")}
    del damaged["bert.encoder.layer.0.attention.self.query.weight"]
    with pytest.raises(CheckpointError, match=r"missing bert\.encoder\.layer\.0"):
        model.load_weights(damaged)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_loading_weights_copies_them(make_model):
    first, second = make_model("BertModel", seed=1), make_model("BertModel", seed=2)
    second.load_weights(first.state_dict())
    for name, array in second.state_dict().items():
        np.testing.assert_array_equal(array, first.state_dict()[name])
        assert not np.shares_memory(array, first.state_dict()[name])


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_a_copy_in_a_dtype_that_is_not_computed_in_is_refused(dtype, make_model):
    with pytest.raises(ValueError, match="is not supported; compute in float32 or float64"):
        make_model("BertModel").astype(dtype)


# ---- memory -----------------------------------------------------------------


def test_mapped_weights_can_be_trained_without_changing_the_file(saved, labelled):
    folder, _ = saved
    before = (folder / "model.safetensors").read_bytes()
    model = BertForPreTraining.from_pretrained(folder)
    _, cache = model.forward(**labelled("BertForPreTraining"))
    model.backward(1.0, cache)
    for parameter in model.parameters():
        assert not parameter.data.flags.owndata, "a view of the mapped file, not a copy"
        parameter.data -= parameter.grad
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses to replace a mapped file, with a clear error")
def test_saving_over_the_file_that_is_mapped_keeps_both_intact(saved, batch):
    folder, _ = saved
    model = BertModel.from_pretrained(folder)
    expected = model(**batch)[0]
    model.save_pretrained(folder)
    np.testing.assert_array_equal(model(**batch)[0], expected)
    np.testing.assert_array_equal(BertModel.from_pretrained(folder)(**batch)[0], expected)


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX")
def test_a_loaded_model_is_not_held_twice(tmp_path):
    """Peak memory of a process that loads 88 MB and runs them once, over one that loads and runs next to nothing."""
    program = """
import resource, sys
import numpy as np
from bert_numpy import BertModel
BertModel.from_pretrained(sys.argv[1])(np.array([[1, 2, 3]]))
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""

    def peak(folder):
        command = [sys.executable, "-c", program, str(folder)]
        root = Path(models.__file__).parents[2]
        return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)

    sizes = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    for name, layers, vocab_size in [("large", 6, 6000), ("small", 1, 10)]:
        config = BertConfig(num_hidden_layers=layers, vocab_size=vocab_size, **sizes)
        BertModel(config, rng=0).save_pretrained(tmp_path / name)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("large", "small")]
    assert sizes[0] > 80e6
    assert peak(tmp_path / "large") - peak(tmp_path / "small") < 1.1 * (sizes[0] - sizes[1])
