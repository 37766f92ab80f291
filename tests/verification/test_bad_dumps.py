"""Every way in which a dump is bad has one clear line, and is never a crash."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from bert_numpy.hub import find_model
from bert_numpy.verification import compare
from bert_numpy.verification.dumps import ACCEPTED, OF_TORCH, read_dump

# ---- inputs that cannot be used ----


def changed(name, index, value):
    def change(port):
        array = port[name].copy()
        array[index] = value
        return {**port, name: array}

    return change


def replaced(name, make):
    return lambda port: {**port, name: make(port[name])}


BAD_INPUTS = {
    "no ids": (
        lambda port: {n: a for n, a in port.items() if n != "input_ids"},
        "dump holds no input_ids, without which",
    ),
    "empty": (lambda port: {}, "dump holds no input_ids"),
    "fractions": (replaced("input_ids", lambda ids: ids + 0.5), "input_ids must be integers, not float64"),
    "NaN for an id": (replaced("input_ids", lambda ids: ids * np.nan), "input_ids must be integers, not float64"),
    "infinity": (replaced("input_ids", lambda ids: ids + np.inf), "input_ids must be integers, not float64"),
    "huge": (replaced("input_ids", lambda ids: ids * 1e300), "input_ids must be integers, not float64"),
    "too large an id": (changed("input_ids", (1, 2), 99), r"input_ids[1, 2] is 99; ids must lie between 0 and 98"),
    "-100 for an id": (changed("input_ids", (0, 0), -100), "input_ids[0, 0] is -100; ids must lie between 0 and 98"),
    "a third segment": (
        changed("token_type_ids", (0, 1), 2),
        "token_type_ids[0, 1] is 2; ids must lie between 0 and 1",
    ),
    "words": (replaced("input_ids", lambda ids: np.full(ids.shape, "to")), "input_ids is ragged or holds no numbers"),
    "objects": (replaced("input_ids", lambda ids: ids.astype(object)), "input_ids is ragged or holds no numbers"),
    "three axes": (
        replaced("input_ids", lambda ids: ids[None]),
        "input_ids has shape (1, 3, 11), expected (batch, seq",
    ),
    "no sequence": (
        replaced("input_ids", lambda ids: ids[:0]),
        "input_ids has shape (0, 11), expected (batch, sequence)",
    ),
    "too long": (replaced("input_ids", lambda ids: np.tile(ids, 2)), "input_ids has 22 positions, the model has 19"),
    "mask of another shape": (
        replaced("attention_mask", lambda mask: mask[:, :10]),
        "attention_mask has shape (3, 10), expected (3, 11): input_ids has (3, 11)",
    ),
    "mask that is added": (
        replaced("attention_mask", lambda mask: (1 - mask) * -10000.0),
        "attention_mask must hold only 1 (a token) and 0 (padding), not what is added to scores",
    ),
    "segments of one row": (
        replaced("token_type_ids", lambda ids: ids[:1]),
        "token_type_ids has shape (1, 11), expected (3, 11): input_ids has (3, 11)",
    ),
    "positions of two rows": (
        lambda port: {**port, "position_ids": np.zeros((2, 11), int)},
        "position_ids has shape (2, 11), expected (3, 11)",
    ),
    "position too far": (
        lambda port: {**port, "position_ids": np.full((3, 11), 19)},
        "position_ids[0, 0] is 19; ids must lie between 0 and 18",
    ),
    "label too large": (changed("labels", (0, 3), 99), "labels[0, 3] is 99; ids must lie between 0 and 98"),
    "label -1": (
        changed("labels", (0, 3), -1),
        "labels[0, 3] is -1; ids must lie between 0 and 98 (the model has 99) or",
    ),
    "labels of one row": (replaced("labels", lambda x: x[0]), "labels has shape (11,), expected (3, 11)"),
    "third class": (changed("next_sentence_label", 0, 2), "next_sentence_label[0] is 2; ids must lie between 0 and 1"),
    "two classes": (
        replaced("next_sentence_label", lambda x: x[:2]),
        "next_sentence_label has shape (2,), expected (3,): input_ids has (3, 11)",
    ),
}


@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_an_input_that_cannot_be_used_is_named(bad, cases, port):
    change, message = BAD_INPUTS[bad]
    with pytest.raises(ValueError) as error:  # noqa: PT011  the whole line is compared below
        cases(change(port))
    assert str(error.value).startswith(("dump: " if "holds no input_ids" not in message else "") + message)
    assert "\n" not in str(error.value)


def test_the_case_is_named_too(cases, port):
    dump = {f"first/{name}": array for name, array in port.items()}
    dump |= {f"second/{name}": array for name, array in port.items()}
    dump["second/input_ids"] = port["input_ids"] + 99
    with pytest.raises(ValueError, match=r"^dump: case second: input_ids\[0, 0\] is 1\d\d; ids must lie"):
        cases(dump)


def test_labels_of_which_the_model_makes_no_loss_are_left_out(make_model, port):
    plain = make_model("BertModel", np.float32)
    found = {name: port[name] for name in ("input_ids", "attention_mask", "token_type_ids", "labels")}
    report = compare(
        plain,
        {
            **found,
            "hidden_states.0": plain(**{n: found[n] for n in list(found)[:3]}, output_hidden_states=True).hidden_states[
                0
            ],
        },
    )
    assert report.ok
    assert report.cases[0].notes == ["not used: labels, of which BertModel makes no loss"]


# ---- tensors that cannot be compared ----


def judged(model, port):
    (case,) = compare(model, port, diagnose=False).cases
    return case


def test_missing_layers_are_noted(model, port):
    del port["attentions.1"]
    case = judged(model, port)
    assert case.ok
    assert case.notes == ["encoder.layer.N.attention.self.probs is missing for N = 1"]


def test_extra_tensors_are_noted_with_what_comes_near(model, port):
    port["bert.encoder.layer.0.atention.self.query"] = np.zeros(3)
    port["speed"] = np.array(3.0)
    port["bert.pooler.dense.weight"] = np.zeros((32, 32))
    case = judged(model, port)
    assert case.ok
    assert case.notes == [
        "not compared: bert.encoder.layer.0.atention.self.query is no tap of this model; did you mean "
        "encoder.layer.0.attention.self.query?",
        "not compared: speed is no tap of this model",
        "not compared: bert.pooler.dense.weight is a parameter; its gradient would be named d pooler.dense.weight",
    ]


def test_many_names_that_mean_nothing_get_an_example_of_a_map(model, port):
    some = {f"blk.{i}.q": np.zeros(2) for i in range(3)}
    onnx = {f"/bert/encoder/layer.{i}/attention/self/Mul_output_0": np.zeros(2) for i in range(3)}
    assert not any("--map" in note for note in judged(model, {**port, **some, **onnx}).notes)
    note, *rest = judged(model, {**port, **some, **onnx, "bert.poler": np.zeros(2)}).notes
    assert note == '4 names mean nothing here; say what they are in a JSON file for --map: {"bert.poler": "pooler"}'
    assert len(rest) == 7
    note, *_ = judged(model, {**port, **some, "blk.3.q\n": np.zeros(2)}).notes
    assert note.endswith('{"blk.0.q": "encoder.layer.0.output"}')


def test_names_that_mean_nothing_and_none_that_does(model, batch):
    case = judged(model, {**batch, "q\n": np.zeros(2)})
    assert case.problems == ["no tap: the dump holds inputs, and names that mean nothing here; see --map"]
    assert case.notes[0].endswith(': {"q\\n": "encoder.layer.0.output"}')


def test_the_hint_is_given_once_where_there_are_several_cases(model, port):
    extra = {f"blk.{i}.q": np.zeros(2) for i in range(5)}
    dump = {f"{case}/{name}": array for case in ("one", "two") for name, array in {**port, **extra}.items()}
    report = compare(model, dump, diagnose=False)
    assert [sum("--map" in note for note in case.notes) for case in report.cases] == [1, 0]
    assert '{"blk.0.q": ' in report.cases[0].notes[0]


def test_inputs_alone_are_not_enough(model, batch):
    case = judged(model, batch)
    assert not case.ok
    assert case.problems == ["no tap: the dump holds inputs only; write outputs of layers beside them"]


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("hidden_states.1", lambda x: x[:, :5], "has shape (3, 5, 32), expected (3, 11, 32): the sizes differ"),
        (
            "hidden_states.1",
            lambda x: x.swapaxes(1, 2),
            "has shape (3, 32, 11), expected (3, 11, 32): its axes are in anot",
        ),
        (
            "hidden_states.1",
            lambda x: x.reshape(3, 22, 16),
            "has shape (3, 22, 16), expected (3, 11, 32): as many numbers,",
        ),
        ("hidden_states.1", lambda x: x[:0], "has shape (0, 11, 32), expected (3, 11, 32): the sizes differ"),
        ("attentions.0", lambda x: x[:, 0], "has shape (3, 11, 11), expected (3, 4, 11, 11): the sizes differ"),
        ("cls.predictions.bias.grad", lambda x: x[:-1], "has shape (98,), expected (99,): the sizes differ"),
        (
            "bert.encoder.layer.2.intermediate.dense.weight.grad",
            lambda x: x.T,
            "has shape (32, 37), expected (37, 32): it is transposed",
        ),
    ],
)
def test_a_shape_that_does_not_fit_is_said_and_the_rest_compared(name, change, says, model, port):
    whole = judged(model, port)
    port[name] = change(port[name])
    case = judged(model, port)
    (wrong,) = [tap for tap in case.taps if tap.verdict != "ok"]
    assert wrong is case.first
    assert (wrong.written, wrong.verdict) == (name, "shape")
    assert wrong.says.startswith(says)
    assert len(case.taps) == len(whole.taps)


def test_nan_at_a_real_position_is_found_and_at_padding_is_not_held_against_the_port(model, port):
    port = {name: array for name, array in port.items() if "grad" not in name}  # labels lie on padding, too
    hidden = port["hidden_states.2"].copy()
    hidden[1, 8] = np.nan  # the second sequence has 7 tokens
    case = judged(model, {**port, "hidden_states.2": hidden})
    assert case.ok
    hidden[2, 3, 5] = np.nan
    hidden[0, 10, 0] = -np.inf
    case = judged(model, {**port, "hidden_states.2": hidden})
    (wrong,) = [tap for tap in case.taps if tap.verdict != "ok"]
    assert (wrong.name, wrong.verdict, wrong.nan, wrong.inf) == ("encoder.layer.1.output", "not finite", 1, 1)
    assert wrong.says == "1 NaN and 1 infinite of 1056, the first at [0, 10, 0], token id " + str(
        port["input_ids"][0, 10]
    )


def test_nan_everywhere_from_a_layer_on(model, port):
    for i in (2, 3):
        port[f"hidden_states.{i}"] = np.full_like(port[f"hidden_states.{i}"], np.nan)
    port["prediction_logits"] = np.full_like(port["prediction_logits"], np.nan)
    port["loss"] = np.array(np.nan)
    case = judged(model, port)
    assert case.first.name == "encoder.layer.1.output"
    verdicts = {tap.name: tap.verdict for tap in case.taps if tap.verdict != "ok"}
    assert verdicts == {
        "encoder.layer.1.output": "not finite",
        "encoder.layer.2.output": "inherits",
        "cls.predictions": "inherits",
        "loss": "inherits",
    }


def test_nan_that_the_input_does_not_explain(model, port):
    """Sequence 0 is broken in layer 1; layer 2 breaks sequence 1, too."""
    for i in (2, 3):
        port[f"hidden_states.{i}"] = port[f"hidden_states.{i}"].copy()
        port[f"hidden_states.{i}"][0] = np.nan
    after = ("encoder.layer.1.output", "encoder.layer.2.output")
    assert [tap.verdict for tap in judged(model, port).taps if tap.name in after] == ["not finite", "inherits"]
    port["hidden_states.3"][1, 2, 3] = np.inf
    assert [tap.verdict for tap in judged(model, port).taps if tap.name in after] == ["not finite", "not finite"]


def test_what_the_dump_lacks_before_an_error_is_said(model, port):
    hidden = {"input_ids": port["input_ids"], "attention_mask": port["attention_mask"]}
    hidden |= {name: port[name] for name in port if name.startswith(("hidden_states", "token_type"))}
    hidden["hidden_states.2"] = hidden["hidden_states.2"] * 1.3 + 0.1
    tap = judged(model, hidden).first
    assert tap.since == ["encoder.layer.0.output"]
    assert tap.lacks[0] == "encoder.layer.1.attention.self.query"
    assert tap.lacks[-1] == "encoder.layer.1.output.add"
    assert tap.place.startswith(
        "it arises between encoder.layer.0.output and encoder.layer.1.output; not in the dump: encoder.layer.1.att"
    )
    text = compare(model, hidden, diagnose=False).to_text()
    assert "it arises between encoder.layer.0.output and encoder.layer.1.output" in text
    assert judged(model, port).first is None


@pytest.mark.parametrize("array", [np.ones((3, 11, 32), bool), np.full((3, 11, 32), 1j), np.full((3, 11, 32), "x")])
def test_other_than_numbers(array, cases, port):
    (case,) = cases({**port, "hidden_states.2": array})
    assert case.problems == [f"hidden_states.2: holds {array.dtype}, expected floating-point numbers"]


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        (
            "hidden_states",
            np.zeros((3, 3, 11, 32)),
            "has shape (3, 3, 11, 32), expected 4 along the first axis: the embeddings and 3 layers",
        ),
        (
            "hidden_states",
            np.zeros((3, 11, 32)),
            "has shape (3, 11, 32), expected 4 along the first axis: the embeddings and 3 layers",
        ),
        (
            "attentions",
            np.zeros((4, 3, 4, 11, 11)),
            "has shape (4, 3, 4, 11, 11), expected 3 along the first axis: 3 layers",
        ),
        ("attentions", np.array(1.0), "has shape (), expected 3 along the first axis: 3 layers"),
        ("attentions", np.zeros((3, 2), bool), "holds bool, expected floating-point numbers"),
        ("hidden_states", np.full((4, 2), "x"), "holds <U1, expected floating-point numbers"),
    ],
)
def test_stacked_outputs_that_do_not_fit_get_one_line(name, array, says, cases, port):
    (case,) = cases({**port, name: array})
    assert case.problems == [f"{name}: {says}"]
    assert case.tensors.keys() == cases(port)[0].tensors.keys()


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), np.array(0.0), np.array(np.nan), np.array("1"), np.zeros(0)])
def test_a_norm_that_is_none(value, cases, port):
    (case,) = cases({**port, "max_grad_norm": value})
    assert case.problems == ["max_grad_norm: expected one number above 0, the norm that gradients were clipped to"]
    assert case.max_grad_norm is None


def test_a_name_that_would_break_the_line_is_quoted(cases, port):
    (case,) = cases({**port, "evil\nname\x1b[2J": np.zeros(2)})
    assert case.notes == ["not compared: 'evil\\nname\\x1b[2J' is no tap of this model"]


# ---- files that cannot be read ----


def torch_archive(program, *more):
    """A file of torch.save whose pickle is `program`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in (("data.pkl", program), *((name, b"") for name in more)):
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


