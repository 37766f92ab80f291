"""`verify` with a port, and `export-goldens`, as their users call them: exit codes, every form of output, usage."""

import json
import sys
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy import BertForPreTraining
from bert_numpy.checkpoints import safetensors
from bert_numpy.cli import main
from bert_numpy.verification import live
from bert_numpy.verification.comparison import THRESHOLD


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """A folder with the dumps of a right and of a wrong port of the model that ships."""
    folder = tmp_path_factory.mktemp("ports")
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 71, (2, 7))
    mask = (np.arange(7) < np.array([[7], [4]])).astype(np.int64)
    inputs = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": (np.arange(7) > 3) * mask}
    model = BertForPreTraining.from_pretrained("tiny-random")
    right = dump_of(model, inputs)
    model.bert.encoder.layer[1].intermediate.intermediate_act_fn.operation = "gelu_new"
    np.savez(folder / "right.npz", **right)
    np.savez(folder / "wrong.npz", **dump_of(model, inputs))
    np.savez(folder / "no_ids.npz", pooler=np.zeros((2, 20)))
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(
        folder / "renamed.npz",
        ids=right["input_ids"],
        mask=right["attention_mask"],
        types=right["token_type_ids"],
        h2=right["hidden_states.2"],
    )
    return folder


@pytest.fixture
def run(capsys):
    """A function of arguments -> (exit code, stdout, stderr)."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


# ---- verify --port ----


def test_a_right_port_passes(run, ports):
    code, out, err = run("verify", "tiny-random", "--port", ports / "right.npz")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "reference  tiny-random (weights stored as float32), computed in float64"
    assert out.splitlines()[-1].startswith("equal: all 7 tensors, the farthest at ")


def test_a_wrong_port_fails_and_its_mistake_is_named(run, ports):
    code, out, err = run("verify", "tiny-random", "--port", ports / "wrong.npz")
    assert (code, err) == (1, "")
    assert "[activation gelu_new instead of gelu]" in out
    assert out.splitlines()[-1].startswith("DIFFERENT: first at encoder.layer.1.output, ")


def test_all_json_junit_and_picture(run, ports, tmp_path):
    port = ports / "wrong.npz"
    files = ["--junit", tmp_path / "report.xml", "--plot", tmp_path / "errors.png"]
    code, out, err = run("verify", "tiny-random", "--port", port, "--json", *files)
    report = json.loads(out)
    assert (code, err, out.count("\n")) == (1, "", 1)
    assert report["cases"][0]["first"] == "encoder.layer.1.output"
    suites = xml.fromstring((tmp_path / "report.xml").read_bytes())
    assert suites[0].get("failures") == "1"
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors.png", "report.xml"]
    _, out, _ = run("verify", "tiny-random", "--port", port, "--all")
    rows = [line for line in out.splitlines() if line.endswith(("  ok", "  differs", "  inherits"))]
    assert len(rows) == len(report["cases"][0]["taps"])


def test_names_of_one_s_own(run, ports, tmp_path):
    own = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids", "h2": "hidden_states.2"}
    (tmp_path / "map.json").write_text(json.dumps(own))
    arguments = ("verify", "tiny-random", "--port", ports / "renamed.npz")
    assert run(*arguments, "--map", tmp_path / "map.json")[0] == 0
    code, _, err = run(*arguments)
    assert code == 1
    assert "renamed.npz holds no input_ids" in err
    assert err.endswith('in a file for --map: {"my_ids": "input_ids"}\n')


def test_the_threshold_can_be_set(run, ports):
    arguments = ("verify", "tiny-random", "--port", ports / "wrong.npz", "--json", "--times")
    assert run(*arguments, "1e5")[0] == 0
    assert json.loads(run(*arguments, "1e5")[1])["threshold"] == 1e5
    assert run(*arguments, "8")[0] == 1
    assert run("verify", "tiny-random", "--port", ports / "right.npz", "--times", "1e-3")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny-random", "--port", "nothing.npz"], 3, "no file nothing.npz"),
        (["nowhere", "--port", "{ports}/right.npz"], 3, "nowhere"),
        (["tiny-random", "--port", "{ports}"], 1, "is a folder; name the file with the tensors"),
        (
            ["tiny-random", "--port", "{ports}/no_ids.npz"],
            1,
            "no_ids.npz holds no input_ids, without which nothing can",
        ),
        (["tiny-random", "--port", "{ports}/right.npz", "--map", "no.json"], 3, "no file no.json"),
        (["tiny-random", "--port", "{ports}/right.npz", "--map", "{ports}/bad.json"], 1, "bad.json: not JSON"),
        (
            ["tiny-random", "--port", "{ports}/right.npz", "--map", "{ports}/list.json"],
            1,
            "expected an object of names",
        ),
        (
            ["tiny-random", "--port", "{ports}/right.npz", "--map", "{ports}/number.json"],
            1,
            "expected an object of names",
        ),
        (["tiny-random", "--port", "{ports}/right.npz", "--map", "{ports}/typo.json"], 1, "did you mean pooler?"),
        (["--port", "{ports}/right.npz"], 2, "name the model that was ported: bert-numpy verify MODEL --port DUMP"),
        (["tiny-random", "--port", ""], 2, "--port needs the name of a file"),
        (["tiny-random", "--port", "a.npz", "--against", "transformers"], 2, "not both"),
        (["tiny-random", "--port", "a.npz", "--dtype", "float32"], 2, "--dtype goes with --against"),
        (["tiny-random", "--port", "a.npz", "--attention", "sdpa"], 2, "--attention goes with --against"),
        (["tiny-random", "--port", "a.npz", "--times", "0"], 2, "--times 0 must be a number above 0"),
        (["tiny-random", "--port", "a.npz", "--times", "nan"], 2, "--times nan must be a number above 0"),
        (
            ["tiny-random", "--port", "a.npz", "--junit", "a.txt"],
            2,
            "--junit 'a.txt' must end in .xml and lie in a folder",
        ),
        (
            ["tiny-random", "--port", "a.npz", "--plot", "no/a.png"],
            2,
            "--plot 'no/a.png' must end in .png and lie in a fol",
        ),
        (["tiny-random", "--port", "a.npz", "--plot", ""], 2, "--plot '' must end in .png"),
        (["tiny-random", "--against", "transformers", "--dtype", "both"], 2, "--dtype both goes without --against"),
        (["tiny-random", "--pairs"], 2, "--pairs goes with --port or --against"),
        (["tiny-random", "--map", "a.json"], 2, "--map goes with --port or --against"),
        (["tiny-random", "--junit", "a.xml"], 2, "--junit goes with --port or --against"),
        (["tiny-random", "--dtype", "bfloat16"], 2, "--dtype bfloat16 goes with --against"),
    ],
)
def test_a_mistake_is_one_line(arguments, code, message, run, ports):
    for name, text in {"bad": "{", "list": "[1]", "number": '{"a": 1}', "typo": '{"a": "poler"}'}.items():
        (ports / f"{name}.json").write_text(text)
    found, out, err = run("verify", *(argument.replace("{ports}", str(ports)) for argument in arguments))
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("bert-numpy verify: ")
    assert message in err


@pytest.mark.parametrize(
    "arguments", [["--against", "pytorch"], ["--times", "many"], ["--dtype", "float8"], ["a", "b"]]
)
def test_what_the_parser_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["verify", "tiny-random", *arguments])
    assert stopped.value.code == 2
    assert "usage: bert-numpy" in capsys.readouterr().err


def test_the_help_says_what_a_dump_is_and_the_default_of_times(capsys):
    with pytest.raises(SystemExit):
        main(["verify", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"how many times the rounding noise is still equal (default: {THRESHOLD:g})" in said
    assert "dictionary of tensors by torch.save (.pt, .pth; no modules: save those tensors as safetensors" in said


def test_inputs_alone_are_not_verified_and_not_drawn(run, ports, tmp_path):
    arguments = ("verify", "tiny-random", "--port", ports / "inputs.npz")
    code, out, err = run(*arguments)
    assert (code, err) == (1, "")
    assert "  ! no tap: the dump holds inputs only" in out
    assert out.endswith("NOT VERIFIED: nothing was compared\n")
    code, _, err = run(*arguments, "--plot", tmp_path / "a.png")
    assert (code, err) == (1, "bert-numpy verify: there is no tap to draw: see the problems of the report\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named_and_the_report_is_there(run, ports, tmp_path):
    target = tmp_path / "a.xml"
    target.mkdir()
    code, out, err = run("verify", "tiny-random", "--port", ports / "right.npz", "--junit", target)
    assert (code, out) == (2, "")
    assert "must end in .xml and lie in a folder that exists" in err
    if sys.platform != "win32":
        (tmp_path / "b.png").symlink_to("/dev/full" if sys.platform == "linux" else "/dev/null")
        code, out, err = run("verify", "tiny-random", "--port", ports / "right.npz", "--plot", tmp_path / "b.png")
        assert code == 1
        assert out.splitlines()[-1].startswith("equal: all 7 tensors")
        assert "b.png: this is a device, pipe or socket" in err


def test_against_transformers_where_it_is_not_installed(run, monkeypatch):
    monkeypatch.setattr(live, "find_spec", lambda name: None)
    code, out, err = run("verify", "tiny-random", "--against", "transformers")
    assert (code, out) == (3, "")
    assert err == (
        'bert-numpy verify: torch, transformers, safetensors: not installed; pip install "bert-numpy[reference]"\n'
    )


# ---- export-goldens ----


def test_goldens_are_written(run, tmp_path):
    target = tmp_path / "g.safetensors"
    code, out, err = run("export-goldens", "tiny-random", target, "--cases", "pair, one", "--longest", "4")
    tensors = safetensors.load_file(target)
    assert (code, out) == (0, "")
    assert err == f"{target}: {len(tensors)} tensors, {target.stat().st_size / 1e6:.2f} MB\n"
    assert {name.split("/")[0] for name in tensors} == {"pair", "one"}
    code, _, _ = run("export-goldens", "tiny-random", target, "--cases", "one", "--gradients")
    assert code == 0
    assert "one/float64/d pooler.dense.weight" in safetensors.load_file(target)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "{folder}/g.safetensors"], 3, "nowhere"),
        (["tiny-random", "{folder}/g.npz"], 2, "g.npz must end in .safetensors and lie in a folder that exists"),
        (["tiny-random", "{folder}/no/g.safetensors"], 2, "must end in .safetensors and lie in a folder that exists"),
        (
            ["tiny-random", "{folder}/g.safetensors", "--cases", "tripple"],
            1,
            "no case 'tripple'; there are single, pair",
        ),
        (["tiny-random", "{folder}/g.safetensors", "--cases", ""], 1, "no case ''; there are single, pair"),
    ],
)
def test_a_mistake_about_goldens_is_one_line(arguments, code, message, run, tmp_path):
    found, out, err = run("export-goldens", *(argument.replace("{folder}", str(tmp_path)) for argument in arguments))
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []
