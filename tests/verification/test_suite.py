"""The cases on which ports go wrong, and the goldens: what is in them is what the models compute."""

import json
from contextlib import nullcontext as nothing

import numpy as np
import pytest
from support import HEADS

from bert_numpy import BertForPreTraining, __version__
from bert_numpy.checkpoints import load_checkpoint, safetensors
from bert_numpy.cli import main
from bert_numpy.hub import find_model
from bert_numpy.verification.reference import load_reference
from bert_numpy.verification.steps import steps_of
from bert_numpy.verification.suite import TEXTS, checksum, export_goldens, is_copy, suite

SHIPPED = ["single", "pair", "padded", "unknown", "mask", "one", "two", "longest", "all padding"]
GOLDENS = find_model("tiny-random") / "goldens.safetensors"


@pytest.fixture(scope="module")
def reference():
    return load_reference("tiny-random")


@pytest.fixture(scope="module")
def cases(reference):
    return suite(reference)


@pytest.fixture(scope="module")
def goldens():
    return safetensors.load_file(GOLDENS)


# ---- the cases ----


def test_every_case_is_there_and_fits_the_model(cases, reference):
    config = reference.model.config
    assert set(cases) == {case.name for case in TEXTS} | {"one", "two", "longest", "all padding"}
    for name, inputs in cases.items():
        ids, mask, segments = (inputs[key] for key in ("input_ids", "attention_mask", "token_type_ids"))
        assert ids.shape == mask.shape == segments.shape == inputs["labels"].shape, name
        assert 0 <= ids.min() <= ids.max() < config.vocab_size
        assert set(np.unique(mask)) <= {0, 1}
        assert 0 <= segments.min() <= segments.max() < config.type_vocab_size
        live = inputs["labels"] != -100
        assert live.any()
        assert not (live & (mask == 0)).any()
        assert inputs["labels"][live].max() < config.vocab_size
        assert inputs["next_sentence_label"].shape == ids.shape[:1]


