"""The command line as its users call it: output, exit codes, and one line for every mistake."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bert_numpy.checkpoints import safetensors
from bert_numpy.cli import main
from bert_numpy.hub import find_model


@pytest.fixture
def model(tmp_path):
    """A copy of the model that ships, to be damaged."""
    folder = tmp_path / "model"
    shutil.copytree(find_model("tiny-random"), folder)
    return folder


def run(*arguments, capsys):
    """(exit code, stdout, stderr) of a command in this process."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def process(*arguments, **options):
    """The finished process of a command."""
    command = [sys.executable, "-m", "bert_numpy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, **options)


# ---- verify -----------------------------------------------------------------


def test_verify_compares_every_head_and_says_how_many_arrays_are_equal(capsys):
    code, out, err = run("verify", "--dtype", "float64", capsys=capsys)
    assert (code, err) == (0, "")
    assert "computed in float64 with torch 2.13.0" in out
    assert out.count("tolerance 1e-11") == 11
    assert out.endswith("440 of 440 arrays equal within the tolerance\n")


def test_verify_in_json(capsys):
    code, out, _ = run("verify", "--dtype", "float32", "--json", capsys=capsys)
    reports = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(reports) == 11
    assert all(report["ok"] and report["dtype"] == "float32" for report in reports)
    assert sum(tap["name"].startswith("d ") for report in reports for tap in report["taps"]) == 410


def test_verify_fails_where_a_weight_is_wrong_and_names_it(model, capsys):
    tensors = safetensors.load_file(model / "model.safetensors", mmap=False)
    tensors["bert.encoder.layer.1.output.LayerNorm.weight"][3] += 1e-9 * 1e3
    safetensors.save_file(tensors, model / "model.safetensors")
    code, out, _ = run("verify", model, "--dtype", "float64", capsys=capsys)
    assert code == 1
    lines = [line for line in out.splitlines() if line.endswith("differs")]
    assert any(line.split()[0] == "last_hidden_state" for line in lines)
    assert not any(line.split()[0] == "hidden_states.1" for line in lines)
    assert "NOT" in out.splitlines()[-1]


def test_verify_sees_a_wrong_gelu_in_both_dtypes(model, capsys):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu_new"}))
    for dtype in ("float64", "float32"):
        code, out, _ = run("verify", model, "--dtype", dtype, capsys=capsys)
        assert code == 1
        assert "hidden_states.1 " in "".join(line for line in out.splitlines() if line.endswith("differs"))


def test_verify_needs_stored_numbers(model, capsys):
    (model / "reference.safetensors").unlink()
    code, _, err = run("verify", model, capsys=capsys)
    assert code == 3
    assert "no reference.safetensors in" in err


# ---- texts ------------------------------------------------------------------


def test_tokenize_prints_pieces_and_ids(capsys):
    code, out, _ = run("tokenize", "To bee, ör", "not", "--model", "tiny-random", capsys=capsys)
    assert code == 0
    assert out.splitlines()[:2] == ["[CLS] to be ##e , or [SEP]", "2 61 62 39 6 63 3"]
    assert out.splitlines()[2] == "[CLS] not [SEP]"


def test_tokenize_with_a_vocabulary_in_json(model, capsys):
    code, out, _ = run("tokenize", "--vocab", model / "vocab.txt", "--cased", "--json", "To be", capsys=capsys)
    found = json.loads(out)
    assert code == 0
    assert found["tokens"] == ["[CLS]", "[UNK]", "be", "[SEP]"]
    assert found["offsets"] == [[0, 0], [0, 2], [3, 5], [0, 0]]


def test_texts_come_from_arguments_a_file_or_stdin(tmp_path):
    (tmp_path / "lines.txt").write_bytes("\ufeffto be\r\nor\u2028not\n\nbe".encode())
    from_file = process("tokenize", "--json", "--input", tmp_path / "lines.txt")
    texts = [json.loads(line)["text"] for line in from_file.stdout.decode().rstrip("\n").split("\n")]
    assert texts == ["to be", "or\u2028not", "", "be"]
    from_stdin = process("tokenize", "--json", input=b"to be\nor\xe2\x80\xa8not\n\nbe\n")
    assert from_stdin.stdout == from_file.stdout
    assert process("tokenize", input=b"").stdout == b""


def test_fill_mask_lists_the_likeliest_words(capsys):
    code, out, err = run("fill-mask", "to be or [MASK]", "--top-k", "3", capsys=capsys)
    assert code == 0
    assert "knows 500 words" in err
    scores = [float(line.split()[0]) for line in out.splitlines()]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_fill_mask_with_two_masks_in_json(capsys):
    _, out, _ = run(
        "fill-mask", "[MASK] be [MASK]", "--json", "--top-k", "500", "--model", "tiny-random", capsys=capsys
    )
    answers = json.loads(out)["answers"]
    assert [len(mask) for mask in answers] == [71, 71]
    assert sum(answer["score"] for answer in answers[0]) == pytest.approx(1, abs=1e-5)
    assert {answer["token"] for answer in answers[1]} == set(range(71))


def test_embed_writes_vectors_that_do_not_depend_on_the_batch(tmp_path, capsys):
    texts = ["to be", "or not to be or not to be", "", "question"]
    alone = np.array([json.loads(run("embed", text, capsys=capsys)[1]) for text in texts])
    assert alone.shape == (4, 128)
    code, out, err = run("embed", *texts, "--batch-size", "3", "--output", tmp_path / "v.npy", capsys=capsys)
    assert (code, out) == (0, "")
    assert "4 vectors of size 128 written to" in err
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), alone, atol=1e-6)
    _, out, _ = run("embed", *texts, "--normalize", "--pooling", "cls", "--json", capsys=capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == texts
    np.testing.assert_allclose(np.linalg.norm([row["embedding"] for row in rows], axis=1), 1, atol=1e-6)


def test_embed_reads_how_a_sentence_transformers_folder_pools(model, capsys):
    _, expected, _ = run("embed", "to be", "--model", model, "--pooling", "cls", "--normalize", capsys=capsys)
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{name}"} for path, name in steps]
    (model / "modules.json").write_text(json.dumps(modules))
    (model / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": 20, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
    _, out, _ = run("embed", "to be", "--model", model, "--max-length", "9", capsys=capsys)
    assert out == expected
    _, out, _ = run("embed", "to be", "to not", "--model", model, capsys=capsys)
    first, second = (np.array(json.loads(line)) for line in out.splitlines())
    np.testing.assert_allclose(first, second, atol=1e-6, err_msg="both are cut to [CLS] to [SEP]")
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    code, _, err = run("embed", "to be", "--model", model, capsys=capsys)
    assert code == 1
    assert "pooling pooling_mode_max_tokens is not supported; only mean or cls is" in err


# ---- inspect ----------------------------------------------------------------


def test_inspect_lists_tensors_and_says_what_would_load_where(capsys):
    code, out, _ = run("inspect", "tiny-random", capsys=capsys)
    assert code == 0
    assert "46 tensors, 9,027 numbers" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert lines["bert.embeddings.word_embeddings.weight"].split()[1:] == ["F32", "71x20"]
    assert "complete" in lines["BertForPreTraining"]
    assert "new: classifier.weight, classifier.bias; unused: 9 tensors" in lines["BertForTokenClassification"]


def test_inspect_reports_dtypes_values_that_are_not_finite_and_misfits(model, capsys):
    tensors = safetensors.load_file(model / "model.safetensors", mmap=False)
    tensors["bert.pooler.dense.bias"][:2] = np.nan, np.inf
    del tensors["bert.embeddings.LayerNorm.weight"]
    safetensors.save_file(tensors, model / "model.safetensors", bfloat16=tensors)
    code, out, _ = run("inspect", model, "--json", capsys=capsys)
    found = json.loads(out)
    assert code == 0
    assert {row["dtype"] for row in found["tensors"]} == {"BF16"}
    assert [row["name"] for row in found["tensors"] if row["not_finite"] == 2] == ["bert.pooler.dense.bias"]
    assert found["loads_into"]["BertModel"]["problems"] == ["missing embeddings.LayerNorm.weight (20,)"]
    _, out, _ = run("inspect", model, capsys=capsys)
    assert "2 NOT FINITE" in out
    assert "NO: missing embeddings.LayerNorm.weight (20,)" in out


def test_inspect_reads_one_file_and_its_metadata(capsys):
    code, out, _ = run("inspect", find_model("tiny-random") / "reference.safetensors", capsys=capsys)
    assert code == 0
    assert "made_by: tests/golden/make_tiny_random.py" in out


# ---- mistakes ---------------------------------------------------------------

MISTAKES = {
    "no such model": (["embed", "a", "--model", "nowhere"], 3, "no model nowhere: there is no such folder"),
    "a file for a folder": (["embed", "a", "--model", __file__], 3, "is a file; give the folder"),
    "no such list": (["tokenize", "--input", "nowhere.txt"], 3, "no file nowhere.txt"),
    "texts twice": (["tokenize", "a", "--input", "b"], 2, "give texts as arguments or with --input, not both"),
    "cased model": (["tokenize", "a", "--cased"], 2, "--cased goes with --vocab"),
    "no mask": (["fill-mask", "to be"], 1, "no [MASK] in 'to be'; write it where a word is to be guessed"),
    "too long": (["fill-mask", "be " * 95 + "[MASK]"], 1, "exceeds max_position_embeddings 96"),
    "odd output": (["embed", "a", "--output", "v.txt"], 2, "--output v.txt must end in .npy or .json"),
    "output nowhere": (["embed", "a", "--output", "no/v.npy"], 2, "and lie in a folder that exists"),
    "cut too short": (["embed", "a", "--max-length", "2"], 2, "--max-length 2 must lie between 3 and 96"),
    "cut too long": (["embed", "a", "--max-length", "97"], 2, "--max-length 97 must lie between 3 and 96"),
    "output is a folder": (["embed", "a", "--output", "."], 2, "must end in .npy or .json"),
    "json twice": (["embed", "a", "--output", "v.json", "--json"], 2, "--json is for stdout"),
    "model and vocabulary": (["tokenize", "a", "--vocab", "v", "--model", "m"], 2, "give --model or --vocab, not both"),
    "a folder of texts": (["embed", "--input", "."], 2, "--input . is a folder; give a file"),
    "the second text": (["fill-mask", "[MASK]", "to be"], 1, "text 2: no [MASK] in 'to be'"),
    "a long text": (["fill-mask", "to be " * 9999], 1, "no [MASK] in 'to be to be"),
    "no text at all": (["fill-mask", "a\udcff [MASK]"], 1, "is not UTF-8; give such texts with --input"),
    "nothing to inspect": (["inspect", "nowhere"], 3, "no model nowhere"),
    "no checkpoint": (["inspect", __file__], 1, "test_commands.py"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_on_stderr(arguments, code, message, capsys):
    found, out, err = run(*arguments, capsys=capsys)
    assert (found, err.count("\n")) == (code, 1), err
    assert out == "" or "text 2" in err
    assert err.startswith(f"bert-numpy {arguments[0]}: ")
    assert message in err
    assert len(err) < 300


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["embed", "--fly"],
        ["embed", "a", "--batch-size", "0"],
        ["embed", "a", "--batch-size", "1.5"],
        ["embed", "a", "--batch-size", "-1"],
        ["fill-mask", "[MASK]", "--top-k", "0"],
        ["verify", "--dtype", "float8"],
    ],
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments):
    done = process(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    assert b"usage: bert-numpy" in done.stderr


@pytest.mark.parametrize(
    "command", [[], *([n] for n in ("verify", "inspect", "tokenize", "fill-mask", "embed", "convert", "download"))]
)
def test_help_shows_examples_before_options(command):
    out = process(*command, "--help").stdout.decode()
    assert 0 < out.index("examples:") < out.index("options:")
    assert "bert-numpy" in out[out.index("examples:") :]


def test_a_vocabulary_of_another_size_is_refused(model, capsys):
    (model / "tokenizer.json").unlink()
    (model / "vocab.txt").write_text((model / "vocab.txt").read_text() + "extra\n")
    code, _, err = run("embed", "a", "--model", model, capsys=capsys)
    assert code == 1
    assert "the vocabulary has 72 words but the model's vocab_size is 71; the two do not belong together" in err


def test_a_truncated_checkpoint_is_refused(model, capsys):
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[:-100])
    code, _, err = run("embed", "a", "--model", model, capsys=capsys)
    assert code == 1
    assert "model.safetensors" in err
    assert "Traceback" not in err


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    done = process("tokenize", input=b"to be\nna\xefve\n")
    assert done.returncode == 1
    assert b"stdin:2: not UTF-8 (byte 0xef)" in done.stderr


def test_chinese_survives_an_ascii_locale_and_a_path_with_spaces(model, tmp_path):
    folder = model.rename(tmp_path / "my model 🙂")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process("tokenize", "--json", "--model", folder, input="语言".encode(), env=environment)
    assert json.loads(done.stdout)["text"] == "语言"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_closed_pipe_is_no_error():
    command = f'"{sys.executable}" -m bert_numpy verify --dtype float64 --all | head -1'
    done = subprocess.run(command, shell=True, capture_output=True)
    assert done.stdout.startswith(b"reference: tiny-random")
    assert done.stderr == b""


SENTENCE_FILES = {
    "a step without a type": ("modules.json", [{"idx": 0}], "modules.json: the step None is not supported"),
    "a step that is a number": ("modules.json", [1], "modules.json: the step 1 is not supported"),
    "an object for a list": ("modules.json", {}, "modules.json holds a dict, not a list"),
    "a list for an object": ("1_Pooling/config.json", [], "config.json holds a list, not a dict"),
    "no pooling": ("1_Pooling/config.json", {}, "pooling none is not supported"),
    "a length in words": (
        "sentence_bert_config.json",
        {"max_seq_length": "x"},
        "max_seq_length must be a whole number",
    ),
    "no settings": ("sentence_bert_config.json", [], "sentence_bert_config.json holds a list, not a dict"),
}


@pytest.mark.parametrize(("file", "content", "message"), SENTENCE_FILES.values(), ids=SENTENCE_FILES.keys())
def test_a_damaged_sentence_transformers_folder_is_refused_by_file(file, content, message, model, capsys):
    (model / "1_Pooling").mkdir()
    (model / "modules.json").write_text(json.dumps([{"path": "1_Pooling", "type": "x.Pooling"}]))
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (model / file).write_text(json.dumps(content))
    code, out, err = run("embed", "a", "--model", model, capsys=capsys)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_a_reference_file_that_says_nothing_is_refused(model, capsys):
    shutil.copy(model / "model.safetensors", model / "reference.safetensors")
    code, _, err = run("verify", model, capsys=capsys)
    assert code == 1
    assert "reference.safetensors does not say what it holds" in err


def test_weights_that_are_not_finite_are_reported_and_not_answered(model, capsys):
    tensors = safetensors.load_file(model / "model.safetensors", mmap=False)
    tensors["bert.embeddings.LayerNorm.bias"][0] = np.nan
    safetensors.save_file(tensors, model / "model.safetensors")
    for command in (["embed", "a"], ["fill-mask", "[MASK]"]):
        code, out, err = run(*command, "--model", model, capsys=capsys)
        assert (code, out) == (1, "")
        assert "the model's outputs are not finite; `bert-numpy inspect` shows which weights" in err


def test_a_checkpoint_without_mlm_head_cannot_fill_masks(model, capsys):
    tensors = safetensors.load_file(model / "model.safetensors", mmap=False)
    bare = {name: array for name, array in tensors.items() if not name.startswith("cls.")}
    safetensors.save_file(bare, model / "model.safetensors")
    code, _, err = run("fill-mask", "[MASK]", "--model", model, capsys=capsys)
    assert (code, err.count("\n")) == (1, 1)
    assert "has no MLM head, so it cannot fill masks; use a BertForMaskedLM" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("<&-", 2)])