def bad_files(folder):
    """{file name: part of the message}; makes the files."""
    good = {"input_ids": np.array([[1, 2]]), "pooler": np.zeros((1, 4), np.float32)}
    np.savez(folder / "good.npz", **good)
    whole = (folder / "good.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.npz").write_bytes(b"")
    (folder / "text.npz").write_text("hello")
    np.savez_compressed(folder / "damaged.npz", x=np.arange(1000.0))
    damaged = bytearray((folder / "damaged.npz").read_bytes())
    damaged[200:240] = bytes(40)
    (folder / "damaged.npz").write_bytes(damaged)
    np.savez(folder / "objects.npz", x=np.array([1, None], object))
    with open(folder / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))
    np.save(folder / "array.npy", np.zeros(3))
    with zipfile.ZipFile(folder / "archive.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': nonsense")
    (folder / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (folder / "text.bin").write_text("hello, this is text")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    (folder / "empty.bin").write_bytes(b"")
    (folder / "plain.pkl").write_bytes(pickle.dumps({"input_ids": [1, 2]}))
    (folder / "objects.pt").write_bytes(pickle.dumps({"x": np.zeros(3)}, protocol=2))
    (folder / "module.pth").write_bytes(torch_archive(b"cmymodule\nMyModel\n."))
    (folder / "program.pt").write_bytes(torch_archive(b".", "constants.pkl"))
    (folder / "a.folder").mkdir()
    return {
        "cut.npz": "not what np.savez writes, damaged, or with objects inside",
        "empty.npz": "not what np.savez writes, damaged, or with objects inside",
        "text.npz": "not what np.savez writes, damaged, or with objects inside",
        "damaged.npz": "not what np.savez writes, damaged, or with objects inside",
        "objects.npz": "Object arrays cannot be loaded",
        "array.npz": "not what np.savez writes",
        "array.npy": "array.npy: holds one array without a name; np.savez('port.npz', **arrays) writes names",
        "archive.npz": "not what np.savez writes",
        "cut.safetensors": "cut.safetensors",
        "text.bin": "text.bin: this is a file of no known kind, not a dump; " + ACCEPTED,
        "picture.png": "picture.png: this is a file of no known kind, not a dump; " + ACCEPTED,
        "empty.bin": "empty.bin: this is an empty file, not a dump; " + ACCEPTED,
        "plain.pkl": "protocol 4, where torch.save writes 2 unless told otherwise; " + OF_TORCH,
        "objects.pt": "objects.pt: the pickle asks for 'numpy",
        "module.pth": "the pickle asks for 'mymodule.MyModel', which weights do not need; " + OF_TORCH,
        "program.pt": "this is a TorchScript archive, a program; " + OF_TORCH,
        "a.folder": "is a folder; name the file with the tensors",
        "nothing.npz": "no file",
    }


def test_what_is_accepted_is_said_in_full():
    assert ACCEPTED == (
        "a dump is a file of safetensors or np.savez, JSON (.json) that lists raw files, or a dictionary of tensors "
        "that torch.save wrote"
    )
    assert "safetensors.torch.save_file(taps, 'port.safetensors') or np.savez('port.npz', **{name: tensor." in OF_TORCH


def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path):
    for name, message in bad_files(tmp_path).items():
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            read_dump(tmp_path / name)
        assert message in str(error.value), name
        assert name in str(error.value)
        assert "\n" not in str(error.value)


