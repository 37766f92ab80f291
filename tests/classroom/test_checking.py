"""`check` and `hint`, called in a notebook, at a prompt or in a script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_kits import library_code, new_kit

from bert_numpy.classroom import check, hint
from bert_numpy.classroom.catalogue import find
from bert_numpy.classroom.payoff import in_process
from bert_numpy.classroom.submission import CodeCell
from bert_numpy.nn import functional as F
from bert_numpy.nn import special


def gelu_forward(x):
    return x * special.normal_cdf(x), None


def test_check_in_a_notebook():
    original = F.gelu_forward
    report = check(gelu_forward)
    assert report.passed
    assert repr(report) == (
        "gelu_forward: passed\n  with your gelu_forward inside, BERT says: the capital of france is paris ."
    )
    assert F.gelu_forward is original
    report = check(lambda x: (x, None), "gelu_forward")
    assert not report.passed
    assert "gelu_forward: not yet\n" in repr(report)


def test_check_of_an_unknown_function():
    with pytest.raises(ValueError, match="no exercise"):
        check(len)


def test_check_puts_the_globals_back():
    def softmax_forward(x):
        raise AssertionError("the library's is to be used")

    namespace = {**vars(F), "softmax_forward": softmax_forward}
    exec(library_code("scaled_dot_product_attention_forward"), namespace)
    assert check(namespace["scaled_dot_product_attention_forward"]).passed
    assert namespace["softmax_forward"] is softmax_forward


def test_hint_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(new_kit(tmp_path / "kit"))
    assert repr(hint("gelu_forward")).startswith("hint 1 of ")
    assert repr(hint("gelu_forward")).count("\n") == 1


def test_a_script_prints_what_is_said(capsys):
    report = check(lambda x: (x, None), "gelu_forward")
    assert capsys.readouterr().out == f"{report!r}\n"
    said = hint("gelu_forward")
    assert capsys.readouterr().out == f"{said}\n"
    assert said.endswith("in the folder `tutorials/` of the package's repository")


def test_a_prompt_shows_what_is_said_by_itself(capsys, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    check(lambda x: (x, None), "gelu_forward")
    hint("gelu_forward")
    assert capsys.readouterr().out == ""


def test_a_script_of_its_own(tmp_path):
    script = tmp_path / "mine.py"
    code = [
        "from bert_numpy.classroom import check",
        "def gelu_forward(x):",
        "    return x, None",
        "check(gelu_forward)",
    ]
    script.write_text("\n".join(code))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("gelu_forward: not yet\n  for gelu_forward(array[3, 4, 5]), y is wrong: ")


def test_the_pay_off_checks_nothing():
    """The cells of a notebook hold calls of `check`; what they would say is of no interest there."""
    cells = [
        "from bert_numpy.classroom import check, hint\nfrom bert_numpy.nn import special",
        "def gelu_forward(x):\n    return x * special.normal_cdf(x), x",
        "if check(gelu_forward) or hint('gelu_forward'):\n    del gelu_forward",
    ]
    said = in_process(find("gelu_forward"), [CodeCell(f"cell {i}", cell) for i, cell in enumerate(cells)])
    assert said.endswith("BERT says: the capital of france is paris .")