def test_closed_streams_end_without_a_traceback(redirection, code):
    text = "hi" if redirection == ">&-" else ""
    command = f'"{sys.executable}" -m bert_numpy tokenize {text} {redirection}'
    done = subprocess.run(command, shell=True, capture_output=True)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are text there, not bytes")
def test_an_argument_is_utf_8_in_any_locale():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "bert_numpy", "tokenize", "--json", "Zoë 你好".encode()]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert json.loads(done.stdout)["text"] == "Zoë 你好"


def test_a_full_disk_leaves_the_old_vectors_and_names_the_file(tmp_path, capsys, monkeypatch):
    (tmp_path / "v.npy").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    code, _, err = run("embed", "a", "--output", tmp_path / "v.npy", capsys=capsys)
    assert code == 1
    assert "v.npy" in err
    assert (tmp_path / "v.npy").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


def test_vectors_are_stored_in_the_dtype_of_the_model(tmp_path, capsys):
    run("embed", "a", "--output", tmp_path / "v.npy", capsys=capsys)
    assert np.load(tmp_path / "v.npy").dtype == np.float32


def test_an_interrupt_ends_with_130(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bert_numpy.pipelines.Embedder.__call__", interrupted)
    code, _, err = run("embed", "a", capsys=capsys)
    assert (code, err) == (130, "interrupted\n")


def test_lower_case_that_the_tokenizer_does_not_do_is_refused(model, capsys):
    (model / "modules.json").write_text(json.dumps([{"path": "", "type": "x.Transformer"}]))
    (model / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert run("embed", "A", "--model", model, capsys=capsys)[0] == 0
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    code, _, err = run("embed", "A", "--model", model, capsys=capsys)
    assert code == 1
    assert "asks for lower case, but the tokenizer keeps case" in err


def test_a_published_model_is_compared_with_what_others_published(model, capsys, monkeypatch):
    """The cache holds the model that ships in the place of bert-base-uncased: its numbers are others."""
    monkeypatch.setattr("bert_numpy.cli.verify.model_folder", lambda options: model)
    code, out, err = run("verify", "bert-base-chinese", "--json", capsys=capsys)
    assert code == 1
    assert err == ""
    assert json.loads(out)["ok"] is False


def test_verify_offline_says_how_to_get_a_published_model(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    code, _, err = run("verify", "bert-base-uncased", capsys=capsys)
    assert (code, err.count("\n")) == (3, 1)
    assert "bert-numpy download" in err