GOOD_ENTRY = {"file": "x.bin", "dtype": "float32", "shape": [2, 3], "offset": 0}
BAD_MANIFESTS = {
    "no JSON": ("{", "is not valid JSON"),
    "no object": ("[]", 'expected {"tensors": {name: {"file", "dtype", "shape"}}}'),
    "no tensors": ('{"x": {}}', 'expected {"tensors": {name: {"file", "dtype", "shape"}}}'),
    "twice": ('{"tensors": {"x": {}, "x": {}}}', "is not valid JSON"),
    "deep": ("[" * 100000, "is nested too deeply"),
    "no dtype": ({"file": "x.bin", "shape": [2]}, "x needs file, dtype and shape"),
    "no entry": (["x.bin"], "x needs file, dtype and shape"),
    "wrong dtype": ({**GOOD_ENTRY, "dtype": "f32"}, "x has dtype 'f32'; there are float16, float32, float64, int8"),
    "dtype a list": ({**GOOD_ENTRY, "dtype": ["float32"]}, "x has dtype ['float32']; there are"),
    "negative": ({**GOOD_ENTRY, "shape": [-1]}, "x has shape [-1] and offset 0; both are whole numbers from 0"),
    "fraction": ({**GOOD_ENTRY, "shape": [2.0]}, "x has shape [2.0] and offset 0"),
    "number": ({**GOOD_ENTRY, "shape": 6}, "x has shape 6 and offset 0"),
    "negative offset": ({**GOOD_ENTRY, "offset": -4}, "x has shape [2, 3] and offset -4"),
    "many axes": ({**GOOD_ENTRY, "shape": [1] * 70}, "x has 70 axes"),
    "too short": ({**GOOD_ENTRY, "shape": [2, 4]}, "x.bin: x needs 32 bytes from byte 0, the file has 24"),
    "too far": ({**GOOD_ENTRY, "offset": 4}, "x.bin: x needs 24 bytes from byte 4, the file has 24"),
    "enormous": ({**GOOD_ENTRY, "shape": [2**62, 2**62]}, "x.bin: x needs 8507"),
    "missing file": ({**GOOD_ENTRY, "file": "y.bin"}, "y.bin: cannot be read: no such file"),
    "folder": ({**GOOD_ENTRY, "file": "."}, "this is a folder"),
}