def test_each_case_is_what_its_name_says(cases, reference):
    tokenizer = reference.tokenizer
    ids = {name: inputs["input_ids"] for name, inputs in cases.items()}
    assert (ids["one"].shape, ids["two"].shape) == ((1, 1), (1, 2))
    assert ids["longest"].shape == (1, reference.model.config.max_position_embeddings)
    assert cases["pair"]["token_type_ids"].any()
    assert not cases["single"]["token_type_ids"].any()
    assert len(set(cases["padded"]["attention_mask"].sum(axis=1))) == 2
    assert (ids["padded"][cases["padded"]["attention_mask"] == 0] == tokenizer.pad_token_id).all()
    assert set(ids["unknown"][0, 1:-1]) == {tokenizer.unk_token_id}
    assert tokenizer.mask_token_id in ids["mask"]
    assert cases["all padding"]["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert cases["all padding"]["next_sentence_label"][1] == -100
    for name in ("single", "pair", "accents", "chinese", "emoji", "mask"):
        texts = next(case.texts for case in TEXTS if case.name == name)
        assert ids[name][0].tolist() == tokenizer(*texts[0])["input_ids"]


def test_the_cases_are_the_same_each_time_and_as_short_as_asked_for(reference, cases):
    for name, inputs in suite(reference).items():
        assert all(np.array_equal(array, cases[name][key]) for key, array in inputs.items())
    short = suite(reference, longest=5)
    assert max(inputs["input_ids"].shape[1] for inputs in short.values()) == 5


@pytest.mark.parametrize("class_name", [name for name in HEADS if name != "BertForMultipleChoice"] + ["BertModel"])
def test_every_head_takes_its_cases(class_name, make_model):
    model = make_model(class_name, np.float32)
    reference = load_reference(model)
    made = suite(reference)
    assert list(made) == ["one", "two", "longest", "all padding"]  # there is no tokenizer
    for inputs in made.values():
        with pytest.warns(UserWarning, match="all padding") if not inputs["attention_mask"].all() else nothing():
            outputs = model(**inputs)
        assert np.isfinite(outputs[0]).all()
        assert ("loss" in outputs) == (class_name != "BertModel")


# ---- the file ----


def test_the_goldens_that_ship_are_small_and_the_model_is_loaded_without_them():
    assert GOLDENS.stat().st_size < 1_000_000
    weights = load_checkpoint(find_model("tiny-random"))
    assert set(weights) == set(safetensors.load_file(find_model("tiny-random") / "model.safetensors"))
    assert load_reference("tiny-random").stored_dtype == "float32"


def test_the_manifest_has_what_it_promises(reference):
    metadata = safetensors.read_header(GOLDENS).metadata
    manifest = json.loads(metadata["manifest"])
    assert manifest["format"] == "bert-numpy goldens 1"
    assert (manifest["model"], manifest["class"]) == ("tiny-random", "BertForPreTraining")
    assert manifest["config"]["hidden_size"] == 20
    assert manifest["weights_sha256"] == checksum(reference.parameters)
    assert set(manifest["versions"]) == {"bert_numpy", "numpy", "python"}
    assert manifest["texts"] == {c.name: [list(t) for t in c.texts] for c in TEXTS if c.name in SHIPPED}
    assert [step["tap"] for step in manifest["steps"]] == [step.tap for step in steps_of(reference.model)]
    stored = {name.split("/", 2)[2] for name in safetensors.read_header(GOLDENS).tensors if "/float" in name}
    assert stored == {step.tap for step in reference.steps if not is_copy(step)}
    used = {name for step in manifest["steps"] for name in step["parameters"]}
    assert used == set(reference.parameters)
    assert not any(mark in metadata["manifest"] for mark in ("/home", "/tmp", "/root", "/work", ":\\\\"))


def test_a_checksum_is_that_of_the_weights_and_of_nothing_else(reference):
    changed = {name: array.copy() for name, array in reference.parameters.items()}
    assert checksum(dict(reversed(changed.items()))) == checksum(reference.parameters)
    assert checksum(reference.float64) == checksum(reference.parameters)
    changed["pooler.dense.bias"][0] = np.nextafter(changed["pooler.dense.bias"][0], np.float32(9))
    assert checksum(changed) != checksum(reference.parameters)


def tolerated(name, goldens):
    """How far two machines may be apart: in float32, a few times as far as one of them is from float64."""
    exact = goldens[name.replace("/float32/", "/float64/")]
    exact = np.where(np.isfinite(exact), exact, 0)
    scale = np.sqrt(np.mean(np.square(exact)))
    if "/float64/" in name:
        return 1e-12 * scale
    noise = np.abs(np.where(np.isfinite(goldens[name]), goldens[name], 0) - exact).max()
    assert noise <= 2e-5 * scale, name
    return max(1e-5 * scale, 4 * noise)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_goldens_that_ship_are_what_the_models_compute(dtype, goldens):
    """By the way of the modules, which share nothing with the steps but the functions."""
    model = BertForPreTraining.from_pretrained("tiny-random").astype(dtype)
    for case in SHIPPED:
        inputs = {name.split("/")[-1]: a for name, a in goldens.items() if name.startswith(f"{case}/inputs/")}
        with pytest.warns(UserWarning, match="all padding") if case == "all padding" else nothing():
            outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
        expected = {
            "embeddings.LayerNorm": outputs.hidden_states[0],
            "encoder.layer.0.output": outputs.hidden_states[1],
            "encoder.layer.1.output": outputs.hidden_states[2],
            "encoder.layer.0.attention.self.probs": outputs.attentions[0],
            "encoder.layer.1.attention.self.probs": outputs.attentions[1],
            "cls.predictions": outputs.prediction_logits,
            "cls.seq_relationship": outputs.seq_relationship_logits,
            "loss": outputs.loss,
        }
        for tap, array in expected.items():
            stored = goldens[f"{case}/{dtype}/{tap}"]
            assert stored.dtype == dtype
            assert stored.shape == np.shape(array)
            assert np.abs(stored - array).max() <= tolerated(f"{case}/{dtype}/{tap}", goldens), (case, tap)


def test_the_goldens_that_ship_are_what_the_command_makes_now(reference, goldens, tmp_path):
    count = export_goldens(reference, tmp_path / "g.safetensors", __version__, cases=SHIPPED)
    made = safetensors.load_file(tmp_path / "g.safetensors")
    assert count == len(made)
    assert made.keys() == goldens.keys()
    for name, array in made.items():
        stored = goldens[name]
        assert (array.dtype, array.shape) == (stored.dtype, stored.shape)
        if array.dtype.kind == "i":
            np.testing.assert_array_equal(array, stored, err_msg=name)
        else:
            np.testing.assert_allclose(array, stored, rtol=0, atol=tolerated(name, goldens), err_msg=name)


def test_with_gradients(reference, tmp_path, make_model):
    export_goldens(reference, tmp_path / "g.safetensors", "1", cases=["pair"], gradients=True)
    made = safetensors.load_file(tmp_path / "g.safetensors")
    model = BertForPreTraining.from_pretrained("tiny-random").astype(np.float64)
    inputs = {name.split("/")[-1]: array for name, array in made.items() if "/inputs/" in name}
    _, cache = model.forward(**inputs)
    model.backward(1.0, cache)
    for name, parameter in model.named_parameters():
        stored = made[f"pair/float64/d {name.removeprefix('bert.')}"]
        np.testing.assert_allclose(stored, parameter.grad, rtol=1e-9, atol=1e-12, err_msg=name)
    assert "pair/float32/d encoder.layer.0.attention.self.scores" in made


def test_a_model_in_a_folder_is_named_by_the_folder_alone(tmp_path, reference):
    name, reference.name = reference.name, str(tmp_path / "my-bert")
    try:
        export_goldens(reference, tmp_path / "g.safetensors", "1", cases=["one"])
    finally:
        reference.name = name
    manifest = json.loads(safetensors.read_header(tmp_path / "g.safetensors").metadata["manifest"])
    assert manifest["model"] == "my-bert"


def test_an_unknown_case_is_refused_before_anything_is_written(reference, tmp_path):
    with pytest.raises(ValueError, match=r"^no case 'tripple'; there are single, pair, padded"):
        export_goldens(reference, tmp_path / "g.safetensors", "1", cases=["single", "tripple"])
    assert list(tmp_path.iterdir()) == []


def test_more_positions_than_the_model_has_are_refused_before_anything_is_written(reference, tmp_path, capsys):
    limit = reference.model.config.max_position_embeddings
    target = tmp_path / "g.safetensors"
    arguments = ["export-goldens", "tiny-random", str(target), "--cases", "longest", "--longest"]
    assert main([*arguments, str(limit + 1)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"bert-numpy export-goldens: --longest {limit + 1} is more than the {limit} positions of tiny-random "
        "(max_position_embeddings)\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert main([*arguments, str(limit)]) == 0
    assert safetensors.load_file(target)["longest/inputs/input_ids"].shape == (1, limit)
