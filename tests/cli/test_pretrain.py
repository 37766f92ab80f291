"""`bert-numpy pretrain` as its users call it: a model from a text, going on, and one line for every mistake."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from bert_numpy.cli import main
from bert_numpy.cli.pretrain import evaluate_pretrained
from bert_numpy.pipelines import FillMask
from bert_numpy.tasks import pretraining, pretraining_evaluation
from bert_numpy.training.run_log import read_log

TINY = ("--hidden-size", "48", "--layers", "1", "--heads", "2", "--batch-size", "16")
LINES = [
    ["the cat sleeps on the red mat .", "the dog watches the quiet cat ."],
    ["every morning the baker opens his shop .", "he sells bread and sweet cakes ."],
    ["the river runs down to the sea .", "small boats wait near the bridge ."],
    ["in winter the lake freezes .", "children skate there until it is dark ."],
]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """What is written here need not survive a power cut, and a small part of the world is enough."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(pretraining, "draw_curves", lambda folder, say: None)
    monkeypatch.setattr(pretraining_evaluation, "WORLD_DOCUMENTS", 12)
    monkeypatch.setattr(pretraining_evaluation, "WORLD_WINDOWS", 4)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text("\n\n".join("\n".join(lines) for lines in LINES) + "\n", encoding="utf-8")
    return path


def run(*arguments, capsys):
    """(exit code, stdout, stderr) of the command in this process."""
    code = main(["pretrain", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_text_is_learnt_by_heart(text, tmp_path, capsys):
    """On four documents the loss falls near 0, and the model fills in words of sentences that it has seen."""
    words = {word for lines in LINES for line in lines for word in line.split()}
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]), encoding="utf-8"
    )
    options = ("--vocab", tmp_path / "vocab.txt", "--dropout", 0, "--dupe-factor", 8, "--lr", 1e-2, "--max-length", 40)
    code, out, err = run("--text", text, "--output", tmp_path / "bert", *TINY, *options, "--steps", 300, capsys=capsys)
    assert code == 0
    losses = [record["loss"] for record in read_log(tmp_path / "bert") if "loss" in record]
    assert len(losses) == 300
    assert sum(losses[:5]) / 5 > 3.5
    assert sum(losses[-20:]) / 20 < 0.7
    fill = FillMask.from_pretrained(tmp_path / "bert")
    for masked, word in [
        ("the cat sleeps on the red [MASK] .", "mat"),
        ("he sells [MASK] and sweet cakes .", "bread"),
        ("in winter the [MASK] freezes .", "lake"),
    ]:
        assert fill(masked)[0]["token_str"] == word
    assert "my.txt, which it was trained on" in out
    assert "perplexity" in out
    assert "they prove nothing" in err


def test_the_world_is_learnt_by_one_command_and_evaluated_again(tmp_path, capsys):
    options = ("--documents", 20, "--steps", 3, "--seed", 4, "--dtype", "bfloat16", *TINY)
    code, out, err = run("--corpus", "world", "--output", tmp_path / "w", *options, capsys=capsys)
    assert code == 0
    assert "parameters, 504 tokens in the vocabulary" in err
    for name in ("masked tokens found", "NSP accuracy", "determined words found", "the least possible", "their ratio"):
        assert name in out
    card = (tmp_path / "w" / "README.md").read_text(encoding="utf-8")
    command = next(line for line in card.splitlines() if line.startswith("bert-numpy pretrain"))
    again = shlex.split(command)[1:]
    again[again.index("--output") + 1] = str(tmp_path / "again")
    assert main(again) == 0  # the command of the card gives the same model
    assert capsys.readouterr().out == out
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("w", "again"))
    assert first == second
    assert evaluate_pretrained(tmp_path / "w", as_json=True) == 0
    figures = json.loads(capsys.readouterr().out)
    assert f"{figures['cross_entropy_ratio']:.4f}" in out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process that stands for Ctrl-C")
