"""Dumps in every form: what they hold is what was written; cases, names and inputs are told apart."""

import json

import numpy as np
import pytest
import torch_files
from own_port import dump_of, float32_ids

from bert_numpy import BertForPreTraining
from bert_numpy.checkpoints import safetensors
from bert_numpy.checkpoints.bfloat16 import narrow, widen
from bert_numpy.cli import main
from bert_numpy.verification import compare
from bert_numpy.verification.dumps import read_dump
from bert_numpy.verification.precision import precision_of


def same_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        assert np.array_equal(found[name], array, equal_nan=True), name


# ---- forms ----

ARRAYS = {
    "x": np.random.default_rng(5).standard_normal((2, 3, 4)),
    "one number": np.array(7.5),
    "not finite": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "none": np.zeros((0, 4)),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_safetensors_npz_and_torch_hold_the_same(dtype, tmp_path):
    arrays = {"input_ids": np.array([[1, 2]]), **{name: array.astype(dtype) for name, array in ARRAYS.items()}}
    safetensors.save_file(arrays, tmp_path / "d.safetensors")
    np.savez(tmp_path / "d.npz", **arrays)
    np.savez_compressed(tmp_path / "compressed.npz", **arrays)
    for form in torch_files.FORMS:
        (tmp_path / f"{form}.pt").write_bytes(torch_files.torch_file(form, arrays))
    for file in tmp_path.iterdir():
        found = read_dump(file)
        same_arrays(dict(found.tensors), arrays)
        assert found.source == str(file)
        assert precision_of([found.tensors["x"]]) == dtype


def test_bfloat16_is_widened_and_known_as_such(tmp_path):
    expected = widen(narrow(ARRAYS["x"]))
    safetensors.save_file({"x": ARRAYS["x"]}, tmp_path / "d.safetensors", bfloat16=["x"])
    bits = narrow(ARRAYS["x"])
    (tmp_path / "d.pt").write_bytes(torch_files.torch_file("zip", {"x": bits.view(np.int16)}, bfloat16=["x"]))
    (tmp_path / "x.bin").write_bytes(bits.astype("<u2").tobytes())
    entry = {"file": "x.bin", "dtype": "bfloat16", "shape": [2, 3, 4]}
    (tmp_path / "d.json").write_text(json.dumps({"tensors": {"x": entry}}))
    for name in ("d.safetensors", "d.pt", "d.json"):
        found = read_dump(tmp_path / name).tensors
        same_arrays(dict(found), {"x": expected})
        assert precision_of(found.values()) == "bfloat16"


def test_raw_files_of_every_dtype_at_their_offsets(tmp_path):
    rng = np.random.default_rng(2)
    codes = {
        **{f"float{8 * n}": f"<f{n}" for n in (2, 4, 8)},
        **{f"int{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
        **{f"uint{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
        "bool": "?",
    }
    arrays = {name: rng.integers(0, 2, (3, 2)).astype(code) for name, code in codes.items()}
    arrays["float32"] += np.float32(0.1)
    entries, blob = {}, b"\xff" * 5  # not aligned
    for name, array in arrays.items():
        entries[name] = {"file": "all.bin", "dtype": name, "shape": [3, 2], "offset": len(blob)}
        blob += array.tobytes()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "all.bin").write_bytes(blob)
    (tmp_path / "raw" / "one.bin").write_bytes(np.float64(2.5).tobytes())
    entries = {name: {**entry, "file": "raw/all.bin"} for name, entry in entries.items()}
    entries["scalar"] = {"file": "raw/one.bin", "dtype": "float64", "shape": []}
    (tmp_path / "dump.json").write_text(json.dumps({"made by": "a port in C", "tensors": entries}))
    found = read_dump(tmp_path / "dump.json")
    same_arrays(dict(found.tensors), {**arrays, "scalar": np.array(2.5)})
    assert found.metadata == {"made by": "a port in C"}


def test_a_whole_port_passes_in_each_form(model, port, tmp_path):
    np.savez(tmp_path / "port.npz", **port)
    safetensors.save_file(port, tmp_path / "port.safetensors")
    entries, blob = {}, b""
    for name, array in port.items():
        entries[name] = {"file": "port.bin", "dtype": array.dtype.name, "shape": list(array.shape), "offset": len(blob)}
        blob += array.tobytes()
    (tmp_path / "port.bin").write_bytes(blob)
    (tmp_path / "port.json").write_text(json.dumps({"tensors": entries}))
    expected = compare(model, port).to_dict()["cases"]
    assert len(expected[0]["taps"]) == 13
    for name in ("port.npz", "port.safetensors", "port.json"):
        report = compare(model, tmp_path / name)
        assert report.ok
        assert report.precision == "float32"
        assert report.to_dict()["cases"] == expected


# ---- cases ----


def test_one_case_without_a_name(cases, port):
    (case,) = cases(port)
    assert case.name == ""
    assert set(case.inputs) == {"input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label"}
    assert case.written["encoder.layer.1.output"] == "hidden_states.2"
    assert case.written["d embeddings.word_embeddings.weight"] == "bert.embeddings.word_embeddings.weight.grad"
    assert (case.problems, case.notes) == ([], [])


def test_several_cases_with_and_without_groups(cases, port):
    ids = {"input_ids": port["input_ids"][:1], "attention_mask": port["attention_mask"][:1]}
    dump = {
        **{f"short/inputs/{name}": array for name, array in ids.items()},
        "short/taps/hidden_states.1": port["hidden_states.1"][:1],
        **{f"long/name/{name}": array for name, array in port.items()},
        "short/outputs/last_hidden_state": port["hidden_states.3"][:1],
    }
    first, second = cases(dump)
    assert (first.name, second.name) == ("short", "long/name")
    assert list(first.tensors) == ["encoder.layer.0.output", "encoder.layer.2.output"]
    assert first.written["encoder.layer.2.output"] == "short/outputs/last_hidden_state"
    assert len(second.tensors) == len(cases(port)[0].tensors)


def test_a_case_without_a_name_beside_others(cases, port):
    part = ("input_ids", "token_type_ids", "hidden_states.1")
    dump = {**port, **{f"x/{name}": port[name][:1] for name in part}}
    whole, part = cases(dump)
    assert (whole.name, part.name) == ("", "x")
    assert len(whole.tensors) == len(cases(port)[0].tensors)
    assert list(part.tensors) == ["encoder.layer.0.output"]
    assert whole.problems == whole.notes == part.notes == []


def test_names_of_tensorflow_with_slashes_are_no_cases(cases, port):
    (case,) = cases({**port, "bert/encoder/layer_1/attention/self/Softmax:0": port["attentions.1"]})
    assert len(case.tensors) == len(cases(port)[0].tensors)
    assert case.problems == []


def test_what_belongs_to_no_case_is_a_problem(cases, port):
    dump = {f"a/{name}": array for name, array in port.items()}
    (case,) = cases({**dump, "b/hidden_states.1": port["hidden_states.1"]})
    assert case.problems == ["b/hidden_states.1: belongs to no case; there are a/"]


def test_inputs_under_a_name_of_one_s_own(cases, port):
    dump = {"ids:0": port["input_ids"], "mask": port["attention_mask"], "h1": port["hidden_states.1"]}
    renamed = {"ids:0": "input_ids", "mask": "attention_mask", "h1": "hidden_states.1", "h2": "hidden_states.2"}
    (case,) = cases(dump, renamed)
    assert set(case.inputs) == {"input_ids", "attention_mask"}
    assert list(case.tensors) == ["encoder.layer.0.output"]
    assert case.problems == ["h2 is renamed to hidden_states.2, and not in the dump"]  # all others have a meaning
    (case,) = cases({f"a/inputs/{name}": array for name, array in dump.items()}, renamed)
    assert (case.name, set(case.inputs)) == ("a", {"input_ids", "attention_mask"})


def test_a_name_of_one_s_own_must_stand_for_something(cases, port):
    with pytest.raises(
        ValueError,
        match=r"^q is renamed to encoder\.layer\.0\.attn\.self\.query, which is no tap of this "
        r"model; did you mean encoder\.layer\.0\.attention\.self\.query\?$",
    ):
        cases(port, {"q": "encoder.layer.0.attn.self.query"})


def test_a_name_of_one_s_own_may_have_its_case_and_its_group(cases, port):
    dump = {"inputs/ids": port["input_ids"], "taps/h1": port["hidden_states.1"], "h2.grad": port["hidden_states.2"]}
    renamed = {"inputs/ids": "input_ids", "taps/h1": "hidden_states.1", "h2": "hidden_states.2"}
    (case,) = cases(dump, renamed)
    assert list(case.tensors) == ["encoder.layer.0.output", "d encoder.layer.1.output"]
    assert case.problems == []
    renamed = {"ids": "input_ids", "a/taps/h1": "hidden_states.1", "h2": "hidden_states.2"}
    (case,) = cases({f"a/{name}": array for name, array in dump.items()}, renamed)
    assert list(case.tensors) == ["encoder.layer.0.output", "d encoder.layer.1.output"]
    assert case.problems == []


def test_a_name_of_one_s_own_that_is_in_no_case_is_a_problem(cases, port):
    inputs = {"input_ids": port["input_ids"], "token_type_ids": port["token_type_ids"]}
    dump = {f"a/{name}": array for name, array in inputs.items()} | {"a/taps/hidden_1": port["hidden_states.1"]}
    dump |= {f"b/{name}": array for name, array in inputs.items()} | {"b/h2": port["hidden_states.2"]}
    renamed = {"hiden_1": "hidden_states.1", "h2": "hidden_states.2", "h": "hidden_states.2", "q\n": "pooler"}
    first, second = cases(dump, renamed)
    assert first.problems == [
        "hiden_1 is renamed to hidden_states.1, and not in the dump; did you mean hidden_1?",
        "h is renamed to hidden_states.2, and not in the dump",
        "'q\\n' is renamed to pooler, and not in the dump",
    ]
    assert second.problems == []
    with pytest.raises(
        ValueError,
        match=r"^dump holds no input_ids: idz is renamed to input_ids, and not in the dump; "
        r"did you mean ids\?$",
    ):
        cases({"ids": port["input_ids"], "hidden_states.1": port["hidden_states.1"]}, {"idz": "input_ids"})


def test_a_map_with_a_name_that_is_not_in_the_dump_fails(tmp_path, capsys):
    model = BertForPreTraining.from_pretrained("tiny-random")
    ids = np.array([[2, 61, 62, 39, 6, 3]])
    outputs = dump_of(model, {"input_ids": ids, "token_type_ids": np.zeros_like(ids)})
    outputs["first_layer"] = outputs.pop("hidden_states.1")
    np.savez(tmp_path / "port.npz", **outputs)
    arguments = ["verify", "tiny-random", "--port", str(tmp_path / "port.npz"), "--map", str(tmp_path / "map.json")]
    (tmp_path / "map.json").write_text('{"first_layer": "hidden_states.1"}')
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("equal: ")
    (tmp_path / "map.json").write_text('{"frist_layer": "hidden_states.1"}')
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "  ! frist_layer is renamed to hidden_states.1, and not in the dump; did you mean first_layer?\n" in out
    assert not out.splitlines()[-1].startswith("equal")


# ---- inputs ----


@pytest.mark.parametrize("name", ["attention_mask", "token_type_ids", "next_sentence_label"])
def test_an_input_of_truth_values_is_one_of_integers(name, model, cases, port):
    dump = {**port, name: port[name].astype(bool)}
    (case,) = cases(dump)
    same_arrays(case.inputs, cases(port)[0].inputs)
    assert case.inputs[name].dtype == np.int64
    assert compare(model, dump).ok


def test_labels_of_truth_values_are_numbers(make_model, batch, rng):
    changes = {"id2label": {str(i): str(i) for i in range(4)}, "problem_type": "multi_label_classification"}
    model = make_model("BertForSequenceClassification", np.float32, **changes)
    labels = rng.integers(0, 2, (3, 4))
    dump = dump_of(model, {**batch, "labels": labels.astype(np.float32)}, gradients=False)
    assert compare(model, {**dump, "labels": labels.astype(bool)}).ok


def test_truth_values_in_a_raw_file_may_be_any_byte(cases, port, tmp_path):
    (tmp_path / "mask.bin").write_bytes((port["attention_mask"] * 255).astype(np.uint8).tobytes())
    entry = {"file": "mask.bin", "dtype": "bool", "shape": list(port["attention_mask"].shape)}
    (tmp_path / "d.json").write_text(json.dumps({"tensors": {"attention_mask": entry}}))
    mask = read_dump(tmp_path / "d.json").tensors["attention_mask"]
    (case,) = cases({**port, "attention_mask": mask})
    same_arrays(case.inputs, cases(port)[0].inputs)


def test_missing_token_types_are_noted_where_the_model_has_two(make_model, cases, port):
    note = "no token_type_ids: all 0 are assumed"
    assert cases(port)[0].notes == []
    del port["token_type_ids"]
    assert cases(port)[0].notes == [note]
    assert [case.notes for case in cases({f"{c}/{n}": a for c in "ab" for n, a in port.items()})] == [[note], [note]]
    ids = port["input_ids"]
    for segments, notes in ((2, [note]), (1, [])):
        plain = make_model("BertModel", np.float32, type_vocab_size=segments)
        report = compare(plain, {"input_ids": ids, "hidden_states.0": plain(ids, output_hidden_states=True)[2][0]})
        assert report.ok
        assert [n for n in report.cases[0].notes if "token_type_ids" in n] == notes


# ---- stacked outputs ----


def stacked(port):
    """The port, with all hidden states in one array, and all attentions."""
    found = {name: array for name, array in port.items() if not name.startswith(("hidden_states", "attentions"))}
    for kind in ("hidden_states", "attentions"):
        found[kind] = np.stack([array for name, array in port.items() if name.startswith(f"{kind}.")])
    return found


def test_stacked_outputs_are_taken_apart(model, cases, port):
    (case,) = cases(stacked(port))
    (apart,) = cases(port)
    same_arrays(case.tensors, apart.tensors)
    assert (case.problems, case.notes, case.unknown) == ([], [], [])
    assert case.written["embeddings"] == "hidden_states[0]"
    assert case.written["encoder.layer.2.attention.self.probs"] == "attentions[2]"
    assert compare(model, stacked(port)).ok
    wrong = stacked(port)
    wrong["hidden_states"][2] *= 1.5
    assert compare(model, wrong, diagnose=False).cases[0].first.name == "encoder.layer.1.output"


def test_stacked_outputs_in_cases_under_other_names_and_of_gradients(cases, port):
    whole = stacked(port)
    dump = {
        "c/inputs/input_ids": port["input_ids"],
        "c/taps/all_h": whole["hidden_states"],
        "c/grad/attentions": whole["attentions"],
    }
    (case,) = cases(dump, {"all_h": "hidden_states"})
    assert case.problems == []
    assert list(case.tensors) == [
        "embeddings",
        *(f"encoder.layer.{i}.output" for i in range(3)),
        *(f"d encoder.layer.{i}.attention.self.probs" for i in range(3)),
    ]


def test_stacked_outputs_beside_the_same_and_beside_others(cases, port):
    assert cases({**port, **stacked(port)})[0].problems == []
    other = {**port, "hidden_states": stacked(port)["hidden_states"] + 1e-3}
    assert cases(other)[0].problems[0] == (
        "hidden_states[0]: stands for embeddings, as hidden_states.0 does, with other numbers; keep one"
    )


def test_a_runtime_without_integers(cases, port):
    (case,) = cases(float32_ids(port))
    same_arrays(case.inputs, cases(port)[0].inputs)
    assert all(array.dtype == np.int64 for array in case.inputs.values())


def test_one_sequence_without_a_batch_axis(cases, port):
    alone = {"input_ids": port["input_ids"][0], "token_type_ids": port["token_type_ids"][0]}
    (case,) = cases({**alone, "labels": port["labels"][0], "next_sentence_label": np.array(1)})
    assert {name: array.shape for name, array in case.inputs.items()} == {
        "input_ids": (1, 11),
        "token_type_ids": (1, 11),
        "labels": (1, 11),
        "next_sentence_label": (),
    }


def test_one_tensor_under_two_names_is_kept_once_if_it_is_the_same(cases, port):
    (case,) = cases({**port, "bert.encoder.layer.1.output.LayerNorm": port["hidden_states.2"]})
    assert case.problems == []
    other = port["hidden_states.2"].copy()
    other[0, 0, 0] += 1e-6
    (case,) = cases({**port, "bert.encoder.layer.1": other})
    assert case.problems == [
        "bert.encoder.layer.1: stands for encoder.layer.1.output, as hidden_states.2 does, with other numbers; keep one"
    ]
    (case,) = cases({**port, "inputs/input_ids": port["input_ids"] + 1})
    assert case.problems == ["inputs/input_ids: stands for input_ids, which is there with other numbers; keep one"]


@pytest.mark.parametrize(("num_labels", "problem"), [(1, "regression"), (4, "multi_label_classification")])
def test_labels_that_are_numbers(num_labels, problem, make_model, batch, rng):
    changes = {"id2label": {str(i): str(i) for i in range(num_labels)}, "problem_type": problem}
    model = make_model("BertForSequenceClassification", np.float32, **changes)
    labels = rng.integers(0, 2, (3, num_labels)) + (0.25 if num_labels == 1 else 0)
    dump = dump_of(model, {**batch, "labels": labels.astype(np.float32)}, gradients=False)
    report = compare(model, dump)
    assert report.ok
    assert report.cases[0].taps[-1].name == "loss"
    with pytest.raises(ValueError, match=r"^the dump: labels must be numbers, and finite ones$"):
        compare(model, {**dump, "labels": labels * np.nan})
    with pytest.raises(
        ValueError, match=rf"^the dump: labels has shape \(2, {num_labels}\), expected \(3, {num_labels}"
    ):
        compare(model, {**dump, "labels": labels[:2]})