@pytest.mark.parametrize("bad", BAD_MANIFESTS)
def test_a_manifest_that_cannot_be_followed(bad, tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(24))
    content, message = BAD_MANIFESTS[bad]
    text = content if isinstance(content, str) else json.dumps({"tensors": {"x": content}})
    (tmp_path / "d.json").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_dump(tmp_path / "d.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_goldens_are_not_taken_for_a_port():
    with pytest.raises(ValueError, match="holds goldens, which the reference computed; give what the port computed"):
        read_dump(find_model("tiny-random") / "goldens.safetensors")


def test_the_lowest_number_as_a_mask_is_no_warning(model, port, rng):
    """pytest makes an error of every warning."""
    name = "encoder.layer.0.attention.self.scores"
    B, S = port["input_ids"].shape
    scores = rng.standard_normal((B, 4, S, S))
    scores += np.where(port["attention_mask"], 0, np.finfo(np.float64).min)[:, None, None, :]
    assert compare(model, {**port, name: scores}).cases[0].first.name == name


# ---- words ----


def test_one_name_that_means_nothing_is_one(model, port):
    inputs = {name: port[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    notes = compare(model, {**inputs, "bert.poler": np.zeros(3)}).cases[0].notes
    assert any(note.startswith("1 name means nothing here; say what it is in a JSON file") for note in notes)


def test_a_loss_that_is_not_finite_has_no_first_place(model, port):
    row = compare(model, {**port, "loss": np.array(np.nan)}, diagnose=False).cases[0].first
    assert (row.name, row.says) == ("loss", "1 NaN and 0 infinite of 1")


def test_a_model_of_choices_is_not_taken_apart(make_model, port, tmp_path):
    model = make_model("BertForMultipleChoice", np.float32)
    model.save_pretrained(tmp_path)
    for source in (model, tmp_path):
        with pytest.raises(ValueError, match="BertForMultipleChoice cannot be compared step by step; its encoder is"):
            compare(source, port)