def test_a_run_is_interrupted_and_resumed(text, tmp_path, capsys):
    """In processes of their own: Ctrl-C saves and says how to go on, and the end is that of an undisturbed run."""
    folder, straight = tmp_path / "bert", tmp_path / "straight"
    options = ["--text", str(text), *TINY, "--steps", "60", "--max-length", "40"]
    command = [sys.executable, "-m", "bert_numpy", "pretrain", *options, "--output", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    log = folder / "train_log.jsonl"
    while time.monotonic() < deadline and process.poll() is None and not (log.exists() and log.stat().st_size > 0):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"interrupted, and saved; go on with: bert-numpy pretrain --output {folder} --resume"
    assert 1 <= len(read_log(folder)) < 60
    assert run("--output", folder, "--resume", capsys=capsys)[0] == 0
    assert run(*options, "--output", straight, capsys=capsys)[0] == 0
    assert (folder / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    assert len(read_log(folder)) == 60


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--output", "{new}"], 2, "give --text FILE or --corpus world"),
        (["--text", "{text}", "--corpus", "world", "--output", "{new}"], 2, "give --text FILE or --corpus world"),
        (["--text", "{new}.txt", "--output", "{new}"], 3, "no such file"),
        (["--text", "{empty}", "--output", "{new}"], 1, "holds no text; write one sentence per line"),
        (["--text", "{one}", "--output", "{new}"], 1, "there is one document only"),
        (["--text", "{latin}", "--output", "{new}"], 1, "latin.txt, line 2: byte 0xe9 is not UTF-8"),
        (["--text", "{text}", "--vocab", "{maskless}", "--output", "{new}"], 1, "[MASK]"),
        (["--text", "{text}", "--vocab", "{new}", "--output", "{new}"], 3, "does not exist"),
        (["--text", "{text}", "--vocab-size", "9", "--output", "{new}"], 1, "vocab_size 9 has no room"),
        (["--text", "{text}", "--hidden-size", "33", "--output", "{new}"], 1, "hidden_size"),
        (["--text", "{text}", "--size", "mini", "--layers", "3", "--output", "{new}"], 2, "give --size, or"),
        (
            ["--text", "{text}", "--model", "x", "--size", "mini", "--output", "{new}"],
            2,
            "--model brings its own sizes",
        ),
        (["--text", "{text}", "--vocab", "a", "--vocab-size", "99", "--output", "{new}"], 2, "not both"),
        (["--text", "{text}", "--documents", "9", "--output", "{new}"], 2, "--documents goes with --corpus world"),
        (["--text", "{text}", "--held-out", "1.5", "--output", "{new}"], 2, "held_out is 1.5; it must be a fraction"),
        (["--text", "{text}", "--epochs", "0", "--output", "{new}"], 2, "epochs is 0.0; it must be a number above 0"),
        (["--text", "{text}", "--lr", "-1", "--output", "{new}"], 1, "learning_rate"),
        (["--text", "{text}", "--mlm-probability", "2", "--output", "{new}"], 1, "masking probability must be between"),
        (["--corpus", "world", "--vocab-size", "9", "--output", "{new}"], 2, "the small world has its own vocabulary"),
        (["--corpus", "world", "--max-length", "20", "--output", "{new}"], 1, "too short for the small world"),
        (["--resume", "--output", "{new}"], 3, "there is no run to resume in"),
        (["--resume", "--lr", "0.1", "--output", "{new}"], 2, "leave --lr out"),
        (["--resume", "--text", "{text}", "--output", "{new}"], 2, "leave --text out"),
        (["--text", "{text}", "--output", "{text}"], 1, "is a file; give a folder"),
        (["--text", "{text}", "--output", "{folder}"], 1, "holds a run already; go on with --resume"),
    ],
)
def test_a_mistake_is_one_line(arguments, code, message, text, tmp_path, capsys):
    (tmp_path / "empty").touch()
    (tmp_path / "one").write_text("one sentence .\nanother .\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("a .\né .\n".encode("latin-1"))
    (tmp_path / "maskless").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pretraining.json").touch()
    names = {name: tmp_path / name for name in ("empty", "one", "maskless", "folder", "new")}
    names |= {"text": text, "latin": tmp_path / "latin.txt"}
    found, out, err = run(*(argument.format(**names) for argument in arguments), capsys=capsys)
    assert (found, out) == (code, "")
    assert err.splitlines()[-1].startswith("bert-numpy pretrain: ")
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_no_pretrained_model_is_not_evaluated(text, tmp_path, capsys):
    run("--text", text, "--output", tmp_path / "bert", *TINY, "--steps", 1, "--max-length", 40, capsys=capsys)
    with pytest.raises(ValueError, match=r"no held_out.txt in .*; give a text to evaluate on"):
        evaluate_pretrained(tmp_path / "bert")
    assert evaluate_pretrained(tmp_path / "bert", [text]) == 0
    assert capsys.readouterr().out.startswith("on my.txt:\n  sequences ")


def test_evaluate_knows_a_pretrained_model_and_asks_for_a_file_otherwise(tmp_path, capsys, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be .\nthat is the question .\n\nwhether it is noble .\nto be or not .\n" * 3)
    assert main(["evaluate", "tiny-random", str(text), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["corpus"] == "text.txt"
    assert 0 <= figures["nsp_accuracy"] <= 1
    assert main(["evaluate", "tiny-random"]) == 1
    assert "give a text to evaluate on" in capsys.readouterr().err
