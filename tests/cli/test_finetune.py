"""The commands finetune, evaluate and predict as their users call them."""

import json

import pytest

from bert_numpy.cli import main

TEXTS = "text,label\n" + "to be or not to be,hamlet\nthat is the question,other\n" * 6
BASE = ("--model", "tiny-random")
FEW = (*BASE, "--epochs", "1", "--learning-rate", "1e-3")


def run(*arguments, capsys):
    """(exit code, stdout, stderr) of a command in this process."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes longer than training here."""
    monkeypatch.setattr("bert_numpy.tasks.folders._draw", lambda *_: None)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(TEXTS, encoding="utf-8")
    return path


@pytest.fixture
def trained(texts, tmp_path, capsys):
    """A folder that `finetune classify` wrote."""
    code, _, err = run("finetune", "classify", "--train", texts, "--output", tmp_path / "model", *FEW, capsys=capsys)
    assert code == 0, err
    return tmp_path / "model"


def test_finetune_evaluate_predict_and_classify_work_together(texts, tmp_path, capsys):
    out = tmp_path / "model"
    train = ("--train", texts, "--eval", texts, "--output", out, "--positive", "hamlet", "--epochs", 15)
    code, text, err = run("finetune", "classify", *BASE, *train, "--learning-rate", "1e-2", "--json", capsys=capsys)
    metrics = json.loads(text)
    assert code == 0
    assert f"the trained model is in {out}" in err
    assert (metrics["f1"], metrics["positive"], metrics["examples"]) == (1.0, "hamlet", 12)
    code, text, _ = run("evaluate", out, texts, "--json", capsys=capsys)
    assert json.loads(text) == metrics  # the folder remembers which class is the positive one
    code, text, _ = run("evaluate", out, texts, capsys=capsys)
    assert text.splitlines()[0].split() == ["accuracy", "1.0000"]
    code, text, err = run("predict", out, texts, "--output", tmp_path / "answers.csv", capsys=capsys)
    assert (code, text, err) == (0, "", f"12 answers written to {tmp_path / 'answers.csv'}\n")
    head, first, *_ = (tmp_path / "answers.csv").read_text("utf-8").splitlines()
    assert head == "text,label,score"
    assert first.startswith("to be or not to be,hamlet,0.")
    code, text, _ = run("evaluate", out, tmp_path / "answers.csv", "--json", capsys=capsys)
    assert json.loads(text)["accuracy"] == 1.0  # answers can be read back


def test_predict_prints_json_lines(trained, tmp_path, capsys):
    path = tmp_path / "new.txt"
    path.write_text("to be\nüber\n", encoding="utf-8")
    code, out, _ = run("predict", trained, path, capsys=capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["text"] for row in rows] == ["to be", "über"]
    assert all(row["label"] in ("hamlet", "other") and 0.5 <= row["score"] <= 1 for row in rows)


def test_tags_are_written_as_they_are_read(tmp_path, capsys):
    path = tmp_path / "tags.conll"
    path.write_text("to B-X\nbe I-X\n\nor O\n", encoding="utf-8")
    code, _, _ = run("finetune", "tag", "--train", path, "--output", tmp_path / "tagger", *FEW, capsys=capsys)
    assert code == 0
    assert run("predict", tmp_path / "tagger", path, "--output", tmp_path / "out.conll", capsys=capsys)[0] == 0
    words = [line.split("\t")[0] for line in (tmp_path / "out.conll").read_text("utf-8").splitlines()]
    assert words == ["to", "be", "", "or"]


@pytest.mark.parametrize(
    ("content", "code", "complaint"),
    [
        (b"", 1, "is empty"),
        (b"text,remark\nto be,x\n", 1, "--label-column a name"),
        (b"text,label\nto be,hamlet\nto be,eggs\n", 1, "line 3: label 'eggs' is unknown"),
        (b"text,label\n\xff,other\n", 1, "--encoding 'latin-1'"),
        (None, 3, "no such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(trained, tmp_path, capsys, content, code, complaint):
    path = tmp_path / "test.csv"
    if content is not None:
        path.write_bytes(content)
    found, out, err = run("evaluate", trained, path, capsys=capsys)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"bert-numpy evaluate: {path}")
    assert complaint in err


def test_options_that_do_not_fit(trained, texts, tmp_path, capsys):
    assert run("evaluate", trained, texts, "--no-answer", capsys=capsys)[0] == 2
    code, _, err = run("predict", trained, texts, "--output", tmp_path / "answers.conll", capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "the answers of classify are written as .jsonl, .csv, .tsv" in err
    code, _, err = run("predict", trained, texts, "--output", tmp_path / "no" / "answers.csv", capsys=capsys)
    assert (code, "must lie in a folder that exists" in err) == (2, True)
    code, _, err = run("finetune", "classify", "--train", texts, "--output", trained, *BASE, capsys=capsys)
    assert (code, "is not empty" in err) == (1, True)
    with pytest.raises(SystemExit) as stopped:
        run("finetune", "classify", "--train", texts, "--output", "x", "--eval-fraction", "1.5", capsys=capsys)
    assert stopped.value.code == 2


def test_ctrl_c_says_how_to_go_on(texts, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bert_numpy.training.trainer.Trainer.train", interrupted)
    code, _, err = run("finetune", "classify", "--train", texts, "--output", tmp_path / "model", *BASE, capsys=capsys)
    assert code == 130
    assert "the same command with --resume goes on" in err
