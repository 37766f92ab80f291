"""`bert-numpy bench` as its users call it: what it writes, and one line for every mistake."""

import importlib.util
import json

import pytest

from bert_numpy import __version__
from bert_numpy.benchmarks import processes, running
from bert_numpy.benchmarks.measures import Difference, Result, Sample
from bert_numpy.cli import main
from bert_numpy.hub import find_model


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Turns of one run, without pauses."""
    monkeypatch.setattr(running, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(running, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def finished(monkeypatch):
    """A report in place of a run; returns the list of the settings that were asked for."""
    asked = []

    def run(settings, progress):
        asked.append(settings)
        results = [
            Result(
                case,
                Sample("numpy", (0.5,)),
                Sample("sdpa", (1.0,)),
                difference=Difference("y", 1e-6, 1e-6 if settings.repeats != 3 else 1.0),
            )
            for case in running.select_cases(settings.only)
        ]
        return running.Report(results, {"numpy": "2.0.0"}, running._described(settings))

    monkeypatch.setattr("bert_numpy.benchmarks.run_benchmarks", run)
    return asked


def run(*arguments, capsys):
    """(exit code, stdout, stderr) of a command in this process."""
    code = main(["bench", *(str(argument) for argument in arguments)])
    return code, *capsys.readouterr()


def test_a_quick_run_prints_a_table_and_nothing_else(capsys):
    code, out, err = run(
        "--model", find_model("tiny-random"), "--only", "forward-1x16", "--repeats", 1, "--threads", 1, capsys=capsys
    )
    assert (code, err) == (0, "")
    header, row, *_ = out.splitlines()
    assert header.split() == ["case", "bert_numpy", "products", "x", "products"]
    assert row.startswith("forward, 1 x 16 ")
    assert "tiny-random size, float32, 1 thread each" in out
    assert f"\nbert_numpy {__version__}, NumPy " in out


def test_files_that_are_asked_for(finished, tmp_path, capsys):
    files = {
        name: tmp_path / f"bench.{suffix}" for name, suffix in [("json", "json"), ("table", "md"), ("plot", "png")]
    }
    options = [part for name, path in files.items() for part in (f"--{name}", path)]
    code, out, err = run("--against", "transformers", "--only", "forward", *options, capsys=capsys)
    assert (code, err) == (0, "")
    content = json.loads(files["json"].read_text(encoding="utf-8"))
    assert [result["ratio"] for result in content["results"]] == [0.5] * 4
    assert files["table"].read_text(encoding="utf-8").startswith("| case | bert_numpy | transformers |")
    assert files["plot"].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md", "bench.png"]
    assert str(tmp_path) not in out + files["json"].read_text(encoding="utf-8")


def test_what_the_options_mean(finished, tmp_path, capsys):
    vocab = find_model("tiny-random") / "vocab.txt"
    options = ("--size", "mini", "--only", "train, tokenize", "--repeats", 5, "--threads", 3)
    run(*options, "--vocab", vocab, "--cased", "--text", tmp_path / "a.txt", capsys=capsys)
    (settings,) = finished
    assert settings[:5] == ("mini", False, ("train", "tokenize"), 5, 3)
    assert settings.tokenizer.do_lower_case is False
    assert settings.text == tmp_path / "a.txt"


def test_the_defaults(finished, capsys):
    run("--only", "forward", capsys=capsys)
    (settings,) = finished
    assert (settings.size, settings.reference, settings.repeats, settings.text) == ("base", False, 7, None)
    assert settings.threads == running.available_cpus() >= 1


def test_a_drawn_text_is_not_passed_off_as_a_real_one(finished, capsys):
    _, out, err = run("--only", "tokenize", capsys=capsys)
    assert err == "note: a drawn text is unlike a real one; give --text FILE and its --vocab FILE\n"
    assert "tokenized: text drawn from the vocabulary, not a real one" in out


def test_sides_that_differ_end_with_exit_code_1(finished, capsys):
    assert run("--only", "forward", "--repeats", 3, capsys=capsys)[0] == 1


MISTAKES = {
    "both": (["--size", "tiny", "--model", "x"], 2, "give --size or --model, not both"),
    "size": (["--size", "huge"], 2, "--size huge is not a published size; choose from tiny, mini"),
    "model": (["--model", "./none"], 3, "none"),
    "case": (["--only", "forwards"], 2, "no case is called 'forwards'; there are forward,"),
    "cased": (["--cased"], 2, "--cased goes with --vocab"),
    "plot": (["--plot", "a.png"], 2, "--plot draws ratios; add --against transformers"),
    "suffix": (["--json", "a.txt"], 2, "--json a.txt must end in .json and lie in a folder that exists"),
    "folder": (["--table", "none/a.md"], 2, "must end in .md and lie in a folder that exists"),
    "sentences": (["--sentences", "a.txt"], 2, "--sentences needs the vocabulary of the model; add --vocab FILE"),
    "text": (["--text", "none.txt", "--only", "tokenize", "--size", "tiny"], 3, "no file none.txt"),
    "vocab": (["--vocab", "none.txt"], 3, "none.txt"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_every_mistake_is_one_line(arguments, code, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*arguments, capsys=capsys)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("bert-numpy bench: ")
    assert message in err


def test_without_the_reference_it_says_what_to_install(capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *package: None if name in processes.REFERENCE_PACKAGES else find_spec(name, *package),
    )
    code, out, err = run("--against", "transformers", "--size", "tiny", capsys=capsys)
    assert (code, out) == (1, "")
    assert err == (
        "bert-numpy bench: --against transformers needs what is not installed here: torch, transformers, tokenizers; "
        'pip install "bert-numpy[reference]"\n'
    )


def test_a_worker_that_fails_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(running, "OURS", ("-c", "raise SystemExit('out of order')"))
    code, out, err = run("--size", "tiny", "--only", "forward-1x16", capsys=capsys)
    assert (code, out) == (1, "")
    assert err == "bert-numpy bench: the worker of bert_numpy ended with exit code 1 while starting: out of order\n"


def test_progress_is_shown_on_a_terminal_only(finished, capsys, monkeypatch):
    from bert_numpy.cli.usage import TerminalLine

    line = TerminalLine()
    line("round 1")
    line.clear()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line("round 10")
    line("end")
    line.clear()
    assert capsys.readouterr().err == "\rround 10\rend     \r   \r"
